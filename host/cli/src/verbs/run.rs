//! `windlass run`: a one-off command in the live artifact.

use jiff::Timestamp;
use ureq::http::Method;
use windlass_model::session::{CreateRun, RunView, SessionStart};

use super::environment_path;
use crate::exit::{CliResult, Exit};
use crate::remote;
use crate::render::{ago, cut, harmless, table};
use crate::session::Session;

/// Run a one-off command in a container of its own: the live version's image, variables, network and user.
///
/// It is removed when it ends, and its exit code is passed on. With --detach it runs in the background and its
/// output is kept as a log.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass run -- node scripts/import.js
  windlass run -- python manage.py shell          # with a terminal
  windlass run --detach -- rake reports:all
  windlass run --list")]
pub struct Run {
    /// With the image of this process [default: web's, else the first's].
    #[arg(long, value_name = "NAME")]
    process: Option<String>,
    /// No terminal for the command, even if this is one.
    #[arg(long, short = 'T')]
    no_terminal: bool,
    /// Run it in the background and keep its log.
    #[arg(long, short, requires = "command")]
    detach: bool,
    /// List the commands in the background, and those that have ended.
    #[arg(long, conflicts_with_all = ["command", "end", "process"])]
    list: bool,
    /// End a command in the background.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["command", "process"])]
    end: Option<String>,
    /// The command and its arguments [default: bash, or sh].
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Run {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        if self.list {
            let runs: Vec<RunView> = client.get(&environment_path(session, &["runs"])?)?;
            if session.json() {
                session.print_json(&runs);
            } else {
                session.console.out(&text(&runs, Timestamp::now()));
            }
            return Ok(Exit::Ok);
        }
        if let Some(name) = &self.end {
            client.delete(&environment_path(session, &["runs", name])?)?;
            return Ok(Exit::Ok);
        }
        if self.detach {
            return self.begin(session);
        }
        let path = environment_path(session, &["run"])?;
        let (argv, process) = (self.command, self.process);
        let start = SessionStart { argv, process, ..SessionStart::default() };
        remote::run(session, &client, &path, start, !self.no_terminal)
    }

    fn begin(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let body = CreateRun { argv: self.command, process: self.process };
        let path = environment_path(session, &["runs"])?;
        let run: RunView = session.client()?.send(Method::POST, &path, &body)?;
        if session.json() {
            session.print_json(&run);
            return Ok(Exit::Ok);
        }
        let (project, environment) = (session.project()?, session.environment());
        let place = format!("--project {project} -e {environment}");
        session.console.line(&run.name);
        session.console.note(&format!(
            "it runs in the background\n  log: windlass logs -f {place} {} --instance {}\n  end: windlass run {place} --end {}",
            run.number, run.name, run.name
        ));
        Ok(Exit::Ok)
    }
}

fn text(runs: &[RunView], now: Timestamp) -> String {
    let row = |run: &RunView| {
        let state = match (run.ended_at, run.exit_code) {
            (None, _) => "running".to_owned(),
            (Some(_), Some(code)) => format!("ended with {code}"),
            (Some(_), None) => "was not started".to_owned(),
        };
        vec![
            run.name.clone(),
            format!("#{}", run.number),
            state,
            cut(&harmless(&run.argv.join(" ")), 40),
            ago(run.started_at, now),
            harmless(&run.actor),
        ]
    };
    let rows: Vec<Vec<String>> = runs.iter().map(row).collect();
    table(&["name", "deployment", "state", "command", "started", "by"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_says_how_each_ended() {
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let run = |ended_at, exit_code| RunView {
            name: "run-0000000abc".into(),
            number: 7,
            argv: vec!["rake".into(), "all".into()],
            actor: "ann".into(),
            started_at: at(100),
            ended_at,
            exit_code,
        };
        let runs = [run(None, None), run(Some(at(160)), Some(3))];
        insta::assert_snapshot!(text(&runs, at(190)), @r"
        NAME            DEPLOYMENT  STATE         COMMAND   STARTED    BY
        run-0000000abc  #7          running       rake all  1 min ago  ann
        run-0000000abc  #7          ended with 3  rake all  1 min ago  ann
        ");
    }
}
