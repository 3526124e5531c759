//! What authors of plugins do, with this binary as the compiler of components.

use std::path::{Path, PathBuf};

use windlass_build::Login;
use windlass_build::http::certificate_bundle;
use windlass_build::registry::{About, Reference, push_component};
use windlass_cli::roles::Authoring;
use windlass_devtools::author;
use windlass_model::author::{
    Answers, AskPlugin, Bench, BenchPlugin, Built, Checked, Created, IndexPlugin, Indexed,
    NewPlugin, PublishPlugin, Published, TestPlugin, Tested,
};
use windlass_model::plugin::lock::is_name;
use windlass_model::{Digest, Failure};

use crate::roles::{devtools_config, plugins_dir, runtime};

/// The author's verbs, in this process.
pub(crate) struct Workshop;

/// Bundled and installed plugins are nothing to an author: no folder of them is named.
fn config() -> Result<windlass_devtools::Config, Failure> {
    devtools_config(None, Path::new(""))
}

/// No host installs a plugin under the name of one that comes with Windlass. Where this binary has none beside it,
/// only the host can say that.
fn require_untaken(name: &str, bundled: &Path) -> Result<(), Failure> {
    if !is_name(name) || !bundled.join(format!("{name}.wasm")).is_file() {
        return Ok(());
    }
    Err(Failure::app(
        "plugin.exists",
        format!("the name {name} is taken"),
        "a plugin of this name comes with Windlass, and no host installs another one under it",
        "choose another name",
    ))
}

impl Authoring for Workshop {
    fn new_plugin(&self, request: &NewPlugin) -> Result<Created, Failure> {
        require_untaken(&request.name, &plugins_dir(None)?)?;
        author::new(request)
    }

    fn build_plugin(&self, folder: &Path) -> Result<Built, Failure> {
        author::build(folder)
    }

    fn find_component(&self, plugin: &Path) -> Result<PathBuf, Failure> {
        author::find(plugin)
    }

    fn check_plugin(&self, plugin: &Path) -> Result<Checked, Failure> {
        runtime(2)?.block_on(author::check(&config()?, plugin))
    }

    fn test_plugin(&self, request: &TestPlugin) -> Result<Tested, Failure> {
        runtime(2)?.block_on(author::test(&config()?, request))
    }

    fn run_plugin(&self, request: &AskPlugin) -> Result<Answers, Failure> {
        runtime(2)?.block_on(author::run(&config()?, request))
    }

    fn bench_plugin(&self, request: &BenchPlugin) -> Result<Bench, Failure> {
        runtime(2)?.block_on(author::bench(&config()?, request))
    }

    fn index_plugin(&self, request: &IndexPlugin) -> Result<Indexed, Failure> {
        runtime(2)?.block_on(author::index(&config()?, request))
    }

    fn publish_plugin(&self, request: &PublishPlugin) -> Result<Published, Failure> {
        let checked = self.check_plugin(&request.plugin)?;
        let reference = request.reference.trim_start_matches("oci://").parse::<Reference>();
        let reference = reference.map_err(|error| {
            let fix = "name it as windlass plugin publish ghcr.io/acme/scan:1.2.0";
            let what = "this is no place in a registry";
            Failure::app("registry.invalid-reference", what, error.to_string(), fix)
        })?;
        let read = std::fs::read(&checked.component).ok();
        let bytes = read.filter(|bytes| Digest::of(bytes) == checked.info.digest);
        let Some(bytes) = bytes else {
            return Err(Failure::app(
                "plugin.digest-wrong",
                format!("{} was not published", checked.component.display()),
                "it changed while it was looked at",
                "build it, then publish it again",
            ));
        };
        let inspected = windlass_sandbox::inspect(&checked.component).ok();
        let (imports, exports) =
            inspected.map(|found| (found.imports, found.exports)).unwrap_or_default();
        let about = About { imports: &imports, exports: &exports };
        let registry = reference.registry.clone();
        let login = request.login.clone();
        let login = login.map(|(user, password)| Login { registry, user, password });
        let certificates = certificate_bundle(None);
        let pushed = push_component(&reference, certificates.as_deref(), login, &bytes, &about);
        let artifact = pushed.map_err(|error| {
            let mut failure = error.push_failure(&reference);
            failure.what =
                format!("{} could not be published as {reference}", checked.info.manifest.name);
            failure
        })?;
        Ok(Published {
            plugin: checked.info.manifest.name,
            version: checked.info.manifest.version,
            address: format!("oci://{reference}"),
            artifact,
            component: checked.info.digest,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_bundled_plugin_is_refused_before_anything_is_written() {
        let bundled = std::env::temp_dir().join(format!("windlass-new-{}", std::process::id()));
        require_untaken("node", &bundled).unwrap();
        std::fs::create_dir_all(&bundled).unwrap();
        std::fs::write(bundled.join("node.wasm"), "").unwrap();
        let taken = require_untaken("node", &bundled);
        let others = ["nodes", "../node", ""].map(|name| require_untaken(name, &bundled));
        std::fs::remove_dir_all(&bundled).unwrap();
        assert_eq!(taken.unwrap_err().code, "plugin.exists");
        assert!(others.iter().all(Result::is_ok), "{others:?}");
    }
}
