//! `windlass recover`: a lost state, rebuilt from what runs.

use std::path::PathBuf;

use windlass_model::HostId;
use windlass_model::recovery::{RecoverReport, RecoveredFrom};

use crate::exit::{CliError, CliResult, Exit};
use crate::render::table;
use crate::roles::RecoverOptions;
use crate::session::Session;

/// Rebuild the state of a host that has lost it, from what still runs and from the newest backup.
///
/// Stop `windlass serve` first. Nothing that runs is touched: visitors do not notice. Projects,
/// environments and live deployments come from containerd, host names from the proxy's table, history,
/// variables and tokens from the newest verified backup. Without a backup, the variables that the
/// instances have are taken as secret.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass recover --dry-run
  windlass recover
  windlass recover --backup /mnt/copy/windlass-20261121T072100.356531Z-44.tar.zst")]
pub struct Recover {
    /// Say what would be rebuilt, and change nothing (containerd is started if it does not run).
    #[arg(long)]
    dry_run: bool,
    /// Take this backup as the basis [default: the newest in the data directory that is whole].
    #[arg(long, value_name = "FILE", conflicts_with = "without_backup")]
    backup: Option<PathBuf>,
    /// Take no backup as the basis.
    #[arg(long)]
    without_backup: bool,
    /// Id of the host, where the data directory does not say it any more.
    #[arg(long, value_name = "ID")]
    host: Option<HostId>,
    /// Socket of the containerd that `windlass serve` was given, if it was.
    #[arg(long, value_name = "SOCKET")]
    containerd: Option<PathBuf>,
}

impl Recover {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let options = RecoverOptions {
            data_dir: session.data_dir(),
            containerd: self.containerd,
            host: self.host,
            backup: self.backup,
            without_backup: self.without_backup,
            dry_run: self.dry_run,
        };
        let report = session.roles.recover(options).map_err(CliError::of_role)?;
        if session.json() {
            session.print_json(&report);
        } else {
            show(session, &report);
        }
        Ok(Exit::Ok)
    }
}

fn show(session: &mut Session<'_, '_>, report: &RecoverReport) {
    let console = &mut session.console;
    console.line(&format!("host {}: {}", report.host, report.reason));
    match &report.backup {
        Some(backup) => console.line(&format!("basis: {}", backup.display())),
        None => console.line("basis: no backup"),
    }
    if let Some(aside) = &report.set_aside {
        console.line(&format!("what was left of the state: {}", aside.display()));
    }
    let rows: Vec<Vec<String>> = report
        .environments
        .iter()
        .map(|environment| {
            let from = match environment.from {
                RecoveredFrom::Record => "record",
                RecoveredFrom::Labels => "labels",
            };
            vec![
                format!("{}/{}", environment.project, environment.environment),
                format!("#{}", environment.number),
                if environment.live { "live" } else { "stopped" }.to_owned(),
                environment.instances.len().to_string(),
                environment.domains.join(", "),
                environment.variables.len().to_string(),
                from.to_owned(),
            ]
        })
        .collect();
    let heading =
        ["environment", "deployment", "status", "instances", "domains", "variables", "from"];
    console.out(&table(&heading, &rows));
    if !report.lost.is_empty() {
        console.line("not brought back:");
        for lost in &report.lost {
            console.line(&format!("  {lost}"));
        }
    }
    match report.dry_run {
        true => console.line("nothing was changed; run it without --dry-run"),
        false => console.line("start `windlass serve` now"),
    }
}
