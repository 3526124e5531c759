//! The programs of the packages, and which one is the application.
//!
//! Beside it, the program of SeaORM's migration crate. In this order: the programs that `run.command`,
//! `run.processes` or the Procfile name; `default-run`; the only program; the only one of a package with a
//! web framework; of several the one that is called like the package, or like a server. Several that
//! nothing tells apart are refused by name.

use windlass_plugin_common::compiled;
use windlass_plugin_common::programs::{self, Choice};

use crate::facts::Facts;
use crate::manifest::{Manifest, is_member};
use crate::{framework, migration};

/// Folders whose programs are not the application.
const ASIDE: [&str; 10] = [
    "xtask",
    "examples",
    "example",
    "benches",
    "benchmarks",
    "fuzz",
    "tests",
    "tools",
    "scripts",
    "codegen",
];

/// A program that a package makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// Name of its package.
    pub(crate) package: String,
    /// Folder of its package, `""` for the root.
    pub(crate) folder: String,
    /// What it is called.
    pub(crate) name: String,
    /// Its main file.
    pub(crate) file: String,
}

impl programs::Program for Program {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Chooses.
pub(crate) fn choose(facts: &Facts) -> Choice<Program> {
    programs::choose(
        &main_ones(facts),
        &facts.settings,
        &facts.declared,
        facts.source,
        |one| migration::is_migrator(facts, one),
        |rest| main_one(facts, rest),
    )
}

/// The application among programs of which no command is declared.
fn main_one(facts: &Facts, programs: &[Program]) -> Choice<Program> {
    let package = |program: &Program| facts.packages.get(&program.folder);
    let default = |program: &&Program| {
        package(program).and_then(|package| package.default_run.as_deref()) == Some(&program.name)
    };
    let mut defaults = programs.iter().filter(default);
    if let (Some(one), None) = (defaults.next(), defaults.next()) {
        return Choice::Built(vec![one.clone()]);
    }
    match programs {
        [] => return Choice::None,
        [only] => return Choice::Built(vec![only.clone()]),
        _ => {}
    }
    let serves = |program: &&Program| package(program).is_some_and(|p| framework::of(p).is_some());
    let serving: Vec<&Program> = programs.iter().filter(serves).collect();
    if let [only] = serving.as_slice() {
        return Choice::Built(vec![(*only).clone()]);
    }
    let among: Vec<&Program> = if serving.is_empty() { programs.iter().collect() } else { serving };
    let names: Vec<&str> = among.iter().map(|program| program.name.as_str()).collect();
    let root = facts.root.as_ref().and_then(|root| root.package.as_deref());
    let project = root.or_else(|| only_package(&among)).unwrap_or_default();
    match compiled::likely(&names, project) {
        Some(name) => {
            let one = among.into_iter().find(|program| program.name == name);
            Choice::Built(one.cloned().into_iter().collect())
        }
        None if facts.settings.build.command.is_some() || facts.declared.web.is_some() => {
            Choice::Built(programs.to_vec())
        }
        None => Choice::Several(programs.to_vec()),
    }
}

/// The package that all of these belong to. Programs of several packages of a workspace are each called like
/// their own, which says nothing.
fn only_package<'a>(programs: &[&'a Program]) -> Option<&'a str> {
    let first = programs.first()?.package.as_str();
    programs.iter().all(|program| program.package == first).then_some(first)
}

/// Says which programs are not run although they could be: see [`programs::say_rest`].
pub(crate) fn say_rest(facts: &Facts, built: &[Program]) {
    if facts.declared.web.is_none() {
        programs::say_rest(&main_ones(facts), built);
    }
}

/// The programs of the default members, or of all where those have none.
fn main_ones(facts: &Facts) -> Vec<Program> {
    let aside = |one: &Program| one.folder.split('/').any(|part| ASIDE.contains(&part));
    let packages = facts.packages.iter();
    let every: Vec<Program> =
        packages.flat_map(|(folder, package)| of_package(facts, folder, package)).collect();
    let mut all: Vec<Program> = every.iter().filter(|one| !aside(one)).cloned().collect();
    if all.is_empty() {
        all = every.into_iter().filter(|one| one.name != "xtask").collect();
    }
    let globs = facts.root.as_ref().map(|root| root.default_members.as_slice()).unwrap_or_default();
    let is_default = |one: &&Program| globs.iter().any(|glob| is_member(glob, &one.folder));
    let defaults: Vec<Program> = all.iter().filter(is_default).cloned().collect();
    if defaults.is_empty() { all } else { defaults }
}

fn of_package(facts: &Facts, folder: &str, package: &Manifest) -> Vec<Program> {
    let Some(name) = &package.package else {
        return Vec::new();
    };
    let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let program = |program: &str, file: String| Program {
        package: name.clone(),
        folder: folder.to_owned(),
        name: program.to_owned(),
        file,
    };
    let bin = format!("{prefix}src/bin/");
    let mut found: Vec<Program> = Vec::new();
    for (bin_name, path) in &package.bins {
        let usual = if bin_name == name {
            "src/main.rs".to_owned()
        } else {
            format!("src/bin/{bin_name}.rs")
        };
        found.push(program(bin_name, format!("{prefix}{}", path.as_ref().unwrap_or(&usual))));
    }
    if package.autobins {
        let main = format!("{prefix}src/main.rs");
        let taken = found.iter().any(|one| one.file == main);
        if facts.has(&main) && !taken {
            found.push(program(name, main));
        }
        for path in facts.files.iter().filter(|path| path.starts_with(&bin)) {
            let rest = &path[bin.len()..];
            let called = rest.strip_suffix("/main.rs").or_else(|| rest.strip_suffix(".rs"));
            let Some(called) = called.filter(|called| !called.contains('/')) else {
                continue;
            };
            if !found.iter().any(|one| one.name == called || one.file == *path) {
                found.push(program(called, path.clone()));
            }
        }
    }
    found
}
