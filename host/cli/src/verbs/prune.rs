//! `windlass prune`: what can go, and why; with `--yes` it goes.

use jiff::Timestamp;
use windlass_model::disk::{PruneItem, PruneKind, PruneRequest, PruneView};
use windlass_model::settings::parse_duration_ms;

use crate::exit::{CliError, CliResult, Exit};
use crate::render::{ago, bytes, count, harmless, table};
use crate::session::Session;

/// Say what can go from the host's disk and why; with --yes, remove it.
///
/// Without a kind: what budgets, ages and retention let go now, as the host does by itself. With kinds:
/// everything of them that nothing needs. What a live, retained or pinned deployment or a running build
/// needs never goes, and volumes and backups are never touched. It can be interrupted and repeated.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass prune                            # what would go, and why
  windlass prune --yes
  windlass prune --cache --older-than 7d --yes
  windlass prune --all                      # every kind, whatever its age")]
pub struct Prune {
    /// Cached steps that no artifact needs: the next build of them starts anew.
    #[arg(long)]
    cache: bool,
    /// Bases that no artifact needs: they are pulled or assembled anew.
    #[arg(long)]
    bases: bool,
    /// Artifacts that nothing refers to, or that are beyond `keep_artifacts`.
    #[arg(long)]
    artifacts: bool,
    /// What `windlass build` keeps as images.
    #[arg(long)]
    images: bool,
    /// Uploaded archives that no deployment refers to.
    #[arg(long)]
    uploads: bool,
    /// Cache mounts that no build uses now, of all projects: their tools download anew.
    #[arg(long)]
    mounts: bool,
    /// Every kind.
    #[arg(long)]
    all: bool,
    /// Of all but artifacts and uploads only what was not used for so long: `12h`, `7d`.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    older_than: Option<u64>,
    /// Do it; without this, nothing is removed.
    #[arg(long)]
    yes: bool,
}

fn seconds(text: &str) -> Result<u64, String> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok());
    let seconds = days.map(|days| days.saturating_mul(24 * 3600));
    seconds
        .or_else(|| parse_duration_ms(text).map(|ms| ms / 1000))
        .ok_or_else(|| "give a time like 90s, 12h or 7d".to_owned())
}

impl Prune {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let request = self.request()?;
        let client = session.client()?;
        let view: PruneView =
            client.send_at_length(ureq::http::Method::POST, "/v1/prune", &request)?;
        if session.json() {
            session.print_json(&view);
            return Ok(Exit::Ok);
        }
        session.console.out(&text(&view, Timestamp::now()));
        for left in &view.left {
            session.console.note(&format!("left for now: {}", harmless(left)));
        }
        if view.dry_run && !view.items.is_empty() {
            session.console.note("nothing was removed: say it again with --yes");
        }
        Ok(Exit::Ok)
    }

    fn request(&self) -> CliResult<PruneRequest> {
        let asked =
            [self.cache, self.bases, self.artifacts, self.images, self.uploads, self.mounts];
        let kinds: Vec<PruneKind> = PruneKind::ALL
            .into_iter()
            .zip(asked)
            .filter_map(|(kind, asked)| (asked || self.all).then_some(kind))
            .collect();
        if self.older_than.is_some() && kinds.is_empty() {
            return Err(CliError::new(
                Exit::Usage,
                "cli.usage",
                "--older-than needs a kind",
                "without one, the ages in the host's limits decide",
                "add --cache, --bases, --images, --mounts or --all",
            ));
        }
        Ok(PruneRequest { dry_run: !self.yes, kinds, older_than_s: self.older_than })
    }
}

fn text(view: &PruneView, now: Timestamp) -> String {
    if view.items.is_empty() {
        return "nothing to prune\n".to_owned();
    }
    let rows: Vec<Vec<String>> = view.items.iter().map(|item| row(item, now)).collect();
    let mut text = table(&["kind", "name", "size", "last used", "why"], &rows);
    let verb = if view.dry_run { "would go" } else { "went" };
    let items = count(view.items.len() as u64, "item");
    text += &format!("{items}, {} {verb}\n", bytes(view.bytes));
    text
}

fn row(item: &PruneItem, now: Timestamp) -> Vec<String> {
    vec![
        item.kind.as_str().to_owned(),
        harmless(&item.name),
        bytes(item.bytes),
        item.last_used.map(|at| ago(at, now)).unwrap_or_default(),
        harmless(&item.why),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_given_in_days_too() {
        assert_eq!(seconds("7d"), Ok(7 * 24 * 3600));
        assert_eq!(seconds("90s"), Ok(90));
        assert!(seconds("soon").is_err());
    }

    #[test]
    fn what_goes_is_said_with_its_reason() {
        let at = |s: i64| Timestamp::from_second(s).unwrap();
        let item = PruneItem {
            kind: PruneKind::Cache,
            name: "0123456789ab".to_owned(),
            bytes: 3 << 20,
            last_used: Some(at(0)),
            why: "not used for 15 days".to_owned(),
        };
        let view = PruneView { dry_run: true, items: vec![item], bytes: 3 << 20, left: vec![] };
        insta::assert_snapshot!(text(&view, at(15 * 24 * 3600)));
    }
}
