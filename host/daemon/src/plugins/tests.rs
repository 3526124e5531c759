//! Installing, upgrading, granting and going back, with real files and real components.

mod accounts;
mod artifact;
mod grants;
mod index;
mod lacking;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use tempfile::TempDir;
use windlass_model::plugin::lock::{FILE, Signature};
use windlass_model::plugin::manage::{
    Proposal, SetGrants, SetProjectPlugin, SetSignatures, Standing,
};
use windlass_model::plugin::{Give, Kind, Stage};
use windlass_model::{Digest, Failure, ProjectName};
use windlass_sandbox::{Sandbox, SandboxConfig};

use super::reload::{Change, Seen};
use super::{Ask, Incoming, Plugins};

const COMPILER: &str = "the_compiler_is_a_process_of_its_own";

/// Run with the arguments of the compiler it is one: a test program has no role of its own for that.
#[tokio::test]
async fn the_compiler_is_a_process_of_its_own() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [name, exact, rest @ ..] = args.as_slice()
        && name.ends_with(COMPILER)
        && exact == "--exact"
        && rest.len() == 5
    {
        std::process::exit(windlass_sandbox::compile_main(rest));
    }
    let world = World::new();
    assert!(world.install(component("1.0.0", json!([])), None).await.unwrap().installed);
}

/// A component with this manifest: a detector that begins, and that nobody asks.
fn with_manifest(manifest: &Value, imports: &str, module: &str) -> Vec<u8> {
    let text = format!(
        r#"(component {imports}
             (core module $m {module} (func (export "f")))
             (core instance $i (instantiate $m))
             (func $f (canon lift (core func $i "f")))
             (instance $e (export "detect" (func $f)))
             (export "windlass:detector/detector@1.0.0" (instance $e)))"#
    );
    let mut bytes = wat::parse_str(text).unwrap();
    let name = b"windlass-manifest";
    let manifest = manifest.to_string();
    let mut section = leb(name.len());
    section.extend(name);
    section.extend(manifest.as_bytes());
    bytes.push(0);
    bytes.extend(leb(section.len()));
    bytes.extend(section);
    bytes
}

/// A number as WebAssembly writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        bytes.push(if number > 0 { low | 0x80 } else { low });
        if number == 0 {
            return bytes;
        }
    }
}

fn manifest(name: &str, version: &str, capabilities: Value) -> Value {
    let schema = r#"{"type": "object", "additionalProperties": false,
                     "properties": {"level": {"enum": ["low", "high"]}}}"#;
    json!({ "name": name, "version": version, "summary": "A test", "licence": "MIT",
            "capabilities": capabilities, "options_schema": schema })
}

/// The plugin `scan` in this version.
pub(crate) fn component(version: &str, capabilities: Value) -> Vec<u8> {
    with_manifest(&manifest("scan", version, capabilities), "", "")
}

fn http(hosts: &[&str]) -> Value {
    json!({ "name": "http", "hosts": hosts, "reason": "asks for advisories" })
}

fn ask(upgrades: Option<&str>, grant: Option<&str>, dry_run: bool) -> Ask {
    Ask {
        upgrades: upgrades.map(ToOwned::to_owned),
        give: grant.map(|text| text.parse().unwrap()),
        dry_run,
        everywhere: true,
        by: "test".to_owned(),
    }
}

