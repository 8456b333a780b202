//! The system-call filter of a container, from the text of a profile: Docker's format, and its words for what is wrong
//! with it, which come when the container is started.
//!
//! What a profile means is the runtime's ([`isolab_runtime::doll::seccomp`]); this reads JSON as Go reads it (keys in any
//! case, the first value of a wrong type is told with the name of Go's type) and checks the words before the runtime does.

use crate::error::ApiError;
use crate::settings::{Seccomp, Settings};
use isolab_runtime::doll::seccomp::{Machine, Profile, docker_default};
use oci_spec::runtime::LinuxSeccomp;
use serde_json::{Map, Value};

/// What a value has to be, with Go's name for it.
enum Type {
    Text(&'static str),
    Number(&'static str),
    List(&'static str, &'static Type),
    Struct(&'static str, &'static Shape),
}

/// A struct of Go's: its name in messages, and its fields.
struct Shape {
    name: &'static str,
    fields: &'static [(&'static str, Type)],
}

const TEXT: Type = Type::Text("string");

static PROFILE: Shape = Shape {
    name: "Seccomp",
    fields: &[
        ("defaultAction", Type::Text("specs.LinuxSeccompAction")),
        ("defaultErrnoRet", Type::Number("uint")),
        ("architectures", Type::List("[]specs.Arch", &Type::Text("specs.Arch"))),
        (
            "archMap",
            Type::List("[]seccomp.Architecture", &Type::Struct("seccomp.Architecture", &ARCHITECTURE)),
        ),
        ("syscalls", Type::List("[]*seccomp.Syscall", &Type::Struct("seccomp.Syscall", &RULE))),
        ("listenerPath", TEXT),
        ("listenerMetadata", TEXT),
    ],
};

static ARCHITECTURE: Shape = Shape {
    name: "Architecture",
    fields: &[
        ("architecture", Type::Text("specs.Arch")),
        ("subArchitectures", Type::List("[]specs.Arch", &Type::Text("specs.Arch"))),
    ],
};

static RULE: Shape = Shape {
    name: "Syscall",
    fields: &[
        ("name", TEXT),
        ("names", Type::List("[]string", &TEXT)),
        ("action", Type::Text("specs.LinuxSeccompAction")),
        ("errnoRet", Type::Number("uint")),
        ("args", Type::List("[]specs.LinuxSeccompArg", &Type::Struct("specs.LinuxSeccompArg", &ARGUMENT))),
        ("comment", TEXT),
        ("includes", Type::Struct("seccomp.Filter", &CONDITION)),
        ("excludes", Type::Struct("seccomp.Filter", &CONDITION)),
    ],
};

static ARGUMENT: Shape = Shape {
    name: "LinuxSeccompArg",
    fields: &[
        ("index", Type::Number("uint")),
        ("value", Type::Number("uint64")),
        ("valueTwo", Type::Number("uint64")),
        ("op", Type::Text("specs.LinuxSeccompOperator")),
    ],
};

static CONDITION: Shape = Shape {
    name: "Filter",
    fields: &[
        ("caps", Type::List("[]string", &TEXT)),
        ("arches", Type::List("[]string", &TEXT)),
        ("minKernel", TEXT),
    ],
};

const ACTIONS: &[&str] = &[
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",
];

const OPERATORS: &[&str] = &[
    "SCMP_CMP_NE",
    "SCMP_CMP_LT",
    "SCMP_CMP_LE",
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_MASKED_EQ",
];

const ARCHITECTURES: &[&str] = &[
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_RISCV64",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
];

/// The kernel passes a system call this many arguments.
const ARGUMENTS_MAX: u64 = 6;

/// The filter of a container and of all that is executed in it.
pub fn of(settings: &Settings) -> Result<Option<LinuxSeccomp>, ApiError> {
    match &settings.seccomp {
        Seccomp::Default => Ok(Some(docker_default(settings.capabilities.iter().copied()))),
        Seccomp::Unconfined => Ok(None),
        Seccomp::Profile(text) => {
            let profile = read(text)?;
            Ok(profile.map(|p| p.resolve(&Machine::this(), settings.capabilities.iter().copied())))
        }
    }
}

