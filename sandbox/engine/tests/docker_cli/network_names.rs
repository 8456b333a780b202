//! Names in user-defined networks, published ports, and the walls between networks, through the genuine CLI.

use super::lab::{Came, Lab};
use super::{eventually, with_each_client, with_one_client};

fn sleeper(lab: &Lab, name: &str, flags: &[&str]) -> String {
    lab.ok(&[&["run", "-d", "--name", name], flags, &["busybox", "sleep", "3600"]].concat())
}

/// What `nslookup` says in a container.
fn look_up(lab: &Lab, from: &str, name: &str) -> String {
    let came = lab.docker(&["exec", from, "nslookup", name]);
    came.out + &came.err
}

fn ping(lab: &Lab, from: &str, to: &str) -> bool {
    lab.docker(&["exec", from, "ping", "-c", "1", "-W", "1", to]).code == 0
}

#[test]
fn containers_find_each_other_by_name() {
    with_each_client(|lab| {
        lab.ok(&["network", "create", "nt1"]);
        lab.ok(&["network", "create", "nt2"]);
        let id = sleeper(lab, "c1", &["--network", "nt1", "--network-alias", "al", "--hostname", "web"]);
        sleeper(lab, "c2", &["--network", "nt1", "--link", "c1:zork"]);
        sleeper(lab, "c3", &["--network", "nt2"]);
        let files = lab.ok(&["exec", "c2", "cat", "/etc/resolv.conf"]);
        assert!(files.contains("nameserver 127.0.0.11") && files.contains("options ndots:0"), "{files}");
        for name in ["c1", "al", "web", &id[..12], "zork", "c1.nt1", "C1"] {
            let found = look_up(lab, "c2", name);
            assert!(found.contains("127.0.0.11") && found.contains("172.18.0.2"), "{name}: {found}");
        }
        let reversed = look_up(lab, "c2", "172.18.0.2");
        assert!(reversed.contains("name = c1.nt1"), "{reversed}");
        // There is no way out of here, and that is said at once and not found out by waiting.
        for (from, name) in [("c2", "nosuch"), ("c3", "c1"), ("c1", "zork"), ("c2", "c3")] {
            let found = look_up(lab, from, name);
            assert!(found.contains("SERVFAIL"), "{from} {name}: {found}");
        }
        lab.ok(&["rename", "c1", "c9"]);
        assert!(look_up(lab, "c2", "c9").contains("172.18.0.2"));
        assert!(look_up(lab, "c2", "c1").contains("SERVFAIL"));
        lab.ok(&["network", "connect", "--alias", "other", "nt1", "c3"]);
        assert!(look_up(lab, "c2", "other").contains("172.18.0.4"));
        assert!(look_up(lab, "c3", "c9").contains("172.18.0.2"));
        lab.ok(&["network", "disconnect", "nt1", "c3"]);
        assert!(look_up(lab, "c2", "other").contains("SERVFAIL"));
        // One that was in the default network only is led to the names when it is put into another.
        sleeper(lab, "c4", &[]);
        assert!(!lab.ok(&["exec", "c4", "cat", "/etc/resolv.conf"]).contains("127.0.0.11"));
        lab.ok(&["network", "connect", "nt1", "c4"]);
        assert!(lab.ok(&["exec", "c4", "cat", "/etc/resolv.conf"]).contains("127.0.0.11"));
        assert!(look_up(lab, "c4", "c9").contains("172.18.0.2"));
    });
}

