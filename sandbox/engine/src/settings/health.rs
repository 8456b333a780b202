//! `--health-…` and an image's `HEALTHCHECK`: how to find out whether a container is well.

use crate::error::ApiError;
use bollard_stubs::models::HealthConfig;
use std::time::Duration;

/// What is taken where nothing, or zero, is given.
const INTERVAL_DEFAULT: Duration = Duration::from_secs(30);
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const RETRIES_DEFAULT: u32 = 3;

/// The shell of `CMD-SHELL` where the image names no other.
const SHELL_DEFAULT: [&str; 2] = ["/bin/sh", "-c"];

/// A health check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is executed; 0 means well.
    pub argv: Vec<String>,
    /// How long is waited before each time.
    pub interval: Duration,
    /// How long it may take.
    pub timeout: Duration,
    /// How many failures in a row make a container unhealthy.
    pub retries: u32,
    /// For how long after the start failures do not count, unless it was well already.
    pub start_period: Duration,
}

/// Fills in what the request leaves to the image.
pub fn inherit(own: &mut Option<HealthConfig>, image: &Option<HealthConfig>) {
    let Some(image) = image else { return };
    let own = own.get_or_insert_with(|| image.clone());
    if own.test.as_ref().is_none_or(Vec::is_empty) {
        own.test.clone_from(&image.test);
    }
    for (own, image) in [
        (&mut own.interval, image.interval),
        (&mut own.timeout, image.timeout),
        (&mut own.retries, image.retries),
        (&mut own.start_period, image.start_period),
    ] {
        if own.unwrap_or(0) == 0 {
            *own = image;
        }
    }
}

impl HealthCheck {
    /// Reads what was asked for; `None` where nothing is to be checked. The errors are Docker's.
    pub fn parse(config: Option<&HealthConfig>, shell: Option<&[String]>) -> Result<Option<Self>, ApiError> {
        let Some(config) = config else { return Ok(None) };
        let duration = |name: &str, nanos: Option<i64>| match nanos.unwrap_or(0) {
            0 => Ok(None),
            nanos if nanos < 1_000_000 => {
                Err(ApiError::bad_request(format!("{name} in Healthcheck cannot be less than 1ms")))
            }
            nanos => Ok(Some(Duration::from_nanos(nanos.unsigned_abs()))),
        };
        let interval = duration("Interval", config.interval)?.unwrap_or(INTERVAL_DEFAULT);
        let timeout = duration("Timeout", config.timeout)?.unwrap_or(TIMEOUT_DEFAULT);
        let retries = u32::try_from(config.retries.unwrap_or(0))
            .map_err(|_| ApiError::bad_request("Retries in Healthcheck cannot be negative"))?;
        let start_period = duration("StartPeriod", config.start_period)?.unwrap_or_default();
        let argv = match config.test.as_deref().unwrap_or_default() {
            [kind, words @ ..] if kind == "CMD" && !words.is_empty() => words.to_vec(),
            [kind, line, ..] if kind == "CMD-SHELL" => {
                let shell = match shell {
                    Some(shell) if !shell.is_empty() => shell.to_vec(),
                    _ => SHELL_DEFAULT.map(str::to_owned).into(),
                };
                [shell, vec![line.clone()]].concat()
            }
            // Nothing, NONE, or what nobody knows: Docker complains of that in its log only.
            _ => return Ok(None),
        };
        let retries = if retries == 0 { RETRIES_DEFAULT } else { retries };
        Ok(Some(Self { argv, interval, timeout, retries, start_period }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(test: &[&str]) -> HealthConfig {
        let test = test.iter().map(|&word| word.to_owned()).collect();
        HealthConfig { test: Some(test), ..HealthConfig::default() }
    }

    fn argv(config: &HealthConfig) -> Option<Vec<String>> {
        HealthCheck::parse(Some(config), None).unwrap().map(|check| check.argv)
    }

    #[test]
    fn the_forms_of_a_test() {
        assert_eq!(argv(&config(&["CMD", "a", "b c"])).unwrap(), ["a", "b c"]);
        assert_eq!(argv(&config(&["CMD-SHELL", "a b"])).unwrap(), ["/bin/sh", "-c", "a b"]);
        for none in [&[][..], &["NONE"], &["CMD"], &["CMD-SHELL"], &["other", "x"]] {
            assert_eq!(argv(&config(none)), None);
        }
        let shell = ["/bin/ash".to_owned(), "-ec".to_owned()];
        let check = HealthCheck::parse(Some(&config(&["CMD-SHELL", "x"])), Some(&shell)).unwrap().unwrap();
        assert_eq!(check.argv, ["/bin/ash", "-ec", "x"]);
        assert_eq!((check.interval, check.retries), (INTERVAL_DEFAULT, 3));
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        let bad = |change: fn(&mut HealthConfig)| {
            let mut config = config(&["CMD", "x"]);
            change(&mut config);
            HealthCheck::parse(Some(&config), None).unwrap_err().message
        };
        assert_eq!(bad(|c| c.interval = Some(100_000)), "Interval in Healthcheck cannot be less than 1ms");
        assert_eq!(bad(|c| c.timeout = Some(-1)), "Timeout in Healthcheck cannot be less than 1ms");
        assert_eq!(bad(|c| c.start_period = Some(1)), "StartPeriod in Healthcheck cannot be less than 1ms");
        assert_eq!(bad(|c| c.retries = Some(-1)), "Retries in Healthcheck cannot be negative");
    }

    #[test]
    fn the_image_fills_in_what_is_left_open() {
        let image = Some(HealthConfig { interval: Some(5), retries: Some(7), ..config(&["CMD", "image"]) });
        let mut own = None;
        inherit(&mut own, &image);
        assert_eq!(own, image);
        let mut own = Some(HealthConfig { interval: Some(9), ..HealthConfig::default() });
        inherit(&mut own, &image);
        let own = own.unwrap();
        assert_eq!((own.interval, own.retries), (Some(9), Some(7)));
        assert_eq!(own.test.unwrap(), ["CMD", "image"]);
        let mut none = Some(config(&["NONE"]));
        inherit(&mut none, &image);
        assert_eq!(none.unwrap().test.unwrap(), ["NONE"]);
    }
}
