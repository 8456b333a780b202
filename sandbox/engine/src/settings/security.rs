//! `--security-opt`.
//!
//! Which profile is meant is settled here; what is in it is read when the container is started, as Docker does (see
//! [`crate::spec::seccomp`]).

use crate::error::ApiError;
use bollard_stubs::models::HostConfig;

/// The system-call filter of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Seccomp {
    /// Docker's default profile.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// The text of a file that the client has read.
    Profile(String),
}

/// What the options come to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecurityOptions {
    /// `no-new-privileges`.
    pub no_new_privileges: bool,
    /// `seccomp=…`.
    pub seccomp: Seccomp,
    /// `apparmor=…`: the name of a profile; empty for the usual one.
    pub apparmor: String,
}

impl SecurityOptions {
    /// Parses the options, in Docker's words where they are wrong. What they leave open is as `usual`.
    pub fn parse(options: &[String], usual: Self) -> Result<Self, ApiError> {
        let mut parsed = usual;
        for option in options {
            let invalid =
                |place: u8| ApiError::bad_request(format!("invalid --security-opt {place}: {option:?}"));
            if option == "no-new-privileges" {
                parsed.no_new_privileges = true;
                continue;
            }
            // The colon is an older way to write it, which Docker still takes.
            let (key, value) =
                option.split_once('=').or_else(|| option.split_once(':')).ok_or_else(|| invalid(1))?;
            match key {
                "no-new-privileges" => parsed.no_new_privileges = boolean(value).ok_or_else(|| invalid(2))?,
                "seccomp" => {
                    parsed.seccomp = match value {
                        "unconfined" => Seccomp::Unconfined,
                        // What newer clients send for Docker's own.
                        "" | "builtin" => Seccomp::Default,
                        text => Seccomp::Profile(text.to_owned()),
                    }
                }
                "apparmor" => value.clone_into(&mut parsed.apparmor),
                // There is no SELinux here to confine with, and without it Docker takes any word.
                "label" => {}
                _ => return Err(invalid(2)),
            }
        }
        Ok(parsed)
    }
}

/// What Go's `strconv.ParseBool` takes.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Adds the option that Docker adds to a container without an SELinux label of its own.
pub fn show_label(host: &mut HostConfig) {
    let is_host = |mode: &Option<String>| mode.as_deref() == Some("host");
    let unlabelled = is_host(&host.ipc_mode) || is_host(&host.pid_mode) || host.privileged == Some(true);
    let labelled = host.security_opt.iter().flatten().any(|option| option.split('=').next() == Some("label"));
    if unlabelled && !labelled {
        host.security_opt.get_or_insert_default().push("label=disable".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[&str]) -> Result<SecurityOptions, String> {
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        SecurityOptions::parse(&options, SecurityOptions::default()).map_err(|error| error.message)
    }

    #[test]
    fn each_option_is_what_it_is_with_docker() {
        for on in ["no-new-privileges", "no-new-privileges:true", "no-new-privileges=1"] {
            assert!(parse(&[on]).unwrap().no_new_privileges, "{on}");
        }
        assert!(!parse(&["no-new-privileges", "no-new-privileges=false"]).unwrap().no_new_privileges);
        assert_eq!(parse(&["seccomp:unconfined"]).unwrap().seccomp, Seccomp::Unconfined);
        assert_eq!(parse(&["seccomp={}"]).unwrap().seccomp, Seccomp::Profile("{}".into()));
        assert_eq!(parse(&["label=type:foo", "label="]).unwrap(), parse(&[]).unwrap());
        assert_eq!(parse(&["apparmor=foo", "apparmor:bar"]).unwrap().apparmor, "bar");
    }

    #[test]
    fn what_is_wrong_is_refused_in_docker_s_words() {
        for (option, place) in [
            ("foo", 1),
            ("", 1),
            ("foo=bar", 2),
            ("systempaths=foo", 2),
            ("no-new-privileges=foo", 2),
            ("no-new-privileges:", 2),
        ] {
            assert_eq!(parse(&[option]).unwrap_err(), format!("invalid --security-opt {place}: {option:?}"));
        }
    }

    #[test]
    fn what_sees_the_host_is_shown_without_a_label() {
        let shown = |host: HostConfig| {
            let mut host = host;
            show_label(&mut host);
            host.security_opt
        };
        let pid = HostConfig { pid_mode: Some("host".into()), ..HostConfig::default() };
        assert_eq!(shown(pid.clone()).unwrap(), ["label=disable"]);
        let own = Some(vec!["label=type:x".to_owned()]);
        assert_eq!(shown(HostConfig { security_opt: own.clone(), ..pid }), own);
        assert_eq!(shown(HostConfig::default()), None);
    }
}
