//! Folders with files, for the plugin's tests.

use windlass_plugin_beam::Beam;
use windlass_sdk::plan::BuildPlan;
use windlass_sdk::testing::Harness;
use windlass_sdk::{DetectReport, Detection, PluginError};

/// A folder with these files and the harness on it.
pub(crate) struct App {
    _folder: tempfile::TempDir,
    pub(crate) harness: Harness,
}

pub(crate) fn app(files: &[(&str, &str)]) -> App {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let harness = Harness::new(folder.path());
    App { _folder: folder, harness }
}

impl App {
    pub(crate) fn settings(mut self, json: &str) -> Self {
        self.harness = self.harness.settings(json);
        self
    }

    pub(crate) fn detect(&self) -> DetectReport {
        self.harness.detect::<Beam>().unwrap()
    }

    pub(crate) fn found(&self) -> Detection {
        let report = self.detect();
        report.detections.into_iter().next().unwrap_or_else(|| panic!("{:?}", report.near_misses))
    }

    pub(crate) fn refusal(&self) -> PluginError {
        self.found().refusal.expect("no refusal")
    }

    pub(crate) fn plan(&self) -> BuildPlan {
        self.harness.plan::<Beam>(&self.found()).unwrap()
    }

    /// The web process's argument vector.
    pub(crate) fn web(&self) -> Vec<String> {
        self.plan().processes[0].argv.clone()
    }

    /// Why nothing matches.
    #[track_caller]
    pub(crate) fn nothing(&self) -> String {
        let report = self.detect();
        assert!(report.detections.is_empty(), "{:?}", report.detections);
        let reasons = report.near_misses.into_iter().map(|miss| miss.reason);
        reasons.collect::<Vec<_>>().join("; ")
    }

    /// The plan's warnings.
    pub(crate) fn warnings(&self) -> Vec<String> {
        use windlass_sdk::{Builder, log::Level};
        let chosen = self.found();
        let (_, log) =
            self.harness.run(|source| Beam::plan(&self.harness.context, source, &chosen));
        log.into_iter().filter(|(level, _)| *level == Level::Warn).map(|(_, line)| line).collect()
    }
}
