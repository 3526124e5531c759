//! The programs of the source, and which one is the application.
//!
//! In this order: the programs that `run.command`, `run.processes` or the Procfile name; the module's
//! root; the only `cmd/<name>`; of several the one that is called like the module, or like a server;
//! then the same of folders elsewhere. Several that nothing tells apart are refused by name.

use std::collections::BTreeSet;

use windlass_plugin_common::compiled;
use windlass_plugin_common::programs::{self, Choice};

use crate::facts::{Facts, folder};
use crate::module::Module;

/// A `package main`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its folder, `""` for the root.
    pub(crate) folder: String,
    /// What it is called.
    pub(crate) name: String,
    /// A file of it that shows that it is one.
    pub(crate) file: String,
    rank: u8,
}

impl programs::Program for Program {
    fn name(&self) -> &str {
        &self.name
    }
}

/// Chooses.
pub(crate) fn choose(facts: &Facts) -> Choice<Program> {
    let main = |rest: &[Program]| main_one(facts, rest);
    programs::choose(&all(facts), &facts.settings, &facts.declared, facts.source, |_| false, main)
}

/// The application among programs of which no command is declared.
fn main_one(facts: &Facts, programs: &[Program]) -> Choice<Program> {
    let Some(best) = programs.iter().map(|program| program.rank).min() else {
        return Choice::None;
    };
    let best: Vec<&Program> = programs.iter().filter(|program| program.rank == best).collect();
    let names: Vec<&str> = best.iter().map(|program| program.name.as_str()).collect();
    let root = facts.modules.get("").or_else(|| only_module(facts, &best));
    let project = root.map(Module::name).unwrap_or_default();
    let likely = compiled::likely(&names, project);
    match (best.as_slice(), likely) {
        ([only], _) => Choice::Built(vec![(*only).clone()]),
        (_, Some(name)) => {
            let one = best.iter().find(|program| program.name == name);
            Choice::Built(one.map(|one| (*one).clone()).into_iter().collect())
        }
        _ if facts.settings.build.command.is_some() || facts.declared.web.is_some() => {
            Choice::Built(programs.to_vec())
        }
        _ => Choice::Several(best.into_iter().cloned().collect()),
    }
}

/// The module that all of these belong to. Programs of several modules of a workspace are each called like
/// their own, which says nothing.
fn only_module<'f>(facts: &'f Facts, programs: &[&Program]) -> Option<&'f Module> {
    let mut modules = programs.iter().map(|program| facts.module_of(&program.folder).0);
    let first = modules.next()?;
    modules.all(|module| module == first).then(|| facts.modules.get(&first)).flatten()
}

/// Says which programs are not run although they could be: see [`programs::say_rest`].
pub(crate) fn say_rest(facts: &Facts, built: &[Program]) {
    if facts.declared.web.is_none() {
        programs::say_rest(&all(facts), built);
    }
}

/// Whether a file lies in the folder of a program that is none of these.
pub(crate) fn is_of_another(facts: &Facts, programs: &[Program], file: &str) -> bool {
    let place = folder(file);
    let among = programs.iter().any(|one| one.folder == place);
    !among && program(facts, place).is_some()
}

/// All programs of the source.
pub(crate) fn all(facts: &Facts) -> Vec<Program> {
    let folders: BTreeSet<&str> = facts.files.iter().map(|file| folder(file)).collect();
    folders.into_iter().filter_map(|folder| program(facts, folder)).collect()
}

fn program(facts: &Facts, folder: &str) -> Option<Program> {
    let (module, within) = facts.module_of(folder);
    let known = within.is_empty() || within == "cmd" || within.starts_with("cmd/");
    if within.split('/').any(|part| matches!(part, "internal" | "pkg")) {
        return None;
    }
    let has_main = |file: &&str| file.rsplit('/').next() == Some("main.go");
    let mut files: Vec<&str> = facts.files_of(folder).collect();
    files.sort_by_key(|file| !has_main(file));
    let considered = files.iter().filter(|file| known || has_main(file)).take(8);
    let file = considered.copied().find(|file| is_main(&facts.text(file), has_main(file)))?;
    let name = match within.rsplit('/').next() {
        None | Some("" | "cmd" | "src") => {
            let of = facts.modules.get(&module).map_or("app", |module| module.name());
            of.to_owned()
        }
        Some(name) => name.to_owned(),
    };
    let rank = match within {
        "" | "cmd" => 0,
        _ if within.starts_with("cmd/") => 1,
        _ => 2,
    };
    Some(Program { folder: folder.to_owned(), name, file: file.to_owned(), rank })
}

/// Whether a file is of a `package main`. A file without text is taken by its name.
fn is_main(text: &str, called_main: bool) -> bool {
    if text.trim().is_empty() {
        return called_main;
    }
    let ignored =
        |line: &str| line.starts_with("//go:build ignore") || line.starts_with("// +build ignore");
    let mut lines = text.trim_start_matches('\u{feff}').lines();
    for line in lines.by_ref() {
        if ignored(line) {
            return false;
        }
        if let Some(package) = line.strip_prefix("package ") {
            return package.split(['/', ';']).next().map(str::trim) == Some("main");
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::is_main;

    #[test]
    fn main_packages_are_told_by_their_clause() {
        assert!(is_main("// Copyright\n\npackage main // x\n", false));
        assert!(is_main("", true) && !is_main("", false));
        assert!(!is_main("package shop\n", true));
        assert!(!is_main("//go:build ignore\n\npackage main\n", true));
    }
}
