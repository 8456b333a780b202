//! `docker network`, and containers in networks: the words are those of dockerd 20.10.24 to the same commands.

use super::lab::{Came, Lab};
use super::{eventually, with_each_client, with_one_client};

/// `docker …` is refused with these words.
#[track_caller]
fn refused(lab: &Lab, arguments: &[&str], words: &str) {
    let came = lab.docker(arguments);
    assert!(
        came.code != 0 && (came.err.clone() + &came.out).contains(words),
        "docker {arguments:?}: {words}: {came:?}"
    );
}

/// The links of the lab host, without the loopback.
fn links(lab: &Lab) -> Vec<String> {
    let listed = lab.ok(&["run", "--rm", "--network", "host", "busybox", "ls", "/sys/class/net"]);
    listed.split_whitespace().filter(|&name| name != "lo").map(str::to_owned).collect()
}

fn ping(lab: &Lab, from: &str, to: &str) -> Came {
    lab.docker(&["exec", from, "ping", "-c", "1", "-W", "1", to])
}

#[test]
fn networks_are_made_listed_and_removed() {
    with_each_client(|lab| {
        let id = lab.ok(&["network", "create", "nt1"]);
        assert_eq!(id.len(), 64);
        let three =
            ["--subnet", "172.30.0.0/24", "--gateway", "172.30.0.254", "--label", "a=b", "--internal"];
        lab.ok(&[&["network", "create", "-o", "com.docker.network.bridge.name=ntbr0"], &three[..], &["nt3"]]
            .concat());
        for (arguments, words) in [
            (&["nt1"][..], "network with name nt1 already exists"),
            (&["--subnet", "172.18.0.0/16", "x1"], "Pool overlaps with other one on this address space"),
            (&["--subnet", "172.30.0.128/25", "x1"], "Pool overlaps with other one on this address space"),
            (&["--driver", "foo", "x1"], "plugin \"foo\" not found"),
            (&["--driver", "host", "x1"], "only one instance of \"host\" network is allowed"),
            (&["--subnet", "1.2.3", "x1"], "invalid CIDR address: 1.2.3"),
            (&["bridge"], "operation is not permitted on predefined bridge network"),
            (
                &["--subnet", "10.99.0.0/32", "x1"],
                "failed to allocate gateway (): No available addresses on this pool",
            ),
        ] {
            refused(lab, &[&["network", "create"], arguments].concat(), words);
        }
        let list = |filter: &str| lab.ok(&["network", "ls", "--format", "{{.Name}}", "--filter", filter]);
        for (filter, names) in [
            ("driver=bridge", "bridge\nnt1\nnt3"),
            ("type=custom", "nt1\nnt3"),
            ("type=builtin", "bridge\nhost\nnone"),
            ("dangling=true", "nt1\nnt3"),
            ("label=a", "nt3"),
            ("label=a=c", ""),
            ("name=t1", "nt1"),
            ("scope=x", ""),
            (&format!("id={}", &id[..5]), "nt1"),
        ] {
            assert_eq!(list(filter), names, "{filter}");
        }
        refused(lab, &["network", "ls", "--filter", "foo=bar"], "nvalid filter 'foo");
        let shown = |name: &str, format: &str| lab.ok(&["network", "inspect", "-f", format, name]);
        assert_eq!(
            shown("nt1", "{{json .IPAM}}"),
            r#"{"Driver":"default","Options":{},"Config":[{"Subnet":"172.18.0.0/16","Gateway":"172.18.0.1"}]}"#
        );
        assert_eq!(
            shown("nt3", "{{.Internal}} {{.Labels}} {{.Driver}} {{.Scope}}"),
            "true map[a:b] bridge local"
        );
        assert_eq!(shown(&id[..6], "{{.Name}}"), "nt1");
        assert_eq!(links(lab), [&format!("br-{}", &id[..12]), "docker0", "ntbr0"]);
        for name in ["bridge", "host", "none"] {
            refused(lab, &["network", "rm", name], "is a pre-defined network and cannot be removed");
        }
        refused(lab, &["network", "rm", "nosuch"], "nosuch");
        lab.ok(&["network", "rm", "nt1"]);
        assert_eq!(lab.ok(&["network", "prune", "-f"]), "Deleted Networks:\nnt3");
        assert_eq!(links(lab), ["docker0"]);
        // A pool that has become free is not given at once again.
        lab.ok(&["network", "create", "nt1"]);
        assert!(shown("nt1", "{{json .IPAM}}").contains("172.19.0.0/16"));
    });
}

