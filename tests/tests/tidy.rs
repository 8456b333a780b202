//! The rules of the house, applied to this repository. The rules themselves, each with a text that breaks it,
//! are in `src/tidy`.
#![forbid(unsafe_code)]

use isolab_tests::tidy::{Finding, Source, architecture, files, layers, modules, sources, unsafety};
use std::path::{Path, PathBuf};

/// Files longer than the limit, each with its own limit and the reason.
const LONG_FILES: [files::LongFile; 0] = [];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the repository").to_owned()
}

fn repository() -> Vec<Source> {
    let sources = sources(&root()).expect("the repository can be read");
    assert!(sources.iter().any(|source| source.path == "Cargo.toml"), "this is not the repository");
    sources
}

fn none(findings: Vec<Finding>) {
    let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert!(lines.is_empty(), "{} findings:\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn crates_import_downwards_only() {
    none(layers::check(&repository(), &layers::LAYERS));
}

#[test]
fn modules_import_downwards_only() {
    none(modules::check(&repository()));
}

#[test]
fn unsafe_code_lives_in_one_file_and_is_argued() {
    none(unsafety::check(&repository()));
}

#[test]
fn every_module_says_what_it_is_for() {
    none(files::check_headers(&repository()));
}

#[test]
fn files_can_be_read_in_one_sitting() {
    none(files::check_lengths(&repository(), &LONG_FILES));
}

#[test]
fn nothing_names_a_host_or_folder_of_one_machine() {
    none(files::check_names(&repository()));
}

#[test]
fn versions_are_fixed_in_one_place() {
    none(files::check_versions(&repository()));
}

#[test]
fn the_pages_about_the_code_name_paths_that_exist() {
    let repository = repository();
    let rooms: Vec<String> = std::fs::read_dir(root())
        .expect("the repository can be read")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .chain(["vagrant".to_owned()]) // planned; naming a path in it before it is there is a finding
        .collect();
    for page in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let source = repository.iter().find(|source| source.path == page);
        let source = source.unwrap_or_else(|| panic!("{page} is missing"));
        none(architecture::check(source, &rooms, |path| root().join(path).exists()));
    }
}
