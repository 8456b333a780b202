//! From a process that is set up to the program that it becomes.

use super::{Given, Report, Start, Streams, report};
use crate::doll::capabilities::Capabilities;
use crate::doll::console::Pty;
use crate::doll::seccomp::{CompiledFilter, SockFilter};
use crate::doll::{beneath, mounts};
use crate::error::{Call, Failed};
use crate::plan::Program;
use crate::{Error, sys, wire};
use nix::libc;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::process::Signal;
use std::ffi::CString;
use std::mem::ManuallyDrop;
use std::path::Path;

/// What the steps of a set-up make and need.
#[derive(Default)]
pub(super) struct Made {
    pub root: Option<OwnedFd>,
    pub procfs: Option<OwnedFd>,
    pub devpts: Option<OwnedFd>,
    pub pty: Option<Pty>,
}

/// A process that is set up: it reports so, waits for its owner's word, and executes its program.
pub(super) struct Waiting<'a> {
    given: &'a Given,
    program: &'a Program,
    /// The socket to the owner, out of the way of the numbers that the program's own descriptors get.
    owner: OwnedFd,
}

impl<'a> Waiting<'a> {
    /// Returns only with the reason why there is no program, and only while the owner can be told by `given`.
    pub(super) fn go(given: &'a Given, program: &'a Program, made: Made, die_with_parent: bool) -> Error {
        let first_free = 3 + given.inherited.len() as i32;
        match rustix::io::fcntl_dupfd_cloexec(&given.owner, first_free).call(|| "fcntl(F_DUPFD_CLOEXEC)") {
            Ok(owner) => Self { given, program, owner }.run(made, die_with_parent),
            Err(failed) => failed.in_step("waiting to start"),
        }
    }

    fn run(mut self, made: Made, die_with_parent: bool) -> ! {
        if let Err(errno) = self.look_for_program() {
            self.fail_to_execute(errno);
        }
        let told = leave_streams(&made).and_then(|()| self.tell(&made)).and_then(|()| self.wait());
        if let Err(failed) = told {
            self.fail(failed.in_step("waiting to start"), 1);
        }
        match self.become_program(made, die_with_parent) {
            Ok(()) => self.execute(),
            Err(failed) => self.fail(failed.in_step(format!("becoming {:?}", self.program.arguments[0])), 1),
        }
    }

    fn fail(&self, error: Error, status: i32) -> ! {
        report(self.owner.as_fd(), &Report::Failed(error), &[]);
        sys::exit(status)
    }

    fn tell(&self, made: &Made) -> Result<(), Failed> {
        let procfs =
            made.procfs.as_ref().map(|procfs| mounts::clone_descriptor(procfs.as_fd())).transpose()?;
        let terminal = made.pty.as_ref().map(|pty| pty.master.as_fd());
        let message = Report::Ready { procfs: procfs.is_some(), terminal: terminal.is_some() };
        let descriptors: Vec<_> = procfs.iter().map(|procfs| procfs.as_fd()).chain(terminal).collect();
        wire::send(self.owner.as_fd(), &message, &descriptors)
    }

    fn wait(&mut self) -> Result<(), Failed> {
        let mut listener: Option<OwnedFd> = None;
        loop {
            match wire::receive::<Start>(self.owner.as_fd(), None)? {
                Some((Start::Now, _)) => return Ok(()),
                Some((Start::Elsewhere, descriptors)) => listener = descriptors.into_iter().next(),
                None if listener.is_none() => sys::exit(1),
                // Whoever had connected went away without a word; somebody else may come.
                None => {}
            }
            if let Some(listener) = &listener {
                let owner = wire::accept(listener.as_fd())?;
                let first_free = 3 + self.given.inherited.len() as i32;
                self.owner =
                    rustix::io::fcntl_dupfd_cloexec(&owner, first_free).call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
            }
        }
    }

