//! A host with one small application, of which the tests deploy version after version.

use std::path::PathBuf;

use windlass_test_support::load::Running;
use windlass_test_support::{Deployed, GitRepo, HostOptions, Load, LoadReport, TestHost, fixture};

/// Name of the project.
pub(crate) const PROJECT: &str = "shop";
/// Host name of its production environment.
pub(crate) const HOST: &str = "shop.localhost";

/// What a version does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum App {
    /// Goes live; its migration lasts so many milliseconds.
    Good { migrates_ms: u32 },
    /// Ends at once when it is started.
    CrashesAtStart,
}

/// The host and its application.
pub(crate) struct Shop {
    pub(crate) host: TestHost,
    pub(crate) repo: GitRepo,
    /// Number of the last deployment that was asked for.
    pub(crate) last: u64,
    /// Number of the live one.
    pub(crate) live: u64,
    /// What the live one answers.
    pub(crate) text: String,
}

impl Shop {
    /// Version 1 is live.
    pub(crate) fn open() -> Self {
        Self::open_on(TestHost::start_with(HostOptions::default().limit("stop_grace_s", 3)))
    }

    /// The same, on a host that runs.
    pub(crate) fn open_on(host: TestHost) -> Self {
        let repo = GitRepo::of_fixture("plain-node");
        host.deploy_git(PROJECT, &repo, &[]).live();
        Self { host, repo, last: 1, live: 1, text: "v1".to_owned() }
    }

    /// Visitors come.
    pub(crate) fn load(&self) -> Running {
        Load::on(self.host.proxy_address(), HOST).start()
    }

    /// Commits the next version and returns what it answers.
    pub(crate) fn commit(&mut self, app: App) -> String {
        self.last += 1;
        let text = format!("v{}", self.last);
        let mut server = text_of("server.js").replace("'v1'", &format!("'{text}'"));
        let mut lasts_ms = 0;
        match app {
            App::Good { migrates_ms } => lasts_ms = migrates_ms,
            App::CrashesAtStart => server.insert_str(0, "process.exit(3);\n"),
        }
        self.repo.write("server.js", &server);
        let lasts = format!("lastsMs = {lasts_ms};");
        self.repo.write("migrate.js", &text_of("migrate.js").replace("lastsMs = 0;", &lasts));
        self.repo.commit(&text);
        text
    }

    /// Gives the application a build command, or takes it away.
    pub(crate) fn set_build(&self, command: Option<&str>) {
        let start = "\"start\": \"node server.js\"";
        let build = command.map(|command| format!("{start}, \"build\": \"{command}\""));
        let package = text_of("package.json").replace(start, build.as_deref().unwrap_or(start));
        self.repo.write("package.json", &package);
    }

    /// Asks for a deployment of what is committed and returns at once.
    pub(crate) fn ask(&self) {
        let path = format!("/v1/projects/{PROJECT}/environments/production/deployments");
        let body = serde_json::json!({ "git_url": self.repo.url() });
        let answer = self.host.api("POST", &path, Some(&body));
        assert_eq!(answer.status, 202, "{}", answer.text());
    }

    /// Deploys the next version, which must go live and answer.
    pub(crate) fn deploy_next(&mut self) -> Deployed {
        self.text = self.commit(App::Good { migrates_ms: 0 });
        let deployed = self.host.deploy_git(PROJECT, &self.repo, &[]).live();
        self.live = self.last;
        assert_eq!(self.host.get(HOST, "/").text(), self.text);
        deployed
    }

    /// Ids and process ids of the live instances.
    pub(crate) fn instances(&self) -> Vec<(String, u32)> {
        let instances = self.host.show(PROJECT, self.live).deployment.outputs.instances;
        instances.into_iter().map(|instance| (instance.id, instance.pid)).collect()
    }
}

/// Asserts that no request failed, and that visitors saw these versions and no others.
pub(crate) fn assert_unharmed(report: &LoadReport, versions: &[&str]) {
    let bodies: Vec<String> =
        versions.iter().flat_map(|text| [(*text).to_owned(), format!("slow {text}")]).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    report.assert_unharmed(200, &bodies);
}

fn text_of(file: &str) -> String {
    let path: PathBuf = fixture("plain-node").join(file);
    std::fs::read_to_string(path).unwrap()
}
