//! Modules inside a crate import downwards only: no two of them need each other, directly or through others.
//!
//! A module and those inside it are one family: from outside they count as one, and what they import of each
//! other along the line of descent is their own affair. Between brothers and sisters no circle is allowed.
//!
//! An import is any path that leads into another module of the crate, in a `use`, in code or in a macro's
//! arguments. A `use` that only passes a name on (`pub use`) is a door, not an import: whoever goes through
//! it imports what is behind. Tests are not looked at.

use super::{Finding, Source, rust};
use proc_macro2::{Spacing, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use syn::visit::{self, Visit};

/// A path of names from the root of the crate; the root itself is empty.
type Name = Vec<String>;

/// One module: its imports as they are written, and the names that a `use` gives it.
struct Module {
    file: String,
    paths: Vec<(usize, Name)>,
    aliases: HashMap<String, Name>,
}

/// Cycles among the modules of every crate, one finding each.
pub fn check(sources: &[Source]) -> Vec<Finding> {
    let mut crates: BTreeMap<String, Vec<&Source>> = BTreeMap::new();
    for source in rust(sources) {
        if let Some((folder, _)) = source.path.split_once("/src/") {
            crates.entry(folder.to_owned()).or_default().push(source);
        }
    }
    crates.values().flat_map(|sources| check_crate(sources)).collect()
}

fn check_crate(sources: &[&Source]) -> Vec<Finding> {
    let has_library = sources.iter().any(|source| source.path.ends_with("/src/lib.rs"));
    let mut modules = BTreeMap::new();
    let mut tests = BTreeSet::new();
    for source in sources {
        let inside = source.path.split_once("/src/").map_or("", |(_, inside)| inside);
        // A program beside a library is a crate of its own, which nothing imports.
        let own_crate = (has_library && inside == "main.rs") || inside.starts_with("bin/");
        if let (false, Ok(file)) = (own_crate, syn::parse_file(&source.text)) {
            read_module(&source.path, name_of(inside), &file.items, &mut modules, &mut tests);
        }
    }
    modules.retain(|name: &Name, _| !tests.iter().any(|test| name.starts_with(test)));
    cycles(&edges(&modules))
}

/// `a/b.rs` and `a/b/mod.rs` are a::b; `lib.rs` and `main.rs` are the root.
fn name_of(inside: &str) -> Name {
    let mut parts: Name = inside.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if matches!(parts.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        parts.pop();
    }
    parts
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || (attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|what| what.is_ident("test")))
    })
}

fn read_module(
    file: &str,
    name: Name,
    items: &[syn::Item],
    modules: &mut BTreeMap<Name, Module>,
    tests: &mut BTreeSet<Name>,
) {
    let mut module = Module { file: file.to_owned(), paths: Vec::new(), aliases: HashMap::new() };
    for item in items {
        match item {
            syn::Item::Mod(inner) => {
                let inner_name: Name = name.iter().cloned().chain([inner.ident.to_string()]).collect();
                if is_test(&inner.attrs) {
                    tests.insert(inner_name);
                } else if let Some((_, items)) = &inner.content {
                    read_module(file, inner_name, items, modules, tests);
                }
            }
            syn::Item::Use(item) if !is_test(&item.attrs) => {
                let door = !matches!(item.vis, syn::Visibility::Inherited);
                let line = item.use_token.span.start().line;
                read_use(&item.tree, Vec::new(), line, door, &mut module);
            }
            syn::Item::Fn(function) if is_test(&function.attrs) => {}
            other => PathReader { module: &mut module }.visit_item(other),
        }
    }
    modules.insert(name, module);
}

fn read_use(tree: &syn::UseTree, mut before: Name, line: usize, door: bool, module: &mut Module) {
    let (full, alias) = match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            return read_use(&path.tree, before, line, door, module);
        }
        syn::UseTree::Group(group) => {
            return group.items.iter().for_each(|tree| read_use(tree, before.clone(), line, door, module));
        }
        syn::UseTree::Name(name) if name.ident == "self" => (before.clone(), before.last().cloned()),
        syn::UseTree::Name(name) => (joined(before, &name.ident), Some(name.ident.to_string())),
        syn::UseTree::Rename(rename) => (joined(before, &rename.ident), Some(rename.rename.to_string())),
        syn::UseTree::Glob(_) => (before, None),
    };
    if let Some(alias) = alias {
        module.aliases.insert(alias, full.clone());
    }
    if !door {
        module.paths.push((line, full));
    }
}

