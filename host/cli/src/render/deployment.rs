//! Deployments for people: the list, one in full, and how one ended.

use jiff::Timestamp;
use windlass_model::DeploymentId;
use windlass_model::api::DeploymentView;
use windlass_model::deployment::{
    ArtifactKind, CancelReason, Deployment, DeploymentStatus, Kind, Source, StepStatus,
};
use windlass_model::stage::{Annotation, StageRun, StageStatus, Tone};

use super::{ago, between_ms, bytes, count, cut, date, failure, harmless, table, took};
use crate::console::{Style, paint};

/// A list, newest first as given.
pub fn list(views: &[DeploymentView], now: Timestamp) -> String {
    let rows: Vec<Vec<String>> = views
        .iter()
        .map(|view| {
            let deployment = &view.deployment;
            vec![
                format!("#{}", deployment.number),
                deployment.id.to_string(),
                deployment.environment.to_string(),
                marked(view),
                cut(&version(deployment), 40),
                ago(deployment.created_at, now),
            ]
        })
        .collect();
    table(&["number", "id", "environment", "status", "version", "created"], &rows)
}

/// The status, with what retention has done or may not do.
fn marked(view: &DeploymentView) -> String {
    let mut text = status_with_step(&view.deployment);
    if view.deployment.artifact_pruned {
        text += ", pruned";
    }
    if view.pinned {
        text += ", pinned";
    }
    text
}

fn status_with_step(deployment: &Deployment) -> String {
    match (deployment.status, deployment.current_step()) {
        (DeploymentStatus::Running, Some(step)) => format!("running ({step})"),
        (status, _) => status.to_string(),
    }
}

/// The version in a few words: commit and subject, or the archive.
pub fn version(deployment: &Deployment) -> String {
    let fetched = deployment.outputs.fetched.as_ref();
    let commit = fetched.and_then(|f| f.commit.as_deref()).map(|c| c.get(..7).unwrap_or(c));
    let subject = fetched.and_then(|f| f.subject.as_deref()).unwrap_or_default();
    let text = match (&deployment.source, commit) {
        (_, Some(commit)) => format!("{commit} {subject}"),
        (Source::Git { url, reference }, None) => {
            format!("{url} {}", reference.as_deref().unwrap_or_default())
        }
        (Source::Image { reference }, None) => match fetched {
            Some(fetched) => format!("{reference} ({})", fetched.tree.short()),
            None => reference.clone(),
        },
        (
            Source::Archive { name, digest }
            | Source::ImageArchive { name, digest }
            | Source::Static { name, digest, .. },
            None,
        ) => format!("{name} ({})", digest.short()),
    };
    harmless(text.trim_end())
}

/// Everything worth knowing about one deployment; `origin` is the number of the one that it repeats or goes
/// back to.
pub fn full(view: &DeploymentView, origin: Option<u64>, color: bool) -> String {
    let deployment = &view.deployment;
    let mut text = format!(
        "{}/{} #{}  {}\n",
        deployment.project,
        deployment.environment,
        deployment.number,
        paint(color, style_of(deployment.status), &status_with_step(deployment)),
    );
    for (name, value) in facts(view, origin) {
        text += &format!("  {name:<11}  {}\n", harmless(&value));
    }
    text += &migrations_between(deployment);
    text += "\nsteps\n";
    text += &steps(deployment, color);
    match &view.running {
        Some(running) => text += &format!("\nruns\n{}", crate::verbs::running::instances(running)),
        None => text += &instances(deployment),
    }
    text += &stages(&view.stages, color);
    text += &annotations(&view.annotations, color);
    if !view.attached.is_empty() {
        text += &format!("\n{}", crate::verbs::artifact::rows(&view.attached));
    }
    for warning in &deployment.warnings {
        let name = paint(color, Style::Yellow, "warning");
        text += &format!("\n{name}: {} ({})\n", harmless(&warning.message), warning.code);
    }
    if let Some(problem) = &deployment.failure {
        text += &format!("\n{}", failure::block(problem, color));
        if let Some(changes) = &deployment.changes {
            text += &format!("\n{}", super::changes::block(changes));
        }
    }
    text
}

