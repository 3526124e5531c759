//! COBOL: one program in the root or in `src`, compiled by GnuCOBOL.

use windlass_plugin_common::compiled::built;
use windlass_sdk::Detection;

use crate::facts::Facts;
use crate::found::{Finding, Found, choose};

const ENDINGS: [&str; 4] = [".cbl", ".cob", ".CBL", ".COB"];

/// What the files say.
pub(crate) fn find(facts: &Facts) -> Finding {
    let files: Vec<&str> = facts.with_ending(&ENDINGS).take(40).collect();
    if files.is_empty() {
        return Finding::Nothing;
    }
    facts.source.prefetch(&files);
    let called = |text: &str| text.contains("LINKAGE SECTION");
    let mains: Vec<&str> = files
        .iter()
        .copied()
        .filter(|file| !called(&facts.text(file).to_ascii_uppercase()))
        .collect();
    let name = |file: &str| {
        let last = file.rsplit('/').next().unwrap_or_default();
        last.rsplit_once('.').map_or(last, |(name, _)| name).to_owned()
    };
    let mut names: Vec<String> = mains.iter().map(|file| name(file)).collect();
    names.dedup();
    if names.is_empty() {
        let reason =
            "there are COBOL files, but each is called by another program: a library".to_owned();
        return Finding::Near("cobol", reason);
    }
    let chosen = choose(facts, &names, "index");
    let detection = Detection::new("cobol", "COBOL", "cobol").confidence(39);
    let main = |program: &String| mains.iter().copied().find(|file| name(file) == *program);
    let file = chosen.as_ref().ok().and_then(main).unwrap_or(mains[0]);
    let detection = detection.evidence(file, "program");
    let found = Found::new(detection, facts, "cobol", Vec::new()).without(&[
        "**/*.cbl",
        "**/*.cob",
        "**/*.CBL",
        "**/*.COB",
        "**/*.cpy",
        "Dockerfile",
    ]);
    let program = match chosen {
        Err(error) => return found.refuse(error).finding(),
        Ok(program) => program,
    };
    let text = facts.text(file);
    let free = if is_free(&text) { " -free" } else { "" };
    // What other programs call is linked to the main one.
    let rest = files.iter().filter(|other| !mains.contains(other));
    let rest: String = rest.map(|file| format!(" {file}")).collect();
    let line = format!("cobc -x -O2{free} -o {} {file}{rest}", built(&program));
    let mut found = found.program(&program).build(&line);
    found.start.worker = !text.contains("PORT");
    found.finding()
}

/// Whether the text begins before the eighth column, where fixed form has its numbers and marks.
fn is_free(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let code = |line: &&str| {
        let line = line.trim_start();
        line.starts_with("IDENTIFICATION")
            || line.starts_with("ID DIVISION")
            || line.starts_with("PROGRAM-ID")
    };
    upper.contains(">>SOURCE FORMAT FREE")
        || upper.contains(">>SOURCE FORMAT IS FREE")
        || upper.lines().filter(code).any(|line| line.len() - line.trim_start().len() < 7)
}

#[cfg(test)]
mod tests {
    use super::is_free;

    #[test]
    fn the_form_is_told_by_the_first_column() {
        assert!(is_free("IDENTIFICATION DIVISION.\n"));
        assert!(!is_free("       IDENTIFICATION DIVISION.\n"));
        assert!(!is_free("000100 IDENTIFICATION DIVISION.\n"));
        assert!(is_free("       >>SOURCE FORMAT FREE\n"));
    }
}