/// Reads a profile; one that says nothing is no filter.
fn read(text: &str) -> Result<Option<Profile>, ApiError> {
    let undecoded = |why: String| ApiError::internal(format!("Decoding seccomp profile failed: {why}"));
    let value: Value = serde_json::from_str(text).map_err(|error| undecoded(error.to_string()))?;
    let value = match value {
        Value::Null => Value::Object(Map::new()),
        Value::Object(_) => value,
        other => {
            let message =
                format!("json: cannot unmarshal {} into Go value of type seccomp.Seccomp", word(&other));
            return Err(undecoded(message));
        }
    };
    let value = as_struct(&value, &PROFILE, "").map_err(undecoded)?;
    check_kernels(&value).map_err(undecoded)?;
    let rules = list(&value, "syscalls");
    if text_of(&value, "defaultAction").is_empty() && rules.is_empty() {
        return Ok(None);
    }
    if !list(&value, "architectures").is_empty() && !list(&value, "archMap").is_empty() {
        let message = "'architectures' and 'archMap' were specified in the seccomp profile, use either 'architectures' or \
                       'archMap'";
        return Err(ApiError::internal(message));
    }
    if rules.iter().any(|rule| !text_of(rule, "name").is_empty() && !list(rule, "names").is_empty()) {
        let message =
            "'name' and 'names' were specified in the seccomp profile, use either 'name' or 'names'";
        return Err(ApiError::internal(message));
    }
    check_words(&value)?;
    let profile = Profile::parse(&value.to_string()).map_err(|error| undecoded(error.to_string()))?;
    Ok(Some(profile))
}

/// The words that runc refuses when it compiles the filter.
fn check_words(profile: &Value) -> Result<(), ApiError> {
    let refused = |why: String| {
        let message = format!(
            "failed to create shim task: OCI runtime create failed: runc create failed: {why}: unknown"
        );
        Err(ApiError::internal(message))
    };
    let known = |word: &str, words: &[&str], what: &str| match words.contains(&word) {
        true => Ok(()),
        false => refused(format!("string {word} is not a valid {what} for seccomp")),
    };
    let maps = list(profile, "archMap");
    let mapped =
        maps.iter().flat_map(|map| list(map, "subArchitectures").iter().chain(map.get("architecture")));
    for architecture in list(profile, "architectures").iter().chain(mapped) {
        known(architecture.as_str().unwrap_or_default(), ARCHITECTURES, "arch")?;
    }
    known(text_of(profile, "defaultAction"), ACTIONS, "action")?;
    for rule in list(profile, "syscalls") {
        known(text_of(rule, "action"), ACTIONS, "action")?;
        for argument in list(rule, "args") {
            known(text_of(argument, "op"), OPERATORS, "operator")?;
        }
    }
    for rule in list(profile, "syscalls") {
        let index = |argument: &Value| argument.get("index").and_then(Value::as_u64).unwrap_or(0);
        if let Some(index) = list(rule, "args").iter().map(index).find(|index| *index >= ARGUMENTS_MAX) {
            let name = list(rule, "names").first().and_then(Value::as_str).unwrap_or(text_of(rule, "name"));
            return refused(format!(
                "unable to start container process: error creating seccomp syscall condition for syscall {name}: \
                 syscalls only have up to {ARGUMENTS_MAX} arguments ({index} given)"
            ));
        }
    }
    let notifies = |rule: &Value| text_of(rule, "action") == "SCMP_ACT_NOTIFY";
    if list(profile, "syscalls").iter().any(notifies) {
        let why = match text_of(profile, "listenerPath").is_empty() {
            true => "listenerPath is not set",
            false => "this runtime serves no seccomp listener: use an action other than SCMP_ACT_NOTIFY",
        };
        return refused(format!("unable to start container process: {why}"));
    }
    Ok(())
}

fn check_kernels(profile: &Value) -> Result<(), String> {
    for rule in list(profile, "syscalls") {
        for version in ["includes", "excludes"].iter().filter_map(|key| rule.get(*key)?.get("minKernel")) {
            let text = version.as_str().unwrap_or_default();
            let numbers: Vec<Option<u32>> = text.split('.').map(|number| number.parse().ok()).collect();
            if !matches!(numbers[..], [Some(_), Some(_)]) {
                return Err(format!("invalid kernel version: {text:?}, expected \"<kernel>.<major>\""));
            }
        }
    }
    Ok(())
}

fn list<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text_of<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// Go's word for what a value is.
fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The known fields of an object under their own names, whatever the case of the keys; an error tells the first value that
/// is of another type. Null is as good as absent.
fn as_struct(value: &Value, shape: &'static Shape, path: &str) -> Result<Value, String> {
    let mut known = Map::new();
    for (key, value) in value.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
        let Some((name, kind)) = shape.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)) else {
            continue;
        };
        let path = if path.is_empty() { (*name).to_owned() } else { format!("{path}.{name}") };
        known.insert((*name).to_owned(), as_type(value, kind, shape.name, &path)?);
    }
    Ok(Value::Object(known))
}

