//! The tools: how each is recognised, what it runs, and when it is left alone. A row says what it can; a
//! function beside it the rest.

mod compiled;
mod jvm;
mod node;
mod python;
mod web;

use windlass_sdk::{Migration, PluginError};

use crate::facts::Facts;
use crate::tool::Tool;

/// All migrations that the application's files show.
///
/// # Errors
/// Code `source.unreadable`.
pub(crate) fn found(facts: &mut Facts) -> Result<Vec<Migration>, PluginError> {
    let tables: [&[Tool]; 5] =
        [&node::TOOLS, &python::TOOLS, &web::TOOLS, &compiled::TOOLS, &jvm::TOOLS];
    let tools: Vec<&Tool> = tables.into_iter().flatten().collect();
    if !tools.iter().any(|tool| tool.ecosystems.contains(&facts.ecosystem.as_str())) {
        return Ok(Vec::new());
    }
    facts.list()?;
    Ok(meant(facts, &tools))
}

/// All migrations of a member of the application's workspace: with the tools whose programs its packages bring.
///
/// # Errors
/// Code `source.unreadable`.
pub(crate) fn of_member(facts: &mut Facts) -> Result<Vec<Migration>, PluginError> {
    let tools: Vec<&Tool> = node::TOOLS.iter().filter(|tool| tool.node.is_some()).collect();
    if tools.iter().all(|tool| facts.declared(tool.packages).is_none()) {
        return Ok(Vec::new());
    }
    facts.list()?;
    Ok(meant(facts, &tools))
}

/// What is found with these tools, without those that others of them use.
fn meant(facts: &Facts, tools: &[&Tool]) -> Vec<Migration> {
    let found: Vec<_> = tools.iter().filter_map(|tool| Some((tool, tool.find(facts)?))).collect();
    let used: Vec<&str> = found.iter().flat_map(|(tool, _)| tool.over).copied().collect();
    let meant = found.into_iter().filter(|(tool, _)| !used.contains(&tool.name));
    meant.map(|(_, migration)| migration).collect()
}
