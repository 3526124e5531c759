//! A failure, as it is printed everywhere: what, why, fix, code.

use windlass_model::api::ErrorBody;
use windlass_model::failure::Fault;
use windlass_model::{Failure, LogLine};

use super::{clock, harmless};
use crate::console::{Console, Style, paint};

/// Prints a failure: to standard error for people, as an [`ErrorBody`] to standard output with
/// `--json`.
pub fn report(console: &mut Console<'_>, failure: &Failure, json: bool) {
    if json {
        let body = ErrorBody { error: failure.clone() };
        let text = serde_json::to_string_pretty(&body).unwrap_or_default();
        console.line(&text);
    } else {
        let text = block(failure, console.color());
        console.err(&text);
    }
}

/// The failure as a block of lines.
pub fn block(failure: &Failure, color: bool) -> String {
    let mut text = field(color, Style::Red, "error", &failure.what);
    let mut add = |name: &str, value: &str| {
        text += "  ";
        text += &field(color, Style::Bold, name, value);
    };
    if let Some(step) = failure.step {
        add("step", step.as_str());
    }
    if let Fault::Plugin(plugin) = &failure.fault {
        add("plugin", plugin);
    }
    add("why", &failure.why);
    if !failure.log.is_empty() {
        add("log", &format!("\n{}", lines(&failure.log)));
    }
    if !failure.evidence.is_empty() {
        add("shown by", &format!("\n{}", lines(&failure.evidence)));
    }
    add("fix", &failure.fix);
    match &failure.general {
        Some(general) => add("code", &format!("{} (of {general})", failure.code)),
        None => add("code", &failure.code),
    }
    text
}

fn lines(log: &[LogLine]) -> String {
    let line = |line: &LogLine| format!("{}  {}", clock(line.at), harmless(&line.text));
    log.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `name: value`, further lines of the value indented.
fn field(color: bool, style: Style, name: &str, value: &str) -> String {
    let lines: Vec<String> = value.trim_end().lines().map(harmless).collect();
    let value = lines.join("\n    ");
    format!("{}: {}\n", paint(color, style, name), value).replace(": \n", ":\n")
}

#[cfg(test)]
mod tests {
    use windlass_model::deployment::StepName;
    use windlass_model::log::{LogLine, Stream};

    use super::*;

    #[test]
    fn a_failure_says_what_why_fix_and_code() {
        let line = |s: i64, text: &str| LogLine {
            at: jiff::Timestamp::from_second(s).unwrap(),
            stream: Stream::Stderr,
            text: text.into(),
        };
        let failure = Failure::app(
            "build.command-failed",
            "`npm ci` failed",
            "it ended with exit code 1\nafter 3 s",
            "run it yourself, and commit the lock file",
        )
        .in_step(StepName::Build)
        .with_log(vec![line(1, "npm error \x1b[31mred"), line(2, "")]);
        insta::assert_snapshot!(block(&failure, false), @r"
        error: `npm ci` failed
          step: build
          why: it ended with exit code 1
            after 3 s
          log:
            00:00:01.000  npm error �[31mred
            00:00:02.000
          fix: run it yourself, and commit the lock file
          code: build.command-failed
        ");
    }

    #[test]
    fn a_plugin_s_fault_names_the_plugin() {
        let failure = Failure::plugin("acme", "plugin.trapped", "it trapped", "a bug", "report it");
        assert!(block(&failure, false).contains("  plugin: acme\n"));
    }
}
