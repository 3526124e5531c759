//! What `detect` and `doctor` say, for people.

use windlass_model::ahead::by_reason;
use windlass_model::plan::{Detection, Refusal, Toolchain};

use super::{harmless, took};
use crate::console::{Style, paint};
use crate::roles::{Check, CheckState, DetectOutput};

/// All answers, the winner first.
pub fn detect(output: &DetectOutput, color: bool) -> String {
    let mut text = String::new();
    let also = if output.chosen.is_some() { "also " } else { "" };
    if let (Some(plugin), Some(chosen)) = (&output.plugin, &output.chosen) {
        let name = paint(color, Style::Bold, &harmless(&chosen.name));
        text +=
            &format!("{name} (`{}`), {}% sure, by plugin {plugin}\n", chosen.id, chosen.confidence);
        text += &signs(chosen);
    }
    for answer in &output.answers {
        for other in &answer.report.detections {
            if Some(other) != output.chosen.as_ref() {
                let (name, id) = (harmless(&other.name), &other.id);
                text += &format!(
                    "{also}{name} (`{id}`), {}% sure, by plugin {}{}{}\n",
                    other.confidence,
                    answer.plugin,
                    superseded(other, output),
                    refused(other)
                );
                text += &signs(other);
            }
        }
    }
    text += &near_misses(output);
    for (name, problem) in &output.problems {
        text += &format!(
            "plugin {name} did not answer: {} ({})\n",
            harmless(&problem.what),
            problem.code
        );
    }
    text += &format!(
        "{} asked, {}\n",
        super::count(output.answers.len() as u64, "detector"),
        took(output.took_ms)
    );
    text
}

/// What nearly matched, each reason once. Of what was recognised, it is a remark.
fn near_misses(output: &DetectOutput) -> String {
    let reports = || output.answers.iter().map(|answer| &answer.report);
    let is_found = |id: &&str| {
        let mut found = reports().flat_map(|report| &report.detections);
        found.any(|detection| detection.id == *id || detection.ecosystem == *id)
    };
    let mut text = String::new();
    for (ids, reason) in by_reason(reports().flat_map(|report| &report.near_misses)) {
        let (whose, reason) = (harmless(&ids.join(", ")), harmless(reason));
        text += &match ids.iter().any(&is_found) {
            true => format!("also seen ({whose}): {reason}\n"),
            false => format!("not {whose}: {reason}\n"),
        };
    }
    text
}

fn refused(detection: &Detection) -> String {
    let why = |refusal: &Refusal| format!(", cannot be built: {}", harmless(&refusal.message));
    detection.refusal.as_ref().map(why).unwrap_or_default()
}

fn superseded(detection: &Detection, output: &DetectOutput) -> String {
    let by = output
        .answers
        .iter()
        .flat_map(|answer| &answer.report.detections)
        .find(|other| other.supersedes.contains(&detection.id));
    by.map(|by| format!(", superseded by `{}`", by.id)).unwrap_or_default()
}

fn signs(detection: &Detection) -> String {
    let mut text = String::new();
    for sign in &detection.evidence {
        let detail =
            if sign.detail.is_empty() { String::new() } else { format!(": {}", sign.detail) };
        text += &format!("  {}{}\n", harmless(&sign.path), harmless(&detail));
    }
    if !detection.toolchains.is_empty() {
        text += &format!("  needs {}\n", toolchains(&detection.toolchains));
    }
    text
}

