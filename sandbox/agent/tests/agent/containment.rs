//! A learner who is root of the lab host and hostile: what stays out of reach.

use crate::harness::{Agent, processes_with};
use std::io::Write;
use std::net::TcpListener;

#[tokio::test]
async fn the_machines_files_are_not_there() {
    let agent = Agent::start().await;
    let lab = agent.lab("files").await;
    let mut secret = tempfile::NamedTempFile::new().unwrap();
    secret.write_all(b"the machine's own").unwrap();
    let path = secret.path().display();
    for place in ["", "/proc/1/root", "/proc/self/root/..", "/proc/1/cwd/../../../..", "/../../.."] {
        assert_ne!(lab.run(&format!("cat {place}{path}")).await.status, 0, "{place}{path}");
    }
    assert_eq!(lab.ok("ls /home").await.trim(), "learner", "only the lab's own user has a home here");
    // No file system of the machine but what the agent showed, and that read-only: nothing writable has a disk under it.
    let mounts = lab.ok("cat /proc/1/mountinfo").await;
    for line in mounts.lines() {
        let (mount, filesystem) = line.split_once(" - ").unwrap();
        let kind = filesystem.split(' ').next().unwrap();
        let options = mount.split(' ').nth(5).unwrap();
        let made_for_the_lab = ["overlay", "proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2", "cgroup"];
        let device = mount.split(' ').nth(4).unwrap().starts_with("/dev/");
        assert!(made_for_the_lab.contains(&kind) || device || options.starts_with("ro"), "{line}");
    }
}

#[tokio::test]
async fn the_machines_processes_cannot_be_seen_or_signalled() {
    let agent = Agent::start().await;
    let lab = agent.lab("signals").await;
    // Neither this test's own process nor the agent's: their numbers do not exist in the lab.
    for pid in [std::process::id(), agent.process.id()] {
        assert_ne!(lab.run(&format!("kill -0 {pid}")).await.status, 0);
    }
    let ran = lab.run("kill -9 -1; for p in /proc/[0-9]*; do cat $p/comm; done").await;
    assert!(!ran.stdout.contains("isolab-agent"), "{ran:?}");
    assert_eq!(agent.client.get("/v1/labs").await.0, 200, "the agent lives");
    // PID 1 of the lab is out of reach of its own root's signals, too.
    assert_eq!(lab.ok("cat /proc/1/comm").await, "isolab-engine");
}

#[tokio::test]
async fn another_lab_is_out_of_sight() {
    let agent = Agent::start().await;
    let (one, other) = (agent.lab("one").await, agent.lab("other").await);
    one.ok("echo secret > /root/secret; echo secret > /tmp/secret; echo secret > /dev/shm/secret").await;
    one.ok("sleep 7001 & disown; ip link add marker type bridge || true").await;
    assert!(!other.ok("ls -A /tmp /dev/shm; ls /root").await.contains("secret"));
    assert!(!other.ok("cat /proc/[0-9]*/cmdline | tr '\\0' ' '").await.contains("7001"));
    assert!(!other.ok("cat /proc/net/dev").await.contains("marker"));
    for kind in ["user", "pid", "mnt", "net", "uts", "ipc", "cgroup"] {
        let read = format!("readlink /proc/self/ns/{kind}");
        let machines = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display().to_string();
        let (ones, others) = (one.ok(&read).await, other.ok(&read).await);
        assert!(
            ones != others && ones != machines && others != machines,
            "{kind}: {ones} {others} {machines}"
        );
    }
}

#[tokio::test]
async fn the_machines_loopback_is_another_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let agent = Agent::start().await;
    let lab = agent.lab("loopback").await;
    let ran = lab.run(&format!("timeout 5 bash -c 'echo hi > /dev/tcp/127.0.0.1/{port}'")).await;
    assert_ne!(ran.status, 0);
    // The lab's own loopback works: it was the machine's that could not be reached.
    assert!(lab.ok("cat /proc/net/dev").await.contains("lo:"));
    assert_eq!(
        lab.ok("cat /proc/net/route | tail -n +2 | awk '$2 == \"00000000\"'").await,
        "",
        "there is no way out"
    );
}

#[tokio::test]
async fn a_fork_bomb_stops_at_the_labs_own_bound() {
    let agent = Agent::start().await;
    let (bombed, other) = (agent.lab("bombed").await, agent.lab("spared").await);
    // It goes on in the background; what the machine and the other lab can still do is tried meanwhile.
    bombed.run("bomb() { bomb | bomb & }; bomb; sleep 2; exit 0").await;
    let count = processes_with("bomb() { bomb | bomb & }").len();
    assert!((50..=520).contains(&count), "{count} processes of the bomb");
    for _ in 0..20 {
        other.ok("/bin/true && (exit 0)").await;
    }
    assert!(std::process::Command::new("true").status().unwrap().success());
    bombed.end().await;
    assert!(processes_with("bomb() { bomb | bomb & }").is_empty());
    other.ok("/bin/true").await;
}

#[tokio::test]
async fn other_uids_of_a_lab_count_together() {
    let agent = Agent::start().await;
    let lab = agent.lab("uids").await;
    // Processes under many uids are bounded like those under one, and root cannot raise the bound.
    let script = "ulimit -u 100000 2>/dev/null; ulimit -Hu unlimited 2>/dev/null; \
        for u in $(seq 1 20); do setpriv --reuid $u --clear-groups bash -c \
        'for n in $(seq 1 60); do sleep 7002 & done' 2>/dev/null; done; cat /proc/[0-9]*/comm 2>/dev/null | wc -l";
    let count: u32 = lab.run(script).await.stdout.trim().parse().unwrap_or(0);
    assert!(count <= 520, "{count} processes");
}

