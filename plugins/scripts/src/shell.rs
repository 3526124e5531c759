//! Shell: `start.sh` in the root, run by the shell that its first line names.

use windlass_plugin_common::command;
use windlass_sdk::{Detection, PluginError};

use crate::facts::Facts;
use crate::program::{Finding, Program};

/// The file.
pub(crate) const FILE: &str = "start.sh";
/// Shells, and the Debian package of each; the first ones are part of every image.
const SHELLS: [(&str, Option<&str>); 8] = [
    ("sh", None),
    ("bash", None),
    ("dash", None),
    ("zsh", Some("zsh")),
    ("ksh", Some("ksh")),
    ("mksh", Some("mksh")),
    ("fish", Some("fish")),
    ("tcsh", Some("tcsh")),
];
/// Programs that scripts call, and the Debian package of each.
const TOOLS: [(&str, &str); 24] = [
    ("curl", "curl"),
    ("wget", "wget"),
    ("jq", "jq"),
    ("git", "git"),
    ("nc", "netcat-openbsd"),
    ("socat", "socat"),
    ("openssl", "openssl"),
    ("psql", "postgresql-client"),
    ("pg_dump", "postgresql-client"),
    ("mysql", "default-mysql-client"),
    ("mysqldump", "default-mysql-client"),
    ("redis-cli", "redis-tools"),
    ("sqlite3", "sqlite3"),
    ("python3", "python3"),
    ("make", "make"),
    ("zip", "zip"),
    ("unzip", "unzip"),
    ("xz", "xz-utils"),
    ("rsync", "rsync"),
    ("ffmpeg", "ffmpeg"),
    ("convert", "imagemagick"),
    ("ps", "procps"),
    ("bc", "bc"),
    ("busybox", "busybox"),
];
/// What only scripts that answer requests mention.
const SERVES: [&str; 8] =
    ["PORT", "listen", "http.server", "httpd", "LISTEN", "nginx", "serve", "nc -l"];

/// What the file says.
pub(crate) fn find(facts: &Facts) -> Finding {
    let asked = facts.asks_for("shell");
    let text = facts.text(FILE);
    if !facts.has(FILE) {
        return match (asked, facts.declared.web.is_some() || facts.declared.only_workers) {
            (true, true) => Finding::Found(Box::new(declared(facts))),
            (true, false) => {
                let error = PluginError::new("scripts.no-script", "there is no start.sh")
                    .hint("add one, or set run.command in windlass.toml");
                let detection = Detection::new("shell", "Shell", "shell").refuse(error);
                Finding::Found(Box::new(Program::new(detection, "debian")))
            }
            (false, _) => Finding::Nothing,
        };
    }
    let Some(shell) = interpreter(&text) else {
        let first = text.lines().next().unwrap_or_default();
        let reason = format!("start.sh is run by no shell: its first line is {first:?}");
        return Finding::Near("shell", reason);
    };
    let package = SHELLS.iter().find(|(name, _)| *name == shell).and_then(|(_, package)| *package);
    let detection = Detection::new("shell", "Shell", "shell").confidence(30);
    let line = text.lines().next().filter(|line| line.starts_with("#!"));
    let detection =
        detection.evidence(FILE, line.map_or(String::new(), |line| format!("line 1: {line}")));
    let mut program = Program::new(detection, "debian");
    program.packages.extend(package.map(str::to_owned));
    program.packages.extend(tools(&text));
    program.argv = vec![shell.to_owned(), FILE.to_owned()];
    program.worker = !text.trim().is_empty() && !SERVES.iter().any(|word| text.contains(word));
    Finding::Found(Box::new(program))
}

fn declared(facts: &Facts) -> Program {
    let line = facts.declared.web.as_ref().map(|(line, ..)| line.clone()).unwrap_or_default();
    let mut program =
        Program::new(Detection::new("shell", "Shell", "shell").confidence(5), "debian");
    program.packages.extend(tools(&line));
    program.argv = command::argv(&line);
    program
}

/// The shell of the first line; `sh` without one.
fn interpreter(text: &str) -> Option<&'static str> {
    let first = text.lines().next().unwrap_or_default();
    let Some(rest) = first.strip_prefix("#!") else {
        return Some("sh");
    };
    let mut words = rest.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or_default());
    let program = words.next().unwrap_or_default();
    let program = if program == "env" {
        words.find(|word| !word.starts_with('-') && !word.contains('=')).unwrap_or_default()
    } else {
        program
    };
    SHELLS.iter().map(|(name, _)| *name).find(|name| *name == program)
}

/// The packages of the tools that a script calls.
fn tools(text: &str) -> Vec<String> {
    let code = text.lines().map(|line| line.split(" #").next().unwrap_or_default());
    let code = code.filter(|line| !line.trim_start().starts_with('#'));
    let words: Vec<&str> = code
        .flat_map(|line| line.split(|c: char| c.is_whitespace() || "|&;()`$\"{}".contains(c)))
        .collect();
    let calls = |name: &str| words.contains(&name);
    TOOLS.iter().filter(|(name, _)| calls(name)).map(|(_, package)| (*package).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_is_that_of_the_first_line() {
        for (text, shell) in [
            ("#!/bin/bash\n", Some("bash")),
            ("#!/usr/bin/env zsh\n", Some("zsh")),
            ("#!/usr/bin/env -S bash -e\n", Some("bash")),
            ("#! /bin/sh -e\n", Some("sh")),
            ("echo hello\n", Some("sh")),
            ("", Some("sh")),
            ("#!/usr/bin/env node\n", None),
        ] {
            assert_eq!(interpreter(text), shell, "{text}");
        }
    }

    #[test]
    fn the_tools_of_a_script_are_found() {
        assert_eq!(tools("x=$(curl -s a | jq .b)\n# git\necho curling"), ["curl", "jq"]);
    }
}
