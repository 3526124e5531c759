//! A member of a workspace that is deployed alone: the `go.work` lies above the application, and what it joins is
//! not among what is built.

use windlass_plugin_common::paths::{join, normal};
use windlass_sdk::{Context, PluginError, Source};

use crate::facts::Facts;
use crate::module::{self, Module};

/// Go files that are searched for an import.
const SEARCHED_MAX: usize = 200;

/// The refusal of an application in `build.app_dir` that imports another module of the workspace above it.
pub(crate) fn refusal(ctx: &Context, facts: &Facts) -> Option<PluginError> {
    let own = normal(&ctx.app_dir);
    if own.is_empty() || facts.workspace || facts.vendored || facts.settings.build.command.is_some()
    {
        return None;
    }
    let root = Source::root();
    let (above, others) = workspace(&root, &own)?;
    let files: Vec<&str> = facts.files.iter().take(SEARCHED_MAX).map(String::as_str).collect();
    facts.source.prefetch(&files);
    let imports = |module: &str| {
        let (whole, below) = (format!("\"{module}\""), format!("\"{module}/"));
        files.iter().any(|file| {
            let text = facts.text(file);
            text.contains(&whole) || text.contains(&below)
        })
    };
    let module = others.into_iter().find(|module| imports(module))?;
    let file = join(&above, "go.work");
    let name = own.rsplit('/').next().unwrap_or(&own);
    let message = format!(
        "{own} imports {module}, which {file} joins to it, and only the folder {own} is deployed"
    );
    let place = match above.as_str() {
        "" => "leave build.app_dir out of windlass.toml".to_owned(),
        above => format!("set build.app_dir = {above:?} in windlass.toml"),
    };
    Some(
        PluginError::new("go.workspace-member", message)
            .hint(format!("{place}, and name the program there:\n[run]\ncommand = {name:?}")),
    )
}

/// The folder of the nearest `go.work` above that uses this folder, and the paths of its other modules.
fn workspace(root: &Source, own: &str) -> Option<(String, Vec<String>)> {
    let mut folder = own;
    loop {
        folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
        if let Some(text) = root.text(&join(folder, "go.work")).ok().flatten() {
            let used: Vec<String> =
                module::used(&text).into_iter().map(|one| normal(&join(folder, &one))).collect();
            if !used.iter().any(|one| one == own) {
                return None;
            }
            let path = |one: &String| {
                let text = root.text(&join(one, "go.mod")).ok().flatten()?;
                Some(Module::parse(&text).path).filter(|path| !path.is_empty())
            };
            let others = used.iter().filter(|one| *one != own).filter_map(path).collect();
            return Some((folder.to_owned(), others));
        }
        if folder.is_empty() {
            return None;
        }
    }
}
