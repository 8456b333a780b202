//! The packet filter of the lab host, as Docker fills it: who may be forwarded where, who goes out under the lab host's address,
//! and where published ports lead. Here are the rules, as a pure function of the networks and ports that there are;
//! [`super::packet_filter`] has the kernel take them.
//!
//! Isolation does not hang on it: networks are kept apart by their fences, which need no filter, and a published port also
//! has a socket of its own ([`super::proxy`]).

use super::ports::Port;
use super::subnet::Subnet;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// A bridge network, as far as the filter is concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walls {
    /// Its bridge.
    pub bridge: String,
    /// Its addresses.
    pub subnet: Subnet,
    /// Whether there is no way out of it.
    pub internal: bool,
    /// Whether its containers may reach each other (`com.docker.network.bridge.enable_icc`).
    pub may_talk: bool,
    /// Whether they go out under the lab host's address (`com.docker.network.bridge.enable_ip_masquerade`).
    pub masquerade: bool,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The bridge of the container's network.
    pub bridge: String,
    /// Where the container is in it.
    pub container: Ipv4Addr,
    /// The container's port.
    pub port: Port,
    /// The address of the lab host's; unspecified for all.
    pub address: IpAddr,
    /// The port there.
    pub host: u16,
}

/// Rules by table, in the words of iptables-save: `-A CHAIN …`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// `filter`.
    pub filter: Table,
    /// `nat`.
    pub nat: Table,
}

/// The rules of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Those of chains that are Docker's alone, and are written anew each time.
    pub own: Vec<String>,
    /// Those that come before all others of the kernel's own chains.
    pub first: Vec<String>,
    /// And after.
    pub last: Vec<String>,
}

const STAGE_1: &str = "DOCKER-ISOLATION-STAGE-1";
const STAGE_2: &str = "DOCKER-ISOLATION-STAGE-2";

/// The chains of each table that are Docker's alone.
const FILTER_CHAINS: [&str; 3] = ["DOCKER", STAGE_1, STAGE_2];
const NAT_CHAINS: [&str; 1] = ["DOCKER"];

/// The chain that Docker makes and leaves to the user.
const USERS: &str = "DOCKER-USER";

/// The rules of these networks, oldest first, and of these ports.
pub fn rules(networks: &[Walls], forwards: &[Forward]) -> Rules {
    let mut rules = Rules::default();
    let (filter, nat) = (&mut rules.filter, &mut rules.nat);
    filter.first = vec![format!("-A FORWARD -j {USERS}"), format!("-A FORWARD -j {STAGE_1}")];
    nat.last = vec![
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER".into(),
        "-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER".into(),
    ];
    // The newest network comes first, as Docker puts each before those that are there.
    for Walls { bridge, subnet, internal, may_talk, masquerade } in networks.iter().rev() {
        let among = format!("-A FORWARD -i {bridge} -o {bridge} -j");
        let allowed = may_talk.then(|| format!("{among} ACCEPT"));
        filter.last.extend((!may_talk).then(|| format!("{among} DROP")));
        if *internal {
            filter.first.extend(allowed);
            filter.own.push(format!("-A {STAGE_1} ! -s {subnet} -o {bridge} -j DROP"));
            filter.own.push(format!("-A {STAGE_1} ! -d {subnet} -i {bridge} -j DROP"));
            continue;
        }
        filter.first.extend([
            format!("-A FORWARD -o {bridge} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"),
            format!("-A FORWARD -o {bridge} -j DOCKER"),
            format!("-A FORWARD -i {bridge} ! -o {bridge} -j ACCEPT"),
        ]);
        filter.first.extend(allowed);
        filter.own.push(format!("-A {STAGE_1} -i {bridge} ! -o {bridge} -j {STAGE_2}"));
        filter.own.push(format!("-A {STAGE_2} -o {bridge} -j DROP"));
        if *masquerade {
            nat.own.push(format!("-A DOCKER -i {bridge} -j RETURN"));
            nat.first.push(format!("-A POSTROUTING -s {subnet} ! -o {bridge} -j MASQUERADE"));
        }
    }
    filter.own.extend([STAGE_1, STAGE_2].map(|chain| format!("-A {chain} -j RETURN")));
    for Forward { bridge, container, port: Port { number, protocol }, address, host } in forwards {
        let IpAddr::V4(address) = address else { continue };
        let to = if address.is_unspecified() { String::new() } else { format!("-d {address}/32 ") };
        let p = protocol.word();
        nat.own.push(format!(
            "-A DOCKER {to}! -i {bridge} -p {p} -m {p} --dport {host} -j DNAT --to-destination {container}:{number}"
        ));
        filter.own.push(format!(
            "-A DOCKER -d {container}/32 ! -i {bridge} -o {bridge} -p {p} -m {p} --dport {number} -j ACCEPT"
        ));
        // A container that calls its own published port.
        nat.last.push(format!(
            "-A POSTROUTING -s {container}/32 -d {container}/32 -p {p} -m {p} --dport {number} -j MASQUERADE"
        ));
    }
    for table in [filter, nat] {
        for list in [&mut table.own, &mut table.last] {
            // One port may be published at several addresses.
            let mut seen = BTreeSet::new();
            list.retain(|rule| seen.insert(rule.clone()));
        }
    }
    rules
}

