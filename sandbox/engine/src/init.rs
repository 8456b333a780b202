//! PID 1 of a container that was started with `--init`: hands signals on to the program, reaps whatever is left behind,
//! and ends as the program ends. It is the engine's own program under another name, and looks like Docker's (tini).
//!
//! There are two stages: the first process stays, the second makes itself the terminal's foreground group and becomes the
//! program. Between them is an ordinary `exec`, so that nothing has to be done in a forked copy of a running program.

use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The name under which this is started, and where it is in a container.
pub const NAME: &str = "docker-init";
pub const PATH: &str = "/sbin/docker-init";

/// The version of tini that it stands in for.
const VERSION: &str = "tini version 0.19.0";

/// The first argument of the second stage, which nobody would give by accident.
const SECOND_STAGE: &str = "--isolab-second-stage";

/// Signals that are about this process itself, or that the terminal sends to those in its background.
const OWN: [Signal; 9] = [
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGABRT,
    Signal::SIGTRAP,
    Signal::SIGSYS,
    Signal::SIGTTIN,
    Signal::SIGTTOU,
];

/// Whether the program was started as a container's init.
pub fn is_asked_for(program: Option<OsString>) -> bool {
    program.is_some_and(|name| std::path::Path::new(&name).file_name().is_some_and(|name| name == NAME))
}

/// The whole program.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments: Vec<_> = arguments.into_iter().collect();
    match arguments.first().and_then(|word| word.to_str()) {
        Some("--version") => {
            println!("{VERSION}");
            return ExitCode::SUCCESS;
        }
        Some(SECOND_STAGE) => return become_program(&arguments[1..]),
        Some("--") => drop(arguments.remove(0)),
        _ => {}
    }
    if arguments.is_empty() {
        eprintln!("{NAME}: names no program: {NAME} -- PROGRAM [ARGUMENT...]");
        return ExitCode::FAILURE;
    }
    match stay(&arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("[FATAL tini ({})] {error}", std::process::id());
            ExitCode::FAILURE
        }
    }
}

/// The first stage.
fn stay(arguments: &[OsString]) -> io::Result<u8> {
    let mut waited = SigSet::all();
    OWN.into_iter().for_each(|signal| waited.remove(signal));
    waited.thread_block()?;
    let signals = SignalFd::new(&waited)?;
    let child = Command::new("/proc/self/exe").arg0(PATH).arg(SECOND_STAGE).args(arguments).spawn()?;
    let child = Pid::from_raw(child.id() as i32);
    loop {
        let Some(signal) = signals.read_signal()? else { continue };
        match i32::try_from(signal.ssi_signo).map(Signal::try_from) {
            Ok(Ok(Signal::SIGCHLD)) => {
                if let Some(code) = reap(child)? {
                    return Ok(code);
                }
            }
            // One that has ended meanwhile is reaped in a moment.
            Ok(Ok(signal)) => drop(kill(child, signal)),
            // A real-time signal has no name here, and is not handed on.
            _ => {}
        }
    }
}

/// Reaps all that have ended; the exit code of the program, when it has.
fn reap(child: Pid) -> io::Result<Option<u8>> {
    let mut code = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) if pid == child => code = Some(status as u8),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => code = Some(128 + signal as u8),
            Ok(WaitStatus::StillAlive) | Err(nix::Error::ECHILD) => return Ok(code),
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The second stage: a process group of its own, in the terminal's foreground where there is a terminal, then the program.
fn become_program(arguments: &[OsString]) -> ExitCode {
    let Some((program, rest)) = arguments.split_first() else { return ExitCode::FAILURE };
    let group = rustix::process::getpid();
    // A group in the background may take the foreground only if it does not mind the signal for trying.
    let mut terminal = SigSet::empty();
    terminal.add(Signal::SIGTTOU);
    let prepared = rustix::process::setpgid(Some(group), Some(group)).map_err(io::Error::from);
    if let Err(error) = prepared.and(terminal.thread_block().map_err(io::Error::from)) {
        eprintln!("[FATAL tini ({})] {error}", std::process::id());
        return ExitCode::FAILURE;
    }
    // Without a terminal there is no foreground to take.
    let _ = rustix::termios::tcsetpgrp(std::io::stdin(), group);
    // The first stage blocks all signals, and what it starts has that from it.
    if let Err(error) = SigSet::all().thread_unblock() {
        eprintln!("[FATAL tini ({})] {error}", std::process::id());
        return ExitCode::FAILURE;
    }
    let error = Command::new(program).args(rest).exec();
    let why = error.to_string();
    let why = why.split(" (os error").next().unwrap_or_default();
    eprintln!("[FATAL tini ({})] exec {} failed: {why}", std::process::id(), program.to_string_lossy());
    ExitCode::from(match error.kind() {
        io::ErrorKind::NotFound => 127,
        io::ErrorKind::PermissionDenied => 126,
        _ => 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_known_by_its_name() {
        assert!(is_asked_for(Some(PATH.into())) && is_asked_for(Some(NAME.into())));
        assert!(!is_asked_for(Some("/usr/lib/isolab/isolab-engine".into())) && !is_asked_for(None));
    }
}
