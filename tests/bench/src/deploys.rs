//! How long after a build a version serves, and how long a rollback takes, against the application's
//! own start outside any container.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use windlass_model::api::DeploymentView;
use windlass_model::{StepName, Timestamp};
use windlass_test_support::{GitRepo, Request, TestHost, http};

use crate::figure::{Figure, median};

const ROUNDS: usize = 5;
/// What a switch may cost beyond the application's own start.
const ALLOWANCE_MS: f64 = 500.0;
/// What a rollback to a retained deployment, or one of which nothing changed, may cost beyond it.
const AT_ONCE_ALLOWANCE_MS: f64 = 250.0;
const PROJECT: &str = "bench";

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let host = TestHost::start();
    let repository = GitRepo::of_fixture("express");
    repository.commit("version 1");
    let (mut after_build, mut rollback, mut unchanged) = (Vec::new(), Vec::new(), Vec::new());
    let first = host.deploy_git(PROJECT, &repository, &[]).live().view;
    let own_start = own_start_ms(&first)?;
    for round in 0..ROUNDS {
        repository.write("round.txt", &round.to_string());
        repository.commit("another round");
        let view = host.deploy_git(PROJECT, &repository, &[]).live().view;
        after_build.push(between(&view, end(&view, StepName::Build), switched(&view))?);
        let again = host.deploy_git(PROJECT, &repository, &[]).live().view;
        unchanged.push(between(&again, Some(again.deployment.created_at), switched(&again))?);
        host.cli(&["rollback", "--project", PROJECT]).ok();
        let back = host.show(PROJECT, again.deployment.number + 1);
        rollback.push(between(&back, Some(back.deployment.created_at), switched(&back))?);
    }
    host.finish();
    let bar = own_start + ALLOWANCE_MS;
    let at_once = own_start + AT_ONCE_ALLOWANCE_MS;
    let figure = |what: &str, values, bar| Figure {
        what: what.to_owned(),
        measured: median(values),
        unit: "ms",
        bar,
        note: format!("median of {ROUNDS}; the application's own start is {own_start:.0} ms"),
    };
    Ok(vec![
        figure("the application's own start, outside any container", vec![own_start], None),
        figure("last build step's end → switched", after_build, Some(bar)),
        figure("rollback, accepted → switched", rollback, Some(at_once)),
        figure("unchanged redeploy, accepted → switched", unchanged, Some(at_once)),
    ])
}

fn end(view: &DeploymentView, step: StepName) -> Option<Timestamp> {
    view.deployment.step(step)?.ended_at
}

fn switched(view: &DeploymentView) -> Option<Timestamp> {
    end(view, StepName::Switch)
}

fn between(view: &DeploymentView, from: Option<Timestamp>, to: Option<Timestamp>) -> Result<f64> {
    let (Some(from), Some(to)) = (from, to) else {
        bail!("deployment #{} has no times", view.deployment.number);
    };
    Ok(to.duration_since(from).as_secs_f64() * 1e3)
}

/// Starts a copy of the very same files with the very same Node on the host, and waits for the first
/// answer. A copy, because Node resolves the path of its files, which leads out of `/proc/<pid>/root`.
fn own_start_ms(view: &DeploymentView) -> Result<f64> {
    let instance = view.deployment.outputs.instances.first().context("no instance")?;
    let root = PathBuf::from(format!("/proc/{}/root", instance.pid));
    let node = ["usr/local/bin/node", "usr/bin/node"].map(|path| root.join(path));
    let node = node.iter().find(|path| path.is_file()).context("no node in the image")?;
    let copy = windlass_test_support::scratch("bench-app");
    let copied = Command::new("cp").arg("-a").arg(root.join("app")).arg(copy.path()).status()?;
    if !copied.success() {
        bail!("the application could not be copied out of its container");
    }
    let mut took = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let address = windlass_test_support::host::free_address();
        let began = Instant::now();
        let mut child = Command::new(node)
            .arg("server.js")
            .current_dir(copy.path().join("app"))
            .env("PORT", address.port().to_string())
            .env("NODE_ENV", "production")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting the application on the host")?;
        let request = Request::get("localhost", "/health");
        while !http::send(address, &request).is_ok_and(|response| response.status == 200) {
            if began.elapsed() > Duration::from_secs(30) {
                bail!("the application did not answer on the host");
            }
            std::thread::park_timeout(Duration::from_millis(1));
        }
        took.push(began.elapsed().as_secs_f64() * 1e3);
        child.kill()?;
        child.wait()?;
    }
    Ok(median(took))
}
