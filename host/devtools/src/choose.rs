//! Which of all detections wins. One rule, used by the pipeline and by `windlass detect`.
//!
//! **Invariant: the choice is a function of the reports and the override alone**, not of the order in
//! which detectors answered. Nothing is ever chosen on a tie: that is a failure that names both.

use windlass_model::Failure;
use windlass_model::ahead::by_reason;
use windlass_model::plan::{DetectReport, Detection, NearMiss};
use windlass_model::plugin::PluginInfo;
use windlass_model::spelling::nearest;

/// The detection that won, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The plugin that gave the detection.
    pub plugin: PluginInfo,
    /// What it recognised.
    pub detection: Detection,
    /// Ids of the others that matched, strongest first; superseded ones included.
    pub others: Vec<String>,
    /// What nearly matched.
    pub near_misses: Vec<NearMiss>,
}

/// The code of the failure where nothing is what `build.framework` names.
pub(crate) const UNKNOWN_FRAMEWORK: &str = "detect.unknown-framework";
/// Where the ids are listed that `build.framework` can have.
const LISTED: &str =
    "plugins/DETECTION.md in the sources of Windlass lists the ids of the bundled plugins";
/// So many detections are named where one is to be chosen instead.
const NAMED_MAX: usize = 5;
/// Longest sign in a failure, in characters.
const SIGN_CHARS_MAX: usize = 160;

/// A match with the plugin that made it.
struct Candidate<'a> {
    plugin: &'a PluginInfo,
    detection: &'a Detection,
}

/// Chooses among all detectors' reports.
///
/// Ids that another detection supersedes are dropped, then the highest confidence wins.
/// `framework_override` (`build.framework` of `windlass.toml`) picks by id instead, superseded or not.
///
/// # Errors
/// - `detect.tie`: two of the same confidence, neither superseding the other.
/// - `detect.no-match`: nothing matched; says what was looked for and what nearly matched.
/// - `detect.unknown-framework`: nothing matched the override.
/// - the detection's own code, when the winner says that it cannot be built.
pub fn choose(
    reports: &[(PluginInfo, DetectReport)],
    framework_override: Option<&str>,
) -> Result<Chosen, Failure> {
    let all = candidates(reports);
    let winner = match framework_override {
        Some(id) => overridden(&all, id, reports)?,
        None => strongest(&all, reports)?,
    };
    refuse(&winner)?;
    let others = all
        .iter()
        .filter(|other| !std::ptr::eq(other.detection, winner.detection))
        .map(|other| other.detection.id.clone())
        .collect();
    Ok(Chosen {
        plugin: winner.plugin.clone(),
        detection: winner.detection.clone(),
        others,
        near_misses: near_misses(reports).cloned().collect(),
    })
}

/// All matches, strongest first.
fn candidates(reports: &[(PluginInfo, DetectReport)]) -> Vec<Candidate<'_>> {
    let mut all: Vec<Candidate<'_>> = reports
        .iter()
        .flat_map(|(plugin, report)| {
            report.detections.iter().map(move |detection| Candidate { plugin, detection })
        })
        .collect();
    all.sort_by(|a, b| {
        (b.detection.confidence.cmp(&a.detection.confidence))
            .then_with(|| a.detection.id.cmp(&b.detection.id))
            .then_with(|| a.plugin.manifest.name.cmp(&b.plugin.manifest.name))
    });
    all
}

fn near_misses(reports: &[(PluginInfo, DetectReport)]) -> impl Iterator<Item = &NearMiss> {
    reports.iter().flat_map(|(_, report)| &report.near_misses)
}

fn strongest<'a>(
    all: &[Candidate<'a>],
    reports: &[(PluginInfo, DetectReport)],
) -> Result<Candidate<'a>, Failure> {
    let superseded = |id: &str| {
        all.iter().any(|other| {
            other.detection.id != id && other.detection.supersedes.iter().any(|s| s == id)
        })
    };
    let mut left: Vec<&Candidate<'a>> =
        all.iter().filter(|one| !superseded(&one.detection.id)).collect();
    if left.is_empty() {
        // A circle of detections that supersede each other: none of them is the special case.
        left = all.iter().collect();
    }
    let first = *left.first().ok_or_else(|| no_match(reports))?;
    match left.get(1) {
        Some(second) if second.detection.confidence == first.detection.confidence => {
            Err(tie(first, second))
        }
        _ => Ok(Candidate { plugin: first.plugin, detection: first.detection }),
    }
}

