//! `run`: a container from its bundle to its exit status, by one process.

use super::bundle::Bundle;
use super::group;
use super::hooks::{self, Point};
use super::lifecycle::{Prepared, forget, inherited, prepare, record, stdio, undo, write_pid};
use super::options::Run;
use super::process::Identity;
use super::signals::Signals;
use super::store::{Home, Record, Store};
use super::{Failure, console};
use crate::process;
use crate::zygote::{Created, Running};
use oci_spec::runtime::ContainerState;
use rustix::fd::AsFd;

/// `run`. Returns the exit status of the container as a shell counts it; 0 where it was left running.
pub fn run(store: &Store, options: &Run) -> Result<u8, Failure> {
    let bundle = Bundle::open(&options.create.bundle)?;
    let terminal = bundle.terminal().map(|planned| console::own_size().unwrap_or(planned));
    if options.detach && terminal.is_some() && options.create.console_socket.is_none() {
        return Err(Failure::plain(
            "process.terminal is set: give --console-socket, or do not detach".into(),
        ));
    }
    let signals = if options.detach { None } else { Some(Signals::take()?) };
    let between = hooks::are_there(&bundle.spec, Point::Created)
        || group::wanted(&bundle, &options.create.named.id)?.is_some();
    let (home, record, running) = match between {
        true => in_two_steps(store, options, &bundle, terminal)?,
        false => at_once(store, options, &bundle, terminal)?,
    };
    let told = write_pid(options.create.pid_file.as_deref(), running.pid)
        .and_then(|()| console::hand_over(running.io, options.create.console_socket.as_deref()));
    let terminal = match told {
        Ok(terminal) => terminal,
        Err(failure) => return undo(home, &record, failure),
    };
    hooks::run(&record, Point::Started, ContainerState::Running)?;
    let Some(signals) = signals else { return Ok(0) };
    let attached = console::stay(terminal, running.pidfd.as_fd(), &signals);
    let status = process::wait(running.pidfd.as_fd())?;
    if !options.keep {
        forget(home, &record)?;
        hooks::run(&record, Point::Stopped, ContainerState::Stopped)?;
    }
    attached?;
    Ok(status.as_shell() as u8)
}

/// With what goes between the set-up and the start: hooks, limits.
fn in_two_steps(
    store: &Store,
    options: &Run,
    bundle: &Bundle,
    terminal: Option<(u16, u16)>,
) -> Result<(Home, Record, Running), Failure> {
    let Prepared { created, home, record, program } = prepare(store, &options.create, bundle, terminal)?;
    match created.start() {
        Ok(running) => Ok((home, record, running)),
        Err(error) => undo(home, &record, Failure::of_program(&program, error)),
    }
}

/// Without anything in between, which is faster.
fn at_once(
    store: &Store,
    options: &Run,
    bundle: &Bundle,
    terminal: Option<(u16, u16)>,
) -> Result<(Home, Record, Running), Failure> {
    let plan = bundle.plan(options.create.preserve_fds)?;
    let inherited = inherited(options.create.preserve_fds)?;
    let borrowed: Vec<_> = inherited.iter().map(|descriptor| descriptor.as_fd()).collect();
    let id = &options.create.named.id;
    let home = store.claim(id)?;
    let launched = stdio(terminal).and_then(|stdio| {
        Created::run_without_zygote(&plan, stdio, &borrowed)
            .map_err(|error| Failure::of_program(&bundle.program(), error))
    });
    let running = match launched {
        Ok(running) => running,
        Err(failure) => {
            home.remove()?;
            return Err(failure);
        }
    };
    // A program that has ended already is one that nobody can find any more.
    let init = Identity::of(running.pid).unwrap_or(Identity { pid: running.pid, started_at_ms: 0 });
    let record = record(id, bundle, init, None);
    home.save(&record)?;
    Ok((home, record, running))
}
