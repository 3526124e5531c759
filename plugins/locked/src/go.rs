//! `go.mod`, and `go.sum` where that is too old to list everything.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use crate::{Ecosystem, Key, Locked, Package};

/// Since this one, `go.mod` names all modules that a build needs.
const COMPLETE_SINCE: u32 = 17;

/// Reads `go.mod`; `sum` is the `go.sum` beside it.
pub(crate) fn read(text: &str, sum: Option<&str>) -> Result<Locked, String> {
    let lines = statements(text);
    let of = |keyword: &str| -> Vec<&(String, Vec<String>)> {
        lines.iter().filter(|(known, _)| known == keyword).collect()
    };
    if of("module").is_empty() {
        return Err("it names no module".to_owned());
    }
    let mut modules: BTreeMap<String, String> = BTreeMap::new();
    let mut locked = Locked::default();
    for (_, words) in of("require") {
        let [name, version, rest @ ..] = words.as_slice() else {
            continue;
        };
        modules.insert(name.clone(), version.clone());
        if !rest.iter().any(|word| word == "indirect") {
            locked.roots.push((name.clone(), version.clone()));
        }
    }
    let minor =
        of("go").first().and_then(|(_, words)| words.first()?.split('.').nth(1)?.parse().ok());
    if minor.unwrap_or(0) < COMPLETE_SINCE {
        match sum {
            Some(sum) => newest(sum, &mut modules),
            None => locked.notes.push(
                "it was written for Go before 1.17 and there is no go.sum: what is needed \
                 indirectly is not named"
                    .to_owned(),
            ),
        }
    }
    for (_, words) in of("replace") {
        replace(words, &mut modules, &mut locked.roots);
    }
    let packages = modules.iter().map(|(name, version)| Package::new(Ecosystem::Go, name, version));
    locked.packages = packages.collect();
    Ok(locked)
}

/// Keyword and words of each line, those in brackets too. A comment's words follow the others.
fn statements(text: &str) -> Vec<(String, Vec<String>)> {
    let mut block: Option<String> = None;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("//") {
            continue;
        }
        let words = line.replace("//", " ");
        let mut words = words.split_whitespace().map(|word| word.trim_matches('"').to_owned());
        match (&block, words.next()) {
            (_, None) => {}
            (Some(_), Some(word)) if word == ")" => block = None,
            (Some(keyword), Some(word)) => {
                found.push((keyword.clone(), std::iter::once(word).chain(words).collect()));
            }
            (None, Some(keyword)) => {
                let rest: Vec<String> = words.collect();
                match rest.first().map(String::as_str) {
                    Some("(") => block = Some(keyword),
                    _ => found.push((keyword, rest)),
                }
            }
        }
    }
    found
}

/// `old [v1] => new v2`, or a folder, which is no module of its own.
fn replace(words: &[String], modules: &mut BTreeMap<String, String>, roots: &mut Vec<Key>) {
    let Some(arrow) = words.iter().position(|word| word == "=>") else {
        return;
    };
    let (from, to) = (&words[..arrow], &words[arrow + 1..]);
    let Some(name) = from.first() else {
        return;
    };
    let Some(version) = modules.get(name).cloned() else {
        return;
    };
    if from.get(1).is_some_and(|only| *only != version) {
        return;
    }
    modules.remove(name);
    let new = match to {
        [other, version, ..] => Some((other.clone(), version.clone())),
        _ => None,
    };
    if let Some((other, version)) = &new {
        modules.insert(other.clone(), version.clone());
    }
    if let Some(at) = roots.iter().position(|(known, _)| known == name) {
        roots.remove(at);
        roots.extend(new);
    }
}

/// Adds the newest version of each module that was downloaded as a whole.
fn newest(sum: &str, modules: &mut BTreeMap<String, String>) {
    for line in sum.lines() {
        let mut words = line.split_whitespace();
        let (Some(name), Some(version)) = (words.next(), words.next()) else {
            continue;
        };
        if version.ends_with("/go.mod") {
            continue;
        }
        let known = modules.entry(name.to_owned()).or_insert_with(|| version.to_owned());
        if by_number(version, known) == Ordering::Greater {
            version.clone_into(known);
        }
    }
}

/// Versions of Go are compared by their numbers; of equal ones that without a suffix is newer.
fn by_number(a: &str, b: &str) -> Ordering {
    let split = |version: &str| -> (Vec<u64>, bool, String) {
        let version = version.trim_start_matches('v').split('+').next().unwrap_or_default();
        let (numbers, suffix) = version.split_once('-').unwrap_or((version, ""));
        let numbers = numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect();
        (numbers, suffix.is_empty(), suffix.to_owned())
    };
    split(a).cmp(&split(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_read_with_what_replaces_them() {
        let text = "module example.com/app\n\ngo 1.21\n\ntoolchain go1.21.5\n\nrequire (\n\tgithub.com/BurntSushi/toml v1.3.2\n\tgolang.org/x/net v0.17.0 // indirect\n\texample.com/own v0.0.0\n)\n\nrequire rsc.io/quote v1.5.2\n\nreplace example.com/own => ../own\n\nreplace rsc.io/quote v1.5.2 => example.com/quote/v3 v3.1.0\n";
        let locked = read(text, None).unwrap();
        let found: Vec<(&str, &str)> =
            locked.packages.iter().map(|it| (it.name.as_str(), it.version.as_str())).collect();
        assert_eq!(
            found,
            [
                ("example.com/quote/v3", "v3.1.0"),
                ("github.com/BurntSushi/toml", "v1.3.2"),
                ("golang.org/x/net", "v0.17.0"),
            ]
        );
        let direct: Vec<&str> = locked.roots.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(direct, ["github.com/BurntSushi/toml", "example.com/quote/v3"]);
        assert!(locked.notes.is_empty());
    }

    #[test]
    fn an_old_one_needs_its_sums() {
        let text = "module example.com/app\ngo 1.13\nrequire rsc.io/quote v1.5.2\n";
        let sum = "rsc.io/quote v1.5.2 h1:a=\nrsc.io/quote v1.5.2/go.mod h1:b=\nrsc.io/sampler v1.3.0 h1:c=\nrsc.io/sampler v1.99.99 h1:d=\nrsc.io/sampler v1.100.0/go.mod h1:d=\n";
        let locked = read(text, Some(sum)).unwrap();
        assert_eq!(locked.packages[1].version, "v1.99.99");
        assert_eq!(read(text, None).unwrap().notes.len(), 1);
        assert!(read("hello", None).is_err());
    }
}
