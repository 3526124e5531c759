//! The failures that a manifest declares: checked when the plugin is loaded, so that a pattern that does
//! not read is found by its author and not in the middle of somebody's failure.

use std::collections::BTreeSet;

use regex::RegexBuilder;
use windlass_model::plugin::{KnownFailure, Manifest};

use crate::convert;

/// Failures in one manifest.
const FAILURES_MAX: usize = 200;
/// Patterns of one failure.
const PATTERNS_MAX: usize = 20;
/// Characters of one pattern.
const PATTERN_CHARS_MAX: usize = 500;
/// Memory of one compiled pattern, in bytes.
const COMPILED_BYTES_MAX: usize = 1 << 20;

/// Refuses what the host could not use, and says why.
pub(crate) fn check(manifest: &Manifest) -> Result<(), String> {
    if manifest.failures.len() > FAILURES_MAX {
        return Err(format!("it declares more than {FAILURES_MAX} failures"));
    }
    let mut seen = BTreeSet::new();
    for known in &manifest.failures {
        one(&manifest.name, known).map_err(|why| format!("the failure {:?}: {why}", known.code))?;
        if !seen.insert(&known.code) {
            return Err(format!("the failure {:?} is declared twice", known.code));
        }
    }
    Ok(())
}

fn one(plugin: &str, known: &KnownFailure) -> Result<(), String> {
    if !convert::is_code(&known.code) || known.code.split('.').next() != Some(plugin) {
        return Err(format!("its code is not of the form {plugin}.what-happened"));
    }
    if [&known.title, &known.cause, &known.fix].iter().any(|text| text.trim().is_empty()) {
        return Err("title, cause and fix must not be empty".to_owned());
    }
    if known.patterns.len() > PATTERNS_MAX {
        return Err(format!("it has more than {PATTERNS_MAX} patterns"));
    }
    for pattern in &known.patterns {
        if pattern.chars().count() > PATTERN_CHARS_MAX {
            return Err(format!("a pattern is longer than {PATTERN_CHARS_MAX} characters"));
        }
        let built = RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build();
        built.map_err(|error| format!("the pattern {pattern:?} does not read: {error}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(code: &str, pattern: &str) -> Manifest {
        let known = KnownFailure {
            code: code.to_owned(),
            title: "It failed".to_owned(),
            cause: "because".to_owned(),
            fix: "mend it".to_owned(),
            patterns: vec![pattern.to_owned()],
            steps: Vec::new(),
        };
        Manifest {
            name: "acme".to_owned(),
            version: "1".to_owned(),
            summary: "A test".to_owned(),
            licence: String::new(),
            capabilities: Vec::new(),
            options_schema: String::new(),
            custom: Vec::new(),
            failures: vec![known],
        }
    }

    #[test]
    fn a_failure_of_another_plugin_or_with_a_bad_pattern_is_refused() {
        check(&manifest("acme.no-rocket", "no (?<part>rocket)")).unwrap();
        assert!(check(&manifest("other.no-rocket", "x")).unwrap_err().contains("acme."));
        assert!(check(&manifest("acme.no-rocket", "(")).unwrap_err().contains("does not read"));
        let wide = "\\w{500}{500}";
        assert!(check(&manifest("acme.no-rocket", wide)).unwrap_err().contains("does not read"));
        let mut twice = manifest("acme.no-rocket", "x");
        twice.failures.push(twice.failures[0].clone());
        assert!(check(&twice).unwrap_err().contains("twice"));
    }
}