/// Two folders with nothing in them.
struct World {
    dir: TempDir,
    plugins: Plugins,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let plugins = load(dir.path());
        Self { dir, plugins }
    }

    /// What a restart would load.
    fn again(&mut self) {
        self.plugins = load(self.dir.path());
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("plugins")
    }

    async fn install(&self, file: Vec<u8>, grant: Option<&str>) -> Result<Proposal, Failure> {
        self.change(None, file, grant, false).await
    }

    async fn upgrade(&self, file: Vec<u8>, grant: Option<&str>) -> Result<Proposal, Failure> {
        self.change(Some("scan"), file, grant, false).await
    }

    async fn change(
        &self,
        upgrades: Option<&str>,
        file: Vec<u8>,
        grant: Option<&str>,
        dry_run: bool,
    ) -> Result<Proposal, Failure> {
        let ask = ask(upgrades, grant, dry_run);
        self.plugins.install(Incoming::upload(file, "a/scan.wasm", None), ask).await
    }

    fn names(&self, project: Option<&str>) -> Vec<String> {
        let project = project.map(project_name);
        let in_force = self.plugins.of_project(project.as_ref());
        let name = |plugin: &windlass_sandbox::Plugin| {
            format!("{} {}", plugin.name(), plugin.info().manifest.version)
        };
        in_force.all().iter().map(name).collect()
    }

    async fn choose(&self, project: &str, body: SetProjectPlugin) -> Result<(), Failure> {
        self.plugins.choose(&project_name(project), "scan", body).await.map(drop)
    }

    /// Files of plugins, below the folder.
    fn files(&self) -> Vec<String> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.folder().join("scan")).into_iter().flatten() {
            names.push(entry.unwrap().file_name().to_string_lossy().into_owned());
        }
        names.sort();
        names
    }
}

fn project_name(text: &str) -> ProjectName {
    text.parse().unwrap()
}

fn load(dir: &Path) -> Plugins {
    let config = SandboxConfig {
        cache_dir: dir.join("cache"),
        limits: windlass_model::Limits::default().plugin,
        // This very program: see `the_compiler_is_a_process_of_its_own`.
        compiler: std::env::current_exe().unwrap(),
        compiler_args: vec![format!("plugins::tests::{COMPILER}"), "--exact".to_owned()],
        images: None,
    };
    let sandbox = Sandbox::new(config).unwrap();
    Plugins::load(sandbox, &dir.join("bundled"), &dir.join("plugins"))
}

#[tokio::test]
async fn what_is_installed_is_there_after_a_restart_with_what_it_was_granted() {
    let mut world = World::new();
    let asks = json!([http(&["api.osv.dev"])]);
    let proposal = world.install(component("1.0.0", asks), Some("all")).await.unwrap();
    assert!(proposal.installed);
    assert_eq!((&*proposal.name, &*proposal.version), ("scan", "1.0.0"));
    assert_eq!(proposal.stages, [Stage::Detector]);
    assert_eq!(proposal.signature, Signature::NotChecked);
    for _ in 0..2 {
        assert_eq!(world.names(None), ["scan 1.0.0"]);
        let in_force = world.plugins.of_project(None);
        let plugin = in_force.named("scan", Stage::Detector).unwrap();
        assert!(plugin.effective().allows_http("GET", "api.osv.dev"));
        assert!(!plugin.effective().allows_http("GET", "evil.org"));
        let shown = world.plugins.show("scan").unwrap();
        assert_eq!(shown.summary.standing, Standing::Installed);
        assert_eq!(shown.versions[0].installed_by, "test");
        assert_eq!(shown.asks[0].granted.0.len(), 1);
        assert!(world.plugins.problems().is_empty());
        world.again();
    }
    let digest = proposal.digest.short().to_owned();
    assert_eq!(world.files(), [format!("1.0.0-{digest}.wasm")]);
}