/// What iptables-restore is to be told, so that a filter that iptables-save describes so has these rules, instead of those `before`.
/// Whatever else is in it stays. `closed` forwards nothing that no rule allows.
pub fn script(current: &str, rules: &Rules, before: &Rules, closed: bool) -> String {
    let mut script = String::new();
    for (name, table, before, chains) in [
        ("filter", &rules.filter, &before.filter, &FILTER_CHAINS[..]),
        ("nat", &rules.nat, &before.nat, &NAT_CHAINS[..]),
    ] {
        let current = table_of(current, name);
        let mut line = |text: &str| {
            script.push_str(text);
            script.push('\n');
        };
        line(&format!("*{name}"));
        // Naming a chain empties it.
        chains.iter().for_each(|chain| line(&format!(":{chain} - [0:0]")));
        if name == "filter" {
            if closed {
                line(":FORWARD DROP [0:0]");
            }
            if !current.iter().any(|rule| rule.starts_with(&format!(":{USERS} "))) {
                line(&format!(":{USERS} - [0:0]"));
                line(&format!("-A {USERS} -j RETURN"));
            }
        }
        let shared: BTreeSet<_> = [&table.first, &table.last, &before.first, &before.last]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        for rule in current.iter().filter(|rule| shared.contains(**rule)) {
            line(&rule.replacen("-A", "-D", 1));
        }
        table.first.iter().rev().for_each(|rule| line(&rule.replacen("-A", "-I", 1)));
        table.last.iter().chain(&table.own).for_each(|rule| line(rule));
        line("COMMIT");
    }
    script
}

/// The lines of one table.
fn table_of<'a>(saved: &'a str, name: &str) -> Vec<&'a str> {
    let lines = saved.lines().map(str::trim).skip_while(|line| line.strip_prefix('*') != Some(name));
    lines.skip(1).take_while(|line| *line != "COMMIT").collect()
}

#[cfg(test)]
mod tests {
    use super::super::ports::Protocol;
    use super::*;

    fn walls(bridge: &str, subnet: &str, internal: bool) -> Walls {
        let subnet = subnet.parse().unwrap();
        Walls { bridge: bridge.into(), subnet, internal, may_talk: true, masquerade: true }
    }

    fn forward(address: &str, host: u16) -> Forward {
        Forward {
            bridge: "docker0".into(),
            container: [172, 17, 0, 2].into(),
            port: Port { number: 80, protocol: Protocol::Tcp },
            address: address.parse().unwrap(),
            host,
        }
    }

    /// What iptables-restore makes of a script, as far as ours go: chains with their rules.
    fn restored(saved: &str, script: &str, table: &str) -> Vec<String> {
        let mut rules: Vec<String> = table_of(saved, table).into_iter().map(str::to_owned).collect();
        for line in table_of(script, table) {
            let chain = |rule: &str| rule.split([' ', ':']).nth(1).unwrap_or_default().to_owned();
            match line.split_at(2) {
                ("-A", _) => rules.push(line.to_owned()),
                ("-I", rest) => {
                    let at =
                        rules.iter().position(|rule| rule.starts_with("-A") && chain(rule) == chain(line));
                    rules.insert(at.unwrap_or(rules.len()), format!("-A{rest}"));
                }
                ("-D", rest) => {
                    let at = rules.iter().position(|rule| *rule == format!("-A{rest}"));
                    rules.remove(at.expect("what is deleted is there"));
                }
                _ => {
                    let name = chain(line);
                    rules.retain(|rule| chain(rule) != name || (rule.starts_with("-A") && name == "FORWARD"));
                    rules.push(line.to_owned());
                }
            }
        }
        rules
    }