fn facts(view: &DeploymentView, origin: Option<u64>) -> Vec<(&'static str, String)> {
    let deployment = &view.deployment;
    let outputs = &deployment.outputs;
    let mut facts = vec![("id", deployment.id.to_string())];
    facts.push(("source", deployment.source.to_string()));
    if outputs.fetched.is_some() {
        facts.push(("version", version(deployment)));
    }
    match &deployment.kind {
        Kind::Deploy => {}
        Kind::Build { image } if image.is_empty() => facts.push(("kind", "only built".to_owned())),
        Kind::Build { image } => facts.push(("kind", format!("only built, kept as {image}"))),
        Kind::Redeploy { of } => facts.push(("redeploy of", numbered(origin, of))),
        Kind::Rollback { to, with_its_env, rebuild } => {
            let built = if *rebuild { ", built again" } else { "" };
            let env = if *with_its_env { ", with the variables that it had" } else { "" };
            facts.push(("rollback to", format!("{}{built}{env}", numbered(origin, to))));
        }
        Kind::RollbackToCommit { commit } => {
            facts.push(("rollback to", format!("commit {commit}, built for it")));
        }
        Kind::Promote { from, environment } => {
            facts.push((
                "promoted",
                format!("{}, which was live in {environment}", numbered(origin, from)),
            ));
        }
    }
    facts.push(("created", format!("{} by {}", date(deployment.created_at), deployment.actor)));
    if let Some(live) = deployment.live_at {
        let after = took(between_ms(deployment.created_at, live));
        facts.push(("live", format!("{}, after {after}", date(live))));
    }
    if let Some(chosen) = &outputs.chosen {
        let detection = &chosen.detection;
        let by = format!("plugin {} {}", chosen.plugin, chosen.version);
        facts.push((
            "detected",
            format!("{}, {}% sure, by {by}", detection.name, detection.confidence),
        ));
    }
    if let Some(artifact) = &outputs.artifact {
        for output in &artifact.outputs {
            let what = match &output.kind {
                ArtifactKind::Image { .. } => {
                    format!("image on snapshot {}", cut(&output.snapshot, 24))
                }
                ArtifactKind::StaticTree { files, bytes: size, .. } => {
                    format!("static tree of {}, {}", count(*files, "file"), bytes(*size))
                }
            };
            facts.push(("artifact", format!("{}: {what}", output.name)));
        }
    }
    if deployment.artifact_pruned {
        facts.push(("artifact", format!("pruned; {}", made_again(deployment))));
    }
    if view.pinned {
        facts.push(("pinned", "its record, logs and artifact are never pruned".to_owned()));
    }
    facts.extend(view.waiting_for.iter().map(|why| ("waits", why.clone())));
    let building = view.building.iter();
    facts.extend(building.map(|it| ("builds", format!("{}, since {}", it.name, date(it.since)))));
    facts.extend(view.urls.iter().map(|url| ("url", url.clone())));
    if let Some(reason) = &deployment.cancelled {
        facts.push(("cancelled", cancelled(reason)));
    }
    facts
}

/// How to have again what was pruned. Only what was live once can be gone back to.
fn made_again(deployment: &Deployment) -> String {
    let number = deployment.number;
    if deployment.live_at.is_some() {
        return format!("to go back to it, build it again: windlass rollback {number} --rebuild");
    }
    let deployed = format!("to build its source again and deploy it: windlass redeploy {number}");
    match deployment.kind.is_build() {
        true => format!("to build it again: windlass build; {deployed}"),
        false => deployed,
    }
}

/// The migrations that were run since the version that is gone back to.
fn migrations_between(deployment: &Deployment) -> String {
    let mut text = String::new();
    for ran in &deployment.migrations_between {
        let how = match ran.exit_code {
            Some(0) => "ended well".to_owned(),
            Some(code) => format!("ended with status {code}"),
            None => "outcome not known".to_owned(),
        };
        let line = format!("{} by #{}, {how}; it stays in the database", ran.tool, ran.number);
        text += &format!("  {:<11}  {}\n", "migration", harmless(&line));
    }
    text
}

/// A deployment as people call it; its id where it is no longer kept.
fn numbered(number: Option<u64>, id: &DeploymentId) -> String {
    number.map_or_else(|| id.to_string(), |number| format!("#{number}"))
}

fn cancelled(reason: &CancelReason) -> String {
    match reason {
        CancelReason::Person { actor } => format!("by {actor}"),
        CancelReason::Superseded { by } => format!("deployment {by} took its place"),
    }
}

fn steps(deployment: &Deployment, color: bool) -> String {
    let mut text = String::new();
    for step in &deployment.steps {
        let time = match (step.started_at, step.ended_at) {
            (Some(from), Some(to)) => took(between_ms(from, to)),
            _ => String::new(),
        };
        let (word, style) = match step.status {
            StepStatus::Pending => ("pending", Style::Dim),
            StepStatus::Running => ("running", Style::Cyan),
            StepStatus::Succeeded => ("succeeded", Style::Green),
            StepStatus::Cached => ("cached", Style::Green),
            StepStatus::Failed => ("failed", Style::Red),
            StepStatus::Skipped => ("skipped", Style::Dim),
            StepStatus::Cancelled if step.started_at.is_none() => ("not begun", Style::Dim),
            StepStatus::Cancelled => ("cancelled", Style::Dim),
        };
        let word = paint(color, style, &format!("{word:<9}"));
        let line =
            format!("  {:<9}  {word}  {time:>9}  {}", step.name.as_str(), harmless(&step.summary));
        text += line.trim_end();
        text += "\n";
    }
    text
}

