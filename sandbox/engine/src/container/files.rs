//! The three files that Docker writes for a container and binds over its own: hostname, hosts, resolv.conf.

use crate::network::Cabling;
use crate::settings::{Dns, Network, Settings};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

/// The lines that every container's `/etc/hosts` begins with.
const HOSTS: &str = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nfe00::0\tip6-localnet\n\
                     ff00::0\tip6-mcastprefix\nff02::1\tip6-allnodes\nff02::2\tip6-allrouters\n";

/// Whose name and files a container shows: its own, or those of the container whose network it shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sandbox {
    /// The hostname inside.
    pub hostname: String,
    /// The domain name, often empty.
    pub domainname: String,
    /// The directory with the three files.
    pub files: PathBuf,
}

impl Sandbox {
    /// A container's own, in its directory.
    pub fn own(directory: &Path, settings: &Settings) -> Self {
        Self {
            hostname: settings.hostname.clone(),
            domainname: settings.domainname.clone(),
            files: directory.to_owned(),
        }
    }
}

/// A container that wrote itself a longer file of hosts has it left as it is.
const HOSTS_BYTES_MAX: u64 = 1024 * 1024;

/// Gives the files to a container's root that is not the lab host's.
pub fn give(directory: &Path, (uid, gid): (u32, u32)) -> std::io::Result<()> {
    let give = |name| std::os::unix::fs::chown(directory.join(name), Some(uid), Some(gid));
    ["hostname", "hosts", "resolv.conf"].into_iter().try_for_each(give)
}

/// Writes the files into the container's directory.
pub fn write(directory: &Path, settings: &Settings, cabling: &Cabling) -> io::Result<()> {
    let host = |path| std::fs::read_to_string(path).unwrap_or_default();
    let own_hosts =
        if settings.namespaces.network == Network::Host { host("/etc/hosts") } else { HOSTS.to_owned() };
    std::fs::write(directory.join("hostname"), format!("{}\n", settings.hostname))?;
    let addresses: Vec<_> = cabling.sockets().map(|socket| socket.address).collect();
    std::fs::write(directory.join("hosts"), hosts(own_hosts, settings, &addresses))?;
    std::fs::write(
        directory.join("resolv.conf"),
        resolv_conf(&host("/etc/resolv.conf"), &settings.dns, cabling.resolves_names()),
    )
}

fn hosts(mut text: String, settings: &Settings, addresses: &[Ipv4Addr]) -> String {
    for (name, address) in &settings.extra_hosts {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text.extend(addresses.iter().map(|address| own_line(settings, *address)));
    text
}

/// The line by which a container finds itself.
fn own_line(settings: &Settings, address: Ipv4Addr) -> String {
    let Settings { hostname, domainname, .. } = settings;
    let full = match domainname.as_str() {
        "" => hostname.clone(),
        domain => format!("{hostname}.{domain}"),
    };
    match full.split_once('.') {
        Some((short, _)) => format!("{address}\t{full} {short}\n"),
        None => format!("{address}\t{full}\n"),
    }
}

/// The container runs, and has one address more.
pub fn add_address(directory: &Path, settings: &Settings, address: Ipv4Addr) -> io::Result<()> {
    edit(&directory.join("hosts"), |mut text| {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text + &own_line(settings, address)
    })
}

/// The container runs, and has lost an address.
pub fn remove_address(directory: &Path, address: Ipv4Addr) -> io::Result<()> {
    let address = address.to_string();
    edit(&directory.join("hosts"), |text| {
        let is_of_it = |line: &&str| line.split_whitespace().next() == Some(address.as_str());
        text.split_inclusive('\n').filter(|line| !is_of_it(line)).collect()
    })
}

/// Changes the file in its place: the container has that very file, and may have written to it.
fn edit(path: &Path, change: impl FnOnce(String) -> String) -> io::Result<()> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    if file.metadata()?.len() > HOSTS_BYTES_MAX {
        return Ok(());
    }
    // One that is not text is the container's own business.
    match file.take(HOSTS_BYTES_MAX).read_to_string(&mut text) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Ok(()),
        read => read.and_then(|_| std::fs::write(path, change(text))),
    }
}

/// The servers that names are looked up at for a container.
pub fn name_servers(dns: &Dns) -> Vec<IpAddr> {
    if !dns.servers.is_empty() {
        return dns.servers.clone();
    }
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    words(&host, "nameserver").filter_map(|word| word.parse().ok()).collect()
}

