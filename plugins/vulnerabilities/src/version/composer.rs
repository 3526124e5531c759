//! Versions as Composer normalises and compares them.

/// Four numbers, how stable it is, and the number of that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    numbers: [u64; 4],
    stability: Stability,
    steps: Vec<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stability {
    Dev,
    Alpha,
    Beta,
    Candidate,
    Stable,
    Patch,
}

impl Version {
    /// `None` for a branch.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_lowercase();
        let text = text.strip_prefix('v').unwrap_or(&text);
        let text = text.split('+').next().unwrap_or(text);
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (main, suffix) = text.split_at(end);
        let mut numbers = [0; 4];
        let parts: Vec<&str> = main.trim_end_matches('.').split('.').collect();
        if parts.len() > numbers.len() {
            return None;
        }
        for (number, part) in numbers.iter_mut().zip(&parts) {
            *number = part.parse().ok()?;
        }
        let suffix = suffix.trim_start_matches(['-', '_', '.']);
        let letters = suffix.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(suffix.len());
        let (word, rest) = suffix.split_at(letters);
        let stability = match word {
            "" | "stable" => Stability::Stable,
            "dev" => Stability::Dev,
            "alpha" | "a" => Stability::Alpha,
            "beta" | "b" => Stability::Beta,
            "rc" | "c" => Stability::Candidate,
            "patch" | "pl" | "p" => Stability::Patch,
            _ => return None,
        };
        let rest = rest.trim_start_matches(['-', '_', '.']);
        let dev = rest.strip_suffix("dev").map(|it| it.trim_end_matches(['-', '.']));
        let steps: Option<Vec<u64>> = match dev.unwrap_or(rest) {
            "" => Some(Vec::new()),
            steps => steps.split(['.', '-']).map(|step| step.parse().ok()).collect(),
        };
        let stability = if dev.is_some() { Stability::Dev } else { stability };
        Some(Self { numbers, stability, steps: steps? })
    }
}
