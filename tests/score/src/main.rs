//! `windlass-score FILE`: how far the bundled plugins agree with labelled trees.
//!
//! FILE has a JSON object a line: `id`, `language`, `framework`, `start`, `files`, `manifests`. Each tree is
//! written into a folder (files are empty unless `manifests` holds their content), every plugin is asked
//! natively, the host's own rule chooses, and the plan of the chosen one says how it is started.
//!
//! With `--none`, the trees must match nothing, or only the detection that the field `expected` names.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "this program talks to a person")]

mod corpus;
mod labels;
mod none;
mod plugins;
mod report;
mod score;
mod start;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::corpus::Tree;
use crate::plugins::Answer;
use crate::score::{ALL_SOURCES, Field, Judged};

/// Of a hundred labels of the language, as many must agree.
const LANGUAGE_PERCENT: usize = 97;
/// Of a hundred decidable start commands, as many must agree.
const START_PERCENT: usize = 80;
/// The labels that are held wrong.
const HELD_WRONG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/held-wrong.md");

/// Compares the bundled plugins' answers with labelled trees.
#[derive(Debug, Parser)]
struct Options {
    /// The labelled trees, a JSON object a line.
    file: PathBuf,
    /// Only trees whose label names this language, or our name for it.
    #[arg(long)]
    only: Option<String>,
    /// Only trees of this source: what stands before the colon in the id.
    #[arg(long)]
    source: Option<String>,
    /// Only the table.
    #[arg(long)]
    quiet: bool,
    /// Everything as JSON.
    #[arg(long)]
    json: bool,
    /// The trees must match nothing, or only what `expected` names.
    #[arg(long)]
    none: bool,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(options: &Options) -> Result<bool> {
    let mut trees = corpus::read(&options.file)?;
    trees.retain(|tree| is_wanted(tree, options));
    if options.none {
        return none::check(&trees, options.json);
    }
    let held = std::fs::read_to_string(HELD_WRONG).context(HELD_WRONG)?;
    let held = score::held_wrong(&held);
    let mut judged = Vec::new();
    for tree in &trees {
        judged.extend(score::judge(tree, &ask(tree)?, &held));
    }
    if options.json {
        println!("{}", serde_json::to_string_pretty(&json(&judged))?);
    } else {
        if !options.quiet {
            println!("{}", report::lines(&judged));
        }
        println!("{}", report::table(&judged));
    }
    Ok(reaches(&judged))
}

fn is_wanted(tree: &Tree, options: &Options) -> bool {
    let label = tree.language.as_deref().unwrap_or_default();
    let language = options
        .only
        .as_deref()
        .is_none_or(|only| label == only || labels::language_is(label, only));
    language && options.source.as_deref().is_none_or(|source| tree.source() == source)
}

/// Writes a tree and asks all plugins.
fn ask(tree: &Tree) -> Result<Answer> {
    let folder = tempfile::tempdir()?;
    tree.write(folder.path())?;
    Ok(plugins::ask(folder.path()))
}

/// Whether the bars are reached, with every label as it is.
fn reaches(judged: &[Judged]) -> bool {
    let counts = score::counts(judged, true);
    let count = |field| counts.get(&(ALL_SOURCES.to_owned(), field)).copied().unwrap_or_default();
    count(Field::Language).reaches(LANGUAGE_PERCENT) && count(Field::Start).reaches(START_PERCENT)
}

fn json(judged: &[Judged]) -> serde_json::Value {
    let table = |with_held_wrong| {
        let counts = score::counts(judged, with_held_wrong);
        let row = |((source, field), count): ((String, Field), score::Count)| serde_json::json!({ "source": source, "field": field, "agreed": count.agreed, "all": count.all });
        counts.into_iter().map(row).collect::<Vec<_>>()
    };
    serde_json::json!({
        "counts": table(true),
        "counts_without_held_wrong": table(false),
        "labels": judged,
        "reaches_the_bars": reaches(judged),
    })
}