/// The custom stages, in the order of their hooks.
fn stages(stages: &[StageRun], color: bool) -> String {
    let mut text = String::new();
    for stage in stages {
        let time = match (stage.started_at, stage.ended_at) {
            (Some(from), Some(to)) => took(between_ms(from, to)),
            _ => String::new(),
        };
        let style = match stage.status {
            StageStatus::Succeeded => Style::Green,
            StageStatus::Failed => Style::Red,
            StageStatus::Warned => Style::Yellow,
            StageStatus::Running => Style::Cyan,
            StageStatus::Pending | StageStatus::Skipped | StageStatus::Cancelled => Style::Dim,
        };
        let word = paint(color, style, &format!("{:<9}", stage.status.as_str()));
        let name = format!("{}.{}", stage.plugin, stage.stage);
        let tries = match (stage.status, stage.attempt) {
            (StageStatus::Pending, tries) if tries > 0 => format!("tried {tries} times: "),
            _ => String::new(),
        };
        let hook = stage.hook.as_str();
        let line =
            format!("  {hook:<13}  {word}  {time:>9}  {name}: {tries}{}", harmless(&stage.summary));
        text += line.trim_end().trim_end_matches(':');
        text += "\n";
    }
    if text.is_empty() { text } else { format!("\nstages\n{text}") }
}

/// What plugins noted.
fn annotations(annotations: &[Annotation], color: bool) -> String {
    let mut text = String::new();
    for one in annotations {
        let style = match one.tone {
            Tone::Neutral => Style::Dim,
            Tone::Good => Style::Green,
            Tone::Warning => Style::Yellow,
            Tone::Bad => Style::Red,
        };
        let value = paint(color, style, &harmless(&one.value));
        let url = one.url.as_deref().map(|url| format!("  {}", harmless(url))).unwrap_or_default();
        text += &format!("  {:<20}  {value}{url} ({})\n", one.name, one.plugin);
    }
    if text.is_empty() { text } else { format!("\nnotes\n{text}") }
}

fn instances(deployment: &Deployment) -> String {
    if deployment.outputs.instances.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<String>> = deployment
        .outputs
        .instances
        .iter()
        .map(|one| {
            let port = one.port.map(|port| format!(":{port}")).unwrap_or_default();
            vec![
                format!("{}.{}", one.process, one.ordinal),
                format!("{}{port}", one.address),
                one.pid.to_string(),
                date(one.started_at),
            ]
        })
        .collect();
    format!("\n{}", table(&["instance", "address", "pid", "started"], &rows))
}

const fn style_of(status: DeploymentStatus) -> Style {
    match status {
        DeploymentStatus::Live => Style::Green,
        DeploymentStatus::Failed | DeploymentStatus::Stuck => Style::Red,
        DeploymentStatus::Queued | DeploymentStatus::Running | DeploymentStatus::Draining => {
            Style::Cyan
        }
        _ => Style::Dim,
    }
}

/// How a deployment that was waited for ended, when it ended well.
pub fn success(view: &DeploymentView, color: bool) -> String {
    let deployment = &view.deployment;
    let after = deployment
        .live_at
        .map(|live| format!(" after {}", took(between_ms(deployment.created_at, live))))
        .unwrap_or_default();
    let mut text = String::new();
    for warning in &deployment.warnings {
        let name = paint(color, Style::Yellow, "warning");
        text += &format!("{name}: {} ({})\n", harmless(&warning.message), warning.code);
    }
    let word = if deployment.status == DeploymentStatus::Built { "built" } else { "live" };
    let state = paint(color, Style::Green, word);
    text += &format!(
        "{}/{} #{} is {state}{after}\n",
        deployment.project, deployment.environment, deployment.number
    );
    for url in &view.urls {
        text += &format!("  {}\n", paint(color, Style::Bold, url));
    }
    if view.urls.is_empty() && deployment.status == DeploymentStatus::Live {
        text += &format!(
            "  it has no address yet: windlass domain add HOST --project {} -e {}\n",
            deployment.project, deployment.environment
        );
    }
    text
}