#[tokio::test]
async fn what_is_required_and_not_granted_is_refused_with_the_grant_to_give() {
    let world = World::new();
    let asks = json!([
        http(&["api.osv.dev"]),
        { "name": "cache", "reason": "keeps advisories", "optional": true },
    ]);
    let file = component("1.0.0", asks);
    let failure = world.install(file.clone(), None).await.unwrap_err();
    assert_eq!(failure.code, "plugin.not-granted");
    assert!(failure.why.contains("GET at api.osv.dev (asks for advisories)"), "{failure:?}");
    assert!(failure.fix.contains("--grant http"), "{failure:?}");
    let wrong_one = world.install(file.clone(), Some("cache")).await.unwrap_err();
    assert_eq!(wrong_one.code, "plugin.not-granted");
    assert!(world.names(None).is_empty() && world.files().is_empty());
    assert!(!world.folder().join(FILE).exists(), "nothing was written");

    let proposal = world.change(None, file.clone(), None, true).await.unwrap();
    assert!(!proposal.installed && world.names(None).is_empty());
    let asked: Vec<(Kind, usize)> = proposal
        .asks
        .iter()
        .map(|one| (one.capability.request.kind(), one.granted.0.len()))
        .collect();
    assert_eq!(asked, [(Kind::Http, 0), (Kind::Cache, 0)]);

    world.install(file, Some("http")).await.unwrap();
    let in_force = world.plugins.of_project(None);
    let effective = in_force.all()[0].effective();
    assert!(effective.has(Kind::Http) && !effective.has(Kind::Cache));
}

#[tokio::test]
async fn limits_above_the_hosts_ceilings_are_refused_however_they_are_granted() {
    let world = World::new();
    let asks = json!([
        { "name": "limits", "wall_ms": 60000, "memory_bytes": 2_u64 << 30, "reason": "large maps" },
    ]);
    let file = component("1.0.0", asks);
    let refused = world.install(file.clone(), Some("all")).await.unwrap_err();
    assert_eq!(refused.code, "plugin.grant-too-large");
    let why = "memory_bytes of 2147483648, and `plugin.granted_memory_bytes_max` is 1073741824";
    assert_eq!(refused.why, why);
    assert!(world.names(None).is_empty() && world.files().is_empty());

    let fits = r#"[{"name": "limits", "wall_ms": 60000, "memory_bytes": 1073741824}]"#;
    world.install(file, Some(fits)).await.unwrap();
    let granted = |world: &World| {
        let in_force = world.plugins.of_project(None);
        in_force.all()[0].effective().limits(&windlass_model::Limits::default().plugin)
    };
    assert_eq!((granted(&world).wall_ms, granted(&world).memory_bytes_max), (60_000, 1 << 30));
    let give = |text: &str| SetGrants { grant: text.parse::<Give>().unwrap() };
    let refused = world.plugins.grant("scan", &give("all")).await.unwrap_err();
    assert_eq!(refused.code, "plugin.grant-too-large");
    assert_eq!(granted(&world).wall_ms, 60_000, "it keeps what it had");
}

#[tokio::test]
async fn an_upgrade_that_asks_for_more_needs_a_new_grant() {
    let mut world = World::new();
    let old = json!([http(&["api.osv.dev"])]);
    let new = json!([http(&["api.osv.dev", "ghsa.dev"])]);
    world.install(component("1.0.0", old.clone()), Some("all")).await.unwrap();
    let same = world.upgrade(component("1.0.1", old), None).await.unwrap();
    assert_eq!(same.replaces.as_deref(), Some("1.0.0"));

    let file = component("2.0.0", new);
    let shown = world.change(Some("scan"), file.clone(), None, true).await.unwrap();
    assert_eq!(shown.more.len(), 1);
    assert_eq!(shown.more[0].request.to_string(), "http: GET at ghsa.dev");
    let failure = world.upgrade(file.clone(), None).await.unwrap_err();
    assert_eq!(failure.code, "plugin.asks-more");
    assert!(failure.why.contains("ghsa.dev") && !failure.why.contains("osv"), "{failure:?}");
    assert_eq!(world.names(None), ["scan 1.0.1"], "the old one stays");

    world.upgrade(file.clone(), Some("none")).await.unwrap();
    let allowed = |world: &World, host: &str| {
        world.plugins.of_project(None).all()[0].effective().allows_http("GET", host)
    };
    assert!(allowed(&world, "api.osv.dev") && !allowed(&world, "ghsa.dev"), "seen and not given");
    world.upgrade(file, Some("all")).await.unwrap();
    assert!(allowed(&world, "api.osv.dev") && allowed(&world, "ghsa.dev"));
    world.again();
    assert!(allowed(&world, "ghsa.dev"));
}

