//! Claim: files inside a room form no circle, sub-folders included: each can be read after those that it uses.
//!
//! A folder's front page is its `mod.rs`, or the file of its name. A name that a page re-exports counts as one of the file
//! that it comes from. What a page defines itself is the common language of its folder: the files inside may use it, as
//! the page may use them, so an import of one's own page, or of the page of a folder around it, forms no circle. To every
//! other file a page is a file like any.

use crate::{code, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// `["audit", "doctor", "curve"]`.
type Module = Vec<String>;

/// A file: its modules inside, the paths that it names, and where the names that it re-exports come from.
#[derive(Default)]
struct File {
    names: Vec<Module>,
    exports: BTreeMap<String, Module>,
}

/// The files of a crate by their modules.
struct Crate(BTreeMap<Module, File>);

/// Where a path starts that is written in a module.
fn start(module: &[String], path: &[String]) -> Module {
    let supers = path.iter().take_while(|part| *part == "super").count();
    match path[0].as_str() {
        "crate" => path[1..].to_vec(),
        "self" => [module, &path[1..]].concat(),
        "super" => [&module[..module.len().saturating_sub(supers)], &path[supers..]].concat(),
        _ => [module, path].concat(),
    }
}

/// `[a, b, c]` and `[a, d]` of `a::{b::c, d as e}`, each with the name under which it is known then.
fn paths(tree: &str) -> Vec<(Module, String)> {
    let tree = tree.trim_start();
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(tree.len());
    let (head, rest) = tree.split_at(end);
    let Some(rest) = rest.strip_prefix("::") else {
        let alias = rest.trim_start().strip_prefix("as ").map(crate::head);
        return vec![(vec![head.to_owned()], alias.unwrap_or_else(|| head.to_owned()))];
    };
    let inner = match rest.trim_start().strip_prefix('{') {
        Some(group) => crate::group_parts(group).into_iter().flat_map(paths).collect(),
        None => paths(rest),
    };
    inner.into_iter().map(|(path, name)| ([&[head.to_owned()], &path[..]].concat(), name)).collect()
}

impl Crate {
    fn new(files: &[(&Path, &str)]) -> Self {
        let module = |file: &Path| -> Module {
            let parts = file.with_extension("");
            let parts = parts.iter().map(|part| part.to_string_lossy().into_owned());
            parts.filter(|part| part != "mod").collect()
        };
        let mut all: BTreeMap<Module, File> =
            files.iter().map(|(file, _)| (module(file), File::default())).collect();
        let modules: BTreeSet<Module> = all.keys().cloned().collect();
        for (file, text) in files {
            let (here, code) =
                (module(file), code(text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()));
            let children = modules.iter().filter(|child| child.split_last().unwrap().1 == here);
            let heads =
                children.map(|child| child.last().unwrap().as_str()).chain(["crate", "self", "super"]);
            let found = all.get_mut(&here).expect("a file of its own");
            for (at, _) in heads.flat_map(|head| code.match_indices(&format!("{head}::")).collect::<Vec<_>>())
            {
                if code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:.$".contains(c)) {
                    continue; // the end of a longer name, the middle of a path, or `$crate::`
                }
                let statement = code[..at].rsplit([';', '}']).next().unwrap_or_default().trim();
                let exported = statement.starts_with("pub") && statement.ends_with("use");
                for (path, name) in paths(&code[at..]) {
                    let path = start(&here, &path);
                    if exported {
                        found.exports.insert(name, path.clone());
                    }
                    found.names.push(path);
                }
            }
        }
        Self(all)
    }

    /// The file that a path leads to, if it is one of this crate.
    fn file(&self, path: &[String]) -> Option<Module> {
        let depth = (1..=path.len()).rev().find(|&depth| self.0.contains_key(&path[..depth]))?;
        let (file, rest) = path.split_at(depth);
        let exported = rest.first().and_then(|name| self.0[file].exports.get(name));
        match exported {
            Some(origin) => self.file(&[origin, &rest[1..]].concat()).or(Some(file.to_vec())),
            None => Some(file.to_vec()),
        }
    }

    /// Files that use each other in a circle, in order.
    fn circle(&self) -> Option<Vec<String>> {
        let mut uses: BTreeMap<&Module, BTreeSet<Module>> = BTreeMap::new();
        for (file, found) in &self.0 {
            let others = found.names.iter().filter_map(|path| self.file(path));
            let others = others.filter(|other| other[0] == file[0] && !file.starts_with(other));
            uses.insert(file, others.collect());
        }
        // What uses nothing that is left is in no circle.
        while let Some(done) = uses.iter().find(|(_, others)| others.is_empty()).map(|(file, _)| *file) {
            uses.remove(done);
            for others in uses.values_mut() {
                others.remove(done);
            }
        }
        let mut walk = vec![(*uses.keys().next()?).clone()];
        loop {
            let next = uses[walk.last()?].first()?.clone();
            let begun = walk.iter().position(|file| *file == next);
            walk.push(next);
            if let Some(begun) = begun {
                return Some(walk[begun..].iter().map(|file| file.join("/")).collect());
            }
        }
    }
}

