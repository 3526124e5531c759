//! Which of several programs are built and run: those that commands name, and beside them the application.

use windlass_sdk::config::{Migrate, Settings};
use windlass_sdk::{Source, log};

use crate::compiled;
use crate::layout::Declared;
use crate::procfile;

/// Something that is compiled to a program with a name.
pub trait Program: Clone + PartialEq {
    /// What the program is called.
    fn name(&self) -> &str;
}

/// Which programs are built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<P> {
    /// The application first; the others are named by processes.
    Built(Vec<P>),
    /// These, and nothing tells them apart.
    Several(Vec<P>),
    /// There is none.
    None,
}

/// Chooses among programs: those that the commands of the web process, of workers and of the migration
/// name, and those that are built `beside` them although nothing names them. Where no command of a web
/// process names one, `main` says which of the rest is the application.
pub fn choose<P: Program>(
    programs: &[P],
    settings: &Settings,
    declared: &Declared,
    source: &Source,
    beside: impl Fn(&P) -> bool,
    main: impl FnOnce(&[P]) -> Choice<P>,
) -> Choice<P> {
    let (web, named) = named(programs, settings, declared, source);
    let beside = |one: &&P| !web.contains(one) && !named.contains(one) && beside(one);
    let others: Vec<P> = named.iter().chain(programs.iter().filter(beside)).cloned().collect();
    if !web.is_empty() || declared.only_workers && !named.is_empty() {
        return Choice::Built([web, others].concat());
    }
    let rest: Vec<P> = programs.iter().filter(|one| !others.contains(one)).cloned().collect();
    match main(if rest.is_empty() { programs } else { &rest }) {
        Choice::Built(mut built) => {
            let more = others.into_iter().filter(|other| !built.contains(other));
            let more: Vec<P> = more.collect();
            built.extend(more);
            Choice::Built(built)
        }
        other => other,
    }
}

/// Writes into the log which programs were left out, where one was chosen among several that no command names.
pub fn say_rest<P: Program>(all: &[P], built: &[P]) {
    let rest: Vec<&str> =
        all.iter().filter(|one| !built.contains(one)).map(Program::name).collect();
    if let (Some(main), [first, ..]) = (built.first(), rest.as_slice()) {
        log::info(format!(
            "{} is run; not run: {}; choose with run.command = \"{first}\" in windlass.toml, or run it \
             beside with run.processes.{first}",
            main.name(),
            rest.join(", ")
        ));
    }
}

/// The programs that the declared commands name: the web process's, and those of workers and of the
/// migration. None twice.
fn named<P: Program>(
    programs: &[P],
    settings: &Settings,
    declared: &Declared,
    source: &Source,
) -> (Vec<P>, Vec<P>) {
    let in_line = |line: &str| {
        let fits = |one: &&P| compiled::names(line, one.name());
        programs.iter().filter(fits).cloned().collect::<Vec<P>>()
    };
    let web = declared.web.as_ref().map(|(line, ..)| in_line(line)).unwrap_or_default();
    let mut lines: Vec<String> = declared.workers.iter().map(|(_, line)| line.clone()).collect();
    let release = procfile::read(source).unwrap_or_default();
    lines.extend(release.into_iter().filter(|one| one.name == "release").map(|one| one.command));
    if let Migrate::Command(line) = &settings.migrate {
        lines.push(line.clone());
    }
    let mut others: Vec<P> = Vec::new();
    for one in lines.iter().flat_map(|line| in_line(line)) {
        if !web.contains(&one) && !others.contains(&one) {
            others.push(one);
        }
    }
    (web, others)
}
