//! What a source map is, and which one a bundle names.

use serde::Deserialize;
use serde::de::IgnoredAny;

/// What is worth knowing of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Map {
    /// Source files that it names; 0 for one that is made of sections.
    pub(crate) sources: usize,
    /// Whether the source files themselves are in it.
    pub(crate) has_sources: bool,
}

#[derive(Deserialize)]
struct Written {
    mappings: Option<IgnoredAny>,
    sections: Option<IgnoredAny>,
    sources: Option<Vec<IgnoredAny>>,
    #[serde(rename = "sourcesContent")]
    contents: Option<Vec<Option<IgnoredAny>>>,
}

impl Map {
    /// `None` for bytes that are no source map.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        // The line that keeps a map from being run as a script.
        let bytes = match bytes.strip_prefix(b")]}") {
            Some(rest) => rest.split_at(rest.iter().position(|byte| *byte == b'\n')?).1,
            None => bytes,
        };
        let written: Written = serde_json::from_slice(bytes).ok()?;
        if written.mappings.is_none() && written.sections.is_none() {
            return None;
        }
        let has_sources = written.contents.is_some_and(|it| it.iter().any(Option::is_some));
        Some(Self { sources: written.sources.map_or(0, |it| it.len()), has_sources })
    }
}

/// How a bundle names its map: what stands behind the last `sourceMappingURL=`.
pub(crate) fn pointer(bundle: &str) -> Option<&str> {
    const NAME: &str = "sourceMappingURL=";
    let (_, rest) = bundle.rsplit_once(NAME)?;
    let end = |c: char| c.is_whitespace() || matches!(c, '*' | '"' | '\'' | '`');
    rest.split(end).next().filter(|pointer| !pointer.is_empty())
}

/// Whether a pointer in this bundle names this map, both given as paths.
pub(crate) fn points(pointer: &str, bundle: &str, map: &str) -> bool {
    let pointer = decoded(pointer.split(['?', '#']).next().unwrap_or_default());
    match pointer.split_once("://") {
        // Where the bundle will lie is not known, its file's name is.
        Some((_, address)) => address.rsplit('/').next() == map.rsplit('/').next(),
        None if pointer.starts_with('/') => map.ends_with(&pointer),
        None => joined(bundle, &pointer) == map,
    }
}

/// A path that is written relative to a file. It never leaves the root.
pub(crate) fn joined(file: &str, relative: &str) -> String {
    let mut parts: Vec<&str> = match relative.starts_with('/') {
        true => Vec::new(),
        false => file.split('/').collect(),
    };
    parts.pop();
    for part in relative.split('/') {
        match part {
            "." => {}
            ".." if parts.len() > 1 => drop(parts.pop()),
            ".." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// With `%20` and the like as what they stand for; as it is where that is no text.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'%');
        let digits = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_is_known_by_what_is_in_it() {
        let of = |text: &str| Map::of(text.as_bytes());
        let bare = r#"{"version":3,"sources":["a.ts","b.ts"],"mappings":"AAAA"}"#;
        assert_eq!(of(bare), Some(Map { sources: 2, has_sources: false }));
        let full = r#"{"version":3,"sources":["a.ts"],"sourcesContent":[null,"x"],"mappings":""}"#;
        assert_eq!(of(full), Some(Map { sources: 1, has_sources: true }));
        assert_eq!(of(&format!(")]}}'\n{bare}")), of(bare));
        assert!(of(r#"{"version":3,"sections":[]}"#).is_some());
        for other in ["<!doctype html>", "{}", "[]", r#"{"sources":[]}"#, "", ")]}'"] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_pointer_is_the_last_one_and_leads_from_its_bundle() {
        let js = "//# sourceMappingURL=old.map\nx()\n//# sourceMappingURL=a.js.map\n";
        assert_eq!(pointer(js), Some("a.js.map"));
        assert_eq!(pointer("a{}\n/*# sourceMappingURL=../m/a.css.map */"), Some("../m/a.css.map"));
        assert_eq!(pointer("x()"), None);
        assert!(points("a.js.map", "/app/dist/a.js", "/app/dist/a.js.map"));
        assert!(points("../m/a%20b.js.map?v=1", "/app/dist/a b.js", "/app/m/a b.js.map"));
        assert!(points(
            "/assets/a.js.map",
            "/app/public/assets/a.js",
            "/app/public/assets/a.js.map"
        ));
        assert!(points("https://cdn.example.com/1/a.js.map", "/app/a.js", "/app/a.js.map"));
        assert!(!points("b.js.map", "/app/dist/a.js", "/app/dist/a.js.map"));
        assert!(!points("data:application/json;base64,e30", "/app/a.js", "/app/a.js.map"));
        assert_eq!(joined("/a/b.js", "../../../../c"), "/c");
        assert_eq!(joined("/a/b.js", "/c/./d"), "/c/d");
        assert_eq!(decoded("a%2"), "a%2");
    }
}