    fn saved(filter: &[String], nat: &[String]) -> String {
        format!("*filter\n{}\nCOMMIT\n*nat\n{}\nCOMMIT\n", filter.join("\n"), nat.join("\n"))
    }

    #[test]
    fn the_newest_network_comes_first_and_an_internal_one_has_no_way_out() {
        let rules =
            rules(&[walls("docker0", "172.17.0.0/16", false), walls("br-i", "10.0.0.0/8", true)], &[]);
        assert_eq!(
            rules.filter.first[..3],
            [
                "-A FORWARD -j DOCKER-USER",
                "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
                "-A FORWARD -i br-i -o br-i -j ACCEPT"
            ]
        );
        assert_eq!(rules.filter.first.len(), 7);
        assert_eq!(rules.filter.own[0], "-A DOCKER-ISOLATION-STAGE-1 ! -s 10.0.0.0/8 -o br-i -j DROP");
        assert_eq!(rules.nat.first, ["-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE"]);
        assert_eq!(rules.nat.own, ["-A DOCKER -i docker0 -j RETURN"]);
    }

    #[test]
    fn a_port_leads_to_its_container_and_back() {
        let forwards = [forward("0.0.0.0", 8080), forward("127.0.0.1", 81), forward("::", 8080)];
        let rules = rules(&[walls("docker0", "172.17.0.0/16", false)], &forwards);
        assert_eq!(
            rules.nat.own[1..],
            [
                "-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80",
                "-A DOCKER -d 127.0.0.1/32 ! -i docker0 -p tcp -m tcp --dport 81 -j DNAT --to-destination 172.17.0.2:80",
            ]
        );
        let accept = "-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -p tcp -m tcp --dport 80 -j ACCEPT";
        assert_eq!(rules.filter.own.iter().filter(|rule| *rule == accept).count(), 1);
        assert_eq!(rules.nat.last.len(), 3);
    }

    #[test]
    fn what_is_a_user_s_stays_and_nothing_of_ours_is_there_twice() {
        let users = [
            ":DOCKER-USER - [0:0]",
            "-A FORWARD -s 1.2.3.4/32 -j DROP",
            "-A DOCKER-USER -s 5.6.7.8/32 -j DROP",
        ]
        .map(str::to_owned);
        let mut now = saved(&users, &[]);
        let (mut before, networks) = (Rules::default(), [walls("docker0", "172.17.0.0/16", false)]);
        for forwards in [vec![], vec![forward("0.0.0.0", 8080)], vec![]] {
            let wanted = rules(&networks, &forwards);
            let script = script(&now, &wanted, &before, true);
            let filter = restored(&now, &script, "filter");
            let nat = restored(&now, &script, "nat");
            assert!(users.iter().all(|rule| filter.contains(rule)), "{filter:#?}");
            for (table, wanted) in [(&filter, &wanted.filter), (&nat, &wanted.nat)] {
                for rule in wanted.own.iter().chain(&wanted.first).chain(&wanted.last) {
                    assert_eq!(
                        table.iter().filter(|other| *other == rule).count(),
                        1,
                        "{rule} in {table:#?}"
                    );
                }
            }
            let forward: Vec<_> = filter.iter().filter(|rule| rule.starts_with("-A FORWARD")).collect();
            assert!(forward[0].ends_with("DOCKER-USER") && forward[1].ends_with("STAGE-1"), "{forward:?}");
            assert_eq!(nat.iter().filter(|rule| rule.contains("DNAT")).count(), forwards.len());
            (now, before) = (saved(&filter, &nat), wanted);
        }
        let docker_user = |text: &str| text.matches(":DOCKER-USER").count();
        assert_eq!(docker_user(&now), 1);
    }
}
