//! Ids of 64 hex digits, and the names that containers get when nobody names them.

use rustix::rand::{GetRandomFlags, getrandom};

const ADJECTIVES: [&str; 32] = [
    "able", "bold", "brave", "bright", "calm", "clever", "curious", "daring", "eager", "fair", "frank",
    "gentle", "happy", "honest", "jolly", "keen", "kind", "lively", "lucid", "merry", "modest", "nimble",
    "patient", "polite", "quick", "quiet", "sharp", "steady", "sunny", "tidy", "warm", "wise",
];

/// People to whom computing owes something.
const SURNAMES: [&str; 32] = [
    "allen",
    "babbage",
    "backus",
    "bartik",
    "boole",
    "borg",
    "codd",
    "dahl",
    "dijkstra",
    "engelbart",
    "floyd",
    "hamilton",
    "hamming",
    "hoare",
    "holberton",
    "hopper",
    "kay",
    "kilburn",
    "knuth",
    "lamport",
    "liskov",
    "lovelace",
    "mccarthy",
    "minsky",
    "naur",
    "perlis",
    "ritchie",
    "shannon",
    "sutherland",
    "turing",
    "wilkes",
    "wirth",
];

/// Fills `bytes` from the kernel. It cannot fail for up to 256 bytes once the machine has booted.
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    let filled = getrandom(&mut bytes, GetRandomFlags::empty());
    assert_eq!(filled, Ok(N), "the kernel gives up to 256 random bytes at once");
    bytes
}

/// Lower-case hex digits of `bytes`.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A new id: 64 hex digits. Docker refuses short ids that are all digits (they look like numbers); so do we.
pub fn new_id() -> String {
    loop {
        let id = hex(&random::<32>());
        if id[..12].bytes().any(|c| c.is_ascii_alphabetic()) {
            return id;
        }
    }
}

/// A name such as `keen_hopper` that is not `taken`; a digit is added when chance offers only taken ones.
pub fn new_name(taken: impl Fn(&str) -> bool) -> String {
    let mut suffix = String::new();
    loop {
        let [adjective, surname, digit] = random::<3>();
        let name =
            format!("{}_{}{suffix}", ADJECTIVES[adjective as usize % 32], SURNAMES[surname as usize % 32]);
        if !taken(&name) {
            return name;
        }
        suffix.push(char::from(b'0' + digit % 10));
    }
}

/// Whether Docker allows a container to be called so: `[a-zA-Z0-9][a-zA-Z0-9_.-]+`.
pub fn is_valid(name: &str) -> bool {
    let mut bytes = name.bytes();
    let first = bytes.next().is_some_and(|c| c.is_ascii_alphanumeric());
    first && name.len() > 1 && bytes.all(|c| c.is_ascii_alphanumeric() || b"_.-".contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hex_and_differ() {
        let (a, b) = (new_id(), new_id());
        assert_eq!(a.len(), 64);
        assert!(a.bytes().all(|c| c.is_ascii_hexdigit()));
        assert_ne!(a, b);
    }

    #[test]
    fn a_taken_name_is_not_given() {
        let name = new_name(|name| !name.ends_with(|c: char| c.is_ascii_digit()));
        assert!(name.ends_with(|c: char| c.is_ascii_digit()), "{name}");
        assert!(is_valid(&name));
    }

    #[test]
    fn names_are_checked() {
        for good in ["ab", "a1", "0_", "web.1-x"] {
            assert!(is_valid(good), "{good}");
        }
        for bad in ["", "a", "-a", "a/b", "a b", "é1"] {
            assert!(!is_valid(bad), "{bad}");
        }
    }
}
