//! `--restart`: when a container that has ended is started again.

use crate::error::ApiError;
use bollard_stubs::models::{RestartPolicy, RestartPolicyNameEnum};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// When to start again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// Never.
    #[default]
    No,
    /// Whatever its end was.
    Always,
    /// The same, except after a stop by hand, which also an engine that starts anew respects.
    UnlessStopped,
    /// After an exit code other than 0, as many times in a row (0: without end).
    OnFailure(u32),
}

impl Policy {
    /// Reads a policy as clients send it. The errors are Docker's.
    pub fn parse(policy: &Value) -> Result<Self, ApiError> {
        let name = policy["Name"].as_str().unwrap_or_default();
        let count = policy["MaximumRetryCount"].as_i64().unwrap_or(0);
        let without_count = |policy| match count {
            0 => Ok(policy),
            _ => {
                let message = format!("maximum retry count cannot be used with restart policy '{name}'");
                Err(ApiError::bad_request(message))
            }
        };
        match name {
            "" => Ok(Self::No),
            "no" => without_count(Self::No),
            "always" => without_count(Self::Always),
            "unless-stopped" => without_count(Self::UnlessStopped),
            "on-failure" => u32::try_from(count)
                .map(Self::OnFailure)
                .map_err(|_| ApiError::bad_request("maximum retry count cannot be negative")),
            _ => Err(ApiError::bad_request(format!("invalid restart policy '{name}'"))),
        }
    }

    /// As `docker inspect` shows it.
    pub fn as_model(self) -> RestartPolicy {
        let (name, count) = match self {
            Self::No => (RestartPolicyNameEnum::NO, 0),
            Self::Always => (RestartPolicyNameEnum::ALWAYS, 0),
            Self::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, 0),
            Self::OnFailure(count) => (RestartPolicyNameEnum::ON_FAILURE, count),
        };
        RestartPolicy { name: Some(name), maximum_retry_count: Some(count.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn policies_are_read_as_docker_reads_them() {
        for (name, count, policy) in [
            ("", 0, Policy::No),
            ("no", 0, Policy::No),
            ("always", 0, Policy::Always),
            ("unless-stopped", 0, Policy::UnlessStopped),
            ("on-failure", 0, Policy::OnFailure(0)),
            ("on-failure", 3, Policy::OnFailure(3)),
        ] {
            let read = Policy::parse(&json!({ "Name": name, "MaximumRetryCount": count }));
            assert_eq!(read, Ok(policy), "{name}");
        }
        assert_eq!(Policy::parse(&Value::Null), Ok(Policy::No));
        for (name, count, message) in [
            ("foo", 0, "invalid restart policy 'foo'"),
            ("always", 3, "maximum retry count cannot be used with restart policy 'always'"),
            ("on-failure", -1, "maximum retry count cannot be negative"),
        ] {
            let refused = Policy::parse(&json!({ "Name": name, "MaximumRetryCount": count }));
            assert_eq!(refused, Err(ApiError::bad_request(message)));
        }
    }
}
