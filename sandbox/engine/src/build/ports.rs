//! The ports of `EXPOSE`: `80`, `53/udp`, `8000-8010`. Docker takes the words of `-p` here too, and forgets the host's half.

use std::net::IpAddr;

/// The ports that a word names, as `port/protocol`. The error is Docker's.
pub fn parse(word: &str) -> Result<Vec<String>, String> {
    let (host, port) = word.rsplit_once(':').map_or((None, word), |(host, port)| (Some(host), port));
    let (address, host) = match host.map(|host| host.rsplit_once(':').unwrap_or(("", host))) {
        Some((address, host)) => (address, host),
        None => ("", ""),
    };
    let address = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(format!("Invalid ip address: {address}"));
    }
    let (ports, protocol) = match port.split_once('/') {
        Some((ports, "")) => (ports, "tcp"),
        Some((ports, protocol)) => (ports, protocol),
        None => (port, "tcp"),
    };
    if ports.is_empty() {
        return Err(format!("No port specified: {word}<empty>"));
    }
    let (first, last) = range(ports).ok_or_else(|| format!("Invalid containerPort: {ports}"))?;
    if !host.is_empty() {
        let (from, to) = range(host).ok_or_else(|| format!("Invalid hostPort: {host}"))?;
        if last - first != to - from && first != last {
            return Err(format!("Invalid ranges specified for container and host Ports: {ports} and {host}"));
        }
    }
    let lower = protocol.to_lowercase();
    if !matches!(lower.as_str(), "tcp" | "udp" | "sctp") {
        return Err(format!("Invalid proto: {protocol}"));
    }
    Ok((first..=last).map(|port| format!("{port}/{lower}")).collect())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}
