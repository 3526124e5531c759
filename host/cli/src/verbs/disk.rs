//! `windlass disk`: who uses what of the disk.

use windlass_model::disk::{DiskBudget, DiskPart, DiskPlace, DiskView};

use crate::exit::{CliResult, Exit};
use crate::render::{bytes, table};
use crate::session::Session;

/// Show who uses what of the host's disk, what is free, and the budgets.
///
/// Each byte is counted once: what several projects use stands with the host as shared. What no artifact
/// needs counts against a budget and goes by itself when that is used up, the least recently used first;
/// `windlass prune` says what can go now. Budgets are set in the limits file: disk.cache_bytes_max,
/// disk.bases_bytes_max.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass disk
  windlass disk --json | jq .budgets")]
pub struct Disk {}

impl Disk {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let view: DiskView = session.client()?.get_slowly("/v1/disk")?;
        if session.json() {
            session.print_json(&view);
        } else {
            session.console.out(&text(&view));
        }
        Ok(Exit::Ok)
    }
}

fn text(view: &DiskView) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for project in &view.projects {
        rows.push(vec![project.project.to_string(), String::new(), bytes(project.bytes)]);
        rows.extend(project.parts.iter().map(part));
    }
    rows.push(vec!["the host, or several projects".to_owned(), String::new(), {
        bytes(view.host.iter().map(|part| part.bytes).sum())
    }]);
    rows.extend(view.host.iter().filter(|part| part.bytes > 0).map(part));
    let mut text = table(&["who", "what", "size", "", ""], &rows);
    text += &format!("\n{} in all; what several use is counted once\n\n", bytes(view.bytes));
    let budgets: Vec<Vec<String>> = view.budgets.iter().map(budget).collect();
    text += &table(&["budget", "used", "of", "needed besides"], &budgets);
    text += "\n";
    let places: Vec<Vec<String>> = view.places.iter().map(place).collect();
    text += &table(&["file system", "size", "free", "floor", "inodes free", "floor"], &places);
    text
}

fn part(part: &DiskPart) -> Vec<String> {
    let items = if part.items > 0 { format!("{} items", part.items) } else { String::new() };
    vec![String::new(), part.what.clone(), bytes(part.bytes), items, part.note.clone()]
}

fn budget(budget: &DiskBudget) -> Vec<String> {
    let DiskBudget { kind, bytes: used, bytes_max, needed_bytes } = budget;
    vec![kind.as_str().to_owned(), bytes(*used), bytes(*bytes_max), bytes(*needed_bytes)]
}

fn place(place: &DiskPlace) -> Vec<String> {
    let (inodes, floor) = match place.inodes {
        0 => ("no fixed number".to_owned(), String::new()),
        _ => (place.free_inodes.to_string(), place.free_inodes_min.to_string()),
    };
    vec![
        place.path.display().to_string(),
        bytes(place.bytes),
        bytes(place.free_bytes),
        bytes(place.free_bytes_min),
        inodes,
        floor,
    ]
}

#[cfg(test)]
mod tests {
    use windlass_model::disk::{ProjectDisk, PruneKind};

    use super::*;

    #[test]
    fn projects_come_first_and_what_is_shared_is_said() {
        let part = |what: &str, bytes, note: &str| DiskPart {
            what: what.to_owned(),
            bytes,
            items: 2,
            note: note.to_owned(),
        };
        let project = ProjectDisk {
            project: "shop".parse().unwrap(),
            bytes: 3 << 20,
            parts: vec![part("artifacts", 2 << 20, ""), part("logs", 1 << 20, "")],
        };
        let view = DiskView {
            at: jiff::Timestamp::UNIX_EPOCH,
            places: vec![DiskPlace {
                path: "/var/lib/windlass".into(),
                bytes: 100 << 30,
                free_bytes: 40 << 30,
                inodes: 1000,
                free_inodes: 900,
                free_bytes_min: 2 << 30,
                free_inodes_min: 20,
            }],
            budgets: vec![DiskBudget {
                kind: PruneKind::Cache,
                bytes: 5 << 20,
                bytes_max: 20 << 30,
                needed_bytes: 2 << 20,
            }],
            projects: vec![project],
            host: vec![part("shared-artifacts", 1 << 20, "counted once")],
            bytes: 4 << 20,
        };
        insta::assert_snapshot!(text(&view));
    }
}