    /// Everything that cannot be undone, in the one order in which the kernel allows it.
    fn become_program(&self, made: Made, die_with_parent: bool) -> Result<(), Failed> {
        let Program { identity, capabilities, filter, .. } = self.program;
        self.change_directory()?;
        let descriptors = self.descriptors(made)?;
        if identity.uid != 0 {
            give_away(&descriptors[..3], identity.uid)?;
        }
        capabilities.bound()?;
        identity.perform()?;
        if !self.program.no_new_privileges
            && let Some(filter) = filter
        {
            // Without no_new_privs installing a filter needs CAP_SYS_ADMIN, so the capabilities go after it.
            Capabilities::raise()?;
            install(filter)?;
        }
        capabilities.perform()?;
        // A change of ids or capabilities clears it, so that it comes this late.
        self.die_with_parent(die_with_parent)?;
        let descriptors = ManuallyDrop::new(descriptors);
        sys::place_descriptors(&descriptors).call(|| "dup3()")?;
        sys::close_from_at_exec(descriptors.len() as u32).call(|| "close_range()")?;
        if self.program.no_new_privileges {
            rustix::thread::set_no_new_privs(true).call(|| "prctl(PR_SET_NO_NEW_PRIVS)")?;
            filter.as_ref().map_or(Ok(()), install)?;
        }
        Ok(())
    }

    /// Goes to the working directory, which is inside the container whatever its name leads through.
    fn change_directory(&self) -> Result<(), Failed> {
        let path = &self.program.working_directory;
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::openat2(beneath::open_root()?.as_fd(), path, flags, Mode::empty(), resolve)
                .call(|| format!("chdir({path:?})"))?;
        rustix::process::fchdir(&directory).call(|| format!("chdir({path:?})"))?;
        let cwd = rustix::process::getcwd(Vec::new()).call(|| "getcwd()")?;
        match cwd.as_bytes().first() {
            Some(b'/') => Ok(()),
            _ => {
                Err(Failed::because(format!("chdir({path:?}): it is outside of the container"), Errno::XDEV))
            }
        }
    }

    /// The descriptors 0, 1, 2, … of the program.
    fn descriptors(&self, made: Made) -> Result<Vec<OwnedFd>, Failed> {
        let copy = |of: BorrowedFd<'_>| of.try_clone_to_owned().call(|| "fcntl(F_DUPFD_CLOEXEC)");
        let streams = match (&self.given.streams, &made.pty) {
            (_, Some(pty)) => {
                rustix::process::ioctl_tiocsctty(&pty.slave).call(|| "ioctl(TIOCSCTTY)")?;
                [pty.slave.as_fd(); 3]
            }
            (Streams::Given(streams), None) => streams.each_ref().map(|stream| stream.as_fd()),
            (Streams::Terminal { .. }, None) => {
                return Err(Failed::because("a terminal needs a /dev of the container's own", Errno::NOTTY));
            }
        };
        streams.into_iter().chain(self.given.inherited.iter().map(|fd| fd.as_fd())).map(copy).collect()
    }

    fn die_with_parent(&self, wanted: bool) -> Result<(), Failed> {
        if !wanted {
            return Ok(());
        }
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .call(|| "prctl(PR_SET_PDEATHSIG)")?;
        // The parent may have ended before that took effect.
        if wire::is_hung_up(self.owner.as_fd()) { sys::exit(1) } else { Ok(()) }
    }

    /// An error where it is clear already that there is no such program: engines expect to be told so before they are told
    /// that the container is made. What only its user may not execute is found out by executing it.
    fn look_for_program(&self) -> Result<(), Errno> {
        let look = |path: &Path| {
            let found = rustix::fs::stat(path)?;
            let is_program = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
            if is_program && found.st_mode & 0o111 != 0 { Ok(()) } else { Err(Errno::ACCESS) }
        };
        let name = &self.program.arguments[0];
        if name.is_empty() {
            return Err(Errno::NOENT);
        }
        if name.contains('/') {
            return look(&self.program.working_directory.join(name));
        }
        let mut answer = Errno::NOENT;
        for directory in self.search_path() {
            match look(&self.program.working_directory.join(directory).join(name)) {
                Ok(()) => return Ok(()),
                Err(Errno::ACCESS) => answer = Errno::ACCESS,
                Err(_) => {}
            }
        }
        Err(answer)
    }

