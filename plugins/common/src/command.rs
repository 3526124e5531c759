//! Command lines that people wrote, as the argument vector of a process.
//!
//! **Invariant: the application is the process that gets the signals.** A shell stays in between only
//! when the line itself needs one to the end.

/// The argument vector of a command line.
///
/// A line of plain words needs no shell. One that uses a variable, a quote or a glob gets a shell
/// that replaces itself with the command. One that joins commands keeps its shell, because only the
/// shell knows what follows; the last command of an `&&` chain is still put in the shell's place.
pub fn argv(line: &str) -> Vec<String> {
    let line = without_wrapper(foreground(line));
    if is_plain(line) {
        return line.split_whitespace().map(str::to_owned).collect();
    }
    shell(&exec(line))
}

/// The line without an `&` at its end: behind it the shell ends at once, and with it the process that is watched.
pub fn foreground(line: &str) -> &str {
    let line = line.trim();
    match line.strip_suffix('&') {
        Some(rest) if !rest.ends_with(['&', '>', '\\']) => rest.trim_end(),
        _ => line,
    }
}

/// `/bin/sh -c <line>`
pub fn shell(line: &str) -> Vec<String> {
    ["/bin/sh", "-c", line].map(str::to_owned).to_vec()
}

/// A word as a shell reads it back.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@,+=%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// The line with its last command in the place of the shell, where that changes nothing else.
pub fn exec(line: &str) -> String {
    let line = without_wrapper(foreground(line));
    if line.starts_with("exec ") || joins_otherwise(line) {
        return line.to_owned();
    }
    match line.rfind("&&") {
        None => exec_one(line),
        Some(at) => format!("{} && {}", line[..at].trim_end(), exec_one(line[at + 2..].trim())),
    }
}

fn exec_one(command: &str) -> String {
    let first = command.split_whitespace().next().unwrap_or_default();
    match first {
        "exec" => command.to_owned(),
        "cd" | "export" | "set" | "." | "source" | "if" | "for" | "while" | "trap" | "{" | "(" => {
            command.to_owned()
        }
        _ if first.contains('=') => format!("exec env {command}"),
        _ => format!("exec {command}"),
    }
}

/// `cross-env A=b command` is what `env A=b command` is everywhere but on Windows.
fn without_wrapper(line: &str) -> &str {
    line.strip_prefix("cross-").filter(|rest| rest.starts_with("env ")).unwrap_or(line)
}

/// Whether the words mean the same without a shell.
fn is_plain(line: &str) -> bool {
    let special = |c: char| "|&;<>()$`\\\"'*?[]~#!{}\n".contains(c);
    let first = line.split_whitespace().next().unwrap_or_default();
    let builtin =
        matches!(first, "cd" | "export" | "exec" | "set" | "." | "source" | "trap" | "if");
    !line.contains(special) && !first.contains('=') && !builtin
}

/// Whether commands are joined by anything but `&&`, or the last `&&` stands inside quotes or a group.
fn joins_otherwise(line: &str) -> bool {
    let bare = line.replace("&&", "");
    let open = |before: &str| {
        let odd = |quote| before.matches(quote).count() % 2 == 1;
        let more = |left, right| before.matches(left).count() != before.matches(right).count();
        odd('"') || odd('\'') || odd('`') || more('(', ')') || more('{', '}')
    };
    let quoted = line.rfind("&&").is_some_and(|at| open(&line[..at]));
    bare.contains(['|', ';', '\n', '&']) && !only_redirections(&bare) || quoted
}

/// The `&` of `2>&1` joins nothing.
fn only_redirections(line: &str) -> bool {
    !line.replace(">&", "").contains(['|', ';', '\n', '&'])
}

#[cfg(test)]
mod tests {
    use super::argv;

    #[track_caller]
    fn check(line: &str, expected: &[&str]) {
        assert_eq!(argv(line), expected, "{line}");
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart() {
        let words = ["a-b/c.js", "it's $X", ""].map(super::quoted);
        assert_eq!(words, ["a-b/c.js", "'it'\\''s $X'", "''"]);
    }

    #[test]
    fn plain_words_need_no_shell() {
        check("node  server.js --port 80", &["node", "server.js", "--port", "80"]);
    }

    #[test]
    fn the_shell_is_replaced_where_one_is_needed() {
        check("serve -p $PORT", &["/bin/sh", "-c", "exec serve -p $PORT"]);
        check("A=b node x.js", &["/bin/sh", "-c", "exec env A=b node x.js"]);
        check("cross-env A=b node x.js", &["env", "A=b", "node", "x.js"]);
        check("node x.js > log 2>&1", &["/bin/sh", "-c", "exec node x.js > log 2>&1"]);
        check("exec node $X", &["/bin/sh", "-c", "exec node $X"]);
    }

    #[test]
    fn the_last_of_a_chain_gets_the_signals() {
        check("a && node b.js", &["/bin/sh", "-c", "a && exec node b.js"]);
        check("cd web && A=b node b.js", &["/bin/sh", "-c", "cd web && exec env A=b node b.js"]);
    }

    #[test]
    fn what_is_sent_to_the_background_is_run_in_front() {
        check("node index.js &", &["node", "index.js"]);
        check("a && node b.js&", &["/bin/sh", "-c", "a && exec node b.js"]);
        check("node x.js > log 2>&1 &", &["/bin/sh", "-c", "exec node x.js > log 2>&1"]);
        check("a & b &", &["/bin/sh", "-c", "a & b"]);
        check("a &&", &["/bin/sh", "-c", "a && exec "]);
    }

    #[test]
    fn what_only_the_shell_understands_is_left_to_it() {
        check("a; b", &["/bin/sh", "-c", "a; b"]);
        check("a & b", &["/bin/sh", "-c", "a & b"]);
        check("a || b", &["/bin/sh", "-c", "a || b"]);
        check("sh -c 'a && b'", &["/bin/sh", "-c", "sh -c 'a && b'"]);
        check("cd web", &["/bin/sh", "-c", "cd web"]);
    }
}
