//! New versions under continuous load: good ones take over, bad ones change nothing for visitors.

use windlass_model::{StepName, StepStatus};
use windlass_test_support::load::Running;
use windlass_test_support::{Deployed, GitRepo, Load, TestHost};

const PROJECT: &str = "shop";
const HOST: &str = "shop.localhost";

/// A bad version: how the sample application is broken, and how its deployment must end.
struct Bad {
    what: &'static str,
    breaks: fn(&GitRepo),
    code: &'static str,
    step: StepName,
    /// Text of a log line that the failure shows.
    shows: &'static str,
}

const BAD: [Bad; 4] = [
    Bad {
        what: "crashes at start",
        breaks: |repo| {
            repo.edit(
                "server.js",
                "const app = express();",
                "const app = express();\nthrow new Error('broken on purpose');",
            );
        },
        code: "check.exited",
        step: StepName::Check,
        shows: "broken on purpose",
    },
    Bad {
        what: "never listens",
        breaks: |repo| {
            repo.edit("server.js", "const server = app.listen(port,", "const listen = () => {};\nconsole.log('not listening');\nsetInterval(listen, 1000);\nconst server = listen(port,");
            repo.write("windlass.toml", "[health]\ntimeout = \"4s\"\n");
        },
        code: "check.never-listened",
        step: StepName::Check,
        shows: "not listening",
    },
    Bad {
        what: "does not build",
        breaks: |repo| {
            repo.edit(
                "package.json",
                "\"start\": \"node server.js\"",
                "\"start\": \"node server.js\", \"build\": \"echo about to fail && exit 3\"",
            );
        },
        code: "build.command-failed",
        step: StepName::Build,
        shows: "about to fail",
    },
    Bad {
        what: "does not migrate",
        breaks: |repo| {
            repo.write("Procfile", "web: node server.js\nrelease: node -e \"console.error('no such table'); process.exit(4)\"\n");
        },
        code: "migrate.failed",
        step: StepName::Migrate,
        shows: "no such table",
    },
];

#[test]
fn good_versions_take_over_and_bad_ones_change_nothing_for_visitors() {
    let host = TestHost::start();
    let repo = GitRepo::of_fixture("express");
    host.deploy_git(PROJECT, &repo, &[]).live();

    let load = Load::on(host.proxy_address(), HOST).start();
    load.wait_more(100);
    repo.edit("server.js", "const version = 'v1'", "const version = 'v2'");
    let second = repo.commit("Version 2");
    host.deploy_git(PROJECT, &repo, &[]).live();
    load.wait_body("slow v2\n");
    let report = load.stop();
    report.assert_unharmed(
        500,
        &["Hello from Windlass, v1\n", "Hello from Windlass, v2\n", "slow v1\n", "slow v2\n"],
    );
    let in_flight = report.in_flight_at_first("Hello from Windlass, v2\n");
    assert!(in_flight >= 1, "slow requests were in flight at the switch");

    let load = Load::on(host.proxy_address(), HOST).start();
    for bad in &BAD {
        repo.git(&["checkout", "--quiet", &second, "--", "."]);
        let _ = std::fs::remove_file(repo.path().join("windlass.toml"));
        (bad.breaks)(&repo);
        repo.commit(bad.what);
        attempt(&host, &load, &repo, bad);
    }
    load.stop().assert_unharmed(500, &["Hello from Windlass, v2\n", "slow v2\n"]);

    let load = Load::on(host.proxy_address(), HOST).start();
    load.wait_body("slow v2\n");
    let back = Deployed::of(&host.cli_json(&["rollback", "1", "--project", PROJECT])).live();
    assert_eq!(back.step(StepName::Build), StepStatus::Skipped, "a rollback builds nothing");
    load.wait_body("slow v1\n");
    load.stop().assert_unharmed(
        100,
        &["Hello from Windlass, v1\n", "Hello from Windlass, v2\n", "slow v1\n", "slow v2\n"],
    );
    assert_eq!(host.get(HOST, "/").text(), "Hello from Windlass, v1\n");
    host.finish();
}

/// Deploys a bad version: it fails as it should, says why, and leaves nothing.
fn attempt(host: &TestHost, load: &Running, repo: &GitRepo, bad: &Bad) {
    let before = host.holdings();
    let deployed = host.deploy_git(PROJECT, repo, &[]);
    let failure = deployed.failed(bad.code);
    assert_eq!(failure.step, Some(bad.step), "{}", bad.what);
    let shown: Vec<&str> = failure.log.iter().map(|line| line.text.as_str()).collect();
    assert!(shown.iter().any(|line| line.contains(bad.shows)), "{}: {shown:#?}", bad.what);
    load.wait_more(50);
    assert_eq!(host.get(HOST, "/").text(), "Hello from Windlass, v2\n", "{}", bad.what);
    assert_eq!(host.holdings(), before, "a version that {} leaves nothing", bad.what);
}
