//! Version requirements as intervals: npm's ranges and Python's specifiers, in one form that can be
//! asked "does any version of this line fit?".

/// Major, minor, patch.
pub type Version = (u64, u64, u64);

/// Versions from `low`, included, to `high`, not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// The first version.
    pub low: Version,
    /// The first version behind it.
    pub high: Version,
}

const END: Version = (u64::MAX, 0, 0);
const ALL: Interval = Interval { low: (0, 0, 0), high: END };

impl Interval {
    /// Every version of a line: `22`, `3.11`, `22.11.0`.
    pub fn line(text: &str) -> Option<Self> {
        Partial::parse(text).map(Partial::span)
    }

    fn and(self, other: Self) -> Self {
        Self { low: self.low.max(other.low), high: self.high.min(other.high) }
    }

    /// Whether nothing is in it.
    pub fn is_empty(self) -> bool {
        self.low >= self.high
    }

    /// Whether some version is in both.
    pub fn meets(self, other: Self) -> bool {
        !self.and(other).is_empty()
    }

    /// Whether all of `other` is in it.
    pub fn holds(self, other: Self) -> bool {
        self.low <= other.low && other.high <= self.high
    }

    /// The common part, as `>=a <b`, or as the exact version if only one patch level is left.
    pub fn requirement(self, line: Self) -> String {
        let both = self.and(line);
        let show = |v: Version| format!("{}.{}.{}", v.0, v.1, v.2);
        if both.high == (both.low.0, both.low.1, both.low.2 + 1) {
            return show(both.low);
        }
        format!(">={} <{}", show(both.low), show(both.high))
    }
}

/// An npm range: `>=18 <23`, `^20.1`, `18 || 20`, `20.x`, `1.2 - 2`. `None` if it does not read.
pub fn npm(range: &str) -> Option<Vec<Interval>> {
    range.split("||").map(npm_set).collect()
}

fn npm_set(set: &str) -> Option<Interval> {
    let set = set.trim();
    if let Some((from, to)) = set.split_once(" - ") {
        let (from, to) = (Interval::line(from)?, Interval::line(to)?);
        return Some(Interval { low: from.low, high: to.high });
    }
    let mut interval = ALL;
    for (operator, version) in comparators(set) {
        let partial = Partial::parse(version)?;
        let span = partial.span();
        let next = match operator {
            "" | "=" | "==" => span,
            ">=" => Interval { low: span.low, high: END },
            ">" => Interval { low: span.high, high: END },
            "<" => Interval { low: ALL.low, high: span.low },
            "<=" => Interval { low: ALL.low, high: span.high },
            "^" if span.low.0 == 0 && partial.1.is_some() => {
                Interval { low: span.low, high: (0, span.low.1 + 1, 0) }
            }
            "^" => Interval { low: span.low, high: (span.low.0 + 1, 0, 0) },
            "~" if partial.1.is_some() => {
                Interval { low: span.low, high: (span.low.0, span.low.1 + 1, 0) }
            }
            "~" => span,
            _ => return None,
        };
        interval = interval.and(next);
    }
    Some(interval)
}

/// A Python specifier: `>=3.9,<3.13`, `~=3.11`, `==3.11.*`. `None` if it does not read. What is
/// excluded with `!=` is not looked at: it never removes a whole line.
pub fn pep440(specifier: &str) -> Option<Interval> {
    let mut interval = ALL;
    for part in specifier.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let at = part.find(|c: char| c.is_ascii_digit())?;
        let (operator, version) = (part[..at].trim(), &part[at..]);
        let partial = Partial::parse(version)?;
        let span = partial.span();
        let next = match operator {
            "" | "==" | "===" => span,
            ">=" => Interval { low: span.low, high: END },
            ">" if partial.2.is_none() => Interval { low: span.low, high: END },
            ">" => Interval { low: span.high, high: END },
            "<" => Interval { low: ALL.low, high: span.low },
            "<=" => Interval { low: ALL.low, high: span.high },
            "~=" if partial.2.is_some() => {
                Interval { low: span.low, high: (span.low.0, span.low.1 + 1, 0) }
            }
            "~=" | "^" => Interval { low: span.low, high: (span.low.0 + 1, 0, 0) },
            "~" => Interval { low: span.low, high: (span.low.0, span.low.1 + 1, 0) },
            "!=" => ALL,
            _ => return None,
        };
        interval = interval.and(next);
    }
    Some(interval)
}

