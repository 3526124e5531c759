//! How bad an advisory is: by its CVSS vector, else by what the database calls it.

use std::str::FromStr as _;

use cvss::Cvss;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::osv::{Affected, Entry, Score};

/// How bad, mildest first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// Nobody says.
    #[default]
    Unknown,
    Low,
    Medium,
    High,
    Critical,
}

impl Level {
    /// The worst first.
    pub(crate) const ALL: [Self; 5] =
        [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Unknown];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The qualitative rating of CVSS.
    fn of_score(score: f64) -> Self {
        match score {
            score if score >= 9.0 => Self::Critical,
            score if score >= 7.0 => Self::High,
            score if score >= 4.0 => Self::Medium,
            _ => Self::Low,
        }
    }

    fn of_name(name: &Value) -> Option<Self> {
        match name.as_str()?.to_ascii_lowercase().as_str() {
            "critical" => Some(Self::Critical),
            "high" | "important" => Some(Self::High),
            "medium" | "moderate" => Some(Self::Medium),
            "low" | "negligible" | "minor" => Some(Self::Low),
            _ => None,
        }
    }
}

/// How bad, and by what.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct Severity {
    pub(crate) level: Level,
    /// 0 to 10.
    pub(crate) score: Option<f64>,
    pub(crate) vector: Option<String>,
}

/// What an entry says of a package. The newest version of CVSS counts; a package that is malicious is critical.
pub(crate) fn of(entry: &Entry, affected: Option<&Affected>) -> Severity {
    if entry.id.starts_with("MAL-") {
        return Severity { level: Level::Critical, ..Severity::default() };
    }
    let own = affected.map(|it| it.severity.as_slice()).unwrap_or_default();
    let vectors = own.iter().chain(&entry.severity).map(|Score { score, .. }| score.as_str());
    let specific = affected.and_then(|it| it.database_specific.cvss.as_str());
    let parsed =
        vectors.chain(specific).filter_map(|text| Some((text, Cvss::from_str(text).ok()?)));
    // Of equal ones the first, which is the package's own.
    let newer = |best: &Cvss, one: &Cvss| generation(one) > generation(best);
    let best = parsed.reduce(|best, one| if newer(&best.1, &one.1) { one } else { best });
    if let Some((vector, cvss)) = best {
        let score = cvss.score();
        let vector = Some(vector.to_owned());
        return Severity { level: Level::of_score(score), score: Some(score), vector };
    }
    let named = [
        affected.map(|it| &it.ecosystem_specific.severity),
        affected.map(|it| &it.database_specific.severity),
        Some(&entry.database_specific.severity),
    ];
    let level = named.into_iter().flatten().find_map(Level::of_name).unwrap_or_default();
    Severity { level, ..Severity::default() }
}

fn generation(cvss: &Cvss) -> u8 {
    match cvss {
        Cvss::CvssV20(_) => 2,
        Cvss::CvssV30(_) | Cvss::CvssV31(_) => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn entry(value: Value) -> Entry {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn scores_are_those_of_the_specifications() {
        // Each as the National Vulnerability Database and FIRST give it.
        let cases = [
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0, Level::Critical),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8, Level::Critical),
            ("CVSS:3.1/AV:N/AC:L/PR:H/UI:N/S:U/C:H/I:H/A:H", 7.2, Level::High),
            ("CVSS:3.0/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1, Level::Medium),
            ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H", 7.5, Level::High),
            ("CVSS:3.1/AV:L/AC:H/PR:L/UI:N/S:U/C:L/I:N/A:N", 2.5, Level::Low),
            (
                "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N",
                9.3,
                Level::Critical,
            ),
            ("AV:N/AC:L/Au:N/C:N/I:N/A:C", 7.8, Level::High),
        ];
        for (vector, score, level) in cases {
            let found =
                of(&entry(json!({"id": "X", "severity": [{"type": "", "score": vector}]})), None);
            assert_eq!(found.score, Some(score), "{vector}");
            assert_eq!(found.level, level, "{vector}");
        }
    }

    #[test]
    fn the_newest_vector_counts_then_the_name() {
        let both = entry(json!({"id": "GHSA-1", "severity": [
            {"type": "CVSS_V4", "score": "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"},
            {"type": "CVSS_V3", "score": "CVSS:3.1/AV:L/AC:H/PR:L/UI:N/S:U/C:L/I:N/A:N"}]}));
        assert_eq!(of(&both, None).score, Some(9.3));
        let named = entry(json!({"id": "GHSA-1", "severity": [{"score": "nonsense"}],
            "database_specific": {"severity": "MODERATE", "cwe_ids": []}}));
        assert_eq!(of(&named, None).level, Level::Medium);
        assert_eq!(of(&entry(json!({"id": "GO-1"})), None).level, Level::Unknown);
        assert_eq!(of(&entry(json!({"id": "MAL-2024-1"})), None).level, Level::Critical);
    }

    #[test]
    fn what_is_said_of_the_package_itself_comes_first() {
        let entry = entry(json!({"id": "RUSTSEC-1", "affected": [{"database_specific":
            {"cvss": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H"}}]}));
        assert_eq!(of(&entry, entry.affected.first()).score, Some(7.5));
    }
}
