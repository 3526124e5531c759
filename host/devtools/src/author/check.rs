//! Whether a component is a plugin that this Windlass runs, and what there is to say about it.

use std::path::Path;
use std::time::Instant;

use windlass_model::Failure;
use windlass_model::author::{Checked, Import, ImportState};
use windlass_model::plugin::{Kind, PluginInfo, Stage};

use super::component::{self, Loaded};
use crate::local::Config;

/// Looks at a component: its world, size, manifest and capabilities; compiles and links it.
///
/// # Errors
/// `plugin.not-built`, `plugin.not-loadable` with what does not fit.
pub async fn check(config: &Config, path: &Path) -> Result<Checked, Failure> {
    let component = component::find(path)?;
    let Loaded { inspected, sandbox, plugin } = Loaded::open(config, &component)?;
    let needs = inspected.needs();
    let (ours, wasi): (Vec<String>, Vec<String>) =
        inspected.imports.into_iter().partition(|name| name.starts_with("windlass:"));
    let imports = ours.into_iter().map(|name| import(name, &needs)).collect();
    let began = Instant::now();
    let prepared = sandbox.prepare(&plugin).await;
    prepared.map_err(|e| component::not_loadable(&component, &e))?;
    let compile_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut warnings: Vec<String> = component::stale(&component).into_iter().collect();
    warnings.extend(warnings_of(&inspected.info, &needs));
    let stages = inspected.exports.into_iter().filter(|name| name.starts_with("windlass:"));
    Ok(Checked {
        exports: stages.collect(),
        info: inspected.info,
        imports,
        wasi_imports: wasi.len(),
        bytes_max: config.limits.plugin.component_bytes_max,
        compile_ms,
        warnings,
        component,
    })
}

/// `needs` is what of the imports must be granted: `windlass:http/http@…` needs `http`.
fn import(interface: String, needs: &[Kind]) -> Import {
    let is_of = |kind: &Kind| interface.starts_with(&format!("windlass:{kind}/"));
    let state = if needs.iter().any(is_of) { ImportState::AskedFor } else { ImportState::Always };
    Import { interface, state }
}

fn warnings_of(info: &PluginInfo, needs: &[Kind]) -> Vec<String> {
    let manifest = &info.manifest;
    let fills = |stage| info.stages.contains(&stage);
    let mut warnings = Vec::new();
    let mut warn = |is: bool, text: &str| {
        if is {
            warnings.push(text.to_owned());
        }
    };
    warn(
        fills(Stage::Builder) && !fills(Stage::Detector),
        "a builder is asked for what a detector of the same plugin recognised, and this one has none: it is \
         never asked",
    );
    warn(
        fills(Stage::Detector) && !fills(Stage::Builder),
        "where its detection wins nothing can be built, because it fills no builder: the deployment fails \
         with detect.no-builder",
    );
    warn(fills(Stage::Rollout), "no deployment asks rollout plugins yet: it moves no traffic");
    warn(
        semver::Version::parse(&manifest.version).is_err(),
        "its version is no semantic version, such as 1.2.0: upgrades cannot be told from downgrades",
    );
    warn(manifest.licence.is_empty(), "the manifest names no licence");
    for capability in &manifest.capabilities {
        let kind = capability.request.kind();
        let has_interface = matches!(
            kind,
            Kind::Exec | Kind::Http | Kind::Artifacts | Kind::Cache | Kind::Annotations
        );
        if has_interface && !needs.contains(&kind) {
            warnings.push(format!("it asks for {kind} and does not use it: leave it out"));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use windlass_model::Digest;
    use windlass_model::plugin::{Capability, Manifest};

    use super::*;

    fn info(stages: &[Stage], capabilities: &str) -> PluginInfo {
        let capabilities: Vec<Capability> = serde_json::from_str(capabilities).unwrap();
        let manifest = Manifest {
            name: "test".into(),
            version: "1.0.0".into(),
            summary: "A test".into(),
            licence: "Apache-2.0".into(),
            capabilities,
            ..Manifest::default()
        };
        let digest = Digest::of(b"x");
        PluginInfo { manifest, digest, stages: stages.to_vec(), bundled: false, bytes: 1 }
    }

    #[test]
    fn an_import_that_must_be_granted_is_told_from_the_others() {
        let needs = [Kind::Annotations, Kind::Http];
        let state = |name: &str| import(name.to_owned(), &needs).state;
        assert_eq!(state("windlass:source/source@1.0.0"), ImportState::Always);
        assert_eq!(state("windlass:annotations/annotations@1.0.0"), ImportState::AskedFor);
        assert_eq!(state("windlass:http/http@1.0.0"), ImportState::AskedFor);
    }

    #[test]
    fn what_would_surprise_is_said() {
        let said = |info: &PluginInfo| warnings_of(info, &[]).join("\n");
        assert_eq!(said(&info(&[Stage::Detector, Stage::Builder], "[]")), "");
        assert!(said(&info(&[Stage::Builder], "[]")).contains("never asked"));
        assert!(said(&info(&[Stage::Detector], "[]")).contains("detect.no-builder"));
        let unused = info(&[Stage::Custom], r#"[{ "name": "annotations", "reason": "x" }]"#);
        assert!(said(&unused).contains("asks for annotations and does not use it"));
        let mut loose = info(&[Stage::Health], "[]");
        loose.manifest.version = "one".into();
        assert!(said(&loose).contains("semantic version"));
    }
}
