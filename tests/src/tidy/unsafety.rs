//! Where `unsafe` may stand (one file), and what must stand above it (an argument for that very call).

use super::{Finding, Source, rust};
use std::collections::HashMap;
use syn::visit::{self, Visit};

/// The one file that may hold `unsafe`.
pub const UNSAFE_FILE: &str = "sandbox/runtime/src/sys.rs";

/// The crate that holds it; every other crate root forbids `unsafe` outright.
const UNSAFE_CRATE_ROOT: &str = "sandbox/runtime/src/lib.rs";

/// `unsafe` outside the one file, unsafe blocks without an argument of their own, and crate roots that do not forbid it.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in rust(sources) {
        let file = match syn::parse_file(&source.text) {
            Ok(file) => file,
            Err(error) => {
                findings.push(Finding::new(
                    &source.path,
                    error.span().start().line,
                    format!("cannot be parsed: {error}"),
                ));
                continue;
            }
        };
        if is_crate_root(&source.path) && !guards(&file, &source.path) {
            findings.push(Finding::new(&source.path, 1, "a crate root says #![forbid(unsafe_code)]"));
        }
        let mut places = Places::default();
        places.visit_file(&file);
        if source.path == UNSAFE_FILE {
            findings.extend(check_arguments(source, &places.blocks));
        } else {
            let all = places.blocks.iter().chain(&places.declarations);
            findings.extend(
                all.map(|&line| {
                    Finding::new(&source.path, line, format!("`unsafe` belongs in {UNSAFE_FILE}"))
                }),
            );
        }
    }
    findings
}

/// A crate root is `lib.rs` or `main.rs` in a `src`, or a file of `src/bin` or of a crate's `tests`.
fn is_crate_root(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    match parts.as_slice() {
        [.., "src", "lib.rs" | "main.rs"] | [.., "src", "bin", _] => true,
        [.., before, "tests", _] => *before != "src",
        _ => false,
    }
}

fn guards(file: &syn::File, path: &str) -> bool {
    let wanted = if path == UNSAFE_CRATE_ROOT { ["deny", "forbid"] } else { ["forbid", "forbid"] };
    file.attrs.iter().any(|attribute| {
        let named = wanted.iter().any(|name| attribute.path().is_ident(name));
        named && attribute.parse_args::<syn::Path>().is_ok_and(|lint| lint.is_ident("unsafe_code"))
    })
}

/// Lines on which something unsafe begins.
#[derive(Default)]
struct Places {
    blocks: Vec<usize>,
    declarations: Vec<usize>,
}

impl<'ast> Visit<'ast> for Places {
    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.blocks.push(block.unsafe_token.span.start().line);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.declarations.extend(signature.unsafety.as_ref().map(|token| token.span.start().line));
        visit::visit_signature(self, signature);
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        self.declarations.extend(item.unsafety.as_ref().map(|token| token.span.start().line));
        visit::visit_item_impl(self, item);
    }

    fn visit_item_foreign_mod(&mut self, item: &'ast syn::ItemForeignMod) {
        self.declarations.push(item.abi.extern_token.span.start().line);
        visit::visit_item_foreign_mod(self, item);
    }
}

/// Unsafe blocks without a SAFETY comment of their own, and comments that are said of two blocks alike.
fn check_arguments(source: &Source, blocks: &[usize]) -> Vec<Finding> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut said: HashMap<String, usize> = HashMap::new();
    let mut findings = Vec::new();
    for &line in blocks {
        let Some(argument) = argument_above(&lines, line) else {
            findings.push(Finding::new(&source.path, line, "an unsafe block needs a SAFETY comment"));
            continue;
        };
        if let Some(earlier) = said.insert(argument, line) {
            let what = format!("the same SAFETY comment as at line {earlier}: argue this very call");
            findings.push(Finding::new(&source.path, line, what));
        }
    }
    findings
}

/// The comment that begins with SAFETY above the statement that `line` (from 1) is part of.
fn argument_above(lines: &[&str], line: usize) -> Option<String> {
    /// A statement that takes more lines than this before its unsafe block should be split.
    const STATEMENT_LINES_MAX: usize = 6;
    let is_comment = |index: usize| lines[index].trim_start().starts_with("//");
    let mut end = line.checked_sub(1)?;
    let lowest = end.saturating_sub(STATEMENT_LINES_MAX);
    while !is_comment(end) {
        end = end.checked_sub(1).filter(|&index| index >= lowest && !lines[index].trim().is_empty())?;
    }
    let mut start = end;
    while start > 0 && is_comment(start - 1) {
        start -= 1;
    }
    let text: Vec<&str> =
        lines[start..=end].iter().map(|line| line.trim().trim_start_matches('/').trim()).collect();
    let text = text.join(" ");
    text.find("SAFETY:").map(|at| text[at..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<Finding> {
        check(&[Source::new(path, text)])
    }

    #[test]
    fn unsafe_outside_its_file_is_found() {
        for text in [
            "fn f() { unsafe { g() } }",
            "unsafe fn f() {}",
            "unsafe impl Send for X {}",
            "unsafe extern \"C\" { fn f(); }",
        ] {
            assert_eq!(found("server/src/other.rs", text).len(), 1, "{text}");
        }
        assert_eq!(found("server/src/other.rs", "// unsafe { }\nconst WORD: &str = \"unsafe\";"), []);
    }

    #[test]
    fn a_crate_root_must_forbid_it() {
        for path in ["server/src/main.rs", "lessons/src/lib.rs", "server/src/bin/x.rs", "tests/tests/x.rs"] {
            assert_eq!(found(path, "fn f() {}").len(), 1, "{path}");
            assert_eq!(found(path, "#![forbid(unsafe_code)]\nfn f() {}"), [], "{path}");
        }
        assert_eq!(found("server/src/lib.rs", "#![deny(unsafe_code)]").len(), 1);
        assert_eq!(found(UNSAFE_CRATE_ROOT, "#![deny(unsafe_code)]"), []);
    }

    #[test]
    fn a_block_needs_an_argument_of_its_own() {
        assert_eq!(found(UNSAFE_FILE, "fn f() {\n    unsafe { g() }\n}").len(), 1);
        let argued = "fn f() {\n    // SAFETY: g takes nothing\n    // and keeps nothing.\n    let x =\n        unsafe { g() };\n}";
        assert_eq!(found(UNSAFE_FILE, argued), []);
        let far = "fn f() {\n    // SAFETY: of something else.\n\n    unsafe { g() }\n}";
        assert_eq!(found(UNSAFE_FILE, far).len(), 1);
    }

    #[test]
    fn one_argument_for_two_blocks_is_found() {
        let text = "fn f() {\n    // SAFETY: sound.\n    unsafe { g() };\n    // SAFETY: sound.\n    unsafe { h() };\n}";
        assert_eq!(found(UNSAFE_FILE, text).len(), 1);
    }
}