#[test]
fn files_inside_a_room_form_no_circle() {
    let all = sources("src");
    let files: Vec<(&Path, &str)> = all.iter().map(|(file, text)| (file.as_path(), text.as_str())).collect();
    let circle = Crate::new(&files).circle();
    assert!(circle.is_none(), "each of these uses the next: {circle:?}");
}

fn circle(files: &[(&str, &str)]) -> Option<Vec<String>> {
    Crate::new(&files.iter().map(|(file, text)| (Path::new(file), *text)).collect::<Vec<_>>()).circle()
}

#[test]
fn a_circle_is_found_wherever_its_imports_stand() {
    let b = ("room/b.rs", "use super::c;\nfn f() { c::g() }");
    let c = |text| ("room/sub/c.rs", text);
    let page = ("room/mod.rs", "pub mod a;\npub mod b;\nmod sub;\npub use sub::{c, c::C as Renamed};");
    let pages = [page, ("room/sub/mod.rs", "pub mod c;"), ("room/a.rs", "use super::b::{self, B};"), b];
    let with = |text| circle(&[&pages[..], &[c(text)]].concat());
    for closing in [
        "use super::super::a::A;",
        "use crate::room::{a::A, b};",
        "fn f() -> crate::room::a::A {}",
        "use crate::{base, room::{\n    a as first,\n}};",
    ] {
        let circle = with(closing).expect(closing);
        assert_eq!(circle.first(), circle.last(), "{closing}");
        assert!(circle.len() >= 3, "{closing}: {circle:?}");
    }
    for open in ["", "use super::X;", "use crate::room::Y;", "// use crate::room::a;", "use crate::other::a;"]
    {
        assert_eq!(with(open), None, "{open}");
    }
}

#[test]
fn a_re_export_leads_to_the_file_that_it_comes_from() {
    let page = "mod a;\nmod b;\npub(crate) use a::A as One;\npub use b::B;";
    let files = |b| [("room/mod.rs", page), ("room/a.rs", "use super::B;"), ("room/b.rs", b)];
    assert_eq!(circle(&files("use super::One;")).map(|circle| circle.len()), Some(3));
    assert_eq!(circle(&files("use super::Own;")), None);
}

#[test]
fn a_page_is_a_file_like_any_to_those_outside_of_its_folder() {
    let files = |outside| {
        [
            ("room/mod.rs", "mod sub;\nmod out;"),
            ("room/sub/mod.rs", "mod c;\nuse c::C;\nstruct S;"),
            ("room/sub/c.rs", "use crate::room::out::Out;\nuse super::S;"),
            ("room/out.rs", outside),
        ]
    };
    assert_eq!(circle(&files("use super::sub::S;")).map(|circle| circle.len()), Some(4));
    assert_eq!(circle(&files("use super::S;")), None);
}