#[tokio::test]
async fn a_rollback_goes_back_and_old_files_go() {
    let mut world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    let nothing = world.plugins.roll_back("scan").await.unwrap_err();
    assert_eq!(nothing.code, "plugin.nothing-before");
    world.upgrade(component("2.0.0", json!([])), None).await.unwrap();
    let running = world.plugins.of_project(None);
    let view = world.plugins.roll_back("scan").await.unwrap();
    assert_eq!(view.summary.info.manifest.version, "1.0.0");
    assert_eq!(view.versions.len(), 2);
    assert_eq!(running.all()[0].info().manifest.version, "2.0.0", "what began with it goes on");
    world.again();
    assert_eq!(world.names(None), ["scan 1.0.0"]);
    world.upgrade(component("3.0.0", json!([])), None).await.unwrap();
    assert_eq!(world.files().len(), 2, "2.0.0 is neither active nor before: {:?}", world.files());
    assert_eq!(
        world.plugins.roll_back("scan").await.unwrap().summary.info.manifest.version,
        "1.0.0"
    );
}

#[tokio::test]
async fn who_decided_before_is_asked_again_although_another_version_is_active() {
    let world = World::new();
    let first = world.install(component("1.0.0", json!([])), None).await.unwrap();
    world.upgrade(component("2.0.0", json!([])), None).await.unwrap();
    let in_force = world.plugins.of_project(None);
    let decided = |digest| in_force.that_decided("scan", digest, Stage::Detector).unwrap();
    assert_eq!(decided(&first.digest).info().manifest.version, "1.0.0");
    assert_eq!(decided(&Digest::of(b"gone")).info().manifest.version, "2.0.0");
    let other_stage = in_force.that_decided("scan", &first.digest, Stage::Builder).unwrap_err();
    assert_eq!(other_stage.code, "plugin.missing");
}

#[tokio::test]
async fn two_projects_use_two_versions_and_a_third_none() {
    let mut world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    world.upgrade(component("2.0.0", json!([])), None).await.unwrap();
    let pin = |version: &str| SetProjectPlugin {
        version: Some(version.to_owned()),
        ..SetProjectPlugin::default()
    };
    let enable =
        |enabled| SetProjectPlugin { enabled: Some(enabled), ..SetProjectPlugin::default() };
    world.choose("shop", pin("1.0.0")).await.unwrap();
    world.choose("blog", enable(false)).await.unwrap();
    let unknown = world.choose("shop", pin("9.9.9")).await.unwrap_err();
    assert_eq!(unknown.code, "plugin.version-unknown");
    assert!(unknown.why.contains("1.0.0") && unknown.why.contains("2.0.0"), "{unknown:?}");
    world.again();
    assert_eq!(world.names(Some("shop")), ["scan 1.0.0"]);
    assert_eq!(world.names(Some("wiki")), ["scan 2.0.0"]);
    assert!(world.names(Some("blog")).is_empty());
    let project = project_name("blog");
    let in_force = world.plugins.of_project(Some(&project));
    let failure = in_force.named("scan", Stage::Detector).unwrap_err();
    assert!(failure.fix.contains("windlass plugin enable scan"), "{failure:?}");

    let used: Vec<_> = world.plugins.show("scan").unwrap().projects;
    assert_eq!(used.len(), 2);
    world.upgrade(component("3.0.0", json!([])), None).await.unwrap();
    assert_eq!(world.names(Some("shop")), ["scan 1.0.0"], "a pinned version is kept");
    world.choose("shop", pin("active")).await.unwrap();
    assert_eq!(world.names(Some("shop")), ["scan 3.0.0"]);
    world.plugins.forget(&project).await.unwrap();
    assert_eq!(world.names(Some("blog")), ["scan 3.0.0"], "a later project of its name");
}

