//! A map that has drifted is worse than none: every path that ARCHITECTURE.md, README.md or CONTRIBUTING.md
//! names in backticks has to exist.

use super::{Finding, Source};

/// Paths named in backticks that `exists` does not know. A path is a word with a slash in it that begins with one
/// of the `rooms` (the top-level names of the repository).
pub fn check(page: &Source, rooms: &[String], exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in page.text.lines().enumerate() {
        for word in line.split('`').skip(1).step_by(2) {
            let path = word.trim_end_matches('/');
            let is_path = word.contains('/') && !word.contains([' ', '<', '*', '…', '$', '{']);
            let ours = path.split('/').next().is_some_and(|first| rooms.iter().any(|room| room == first));
            if is_path && ours && !exists(path) {
                findings.push(Finding::new(
                    &page.path,
                    index + 1,
                    format!("names `{word}`, which does not exist"),
                ));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_gone_is_found() {
        let page = Source::new(
            "MAP.md",
            "See `web/gone.ts`, `web/here.ts`, `web/<any>/x`, `GET /web/x` and `other/thing`.",
        );
        let found = check(&page, &["web".to_owned()], |path| path == "web/here.ts");
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.contains("web/gone.ts"));
    }

    #[test]
    fn a_room_with_a_slash_at_its_end_is_a_path() {
        let page = Source::new("MAP.md", "The `vagrant/` room.");
        assert_eq!(check(&page, &["vagrant".to_owned()], |_| false).len(), 1);
        assert_eq!(check(&page, &["vagrant".to_owned()], |path| path == "vagrant"), []);
    }
}