#[test]
fn networks_are_apart() {
    with_one_client(|lab| {
        lab.ok(&["network", "create", "nt1"]);
        lab.ok(&["network", "create", "nt2"]);
        lab.ok(&["network", "create", "--internal", "nt3"]);
        for (name, network) in [("c0", "bridge"), ("c1", "nt1"), ("c2", "nt2"), ("c3", "nt3"), ("d1", "nt1")]
        {
            sleeper(lab, name, &["--network", network]);
        }
        let address = |name: &str| {
            lab.ok(&["inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name])
        };
        // The lab host forwards packets: what keeps them apart is not that nobody would carry them.
        let forwards =
            ["run", "--rm", "--network", "host", "busybox", "cat", "/proc/sys/net/ipv4/ip_forward"];
        assert_eq!(lab.ok(&forwards), "1");
        assert!(ping(lab, "c1", &address("d1")), "within a network they reach each other");
        for (from, to) in [("c1", "c2"), ("c2", "c1"), ("c0", "c1"), ("c1", "c0"), ("c0", "c3")] {
            assert!(!ping(lab, from, &address(to)), "{from} {to}");
        }
        assert!(ping(lab, "c1", "172.17.0.1") && ping(lab, "c1", "172.18.0.1"), "the lab host is reached");
        // Even one that makes itself a route does not get out of an internal network.
        let flags = ["--network", "nt3", "--cap-add", "NET_ADMIN"];
        sleeper(lab, "e3", &flags);
        let gateway =
            lab.ok(&["network", "inspect", "-f", "{{range .IPAM.Config}}{{.Gateway}}{{end}}", "nt3"]);
        lab.ok(&["exec", "e3", "ip", "route", "add", "default", "via", &gateway]);
        assert!(!ping(lab, "e3", &address("c1")) && ping(lab, "e3", &gateway));
        // A container in both is reached in both.
        lab.ok(&["network", "connect", "nt2", "c1"]);
        assert!(ping(lab, "c2", "c1"));
    });
}

/// What a container in the default network gets from a port of the lab host.
fn fetch(lab: &Lab, port: &str) -> Came {
    let script = format!("nc -w 5 172.17.0.1 {port} </dev/null");
    lab.docker(&["run", "--rm", "busybox", "sh", "-c", &script])
}

#[test]
fn ports_are_published() {
    with_each_client(|lab| {
        let serve = ["busybox", "nc", "-ll", "-p", "80", "-e", "echo", "hello"];
        let flags =
            ["-p", "18080:80", "-p", "172.17.0.1:18081:81/udp", "-P", "--expose", "82", "--expose", "83/udp"];
        lab.ok(&[&["run", "-d", "--name", "web"], &flags[..], &serve].concat());
        let fetched = eventually(|| fetch(lab, "18080"), |came| came.out == "hello\n");
        assert_eq!(fetched.out, "hello\n", "{fetched:?}");
        let told = lab.ok(&["port", "web"]);
        for line in [
            "80/tcp -> 0.0.0.0:18080",
            "81/udp -> 172.17.0.1:18081",
            "82/tcp -> 0.0.0.0:",
            "83/udp -> 0.0.0.0:",
        ] {
            assert!(told.contains(line), "{line}: {told}");
        }
        assert!(lab.ok(&["port", "web", "80"]).starts_with("0.0.0.0:18080"));
        let listed = lab.ok(&["ps", "--format", "{{.Ports}}"]);
        assert!(
            listed.contains("0.0.0.0:18080->80/tcp") && listed.contains("172.17.0.1:18081->81/udp"),
            "{listed}"
        );
        let bound = lab.ok(&["inspect", "-f", "{{json (index .NetworkSettings.Ports \"81/udp\")}}", "web"]);
        assert_eq!(bound, r#"[{"HostIp":"172.17.0.1","HostPort":"18081"}]"#);
        for (port, words) in [
            ("18080:80", "Bind for 0.0.0.0:18080 failed: port is already allocated"),
            (
                "172.17.0.1:18080:80",
                "Error starting userland proxy: listen tcp4 172.17.0.1:18080: bind: address already in use",
            ),
            (
                "1.2.3.4:18090:80",
                "Error starting userland proxy: listen tcp4 1.2.3.4:18090: bind: cannot assign requested address",
            ),
        ] {
            let came = lab.docker(&["run", "--rm", "--name", "x1", "-p", port, "busybox", "true"]);
            assert!(came.code == 125 && came.err.contains(words), "{port}: {came:?}");
            assert!(came.err.contains("driver failed programming external connectivity on endpoint x1 ("));
        }
        let host = lab.docker(&["run", "--rm", "--network", "host", "-p", "1:1", "busybox", "true"]);
        assert!(host.code == 0 && host.err.contains("Published ports are discarded"), "{host:?}");
        assert_eq!(lab.docker(&["run", "--rm", "--network", "none", "-p", "1:1", "busybox", "true"]).code, 0);
        // What is published follows the container from network to network, and is free again at its end.
        lab.ok(&["network", "create", "nt1"]);
        lab.ok(&["network", "connect", "nt1", "web"]);
        lab.ok(&["network", "disconnect", "bridge", "web"]);
        assert_eq!(fetch(lab, "18080").out, "hello\n");
        lab.ok(&["rm", "-f", "web"]);
        assert_eq!(fetch(lab, "18080").out, "");
        lab.ok(&["run", "--rm", "-p", "18080:80", "-p", "18000-18001:90-91", "busybox", "true"]);
    });
}