#[tokio::test]
async fn options_must_fit_the_schema_and_reach_the_plugin() {
    let world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    let set = |options: Value| {
        let options: Map<String, Value> = serde_json::from_value(options).unwrap();
        SetProjectPlugin { options: Some(options), ..SetProjectPlugin::default() }
    };
    let failure = world.choose("shop", set(json!({ "level": "all" }))).await.unwrap_err();
    assert_eq!(failure.code, "plugin.options-invalid");
    world.choose("shop", set(json!({ "level": "high" }))).await.unwrap();
    let project = project_name("shop");
    let in_force = world.plugins.of_project(Some(&project));
    assert_eq!(in_force.all()[0].options()["level"], "high");
    assert!(world.plugins.of_project(None).all()[0].options().is_empty());

    let mut narrower = manifest("scan", "2.0.0", json!([]));
    narrower["options_schema"] = r#"{"properties": {"level": {"const": "low"}}}"#.into();
    let failure = world.upgrade(with_manifest(&narrower, "", ""), None).await.unwrap_err();
    assert_eq!(failure.code, "plugin.options-invalid");
    assert!(failure.what.contains("shop"), "{failure:?}");
    world.choose("shop", set(json!({ "level": "low" }))).await.unwrap();
    world.upgrade(with_manifest(&narrower, "", ""), None).await.unwrap();
}

#[tokio::test]
async fn names_are_taken_once() {
    let world = World::new();
    let bundled = world.dir.path().join("bundled");
    std::fs::create_dir_all(&bundled).unwrap();
    let node = with_manifest(&manifest("node", "1.0.0", json!([])), "", "");
    std::fs::write(bundled.join("node.wasm"), &node).unwrap();
    let world = World { plugins: load(world.dir.path()), ..world };
    let code = |tried: Result<Proposal, Failure>| tried.unwrap_err().code;
    assert_eq!(code(world.install(node.clone(), None).await), "plugin.exists");
    assert_eq!(code(world.upgrade(component("1", json!([])), None).await), "plugin.not-found");
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    assert_eq!(code(world.install(component("2.0.0", json!([])), None).await), "plugin.exists");
    let other = with_manifest(&manifest("other", "1.0.0", json!([])), "", "");
    assert_eq!(code(world.upgrade(other, None).await), "plugin.other-name");
    for (name, expected) in [("node", "plugin.not-installed"), ("nobody", "plugin.not-found")] {
        assert_eq!(world.plugins.remove(name).await.unwrap_err().code, expected);
        assert_eq!(world.plugins.roll_back(name).await.unwrap_err().code, expected);
    }
    assert_eq!(world.names(None), ["node 1.0.0", "scan 1.0.0"]);
    world.plugins.remove("scan").await.unwrap();
    assert_eq!(world.names(None), ["node 1.0.0"]);
    assert!(world.files().is_empty() && !world.folder().join("scan").exists());
}

#[tokio::test]
async fn grants_of_a_bundled_plugin_are_kept_and_of_others_checked() {
    let dir = tempfile::tempdir().unwrap();
    let bundled = dir.path().join("bundled");
    std::fs::create_dir_all(&bundled).unwrap();
    let asks = json!([http(&["api.osv.dev"])]);
    std::fs::write(bundled.join("scan.wasm"), component("1.0.0", asks.clone())).unwrap();
    let mut world = World { plugins: load(dir.path()), dir };
    assert_eq!(
        world.plugins.of_project(None).all()[0].missing().len(),
        1,
        "it is there, ungranted"
    );
    let give = |text: &str| SetGrants { grant: text.parse::<Give>().unwrap() };
    world.plugins.grant("scan", &give("all")).await.unwrap();
    world.again();
    assert!(world.plugins.of_project(None).all()[0].missing().is_empty());
    world.plugins.grant("scan", &give("none")).await.unwrap();
    assert_eq!(world.plugins.of_project(None).all()[0].missing().len(), 1);
    assert_eq!(
        world.plugins.grant("other", &give("all")).await.unwrap_err().code,
        "plugin.not-found"
    );

    let world = World::new();
    world.install(component("1.0.0", asks), Some("all")).await.unwrap();
    let refused = world.plugins.grant("scan", &give("none")).await.unwrap_err();
    assert_eq!(refused.code, "plugin.not-granted", "it could not do without");
    let narrow = r#"[{"name": "http", "hosts": ["other.dev"]}]"#;
    let refused = world.plugins.grant("scan", &give(narrow)).await.unwrap_err();
    assert_eq!(refused.code, "plugin.not-granted", "nothing of what it asks for is in it");
}

