//! Who a program runs as: Docker's `--user` words resolved against a container's own `/etc/passwd` and `/etc/group`.
//!
//! Pure: the caller reads the files.

use crate::error::ApiError;

/// The largest id that Docker accepts.
const ID_MAX: u32 = i32::MAX as u32;

/// A resolved user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Its home, `/` where the files know none.
    pub home: String,
}

struct Passwd<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: Vec<&'a str>,
}

fn passwd_lines(text: &str) -> impl Iterator<Item = Passwd<'_>> {
    text.lines().filter_map(|line| {
        let fields: Vec<_> = line.trim().split(':').collect();
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        Some(Passwd { name: fields[0], uid, gid, home: fields.get(5).copied().unwrap_or_default() })
    })
}

fn group_lines(text: &str) -> impl Iterator<Item = Group<'_>> {
    text.lines().filter_map(|line| {
        let fields: Vec<_> = line.trim().split(':').collect();
        let members = fields.get(3).map(|names| names.split(',').collect()).unwrap_or_default();
        Some(Group { name: fields[0], gid: fields.get(2)?.parse().ok()?, members })
    })
}

/// A number is an id also where it is out of range, which is then told.
fn number(text: &str) -> Result<Option<u32>, ApiError> {
    match text.parse::<i64>() {
        Ok(id) if (0..=i64::from(ID_MAX)).contains(&id) => Ok(Some(id as u32)),
        Ok(_) => Err(ApiError::bad_request("uids and gids must be in range 0-2147483647")),
        Err(_) => Ok(None),
    }
}

/// Resolves `user` (empty, `name`, `uid`, `name:group`, `uid:gid`, …) and `--group-add` words.
pub fn resolve(user: &str, group_add: &[String], passwd: &str, group: &str) -> Result<User, ApiError> {
    let (who, which_group) = user.split_once(':').unwrap_or((user, ""));
    let who = if who.is_empty() { "0" } else { who };
    // A name goes before a number, as in Docker: a user may be called "1000".
    let by_name = passwd_lines(passwd).find(|line| line.name == who);
    let uid = if by_name.is_some() { None } else { number(who)? };
    let entry = by_name.or_else(|| uid.and_then(|uid| passwd_lines(passwd).find(|line| line.uid == uid)));
    let (uid, mut gid, home) = match (&entry, uid) {
        (Some(entry), _) => (entry.uid, entry.gid, entry.home),
        (None, Some(uid)) => (uid, 0, ""),
        (None, None) => {
            let message = format!("unable to find user {who}: no matching entries in passwd file");
            return Err(ApiError::bad_request(message));
        }
    };
    let mut groups = vec![];
    if which_group.is_empty() {
        let name = entry.as_ref().map_or("", |entry| entry.name);
        let member = |line: &Group<'_>| !name.is_empty() && line.members.contains(&name);
        groups.extend(group_lines(group).filter(member).map(|line| line.gid));
    } else {
        gid = group_id(which_group, group, "unable")?;
    }
    for word in group_add {
        groups.push(group_id(word, group, "Unable")?);
    }
    if uid > ID_MAX || gid > ID_MAX {
        return Err(ApiError::bad_request("uids and gids must be in range 0-2147483647"));
    }
    groups.retain(|&group| group != gid);
    // Docker names the primary group among the supplementary ones too.
    groups.push(gid);
    let mut seen = std::collections::BTreeSet::new();
    groups.retain(|&group| seen.insert(group));
    Ok(User { uid, gid, groups, home: if home.is_empty() { "/".into() } else { home.into() } })
}

/// `unable` is the first word of the complaint, which Docker writes with a capital for `--group-add` alone.
fn group_id(word: &str, group: &str, unable: &str) -> Result<u32, ApiError> {
    if let Some(line) = group_lines(group).find(|line| line.name == word) {
        return Ok(line.gid);
    }
    number(word)?.ok_or_else(|| {
        ApiError::bad_request(format!("{unable} to find group {word}: no matching entries in group file"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/sh\n# rubbish\napp:x:1000:1000::/home/app:/bin/sh\n77:x:5:5::/five:";
    const GROUP: &str = "root:x:0:\nwheel:x:10:app,other\napp:x:1000:\ntty:x:5:";

    fn check(user: &str, group_add: &[&str], expected: (u32, u32, &[u32], &str)) {
        let group_add: Vec<_> = group_add.iter().map(|&g| g.into()).collect();
        let found = resolve(user, &group_add, PASSWD, GROUP).unwrap();
        assert_eq!((found.uid, found.gid, &found.groups[..], &found.home[..]), expected, "{user}");
    }

    #[test]
    fn words_are_resolved_as_docker_does() {
        check("", &[], (0, 0, &[0], "/root"));
        check("app", &[], (1000, 1000, &[10, 1000], "/home/app"));
        check("1000", &[], (1000, 1000, &[10, 1000], "/home/app"));
        check("1000:5", &[], (1000, 5, &[5], "/home/app"));
        check("app:tty", &[], (1000, 5, &[5], "/home/app"));
        check("4242", &[], (4242, 0, &[0], "/"));
        check("77", &[], (5, 5, &[5], "/five"));
        check("app", &["tty", "99"], (1000, 1000, &[10, 5, 99, 1000], "/home/app"));
    }

    #[test]
    fn what_is_not_there_is_refused_in_docker_s_words() {
        let message = |user| resolve(user, &[], PASSWD, GROUP).unwrap_err().message;
        assert_eq!(message("nobody"), "unable to find user nobody: no matching entries in passwd file");
        assert_eq!(message("0:nogrp"), "unable to find group nogrp: no matching entries in group file");
        assert_eq!(message("3000000000"), "uids and gids must be in range 0-2147483647");
    }
}
