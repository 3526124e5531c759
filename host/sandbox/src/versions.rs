//! Which versions of the contract's interfaces this host serves, and what serves each.
//!
//! **Invariant: a component is served by rows of [`OFFERED`] alone.** Each interface that it names is looked up
//! here by name and version, exactly; what has no row is refused, with the rows that there are.
//!
//! **Where an adapter goes.** The rest of the host knows the newest version of each interface. When a release
//! brings a newer one, its row is added, the host's own code moves to it, and the row of the older version stays:
//! its function then names a module `adapters::<package>_<version>`, which has bindings of the older release's
//! folder below `wit/` and turns their records into those of the newest. For an import that module implements the
//! older `Host` on [`CallState`] by the newest one; for a stage it is another place in [`Exports`], which the call
//! of that stage asks where the newest is absent. `host/decisions/0012-releases-of-the-contract.md` has the rules.

use wasmtime::component::{HasSelf, InstancePre, Linker};
use windlass_model::plugin::{Kind, Stage};

use crate::bindings::{
    annotations, artifacts, builder, cache, custom, detector, exec, health, http, images, log,
    migrator, rollout, source, types,
};
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

/// Where a component has the functions of its stages.
#[derive(Default)]
pub(crate) struct Exports {
    pub(crate) detector: Option<detector::GuestIndices>,
    pub(crate) builder: Option<builder::GuestIndices>,
    pub(crate) migrator: Option<migrator::GuestIndices>,
    pub(crate) health: Option<health::GuestIndices>,
    pub(crate) rollout: Option<rollout::GuestIndices>,
    pub(crate) custom: Option<custom::GuestIndices>,
}

type Own = HasSelf<CallState>;

/// All that there is.
pub(crate) static OFFERED: [Offer; 15] = [
    stage("windlass:detector/detector", Stage::Detector, |pre, exports| {
        exports.detector = Some(detector::GuestIndices::new(pre)?);
        Ok(())
    }),
    stage("windlass:builder/builder", Stage::Builder, |pre, exports| {
        exports.builder = Some(builder::GuestIndices::new(pre)?);
        Ok(())
    }),
    stage("windlass:migrator/migrator", Stage::Migrator, |pre, exports| {
        exports.migrator = Some(migrator::GuestIndices::new(pre)?);
        Ok(())
    }),
    stage("windlass:health/health", Stage::Health, |pre, exports| {
        exports.health = Some(health::GuestIndices::new(pre)?);
        Ok(())
    }),
    stage("windlass:rollout/rollout", Stage::Rollout, |pre, exports| {
        exports.rollout = Some(rollout::GuestIndices::new(pre)?);
        Ok(())
    }),
    stage("windlass:custom/custom", Stage::Custom, |pre, exports| {
        exports.custom = Some(custom::GuestIndices::new(pre)?);
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

fn find(name: &str) -> Option<&'static Offer> {
    row(&OFFERED, name)
}

/// The row of an interface in exactly this version.
fn row<'r>(rows: &'r [Offer], name: &str) -> Option<&'r Offer> {
    let (interface, version) = name.split_once('@')?;
    rows.iter().find(|offer| offer.interface == interface && offer.version == version)
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
    use std::sync::Arc;

    use wasmtime::component::Component;
    use wasmtime::{Engine, Store};

    use super::*;
    use crate::images::NotAsked;
    use crate::log::LogLevel;

    /// The adapter of a version that never was, whose lines had neither levels nor fields: bindings of the older
    /// interface, which is implemented by the newest one.
    mod log_0_9_0 {
        wasmtime::component::bindgen!({
            inline: "
                package windlass:log@0.9.0;
                interface log { write: func(message: string); }
                world older { import log; }
            ",
            world: "older",
            imports: { default: trappable },
        });

        pub(super) use self::windlass::log::log::add_to_linker;

        use crate::bindings::log as newest;
        use crate::state::CallState;

        impl windlass::log::log::Host for CallState {
            fn write(&mut self, message: String) -> wasmtime::Result<()> {
                newest::Host::write(self, newest::Level::Info, message, Vec::new())
            }
        }
    }

    /// A component that was built from that version.
    const OLDER: &str = r#"(component
        (import "windlass:log/log@0.9.0" (instance $log
            (export "write" (func (param "message" string)))))
        (core module $text (memory (export "memory") 1) (data (i32.const 0) "older"))
        (core instance $text (instantiate $text))
        (core func $write (canon lower (func $log "write")
            (memory (core memory $text "memory"))))
        (core module $main
            (import "log" "write" (func $write (param i32 i32)))
            (func (export "run") (call $write (i32.const 0) (i32.const 5))))
        (core instance $main
            (instantiate $main (with "log" (instance (export "write" (func $write))))))
        (func (export "run") (canon lift (core func $main "run"))))"#;

    #[tokio::test]
    async fn an_older_version_is_served_by_its_adapter_beside_the_newest() {
        let newest: Link = |linker| log::add_to_linker::<_, Own>(linker, |it| it);
        let older: Link = |linker| log_0_9_0::add_to_linker::<_, Own>(linker, |it| it);
        let rows = [
            always("windlass:log/log", newest),
            Offer { version: "0.9.0", ..always("windlass:log/log", older) },
        ];
        let engine = Engine::default();
        let mut linker = Linker::new(&engine);
        for name in ["windlass:log/log@1.0.0", "windlass:log/log@0.9.0"] {
            let Some(Offer { served: Served::Always(link), .. }) = row(&rows, name) else {
                panic!("{name} has no row")
            };
            link(&mut linker).unwrap();
        }
        for unknown in ["windlass:log/log@0.9.1", "windlass:log/log@0.8.0"] {
            assert!(row(&rows, unknown).is_none(), "{unknown}");
        }

        let component = Component::new(&engine, wat::parse_str(OLDER).unwrap()).unwrap();
        let images = Arc::new(NotAsked::default());
        let state = CallState::new(None, Arc::default(), Arc::default(), images, None).unwrap();
        let mut store = Store::new(&engine, state);
        let instance = linker.instantiate_async(&mut store, &component).await.unwrap();
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap();
        run.call_async(&mut store, ()).await.unwrap();
        let said = store.data().log.finish().entries;
        assert_eq!(said, [(LogLevel::Info, "older".to_owned())]);
    }

    #[test]
    fn every_version_has_one_row_and_every_interface_of_the_newest_release_has_one() {
        let rows: BTreeSet<_> = OFFERED.iter().map(|it| (it.interface, it.version)).collect();
        assert_eq!(rows.len(), OFFERED.len(), "a row is there twice");
        let wit = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../wit").join(CONTRACT);
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
            assert_eq!(offered, ["windlass:detector/detector@1.0.0"]);
        }
        let other = |result: Result<(), LoadError>| match result {
            Err(LoadError::UnknownInterface { offered, .. }) => offered.len(),
            other => panic!("{other:?}"),
        };
        assert_eq!(other(exported("windlass:oracle/oracle@1.0.0").map(drop)), 6);
        assert_eq!(other(imported("windlass:oracle/oracle@1.0.0").map(drop)), 9);
        assert_eq!(other(exported("windlass:log/log@1.0.0").map(drop)), 6, "it is no stage");
    }
}