#[test]
fn a_container_has_its_place_in_a_network() {
    with_each_client(|lab| {
        lab.ok(&["network", "create", "nt1"]);
        lab.ok(&["network", "create", "--subnet", "172.30.0.0/24", "nt3"]);
        let run =
            ["run", "-d", "--name", "c1", "--network", "nt3", "--ip", "172.30.0.77", "--network-alias", "al"];
        let id = lab.ok(&[&run[..], &["busybox", "sleep", "3600"]].concat());
        let shown = |format: &str| lab.ok(&["inspect", "-f", format, "c1"]);
        assert_eq!(
            shown(
                "{{with .NetworkSettings.Networks.nt3}}{{.IPAddress}}/{{.IPPrefixLen}} {{.Gateway}} {{.MacAddress}} \
                   {{.Aliases}} {{.IPAMConfig.IPv4Address}}{{end}}"
            ),
            format!("172.30.0.77/24 172.30.0.1 02:42:ac:1e:00:4d [al {}] 172.30.0.77", &id[..12])
        );
        assert_eq!(shown("{{.NetworkSettings.IPAddress}}"), "", "it is not in the default network");
        let seen = lab.ok(&["exec", "c1", "sh", "-c", "ip addr show eth0; ip route; cat /etc/hosts"]);
        for words in [
            "02:42:ac:1e:00:4d",
            "inet 172.30.0.77/24 brd 172.30.0.255",
            "default via 172.30.0.1 dev eth0",
            &format!("172.30.0.77\t{}", &id[..12]),
        ] {
            assert!(seen.contains(words), "{words}: {seen}");
        }
        let member = lab.ok(&[
            "network",
            "inspect",
            "-f",
            "{{range .Containers}}{{.Name}} {{.IPv4Address}}{{end}}",
            "nt3",
        ]);
        assert_eq!(member, "c1 172.30.0.77/24");
        refused(lab, &["network", "rm", "nt3"], "has active endpoints");
        // A newer client refuses the flag to an engine of this version by itself.
        if lab.ok(&["version", "-f", "{{.Client.Version}}"]).starts_with("20.") {
            let file = "/sys/class/net/eth0/address";
            let mac = ["run", "--rm", "--mac-address", "02:42:ac:11:00:55", "busybox", "cat", file];
            assert_eq!(lab.ok(&mac), "02:42:ac:11:00:55");
        }
        lab.ok(&["rename", "c1", "c2"]);
        let member = lab.ok(&["network", "inspect", "-f", "{{range .Containers}}{{.Name}}{{end}}", "nt3"]);
        assert_eq!(member, "c2");
        for (arguments, words) in [
            (&["--network", "nosuch"][..], "network nosuch not found"),
            (
                &["--network", "nt1", "--ip", "172.18.0.9"],
                "only when connecting to networks with user configured subnets",
            ),
            (
                &["--network", "nt3", "--ip", "172.31.0.9"],
                "Invalid address 172.31.0.9: It does not belong to any of this",
            ),
            (&["--network", "nt3", "--ip", "172.30.0.77"], "Address already in use"),
            (&["--network", "nt3", "--ip", "999.1"], "999.1"),
        ] {
            refused(lab, &[&["run", "--rm"], arguments, &["busybox", "true"]].concat(), words);
        }
        lab.ok(&["rm", "-f", "c2"]);
        assert_eq!(eventually(|| links(lab).len(), |&count| count == 3), 3, "docker0 and two bridges");
        lab.ok(&["network", "rm", "nt1", "nt3"]);
    });
}