fn overridden<'a>(
    all: &[Candidate<'a>],
    id: &str,
    reports: &[(PluginInfo, DetectReport)],
) -> Result<Candidate<'a>, Failure> {
    let mut matching = all.iter().filter(|one| one.detection.id == id);
    let Some(first) = matching.next() else {
        return Err(unknown_framework(id, reports, reports));
    };
    match matching.next() {
        Some(second) if second.detection.confidence == first.detection.confidence => {
            Err(tie(first, second))
        }
        _ => Ok(Candidate { plugin: first.plugin, detection: first.detection }),
    }
}

fn refuse(winner: &Candidate<'_>) -> Result<(), Failure> {
    let Some(refusal) = &winner.detection.refusal else {
        return Ok(());
    };
    let why = signs(winner.detection);
    Err(Failure::app(
        &refusal.code,
        format!(
            "{} was recognised, and cannot be built: {}",
            winner.detection.name, refusal.message
        ),
        why,
        refusal.hint.clone().unwrap_or_else(|| {
            "set `build.framework` in windlass.toml to build it as something else".to_owned()
        }),
    ))
}

/// Refuses a choice whose plugin cannot go on: the builder is the plugin that gave the detection.
///
/// # Errors
/// `detect.no-builder`.
pub fn require_builder(chosen: &Chosen) -> Result<(), Failure> {
    use windlass_model::plugin::Stage;
    if chosen.plugin.stages.contains(&Stage::Builder) {
        return Ok(());
    }
    let name = &chosen.plugin.manifest.name;
    Err(Failure::plugin(
        name,
        "detect.no-builder",
        format!("plugin {name} recognised {} and cannot build it", chosen.detection.name),
        "the plugin exports a detector and no builder",
        "set `build.framework` in windlass.toml to a detection of another plugin, or report it to \
         the plugin's author",
    ))
}

fn tie(first: &Candidate<'_>, second: &Candidate<'_>) -> Failure {
    let describe = |one: &Candidate<'_>| {
        let Detection { name, id, .. } = one.detection;
        format!("{name} (`{id}`, plugin {})", one.plugin.manifest.name)
    };
    let (p, q) = (&first.plugin.manifest.name, &second.plugin.manifest.name);
    let is_same = first.detection.id == second.detection.id;
    let what = match is_same && p != q {
        true => {
            let Detection { name, id, .. } = first.detection;
            format!("the plugins {p} and {q} both recognise the source as {name} (`{id}`)")
        }
        false => format!("the source is both {} and {}", describe(first), describe(second)),
    };
    let folders = folders(first, second);
    let ids = if is_same {
        format!(
            "do without one of them: `windlass plugin disable {p} --project PROJECT` or `windlass plugin disable {q} \
             --project PROJECT`; or remove the one that nobody needs"
        )
    } else {
        format!(
            "choose one in windlass.toml: `build.framework = \"{}\"` or `build.framework = \"{}\"`{}; \
             `windlass detect`, `plan` and `init` try one with --framework{}",
            first.detection.id,
            second.detection.id,
            folders.as_deref().unwrap_or_default(),
            if folders.is_some() { ", and a folder with --app-dir" } else { "" }
        )
    };
    Failure::app(
        "detect.tie",
        what,
        format!(
            "both are {}% sure and neither is a special case of the other ({}; {})",
            first.detection.confidence,
            signs(first.detection),
            signs(second.detection)
        ),
        ids,
    )
}

/// Where two applications lie in folders of their own, the setting that names one of them.
fn folders(first: &Candidate<'_>, second: &Candidate<'_>) -> Option<String> {
    let (a, b) = (first.detection.app_dir.as_deref(), second.detection.app_dir.as_deref());
    let mut folders: Vec<&str> =
        a.into_iter().chain(b).filter(|folder| !folder.is_empty()).collect();
    folders.dedup();
    let settings: Vec<String> =
        folders.iter().map(|folder| format!("`build.app_dir = {folder:?}`")).collect();
    (a != b && !settings.is_empty()).then(|| format!(", or its folder: {}", settings.join(" or ")))
}

