//! Scheme: a program for Guile in the root, or a site that Haunt builds.

use windlass_sdk::{Detection, PluginError};

use crate::facts::Facts;
use crate::program::{Finding, Program};

const PROGRAMS: [&str; 8] = [
    "main.scm",
    "server.scm",
    "app.scm",
    "web.scm",
    "run.scm",
    "src/main.scm",
    "main.ss",
    "server.ss",
];

/// What the files say.
pub(crate) fn find(facts: &Facts) -> Finding {
    if facts.has("haunt.scm") {
        let detection = Detection::new("haunt", "Haunt", "scheme").confidence(92);
        let detection =
            detection.evidence("haunt.scm", "").supersedes("scheme").supersedes("static");
        let build = &facts.settings.build;
        let installed = build.install.is_some() || build.command.is_some();
        let detection = if installed { detection } else { detection.refuse(no_haunt()) };
        let mut program = Program::new(detection, "scheme");
        program.site = true;
        return Finding::Found(Box::new(program));
    }
    let Some(file) = PROGRAMS.into_iter().find(|file| facts.has(file)) else {
        return Finding::Nothing;
    };
    let text = facts.text(file);
    if text.starts_with("#lang")
        || text.contains("(import (chicken")
        || text.contains("(chezscheme)")
    {
        let reason = format!("{file} is written for another Scheme than Guile");
        return Finding::Near("scheme", reason);
    }
    let detection = Detection::new("scheme", "Scheme", "scheme").confidence(34).evidence(file, "");
    let mut program = Program::new(detection, "scheme");
    program.argv = ["guile", "--no-auto-compile", file].map(str::to_owned).to_vec();
    let serves = ["PORT", "(web ", "run-server", "listen"];
    program.worker = !text.trim().is_empty() && !serves.iter().any(|sign| text.contains(sign));
    Finding::Found(Box::new(program))
}

fn no_haunt() -> PluginError {
    PluginError::new(
        "scripts.haunt-missing",
        "it is a site of Haunt, which Debian 12 has no package of",
    )
    .hint(
        "install it with build.install in windlass.toml, or build the site, commit the folder site \
             and deploy that",
    )
}