pub(super) fn toolchains(toolchains: &[Toolchain]) -> String {
    let one = |toolchain: &Toolchain| match toolchain.requirement.as_str() {
        "" => toolchain.name.clone(),
        requirement => format!("{} {requirement}", toolchain.name),
    };
    harmless(&toolchains.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// The parts that a host needs, a line each, with the fix beneath what is missing.
pub fn doctor(checks: &[Check], color: bool) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for check in checks {
        let (mark, style) = match check.state {
            CheckState::Ok => ("✓", Style::Green),
            CheckState::Warning => ("!", Style::Yellow),
            CheckState::Missing => ("✗", Style::Red),
        };
        let line = format!(
            "{} {:<width$}  {}",
            paint(color, style, mark),
            check.name,
            harmless(&check.found)
        );
        text += &format!("{}\n", line.trim_end());
        if !check.fix.is_empty() {
            text += &format!("    fix: {}\n", harmless(&check.fix));
        }
    }
    let missing = checks.iter().filter(|check| check.state == CheckState::Missing).count();
    let warnings = checks.iter().filter(|check| check.state == CheckState::Warning).count();
    text += &match (missing, warnings) {
        (0, 0) => "everything is there\n".to_owned(),
        (0, n) => format!("ready, with {}\n", super::count(n as u64, "warning")),
        (n, _) => format!("{n} missing: see the fixes above\n"),
    };
    text
}

#[cfg(test)]
mod tests {
    use windlass_model::plan::{DetectReport, Evidence, NearMiss};
    use windlass_model::settings::Settings;

    use super::*;
    use crate::roles::DetectorAnswer;

    fn detection(id: &str, confidence: u8, supersedes: &[&str]) -> Detection {
        Detection {
            toolchains: vec![Toolchain { name: "tool".into(), requirement: ">=2".into() }],
            evidence: vec![Evidence { path: "app.json".into(), detail: format!("{id}-key") }],
            supersedes: supersedes.iter().map(|s| (*s).to_owned()).collect(),
            ..Detection::new(id, &format!("The {id}"), "x", confidence)
        }
    }

    #[test]
    fn the_winner_comes_first_with_its_signs() {
        let winner = detection("special", 90, &["plain"]);
        let report = DetectReport {
            detections: vec![detection("plain", 50, &[]), winner.clone()],
            near_misses: vec![NearMiss { id: "other".into(), reason: "no entry file".into() }],
        };
        let output = DetectOutput {
            plugin: Some("acme".into()),
            chosen: Some(winner),
            failure: None,
            answers: vec![DetectorAnswer {
                plugin: "acme".into(),
                version: "1.0.0".into(),
                report,
            }],
            problems: vec![],
            settings: Settings::default(),
            took_ms: 4,
        };
        insta::assert_snapshot!(detect(&output, false), @r"
        The special (`special`), 90% sure, by plugin acme
          app.json: special-key
          needs tool >=2
        also The plain (`plain`), 50% sure, by plugin acme, superseded by `special`
          app.json: plain-key
          needs tool >=2
        not other: no entry file
        1 detector asked, 4 ms
        ");
    }

    #[test]
    fn what_cannot_be_built_is_said_to_be_so_and_each_near_miss_once() {
        let refusal = Refusal {
            code: "acme.old".into(),
            message: "it is\nold".into(),
            hint: None,
            retryable: false,
        };
        let refused = Detection { refusal: Some(refusal), ..detection("old", 90, &[]) };
        let miss = |id: &str, reason: &str| NearMiss { id: id.into(), reason: reason.into() };
        let answer = |plugin: &str, detections, near_misses| DetectorAnswer {
            plugin: plugin.into(),
            version: "1.0.0".into(),
            report: DetectReport { detections, near_misses },
        };
        let misses = vec![miss("old", "procfile"), miss("new", "no entry")];
        let others = vec![miss("other", "procfile"), miss("third", "no entry")];
        let answers = vec![answer("acme", vec![refused], misses), answer("other", vec![], others)];
        let output = DetectOutput {
            plugin: None,
            chosen: None,
            failure: None,
            answers,
            problems: vec![],
            settings: Settings::default(),
            took_ms: 4,
        };
        insta::assert_snapshot!(detect(&output, false), @r"
        The old (`old`), 90% sure, by plugin acme, cannot be built: it is old
          app.json: old-key
          needs tool >=2
        also seen (old, other): procfile
        not new, third: no entry
        2 detectors asked, 4 ms
        ");
    }

    #[test]
    fn the_doctor_names_the_fix() {
        let check = |name: &str, state, found: &str, fix: &str| Check {
            name: name.into(),
            state,
            found: found.into(),
            fix: fix.into(),
        };
        let checks = [
            check("containerd", CheckState::Ok, "1.6.20", ""),
            check("nft", CheckState::Missing, "not found", "apt-get install nftables"),
        ];
        insta::assert_snapshot!(doctor(&checks, false), @r"
        ✓ containerd  1.6.20
        ✗ nft         not found
            fix: apt-get install nftables
        1 missing: see the fixes above
        ");
    }
}
