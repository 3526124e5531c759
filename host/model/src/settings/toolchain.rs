//! Which toolchains `build.toolchain` can name, and how their versions are asked for.
//!
//! A plugin may fetch a program that Windlass knows nothing of, and take its version from here too. So a name is only
//! refused when it is plainly a known one misspelled; one that no step uses is said when the plan is there.

use crate::spelling::{distance, nearest};

/// The names of the host's table of toolchains.
pub const TOOLCHAINS: [&str; 30] = [
    "bun",
    "clojure",
    "clojure-tools",
    "cobol",
    "crystal",
    "dart",
    "debian",
    "deno",
    "dotnet",
    "dotnet-sdk",
    "elixir",
    "erlang",
    "gcc",
    "gleam",
    "go",
    "gradle",
    "haskell",
    "java",
    "jdk",
    "jre",
    "maven",
    "node",
    "php",
    "python",
    "ruby",
    "rust",
    "sbt",
    "scheme",
    "swift",
    "zig",
];

/// Other names that people know them by.
const OTHER_NAMES: [(&str, &str); 13] = [
    ("c", "gcc"),
    ("csharp", "dotnet"),
    ("golang", "go"),
    ("guile", "scheme"),
    ("ghc", "haskell"),
    ("js", "node"),
    ("node.js", "node"),
    ("nodejs", "node"),
    ("openjdk", "java"),
    ("otp", "erlang"),
    ("py", "python"),
    ("python3", "python"),
    ("rustc", "rust"),
];

/// Words that stand for a version in some language's own files.
const WORDS: [&str; 8] = ["beta", "current", "latest", "lts", "lts/*", "nightly", "node", "stable"];

/// Comparisons in front of a version.
const OPERATORS: [&str; 13] =
    ["", "=", "==", "===", "!=", ">", ">=", "<", "<=", "^", "~", "~>", "~="];

/// What a version of a toolchain looks like.
pub(super) const FORMS: &str = "a version as \"22\", \"22.11.0\" or \"22.x\", or a range as \">=20 <23\", \
                                \"^22.1\" or \"20 || 22\"";

/// The known name that was meant by another, which would be ignored else: another name of it, else one that is a
/// letter or two away. None for a known name, and for one that a plugin may know.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    if TOOLCHAINS.contains(&name) {
        return None;
    }
    let name = name.to_ascii_lowercase();
    let near = |known: &&str| distance(&name, known) <= name.len() / 3;
    let other = OTHER_NAMES.iter().find(|(other, _)| *other == name).map(|(_, known)| *known);
    other.or_else(|| nearest(&name, TOOLCHAINS).into_iter().find(near))
}

/// Whether it has the form of a requirement: versions with their comparisons (`22`, `22.x`, `>=20 <23`, `^8.2`,
/// `~> 3.3`, `18 || >=22`, `20 - 22`), a version with the name of its distribution in front (`temurin-21`), or a
/// word that stands for one (`latest`, `lts/jod`). Whether there is such a version is for the plugin to say.
pub(super) fn is_requirement(text: &str) -> bool {
    let words = text.split(|c: char| c == '|' || c == ',' || c.is_whitespace());
    words.filter(|word| !word.is_empty() && *word != "-").all(is_part)
}

fn is_part(word: &str) -> bool {
    let version = word.trim_start_matches(|c: char| "<>=~^!".contains(c));
    let operator = &word[..word.len() - version.len()];
    OPERATORS.contains(&operator) && (is_word(version) || is_version(version))
}

/// A word, or the code name of a line of Node.js. An operator may stand apart from its version, and then nothing
/// is behind it.
fn is_word(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let lines = [
        "argon", "boron", "carbon", "dubnium", "erbium", "fermium", "gallium", "hydrogen", "iron",
        "jod", "krypton", "lithium",
    ];
    let name = lower.strip_prefix("lts/").or_else(|| lower.strip_prefix("lts-")).unwrap_or(&lower);
    lower.is_empty() || WORDS.contains(&lower.as_str()) || lines.contains(&name)
}

/// `22`, `v22.11.0`, `3.12.x`, `*`, `21.0.4+7`, `1.18.3-otp-27`, `temurin-21`.
fn is_version(text: &str) -> bool {
    let is_any = |part: &str| matches!(part, "*" | "x" | "X");
    let name = |c: char| c.is_ascii_alphabetic() || "-_+.".contains(c);
    let numbers = if is_any(text) { text } else { text.trim_start_matches(name) };
    let core = numbers.split(['-', '+', '_']).next().unwrap_or_default();
    let is_number = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_digit())
            && part.chars().all(|c| c.is_ascii_alphanumeric())
    };
    core.split('.').all(|part| is_any(part) || is_number(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_sorted_and_lead_to_each_other() {
        assert!(TOOLCHAINS.is_sorted());
        for (other, known) in OTHER_NAMES {
            assert!(TOOLCHAINS.contains(&known) && !TOOLCHAINS.contains(&other), "{other}");
        }
        assert_eq!(meant("pyhton"), Some("python"));
        assert_eq!(meant("NodeJS"), Some("node"));
        assert_eq!(meant("golang"), Some("go"));
        for of_a_plugin in ["quantum-fortran", "zola", "node", "ant"] {
            assert_eq!(meant(of_a_plugin), None);
        }
    }

    #[test]
    fn versions_are_told_from_what_is_none() {
        for good in [
            "",
            "*",
            "22",
            "22.x",
            "v22.11.0",
            ">=20 <23",
            ">= 20, < 23",
            "^20.1",
            "18 || >=22",
            "20 - 22",
            "~> 3.2",
            "7.4.*|^8.1",
            "~=3.11",
            "==3.11.*",
            "1.18.3-otp-27",
            "21.0.4+7",
            "1.8.0_292",
            "3.13.0rc1",
            "temurin-21",
            "lts",
            "lts/*",
            "lts/jod",
            "iron",
            "stable",
            "nightly-2026-01-02",
            "OTP-27.1",
            "go1.22",
        ] {
            assert!(is_requirement(good), "{good:?}");
        }
        for bad in ["abc", "22.a", "=>22", "latest-ish", "new", "three", "2,two", "20..1", "@22"] {
            assert!(!is_requirement(bad), "{bad:?}");
        }
    }
}
