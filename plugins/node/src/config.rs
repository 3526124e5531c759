//! The few values that are read out of configuration files that are programs: a look at the text, not
//! an evaluation. What is computed there is not seen; `build.output` in windlass.toml is for that.

use crate::facts::Facts;

const NEXT: [&str; 4] = ["next.config.js", "next.config.mjs", "next.config.ts", "next.config.cjs"];
const VITE: [&str; 6] = [
    "vite.config.ts",
    "vite.config.js",
    "vite.config.mjs",
    "vite.config.mts",
    "vite.config.cjs",
    "vite.config.cts",
];

/// Name of the Next.js configuration.
pub(crate) fn next_file(facts: &Facts) -> Option<&'static str> {
    facts.first(&NEXT)
}

/// `output` of the Next.js configuration: `standalone` or `export`.
pub(crate) fn next_output(facts: &Facts) -> Option<String> {
    value(&facts.text(next_file(facts)?)?, "output")
}

/// Folder that `vite build` writes, relative to the application.
pub(crate) fn vite_output(facts: &Facts) -> String {
    let script = facts.script("build").unwrap_or_default();
    let words: Vec<&str> = script.split([' ', '=']).collect();
    let after =
        |flag: &str| words.iter().position(|word| *word == flag).and_then(|n| words.get(n + 1));
    if let Some(folder) = after("--outDir") {
        return normal(folder);
    }
    let text = facts.first(&VITE).and_then(|file| facts.text(file)).unwrap_or_default();
    let root = value(&text, "root").unwrap_or_default();
    let folder = value(&text, "outDir").unwrap_or_else(|| "dist".to_owned());
    normal(&format!("{root}/{folder}"))
}

/// The text that a key is set to, outside of comments: `key: 'text'`.
fn value(text: &str, key: &str) -> Option<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['/', '*']));
    for line in lines {
        let mut rest = line;
        while let Some(at) = rest.find(key) {
            let own =
                !rest[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.'));
            rest = &rest[at + key.len()..];
            let set = rest.trim_start_matches(['"', '\'']).trim_start().strip_prefix(':');
            let Some(set) = set.map(str::trim_start).filter(|_| own) else {
                continue;
            };
            let Some(quote @ ('"' | '\'' | '`')) = set.chars().next() else {
                continue;
            };
            let inner = set[1..].split(quote).next()?;
            return Some(inner.to_owned());
        }
    }
    None
}

/// A relative path without `.`, `..` and doubled slashes; it never leaves the application.
pub(crate) fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_seen_and_comments_are_not() {
        let text =
            "// output: 'export'\nmodule.exports = { myoutput: 'x', \"output\": `standalone` }";
        assert_eq!(value(text, "output").as_deref(), Some("standalone"));
        assert_eq!(value("export default { output: process.env.X }", "output"), None);
        assert_eq!(value("build: { outDir: '../dist' }", "outDir").as_deref(), Some("../dist"));
    }

    #[test]
    fn paths_stay_inside() {
        assert_eq!(normal("client/../dist/"), "dist");
        assert_eq!(normal("../../etc"), "etc");
        assert_eq!(normal("./a//b"), "a/b");
    }
}