    /// The directories in which a name without a slash is looked for, as execvp(3) does.
    fn search_path(&self) -> impl Iterator<Item = &str> {
        let path = self.program.environment.iter().rev().find_map(|variable| variable.strip_prefix("PATH="));
        let directories = path.unwrap_or("/bin:/usr/bin").split(':');
        directories.map(|directory| if directory.is_empty() { "." } else { directory })
    }

    /// Executes the program.
    fn execute(&self) -> ! {
        self.fail_to_execute(self.try_execute(&self.program.arguments[0]))
    }

    fn fail_to_execute(&self, errno: Errno) -> ! {
        let name = &self.program.arguments[0];
        let call = match name.contains('/') {
            true => format!("execve({name:?})"),
            false => format!("execve({name:?} in $PATH)"),
        };
        let status = if errno == Errno::NOENT { 127 } else { 126 };
        self.fail(Error::new(format!("executing {name:?}"), call, errno), status)
    }

    fn try_execute(&self, name: &str) -> Errno {
        let strings = |words: &[String]| -> Result<Vec<CString>, Errno> {
            words.iter().map(|word| CString::new(word.as_bytes()).map_err(|_| Errno::INVAL)).collect()
        };
        let (Ok(arguments), Ok(environment)) =
            (strings(&self.program.arguments), strings(&self.program.environment))
        else {
            return Errno::INVAL;
        };
        let execute = |path: String| match CString::new(path) {
            Ok(path) => sys::execve(&path, &arguments, &environment),
            Err(_) => Errno::INVAL,
        };
        if name.contains('/') {
            return execute(name.to_owned());
        }
        let mut answer = Errno::NOENT;
        for directory in self.search_path() {
            match execute(format!("{directory}/{name}")) {
                Errno::NOENT | Errno::NOTDIR => {}
                Errno::ACCESS => answer = Errno::ACCESS,
                other => return other,
            }
        }
        answer
    }
}

/// Lets go of the maker's own streams where the program gets a terminal: whoever reads what the maker prints, to its
/// end, must not have to wait for a process that is left waiting.
fn leave_streams(made: &Made) -> Result<(), Failed> {
    let Some(pty) = &made.pty else { return Ok(()) };
    rustix::stdio::dup2_stdin(&pty.slave)
        .and_then(|()| rustix::stdio::dup2_stdout(&pty.slave))
        .and_then(|()| rustix::stdio::dup2_stderr(&pty.slave))
        .call(|| "dup2(terminal)")
}

/// Gives the standard streams to the user that the program runs as, so that it can open `/dev/stdout` again.
/// What cannot be given away (a read-only file system, another's file) is left as it is.
fn give_away(streams: &[OwnedFd], uid: u32) -> Result<(), Failed> {
    for stream in streams {
        let found = beneath::stat(stream.as_fd())?;
        if found.st_uid == uid || found.st_rdev == rustix::fs::makedev(1, 3) {
            continue;
        }
        match rustix::fs::fchown(stream, Some(rustix::fs::Uid::from_raw(uid)), None) {
            Ok(()) | Err(Errno::PERM | Errno::ROFS | Errno::INVAL) => {}
            Err(errno) => return Err(errno).call(|| format!("fchown({uid})")),
        }
    }
    Ok(())
}

fn install(filter: &CompiledFilter) -> Result<(), Failed> {
    let instruction = |i: &SockFilter| libc::sock_filter { code: i.code, jt: i.jt, jf: i.jf, k: i.k };
    let program: Vec<_> = filter.program.iter().map(instruction).collect();
    sys::install_filter(&program, filter.flags).call(|| format!("seccomp(filter of {})", program.len()))
}
