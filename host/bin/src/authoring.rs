//! What authors of plugins do, with this binary as the compiler of components.

use std::path::Path;

use windlass_build::Login;
use windlass_build::http::certificate_bundle;
use windlass_build::registry::{About, Reference, push_component};
use windlass_cli::roles::Authoring;
use windlass_devtools::author;
use windlass_model::author::{
    Answers, AskPlugin, Bench, BenchPlugin, Built, Checked, Created, IndexPlugin, Indexed,
    NewPlugin, PublishPlugin, Published, TestPlugin, Tested,
};
use windlass_model::{Digest, Failure};

use crate::roles::{devtools_config, runtime};

/// The author's verbs, in this process.
pub(crate) struct Workshop;

/// Bundled and installed plugins are nothing to an author: no folder of them is named.
fn config() -> Result<windlass_devtools::Config, Failure> {
    devtools_config(None, Path::new(""))
}

impl Authoring for Workshop {
    fn new_plugin(&self, request: &NewPlugin) -> Result<Created, Failure> {
        author::new(request)
    }

    fn build_plugin(&self, folder: &Path) -> Result<Built, Failure> {
        author::build(folder)
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
