//! A sandbox as the host has it, and what components are asked in it.

use serde::Serialize;
use tempfile::TempDir;
use windlass_model::Digest;
use windlass_model::limits::PluginLimits;
use windlass_model::plan::{Context, Observation, ProbeOutcome};
use windlass_sandbox::{Call, Plugin, Sandbox, SandboxConfig, Source};
use windlass_test_support::binary;

use crate::workshop::Workshop;

/// A sandbox with one plugin in it.
pub(crate) struct Bench {
    sandbox: Sandbox,
    plugin: Plugin,
}

impl Bench {
    /// Loads and compiles a component, with the limits of a host but for the time of compiling: a debug
    /// build compiles slowly, and other tests run beside it.
    pub(crate) async fn new(workshop: &Workshop, component: &str) -> Self {
        let usual = PluginLimits::default();
        let limits = PluginLimits { compile_wall_ms: 600_000, compile_cpu_s: 300, ..usual };
        let sandbox = Sandbox::new(SandboxConfig {
            cache_dir: workshop.plugins_cache(),
            limits,
            compiler: binary(),
            compiler_args: vec!["__compile".to_owned()],
            images: None,
        })
        .unwrap();
        let plugin = sandbox.load(&workshop.path(component), false).unwrap();
        sandbox.prepare(&plugin).await.unwrap();
        Self { sandbox, plugin }
    }

    /// The plugin's manifest and stages as one text.
    pub(crate) fn info(&self) -> String {
        let info = self.plugin.info();
        let manifest = &info.manifest;
        let stages: Vec<&str> = info.stages.iter().map(|stage| stage.as_str()).collect();
        let (name, version) = (&manifest.name, &manifest.version);
        format!(
            "{name} {version} ({}): {}: {}",
            manifest.licence,
            manifest.summary,
            stages.join(", ")
        )
    }

    /// Detects a folder, then plans what was detected first; the answers are compared with a snapshot, which is the
    /// same one for every language.
    pub(crate) async fn assert_detects_and_plans(&self, snapshot: &str, folder: &Folder) {
        let (source, context) = (folder.source(), context());
        let call = self.sandbox.detect(&self.plugin, &source, &context).await;
        let report = answered(call);
        let chosen = report.detections.first().unwrap().clone();
        assert_snapshot(&format!("{snapshot}-report"), &report);
        let plan = answered(self.sandbox.plan(&self.plugin, &source, &context, &chosen).await);
        assert_snapshot(&format!("{snapshot}-plan"), &plan);
    }

    /// The probe's other answers: migrations, the default policy, verdicts.
    pub(crate) async fn assert_migrates_and_judges(&self, folder: &Folder) {
        let (source, context) = (folder.source(), context());
        let report = answered(self.sandbox.detect(&self.plugin, &source, &context).await);
        let chosen = report.detections.first().unwrap();
        let outputs = ["app".to_owned()];
        let sandbox = &self.sandbox;
        let found = sandbox.migrations(&self.plugin, &source, &context, chosen, &outputs).await;
        assert_snapshot("probe-migrations", &answered(found));
        let processes = serde_json::json!([
            { "name": "web", "output": "app", "kind": "web", "argv": ["server"], "ports": [3000] },
        ]);
        let processes: Vec<_> = serde_json::from_value(processes).unwrap();
        let policy = sandbox
            .health_policy(&self.plugin, &source, &context, chosen, &processes, &[None])
            .await;
        let policy = answered(policy);
        assert_snapshot("probe-policy", &policy);
        let saw = |outcome| [Observation { probe: 0, at_ms: 5_000_000_000, took_ms: 1, outcome }];
        let mut verdicts = Vec::new();
        for outcome in [ProbeOutcome::Status(200), ProbeOutcome::Status(404), ProbeOutcome::Refused]
        {
            let verdict = sandbox.judge(&self.plugin, &context, &policy, &saw(outcome)).await;
            verdicts.push(answered(verdict));
        }
        assert_snapshot("probe-verdicts", &verdicts);
    }

    /// A failure on purpose arrives as one, and a fault is the plugin's with a line in its log that says why.
    pub(crate) async fn assert_fails_as_asked(&self, folder: &Folder, trap: &str, shape: &str) {
        folder.write("behave", "refuse");
        let call = self.sandbox.detect(&self.plugin, &folder.source(), &context()).await;
        assert_snapshot("probe-refusal", &format!("{:?}", call.result.unwrap_err()));
        for (file, text, said) in [("behave", "trap", trap), ("wrong", "", shape)] {
            folder.write("behave", "");
            folder.write(file, text);
            let call = self.sandbox.detect(&self.plugin, &folder.source(), &context()).await;
            let fault = call.result.unwrap_err().to_string();
            assert!(fault.contains(said), "{fault}\nhas no {said}");
            let log: String = call.log.iter().map(|line| format!("{line:?}\n")).collect();
            assert!(log.contains(said), "{log}\nhas no {said}");
        }
    }
}

fn answered<T: std::fmt::Debug>(call: Call<T>) -> T {
    match call.result {
        Ok(answer) => answer,
        Err(fault) => panic!("{fault:?}\n{:?}", call.log),
    }
}

fn assert_snapshot<T: Serialize>(name: &str, value: &T) {
    let settings = {
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings
    };
    settings.bind(|| insta::assert_json_snapshot!(name, value));
}

fn context() -> Context {
    Context {
        platform: "linux/amd64".to_owned(),
        config_json: r#"{"run":{"port":8080}}"#.to_owned(),
        ..Context::default()
    }
}

/// A source folder.
pub(crate) struct Folder(TempDir);

impl Folder {
    /// With these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (path, text) in files {
            folder.write(path, text);
        }
        folder
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Opened under a digest of the moment, so that no answer is replayed.
    fn source(&self) -> Source {
        let moment = format!("{:?}", std::time::SystemTime::now());
        Source::open(self.0.path(), Digest::of(moment.as_bytes())).unwrap()
    }
}

/// A book that mdBook made.
pub(crate) fn book() -> Folder {
    Folder::with(&[("book.toml", ""), ("book/index.html", "<!doctype html>")])
}

/// What the probe looks at.
pub(crate) fn probed() -> Folder {
    Folder::with(&[("a.txt", "one"), ("b/ü.txt", "zwei 😀\u{7ff}"), ("c.bin", "12345")])
}