/// How a deployment that was waited for ended, when it did not go live.
pub fn ending(view: &DeploymentView, color: bool) -> String {
    let deployment = &view.deployment;
    let mut text = match (&deployment.failure, &deployment.cancelled) {
        (Some(problem), _) => failure::block(problem, color),
        (None, Some(reason)) => format!("cancelled: {}\n", cancelled(reason)),
        (None, None) => format!("it is {}\n", deployment.status),
    };
    if deployment.status == DeploymentStatus::Failed {
        text += "  note: nothing changed for visitors\n";
    }
    text += &format!(
        "  more: windlass logs --project {} -e {} {}\n",
        deployment.project, deployment.environment, deployment.number
    );
    text
}

#[cfg(test)]
mod tests {
    use windlass_model::deployment::StepName;
    use windlass_model::{Digest, Failure};

    use super::*;
    use crate::progress::tests::{at, view};

    fn live() -> DeploymentView {
        let mut view = view();
        view.deployment.status = DeploymentStatus::Live;
        view.deployment.live_at = Some(at(8250));
        view.urls = vec!["http://shop.example.com".into()];
        view
    }

    #[test]
    fn a_success_names_the_address_and_the_warnings() {
        let mut view = live();
        view.deployment.warnings.push(windlass_model::deployment::Warning {
            code: "lockfile-missing".into(),
            message: "no lock file: versions may differ next time".into(),
        });
        insta::assert_snapshot!(success(&view, false), @r"
        warning: no lock file: versions may differ next time (lockfile-missing)
        shop/production #12 is live after 8.2 s
          http://shop.example.com
        ");
    }

    #[test]
    fn the_running_steps_of_a_build_are_named_with_their_beginning() {
        let mut view = view();
        view.deployment.status = DeploymentStatus::Running;
        let step = |id: &str, name: &str, ms| windlass_model::build::RunningStep {
            id: id.into(),
            name: name.into(),
            since: at(ms),
        };
        view.building = vec![step("deps", "install dependencies", 0), step("ui", "bundle", 2000)];
        let text = full(&view, None, false);
        for line in [
            format!("  builds       install dependencies, since {}\n", date(at(0))),
            format!("  builds       bundle, since {}\n", date(at(2000))),
        ] {
            assert!(text.contains(&line), "{text}");
        }
    }

    #[test]
    fn how_what_was_pruned_is_made_again_is_what_the_host_does() {
        let advice = |kind: Kind, was_live: bool| {
            let mut view = live();
            view.deployment.artifact_pruned = true;
            view.deployment.kind = kind;
            view.deployment.live_at = was_live.then(|| at(8250));
            full(&view, None, false)
        };
        assert!(advice(Kind::Deploy, true).contains(": windlass rollback 12 --rebuild\n"));
        let failed = advice(Kind::Deploy, false);
        assert!(failed.contains(": windlass redeploy 12\n"), "{failed}");
        let built = advice(Kind::Build { image: String::new() }, false);
        assert!(built.contains(": windlass build; ") && built.contains(": windlass redeploy 12\n"));
        for never_live in [failed, built] {
            assert!(!never_live.contains("rollback"), "{never_live}");
        }
    }

    #[test]
    fn a_failure_says_that_nothing_changed_and_where_to_read_on() {
        let mut view = view();
        view.deployment.status = DeploymentStatus::Failed;
        view.deployment.failure = Some(
            Failure::app("check.exited", "the app ended", "exit code 1", "see its log")
                .in_step(StepName::Check),
        );
        insta::assert_snapshot!(ending(&view, false), @r"
        error: the app ended
          step: check
          why: exit code 1
          fix: see its log
          code: check.exited
          note: nothing changed for visitors
          more: windlass logs --project shop -e production 12
        ");
    }

    #[test]
    fn one_in_full_shows_source_steps_and_failure() {
        let mut view = live();
        view.deployment.source = Source::Archive { digest: Digest::of(b"x"), name: "shop".into() };
        let step = view.deployment.step_mut(StepName::Build).unwrap();
        step.status = StepStatus::Cached;
        step.started_at = Some(at(0));
        step.ended_at = Some(at(70));
        step.summary = "3 steps, 3 from the cache".into();
        insta::assert_snapshot!(full(&view, None, false));
    }

    #[test]
    fn the_list_is_a_table() {
        insta::assert_snapshot!(list(&[live(), view()], at(65_000)), @r"
        NUMBER  ID                          ENVIRONMENT  STATUS  VERSION                          CREATED
        #12     01k2v8w0000000000000000000  production   live    https://example.com/me/shop.git  1 min ago
        #12     01k2v8w0000000000000000000  production   queued  https://example.com/me/shop.git  1 min ago
        ");
    }
}