fn as_type(value: &Value, kind: &'static Type, within: &str, path: &str) -> Result<Value, String> {
    let wrong = |go: &str, what: String| {
        Err(format!("json: cannot unmarshal {what} into Go struct field {within}.{path} of type {go}"))
    };
    match (kind, value) {
        (Type::Text(_), Value::String(_)) => Ok(value.clone()),
        (Type::Number(_), Value::Number(number)) if number.is_u64() => Ok(value.clone()),
        (Type::Number(go), Value::Number(number)) => wrong(go, format!("number {number}")),
        (Type::List(_, of), Value::Array(items)) => {
            let items = items.iter().filter(|item| !item.is_null());
            items.map(|item| as_type(item, of, within, path)).collect()
        }
        (Type::Struct(_, shape), Value::Object(_)) => as_struct(value, shape, path),
        (Type::Text(go) | Type::Number(go) | Type::List(go, _) | Type::Struct(go, _), _) => {
            wrong(go, word(value).to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::LinuxSeccompAction;

    fn refusal(text: &str) -> String {
        read(text).unwrap_err().message
    }

    #[test]
    fn what_docker_takes_is_taken() {
        for nothing in ["null", "{}", r#"{"syscalls": []}"#] {
            assert!(read(nothing).unwrap().is_none(), "{nothing}");
        }
        let profile = r#"{"DEFAULTACTION": "SCMP_ACT_ALLOW", "zzz": 1, "flags": ["FOO"], "Syscalls": [
            {"Names": ["mkdir"], "Action": "SCMP_ACT_ERRNO", "errnoRet": 38, "includes": {"minKernel": "4.8"}}]}"#;
        let resolved = read(profile).unwrap().unwrap().resolve(&Machine::this(), []);
        assert_eq!(resolved.default_action(), LinuxSeccompAction::ScmpActAllow);
        let rule = &resolved.syscalls().as_ref().unwrap()[0];
        assert_eq!((rule.names(), rule.errno_ret()), (&vec!["mkdir".to_owned()], Some(38)));
    }

    #[test]
    fn what_is_wrong_is_told_as_docker_tells_it() {
        let decoding = "Decoding seccomp profile failed: ";
        let runc = "failed to create shim task: OCI runtime create failed: runc create failed: ";
        let rule = |rule: &str| format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}"#);
        for (text, told) in [
            (
                "[]".into(),
                format!("{decoding}json: cannot unmarshal array into Go value of type seccomp.Seccomp"),
            ),
            (
                r#"{"defaultAction": 5}"#.into(),
                format!(
                    "{decoding}json: cannot unmarshal number into Go struct field Seccomp.defaultAction of type \
                     specs.LinuxSeccompAction"
                ),
            ),
            (
                rule(r#"{"names": "mkdir"}"#),
                format!(
                    "{decoding}json: cannot unmarshal string into Go struct field Syscall.syscalls.names of type []string"
                ),
            ),
            (
                rule(r#"{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "includes": {"minKernel": "foo"}}"#),
                format!("{decoding}invalid kernel version: \"foo\", expected \"<kernel>.<major>\""),
            ),
            (
                r#"{"defaultAction": "FOO"}"#.into(),
                format!("{runc}string FOO is not a valid action for seccomp: unknown"),
            ),
            (
                rule(r#"{"names": ["mkdir"]}"#),
                format!("{runc}string  is not a valid action for seccomp: unknown"),
            ),
            (
                rule(
                    r#"{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 1, "op": "FOO"}]}"#,
                ),
                format!("{runc}string FOO is not a valid operator for seccomp: unknown"),
            ),
            (
                r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["FOO"]}"#.into(),
                format!("{runc}string FOO is not a valid arch for seccomp: unknown"),
            ),
            (
                rule(r#"{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}"#),
                format!("{runc}unable to start container process: listenerPath is not set: unknown"),
            ),
        ] {
            assert_eq!(refusal(&text), told, "{text}");
        }
        let beyond = r#"{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 9, "op": "SCMP_CMP_EQ"}]}"#;
        assert!(
            refusal(&rule(beyond))
                .contains("for syscall mkdir: syscalls only have up to 6 arguments (9 given)")
        );
        assert!(
            refusal(&rule(r#"{"name": "mkdir", "names": ["mkdir"]}"#)).starts_with("'name' and 'names' were")
        );
    }

    #[test]
    fn rubbish_is_told_and_never_panics() {
        for text in
            ["", "{", "5", r#"{"syscalls": {}}"#, r#"{"syscalls": [5]}"#, r#"{"defaultErrnoRet": -1}"#]
        {
            assert!(read(text).is_err(), "{text}");
        }
        let deep = "[".repeat(100_000);
        assert!(read(&deep).is_err());
    }
}
