//! What `detect`, `plan` and `doctor` say, for people.

use windlass_model::plan::{
    Base, BuildPlan, Detection, Op, Origin, OutputKind, Place, Placed, Toolchain,
};

use super::{harmless, took};
use crate::console::{Style, paint};
use crate::roles::{Check, CheckState, DetectOutput, PlanOutput};

/// All answers, the winner first.
pub fn detect(output: &DetectOutput, color: bool) -> String {
    let mut text = String::new();
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
                    "also {name} (`{id}`), {}% sure, by plugin {}{}\n",
                    other.confidence,
                    answer.plugin,
                    superseded(other, output)
                );
                text += &signs(other);
            }
        }
    }
    for answer in &output.answers {
        for miss in &answer.report.near_misses {
            text += &format!("not {}: {}\n", miss.id, harmless(&miss.reason));
        }
    }
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

fn toolchains(toolchains: &[Toolchain]) -> String {
    let one = |toolchain: &Toolchain| match toolchain.requirement.as_str() {
        "" => toolchain.name.clone(),
        requirement => format!("{} {requirement}", toolchain.name),
    };
    harmless(&toolchains.iter().map(one).collect::<Vec<_>>().join(", "))
}

/// A plan as readable steps.
pub fn plan(output: &PlanOutput, color: bool) -> String {
    let mut text = format!(
        "{} is built like this, by plugin {}:\n",
        harmless(&output.detection.name),
        output.stored.plugin
    );
    let plan = &output.stored.plan;
    for (index, step) in plan.steps.iter().enumerate() {
        let name = paint(color, Style::Bold, &harmless(&step.name));
        text += &format!("\n{}. {name} (`{}`, from {})\n", index + 1, step.id, base(&step.base));
        if !step.cwd.is_empty() {
            text += &format!("   in {}\n", harmless(&step.cwd));
        }
        for op in &step.ops {
            text += &format!("   {}\n", harmless(&operation(op)));
        }
    }
    text += "\n";
    text += &results(plan);
    for line in &output.log {
        text += &format!("plugin: {}\n", harmless(line));
    }
    text
}

fn base(base: &Base) -> String {
    match base {
        Base::Step(id) => format!("step `{id}`"),
        Base::Image(reference) => format!("image {reference}"),
        Base::Toolchains(needed) => format!("a base with {}", toolchains(needed)),
        Base::Scratch => "nothing".to_owned(),
    }
}

fn operation(op: &Op) -> String {
    let from = |origin: &Origin| match origin {
        Origin::Source => "the source".to_owned(),
        Origin::Step(id) => format!("step `{id}`"),
        Origin::Image(reference) => format!("image {reference}"),
    };
    match op {
        Op::Run(run) => {
            let offline = if run.network { "" } else { "   (no network)" };
            format!("run    {}{offline}", command(&run.argv))
        }
        Op::Copy(copy) => {
            format!("copy   {} of {} to {}", copy.sources.join(" "), from(&copy.origin), copy.dest)
        }
        Op::WriteFile { path, content, .. } => format!("write  {path} ({} bytes)", content.len()),
        Op::Fetch { url, dest, .. } => format!("fetch  {url} to {dest}"),
        Op::Extract { origin, archive, dest } => {
            format!("unpack {archive} of {} to {dest}", from(origin))
        }
        Op::Place(place) => placed(place),
        Op::MakeDir { path, .. } => format!("make   the directory {path}"),
    }
}

fn placed(place: &Place) -> String {
    let paths = place.paths.join(" ");
    let what = match &place.origin {
        Placed::Source => format!("{paths} of the source"),
        Placed::Step(id) => format!("{paths} of step `{id}`"),
        Placed::Image(reference) => format!("{paths} of image {reference}"),
        Placed::Inline(files) => {
            files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(" ")
        }
        Placed::Download { url, .. } => url.clone(),
    };
    format!("copy   {what} to {}", place.dest)
}

