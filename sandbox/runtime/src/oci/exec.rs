//! `exec`: one more program in a container that runs, under the same filter as its first one.

use super::bundle::{program_of, terminal_size};
use super::group::is_paused;
use super::lifecycle::{stdio, write_pid};
use super::options::Exec;
use super::signals::Signals;
use super::store::{Record, Store};
use super::{Failure, console};
use crate::created::KILL_WAIT;
use crate::zygote::Created;
use crate::{EnterPlan, own_binary, process};
use oci_spec::runtime::{Capability, ContainerState, LinuxCapabilities, Process};
use rustix::fd::AsFd;
use std::collections::HashSet;

/// `exec`. Returns the exit status of the program as a shell counts it; 0 where it was left running.
pub fn exec(store: &Store, options: &Exec) -> Result<u8, Failure> {
    own_binary::seal()?;
    let (home, record) = store.get(&options.named.id)?;
    if record.status(&home) != ContainerState::Running {
        return Err(Failure::plain("cannot exec in a container that is not running".into()));
    }
    if is_paused(&record) {
        return Err(Failure::plain("cannot exec in a paused container".into()));
    }
    let process = wanted(&record, options)?;
    let seccomp = record.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
    let plan = EnterPlan::new(&process, seccomp)?;
    let terminal = process
        .terminal()
        .unwrap_or(false)
        .then(|| console::own_size().unwrap_or_else(|| terminal_size(&process)));
    if options.detach && terminal.is_some() && options.console_socket.is_none() {
        return Err(Failure::plain("a terminal that is left needs --console-socket".into()));
    }
    let signals = if options.detach { None } else { Some(Signals::take()?) };
    let container = record.init.open()?;
    let take_in =
        |created: &Created| record.group.as_ref().map_or(Ok(()), |group| group.take_in(created.pid()));
    let running = Created::enter_without_zygote(container.as_fd(), &plan, stdio(terminal)?)
        .and_then(|created| take_in(&created).and_then(|()| created.start()))
        .map_err(|error| Failure::of_program(&program_of(&process), error))?;
    let process = running.pidfd.as_fd();
    let told = write_pid(options.pid_file.as_deref(), running.pid)
        .and_then(|()| console::hand_over(running.io, options.console_socket.as_deref()));
    // Nobody would know of a program whose number or terminal did not arrive.
    let terminal = told.inspect_err(|_| process::kill_and_reap(process, KILL_WAIT))?;
    let Some(signals) = signals else { return Ok(0) };
    let attached = console::stay(terminal, process, &signals);
    let status = process::wait(process)?;
    attached.map(|()| status.as_shell() as u8)
}

/// The process that is asked for: from a file, or the container's own with changes.
fn wanted(record: &Record, options: &Exec) -> Result<Process, Failure> {
    if let Some(path) = &options.process {
        let text = std::fs::read(path).map_err(|error| Failure::new(format!("reading {path:?}"), error))?;
        return serde_json::from_slice(&text).map_err(|error| Failure::plain(format!("{path:?}: {error}")));
    }
    if options.args.is_empty() {
        return Err(Failure::plain("exec needs a program, or --process".into()));
    }
    let own = record.spec.process().as_ref();
    let mut process = own.cloned().ok_or_else(|| Failure::plain("the container has no process".into()))?;
    process.set_args(Some(options.args.clone()));
    process.set_terminal(Some(options.tty));
    if let Some(cwd) = &options.cwd {
        process.set_cwd(cwd.clone());
    }
    if options.no_new_privs {
        process.set_no_new_privileges(Some(true));
    }
    let env = process.env().iter().flatten().chain(&options.env).cloned().collect();
    process.set_env(Some(env));
    if let Some(user) = &options.user {
        change_user(&mut process, user)?;
    }
    if !options.cap.is_empty() {
        let sets = with_capabilities(process.capabilities().clone().unwrap_or_default(), &options.cap)?;
        process.set_capabilities(Some(sets));
    }
    Ok(process)
}

fn change_user(process: &mut Process, text: &str) -> Result<(), Failure> {
    let bad = || Failure::plain(format!("--user {text}: give numbers as UID or UID:GID"));
    let (uid, gid) = text.split_once(':').map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    let user = process.user_mut();
    user.set_uid(uid.parse().map_err(|_| bad())?);
    if let Some(gid) = gid {
        user.set_gid(gid.parse().map_err(|_| bad())?);
    }
    Ok(())
}

fn with_capabilities(mut sets: LinuxCapabilities, names: &[String]) -> Result<LinuxCapabilities, Failure> {
    let parse = |name: &String| {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        bare.parse::<Capability>()
            .map_err(|_| Failure::plain(format!("--cap {name}: there is no such capability")))
    };
    let added: HashSet<Capability> = names.iter().map(parse).collect::<Result<_, _>>()?;
    let join =
        |set: &Option<HashSet<Capability>>| Some(set.iter().flatten().chain(&added).copied().collect());
    let (bounding, effective, permitted) =
        (join(sets.bounding()), join(sets.effective()), join(sets.permitted()));
    sets.set_bounding(bounding);
    sets.set_effective(effective);
    sets.set_permitted(permitted);
    Ok(sets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::options::{Command, CommandLine};
    use crate::oci::process::Identity;
    use clap::Parser;
    use oci_spec::runtime::Spec;

    fn wanted_by(line: &[&str]) -> Result<Process, Failure> {
        let full = ["isolab-runtime", "exec"].iter().chain(line);
        let Command::Exec(options) = CommandLine::try_parse_from(full).unwrap().command else {
            unreachable!()
        };
        let record = Record {
            id: "a".into(),
            bundle: "/".into(),
            init: Identity { pid: 1, started_at_ms: 0 },
            created_at_ms: 0,
            annotations: None,
            group: None,
            spec: Spec::default(),
        };
        wanted(&record, &options)
    }

    #[test]
    fn an_exec_is_the_containers_process_with_changes() {
        let process = wanted_by(&[
            "-t",
            "--user",
            "7:8",
            "-e",
            "A=b",
            "--cwd",
            "/x",
            "--cap",
            "cap_sys_admin",
            "c",
            "ls",
            "-l",
            "--tty",
        ])
        .unwrap();
        assert_eq!(process.args().as_ref().unwrap(), &["ls", "-l", "--tty"]);
        assert_eq!((process.user().uid(), process.user().gid()), (7, 8));
        assert_eq!(process.terminal(), Some(true));
        assert_eq!(process.env().as_ref().unwrap().last().unwrap(), "A=b");
        let bounding = process.capabilities().as_ref().unwrap().bounding().clone().unwrap();
        assert!(bounding.contains(&Capability::SysAdmin) && bounding.len() > 1);
    }

    #[test]
    fn what_is_no_exec_is_refused() {
        for line in [&["c"][..], &["-u", "root", "c", "ls"], &["--cap", "CAP_NOPE", "c", "ls"]] {
            assert!(wanted_by(line).is_err(), "{line:?}");
        }
    }
}
