//! Environments of one project: own settings, variables, addresses and history; and a worker beside the
//! web process.

use windlass_model::LogLine;
use windlass_test_support::{GitRepo, TestHost, until};

const PACKAGE: &str = r#"{"name":"two","version":"1.0.0","engines":{"node":"22"},
"scripts":{"start":"node server.js"}}"#;

const SERVER: &str = "
require('http').createServer((q, s) => s.end([process.env.WINDLASS_ENVIRONMENT, process.env.PORT,
  process.env.NAME].join(' '))).listen(process.env.PORT, '0.0.0.0');
";

const WORKER: &str = "console.log('worker of ' + process.env.NAME + ', port ' + process.env.PORT);
setInterval(() => {}, 1000);";

const SETTINGS: &str = "
[run]
port = 4100

[run.processes.worker]
command = \"node worker.js\"

[environments.staging]
run.port = 4200
";

/// What the worker of an environment's only deployment said.
fn worker_says(host: &TestHost, number: u64) -> Vec<String> {
    let number = number.to_string();
    let arguments = ["logs", &number, "--project", "two", "--instance", "worker.0"];
    let lines = host.cli_json(&arguments).ok().stdout;
    let line = |text: &str| serde_json::from_str::<LogLine>(text).unwrap().text;
    lines.lines().map(line).collect()
}

#[test]
fn environments_have_their_own_settings_variables_and_addresses_and_workers_run_beside() {
    let host = TestHost::start();
    host.cli(&["project", "create", "two"]).ok();
    host.cli(&["environment", "create", "staging", "--project", "two"]).ok();
    for (environment, name) in [("production", "large"), ("staging", "small")] {
        let variable = format!("NAME={name}");
        host.cli(&["env", "set", &variable, "--project", "two", "-e", environment]).ok();
    }
    let repo = GitRepo::of_files(&[
        ("package.json", PACKAGE),
        ("server.js", SERVER),
        ("worker.js", WORKER),
        ("windlass.toml", SETTINGS),
    ]);
    host.deploy_git("two", &repo, &[]).live();
    host.deploy_git("two", &repo, &["-e", "staging"]).live();
    assert_eq!(host.get("two.localhost", "/").text(), "production 4100 large");
    assert_eq!(host.get("staging.two.localhost", "/").text(), "staging 4200 small");
    for (number, name) in [(1, "large"), (2, "small")] {
        let expected = format!("worker of {name}, port undefined");
        until("the worker speaks", std::time::Duration::from_secs(20), || {
            worker_says(&host, number).contains(&expected)
        });
    }

    // The variable of the environment goes before the settings of the code.
    host.cli(&["env", "set", "PORT=4300", "--project", "two", "-e", "staging"]).ok();
    host.cli(&["redeploy", "--project", "two", "-e", "staging"]).ok();
    assert_eq!(host.get("staging.two.localhost", "/").text(), "staging 4300 small");
    assert_eq!(host.get("two.localhost", "/").text(), "production 4100 large");
    host.finish();
}
