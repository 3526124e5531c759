//! `windlass stats`: what the live instances use.

use std::sync::mpsc;
use std::time::Duration;

use jiff::Timestamp;
use windlass_model::stats::{InstanceStats, Stats as View};

use super::environment_path;
use crate::exit::{CliResult, Exit};
use crate::interrupt::Interrupts;
use crate::render::{between_ms, bytes, table, took};
use crate::session::Session;

/// Between two looks on a terminal.
const REFRESH: Duration = Duration::from_secs(2);

/// Show CPU, memory and traffic of the live instances; on a terminal again and again, until Ctrl-C.
#[derive(Debug, clap::Args)]
pub struct Stats {
    /// Only once.
    #[arg(long)]
    once: bool,
}

impl Stats {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let client = session.client()?;
        let path = environment_path(session, &["stats"])?;
        let refreshes = !self.once && !session.json() && session.console.terminal().is_some();
        let (to, interrupted) = mpsc::channel();
        let _interrupts = refreshes.then(|| Interrupts::watch(to, || ()));
        let mut lines_before = 0;
        loop {
            let stats: View = client.get(&path)?;
            if session.json() {
                session.print_json(&stats);
                return Ok(Exit::Ok);
            }
            let text = text(&stats);
            if lines_before > 0 {
                session.console.out(&format!("\x1b[{lines_before}A\x1b[J"));
            }
            session.console.out(&text);
            lines_before = text.lines().count();
            if !refreshes || session.console.closed() {
                return Ok(Exit::Ok);
            }
            if interrupted.recv_timeout(REFRESH) == Ok(()) {
                return Ok(Exit::Ok);
            }
        }
    }
}

fn text(stats: &View) -> String {
    if stats.instances.is_empty() {
        return "no instance: nothing is live, or it is a static site\n".to_owned();
    }
    let heading = [
        "instance",
        "deployment",
        "cpu",
        "memory",
        "of",
        "pids",
        "received",
        "sent",
        "oom",
        "restarts",
        "up",
    ];
    let rows: Vec<Vec<String>> = stats.instances.iter().map(|one| row(one, stats.at)).collect();
    table(&heading, &rows)
}

fn row(one: &InstanceStats, now: Timestamp) -> Vec<String> {
    let limit = match one.memory_limit_bytes {
        0 => "–".to_owned(),
        limit => bytes(limit),
    };
    let up = match one.running {
        true => took(between_ms(one.started_at, now)),
        false => "does not run".to_owned(),
    };
    vec![
        one.instance.clone(),
        format!("#{}", one.number),
        format!("{}.{} %", one.cpu_millis / 10, one.cpu_millis % 10),
        bytes(one.memory_bytes),
        limit,
        one.pids.to_string(),
        bytes(one.network_received_bytes),
        bytes(one.network_sent_bytes),
        one.oom_kills.to_string(),
        one.restarts.to_string(),
        up,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_instance_is_a_row() {
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let one = InstanceStats {
            instance: "web.0".into(),
            number: 12,
            running: true,
            started_at: at(0),
            restarts: 1,
            cpu_millis: 1234,
            cpu_total_ms: 99_000,
            memory_bytes: 52 << 20,
            memory_limit_bytes: 512 << 20,
            pids: 11,
            oom_kills: 0,
            network_received_bytes: 2048,
            network_sent_bytes: 10,
        };
        let ended = InstanceStats { instance: "worker.0".into(), running: false, ..one };
        let stats = View { at: at(3700), instances: vec![one, ended] };
        insta::assert_snapshot!(text(&stats), @r"
        INSTANCE  DEPLOYMENT  CPU      MEMORY    OF         PIDS  RECEIVED  SENT  OOM  RESTARTS  UP
        web.0     #12         123.4 %  52.0 MiB  512.0 MiB  11    2.0 KiB   10 B  0    1         1 h 1 min
        worker.0  #12         123.4 %  52.0 MiB  512.0 MiB  11    2.0 KiB   10 B  0    1         does not run
        ");
    }
}
