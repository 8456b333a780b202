//! What each file must have by itself: a word on what it is for, a length that can be read, pinned versions,
//! and no name of a host that only some machines can reach.

use super::{Finding, Source, rust};

/// The longest file, in lines: one idea, which somebody reads in one sitting.
pub const LINES_MAX: usize = 500;

/// A file that may be longer, and why. An exception that is not needed any more is a finding.
pub struct LongFile {
    /// Where it is, from the root of the repository.
    pub path: &'static str,
    /// Its own limit, in lines.
    pub lines_max: usize,
    /// Why it is not two files.
    pub why: &'static str,
}

const PROSE_AND_CODE: [&str; 9] = ["rs", "ts", "mjs", "js", "css", "html", "sh", "md", "sql"];

/// Files above the limit, and exceptions without a reason to be.
pub fn check_lengths(sources: &[Source], exceptions: &[LongFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|source| source.has_extension(&PROSE_AND_CODE)) {
        let lines = source.text.lines().count();
        let exception = exceptions.iter().find(|exception| exception.path == source.path);
        let limit = exception.map_or(LINES_MAX, |exception| exception.lines_max);
        if lines > limit {
            findings.push(Finding::new(
                &source.path,
                limit,
                format!("{lines} lines; at most {limit}: is it one idea?"),
            ));
        }
    }
    for exception in exceptions {
        let file = sources.iter().find(|source| source.path == exception.path);
        let what = match file {
            None => "is excepted from the limit of lines, and is gone",
            Some(file) if file.text.lines().count() <= LINES_MAX => {
                "is excepted from the limit of lines, and needs no exception"
            }
            Some(_) if exception.why.is_empty() => "is excepted from the limit of lines without a reason",
            Some(_) => continue,
        };
        findings.push(Finding::new(exception.path, 1, what));
    }
    findings
}

/// Rust files that do not begin with `//!`: what the module is for, and what it is not.
pub fn check_headers(sources: &[Source]) -> Vec<Finding> {
    rust(sources)
        .filter(|source| !source.text.starts_with("//!"))
        .map(|source| {
            Finding::new(&source.path, 1, "begin with `//!`: what this module is for, and what it is not")
        })
        .collect()
}

/// Names that work on some machines only: package registries (a mirror, an offline room) and a developer's own folders.
/// They are joined here so that this file does not hold them itself.
fn forbidden_names() -> Vec<String> {
    let hosts = [
        ["registry.npmjs", "org"],
        ["index.crates", "io"],
        ["static.crates", "io"],
        ["deb.debian", "org"],
        ["security.debian", "org"],
        ["archive.ubuntu", "com"],
        ["ports.ubuntu", "com"],
        ["registry-1.docker", "io"],
        ["pypi", "org"],
    ];
    let mut names: Vec<String> = hosts.iter().map(|parts| parts.join(".")).collect();
    names.push(["/wo", "rk/"].concat());
    names
}

/// Lines that name a registry's host or somebody's folder.
pub fn check_names(sources: &[Source]) -> Vec<Finding> {
    let forbidden = forbidden_names();
    let mut findings = Vec::new();
    for source in sources {
        for (index, line) in source.text.lines().enumerate() {
            for name in forbidden.iter().filter(|name| line.contains(name.as_str())) {
                // `…/work/…` as a folder of overlayfs is a word of the kernel, not somebody's folder.
                let alone = name.starts_with('/')
                    && !line.contains(&format!(" {name}"))
                    && !line.contains(&format!("\"{name}"));
                if !alone {
                    findings.push(Finding::new(
                        &source.path,
                        index + 1,
                        format!("names {name}: leave the choice to the machine"),
                    ));
                }
            }
        }
    }
    findings
}

/// Dependencies whose version is not fixed in one place: a member crate takes every version from the workspace, and a
/// package.json names exact versions.
pub fn check_versions(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for manifest in sources.iter().filter(|source| source.path.ends_with("/Cargo.toml")) {
        for (line, name) in super::layers::dependencies(&manifest.text) {
            let text = manifest.text.lines().nth(line - 1).unwrap_or_default();
            if !text.contains("workspace = true") {
                findings.push(Finding::new(
                    &manifest.path,
                    line,
                    format!("{name}: take the version from the workspace"),
                ));
            }
        }
    }
    for package in sources.iter().filter(|source| source.path.ends_with("package.json")) {
        let mut inside = false;
        for (index, line) in package.text.lines().enumerate() {
            if line.contains("ependencies\"") {
                inside = true;
            } else if line.trim_start().starts_with('}') {
                inside = false;
            } else if inside && !pins_exactly(line) {
                findings.push(Finding::new(&package.path, index + 1, "name one exact version"));
            }
        }
    }
    findings
}

/// Whether `"name": "1.2.3",` gives one version: digits first, and no range.
fn pins_exactly(line: &str) -> bool {
    let version = line.split('"').nth(3).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    version.starts_with(|c: char| c.is_ascii_digit())
        && version.matches('.').count() >= 2
        && version.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found_unless_it_is_excepted() {
        let long = Source::new("a/long.rs", &"line\n".repeat(LINES_MAX + 1));
        assert_eq!(check_lengths(std::slice::from_ref(&long), &[]).len(), 1);
        let exception = |lines_max, why| [LongFile { path: "a/long.rs", lines_max, why }];
        assert_eq!(check_lengths(std::slice::from_ref(&long), &exception(600, "a table")), []);
        assert_eq!(check_lengths(std::slice::from_ref(&long), &exception(600, "")).len(), 1);
        assert_eq!(check_lengths(&[long], &exception(500, "too small")).len(), 1);
    }

    #[test]
    fn a_stale_exception_is_found() {
        let exception = [LongFile { path: "a/short.rs", lines_max: 900, why: "it was long once" }];
        assert_eq!(check_lengths(&[Source::new("a/short.rs", "line")], &exception).len(), 1);
        assert_eq!(check_lengths(&[], &exception).len(), 1);
    }

    #[test]
    fn a_module_without_a_header_is_found() {
        let sources = [
            Source::new("a.rs", "// no\nuse b;"),
            Source::new("b.rs", "//! Yes.\n"),
            Source::new("c.ts", "x"),
        ];
        assert_eq!(check_headers(&sources).len(), 1);
    }

    #[test]
    fn hosts_and_folders_are_found() {
        for name in forbidden_names() {
            let found = check_names(&[Source::new("a.md", &format!("fetch it from {name}"))]);
            assert_eq!(found.len(), 1, "{name}");
        }
        assert_eq!(check_names(&[Source::new("a.rs", "overlay2/<id>/work/ is the kernel's")]), []);
    }

    #[test]
    fn loose_versions_are_found() {
        let cargo = Source::new("a/Cargo.toml", "[dependencies]\nserde = \"1\"\nbytes.workspace = true\n");
        assert_eq!(check_versions(&[cargo]).len(), 1);
        let npm = "{\n \"devDependencies\": {\n \"a\": \"^1.0.0\",\n \"b\": \"1.0\",\n \"c\": \"1.2.3\",\n \"d\": \"*\"\n }\n}";
        assert_eq!(check_versions(&[Source::new("web/package.json", npm)]).len(), 3);
    }
}
