//! Progress of a deployment while it is waited for: redrawn lines in a terminal, plain lines
//! otherwise.
//!
//! **Invariant: what is drawn is a function of the deployment, the time and the terminal's width.**
//! Only [`Live`] remembers how many lines it must draw over, and [`Plain`] what it has said already.

use jiff::Timestamp;
use windlass_model::api::DeploymentView;
use windlass_model::deployment::{DeploymentStatus, Step, StepName, StepStatus};

use crate::console::{Console, Style, paint};
use crate::render::{between_ms, cut, harmless, took};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// How progress is shown.
pub enum Progress {
    /// Not at all: `--json`.
    Silent,
    /// A line for each step that ends.
    Plain(Plain),
    /// All steps, redrawn.
    Live(Live),
}

impl Progress {
    /// The right kind for a console.
    pub fn for_console(console: &Console<'_>, json: bool) -> Self {
        match console.terminal() {
            _ if json => Self::Silent,
            Some(size) if size.rows > StepName::ALL.len() + 2 => {
                Self::Live(Live { columns: size.columns, drawn: 0, tick: 0 })
            }
            _ => Self::Plain(Plain::default()),
        }
    }

    /// Shows the deployment as it is now.
    pub fn show(&mut self, console: &mut Console<'_>, view: &DeploymentView) {
        match self {
            Self::Silent => {}
            Self::Plain(plain) => {
                for line in plain.lines(view) {
                    console.line(&line);
                }
            }
            Self::Live(live) => live.draw(console, view),
        }
    }

    /// Whether it should be shown again without news, so that times go on.
    pub fn ticks(&self) -> bool {
        matches!(self, Self::Live(_))
    }

    /// A line of its own between the lines.
    pub fn say(&mut self, console: &mut Console<'_>, text: &str) {
        match self {
            Self::Silent => {}
            Self::Plain(_) => console.line(text),
            Self::Live(live) => {
                // In the place of the picture, which is drawn again beneath it.
                if live.drawn > 0 {
                    console.out(&format!("\x1b[{}A\x1b[J", live.drawn));
                }
                console.line(text);
                live.drawn = 0;
            }
        }
    }

    /// A remark between the lines.
    pub fn remark(&mut self, console: &mut Console<'_>, text: &str) {
        console.note(text);
        if let Self::Live(live) = self {
            live.drawn = 0;
        }
    }
}

/// Says each thing once.
#[derive(Debug, Default)]
pub struct Plain {
    said: Vec<String>,
}

impl Plain {
    /// The lines that are news.
    pub fn lines(&mut self, view: &DeploymentView) -> Vec<String> {
        let deployment = &view.deployment;
        let mut all = vec![heading(view)];
        if is_waiting(deployment.status) {
            all.extend(waiting(view));
        }
        all.extend(deployment.steps.iter().filter_map(plain_step));
        all.retain(|line| !self.said.contains(line));
        self.said.extend(all.iter().cloned());
        all
    }
}

/// A step that has something to say: it ended, or it is one of those that take long.
fn plain_step(step: &Step) -> Option<String> {
    let long = matches!(step.name, StepName::Build | StepName::Migrate | StepName::Check);
    match step.status {
        StepStatus::Pending | StepStatus::Cancelled => None,
        StepStatus::Running if long => Some(format!("{:<9}  running", step.name.as_str())),
        StepStatus::Running => None,
        status => {
            let time = duration_ms(step, None).map(took).unwrap_or_default();
            let line = format!(
                "{:<9}  {:<9}  {:>9}  {}",
                step.name.as_str(),
                status_word(status),
                time,
                harmless(&step.summary)
            );
            Some(line.trim_end().to_owned())
        }
    }
}

fn heading(view: &DeploymentView) -> String {
    let deployment = &view.deployment;
    format!(
        "{}/{} #{} ({})",
        deployment.project, deployment.environment, deployment.number, deployment.id
    )
}

const fn is_waiting(status: DeploymentStatus) -> bool {
    matches!(status, DeploymentStatus::Queued | DeploymentStatus::Paused)
}