fn results(plan: &BuildPlan) -> String {
    let mut text = String::new();
    for output in &plan.outputs {
        match &output.artifact {
            OutputKind::Image { step, .. } => {
                text += &format!("output {}: the result of step `{step}`\n", output.name);
            }
            OutputKind::StaticTree { step, root, .. } => {
                text += &format!("output {}: static tree {root} of step `{step}`\n", output.name);
            }
        }
    }
    for process in &plan.processes {
        let port = process.ports.first().map(|port| format!(", PORT={port}")).unwrap_or_default();
        let argv = if process.argv.is_empty() {
            "the image's own command".to_owned()
        } else {
            command(&process.argv)
        };
        text += &format!("process {}: {argv}{port}\n", process.name);
    }
    if !plan.toolchains.is_empty() {
        text += &format!("toolchains: {}\n", toolchains(&plan.toolchains));
    }
    harmless_lines(&text)
}

fn harmless_lines(text: &str) -> String {
    text.lines().map(|line| harmless(line) + "\n").collect()
}

/// A command as one would type it.
fn command(argv: &[String]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%".contains(c);
    let word = |word: &String| {
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    argv.iter().map(word).collect::<Vec<_>>().join(" ")
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
    use windlass_model::deployment::StoredPlan;
    use windlass_model::plan::{
        BuildStep, Copy, DetectReport, Evidence, NearMiss, Output, ProcessKind, ProcessPlan, Run,
        RunConfig,
    };
    use windlass_model::settings::Settings;

    use super::*;
    use crate::roles::DetectorAnswer;

    fn detection(id: &str, confidence: u8, supersedes: &[&str]) -> Detection {
        Detection {
            id: id.into(),
            name: format!("The {id}"),
            ecosystem: "x".into(),
            toolchains: vec![Toolchain { name: "tool".into(), requirement: ">=2".into() }],
            confidence,
            evidence: vec![Evidence { path: "app.json".into(), detail: format!("{id}-key") }],
            supersedes: supersedes.iter().map(|s| (*s).to_owned()).collect(),
            notes_json: String::new(),
            refusal: None,
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
    fn a_plan_reads_like_a_recipe() {
        let run = Run {
            argv: vec!["sh".into(), "-c".into(), "make all".into()],
            env: vec![],
            cwd: None,
            user: None,
            network: false,
            mounts: vec![],
            timeout_ms: None,
        };
        let copy = Copy {
            origin: Origin::Source,
            sources: vec!["**".into()],
            exclude: vec![],
            dest: "/app/".into(),
            chown: None,
            chmod: None,
            parents: true,
        };
        let step = BuildStep {
            id: "build".into(),
            name: "build it".into(),
            base: Base::Toolchains(vec![Toolchain {
                name: "tool".into(),
                requirement: "2".into(),
            }]),
            env: vec![],
            cwd: "/app".into(),
            user: String::new(),
            ops: vec![Op::Copy(copy), Op::Run(run)],
        };
        let image = OutputKind::Image { step: "build".into(), config: RunConfig::default() };
        let plan_value = BuildPlan {
            steps: vec![step],
            outputs: vec![Output { name: "app".into(), artifact: image }],
            processes: vec![ProcessPlan {
                name: "web".into(),
                output: "app".into(),
                kind: ProcessKind::Web,
                argv: vec!["./server".into()],
                ports: vec![3000],
            }],
            toolchains: vec![],
        };
        let output = PlanOutput {
            detection: detection("special", 90, &[]),
            stored: StoredPlan { plugin: "acme".into(), plan: plan_value },
            log: vec![],
        };
        insta::assert_snapshot!(plan(&output, false), @r"
        The special is built like this, by plugin acme:

        1. build it (`build`, from a base with tool 2)
           in /app
           copy   ** of the source to /app/
           run    sh -c 'make all'   (no network)

        output app: the result of step `build`
        process web: ./server, PORT=3000
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
