//! Interactive containers, driven over a pseudo-terminal as a learner's shell drives them.

use super::lab::Lab;
use super::with_each_client;
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A `docker …` on a pseudo-terminal.
struct Terminal {
    child: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn open(lab: &Lab, arguments: &[&str], cols: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, vec![]).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave: OwnedFd = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).unwrap();
        let stdio = || Stdio::from(slave.try_clone().unwrap());
        let child = lab.command(arguments).stdin(stdio()).stdout(stdio()).stderr(stdio()).spawn().unwrap();
        let keyboard = File::from(master);
        let mut reader = keyboard.try_clone().unwrap();
        let (sender, screen) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, keyboard, screen, seen: String::new() }
    }

    fn type_in(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    #[track_caller]
    fn expect(&mut self, text: &str) {
        let begun = Instant::now();
        while !self.seen.contains(text) {
            assert!(begun.elapsed() < Duration::from_secs(15), "no {text:?} in {:?}", self.seen);
            if let Ok(bytes) = self.screen.recv_timeout(Duration::from_millis(100)) {
                self.seen.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        let end = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..end);
    }

    fn code(mut self) -> i32 {
        self.child.wait().unwrap().code().unwrap_or(-1)
    }
}

#[test]
fn a_shell_in_a_container() {
    with_each_client(|lab| {
        let mut shell = Terminal::open(lab, &["run", "--rm", "-it", "busybox"], 101, 37);
        shell.expect("# ");
        shell.type_in("echo $((20+3)) $TERM; tty\n");
        shell.expect("23 xterm");
        shell.expect("/dev/pts/0");
        shell.type_in("sleep 0.3; stty size\n");
        shell.expect("37 101");
        // An interrupt ends the foreground program, not the shell.
        shell.type_in("sleep 3600\n");
        std::thread::sleep(Duration::from_millis(300));
        shell.type_in("\x03");
        shell.expect("# ");
        shell.type_in("echo still-$((1+1)); exit 9\n");
        shell.expect("still-2");
        assert_eq!(shell.code(), 9);
        assert_eq!(lab.ok(&["ps", "-aq"]), "");
    });
}

#[test]
fn a_client_detaches_and_comes_back() {
    with_each_client(|lab| {
        let mut first = Terminal::open(lab, &["run", "-it", "--name", "kept", "busybox"], 80, 24);
        first.expect("# ");
        first.type_in("A=here\n");
        first.expect("# ");
        first.type_in("\x10\x11");
        first.code();
        assert_eq!(lab.ok(&["inspect", "-f", "{{.State.Running}}", "kept"]), "true");
        let mut second = Terminal::open(lab, &["attach", "kept"], 80, 24);
        second.type_in("\necho still $A\n");
        second.expect("still here");
        second.type_in("exit 4\n");
        assert_eq!(second.code(), 4);
        assert_eq!(lab.ok(&["wait", "kept"]), "4");
    });
}

#[test]
fn a_shell_by_exec() {
    with_each_client(|lab| {
        lab.ok(&["run", "-d", "--name", "x1", "busybox", "sleep", "3600"]);
        let mut shell = Terminal::open(lab, &["exec", "-it", "x1", "sh"], 90, 30);
        shell.expect("# ");
        shell.type_in("tty; sleep 0.3; stty size; ps\n");
        shell.expect("/dev/pts/0");
        shell.expect("30 90");
        shell.expect("sleep 3600");
        shell.type_in("exit 6\n");
        assert_eq!(shell.code(), 6);
        assert_eq!(lab.ok(&["inspect", "-f", "{{.State.Running}}", "x1"]), "true");
    });
}
