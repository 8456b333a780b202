//! The body of `docker update`.

use super::{Available, Limits, Policy, limits};
use crate::error::ApiError;
use bollard_stubs::models::HostConfig;
use serde_json::Value;

/// What is to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The restart policy, where a new one is given.
    pub policy: Option<Policy>,
    /// What it may use from now on, where that is named.
    pub limits: Limits,
    /// What the machine cannot do, in Docker's words.
    pub warnings: Vec<String>,
}

/// Reads it. Limits have the names, and meet the checks, that they have in a create request.
pub fn parse_update(mut body: Value, available: &Available) -> Result<Update, ApiError> {
    let unreadable = |error: serde_json::Error| ApiError::bad_request(format!("invalid JSON: {error}"));
    let fields = body.as_object_mut().ok_or_else(|| ApiError::bad_request("the request is not an object"))?;
    let policy = fields.remove("RestartPolicy").unwrap_or_default();
    let named = policy["Name"].as_str().is_some_and(|name| !name.is_empty());
    let policy = if named { Some(Policy::parse(&policy)?) } else { None };
    let mut host: HostConfig = serde_json::from_value(body).map_err(unreadable)?;
    let warnings = limits::check(&mut host, available, true)?;
    Ok(Update { policy, limits: Limits::of(&host), warnings })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_and_limits_are_read() {
        // As the command line sends it: every limit is there, at zero.
        let body = json!({ "Memory": 0, "NanoCpus": 0, "CpusetCpus": "", "PidsLimit": null, "BlkioDeviceReadBps": null,
                           "RestartPolicy": { "Name": "on-failure", "MaximumRetryCount": 2 } });
        let capabilities = super::super::capabilities::from_mask(!0);
        let machine = Available {
            capabilities,
            hostname: "a".into(),
            remapped: false,
            groups: None,
            apparmor: false,
            processors: 2,
            defaults: Default::default(),
        };
        let limits = Limits::default();
        let update = Update { policy: Some(Policy::OnFailure(2)), limits, warnings: vec![] };
        assert_eq!(parse_update(body, &machine), Ok(update));
        let body = json!({ "Memory": 64 << 20, "RestartPolicy": { "Name": "" } });
        let update = parse_update(body, &machine).unwrap();
        assert_eq!((update.policy, update.warnings.len()), (None, 1));
        for bad in [json!([]), json!({ "Memory": "x" }), json!({ "RestartPolicy": { "Name": "foo" } })] {
            assert!(parse_update(bad, &machine).is_err());
        }
    }
}