fn waiting(view: &DeploymentView) -> Option<String> {
    let ahead = || view.queue_position.filter(|n| *n > 0).map(|n| format!("{n} before it"));
    let why = view.waiting_for.clone().or_else(ahead)?;
    Some(format!("{}: {}", view.deployment.status, harmless(&why)))
}

const fn status_word(status: StepStatus) -> &'static str {
    match status {
        StepStatus::Pending => "pending",
        StepStatus::Running => "running",
        StepStatus::Succeeded => "succeeded",
        StepStatus::Cached => "cached",
        StepStatus::Failed => "failed",
        StepStatus::Skipped => "skipped",
        StepStatus::Cancelled => "cancelled",
    }
}

/// How long a step took, or has taken until `now`.
fn duration_ms(step: &Step, now: Option<Timestamp>) -> Option<u64> {
    Some(between_ms(step.started_at?, step.ended_at.or(now)?))
}

/// Draws over what it drew before.
#[derive(Debug)]
pub struct Live {
    columns: usize,
    drawn: usize,
    tick: usize,
}

impl Live {
    fn draw(&mut self, console: &mut Console<'_>, view: &DeploymentView) {
        let lines = frame(view, Timestamp::now(), self.tick, self.columns, console.color());
        let mut text = String::new();
        if self.drawn > 0 {
            text += &format!("\x1b[{}A", self.drawn);
        }
        for line in &lines {
            text += &format!("\x1b[2K{line}\n");
        }
        text += "\x1b[J";
        self.drawn = lines.len();
        self.tick += 1;
        console.out(&text);
    }
}

/// One picture of a deployment: its heading and a line for each step.
pub fn frame(
    view: &DeploymentView,
    now: Timestamp,
    tick: usize,
    columns: usize,
    color: bool,
) -> Vec<String> {
    let deployment = &view.deployment;
    let mut lines = vec![paint(color, Style::Bold, &cut(&heading(view), columns))];
    if is_waiting(deployment.status) {
        lines.extend(waiting(view).map(|text| cut(&text, columns)));
    }
    for step in &deployment.steps {
        lines.push(live_step(step, now, tick, columns, color));
        let building = view.building.iter().filter(|_| step.name == StepName::Build);
        lines.extend(building.map(|it| {
            let text =
                format!("    {:>20}  {}", took(between_ms(it.since, now)), harmless(&it.name));
            paint(color, Style::Dim, &cut(&text, columns))
        }));
    }
    lines
}

fn live_step(step: &Step, now: Timestamp, tick: usize, columns: usize, color: bool) -> String {
    let (mark, style) = match step.status {
        StepStatus::Pending => ("·", Style::Dim),
        StepStatus::Running => (SPINNER[tick % SPINNER.len()], Style::Cyan),
        StepStatus::Succeeded | StepStatus::Cached => ("✓", Style::Green),
        StepStatus::Failed => ("✗", Style::Red),
        StepStatus::Skipped | StepStatus::Cancelled => ("–", Style::Dim),
    };
    let time = duration_ms(step, Some(now)).map(took).unwrap_or_default();
    let cached = if step.status == StepStatus::Cached { "cached  " } else { "" };
    let rest = format!("{:<9}  {time:>9}  {cached}{}", step.name.as_str(), harmless(&step.summary));
    let rest = cut(rest.trim_end(), columns.saturating_sub(4));
    let quiet =
        matches!(step.status, StepStatus::Pending | StepStatus::Skipped | StepStatus::Cancelled);
    let rest = if quiet { paint(color, Style::Dim, &rest) } else { rest };
    format!("  {} {rest}", paint(color, style, mark))
}

#[cfg(test)]
pub(crate) mod tests {
    use windlass_model::deployment::{Kind, Source};
    use windlass_model::{Deployment, DeploymentId};

    use super::*;