#[test]
fn containers_are_connected_and_disconnected() {
    with_each_client(|lab| {
        lab.ok(&["network", "create", "nt1"]);
        lab.ok(&["network", "create", "--subnet", "172.30.0.0/24", "nt2"]);
        lab.ok(&["network", "create", "--internal", "nt3"]);
        lab.ok(&["run", "-d", "--name", "c1", "--network", "nt1", "busybox", "sleep", "3600"]);
        lab.ok(&["run", "-d", "--name", "c2", "busybox", "sleep", "3600"]);
        let routes = |name| lab.ok(&["exec", name, "sh", "-c", "ip route | grep default || true"]);
        let inside = |name| lab.ok(&["exec", name, "ls", "/sys/class/net"]).replace('\n', " ");
        lab.ok(&["network", "connect", "--ip", "172.30.0.77", "nt2", "c1"]);
        assert_eq!(
            (inside("c1").as_str(), routes("c1").as_str()),
            ("eth0 eth1 lo", "default via 172.18.0.1 dev eth0")
        );
        lab.ok(&["network", "connect", "bridge", "c1"]);
        assert_eq!(routes("c1"), "default via 172.17.0.1 dev eth2", "of names, bridge comes first");
        let hosts = lab.ok(&["exec", "c1", "cat", "/etc/hosts"]);
        for address in ["172.18.0.2", "172.30.0.77", "172.17.0.3"] {
            assert!(hosts.contains(&format!("{address}\t")), "{hosts}");
        }
        assert_eq!(ping(lab, "c2", "172.17.0.3").code, 0);
        for (arguments, words) in [
            (&["connect", "nt2", "c1"][..], "endpoint with name c1 already exists in network nt2"),
            (
                &["connect", "host", "c1"],
                "container cannot be disconnected from host network or connected to host network",
            ),
            (&["connect", "none", "c1"], "with one of the networks in private (none) mode"),
            (
                &["connect", "--ip", "172.17.0.99", "bridge", "c2"],
                "is supported on user defined networks only",
            ),
            (&["connect", "nosuch", "c1"], "network nosuch not found"),
            (&["connect", "nt1", "nosuch"], "No such container: nosuch"),
            (&["disconnect", "nt3", "c1"], "is not connected to network nt3"),
            (&["disconnect", "host", "c1"], "is not connected to network host"),
        ] {
            refused(lab, &[&["network"], arguments].concat(), words);
        }
        lab.ok(&["network", "disconnect", "bridge", "c1"]);
        lab.ok(&["network", "disconnect", "nt1", "c1"]);
        assert_eq!(
            (inside("c1").as_str(), routes("c1").as_str()),
            ("eth1 lo", "default via 172.30.0.1 dev eth1")
        );
        let hosts = lab.ok(&["exec", "c1", "cat", "/etc/hosts"]);
        assert!(!hosts.contains("172.18.0.2") && hosts.contains("172.30.0.77"), "{hosts}");
        lab.ok(&["network", "connect", "nt3", "c1"]);
        lab.ok(&["network", "disconnect", "nt2", "c1"]);
        assert_eq!(
            (inside("c1").as_str(), routes("c1").as_str()),
            ("eth3 lo", ""),
            "there is no way out of nt3"
        );
        // What was changed holds for the next run too, whose links are counted anew.
        lab.ok(&["restart", "-t", "0", "c1"]);
        assert_eq!(inside("c1"), "eth0 lo");
        assert_eq!(
            lab.ok(&["inspect", "-f", "{{range $n, $_ := .NetworkSettings.Networks}}{{$n}} {{end}}", "c1"]),
            "nt3"
        );
        lab.ok(&["create", "--name", "c3", "busybox", "sleep", "3600"]);
        lab.ok(&["network", "connect", "nt1", "c3"]);
        lab.ok(&["network", "disconnect", "bridge", "c3"]);
        refused(lab, &["network", "disconnect", "bridge", "c3"], "is not connected to the network bridge");
        lab.ok(&["start", "c3"]);
        assert_eq!(
            (inside("c3").as_str(), routes("c3").as_str()),
            ("eth0 lo", "default via 172.18.0.1 dev eth0")
        );
        lab.ok(&["rm", "-f", "c1", "c2", "c3"]);
        lab.ok(&["network", "rm", "nt1", "nt2", "nt3"]);
        assert_eq!(eventually(|| links(lab), |links| links.len() == 1), ["docker0"]);
    });
}

#[test]
fn other_kinds_of_networks_are_told_of() {
    with_one_client(|lab| {
        for (mode, key) in [("none", "netns/"), ("host", "netns/default")] {
            lab.ok(&["run", "-d", "--name", mode, "--network", mode, "busybox", "sleep", "3600"]);
            let format = "{{.NetworkSettings.SandboxKey}} {{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}";
            let shown = lab.ok(&["inspect", "-f", format, mode]);
            assert!(shown.contains(key) && shown.ends_with(&format!(" {mode}")), "{shown}");
            let member = lab.ok(&["network", "inspect", "-f", "{{range .Containers}}{{.Name}}{{end}}", mode]);
            assert_eq!(member, mode);
        }
        lab.ok(&["network", "create", "nt1"]);
        refused(
            lab,
            &["network", "connect", "nt1", "host"],
            "container sharing network namespace with another container",
        );
        refused(lab, &["network", "connect", "nt1", "none"], "in private (none) mode");
        lab.ok(&["network", "disconnect", "none", "none"]);
        lab.ok(&["network", "connect", "nt1", "none"]);
        assert!(lab.ok(&["exec", "none", "ip", "route"]).contains("default via 172.18.0.1 dev eth0"));
    });
}