#[tokio::test]
async fn namespaces_are_bounded_for_each_lab() {
    let agent = Agent::start().await;
    let (greedy, other) = (agent.lab("greedy").await, agent.lab("modest").await);
    // A namespace that a file holds needs no process, so that a bound on processes does not bound it.
    let hoard = "sysctl -q -w user.max_net_namespaces=100000; n=0; mkdir -p /run/netns; \
        while [ $n -lt 400 ] && ip netns add n$n 2>/dev/null; do n=$((n+1)); done; echo $n";
    let count: u32 = greedy.ok(hoard).await.parse().unwrap();
    assert!((8..=128).contains(&count), "{count} network namespaces");
    other.ok("ip netns add one && ip netns del one").await;
}

#[tokio::test]
async fn a_lab_opens_however_many_keyrings_others_hold() {
    // The kernel allows 200 keys for each uid, and all labs share their uids.
    let agent = Agent::start().await;
    let lab = agent.lab("keys").await;
    for _ in 0..220 {
        lab.ok("setsid sleep 7004 < /dev/null > /dev/null 2>&1 &").await;
    }
    let other = agent.lab("later").await;
    other.ok("true").await;
}

#[tokio::test]
async fn a_full_disk_is_the_labs_own() {
    let agent = Agent::start().await;
    let lab = agent.lab("disk").await;
    for place in ["/root", "/var/lib/docker", "/dev/shm", "/run", "/tmp"] {
        let script =
            format!("dd if=/dev/zero of={place}/big bs=1M count=2000 2>&1 | tail -1; rm -f {place}/big");
        let told = lab.ok(&script).await;
        assert!(told.contains("copied"), "{told}");
        let megabytes: f64 = told.split([' ', ',']).next().unwrap().parse::<f64>().unwrap() / 1e6;
        assert!(megabytes < 600.0, "{place} took {megabytes} MB");
    }
    lab.run(
        "cd /root && for n in $(seq 1 400); do mkdir d$n && (cd d$n && touch $(seq 1 500)) || break; done",
    )
    .await;
    let count: u32 = lab.run("find /root | wc -l").await.stdout.trim().parse().unwrap_or(0);
    assert!(count < 70_000, "{count} files");
}

#[tokio::test]
async fn what_is_shared_between_labs_cannot_be_written() {
    let agent = Agent::start().await;
    let lab = agent.lab("shared").await;
    let layers = "/usr/lib/isolab/images/layers";
    // mount(8) may be missing in a lab; busybox brings one that does just what it is told.
    lab.ok(&format!("cp $(ls {layers}/*/bin/busybox | head -1) /root/busybox; mkdir /root/m")).await;
    lab.ok("/root/busybox mount -t tmpfs none /root/m && /root/busybox umount /root/m").await;
    let layer = lab.ok(&format!("ls -d {layers}/* | head -1")).await;
    for place in ["/usr/lib/isolab/isolab-engine", "/usr/lib/isolab/images/index.json", &layer] {
        for attempt in [
            format!("/root/busybox mount -o remount,rw {place}"),
            format!("/root/busybox mount -o remount,bind,rw {place}"),
            format!(
                "/root/busybox mount --bind {place} {place} && /root/busybox mount -o remount,bind,rw {place}"
            ),
            format!("/root/busybox unshare -m /root/busybox mount -o remount,bind,rw {place}"),
            format!("chmod 777 {place}"),
            format!("chown 1:1 {place}"),
            format!("touch {place}"),
            format!("echo x >> {place}"),
        ] {
            let ran = lab.run(&attempt).await;
            assert_ne!(ran.status, 0, "{attempt}: {ran:?}");
        }
        // Unmounting it is no way in either: underneath is the lab host's own, empty place.
        let script =
            format!("/root/busybox umount -l {place}; test -s {place}/etc/passwd && touch {place}/x");
        let ran = lab.run(&script).await;
        assert_ne!(ran.status, 0, "{script}: {ran:?}");
    }
    // What the lab host's root did to its own copies is not in the next lab.
    lab.ok("echo changed > /etc/motd; rm -rf /usr/share").await;
    let next = agent.lab("next").await;
    assert_ne!(next.run("cat /etc/motd").await.stdout, "changed\n");
    next.ok("test -d /usr/share && test -n \"$(docker images -q)\"").await;
}

#[tokio::test]
async fn the_learners_root_has_no_power_over_the_machine() {
    let agent = Agent::start().await;
    let lab = agent.lab("power").await;
    for attempt in [
        "echo 1 > /proc/sys/kernel/panic",
        "echo b > /proc/sysrq-trigger",
        "echo '|/bin/true' > /proc/sys/kernel/core_pattern",
        "mknod /root/disk b 254 0",
        "date -s '2000-01-01'",
        "echo 0 > /sys/kernel/uevent_seqnum",
        "echo -1000 > /proc/self/oom_score_adj",
        "ulimit -Hc unlimited && ulimit -c unlimited",
        "dmesg",
    ] {
        let ran = lab.run(attempt).await;
        assert_ne!(ran.status, 0, "{attempt}: {ran:?}");
    }
    // What root may do inside, it can.
    lab.ok(
        "hostname mine && touch /etc/mine && chown 1000:1000 /etc/mine && ip link add b0 type bridge || true",
    )
    .await;
}

#[tokio::test]
async fn a_lab_ends_however_it_resists() {
    let agent = Agent::start().await;
    let lab = agent.lab("stubborn").await;
    lab.ok("(trap '' TERM HUP INT; setsid bash -c \"trap '' TERM HUP; sleep 7003; sleep 7003\" ) >/dev/null 2>&1 & disown; sleep 0.2")
        .await;
    lab.end().await;
    assert!(processes_with("sleep 7003").is_empty(), "nothing is left when DELETE answers");
}
