//! From inside a lab host, as its root: nothing of the machine, and nothing of another lab, can be reached.
//!
//! Each test makes something real on the machine that an escape would show: a file, a process, a listener.

use crate::world::World;
use isolab_tests::harness::Outcome;
use isolab_tests::programs::{self, WAIT_MAX};
use isolab_tests::{ensure, skip};
use std::io::{ErrorKind, Write};
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A child that is ended with the test.
struct Ending(Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait().map(drop));
    }
}

/// A word that nothing else on the machine says.
fn nonce(what: &str) -> String {
    format!("isolab-{what}-{}", std::process::id())
}

pub fn the_machines_files_are_out_of_reach(world: &World) -> Outcome {
    let name = nonce("canary");
    let mut file = tempfile::Builder::new().prefix(&name).tempfile_in("/var/tmp")?;
    writeln!(file, "the machine's own")?;
    let path = file.path().display();
    let seen = world.prints(&format!(
        "cat {path} 2>/dev/null
         for p in /proc/[0-9]*; do cat $p/root{path} $p/cwd{path} 2>/dev/null; done
         for fd in /proc/[0-9]*/fd/*; do cat $fd{path} 2>/dev/null; done
         find / -name '{name}*' 2>/dev/null
         nsenter -t 1 -a cat {path} 2>/dev/null
         chroot /proc/1/root cat {path} 2>/dev/null
         true"
    ))?;
    ensure!(seen.is_empty(), "the lab saw {seen:?}");
    Ok(())
}

pub fn the_machines_processes_are_out_of_reach(world: &World) -> Outcome {
    let mut sleeper = Ending(Command::new("sleep").arg("600").spawn()?);
    let (victim, myself) = (sleeper.0.id(), std::process::id());
    let seen = world.prints(&format!(
        "kill -9 {victim} && echo killed {victim}; kill -9 {myself} && echo killed {myself}
         ls -d /proc/{victim}/root/etc /proc/{myself}/root/etc 2>/dev/null
         kill -9 -1; true"
    ))?;
    ensure!(seen.is_empty(), "from inside: {seen}");
    ensure!(sleeper.0.try_wait()?.is_none(), "the lab killed process {victim} of the machine");
    Ok(())
}

pub fn the_machines_loopback_is_out_of_reach(world: &World) -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let name = nonce("socket");
    let local = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&name)?)?;
    local.set_nonblocking(true)?;
    let connect = format!(
        "perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0); \
         print connect(S, pack(\"Sa*\", AF_UNIX, \"\\0{name}\")) ? \"reached\" : \"no abstract socket\"'"
    );
    let seen = world.prints(&format!(
        "for host in 127.0.0.1 localhost '[::1]' 10.0.2.2 172.17.0.1; do
           curl -s -m 2 http://$host:{port}/ >/dev/null && echo reached $host
         done
         {connect}; echo
         ip route get 192.0.2.1 >/dev/null 2>&1 && echo a way out
         true"
    ))?;
    ensure!(seen.trim() == "no abstract socket", "from inside: {seen:?}");
    ensure!(
        listener.accept().is_err_and(|e| e.kind() == ErrorKind::WouldBlock),
        "a lab connected to 127.0.0.1:{port}"
    );
    ensure!(local.accept().is_err_and(|e| e.kind() == ErrorKind::WouldBlock), "a lab connected to {name}");
    Ok(())
}

pub fn other_labs_are_out_of_reach(world: &World) -> Outcome {
    let name = nonce("secret");
    // The secret's name is put together inside, so that it stands in no argument list but that of `sleep`.
    let script = format!(
        "echo mine >/root/{name}; docker run -d --name other ubuntu sleep 600 >/dev/null; exec -a {name} sleep 600"
    );
    let mut command = world.isolab(&["lab", "-c", &script]);
    let mut other = Ending(command.stdin(Stdio::null()).stdout(Stdio::null()).spawn()?);
    let began = Instant::now();
    while !runs(&name) {
        ensure!(began.elapsed() < WAIT_MAX && other.0.try_wait()?.is_none(), "the other lab did not open");
        std::thread::sleep(Duration::from_millis(20));
    }
    let seen = world.prints(&format!(
        "ps -ef | grep '{name}' | grep -v grep; find / -name '{name}' 2>/dev/null; docker ps -aq; ls /root; true"
    ));
    // Ended as a person would, so that the lab is taken down with it.
    if let Some(pid) = rustix::process::Pid::from_raw(other.0.id().cast_signed()) {
        rustix::process::kill_process(pid, rustix::process::Signal::INT)?;
    }
    other.0.wait()?;
    // The command line of the asking shell itself holds the name.
    let seen: Vec<String> =
        seen?.lines().filter(|line| !line.contains("bash -lc")).map(str::to_owned).collect();
    ensure!(seen.is_empty(), "one lab sees another: {seen:?}");
    Ok(())
}

/// Whether a process whose first argument is `name` runs on the machine.
fn runs(name: &str) -> bool {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.any(|line| line.split(|&byte| byte == 0).next() == Some(name.as_bytes()))
}

pub fn what_labs_share_is_read_only(world: &World) -> Outcome {
    let name = nonce("written");
    // The files underneath belong to ids of the lab itself: only the mounts' flags, which the kernel locks, protect
    // them. A lab may take the mounts away for itself, and then finds nothing beneath; that comes last.
    let seen = world.prints(&format!(
        "cd /usr/lib/isolab; mkdir /copy; : >/file
         echo x >>isolab-engine && echo wrote to the engine
         echo x >>images/index.json && echo wrote to the index
         for shared in isolab-engine images/index.json images/layers/*; do
           touch $shared/{name} && echo wrote into $shared
           mount -o remount,bind,rw $shared && echo remounted $shared
           copy=/file; [ -d $shared ] && copy=/copy
           mount --bind $shared $copy && {{
             mount -o remount,bind,rw $copy && echo remounted a copy of $shared
             [ -d $copy ] && touch $copy/{name} && echo wrote to a copy of $shared
             umount $copy
           }}
         done
         for shared in images/layers/*; do umount $shared; touch $shared/{name}; done
         true"
    ))?;
    ensure!(seen.is_empty(), "a lab changed what labs share: {seen}");
    let unpacked = world.home().join("images/current/unpacked");
    let layers = std::fs::read_dir(unpacked.join("layers"))?.flatten().map(|entry| entry.path());
    for root in layers.chain([unpacked.join("lab-host")]) {
        ensure!(!root.join(&name).exists(), "a lab wrote {name} into {}", root.display());
    }
    Ok(())
}

pub fn the_kernels_switches_are_out_of_reach(world: &World) -> Outcome {
    let name_before = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    let seen = world.prints(
        "try() { \"$@\" >/dev/null 2>&1 && echo \"$*\"; }
         try sh -c 'echo x >/proc/sys/kernel/core_pattern'
         try sh -c 'echo 1 >/proc/sys/vm/drop_caches'
         try sh -c 'echo h >/proc/sysrq-trigger'
         try sh -c 'echo x >/sys/kernel/uevent_helper'
         try date -s '2001-01-01'
         try mknod /tmp/disk b 8 0
         try mount -t debugfs none /mnt
         try swapoff -a -v
         try dmesg -C
         hostname changed-inside
         true",
    )?;
    // Without a swap device there is nothing to refuse.
    let seen: Vec<&str> = seen.lines().filter(|line| !line.starts_with("swapoff")).collect();
    ensure!(seen.is_empty(), "a lab may: {seen:?}");
    let name_after = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    ensure!(name_before == name_after, "a lab renamed the machine from {name_before} to {name_after}");
    Ok(())
}

pub fn a_fork_bomb_stays_inside(world: &World) -> Outcome {
    let bomb = world
        .isolab(&["lab", "-c", "bomb() { bomb | bomb & }; bomb; sleep 4; exit 0"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut bomb = Ending(bomb);
    let began = Instant::now();
    // The machine, and this very user, can still start programs while it burns.
    while bomb.0.try_wait()?.is_none() {
        ensure!(began.elapsed() < WAIT_MAX, "the lab did not end");
        let ended = programs::run(&mut Command::new("true"), Duration::from_secs(20))?;
        ensure!(ended.code() == 0, "the machine cannot start programs any more");
        std::thread::sleep(Duration::from_millis(100));
    }
    let after = world.prints("echo well")?;
    ensure!(after == "well\n", "the next lab: {after:?}");
    Ok(())
}

pub fn filling_the_disk_stays_inside(world: &World) -> Outcome {
    /// No place of a lab may hold more than this, in MiB.
    const PLACE_MIB_MAX: u64 = 2048;
    let memory = || -> Option<u64> {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("MemAvailable:"))?
            .trim()
            .strip_suffix(" kB")?
            .parse()
            .ok()
    };
    if memory().is_some_and(|kib| kib < 6 << 20) {
        skip!("this machine has less than 6 GiB of memory free, and the test fills a lab's tmpfs");
    }
    let script = format!(
        "for place in / /tmp /run /dev/shm /var/lib/docker; do
           dd if=/dev/zero of=$place/fill bs=1M count={} 2>&1 | grep -q 'No space left' || echo $place is not bounded
           rm -f $place/fill
         done",
        PLACE_MIB_MAX + 1
    );
    let seen = world.prints(&script)?;
    ensure!(seen.is_empty(), "{seen}");
    Ok(())
}

pub fn a_gigabyte_of_output_ends(world: &World) -> Outcome {
    let ended = world.lab("head -c 1000000000 /dev/zero | tr '\\0' x; echo end >&2")?;
    ensure!(ended.code() == 0, "ended with {}: {}", ended.code(), ended.stderr);
    ensure!(ended.stdout.len() <= 2 << 20, "{} bytes came out", ended.stdout.len());
    ensure!(ended.stderr.contains("not shown"), "nothing says that output was cut: {}", ended.stderr);
    Ok(())
}