/// The words of the lines that begin with a keyword.
fn words<'a>(text: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().map(str::split_whitespace);
    lines
        .filter_map(move |mut line| line.next().is_some_and(|word| word == keyword).then_some(line))
        .flatten()
}

/// What Docker falls back to where the lab host has only servers of its own, which a container cannot reach.
const SERVERS: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// The lab host's own file, or what was asked for put over it; with the engine's own server if `resolver` says so.
fn resolv_conf(host: &str, dns: &Dns, resolver: bool) -> String {
    let is_local = |word: &str| word.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    if *dns == Dns::default() && !resolver {
        let local = |line: &&str| words(line, "nameserver").next().is_some_and(is_local);
        let mut text: String = host.split_inclusive('\n').filter(|line| !local(line)).collect();
        if words(&text, "nameserver").next().is_none() {
            let own = if text.is_empty() || text.ends_with('\n') { "\n" } else { "\n\n" };
            text.push_str(own);
            text.push_str(&SERVERS.map(|server| format!("nameserver {server}")).join("\n"));
            text.push('\n');
        }
        return text;
    }
    let given = |given: &[String], keyword: &str| match given {
        [] => words(host, keyword).map(str::to_owned).collect(),
        given => given.to_vec(),
    };
    let mut servers: Vec<_> = dns.servers.iter().map(IpAddr::to_string).collect();
    let mut options = given(&dns.options, "options");
    if resolver {
        servers = vec![RESOLVER.into()];
        if !options.iter().any(|option| option.starts_with("ndots:")) {
            options.push("ndots:0".into());
        }
    }
    if servers.is_empty() {
        servers = words(host, "nameserver").filter(|word| !is_local(word)).map(str::to_owned).collect();
    }
    if servers.is_empty() {
        servers = SERVERS.map(str::to_owned).to_vec();
    }
    let search = given(&dns.search, "search");
    let mut text = String::new();
    if !search.is_empty() && search != ["."] {
        text.push_str(&format!("search {}\n", search.join(" ")));
    }
    text.extend(servers.iter().map(|server| format!("nameserver {server}\n")));
    if !options.is_empty() {
        text.push_str(&format!("options {}\n", options.join(" ")));
    }
    text
}

/// Where the engine's own server is.
const RESOLVER: &str = "127.0.0.11";

/// The container runs, and names are looked up through the engine from now on. A file that it has changed is left alone.
pub fn lead_to_resolver(directory: &Path, dns: &Dns) -> io::Result<()> {
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let before = resolv_conf(&host, dns, false);
    edit(
        &directory.join("resolv.conf"),
        |text| {
            if text == before { resolv_conf(&host, dns, true) } else { text }
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_flags_replace_what_they_name() {
        let host = "nameserver 10.0.0.1\nsearch a.example\n";
        assert_eq!(resolv_conf(host, &Dns::default(), false), host);
        let dns = Dns {
            servers: vec!["9.9.9.9".parse().unwrap()],
            options: vec!["ndots:1".into()],
            ..Dns::default()
        };
        assert_eq!(resolv_conf(host, &dns, false), "search a.example\nnameserver 9.9.9.9\noptions ndots:1\n");
        let searched = Dns { search: vec!["a.b".into()], ..Dns::default() };
        assert_eq!(resolv_conf(host, &searched, false), "search a.b\nnameserver 10.0.0.1\n");
        let silent = Dns { search: vec![".".into()], ..Dns::default() };
        assert_eq!(resolv_conf(host, &silent, false), "nameserver 10.0.0.1\n");
    }

    #[test]
    fn the_engine_s_server_takes_the_place_of_others() {
        let host = "nameserver 10.0.0.1\n";
        assert_eq!(resolv_conf(host, &Dns::default(), true), "nameserver 127.0.0.11\noptions ndots:0\n");
        let dns = Dns { options: vec!["use-vc".into()], ..Dns::default() };
        assert_eq!(resolv_conf(host, &dns, true), "nameserver 127.0.0.11\noptions use-vc ndots:0\n");
        let own = "nameserver 127.0.0.53\noptions edns0\n";
        assert_eq!(
            resolv_conf(own, &Dns::default(), false),
            "options edns0\n\nnameserver 8.8.8.8\nnameserver 8.8.4.4\n"
        );
    }
}
