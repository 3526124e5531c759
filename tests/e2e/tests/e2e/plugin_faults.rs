//! A plugin that misbehaves fails its own deployment and nothing else; and a deployment that is cut off
//! by a person leaves nothing.

use std::time::Duration;

use windlass_model::failure::Fault;
use windlass_model::{DeploymentStatus, StepName, StepStatus};
use windlass_test_support::{GitRepo, HostOptions, TestHost, guest, leaks, until, wait_for};

use crate::shop::{HOST, PROJECT, Shop, assert_unharmed};

/// Limits of one call in these tests, and what a step may need beside it.
const WALL_MS: i64 = 3_000;
const CPU_MS: i64 = 1_000;
const BESIDE: Duration = Duration::from_secs(5);

/// A host on which the plugin that misbehaves is installed.
fn host_with_the_guest() -> TestHost {
    host_with(&[])
}

/// The same with these files beside it in the folder of plugins.
fn host_with(files: &[(&str, &[u8])]) -> TestHost {
    let mut options = HostOptions::default();
    // It fails many times in a row here, and is to be asked each time.
    let limits = [
        ("wall_ms", WALL_MS),
        ("cpu_ms", CPU_MS),
        ("memory_bytes_max", 64 << 20),
        ("faults_in_a_row_max", 0),
    ];
    let limits: toml::Table =
        limits.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    options.limits.insert("plugin".to_owned(), limits.into());
    let mut host = TestHost::prepare(options);
    let installed = host.data_dir().join("plugins");
    std::fs::create_dir_all(&installed).unwrap();
    std::fs::copy(guest::component(), installed.join("test-guest.wasm")).unwrap();
    for (name, bytes) in files {
        std::fs::write(installed.join(name), bytes).unwrap();
    }
    host.restart();
    host
}

#[test]
fn a_plugin_that_loops_eats_memory_or_traps_is_named_and_the_next_deployment_works() {
    let host = host_with_the_guest();
    let plugins = host.cli(&["plugin", "list"]).ok().stdout;
    assert!(plugins.contains(guest::NAME), "{plugins}");
    let serve = host.serve_pid();
    let page = GitRepo::of_fixture("html");
    host.deploy_git("site", &page, &[]).live();

    for (how, code) in [
        ("detect=loop", "plugin.timed-out"),
        ("detect=sleep-in-hostcall", "plugin.timed-out"),
        ("detect=eat-memory", "plugin.out-of-memory"),
        ("detect=trap", "plugin.trapped"),
        ("plan=loop", "plugin.timed-out"),
        ("plan=eat-memory", "plugin.out-of-memory"),
        ("plan=panic", "plugin.trapped"),
    ] {
        let repo = GitRepo::of_files(&[("behave", how), ("index.html", "<p>Never seen</p>\n")]);
        let failed = host.deploy_git("site", &repo, &[]);
        let failure = failed.failed(code);
        assert_eq!(failure.fault, Fault::Plugin(guest::NAME.to_owned()), "{how}: {failure:#?}");
        assert!(failure.what.contains(guest::NAME), "{how}: {failure:#?}");
        let step = if how.starts_with("detect") { StepName::Detect } else { StepName::Plan };
        assert_eq!(failure.step, Some(step), "{how}: {failure:#?}");
        let step = failed.view.deployment.step(step).unwrap().clone();
        let took = step.ended_at.unwrap().duration_since(step.started_at.unwrap());
        let within = Duration::from_millis(u64::try_from(WALL_MS).unwrap()) + BESIDE;
        assert!(took.unsigned_abs() < within, "{how}: the step took {took}");
        assert!(host.get("site.localhost", "/").text().contains("plain HTML"), "{how}");
    }

    page.edit("index.html", "plain HTML", "plain HTML, again");
    page.commit("The next version");
    host.deploy_git("site", &page, &[]).live();
    assert!(host.get("site.localhost", "/").text().contains("plain HTML, again"));
    assert_eq!(host.serve_pid(), serve, "the host went on");
    host.finish();
}

#[test]
fn what_is_no_plugin_in_the_folder_of_plugins_is_named_and_the_others_are_used() {
    let component = std::fs::read(guest::component()).unwrap();
    let host = host_with(&[
        ("forged.cwasm", b"\x7fELF\x02\x01\x01 and machine code"),
        ("module.wasm", b"\0asm\x01\0\0\0"),
        ("truncated.wasm", &component[..component.len() / 2]),
    ]);
    let listed = host.cli(&["plugin", "list"]).ok().stdout;
    for said in [guest::NAME, "forged", "compiled code", "module", "core WebAssembly", "truncated"]
    {
        assert!(listed.contains(said), "{said}: {listed}");
    }
    let repo = GitRepo::of_files(&[("behave", "detect=trap"), ("index.html", "<p>Unseen</p>\n")]);
    host.deploy_git("site", &repo, &[]).failed("plugin.trapped");
    host.finish();
}

#[test]
fn cancel_ends_the_whole_process_tree_of_a_build() {
    let mut shop = Shop::open();
    let held = shop.host.holdings();
    let load = shop.load();
    // One in the command's own tree, one in a session of its own.
    let naps = format!("31557{:05}", std::process::id() % 100_000);
    let build = format!("setsid sleep {naps}.1 & sleep {naps}.2");
    shop.set_build(Some(&build));
    shop.repo.commit("A build that never ends");
    shop.ask();
    for nap in ["1", "2"] {
        until("the build sleeps", Duration::from_secs(60), || {
            !leaks::pids_naming(&format!("sleep {naps}.{nap}")).is_empty()
        });
    }
    shop.host.cli(&["cancel", "2", "--project", PROJECT]).ok();
    let view = shop.host.wait_deployment(
        PROJECT,
        2,
        "the deployment is cancelled",
        Duration::from_secs(20),
        |view| view.deployment.status == DeploymentStatus::Cancelled,
    );
    let steps = &view.deployment.steps;
    let build = view.deployment.step(StepName::Build).unwrap();
    assert_eq!(build.status, StepStatus::Cancelled, "{steps:#?}");
    let after = steps.iter().skip_while(|step| step.name != StepName::Build);
    assert!(after.into_iter().all(|step| step.status == StepStatus::Cancelled), "{steps:#?}");
    assert_eq!(leaks::pids_naming(&naps), [0_u32; 0], "nothing of the build runs");
    wait_for("nothing of the build is held", Duration::from_secs(20), || {
        let now = shop.host.holdings();
        if now == held { Ok(()) } else { Err(format!("{now:#?} instead of {held:#?}")) }
    });
    assert_unharmed(&load.stop(), &["v1"]);

    shop.set_build(None);
    shop.last += 1;
    let deployed = shop.deploy_next();
    assert_eq!(deployed.number(), 3);

    let failure = shop.host.api_failure(
        "POST",
        &format!("/v1/deployments/3/cancel?project={PROJECT}"),
        None,
        409,
    );
    assert_eq!(failure.code, "deployment.live");
    assert!(failure.fix.contains("rollback"), "{failure:#?}");
    assert_eq!(shop.host.get(HOST, "/").text(), shop.text);
    shop.host.finish();
}
