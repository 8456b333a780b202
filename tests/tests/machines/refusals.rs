//! Which wall said no: one virtual machine, many refused operations, and for each what the kernel itself says.

use crate::world::World;
use isolab_tests::harness::Outcome;
use serde_json::Value;

/// What is done in the machine. Each container runs into one wall after the other; what succeeds is there to not be told of.
const SCRIPT: &str = r#"
mkdir -p /root/q && chown 33 /root/q && chmod 700 /root/q
printf '%s' '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_KILL"}]}' >/root/kill.json
chmod 711 /root; setpriv --reuid 1000 stat /root/q/x
docker run --rm --name plain -v /root/q:/q alpine sh -c '
  mount -t tmpfs x /tmp; unshare -m true; cat /proc/kcore; mknod /tmp/x b 8 0; head -c1 /tmp/x
  echo >/proc/sys/kernel/domainname; reboot -f; date -s 12:00; ls /q; chown 1 /tmp; true'
docker run --rm --security-opt seccomp=unconfined --security-opt apparmor=unconfined alpine sh -c '
  mount -t tmpfs x /tmp; unshare -m true; reboot -f; dmesg; hostname x; date -s 12:00; swapoff /tmp; chroot / true'
docker run --rm --cap-add SYS_ADMIN alpine sh -c '
  mount -t tmpfs x /tmp; mount -o bind / /tmp; unshare -Ur hostname u; unshare -U hostname u; umount /proc/kcore'
docker run --rm --cap-drop ALL -v /root/q:/q alpine sh -c 'chown 1 /tmp; ls /q; chroot / true; nc -l -p 1 -w 1; ping -c1 127.0.0.1'
docker run --rm --read-only --user 1000 alpine sh -c 'touch /x; ls /root; ping -c1 127.0.0.1; kill -9 1'
docker run --rm --security-opt seccomp=/root/kill.json alpine sh -c 'mkdir /tmp/d'
sleep 1; true"#;

/// Who called what, how it ended, the wall, and what is told of the wall.
type Row = (&'static str, &'static str, &'static str, &'static str, &'static str);

const ROWS: [Row; 24] = [
    // Docker's defaults.
    ("mount", "mount", "EPERM", "seccomp", ""),
    ("unshare", "unshare", "EPERM", "seccomp", ""),
    ("reboot", "reboot", "EPERM", "seccomp", ""),
    ("date", "clock_settime", "EPERM", "seccomp", ""),
    ("cat", "openat", "EACCES", "apparmor", "docker-default open"),
    ("head", "openat", "EPERM", "device", "b 8:0 r"),
    ("sh", "openat", "EROFS", "read_only", ""),
    // No filter and no profile: the capabilities alone.
    ("mount", "mount", "EPERM", "capability", "CAP_SYS_ADMIN"),
    ("unshare", "unshare", "EPERM", "capability", "CAP_SYS_ADMIN"),
    ("reboot", "reboot", "EPERM", "capability", "CAP_SYS_BOOT"),
    ("dmesg", "syslog", "EPERM", "capability", "CAP_SYSLOG"),
    ("hostname", "sethostname", "EPERM", "capability", "CAP_SYS_ADMIN"),
    ("date", "clock_settime", "EPERM", "capability", "CAP_SYS_TIME"),
    ("swapoff", "swapoff", "EPERM", "capability", "CAP_SYS_ADMIN"),
    // With CAP_SYS_ADMIN: what else there is.
    ("mount", "mount", "EACCES", "apparmor", "docker-default mount"),
    ("mount", "mount", "EACCES", "apparmor", "docker-default bind"),
    ("hostname", "sethostname", "EPERM", "user_namespace", "CAP_SYS_ADMIN"),
    // Root without capabilities.
    ("chown", "chown", "EPERM", "capability", "CAP_CHOWN"),
    ("ls", "openat", "EACCES", "capability", "CAP_DAC_OVERRIDE"),
    // Docker's filter opens with the capability, and comes before it.
    ("chroot", "chroot", "EPERM", "seccomp", ""),
    // An ordinary user.
    ("touch", "openat", "EROFS", "read_only", ""),
    ("ls", "openat", "EACCES", "file_permission", "CAP_DAC_OVERRIDE"),
    ("ping", "socket", "EPERM", "capability", "CAP_NET_RAW"),
    // A filter that kills.
    ("mkdir", "mkdir", "SIGSYS", "seccomp", ""),
];

pub fn each_names_its_wall(world: &World) -> Outcome {
    world.with_agent(async |agent| {
        let lab = agent.machine("walls").await;
        let ran = lab.run(SCRIPT).await;
        let (_, observation) = agent.client.get(&lab.path("/observation")).await;
        judge(&observation, &format!("{ran:?}"));
    })
}

fn judge(observation: &Value, printed: &str) {
    let told = observation["refusals"].as_array().cloned().unwrap_or_default();
    let rows: Vec<String> = told.iter().map(row).collect();
    let all = rows.join("\n");
    for (comm, syscall, errno, wall, more) in ROWS {
        let wanted = format!("{comm} {syscall} {errno} {wall} {more}");
        assert!(rows.contains(&wanted), "`{wanted}` is not among\n{all}\n{printed}");
    }
    // What went well, and what was refused outside of containers.
    for row in &rows {
        let good = ["stat ", "chown chown EPERM seccomp", "umount "];
        assert!(
            !good.iter().any(|word| row.starts_with(word)),
            "`{row}` was no refusal of a container's\n{all}"
        );
    }
    for refusal in &told {
        assert!(refusal["pid"].as_u64().is_some_and(|pid| pid > 1), "no pid on the lab host: {refusal}");
        let id = refusal["container"].as_str().unwrap_or_default();
        assert!(id.len() == 64, "no container's id: {refusal}");
        assert!(refusal["mnt"] != observation["host"]["namespaces"]["mnt"]["inode"], "the host's: {refusal}");
    }
    assert!(observation["refusals_lost"] == 0, "{} events were lost", observation["refusals_lost"]);
}

fn row(refusal: &Value) -> String {
    let word = |field: &str| refusal[field].as_str().unwrap_or_default();
    let more: Vec<&str> = ["capability", "profile", "operation"]
        .map(word)
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect();
    format!("{} {} {} {} {}", word("comm"), word("syscall"), word("errno"), word("wall"), more.join(" "))
}