fn no_match(reports: &[(PluginInfo, DetectReport)]) -> Failure {
    let plugins: Vec<&str> =
        reports.iter().map(|(plugin, _)| plugin.manifest.name.as_str()).collect();
    let asked = if plugins.is_empty() {
        "no plugin with a detector is loaded".to_owned()
    } else {
        format!("asked: {}", plugins.join(", "))
    };
    let near: Vec<String> = by_reason(near_misses(reports))
        .into_iter()
        .map(|(ids, reason)| format!("{} ({reason})", ids.join(", ")))
        .collect();
    let why = if near.is_empty() {
        format!("{asked}; nothing in the source was a sign for any of them")
    } else {
        format!("{asked}; nearly: {}", near.join("; "))
    };
    Failure::app(
        "detect.no-match",
        "no plugin recognises this source",
        why,
        "if the application lies in a folder of its own, set `build.app_dir`; to choose what it is, \
         set `build.framework`, both in windlass.toml; `windlass detect`, `plan` and `init` try them with \
         --app-dir DIR and --framework ID; `windlass plugin list` shows the plugins",
    )
}

/// Nothing is what `build.framework` names. `plain` are the reports where nothing is asked for: under the setting,
/// detectors hide what is something else.
pub(crate) fn unknown_framework(
    id: &str,
    reports: &[(PluginInfo, DetectReport)],
    plain: &[(PluginInfo, DetectReport)],
) -> Failure {
    let found = candidates(plain);
    let named: Vec<String> = found
        .iter()
        .take(NAMED_MAX)
        .map(|one| format!("`{}` ({})", one.detection.id, one.detection.name))
        .collect();
    let what_was = match named.is_empty() {
        true => "nothing is detected without it either".to_owned(),
        false => format!("without it, the source is recognised as {}", named.join(", ")),
    };
    let reason = near_misses(reports)
        .chain(near_misses(plain))
        .find(|miss| miss.id == id)
        .map(|miss| format!(" (not {id}: {})", miss.reason))
        .unwrap_or_default();
    let near = near_misses(reports).chain(near_misses(plain)).map(|miss| miss.id.as_str());
    let known = found.iter().map(|one| one.detection.id.as_str()).chain(near);
    let meant = nearest(id, known.filter(|known| *known != id));
    let fix = match meant.first() {
        Some(meant) => format!(
            "did you mean `build.framework = {meant:?}`? Correct it in windlass.toml, or remove it to take what is \
             detected; {LISTED}"
        ),
        None => format!(
            "correct `build.framework` in windlass.toml, or remove it to take what is detected; {LISTED}"
        ),
    };
    Failure::app(
        UNKNOWN_FRAMEWORK,
        format!("`build.framework` is \"{id}\", and no plugin recognises the source as that"),
        format!("{what_was}{reason}"),
        fix,
    )
}

/// The evidence in one phrase.
fn signs(detection: &Detection) -> String {
    let signs: Vec<String> = detection
        .evidence
        .iter()
        .map(|sign| match sign.detail.as_str() {
            "" => sign.path.clone(),
            detail => short(&format!("{}: {detail}", sign.path)),
        })
        .collect();
    if signs.is_empty() { "no signs given".to_owned() } else { signs.join(", ") }
}

/// The first line, and not too much of it.
fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.len() == text.len() && text.chars().count() <= SIGN_CHARS_MAX {
        return text.to_owned();
    }
    line.chars().take(SIGN_CHARS_MAX).collect::<String>() + "…"
}

#[cfg(test)]
mod tests {
    use windlass_model::Digest;
    use windlass_model::plan::{Evidence, Refusal};
    use windlass_model::plugin::{Manifest, Stage};

    use super::*;

    fn plugin(name: &str, detections: Vec<Detection>) -> (PluginInfo, DetectReport) {
        let manifest = Manifest {
            name: name.into(),
            version: "1.0.0".into(),
            summary: String::new(),
            licence: "Apache-2.0".into(),
            capabilities: vec![],
            options_schema: String::new(),
            custom: Vec::new(),
            failures: vec![],
        };
        let info = PluginInfo {
            manifest,
            digest: Digest::of(name.as_bytes()),
            stages: vec![Stage::Detector, Stage::Builder],
            bundled: true,
            bytes: 1,
        };
        (info, DetectReport { detections, near_misses: vec![] })
    }