fn joined(mut before: Name, ident: &syn::Ident) -> Name {
    before.push(ident.to_string());
    before
}

/// Collects every path in an item's code, the arguments of macros included.
struct PathReader<'a> {
    module: &'a mut Module,
}

impl<'ast> Visit<'ast> for PathReader<'_> {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let (None, Some(first)) = (&path.leading_colon, path.segments.first()) {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.module.paths.push((first.ident.span().start().line, names));
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        read_tokens(call.tokens.clone(), self.module);
        visit::visit_macro(self, call);
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        read_use(&item.tree, Vec::new(), item.use_token.span.start().line, false, self.module);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }
}

/// Paths in tokens that nobody has parsed: names with `::` between them.
fn read_tokens(tokens: TokenStream, module: &mut Module) {
    let mut path: Name = Vec::new();
    let mut line = 0;
    let mut colons = 0;
    for token in tokens {
        match token {
            TokenTree::Ident(ident) if colons == 2 && !path.is_empty() => path.push(ident.to_string()),
            TokenTree::Ident(ident) => {
                module.paths.push((line, std::mem::take(&mut path)));
                line = ident.span().start().line;
                path = vec![ident.to_string()];
            }
            TokenTree::Punct(mark) if mark.as_char() == ':' => {
                colons = if mark.spacing() == Spacing::Joint { 1 } else { colons + 1 };
                continue;
            }
            TokenTree::Group(group) => {
                module.paths.push((line, std::mem::take(&mut path)));
                read_tokens(group.stream(), module);
            }
            _ => module.paths.push((line, std::mem::take(&mut path))),
        }
        colons = 0;
    }
    module.paths.push((line, path));
}

/// An import: who, whom, and where it is written.
struct Edge {
    from: Name,
    to: Name,
    file: String,
    line: usize,
}

fn edges(modules: &BTreeMap<Name, Module>) -> Vec<Edge> {
    let mut found: BTreeMap<(Name, Name), Edge> = BTreeMap::new();
    for (from, module) in modules {
        for (line, path) in &module.paths {
            if let Some((one, other)) = resolve(modules, from, path, 0).and_then(|to| siblings(from, &to)) {
                let edge =
                    Edge { from: one.clone(), to: other.clone(), file: module.file.clone(), line: *line };
                found.entry((one, other)).or_insert(edge);
            }
        }
    }
    found.into_values().collect()
}

/// The two families below the nearest common ancestor that an import leads between; none along the line of descent.
fn siblings(from: &Name, to: &Name) -> Option<(Name, Name)> {
    let common = from.iter().zip(to).take_while(|(a, b)| a == b).count();
    (common < from.len() && common < to.len()).then(|| (from[..=common].to_vec(), to[..=common].to_vec()))
}

/// The module of this crate that `path`, written in module `from`, leads to; names passed on are followed.
fn resolve(modules: &BTreeMap<Name, Module>, from: &Name, path: &[String], depth: usize) -> Option<Name> {
    /// Longer chains of doors than this do not occur; a ring of them would never end.
    const DOORS_MAX: usize = 16;
    let mut at = from.clone();
    let mut rest = path;
    match path.first().map(String::as_str) {
        Some("crate") => (at, rest) = (Name::new(), &path[1..]),
        Some("self") => rest = &path[1..],
        Some("super") => {}
        Some(first) if modules.contains_key(&[from.as_slice(), &[first.to_owned()]].concat()) => {}
        Some(first) => {
            // A name that a `use` gave: that line is the import already, unless it leads to something inside.
            let alias =
                modules.get(from)?.aliases.get(first).filter(|_| depth < DOORS_MAX && path.len() > 1)?;
            return resolve(modules, from, &[alias.as_slice(), &path[1..]].concat(), depth + 1)
                .filter(|_| alias.first().is_some_and(|name| name != first));
        }
        None => return None,
    }
    while let Some(name) = rest.first() {
        let inner = [at.as_slice(), std::slice::from_ref(name)].concat();
        if name == "super" {
            at.pop();
        } else if modules.contains_key(&inner) {
            at = inner;
        } else {
            let door =
                modules.get(&at).and_then(|module| module.aliases.get(name)).filter(|_| depth < DOORS_MAX);
            return match door {
                Some(alias) => {
                    let behind = [alias.as_slice(), &rest[1..]].concat();
                    // A door to another crate leads out of this one.
                    resolve(modules, &at, &behind, depth + 1)
                }
                None => Some(at),
            };
        }
        rest = &rest[1..];
    }
    Some(at)
}

