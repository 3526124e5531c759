//! Which versions of the contract's interfaces this host serves, and what serves each.
//!
//! **Invariant: a component is served by rows of [`OFFERED`] alone.** Each interface that it names is looked up
//! here by name and version, exactly; what has no row is refused, with the rows that there are.
//!
//! **Where an adapter goes.** The rest of the host knows the newest version of each interface. When a release
//! brings a newer one, its row is added, the host's own code moves to it, and the row of the older version stays:
//! its function is then that of a module `adapters::<package>_<version>`, which has bindings of the older release's
//! folder below `wit/` and turns their records into those of the newest. For an import that module implements the
//! older `Host` on [`CallState`] by the newest one; for a stage it implements the stage's trait in
//! [`exports`](crate::exports). Nothing else changes: loading, linking, calls and kept answers go by the rows.
//! `host/decisions/0012-releases-of-the-contract.md` has the rules.

use wasmtime::component::{HasSelf, InstancePre, Linker};
use windlass_model::plugin::{Kind, Stage};

#[cfg(test)]
use crate::adapters;
use crate::bindings::{
    annotations, artifacts, builder, cache, custom, detector, exec, health, http, images, log,
    migrator, rollout, source, types,
};
use crate::exports::Exports;
use crate::fault::LoadError;
use crate::state::CallState;

/// The newest release of the contract: its folder below `wit/`.
pub(crate) const CONTRACT: &str = "1.0.0";

/// One version of one interface.
#[derive(Debug)]
pub(crate) struct Offer {
    /// `windlass:detector/detector`
    pub(crate) interface: &'static str,
    /// `1.0.0`
    pub(crate) version: &'static str,
    /// What serves it.
    pub(crate) served: Served,
}

/// What serves a version of an interface.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Served {
    /// A component imports it; all may.
    Always(Link),
    /// A component imports it, and must be granted it.
    Granted(Kind, Link),
    /// A component exports it; the host finds its functions there.
    Stage(Stage, Find),
}

/// Gives an interface to the components of a linker.
type Link = fn(&mut Linker<CallState>) -> wasmtime::Result<()>;
/// Notes where a component has the functions of a stage.
type Find = fn(&InstancePre<CallState>, &mut Exports) -> wasmtime::Result<()>;

type Own = HasSelf<CallState>;

/// All that there is.
pub(crate) static OFFERED: &[Offer] = &[
    stage("windlass:detector/detector", Stage::Detector, |pre, exports| {
        exports.detector = Some(Box::new(detector::GuestIndices::new(pre)?));
        Ok(())
    }),
    stage("windlass:builder/builder", Stage::Builder, |pre, exports| {
        exports.builder = Some(Box::new(builder::GuestIndices::new(pre)?));
        Ok(())
    }),
    stage("windlass:migrator/migrator", Stage::Migrator, |pre, exports| {
        exports.migrator = Some(Box::new(migrator::GuestIndices::new(pre)?));
        Ok(())
    }),
    stage("windlass:health/health", Stage::Health, |pre, exports| {
        exports.health = Some(Box::new(health::GuestIndices::new(pre)?));
        Ok(())
    }),
    stage("windlass:rollout/rollout", Stage::Rollout, |pre, exports| {
        exports.rollout = Some(Box::new(rollout::GuestIndices::new(pre)?));
        Ok(())
    }),
    stage("windlass:custom/custom", Stage::Custom, |pre, exports| {
        exports.custom = Some(Box::new(custom::GuestIndices::new(pre)?));
        Ok(())
    }),
    always("windlass:types/types", |linker| types::add_to_linker::<_, Own>(linker, |it| it)),
    always("windlass:log/log", |linker| log::add_to_linker::<_, Own>(linker, |it| it)),
    always("windlass:source/source", |linker| source::add_to_linker::<_, Own>(linker, |it| it)),
    always("windlass:images/images", |linker| images::add_to_linker::<_, Own>(linker, |it| it)),
    granted("windlass:exec/exec", Kind::Exec, |linker| {
        exec::add_to_linker::<_, Own>(linker, |it| it)
    }),
    granted("windlass:http/http", Kind::Http, |linker| {
        http::add_to_linker::<_, Own>(linker, |it| it)
    }),
    granted("windlass:artifacts/artifacts", Kind::Artifacts, |linker| {
        artifacts::add_to_linker::<_, Own>(linker, |it| it)
    }),
    granted("windlass:cache/cache", Kind::Cache, |linker| {
        cache::add_to_linker::<_, Own>(linker, |it| it)
    }),
    granted("windlass:annotations/annotations", Kind::Annotations, |linker| {
        annotations::add_to_linker::<_, Own>(linker, |it| it)
    }),
    #[cfg(test)]
    Offer {
        version: "0.9.0",
        ..stage("windlass:detector/detector", Stage::Detector, adapters::detector_0_9_0::find)
    },
    #[cfg(test)]
    Offer { version: "0.9.0", ..always("windlass:log/log", adapters::log_0_9_0::link) },
];

