//! What a newcomer types: the commands of a README, in a shell that has the binary on its path.

use std::path::Path;
use std::process::Command;

use crate::{CliOutput, TestHost, binary, target_dir};

/// What stands in a block of commands, the first of a README being number 0, without the comments behind them.
/// Measuring is left out: it compiles everything again, and has a test of its own.
///
/// # Panics
/// When the README has no such block.
pub fn commands(readme: &str, block: usize) -> Vec<String> {
    let found = readme.split("```sh\n").nth(block + 1);
    let text = found.unwrap_or_else(|| panic!("no block {block} of commands in:\n{readme}"));
    let text = text.split("```").next().unwrap_or_default();
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let lines = lines.filter(|line| !line.is_empty() && !line.ends_with(" bench"));
    lines.map(str::to_owned).collect()
}

/// A line as a person types it in this folder, who is logged in on `host` where there is one.
///
/// # Panics
/// When it does not end well, with what it said.
pub fn typed(line: &str, folder: &Path, host: Option<&TestHost>) -> CliOutput {
    let binary = binary();
    let mut path = vec![binary.parent().unwrap().to_owned()];
    path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    let mut shell = Command::new("sh");
    shell.args(["-c", line]).current_dir(folder);
    // What cargo set for this test is not what a person's shell has.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_") && text != "CARGO_HOME" || text.starts_with("NEXTEST") {
            shell.env_remove(&name);
        }
    }
    shell
        .env("PATH", std::env::join_paths(path).unwrap())
        .env("CARGO_TARGET_DIR", target_dir().join("newcomer"))
        .env("XDG_CACHE_HOME", target_dir().join("newcomer/cache"));
    if let Some(host) = host {
        for (name, value) in host.cli_command(&[]).get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
    }
    let output = CliOutput::of(&mut shell);
    assert_eq!(output.code, 0, "{line}\n{}\n{}", output.stdout, output.stderr);
    output
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_those_of_one_block_without_comments() {
        let readme = "# a\n```toml\nx = 1\n```\n```sh\none  # first\nplugin bench  # slow\n```\n```sh\n\ntwo\n```\n";
        assert_eq!(commands(readme, 0), ["one"]);
        assert_eq!(commands(readme, 1), ["two"]);
    }
}
