//! What is counted, and when a plugin is switched off.

use windlass_model::deployment::Kind as DeploymentKind;
use windlass_model::plan::Context;
use windlass_model::plugin::CallOutcome;
use windlass_model::plugin::account::{OFF_FILE, SwitchedOff};
use windlass_model::project::Project;
use windlass_model::secret::Masker;
use windlass_model::{Deployment, EnvironmentName, Limits};
use windlass_sandbox::{Plugin, PluginFault, Source};
use windlass_store::Store;

use super::*;

fn deployment(project: &str) -> Deployment {
    Deployment::queued(
        project_name(project),
        EnvironmentName::production(),
        7,
        DeploymentKind::Deploy,
        windlass_model::Source::Git { url: "file:///x".into(), reference: None },
        "test".into(),
    )
}

fn trapped() -> PluginFault {
    PluginFault::Trapped { reason: "unreachable, and hunter2".to_owned() }
}

impl World {
    /// The plugin `scan` as a project uses it.
    fn used(&self, project: &str) -> Plugin {
        self.plugins.of_project(Some(&project_name(project))).all()[0].clone()
    }

    /// Notes the end of a call of `detect`.
    async fn note(
        &self,
        project: &str,
        plugin: &Plugin,
        fault: Option<&PluginFault>,
    ) -> Option<SwitchedOff> {
        let (masker, function) = (Masker::new(["hunter2"]), "detect".to_owned());
        let deployment = deployment(project);
        self.plugins.note(&deployment, plugin, Stage::Detector, function, fault, &masker).await
    }

    async fn fail(&self, project: &str, times: u32) -> Vec<SwitchedOff> {
        let plugin = self.used(project);
        let mut off = Vec::new();
        for _ in 0..times {
            off.extend(self.note(project, &plugin, Some(&trapped())).await);
        }
        off
    }

    fn is_off(&self, project: &str) -> bool {
        let in_force = self.plugins.of_project(Some(&project_name(project)));
        let is_asked = !in_force.to_ask(Stage::Detector).0.is_empty();
        let refused = in_force.require_on(&in_force.all()[0], Stage::Detector).err();
        assert_eq!(is_asked, refused.is_none(), "{refused:?}");
        !is_asked
    }
}

/// As the limits have it where nobody set another one.
fn faults_max() -> u32 {
    Limits::default().plugin.faults_in_a_row_max
}

#[tokio::test]
async fn it_is_off_after_so_many_faults_for_one_project_and_after_a_restart() {
    let mut world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    assert!(world.fail("shop", faults_max() - 1).await.is_empty());
    let plugin = world.used("shop");
    assert_eq!(world.note("shop", &plugin, None).await, None);
    let off = world.fail("shop", faults_max() - 1).await;
    assert!(off.is_empty(), "an answer begins anew: {off:?}");
    let host_failed = PluginFault::HostFailed("no memory".to_owned());
    assert_eq!(world.note("shop", &plugin, Some(&host_failed)).await, None);
    assert!(!world.is_off("shop"));

    let off = world.fail("shop", 1).await.remove(0);
    assert_eq!((off.faults, off.number, off.code.as_str()), (faults_max(), 7, "plugin.trapped"));
    assert!(off.reason.contains("unreachable") && !off.reason.contains("hunter2"), "{off:?}");
    assert!(world.is_off("shop") && !world.is_off("blog"));
    assert!(world.fail("shop", 3).await.is_empty(), "it is said once");
    world.again();
    assert!(world.is_off("shop") && !world.is_off("blog"));
    let shown = world.plugins.show("scan").unwrap();
    assert_eq!(shown.summary.switched_off, std::slice::from_ref(&off));
    let of_shop = world.plugins.of_project_shown(&project_name("shop"), "scan").unwrap();
    assert!(of_shop.enabled && of_shop.switched_off == [off]);
}

