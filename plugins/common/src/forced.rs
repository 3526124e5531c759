//! `build.framework`: the setting that overrides detection.

use windlass_sdk::{DetectReport, Detection, NearMiss, PluginError};

/// Applies `build.framework` to what a detector found: without the setting nothing changes; with it,
/// only the detection of that id is left, and it is certain.
pub fn apply(report: DetectReport, framework: Option<&str>) -> DetectReport {
    let Some(framework) = framework else {
        return report;
    };
    let mut near_misses = report.near_misses;
    let (mine, others): (Vec<_>, Vec<_>) =
        report.detections.into_iter().partition(|one| one.id == framework);
    for other in others {
        let reason = format!("build.framework in windlass.toml asks for {framework:?} instead");
        near_misses.push(NearMiss { id: other.id, reason });
    }
    let detections = mine.into_iter().map(|one| certain(one, framework)).collect();
    DetectReport { detections, near_misses }
}

/// The detection, made certain by the setting.
pub fn certain(detection: Detection, framework: &str) -> Detection {
    detection.confidence(100).evidence("windlass.toml", format!("build.framework = {framework:?}"))
}

/// The error for what is asked for and cannot be started: the reasons of the near misses, or `otherwise`
/// where there are none.
pub fn no_start(code: &str, near_misses: &[NearMiss], otherwise: &str) -> PluginError {
    let reasons: Vec<&str> = near_misses.iter().map(|miss| miss.reason.as_str()).collect();
    let reasons = reasons.join("; ");
    PluginError::new(code, if reasons.is_empty() { otherwise } else { &reasons })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> DetectReport {
        let found = |id| Detection::new(id, id, "node").confidence(60);
        DetectReport { detections: vec![found("node"), found("nextjs")], near_misses: vec![] }
    }

    #[test]
    fn only_the_named_detection_is_left_and_certain() {
        let report = apply(report(), Some("nextjs"));
        assert_eq!(report.detections.len(), 1);
        assert_eq!(
            (report.detections[0].id.as_str(), report.detections[0].confidence),
            ("nextjs", 100)
        );
        assert_eq!(report.near_misses[0].id, "node");
    }

    #[test]
    fn what_cannot_be_started_says_what_nearly_could() {
        let error = |misses: &[NearMiss]| no_start("a.no-start", misses, "there is nothing");
        assert_eq!(error(&[]).message, "there is nothing");
        let miss = |reason: &str| NearMiss { id: "a".into(), reason: reason.into() };
        assert_eq!(error(&[miss("no b"), miss("no c")]).message, "no b; no c");
    }

    #[test]
    fn a_framework_of_another_plugin_leaves_nothing() {
        assert!(apply(report(), Some("django")).detections.is_empty());
        assert_eq!(apply(report(), None).detections.len(), 2);
    }
}
