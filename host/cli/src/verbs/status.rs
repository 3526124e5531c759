//! `windlass status`: the host and what is live on it.

use serde::Serialize;
use windlass_model::api::{HostStatus, Page, ProjectView};

use crate::exit::{CliResult, Exit};
use crate::render::{self, date, failure, table};
use crate::session::Session;

/// Show how the host is, and what is live on it.
#[derive(Debug, clap::Args)]
pub struct Status {}

#[derive(Serialize)]
struct Output {
    host: HostStatus,
    projects: Vec<ProjectView>,
}

impl Status {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let Self {} = self;
        let client = session.client()?;
        let host: HostStatus = client.get("/v1/status")?;
        let projects: Page<ProjectView> = client.get("/v1/projects")?;
        let output = Output { host, projects: projects.items };
        if session.json() {
            session.print_json(&output);
        } else {
            let text = text(&output, session.console.color());
            session.console.out(&text);
        }
        Ok(Exit::Ok)
    }
}

fn text(output: &Output, color: bool) -> String {
    let host = &output.host;
    let ready = if host.ready { "ready" } else { "not ready" };
    let mut text = format!("windlass {} (host {}) is {ready}\n", host.version, host.host);
    text += &format!("  since        {}\n", date(host.since));
    text += &format!("  proxy        {}\n", host.proxy.join(", "));
    text += &format!(
        "  deployments  {} live, {} running, {} queued\n",
        host.live, host.running, host.queued
    );
    for problem in &host.problems {
        text += &format!("\n{}", failure::block(problem, color));
    }
    let rows: Vec<Vec<String>> = output.projects.iter().flat_map(rows).collect();
    if !rows.is_empty() {
        text +=
            &format!("\n{}", table(&["project", "environment", "live", "runs", "address"], &rows));
    }
    text
}

fn rows(project: &ProjectView) -> Vec<Vec<String>> {
    let one = |environment: &windlass_model::api::EnvironmentView| {
        vec![
            project.name.to_string(),
            environment.name.to_string(),
            environment.live_number.map_or_else(|| "–".to_owned(), |number| format!("#{number}")),
            environment.running.as_ref().map_or_else(|| "–".to_owned(), runs),
            render::harmless(environment.urls.first().map_or("", String::as_str)),
        ]
    };
    project.environments.iter().map(one).collect()
}

/// `serving, 2 of 3`, and what is wrong.
fn runs(view: &windlass_model::running::RunningView) -> String {
    let wanted: u32 = view.processes.iter().map(|process| process.replicas).sum();
    let running: u32 = view.processes.iter().map(|process| process.running).sum();
    let looping = view
        .instances
        .iter()
        .any(|one| one.state == windlass_model::running::InstanceState::CrashLooping);
    let asked = view.asked.as_ref().map(|asked| format!(" ({} under way)", asked.action.as_str()));
    let mut text = view.state.as_str().to_owned() + &asked.unwrap_or_default();
    if wanted > 0 && view.stopped.is_none() {
        text += &format!(", {running} of {wanted}");
    }
    if looping { text + ", crash-looping" } else { text }
}
