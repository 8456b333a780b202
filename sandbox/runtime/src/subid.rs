//! The ranges of ids that an ordinary user may map into user namespaces: `/etc/subuid` and `/etc/subgid`.

use std::io;

/// A range of ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub start: u32,
    /// How many.
    pub count: u32,
}

/// The ranges of one user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges {
    /// From `/etc/subuid`, in its order.
    pub uids: Vec<Range>,
    /// From `/etc/subgid`, in its order.
    pub gids: Vec<Range>,
}

/// Reads the ranges of the user with this name or this id. A file that is absent holds none.
pub fn ranges(user: &str, uid: u32) -> io::Result<Ranges> {
    let read = |path| -> io::Result<Vec<Range>> {
        match std::fs::read_to_string(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
            text => Ok(parse(&text?, user, uid)),
        }
    };
    Ok(Ranges { uids: read("/etc/subuid")?, gids: read("/etc/subgid")? })
}

/// The name that /etc/passwd has for this uid; empty where it has none.
pub fn user_name(uid: u32) -> io::Result<String> {
    let of = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
    };
    Ok(std::fs::read_to_string("/etc/passwd")?.lines().find_map(of).unwrap_or_default())
}

fn parse(text: &str, user: &str, uid: u32) -> Vec<Range> {
    let uid = uid.to_string();
    let line = |line: &str| {
        let mut fields = line.trim().split(':');
        let owner = fields.next().filter(|owner| *owner == user || *owner == uid);
        let (start, count) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        owner.filter(|_| count > 0).map(|_| Range { start, count })
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_name_and_by_id() {
        let text = "# comment\nann:100000:65536\n1001:200000:1000\nbob:1:2:junk\nann:x:5\nann:300000:0\n";
        assert_eq!(parse(text, "ann", 1000), [Range { start: 100_000, count: 65536 }]);
        assert_eq!(parse(text, "carol", 1001), [Range { start: 200_000, count: 1000 }]);
        assert_eq!(parse(text, "nobody", 7), []);
    }
}
