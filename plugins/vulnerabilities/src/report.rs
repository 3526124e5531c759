//! What was found, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use windlass_plugin_locked::{Component, Inventory};
use windlass_sdk::PluginError;

use crate::osv::{Entry, Matches};
use crate::severity::{self, Level, Severity};
use crate::version::Version;
use crate::{FailOn, Options};

/// Packages that an error names one by one.
const NAMED_MAX: usize = 5;
/// Characters of a summary in the table.
const SUMMARY_CHARS_MAX: usize = 160;

/// A vulnerability of a component, by whatever names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Finding {
    pub(crate) id: String,
    /// Its other names.
    pub(crate) aliases: BTreeSet<String>,
    pub(crate) ecosystem: &'static str,
    pub(crate) package: String,
    pub(crate) installed: String,
    /// The oldest version after the installed one that does not have it.
    pub(crate) fixed: Option<String>,
    pub(crate) severity: Severity,
    pub(crate) summary: String,
    pub(crate) purl: String,
    pub(crate) files: BTreeSet<String>,
    /// Whether the settings say that it does not matter.
    pub(crate) ignored: bool,
}

/// All of it.
#[derive(Debug, Serialize)]
pub(crate) struct Report<'o> {
    pub(crate) database: &'o str,
    fail_on: FailOn,
    /// Components that were looked up.
    pub(crate) components: usize,
    pub(crate) lock_files: Vec<String>,
    /// The worst first.
    pub(crate) findings: Vec<Finding>,
    /// What was not looked at, and why.
    pub(crate) notes: Vec<String>,
}

impl<'o> Report<'o> {
    pub(crate) fn new(inventory: &Inventory, matches: Matches, options: &'o Options) -> Self {
        let ignore = &options.ignore;
        let mut findings: Vec<Finding> = inventory
            .components
            .values()
            .filter_map(|component| Some((component, matches.found.get(&component.purl)?)))
            .flat_map(|(component, ids)| {
                of_component(component, ids.iter().filter_map(|id| matches.entries.get(id)))
            })
            .collect();
        let is_ignored = |id: &String| ignore.iter().any(|one| one.eq_ignore_ascii_case(id));
        for finding in &mut findings {
            let ignored = finding.names().any(is_ignored);
            finding.ignored = ignored;
        }
        findings.sort_by(|a, b| {
            let order = b.severity.level.cmp(&a.severity.level);
            order.then_with(|| (&a.package, &a.id).cmp(&(&b.package, &b.id)))
        });
        let mut notes = matches.notes;
        let unread = inventory.unread.iter();
        notes.extend(unread.map(|it| format!("{} could not be read: {}", it.path, it.what)));
        notes.extend(inventory.notes.iter().map(|it| format!("{}: {}", it.path, it.what)));
        let elsewhere = inventory.components.values().filter(|it| !it.from_registry).count();
        if elsewhere > 0 {
            notes.push(format!(
                "components from repositories or archives, which were not looked up: {elsewhere}"
            ));
        }
        for id in ignore {
            let known =
                findings.iter().any(|it| it.names().any(|name| name.eq_ignore_ascii_case(id)));
            if !known {
                notes.push(format!("{id} is ignored, but nothing has it"));
            }
        }
        Self {
            database: &options.database,
            fail_on: options.fail_on,
            components: inventory.components.len() - elsewhere,
            lock_files: inventory.files.iter().map(|file| file.path.clone()).collect(),
            findings,
            notes,
        }
    }