    fn found(id: &str, confidence: u8, supersedes: &[&str]) -> Detection {
        Detection {
            evidence: vec![Evidence { path: format!("{id}.json"), detail: "key".into() }],
            supersedes: supersedes.iter().map(|s| (*s).to_owned()).collect(),
            ..Detection::new(id, &id.to_uppercase(), "x", confidence)
        }
    }

    /// Each row: detections as (plugin, id, confidence, supersedes), the override, the outcome: an
    /// id, or `!` and a code.
    type Row<'a> = (&'a [(&'a str, &'a str, u8, &'a [&'a str])], Option<&'a str>, &'a str);

    #[test]
    fn the_rule_holds_for_every_row() {
        let rows: &[Row<'_>] = &[
            (&[("p", "a", 50, &[]), ("q", "b", 60, &[])], None, "b"),
            (&[("p", "a", 90, &[]), ("q", "b", 60, &["a"])], None, "b"),
            (&[("p", "a", 60, &[]), ("q", "b", 60, &["a"])], None, "b"),
            (&[("p", "a", 60, &[]), ("q", "b", 60, &[])], None, "!detect.tie"),
            (&[("p", "a", 60, &[]), ("q", "b", 60, &[]), ("r", "c", 70, &[])], None, "c"),
            (&[("p", "a", 60, &[]), ("q", "b", 60, &[])], Some("b"), "b"),
            (&[("p", "a", 60, &[]), ("q", "b", 90, &["a"])], Some("a"), "a"),
            (&[("p", "a", 60, &[])], Some("z"), "!detect.unknown-framework"),
            (&[("p", "a", 60, &[]), ("q", "a", 60, &[])], None, "!detect.tie"),
            (&[("p", "a", 60, &["b"]), ("q", "b", 70, &["a"])], None, "b"),
            (&[], None, "!detect.no-match"),
        ];
        for (detections, framework, expected) in rows {
            let mut reports: Vec<_> = detections
                .iter()
                .map(|(name, id, confidence, supersedes)| {
                    plugin(name, vec![found(id, *confidence, supersedes)])
                })
                .collect();
            for _ in 0..2 {
                let outcome = match choose(&reports, *framework) {
                    Ok(chosen) => chosen.detection.id,
                    Err(failure) => format!("!{}", failure.code),
                };
                assert_eq!(outcome, *expected, "{detections:?} {framework:?}");
                reports.reverse();
            }
        }
    }

    #[test]
    fn a_tie_of_two_plugins_over_one_framework_names_them_and_how_to_disable_one() {
        let reports = ["p", "q"].map(|name| plugin(name, vec![found("mdbook", 60, &[])]));
        let failure = choose(&reports, None).unwrap_err();
        let what = "the plugins p and q both recognise the source as MDBOOK (`mdbook`)";
        assert_eq!((failure.code.as_str(), failure.what.as_str()), ("detect.tie", what));
        for name in ["p", "q"] {
            let disable = format!("`windlass plugin disable {name} --project PROJECT`");
            assert!(failure.fix.contains(&disable), "{failure}");
        }
        assert!(
            !failure.fix.contains("build.framework"),
            "it would not tell them apart: {failure}"
        );
    }

    #[test]
    fn a_tie_names_both_and_the_setting_that_breaks_it() {
        let reports =
            [plugin("p", vec![found("a", 60, &[])]), plugin("q", vec![found("b", 60, &[])])];
        let failure = choose(&reports, None).unwrap_err();
        assert!(failure.what.contains("plugin p") && failure.what.contains("plugin q"));
        assert!(failure.fix.contains("build.framework = \"a\""), "{}", failure.fix);
        assert!(failure.fix.contains("build.framework = \"b\""), "{}", failure.fix);
        assert!(failure.fix.contains("--framework"), "{}", failure.fix);
        assert!(!failure.fix.contains("app_dir"), "{}", failure.fix);
        let inside = |id: &str, folder: &str| Detection {
            app_dir: Some(folder.to_owned()),
            ..found(id, 60, &[])
        };
        let both = vec![inside("a", "apps/a"), inside("b", "apps/b")];
        let fix = choose(&[plugin("p", both)], None).unwrap_err().fix;
        let folders = "`build.app_dir = \"apps/a\"` or `build.app_dir = \"apps/b\"`";
        assert!(fix.contains(folders) && fix.contains("--app-dir"), "{fix}");
    }

    #[test]
    fn an_unknown_framework_names_what_is_detected_without_it_and_the_nearest() {
        let hidden = [plugin("node", vec![])];
        let plain =
            [plugin("node", vec![found("node", 50, &[]), found("specially", 70, &["node"])])];
        let failure = unknown_framework("special", &hidden, &plain);
        assert_eq!(failure.code, UNKNOWN_FRAMEWORK);
        let recognised =
            "without it, the source is recognised as `specially` (SPECIALLY), `node` (NODE)";
        assert_eq!(failure.why, recognised);
        assert!(failure.fix.contains("build.framework = \"specially\""), "{}", failure.fix);
        let mut hidden = hidden;
        hidden[0]
            .1
            .near_misses
            .push(NearMiss { id: "other-thing".into(), reason: "no manifest".into() });
        let failure = unknown_framework("other-thing", &hidden, &[]);
        let nothing = "nothing is detected without it either (not other-thing: no manifest)";
        assert_eq!(failure.why, nothing);
        assert!(!failure.fix.contains("did you mean"), "{}", failure.fix);
        assert!(failure.fix.contains("plugins/DETECTION.md"), "{}", failure.fix);
    }

    #[test]
    fn long_signs_are_cut() {
        assert_eq!(short("a: b"), "a: b");
        assert_eq!(short("a: b\nc"), "a: b…");
        assert_eq!(short(&"x".repeat(500)).chars().count(), SIGN_CHARS_MAX + 1);
    }

    #[test]
    fn no_match_says_what_was_asked_and_what_nearly_matched() {
        let mut report = plugin("web", vec![]);
        report
            .1
            .near_misses
            .push(NearMiss { id: "thing".into(), reason: "no start script".into() });
        let mut other = plugin("others", vec![]);
        other.1.near_misses.push(NearMiss { id: "item".into(), reason: "no start script".into() });
        let failure = choose(&[report, other], None).unwrap_err();
        assert!(failure.why.contains("asked: web"), "{}", failure.why);
        assert!(failure.why.contains("thing, item (no start script)"), "{}", failure.why);
        assert!(failure.fix.contains("build.framework"), "{}", failure.fix);
    }

    #[test]
    fn a_winner_that_cannot_be_built_fails_and_gives_way_to_nobody() {
        let mut refused = found("special", 90, &[]);
        refused.refusal = Some(Refusal {
            code: "special.not-yet".into(),
            message: "not yet".into(),
            hint: Some("wait".into()),
            retryable: false,
        });
        let reports = [plugin("p", vec![refused, found("plain", 50, &[])])];
        let failure = choose(&reports, None).unwrap_err();
        assert_eq!((failure.code.as_str(), failure.fix.as_str()), ("special.not-yet", "wait"));
        assert_eq!(choose(&reports, Some("plain")).unwrap().detection.id, "plain");
    }

    #[test]
    fn the_others_are_listed_strongest_first() {
        let reports =
            [plugin("p", vec![found("a", 10, &[]), found("b", 90, &["a"]), found("c", 50, &[])])];
        assert_eq!(choose(&reports, None).unwrap().others, ["c", "a"]);
    }

    #[test]
    fn what_nearly_matched_is_told_beside_the_winner() {
        let mut report = plugin("p", vec![found("a", 60, &[])]);
        let miss = NearMiss { id: "b".into(), reason: "there is a file \"pacakge.json\"".into() };
        report.1.near_misses.push(miss.clone());
        assert_eq!(choose(&[report], None).unwrap().near_misses, [miss]);
    }

    #[test]
    fn a_detector_without_a_builder_is_refused() {
        let mut report = plugin("eyes-only", vec![found("a", 60, &[])]);
        report.0.stages = vec![Stage::Detector];
        let chosen = choose(&[report], None).unwrap();
        assert_eq!(require_builder(&chosen).unwrap_err().code, "detect.no-builder");
    }
}