    pub(crate) fn view() -> DeploymentView {
        let mut deployment = Deployment::queued(
            "shop".parse().unwrap(),
            "production".parse().unwrap(),
            12,
            Kind::Deploy,
            Source::Git { url: "https://example.com/me/shop.git".into(), reference: None },
            "cli".into(),
        );
        deployment.id = "01k2v8w0000000000000000000".parse::<DeploymentId>().unwrap();
        deployment.created_at = at(0);
        DeploymentView {
            deployment,
            urls: vec![],
            queue_position: None,
            waiting_for: None,
            pinned: false,
            replayed: false,
            stages: Vec::new(),
            annotations: Vec::new(),
            attached: Vec::new(),
            building: vec![],
            running: None,
        }
    }

    pub(crate) fn at(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(1_790_000_000_000 + ms).unwrap()
    }

    fn set(
        view: &mut DeploymentView,
        name: StepName,
        status: StepStatus,
        ms: (i64, i64),
        summary: &str,
    ) {
        let step = view.deployment.step_mut(name).unwrap();
        step.status = status;
        step.started_at = Some(at(ms.0));
        step.ended_at = (status != StepStatus::Running).then(|| at(ms.1));
        summary.clone_into(&mut step.summary);
    }

    fn building() -> DeploymentView {
        let mut view = view();
        view.deployment.status = DeploymentStatus::Running;
        set(&mut view, StepName::Fetch, StepStatus::Succeeded, (0, 412), "main at 1a2b3c4");
        set(&mut view, StepName::Detect, StepStatus::Cached, (412, 415), "a web app, 92% sure");
        set(&mut view, StepName::Build, StepStatus::Running, (500, 0), "");
        view
    }

    #[test]
    fn plain_lines_say_each_thing_once() {
        let mut plain = Plain::default();
        let mut queued = view();
        queued.queue_position = Some(2);
        queued.waiting_for = Some("another deployment of shop".into());
        let mut said = plain.lines(&queued);
        said.extend(plain.lines(&building()));
        said.extend(plain.lines(&building()));
        let mut done = building();
        set(
            &mut done,
            StepName::Build,
            StepStatus::Succeeded,
            (500, 3600),
            "2 of 3 steps from the cache",
        );
        set(&mut done, StepName::Migrate, StepStatus::Skipped, (3600, 3600), "no migration found");
        set(&mut done, StepName::Check, StepStatus::Failed, (4000, 128_000), "nothing listens");
        said.extend(plain.lines(&done));
        insta::assert_snapshot!(said.join("\n"), @r"
        shop/production #12 (01k2v8w0000000000000000000)
        queued: another deployment of shop
        fetch      succeeded     412 ms  main at 1a2b3c4
        detect     cached          3 ms  a web app, 92% sure
        build      running
        build      succeeded      3.1 s  2 of 3 steps from the cache
        migrate    skipped         0 ms  no migration found
        check      failed     2 min 4 s  nothing listens
        ");
    }

    #[test]
    fn the_running_steps_of_a_build_stand_beneath_it_with_their_time() {
        let mut view = building();
        view.building = vec![windlass_model::build::RunningStep {
            id: "deps".into(),
            name: "install dependencies".into(),
            since: at(1000),
        }];
        let lines = frame(&view, at(2500), 1, 60, false);
        let build = lines.iter().position(|line| line.contains(" build ")).unwrap();
        assert_eq!(lines[build + 1], format!("{:>24}  install dependencies", "1.5 s"));
        assert!(lines[build + 2].contains("validate"), "{lines:#?}");
    }

    #[test]
    fn a_frame_shows_every_step_within_the_width() {
        let lines = frame(&building(), at(2500), 1, 40, false);
        insta::assert_snapshot!(lines.join("\n"), @r"
        shop/production #12 (01k2v8w00000000000…
          ✓ fetch         412 ms  main at 1a2b3…
          · preflight
          ✓ detect          3 ms  cached  a web…
          · plan
          · provision
          ⠙ build          2.0 s
          · validate
          · migrate
          · start
          · check
          · switch
          · finish
        ");
        assert!(lines.iter().all(|line| line.chars().count() <= 40));
    }

    #[test]
    fn colour_is_only_used_when_asked_for() {
        assert!(frame(&building(), at(0), 0, 80, true).join("").contains("\x1b[32m✓"));
        assert!(!frame(&building(), at(0), 0, 80, false).join("").contains('\x1b'));
    }
}
