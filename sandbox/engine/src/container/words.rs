//! What the runtime could not set up, in the words of Docker's runtime, which people look for, and with the status and the
//! exit code that Docker makes out of those words.

use super::program;
use crate::error::ApiError;
use crate::settings::Settings;
use crate::spec::{UserMount, tmpfs_options};
use isolab_runtime::Error;
use rustix::io::Errno;
use std::path::Path;

/// What every failure of the runtime begins with.
const CREATE: &str = "failed to create shim task: OCI runtime create failed";

/// What runc says of a failure of the process that sets a container up.
const INIT: &str = "runc create failed: unable to start container process: error during container init";

/// The exit codes of containers whose program is not there, may not be executed, or could not be started for another reason.
const NOT_THERE: i32 = 127;
const NOT_ALLOWED: i32 = 126;
const NOT_STARTED: i32 = 128;

/// The resources of `setrlimit`, by their numbers.
const LIMITS: [&str; 16] = [
    "RLIMIT_CPU",
    "RLIMIT_FSIZE",
    "RLIMIT_DATA",
    "RLIMIT_STACK",
    "RLIMIT_CORE",
    "RLIMIT_RSS",
    "RLIMIT_NPROC",
    "RLIMIT_NOFILE",
    "RLIMIT_MEMLOCK",
    "RLIMIT_AS",
    "RLIMIT_LOCKS",
    "RLIMIT_SIGPENDING",
    "RLIMIT_MSGQUEUE",
    "RLIMIT_NICE",
    "RLIMIT_RTPRIO",
    "RLIMIT_RTTIME",
];

/// A failure of the runtime. That it is the client's mistake Docker finds in the words of the kernel.
pub fn failed(error: impl std::fmt::Display) -> ApiError {
    let mut message = format!("{CREATE}: {error}: unknown");
    if message.contains("not a directory") {
        message.push_str(
            ": Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is \
             the expected type",
        );
    }
    match exit_code_of(&message) {
        NOT_STARTED => ApiError::internal(message),
        _ => ApiError::bad_request(message),
    }
}

/// The exit code of a container that could not be started.
pub fn exit_code_of(message: &str) -> i32 {
    let has = |words: &str| message.to_lowercase().contains(words);
    match () {
        () if !message.starts_with(CREATE) => NOT_STARTED,
        () if has("not a directory") => NOT_THERE,
        () if has("permission denied") => NOT_ALLOWED,
        () if has("executable file not found") || has("no such file or directory") => NOT_THERE,
        () => NOT_STARTED,
    }
}

/// What the runtime could not set up.
pub fn not_created(error: &Error, settings: &Settings, mounts: &[UserMount], root: &Path) -> ApiError {
    let errno = Errno::from_raw_os_error(error.errno);
    let why = program::words(errno);
    // A file in the place of the working directory is the client's mistake, which Docker tells in its own words.
    if error.step.starts_with("making the working directory") && errno == Errno::NOTDIR {
        return ApiError::bad_request(format!("Cannot mkdir: {} is not a directory", settings.workdir));
    }
    // A setting that there is not, or that takes no such value.
    if let Some((name, _)) = error.step.strip_prefix("setting ").and_then(|rest| rest.split_once(" = ")) {
        let call = if errno == Errno::NOENT { "open" } else { "write" };
        let path = format!("/proc/sys/{}", name.replace('.', "/"));
        return failed(format!("{INIT}: {call} {path}: {why}"));
    }
    if error.step.starts_with("applying the AppArmor profile ") {
        return failed(format!(
            "{INIT}: unable to apply apparmor profile: apparmor failed to apply profile: write \
             /proc/self/attr/apparmor/exec: {why}"
        ));
    }
    if error.step.starts_with("setting the hostname ") {
        return failed(format!("{INIT}: sethostname: {why}"));
    }
    if let Some(name) = error.step.strip_prefix("limiting ").and_then(|rest| rest.split(' ').next())
        && let Some(number) = LIMITS.iter().position(|limit| *limit == name)
    {
        return failed(format!(
            "{INIT}: error setting rlimits for ready process: error setting rlimit type {number}: {why}"
        ));
    }
    let of_tmpfs = |(path, options): (&String, &String)| {
        let data =
            (error.step == format!("mounting tmpfs at {path}")).then(|| tmpfs_options(options))?.ok()?;
        let (flags, data): (Vec<_>, Vec<_>) = data.into_iter().partition(|word| !word.contains('='));
        Some(failed(format!(
            "{INIT}: error mounting \"tmpfs\" to rootfs at {path:?}: mount tmpfs:{path} (via /proc/self/fd/6), flags: {:#x}, \
             data: {}: {why}",
            flags.iter().map(|word| flag(word)).sum::<u32>(),
            data.join(",")
        )))
    };
    if let Some(told) = settings.tmpfs.iter().find_map(of_tmpfs) {
        return told;
    }
    let is_bound = |mount: &&UserMount| {
        error.step == format!("binding {} at {}", mount.source.display(), mount.destination)
    };
    mounts
        .iter()
        .find(is_bound)
        .and_then(|mount| not_bound(error, mount, root))
        .unwrap_or_else(|| failed(program::explain(error)))
}

/// What mount(2) calls an option.
fn flag(word: &str) -> u32 {
    match word {
        "ro" => 0x1,
        "nosuid" => 0x2,
        "nodev" => 0x4,
        "noexec" => 0x8,
        "sync" => 0x10,
        "dirsync" => 0x80,
        "noatime" => 0x400,
        "nodiratime" => 0x800,
        "relatime" => 0x20_0000,
        "strictatime" => 0x100_0000,
        _ => 0,
    }
}

/// What the runtime could not bind, where runc has words of its own for it.
fn not_bound(error: &Error, mount: &UserMount, root: &Path) -> Option<ApiError> {
    let UserMount { destination, source, .. } = mount;
    let at = format!("{INIT}: error mounting {source:?} to rootfs at {destination:?}");
    if let Some(why) = error.call.strip_prefix(&format!("{destination:?} cannot be mounted because ")) {
        let path = format!("{}{destination}", root.display());
        return Some(failed(format!("{at}: {path:?} cannot be mounted because {why}")));
    }
    // So the kernel's new call says of a directory over a file, or the other way round. The flags and the descriptor are
    // runc's.
    let mismatch = error.errno == Errno::INVAL.raw_os_error() && error.call == "move_mount";
    mismatch.then(|| {
        failed(format!(
            "{at}: mount {}:{destination} (via /proc/self/fd/6), flags: 0x5000: not a directory",
            source.display()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_mistake_it_is_shows_in_the_words() {
        for (words, status, code) in [
            ("exec: \"x\": executable file not found in $PATH", 400, 127),
            ("exec: \"/x\": permission denied", 400, 126),
            ("exec: \"/etc/passwd/x\": stat /etc/passwd/x: not a directory", 400, 127),
            ("sethostname: invalid argument", 500, 128),
        ] {
            let error = failed(words);
            assert_eq!((error.status.as_u16(), exit_code_of(&error.message)), (status, code), "{words}");
        }
        assert_eq!(exit_code_of("error gathering device information: no such file or directory"), 128);
    }
}