#[tokio::test]
async fn a_file_that_is_no_plugin_changes_nothing() {
    let world = World::new();
    let imports = r#"(import "windlass:exec/exec@1.0.0" (instance))"#;
    let unasked = with_manifest(&manifest("scan", "1.0.0", json!([])), imports, "");
    let traps = "(func $s unreachable) (start $s)";
    let traps = with_manifest(&manifest("scan", "1.0.0", json!([])), "", traps);
    let rows = [
        (b"no wasm".to_vec(), "plugin.not-loadable", "not a WebAssembly component"),
        (unasked, "plugin.not-loadable", "does not ask for the capability exec"),
        (traps, "plugin.trapped", "does not start"),
    ];
    for (file, code, why) in rows {
        let failure = world.install(file, Some("all")).await.unwrap_err();
        assert_eq!(failure.code, code, "{failure:?}");
        assert!(failure.why.contains(why), "{failure:?}");
    }
    assert!(world.names(None).is_empty() && world.files().is_empty());
    let incoming = world.folder().join(".incoming");
    assert_eq!(std::fs::read_dir(&incoming).unwrap().count(), 0, "what was tried is removed");
    std::fs::write(incoming.join("of-a-killed-host.wasm"), "").unwrap();
    load(world.dir.path());
    assert!(!incoming.exists());
}

#[tokio::test]
async fn a_component_that_imports_what_it_asks_for_is_linked_granted_or_denied() {
    let imports = r#"(import "windlass:exec/exec@1.0.0" (instance))"#;
    let asks = |optional| json!([{ "name": "exec", "reason": "runs", "optional": optional }]);
    let file = |optional| with_manifest(&manifest("scan", "1.0.0", asks(optional)), imports, "");
    World::new().install(file(false), Some("all")).await.unwrap();
    World::new().install(file(true), None).await.unwrap();
    let refused = World::new().install(file(false), None).await.unwrap_err();
    assert_eq!(refused.code, "plugin.not-granted");
}

#[tokio::test]
async fn an_installed_file_that_was_changed_is_not_loaded() {
    let mut world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    let file = world.folder().join("scan").join(&world.files()[0]);
    std::fs::write(&file, component("1.0.0", json!([http(&["evil.org"])]))).unwrap();
    world.again();
    assert!(world.names(None).is_empty());
    let problems = world.plugins.problems();
    assert!(
        problems.iter().any(|(_, failure)| failure.code == "plugin.not-granted"),
        "{problems:?}"
    );
    std::fs::write(&file, component("1.0.1", json!([]))).unwrap();
    world.again();
    assert_eq!(world.plugins.problems()[0].1.code, "plugin.file-changed");
    std::fs::remove_file(&file).unwrap();
    world.again();
    assert_eq!(world.plugins.problems()[0].1.code, "plugin.not-loadable");
    world.upgrade(component("1.0.0", json!([])), None).await.unwrap();
    assert_eq!(world.names(None), ["scan 1.0.0"], "installing it again mends it");
}