#[tokio::test]
async fn a_person_another_version_and_the_end_of_the_project_switch_it_on() {
    let world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    let file = world.folder().join(OFF_FILE);
    let enable = SetProjectPlugin { enabled: Some(true), ..SetProjectPlugin::default() };

    assert_eq!(world.fail("shop", faults_max()).await.len(), 1);
    assert!(file.exists());
    world.choose("shop", enable).await.unwrap();
    assert!(!world.is_off("shop") && !file.exists());
    assert!(world.fail("shop", faults_max() - 1).await.is_empty(), "it begins anew");

    assert_eq!(world.fail("shop", 1).await.len(), 1);
    let first = world.used("shop");
    world.upgrade(component("2.0.0", json!([])), None).await.unwrap();
    assert!(!world.is_off("shop"));
    for _ in 0..faults_max() {
        // A deployment that began with the version before.
        assert_eq!(world.note("shop", &first, Some(&trapped())).await, None);
    }
    assert_eq!(world.fail("shop", faults_max()).await.len(), 1);
    world.plugins.roll_back("scan").await.unwrap();
    assert!(!world.is_off("shop"), "the version before is another one too");

    assert_eq!(world.fail("shop", faults_max()).await.len(), 1);
    world.plugins.forget(&project_name("shop")).await.unwrap();
    assert!(!world.is_off("shop") && !file.exists(), "a later project of its name");
}

#[tokio::test]
async fn a_file_that_is_exchanged_while_no_host_runs_is_asked_again_and_one_that_does_not_read_says_nothing()
 {
    let mut world = World::new();
    std::fs::create_dir_all(world.folder()).unwrap();
    let file = world.folder().join("scan.wasm");
    std::fs::write(&file, component("1.0.0", json!([]))).unwrap();
    world.again();
    assert_eq!(world.fail("shop", faults_max()).await.len(), 1);
    std::fs::write(&file, component("1.0.1", json!([]))).unwrap();
    world.again();
    assert!(!world.is_off("shop"));
    assert_eq!(world.fail("shop", faults_max()).await.len(), 1);
    std::fs::write(world.folder().join(OFF_FILE), "{").unwrap();
    world.again();
    assert!(!world.is_off("shop"));
}

#[tokio::test]
async fn calls_are_counted_kept_in_the_store_and_counted_on() {
    let mut world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    let store = Store::in_memory(Limits::default()).unwrap();
    let shop = project_name("shop");
    store.create_project(&Project::new(shop.clone())).await.unwrap();
    let tree = tempfile::tempdir().unwrap();
    let source = Source::open(tree.path(), Digest::of(b"")).unwrap();
    for project in ["shop", "gone"] {
        let in_force = world.plugins.of_project(Some(&project_name(project)));
        let plugin = &in_force.all()[0];
        let call = in_force.sandbox().detect(plugin, &source, &Context::default()).await;
        // Its function is none of the contract's.
        assert_eq!(call.report.outcome, CallOutcome::HostFailed, "{:?}", call.result);
    }
    let calls = |world: &World, project: Option<&ProjectName>| {
        let stats = world.plugins.stats(project, Some("scan"), |_| true).unwrap();
        stats.plugins.iter().map(|row| row.totals.calls).sum::<u64>()
    };
    assert_eq!((calls(&world, Some(&shop)), calls(&world, None)), (1, 2));
    let none = world.plugins.stats(None, Some("scan"), |_| false).unwrap();
    assert!(none.plugins.is_empty(), "who may see no project sees none of its calls");
    let unknown = world.plugins.stats(None, Some("nobody"), |_| true).unwrap_err();
    assert_eq!(unknown.code, "plugin.not-found");

    // A host that stops in the middle of it writes the rest, and what was cut off, at the end.
    let cut = world.plugins.keep_accounts(&store);
    let _cut = tokio::time::timeout(std::time::Duration::ZERO, cut).await;
    world.plugins.keep_accounts(&store).await;
    world.again();
    assert_eq!(calls(&world, None), 0);
    world.plugins.restore_accounts(&store).unwrap();
    assert_eq!(calls(&world, None), 1, "nothing is kept of a project that is gone");
}