/// `>= 18 <23` → `(">=", "18"), ("<", "23")`
fn comparators(set: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = set.trim();
    while !rest.is_empty() {
        let version_at = rest.find(|c: char| !"<>=^~ ".contains(c)).unwrap_or(rest.len());
        let operator = rest[..version_at].trim();
        rest = &rest[version_at..];
        let end =
            rest.find(|c: char| c.is_whitespace() || "<>=^~,".contains(c)).unwrap_or(rest.len());
        found.push((operator, &rest[..end]));
        rest = rest[end..].trim_start_matches([' ', ',']);
    }
    found
}

/// A version of which the end may be left open.
#[derive(Clone, Copy)]
struct Partial(Option<u64>, Option<u64>, Option<u64>);

impl Partial {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches(['v', 'V', '=']);
        let text = text.split(['-', '+']).next()?;
        if text.is_empty() {
            return None;
        }
        let mut numbers = [None; 3];
        for (n, part) in text.split('.').enumerate() {
            if n >= 3 || matches!(part, "x" | "X" | "*") {
                break;
            }
            numbers[n] = Some(part.parse().ok().filter(|&number: &u64| number < 1_000_000)?);
        }
        Some(Self(numbers[0], numbers[1], numbers[2]))
    }

    fn span(self) -> Interval {
        match self {
            Self(None, ..) => ALL,
            Self(Some(a), None, _) => Interval { low: (a, 0, 0), high: (a + 1, 0, 0) },
            Self(Some(a), Some(b), None) => Interval { low: (a, b, 0), high: (a, b + 1, 0) },
            Self(Some(a), Some(b), Some(c)) => Interval { low: (a, b, c), high: (a, b, c + 1) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn majors(range: &str) -> Vec<u64> {
        let sets = npm(range).unwrap();
        let fits = |major: &u64| {
            let line = Interval::line(&major.to_string()).unwrap();
            sets.iter().any(|set| set.meets(line))
        };
        (14..=24).step_by(2).filter(fits).collect()
    }

    #[test]
    fn npm_ranges_meet_the_majors_they_should() {
        for (range, expected) in [
            ("20", &[20][..]),
            ("20.x", &[20]),
            ("v20.11.1", &[20]),
            (">=18", &[18, 20, 22, 24]),
            (">= 18 < 22", &[18, 20]),
            (">=18.17.0 <=22.x", &[18, 20, 22]),
            ("^20.1 || >=22", &[20, 22, 24]),
            ("~20.9.0", &[20]),
            ("16 - 20", &[16, 18, 20]),
            ("<18", &[14, 16]),
            (">20", &[22, 24]),
            ("*", &[14, 16, 18, 20, 22, 24]),
            ("", &[14, 16, 18, 20, 22, 24]),
            ("^16", &[16]),
            (">=22 <20", &[]),
        ] {
            assert_eq!(majors(range), expected, "{range}");
        }
        for range in ["latest", ">=", "a.b", "^"] {
            assert_eq!(npm(range), None, "{range}");
        }
    }

    #[test]
    fn python_specifiers_hold_3_11_or_not() {
        let line = Interval::line("3.11").unwrap();
        for (text, fits) in [
            (">=3.9", true),
            (">=3.9,<3.13", true),
            ("~=3.11", true),
            ("~=3.11.2", true),
            ("==3.11.*", true),
            (">3.10", true),
            (">=3.8, !=3.9.0", true),
            (">=3.12", false),
            ("<3.11", false),
            ("==3.10.*", false),
            ("~=3.12.1", false),
            (">=2.7,<3", false),
        ] {
            assert_eq!(pep440(text).unwrap().meets(line), fits, "{text}");
        }
        assert_eq!(pep440("any"), None);
    }

    #[test]
    fn a_requirement_says_no_more_than_it_must() {
        let line = Interval::line("20").unwrap();
        let within = |range: &str| npm(range).unwrap()[0].requirement(line);
        assert_eq!(within("20.11.1"), "20.11.1");
        assert_eq!(within("~20.9.0"), ">=20.9.0 <20.10.0");
        assert_eq!(within(">=20.5"), ">=20.5.0 <21.0.0");
    }
}