#[tokio::test]
async fn with_a_broken_lock_nothing_is_granted_and_that_is_said() {
    let mut world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    std::fs::write(world.folder().join(FILE), "{ broken").unwrap();
    world.again();
    assert!(world.names(None).is_empty());
    assert_eq!(world.plugins.view().problems[0].1.code, "plugin.lock-corrupt");
    world.install(component("1.0.0", json!([])), None).await.unwrap();

    std::fs::write(world.folder().join(FILE), r#"{"version": 9}"#).unwrap();
    world.again();
    let failure = world.install(component("1.0.0", json!([])), None).await.unwrap_err();
    assert_eq!(failure.code, "plugin.lock-newer", "it is not overwritten");
}

#[tokio::test]
async fn a_required_signature_is_required() {
    let world = World::new();
    let require = SetSignatures {
        policy: Some(windlass_model::plugin::lock::Policy::Require),
        ..SetSignatures::default()
    };
    world.plugins.trust(require).await.unwrap();
    let failure = world.install(component("1.0.0", json!([])), None).await.unwrap_err();
    assert_eq!(failure.code, "plugin.signature-missing");
    let bad = SetSignatures {
        add: [("me".to_owned(), "no key".to_owned())].into(),
        ..SetSignatures::default()
    };
    assert_eq!(world.plugins.trust(bad).await.unwrap_err().code, "plugin.key-invalid");
    let gone = SetSignatures { remove: vec!["me".to_owned()], ..SetSignatures::default() };
    assert_eq!(world.plugins.trust(gone).await.unwrap_err().code, "plugin.key-unknown");
}

/// Rounds of the watch, until something changes.
async fn rounds(world: &World, seen: &mut Seen) -> Vec<Change> {
    for _ in 0..3 {
        let changes = world.plugins.look(seen).await;
        if !changes.is_empty() {
            return changes;
        }
    }
    Vec::new()
}

#[tokio::test]
async fn a_file_that_is_put_into_the_folder_is_tried_and_used_and_a_bad_one_leaves_the_old() {
    let world = World::new();
    std::fs::create_dir_all(world.folder()).unwrap();
    let file = world.folder().join("scan.wasm");
    let mut seen = Seen::default();
    assert!(rounds(&world, &mut seen).await.is_empty());

    std::fs::write(&file, component("1.0.0", json!([]))).unwrap();
    assert!(world.plugins.look(&mut seen).await.is_empty(), "it may still be written");
    let changes = world.plugins.look(&mut seen).await;
    assert!(matches!(changes.as_slice(), [Change::Loaded(_)]), "{changes:?}");
    assert_eq!(world.names(None), ["scan 1.0.0"]);
    assert_eq!(world.plugins.show("scan").unwrap().summary.standing, Standing::Unmanaged);
    assert!(rounds(&world, &mut seen).await.is_empty(), "once is enough");

    let running = world.plugins.of_project(None);
    std::fs::write(&file, b"broken, and of another length").unwrap();
    let changes = rounds(&world, &mut seen).await;
    assert!(matches!(changes.as_slice(), [Change::Failed(..)]), "{changes:?}");
    assert_eq!(world.names(None), ["scan 1.0.0"], "the old one stays");
    let problems = world.plugins.problems();
    assert!(problems[0].1.why.contains("stays in use"), "{problems:?}");

    std::fs::write(&file, component("1.1.0", json!([]))).unwrap();
    rounds(&world, &mut seen).await;
    assert_eq!(world.names(None), ["scan 1.1.0"]);
    assert_eq!(running.all()[0].info().manifest.version, "1.0.0", "what began goes on");
    assert!(world.plugins.problems().is_empty());

    std::fs::remove_file(&file).unwrap();
    let changes = rounds(&world, &mut seen).await;
    assert!(matches!(changes.as_slice(), [Change::Gone(_)]), "{changes:?}");
    assert!(world.names(None).is_empty());
}

#[tokio::test]
async fn a_file_of_an_installed_plugins_name_is_not_used() {
    let mut world = World::new();
    world.install(component("1.0.0", json!([])), None).await.unwrap();
    std::fs::write(world.folder().join("mine.wasm"), component("9.0.0", json!([]))).unwrap();
    world.again();
    assert_eq!(world.names(None), ["scan 1.0.0"]);
    assert_eq!(world.plugins.problems()[0].1.code, "plugin.name-taken");
}
