//! The list: what is done on both sides. One case is a name, a few words about how to treat it, and a script.
//!
//! ```text
//! === name-in-use
//! docker create --name $N busybox
//! docker create --name $N busybox
//! === what-the-network-gives alone
//! …
//! ```
//!
//! The script is bash. Compared are its standard output, its standard error and its exit status; each command in it that
//! fails adds its status to the output. `docker` is the command line under test, `$N` a name that no other case uses, and
//! `host COMMAND…` runs a command where the daemon is.

use std::collections::BTreeSet;
use std::path::Path;

/// What is put behind the name of a case that is tried with the newer command line.
pub const NEWER: &str = "@newer";

/// One thing that is done on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// `group/name`.
    pub name: String,
    /// What bash is given.
    pub script: String,
    /// Whether nothing else may be done meanwhile: it looks at all containers, or at addresses.
    pub alone: bool,
    /// Whether names that the daemon makes up are replaced.
    pub names: bool,
    /// What Docker has to say, because the case means nothing otherwise: that both fail alike is not what it is for.
    pub docker_says: Option<String>,
    /// What it needs of this machine, beyond Docker: programs by their path, `all-capabilities`, `python-sdk`.
    pub needs: Vec<String>,
}

impl Case {
    /// What comes before the slash of its name.
    pub fn group(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

/// Reads all files of a folder, in order of their names.
pub fn read_all(folder: &Path) -> Result<Vec<Case>, String> {
    let told = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(told)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>().map_err(told)?;
    paths.sort();
    let mut cases = vec![];
    for path in paths.iter().filter(|path| path.extension().is_some_and(|ending| ending == "cases")) {
        let group = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = std::fs::read_to_string(path).map_err(told)?;
        cases.extend(parse(&group, &text).map_err(|what| format!("{}: {what}", path.display()))?);
    }
    let mut names = BTreeSet::new();
    match cases.iter().find(|case| !names.insert(&case.name)) {
        Some(twice) => Err(format!("two cases have the name {}", twice.name)),
        None => Ok(cases),
    }
}

fn parse(group: &str, text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = vec![];
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("=== ") {
            cases.push(heading_of(group, heading)?);
        } else if let Some(case) = cases.last_mut() {
            case.script.push_str(line);
            case.script.push('\n');
        } else if !line.is_empty() && !line.starts_with('#') {
            return Err(format!("before the first case, only comments: {line}"));
        }
    }
    match cases.iter().find(|case| case.script.trim().is_empty()) {
        Some(case) => Err(format!("{} does nothing", case.name)),
        None => Ok(cases),
    }
}

fn heading_of(group: &str, heading: &str) -> Result<Case, String> {
    let mut words = heading.split_whitespace();
    let name = words.next().unwrap_or_default();
    if name.is_empty() || !name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-') {
        return Err(format!("{name:?} is not a name: small letters, digits and -"));
    }
    let mut case = Case {
        name: format!("{group}/{name}"),
        script: String::new(),
        alone: false,
        names: false,
        docker_says: None,
        needs: vec![],
    };
    for word in words {
        match word.split_once('=') {
            None if word == "alone" => case.alone = true,
            None if word == "names" => case.names = true,
            Some(("says", word)) => case.docker_says = Some(word.to_owned()),
            Some(("needs", program)) => case.needs.push(program.to_owned()),
            _ => return Err(format!("{name}: unknown word {word:?}")),
        }
    }
    Ok(case)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_read_with_their_words() {
        let text =
            "# about\n\n=== one\ndocker a\ndocker b\n=== two alone names says=x needs=/bin/x\ndocker c\n";
        let cases = parse("group", text).unwrap();
        assert_eq!((cases[0].name.as_str(), cases[0].script.as_str()), ("group/one", "docker a\ndocker b\n"));
        assert_eq!(cases[0].group(), "group");
        assert!(
            !cases[0].alone
                && cases[1].alone
                && cases[1].names
                && cases[1].docker_says.is_some()
                && cases[1].needs == ["/bin/x"]
        );
    }

    #[test]
    fn what_is_no_case_is_refused() {
        for bad in ["docker a\n", "=== one\n", "=== One\ndocker a\n", "=== one quickly\ndocker a\n"] {
            assert!(parse("group", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_list_is_as_long_as_promised() {
        const PROMISED: usize = 120;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("parity/cases");
        assert!(read_all(&folder).unwrap().len() >= PROMISED);
    }
}
