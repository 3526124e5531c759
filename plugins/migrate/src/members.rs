//! Tools in other members of a workspace of Node.js: a schema that the application shares with others often
//! lies in a package of its own (`packages/db`). Those that the application needs are looked through, and
//! what is found there is run in their folder.

use windlass_plugin_common::layout::APP;
use windlass_plugin_common::paths::{join, normal};
use windlass_plugin_common::workspace;
use windlass_sdk::{Context, Detection, Evidence, Migration, PluginError, Source};

use crate::facts::Facts;
use crate::{leave, tools};

/// Puts the programs of the member's packages before those of the image, and becomes the command.
const WITHIN: [&str; 3] =
    ["/bin/sh", "-c", "PATH=\"$PWD/node_modules/.bin:$PATH\" exec \"$0\" \"$@\""];

/// All migrations of the members that the application needs, itself left out.
///
/// # Errors
/// Code `source.unreadable`.
pub(crate) fn found(
    ctx: &Context,
    app: &Facts,
    chosen: &Detection,
) -> Result<Vec<Migration>, PluginError> {
    let app_dir = normal(chosen.app_dir.as_deref().unwrap_or(&ctx.app_dir));
    if app.ecosystem != "node" {
        return Ok(Vec::new());
    }
    let Some(workspace) = workspace::above(&app_dir)? else {
        return Ok(Vec::new());
    };
    let inner = app_dir.strip_prefix(workspace.folder.as_str()).unwrap_or(&app_dir);
    let inner = inner.trim_start_matches('/');
    let mut all = Vec::new();
    for dir in workspace.needed_by(inner).into_iter().filter(|dir| *dir != inner) {
        let Some(package) = workspace.members.get(dir).and_then(|member| member.package.clone())
        else {
            continue;
        };
        let folder = join(&workspace.folder, dir);
        let source = Source::below(&folder);
        let mut member = Facts::member(app, inner, dir, &source, package);
        let found = tools::of_member(&mut member)?;
        let there = in_image(ctx, chosen, &folder);
        all.extend(found.into_iter().map(|migration| within(migration, &folder, &there)));
    }
    Ok(all)
}

/// Where a folder of the source lies in the image: the builder copies from the folder of the settings if it
/// chose the member itself, and from the root of the source if the settings named the member.
fn in_image(ctx: &Context, chosen: &Detection, folder: &str) -> String {
    let base = normal(&ctx.app_dir);
    let below = chosen.app_dir.as_ref().and_then(|_| folder.strip_prefix(base.as_str()));
    join(APP, below.unwrap_or(folder).trim_start_matches('/'))
}

/// The migration in the folder of a member.
fn within(mut migration: Migration, folder: &str, there: &str) -> Migration {
    if migration.argv.iter().any(|word| word.starts_with("node_modules/")) {
        // The package manager may have put it into the folder of the workspace as well.
        let line = migration.argv.join(" ");
        let why = format!(
            "`{line}` names a file below node_modules, and which folder has that is the package \
             manager's choice: set migrate.command in windlass.toml"
        );
        leave(&mut migration, &why);
    }
    let path = |sign: Evidence| Evidence { path: normal(&join(folder, &sign.path)), ..sign };
    migration.evidence = migration.evidence.into_iter().map(path).collect();
    there.clone_into(&mut migration.cwd);
    let argv = WITHIN.map(str::to_owned).into_iter();
    migration.argv = argv.chain(migration.argv).collect();
    migration
}