    /// Those that are not ignored.
    pub(crate) fn counted(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| !finding.ignored)
    }

    /// `3 vulnerabilities (1 critical, 2 high) in 214 components; 1 ignored`
    pub(crate) fn summary(&self) -> String {
        let mut levels: BTreeMap<Level, usize> = BTreeMap::new();
        for finding in self.counted() {
            *levels.entry(finding.severity.level).or_default() += 1;
        }
        let parts = Level::ALL.iter().filter_map(|level| {
            levels.get(level).map(|count| format!("{count} {}", level.as_str()))
        });
        let parts: Vec<String> = parts.collect();
        let components = match self.components {
            1 => "1 component".to_owned(),
            components => format!("{components} components"),
        };
        let mut text = match self.counted().count() {
            0 => format!("no known vulnerability in {components}"),
            1 => format!("1 vulnerability ({}) in {components}", parts.join(", ")),
            count => {
                format!("{count} vulnerabilities ({}) in {components}", parts.join(", "))
            }
        };
        let ignored = self.findings.len() - self.counted().count();
        if ignored > 0 {
            let _ = write!(text, "; {ignored} ignored");
        }
        text
    }

    /// The failure of the stage, if something is at least as bad.
    pub(crate) fn failure(&self, level: Option<Level>) -> Option<PluginError> {
        let level = level?;
        let bad: Vec<&Finding> =
            self.counted().filter(|finding| finding.severity.level >= level).collect();
        if bad.is_empty() {
            return None;
        }
        let mut named: Vec<String> = bad.iter().take(NAMED_MAX).map(|it| it.line()).collect();
        if bad.len() > NAMED_MAX {
            named.push(format!("and {} more", bad.len() - NAMED_MAX));
        }
        let what = format!(
            "{} at or above {}: {}",
            if bad.len() == 1 {
                "1 vulnerability".to_owned()
            } else {
                format!("{} vulnerabilities", bad.len())
            },
            level.as_str(),
            named.join("; ")
        );
        let mut fixes: Vec<String> =
            updates(bad.iter().copied()).into_iter().take(NAMED_MAX).collect();
        if bad.iter().any(|finding| finding.fixed.is_none()) {
            fixes.push("replace what no version mends".to_owned());
        }
        let hint = format!(
            "{}; what does not concern this application goes by its id into `ignore` in the stage's options. \
             vulnerabilities.md, attached to the deployment, has all of them",
            fixes.join("; ")
        );
        Some(PluginError::new("vulnerabilities.found", what).hint(hint))
    }

    /// Markdown to be read.
    pub(crate) fn markdown(&self) -> String {
        let mut page = format!("# Vulnerabilities\n\n{}.\n\n", self.summary());
        let files = self.lock_files.iter().map(|path| plain(path)).collect::<Vec<_>>().join(", ");
        let _ = writeln!(page, "Lock files: {files}. Database: {}.\n", plain(self.database));
        let (ignored, counted): (Vec<&Finding>, Vec<&Finding>) =
            self.findings.iter().partition(|finding| finding.ignored);
        table(&counted, &mut page);
        let steps = updates(counted.iter().copied());
        if !steps.is_empty() {
            page.push_str("## What to do\n\n");
            for step in steps {
                let _ = writeln!(page, "- {}", plain(&step));
            }
            page.push('\n');
        }
        if !ignored.is_empty() {
            page.push_str("## Ignored by the settings\n\n");
            table(&ignored, &mut page);
        }
        if !self.notes.is_empty() {
            page.push_str("## Notes\n\n");
            for note in &self.notes {
                let _ = writeln!(page, "- {}", plain(note));
            }
        }
        page
    }
}

impl Finding {
    /// All its names.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.id).chain(&self.aliases)
    }

    /// `GHSA-… (CVE-…) in lodash 4.17.15 (npm), high, fixed in 4.17.21`
    fn line(&self) -> String {
        let cve = self.aliases.iter().find(|alias| alias.starts_with("CVE-"));
        let cve = cve.map(|cve| format!(" ({cve})")).unwrap_or_default();
        let fixed = match &self.fixed {
            Some(fixed) => format!("fixed in {fixed}"),
            None => "not fixed in any version".to_owned(),
        };
        format!(
            "{}{cve} in {} {} ({}), {}, {fixed}",
            self.id,
            self.package,
            self.installed,
            self.ecosystem,
            self.severity.level.as_str()
        )
    }
}