/// One finding for each cycle; an import is reported once.
fn cycles(edges: &[Edge]) -> Vec<Finding> {
    let mut live: Vec<&Edge> = edges.iter().collect();
    let mut findings = Vec::new();
    loop {
        // What imports nothing that is left, or is imported by nothing that is left, is in no cycle.
        loop {
            let before = live.len();
            let from: BTreeSet<&Name> = live.iter().map(|edge| &edge.from).collect();
            let to: BTreeSet<&Name> = live.iter().map(|edge| &edge.to).collect();
            live.retain(|edge| from.contains(&edge.to) && to.contains(&edge.from));
            if live.len() == before {
                break;
            }
        }
        let Some(cycle) = walk(&live) else { return findings };
        let steps: Vec<String> = cycle
            .iter()
            .map(|edge| {
                format!(
                    "{} imports {} ({}:{})",
                    edge.from.join("::"),
                    edge.to.join("::"),
                    edge.file,
                    edge.line
                )
            })
            .collect();
        let last = cycle[cycle.len() - 1];
        findings.push(Finding::new(
            &last.file,
            last.line,
            format!("modules in a circle: {}", steps.join(", ")),
        ));
        live.retain(|edge| !std::ptr::eq(*edge, last));
    }
}

/// Follows imports until a module comes again; every module that is left imports another that is left.
fn walk<'a>(live: &[&'a Edge]) -> Option<Vec<&'a Edge>> {
    let mut path: Vec<&Edge> = vec![live.first()?];
    loop {
        let here = &path[path.len() - 1].to;
        if let Some(start) = path.iter().position(|edge| &edge.from == here) {
            return Some(path.split_off(start));
        }
        path.push(live.iter().find(|edge| &edge.from == here)?);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<Finding> {
        let sources: Vec<Source> =
            files.iter().map(|(path, text)| Source::new(&format!("x/src/{path}"), text)).collect();
        check(&sources)
    }

    #[test]
    fn two_modules_that_need_each_other_are_found_however_they_say_so() {
        let a = ("a.rs", "use crate::b::B;");
        for b in [
            "use crate::a::A;",
            "use super::a::{self, A};",
            "use super::a::*;",
            "fn f() -> crate::a::A { todo() }",
            "fn f() { println!(\"{}\", crate::a::f()) }",
            "fn f() { use crate::a; }",
        ] {
            assert_eq!(found(&[("lib.rs", "mod a; mod b;"), a, ("b.rs", b)]).len(), 1, "{b}");
        }
    }

    #[test]
    fn a_longer_circle_and_one_between_families_are_found() {
        let three =
            [("lib.rs", ""), ("a.rs", "use crate::b;"), ("b.rs", "use crate::c;"), ("c.rs", "use crate::a;")];
        assert_eq!(found(&three).len(), 1);
        let families = [
            ("lib.rs", ""),
            ("a/mod.rs", ""),
            ("a/x.rs", "use crate::b::y;"),
            ("b/y.rs", ""),
            ("b/z.rs", "use crate::a;"),
            ("b.rs", ""),
        ];
        assert_eq!(found(&families).len(), 1);
    }

    #[test]
    fn doors_are_followed_and_are_not_imports() {
        let through_root =
            [("lib.rs", "mod a; mod b; pub use a::A;"), ("a.rs", "pub struct A;"), ("b.rs", "use crate::A;")];
        assert_eq!(found(&through_root), []);
        let circle = [
            ("lib.rs", "mod a; mod b; pub use a::A;"),
            ("a.rs", "use crate::b::B;"),
            ("b.rs", "use crate::A;"),
        ];
        assert_eq!(found(&circle).len(), 1);
    }

    #[test]
    fn downwards_tests_and_other_crates_are_allowed() {
        let files = [
            ("lib.rs", "mod a; mod b; use a::f;"),
            ("a.rs", "use crate::b::B; use std::b; fn f() { other::a::b() }"),
            ("d/mod.rs", "mod e; fn f() { e::g() } pub fn h() {}"),
            ("d/e.rs", "use super::h; use crate::a::f;"),
            ("b.rs", "pub struct B; #[cfg(test)] mod tests { use crate::a; } #[cfg(test)] mod c;"),
            ("b/c.rs", "use crate::a::f;"),
            ("main.rs", "use x::a;"),
        ];
        assert_eq!(found(&files), []);
    }
}
