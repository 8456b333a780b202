//! Which crate may import which. A lower crate never imports a higher one, and what talks over an API
//! does not also reach round it.

use super::{Finding, Source};

/// A crate, its folder, and the crates of the workspace that it may name.
pub struct Layer {
    /// The package's name.
    pub name: &'static str,
    /// Its folder, from the root of the repository.
    pub folder: &'static str,
    /// The packages that may stand in any of its dependency tables.
    pub may_import: &'static [&'static str],
}

/// Lowest first. The server and the lessons talk to an agent through its API alone, and an engine
/// belongs to the learner, so that nothing outside a lab may trust its code.
pub const LAYERS: [Layer; 8] = [
    Layer { name: "isolab-protocol", folder: "sandbox/protocol", may_import: &[] },
    Layer { name: "isolab-runtime", folder: "sandbox/runtime", may_import: &["isolab-protocol"] },
    Layer {
        name: "isolab-engine",
        folder: "sandbox/engine",
        may_import: &["isolab-protocol", "isolab-runtime"],
    },
    Layer { name: "isolab-vm", folder: "vagrant", may_import: &[] },
    Layer {
        name: "isolab-agent",
        folder: "sandbox/agent",
        may_import: &["isolab-protocol", "isolab-runtime", "isolab-vm"],
    },
    Layer { name: "isolab-lessons", folder: "lessons", may_import: &["isolab-protocol"] },
    Layer { name: "isolab", folder: "server", may_import: &["isolab-protocol", "isolab-lessons"] },
    Layer { name: "isolab-tests", folder: "tests", may_import: &["isolab-protocol"] },
];

/// Imports between crates that the table does not allow, crates that it does not know, and crates in it that are gone.
pub fn check(sources: &[Source], layers: &[Layer]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let manifests = sources.iter().filter(|source| source.path.ends_with("/Cargo.toml"));
    let mut seen = Vec::new();
    for manifest in manifests {
        let folder = manifest.path.trim_end_matches("/Cargo.toml");
        let Some(layer) = layers.iter().find(|layer| layer.folder == folder) else {
            findings.push(Finding::new(
                &manifest.path,
                1,
                "this crate has no layer: add it to tests/src/tidy/layers.rs",
            ));
            continue;
        };
        seen.push(layer.folder);
        for (line, name) in dependencies(&manifest.text) {
            let ours = layers.iter().any(|other| other.name == name);
            if ours && !layer.may_import.contains(&name) {
                let what = format!("{} may not import {name}; see tests/src/tidy/layers.rs", layer.name);
                findings.push(Finding::new(&manifest.path, line, what));
            }
        }
    }
    for layer in layers.iter().filter(|layer| !seen.contains(&layer.folder)) {
        findings.push(Finding::new(
            "tests/src/tidy/layers.rs",
            1,
            format!("there is no crate in {}", layer.folder),
        ));
    }
    findings
}

/// The names in every dependency table of a manifest, with their lines.
pub fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut inside = false;
    for (index, line) in manifest.lines().enumerate() {
        let line = line.trim();
        if let Some(table) = line.strip_prefix('[') {
            let table = table.trim_end_matches(']');
            inside = table.ends_with("dependencies");
            // The long form: [dependencies.name].
            if let Some((_, name)) = table.rsplit_once("dependencies.") {
                found.push((index + 1, name));
            }
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            let end = line.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
            found.push((index + 1, &line[..end.unwrap_or(line.len())]));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: [Layer; 2] = [
        Layer { name: "low", folder: "low", may_import: &[] },
        Layer { name: "high", folder: "high", may_import: &["low"] },
    ];

    #[test]
    fn an_import_upwards_is_found_in_every_table() {
        for table in [
            "[dependencies]\nhigh.workspace = true",
            "[dev-dependencies]\nhigh = { path = \"../high\" }",
            "[target.'cfg(unix)'.build-dependencies]\n# why\nhigh = \"1\"",
            "[dependencies.high]\npath = \"../high\"",
        ] {
            let found =
                check(&[Source::new("low/Cargo.toml", table), Source::new("high/Cargo.toml", "")], &TWO);
            assert_eq!(found.len(), 1, "{table}: {found:?}");
        }
    }

    #[test]
    fn an_import_downwards_and_a_strangers_crate_are_allowed() {
        let high = Source::new(
            "high/Cargo.toml",
            "[dependencies]\nlow.workspace = true\nserde = \"1\"\n[package]\nhigh = 1",
        );
        assert_eq!(check(&[Source::new("low/Cargo.toml", ""), high], &TWO), []);
    }

    #[test]
    fn a_crate_without_a_layer_and_a_layer_without_a_crate_are_found() {
        let found = check(&[Source::new("new/Cargo.toml", ""), Source::new("low/Cargo.toml", "")], &TWO);
        assert_eq!(found.len(), 2, "{found:?}");
    }
}
