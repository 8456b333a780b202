//! Containers made for real: namespaces, mounts and identities as the kernel sees them, not as we meant them.
//!
//! The zygote has to be forked before any thread exists, and the standard test harness has threads: this one runs its
//! tests one after the other in a process each (`--list`, a name as filter, as usual). As root, everything is run
//! again as an ordinary user with a subuid range (`ISOLAB_TEST_USER`, else `learner`), where there is one. A test
//! that cannot run on this machine is skipped, loudly.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod attacks;
mod failures;
mod harness;
mod hostile;
mod looks;
mod nested;
mod racing;
mod support;
mod zygotes;

fn main() -> std::process::ExitCode {
    if std::env::var_os(nested::ENGINE).is_some() {
        nested::engine();
        return std::process::ExitCode::SUCCESS;
    }
    if std::env::var_os(nested::AGENT).is_some() {
        nested::agent();
        return std::process::ExitCode::SUCCESS;
    }
    if let Some(seal) = std::env::var_os(hostile::SEALED) {
        hostile::wait_sealed(seal == "yes");
        return std::process::ExitCode::SUCCESS;
    }
    if let Ok(paths) = std::env::var(racing::SWAP) {
        racing::swap_for_ever(&paths);
    }
    harness::run(&[
        looks::TESTS,
        nested::TESTS,
        failures::TESTS,
        zygotes::TESTS,
        hostile::TESTS,
        attacks::TESTS,
        racing::TESTS,
    ])
}