const fn stage(interface: &'static str, stage: Stage, find: Find) -> Offer {
    Offer { interface, version: "1.0.0", served: Served::Stage(stage, find) }
}

const fn always(interface: &'static str, link: Link) -> Offer {
    Offer { interface, version: "1.0.0", served: Served::Always(link) }
}

const fn granted(interface: &'static str, kind: Kind, link: Link) -> Offer {
    Offer { interface, version: "1.0.0", served: Served::Granted(kind, link) }
}

/// The stage that a component fills by exporting this.
///
/// # Errors
/// [`LoadError::UnknownInterface`].
pub(crate) fn exported(name: &str) -> Result<(&'static Offer, Stage), LoadError> {
    match find(name).map(|offer| (offer, offer.served)) {
        Some((offer, Served::Stage(stage, _))) => Ok((offer, stage)),
        _ => Err(unknown(name, |served| matches!(served, Served::Stage(..)))),
    }
}

/// What a component imports by this name, and what must be granted for it.
///
/// # Errors
/// [`LoadError::UnknownInterface`].
pub(crate) fn imported(name: &str) -> Result<(&'static Offer, Option<Kind>), LoadError> {
    match find(name).map(|offer| (offer, offer.served)) {
        Some((offer, Served::Always(_))) => Ok((offer, None)),
        Some((offer, Served::Granted(kind, _))) => Ok((offer, Some(kind))),
        _ => Err(unknown(name, |served| !matches!(served, Served::Stage(..)))),
    }
}

/// Whether there is this interface in this version: `windlass:detector/detector@1.0.0`.
pub(crate) fn is_served(name: &str) -> bool {
    find(name).is_some()
}

/// The row of an interface in exactly this version.
fn find(name: &str) -> Option<&'static Offer> {
    let (interface, version) = name.split_once('@')?;
    OFFERED.iter().find(|offer| offer.interface == interface && offer.version == version)
}

