//! Ranges of IPv4 addresses as Docker writes them: `172.18.0.0/16`. Pure.

use std::fmt;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// All addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subnet {
    base: u32,
    prefix: u8,
}

impl Subnet {
    /// The subnet of this length that holds an address. `prefix` is at most 32.
    pub fn around(address: Ipv4Addr, prefix: u8) -> Self {
        let prefix = prefix.min(32);
        Self { base: u32::from(address) & mask(prefix), prefix }
    }

    /// How many bits its addresses have in common.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Its first address, and how many bits its addresses have in common.
    pub fn parts(self) -> (Ipv4Addr, u8) {
        (self.base.into(), self.prefix)
    }

    /// All its addresses.
    pub fn addresses(self) -> RangeInclusive<u32> {
        self.base..=self.base | !mask(self.prefix)
    }

    /// Whether an address is in it.
    pub fn holds(self, address: Ipv4Addr) -> bool {
        self.addresses().contains(&address.into())
    }

    /// Whether the two have an address in common.
    pub fn overlaps(self, other: Self) -> bool {
        let prefix = self.prefix.min(other.prefix);
        (self.base ^ other.base) & mask(prefix) == 0
    }
}

fn mask(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)
}

/// What is wrong with a subnet, in Go's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid CIDR address: {0}")]
pub struct NotASubnet(String);

impl FromStr for Subnet {
    type Err = NotASubnet;

    fn from_str(text: &str) -> Result<Self, NotASubnet> {
        let read = || {
            let (address, prefix) = text.split_once('/')?;
            let digits = !prefix.is_empty() && prefix.bytes().all(|byte| byte.is_ascii_digit());
            let prefix = prefix.parse().ok().filter(|&prefix: &u8| digits && prefix <= 32)?;
            Some(Self::around(address.parse().ok()?, prefix))
        };
        read().ok_or_else(|| NotASubnet(text.to_owned()))
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_are_read_and_written() {
        assert_eq!(subnet("10.99.0.1/24").to_string(), "10.99.0.0/24");
        assert_eq!(subnet("0.0.0.0/0").addresses(), 0..=u32::MAX);
        assert_eq!(subnet("1.2.3.4/32").addresses().count(), 1);
        for bad in
            ["1.2.3", "1.2.3.4", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/+1", "/8", "1.2.3.4/", "::/0", ""]
        {
            let error = bad.parse::<Subnet>().unwrap_err();
            assert_eq!(error.to_string(), format!("invalid CIDR address: {bad}"));
        }
    }

    #[test]
    fn overlaps_are_seen_from_both_sides() {
        for (a, b, overlap) in [
            ("172.18.0.0/16", "172.18.5.0/24", true),
            ("172.18.0.0/16", "172.19.0.0/16", false),
            ("10.0.0.0/24", "10.0.1.0/24", false),
            ("0.0.0.0/0", "10.0.1.0/24", true),
        ] {
            assert_eq!(subnet(a).overlaps(subnet(b)), overlap, "{a} {b}");
            assert_eq!(subnet(b).overlaps(subnet(a)), overlap, "{b} {a}");
        }
        assert!(subnet("10.0.0.0/24").holds([10, 0, 0, 255].into()));
        assert!(!subnet("10.0.0.0/24").holds([10, 0, 1, 0].into()));
    }
}
