//! Version requirements as package files write them: `>=20 <23`, `^22.1`, `22.x || 24`, `~=3.11`.

/// A version of three numbers.
pub(crate) type Version = (u64, u64, u64);

/// Versions from the first up to, and not including, the second.
type Range = (Version, Version);

const TOP: Version = (u64::MAX, 0, 0);

/// A requirement: any of its alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Requirement {
    alternatives: Vec<Alternative>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Alternative {
    within: Vec<Range>,
    without: Vec<Range>,
}

impl Requirement {
    /// Reads a requirement; empty and `*` allow everything. `None` when it cannot be read.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.replace("||", "|");
        let alternatives: Option<Vec<_>> = text.split('|').map(alternative).collect();
        Some(Self { alternatives: alternatives? })
    }

    /// Whether it allows this version.
    pub(crate) fn allows(&self, version: Version) -> bool {
        let inside = |(low, high): &Range| *low <= version && version < *high;
        self.alternatives
            .iter()
            .any(|a| a.within.iter().all(inside) && !a.without.iter().any(inside))
    }

    /// Whether it allows some version from `low` up to `high`.
    pub(crate) fn meets(&self, low: Version, high: Version) -> bool {
        self.alternatives.iter().any(|a| {
            let from = a.within.iter().map(|r| r.0).fold(low, Version::max);
            let to = a.within.iter().map(|r| r.1).fold(high, Version::min);
            from < to && !a.without.iter().any(|r| r.0 <= from && to <= r.1)
        })
    }

    /// Versions that it names itself as its lower ends, if it allows them.
    pub(crate) fn lowest(&self) -> Vec<Version> {
        let ends = self.alternatives.iter().filter_map(|a| a.within.iter().map(|r| r.0).max());
        ends.filter(|v| self.allows(*v)).collect()
    }
}

/// Reads one version, as `22.11.0` or `v22`.
pub(crate) fn version(text: &str) -> Option<Version> {
    partial(text).map(|(low, _)| low)
}

fn alternative(text: &str) -> Option<Alternative> {
    let mut found = Alternative::default();
    if let Some((low, high)) = text.split_once(" - ") {
        found.within.push((partial(low)?.0, partial(high)?.1));
        return Some(found);
    }
    for word in words(text) {
        let split = word.find(|c: char| !"<>=~^!".contains(c)).unwrap_or(word.len());
        let (operator, rest) = word.split_at(split);
        let (low, high) = partial(rest)?;
        let caret = if low.0 > 0 { (low.0 + 1, 0, 0) } else { (0, low.1 + 1, 0) };
        let range = match operator {
            "" | "=" | "==" | "===" => (low, high),
            ">=" => (low, TOP),
            ">" => (high, TOP),
            "<" => ((0, 0, 0), low),
            "<=" => ((0, 0, 0), high),
            "^" => (low, caret.max(high)),
            "~" => (low, high.max((low.0, low.1 + 1, 0))),
            // As Ruby and Elixir mean it: the last number that is named may grow.
            "~>" if rest.matches('.').count() >= 2 => (low, (low.0, low.1 + 1, 0)),
            "~>" => (low, (low.0 + 1, 0, 0)),
            "~=" if rest.matches('.').count() >= 2 => (low, (low.0, low.1 + 1, 0)),
            "~=" => (low, (low.0 + 1, 0, 0)),
            "!=" => {
                found.without.push((low, high));
                continue;
            }
            _ => return None,
        };
        if range != ((0, 0, 0), TOP) {
            found.within.push(range);
        }
    }
    Some(found)
}

/// The comparisons of one alternative; an operator may stand apart from its version.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for part in text.split(|c: char| c == ',' || c.is_whitespace()).filter(|p| !p.is_empty()) {
        match words.last_mut() {
            Some(last) if last.chars().all(|c| "<>=~^!".contains(c)) => last.push_str(part),
            _ => words.push(part.to_owned()),
        }
    }
    words
}

/// `22` is everything from 22.0.0 up to 23.0.0. A pre-release counts as its release.
fn partial(text: &str) -> Option<Range> {
    let text = text.trim().trim_start_matches(['v', 'V']);
    let core = text.split(['-', '+']).next()?;
    if matches!(core, "*" | "x" | "X" | "") {
        return Some(((0, 0, 0), TOP));
    }
    let mut numbers = Vec::new();
    for part in core.split('.') {
        if matches!(part, "*" | "x" | "X") {
            break;
        }
        // Leading zeros and signs are not versions.
        numbers.push(part.parse::<u64>().ok().filter(|n| *n < 1_000_000)?);
    }
    match numbers[..] {
        [] => Some(((0, 0, 0), TOP)),
        [a] => Some(((a, 0, 0), (a + 1, 0, 0))),
        [a, b] => Some(((a, b, 0), (a, b + 1, 0))),
        [a, b, c] => Some(((a, b, c), (a, b, c + 1))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_understood() {
        for (text, good, bad) in [
            ("22", "22.4.1", "23.0.0"),
            ("22.x", "22.0.0", "21.9.9"),
            ("v22.11.0", "22.11.0", "22.11.1"),
            (">=20 <23", "22.9.9", "23.0.0"),
            (">= 20, < 23", "20.0.0", "19.0.0"),
            ("^20.1", "20.9.0", "21.0.0"),
            ("~22.3", "22.3.9", "22.4.0"),
            ("18 || >=22", "24.0.0", "20.0.0"),
            ("20 - 22", "22.9.0", "23.0.0"),
            (">20", "21.0.0", "20.9.0"),
            ("<=22.1", "22.1.9", "22.2.0"),
            ("~> 3.2", "3.9.0", "4.0.0"),
            ("~> 3.2.1", "3.2.9", "3.3.0"),
            ("7.4.*|^8.1", "8.3.0", "8.0.0"),
            ("21", "21.0.4", "22.0.0"),
            ("3.4", "3.4.9", "3.5.0"),
            ("~=3.11", "3.14.0", "4.0.0"),
            ("~=3.11.2", "3.11.9", "3.12.0"),
            ("==3.11.*", "3.11.2", "3.12.0"),
            (">=3.9,!=3.10.*", "3.11.0", "3.10.4"),
            ("^0.2.3", "0.2.9", "0.3.0"),
            ("", "1.0.0", ""),
        ] {
            let requirement = Requirement::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert!(requirement.allows(version(good).unwrap()), "{text} allows {good}");
            if !bad.is_empty() {
                assert!(!requirement.allows(version(bad).unwrap()), "{text} refuses {bad}");
            }
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["lts", "22.a", "=>22", "1.2.3.4", "latest", "temurin-21"] {
            assert_eq!(Requirement::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_line_is_met_where_ranges_overlap() {
        let requirement = Requirement::parse(">=3.10,<3.13").unwrap();
        assert!(requirement.meets((3, 11, 0), (3, 12, 0)));
        assert!(!requirement.meets((3, 13, 0), (3, 14, 0)));
    }

    #[test]
    fn lower_ends_are_named() {
        let requirement = Requirement::parse(">=22.3.1 <22.5 || 20.1").unwrap();
        assert_eq!(requirement.lowest(), [(22, 3, 1), (20, 1, 0)]);
        let lowest = |text| Requirement::parse(text).unwrap().lowest();
        assert_eq!(lowest("21"), [(21, 0, 0)]);
        assert_eq!(lowest("3.4"), [(3, 4, 0)]);
        assert_eq!(lowest("1.18.3-otp-27"), [(1, 18, 3)]);
    }
}