/// The refusal, with the versions of this interface; with everything of its sort where there is none.
fn unknown(name: &str, is_of_sort: impl Fn(&Served) -> bool) -> LoadError {
    let (interface, version) = name.split_once('@').unwrap_or((name, ""));
    let of_sort = OFFERED.iter().filter(|offer| is_of_sort(&offer.served));
    let (same, other): (Vec<_>, Vec<_>) = of_sort.partition(|offer| offer.interface == interface);
    let offered = if same.is_empty() { other } else { same };
    LoadError::UnknownInterface {
        interface: interface.to_owned(),
        version: version.to_owned(),
        offered: offered.iter().map(|it| format!("{}@{}", it.interface, it.version)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use windlass_model::Digest;
    use windlass_model::limits::PluginLimits;
    use windlass_model::plan::Context;
    use windlass_test_support::adversaries::texts::{MANIFEST, holding, parsed};
    use windlass_test_support::{folder_of, guest};

    use super::*;
    use crate::fault::PluginFault;
    use crate::inspect;
    use crate::log::LogLevel;
    use crate::sandbox::{Sandbox, SandboxConfig};
    use crate::source::Source;

    /// A component that was built from older versions: it logs the platform that it is told, and recognises what the
    /// first five letters of that name.
    fn older() -> Vec<u8> {
        parsed(&format!(
            r#"(component {MANIFEST}
            (import "windlass:log/log@0.9.0" (instance $log
                (export "write" (func (param "message" string)))))
            (core module $memory (memory (export "memory") 1)
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
            (core instance $memory (instantiate $memory))
            (core func $write (canon lower (func $log "write")
                (memory (core memory $memory "memory"))))
            (core module $main
                (import "memory" "memory" (memory 1))
                (import "log" "write" (func $write (param i32 i32)))
                (func (export "detect") (param $at i32) (param $bytes i32) (result i32)
                    (local $is_short i32)
                    (call $write (local.get $at) (local.get $bytes))
                    (local.set $is_short (i32.lt_u (local.get $bytes) (i32.const 5)))
                    (i32.store8 (i32.const 16) (local.get $is_short))
                    (i32.store offset=4 (i32.const 16) (local.get $at))
                    (i32.store offset=8 (i32.const 16)
                        (select (local.get $bytes) (i32.const 5) (local.get $is_short)))
                    (i32.const 16)))
            (core instance $main (instantiate $main
                (with "memory" (instance $memory))
                (with "log" (instance (export "write" (func $write))))))
            (func $detect (param "platform" string) (result (result string (error string)))
                (canon lift (core func $main "detect")
                    (memory (core memory $memory "memory"))
                    (realloc (core func $memory "realloc"))))
            (instance $detector (export "detect" (func $detect)))
            (export "windlass:detector/detector@0.9.0" (instance $detector)))"#
        ))
    }

    /// One with the compiler of the tests: this one is `<target>/debug/deps/<test>`.
    fn sandbox(cache_dir: &Path) -> Sandbox {
        let test = std::env::current_exe().unwrap();
        Sandbox::new(SandboxConfig {
            cache_dir: cache_dir.to_owned(),
            limits: PluginLimits::default(),
            compiler: test.ancestors().nth(2).unwrap().join("examples/sandbox"),
            compiler_args: vec!["__compile".to_owned()],
            images: None,
        })
        .unwrap()
    }

    fn on(platform: &str) -> Context {
        let config_json = "{}".to_owned();
        Context { platform: platform.to_owned(), config_json, ..Context::default() }
    }

    #[tokio::test]
    async fn an_older_version_is_served_by_its_adapter_beside_the_newest() {
        let (folder, cache) = (folder_of(&[("behave", "ok")]), tempfile::tempdir().unwrap());
        let source = Source::open(folder.path(), Digest::of(b"the same in every call")).unwrap();
        let sandbox = sandbox(cache.path());
        let file = cache.path().join("older.wasm");
        std::fs::write(&file, older()).unwrap();
        let older = sandbox.load(&file, false).unwrap();
        assert_eq!(older.info().stages, [Stage::Detector]);
        assert_eq!(older.version_of(Stage::Detector), Some("0.9.0"));

        let first = sandbox.detect(&older, &source, &on("linux/amd64")).await;
        let again = sandbox.detect(&older, &source, &on("linux/amd64")).await;
        assert_eq!((first.report.cached, again.report.cached), (false, true));
        for call in [first, again] {
            assert_eq!(call.log, [(LogLevel::Info, "linux/amd64".to_owned())]);
            let report = call.result.unwrap();
            assert_eq!(report.detections.len(), 1);
            let found = &report.detections[0];
            assert_eq!((found.id.as_str(), found.confidence), ("linux", 50));
        }
        let refused = sandbox.detect(&older, &source, &on("dos")).await.result;
        let Err(PluginFault::Refused(refusal)) = &refused else { panic!("{refused:?}") };
        let said = (refusal.code.as_str(), refusal.message.as_str());
        assert_eq!(said, ("detector.refused", "dos"));

        let newest = sandbox.load(&guest::component(), false).unwrap();
        assert_eq!(newest.version_of(Stage::Detector), Some("1.0.0"));
        let call = sandbox.detect(&newest, &source, &on("linux/amd64")).await;
        assert_eq!(call.result.unwrap().detections[0].id, "test-guest");
    }

    #[test]
    fn of_a_stage_in_two_versions_the_newest_is_asked() {
        let both = r#"(instance $older)
            (export "windlass:detector/detector@0.9.0" (instance $older))"#;
        let found = inspect::inspect_bytes(&parsed(&holding(both))).unwrap();
        assert_eq!(found.exports.len(), 2);
        assert_eq!(found.info.stages, [Stage::Detector]);
        let versions: Vec<&str> = found.uses.iter().map(|offer| offer.version).collect();
        assert_eq!(versions, ["1.0.0"]);
    }

    #[test]
    fn every_version_has_one_row_and_every_interface_of_the_newest_release_has_one() {
        let rows: BTreeSet<_> = OFFERED.iter().map(|it| (it.interface, it.version)).collect();
        assert_eq!(rows.len(), OFFERED.len(), "a row is there twice");
        let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit").join(CONTRACT);
        let mut released = Vec::new();
        for entry in std::fs::read_dir(wit.join("deps")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            let package = text.strip_prefix("package windlass:").unwrap();
            let (name, rest) = package.split_once('@').unwrap();
            released.push((
                format!("windlass:{name}/{name}"),
                rest.split(';').next().unwrap().to_owned(),
            ));
        }
        assert_eq!(released.len(), 15);
        for (interface, version) in &released {
            assert!(
                rows.contains(&(interface.as_str(), version.as_str())),
                "{interface}@{version}"
            );
        }
    }

    #[test]
    fn a_version_without_a_row_is_refused_with_those_of_its_interface() {
        assert!(exported("windlass:detector/detector@1.0.0").is_ok());
        assert!(matches!(imported("windlass:exec/exec@1.0.0"), Ok((_, Some(Kind::Exec)))));
        for (name, at) in [
            ("windlass:detector/detector@2.0.0", "2.0.0"),
            ("windlass:detector/detector@1.0.1", "1.0.1"),
            ("windlass:detector/detector@0.1.0", "0.1.0"),
            ("windlass:detector/detector@1.0.0-draft", "1.0.0-draft"),
            ("windlass:detector/detector", ""),
        ] {
            let Err(LoadError::UnknownInterface { interface, version, offered }) = exported(name)
            else {
                panic!("{name} is served")
            };
            assert_eq!((interface.as_str(), version.as_str()), ("windlass:detector/detector", at));
            let rows = ["windlass:detector/detector@1.0.0", "windlass:detector/detector@0.9.0"];
            assert_eq!(offered, rows);
        }
        let other = |result: Result<(), LoadError>| match result {
            Err(LoadError::UnknownInterface { offered, .. }) => offered.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(other(exported("windlass:oracle/oracle@1.0.0").map(drop)), 7);
        assert_eq!(other(imported("windlass:oracle/oracle@1.0.0").map(drop)), 10);
        assert_eq!(other(exported("windlass:log/log@1.0.0").map(drop)), 7, "it is no stage");
    }
}