/// Entries that are names of the same thing are one finding.
fn of_component<'e>(
    component: &Component,
    entries: impl Iterator<Item = &'e Entry>,
) -> Vec<Finding> {
    let mut entries: Vec<&Entry> = entries.collect();
    // GitHub's say most.
    entries.sort_by_key(|entry| (!entry.id.starts_with("GHSA-"), &entry.id));
    let mut findings: Vec<Finding> = Vec::new();
    for entry in entries {
        let affected = entry.of(component);
        let fixed = affected.and_then(|it| it.fixed(component.ecosystem, &component.version));
        let severity = severity::of(entry, affected);
        let is_same = |finding: &&mut Finding| {
            entry.names().any(|name| finding.names().any(|known| known == name))
        };
        if let Some(known) = findings.iter_mut().find(is_same) {
            known.aliases.extend(entry.names().filter(|name| **name != known.id).cloned());
            if severity.level > known.severity.level {
                known.severity = severity;
            }
            known.fixed = known.fixed.take().or(fixed);
            if known.summary.is_empty() {
                known.summary = entry.summary.clone();
            }
            continue;
        }
        findings.push(Finding {
            id: entry.id.clone(),
            aliases: entry.aliases.iter().cloned().collect(),
            ecosystem: component.ecosystem.osv(),
            package: component.name.clone(),
            installed: component.version.clone(),
            fixed,
            severity,
            summary: entry.summary.clone(),
            purl: component.purl.clone(),
            files: component.files.clone(),
            ignored: false,
        });
    }
    findings
}

/// `update lodash from 4.17.15 to 4.17.21`: for each package the newest version that one of its findings needs.
fn updates<'f>(findings: impl Iterator<Item = &'f Finding>) -> Vec<String> {
    let mut to: BTreeMap<&str, (&Finding, &str)> = BTreeMap::new();
    for finding in findings {
        let Some(fixed) = finding.fixed.as_deref() else {
            continue;
        };
        let known = to.entry(&finding.purl).or_insert((finding, fixed));
        if is_newer(finding, fixed, known.1) {
            known.1 = fixed;
        }
    }
    let step = |(finding, fixed): (&Finding, &str)| {
        let files: Vec<&str> = finding.files.iter().map(String::as_str).collect();
        let (package, installed) = (&finding.package, &finding.installed);
        format!("update {package} from {installed} to {fixed} in {}", files.join(", "))
    };
    to.into_values().map(step).collect()
}

fn is_newer(finding: &Finding, a: &str, b: &str) -> bool {
    let ecosystem = windlass_plugin_locked::Ecosystem::of_osv(finding.ecosystem);
    let parse = |text| ecosystem.and_then(|ecosystem| Version::parse(ecosystem, text));
    parse(a).zip(parse(b)).is_some_and(|(a, b)| a.order(&b).is_gt())
}

fn table(findings: &[&Finding], page: &mut String) {
    if findings.is_empty() {
        return;
    }
    page.push_str(
        "| severity | id | package | installed | fixed in | what |\n|---|---|---|---|---|---|\n",
    );
    for finding in findings {
        let severity = &finding.severity;
        let score = severity.score.map(|score| format!(" {score:.1}")).unwrap_or_default();
        let names: Vec<&str> = finding.names().map(String::as_str).collect();
        let what: String = finding.summary.chars().take(SUMMARY_CHARS_MAX).collect();
        let _ = writeln!(
            page,
            "| {}{score} | {} | {} ({}) | {} | {} | {} |",
            severity.level.as_str(),
            plain(&names.join(", ")),
            plain(&finding.package),
            finding.ecosystem,
            plain(&finding.installed),
            plain(finding.fixed.as_deref().unwrap_or("none")),
            plain(&what)
        );
    }
    page.push('\n');
}

/// Text of somebody else, that is to stay text.
fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '*' | '`' | '[' | ']' | '\\' | '!' | '#' => safe.extend(['\\', c]),
            '<' => safe.push_str("&lt;"),
            '&' => safe.push_str("&amp;"),
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}
