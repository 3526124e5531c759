//! What an author of a plugin needs, from an empty folder to its figures: no daemon, no root.
//!
//! **Invariant: a component is asked here as a deployment asks it.** The same sandbox, the same order of
//! questions, the same rule that chooses a detection; only the answers go to the author.
//!
//! Reading order: [`new`] (a folder from a template), [`build`] (the language's own tools), [`check`] (does it
//! fit), `told` and `ask` (what it is told, and all its answers), [`test`] (the answers compared with what was
//! written down), [`find`] (which component is meant), [`run`], [`bench`], [`index`] (what others find it by).

mod ask;
mod bench;
mod build;
mod check;
mod component;
mod effects;
mod embedded;
mod index;
mod new;
mod sdk;
mod stage;
mod test;
mod told;
mod tools;

pub use bench::bench;
pub use build::build;
pub use check::check;
pub use component::find;
pub use index::index;
pub use new::new;
pub use test::test;

use std::path::{Path, PathBuf};

use windlass_model::Failure;
use windlass_model::author::{Answers, AskPlugin};

use crate::local::Config;
use told::Told;

/// Asks a component about one source, every stage that it fills or one.
///
/// # Errors
/// When component, source or context cannot be read. That a stage refuses or fails is part of the answers.
pub async fn run(config: &Config, request: &AskPlugin) -> Result<Answers, Failure> {
    let component = find(&request.plugin)?;
    let (source, told) = meant(request, &component)?;
    let plugin = component::Loaded::open(config, &component)?;
    let subject = ask::Subject::open(config, &source, told)?;
    let (answers, not_asked) = ask::all(&plugin, &subject, request.stage).await?;
    Ok(Answers { plugin: plugin.name().to_owned(), source, answers, not_asked })
}

/// The source that is meant, and what is told beside it.
fn meant(request: &AskPlugin, component: &Path) -> Result<(PathBuf, Told), Failure> {
    let (source, beside) = match &request.source {
        Some(source) => (source.clone(), None),
        None => test::first(&request.plugin, component)?,
    };
    let context = request.context.clone().or(beside);
    let told = context.map_or_else(|| Ok(Told::default()), |file| Told::read(&file))?;
    Ok((source, told))
}
