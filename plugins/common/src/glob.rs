//! Globs over paths that were listed already: `*` stays within a name, `**/` crosses folders, `{a,b}` is
//! one of these, and one of them may be empty.

/// Globs that are asked of many paths.
#[derive(Debug)]
pub struct Globs(Vec<Vec<String>>);

impl Globs {
    /// Reads them.
    pub fn new(patterns: &[&str]) -> Self {
        let all = patterns.iter().flat_map(|pattern| alternatives(pattern));
        Self(all.map(|one| one.split('/').map(str::to_owned).collect()).collect())
    }

    /// Whether one of them matches the path.
    pub fn match_path(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or(path);
        self.0.iter().any(|pattern| {
            // Most paths are told by their last name.
            pattern.last().is_some_and(|last| within(last, name))
                && folders(pattern, &path.split('/').collect::<Vec<_>>())
        })
    }
}

/// The pattern once for each of its alternatives. The host reads `{a,b}` too, but no empty alternative.
pub fn alternatives(pattern: &str) -> Vec<String> {
    let split = |pattern: &str| {
        let (before, rest) = pattern.split_once('{')?;
        let (inside, after) = rest.split_once('}')?;
        Some(inside.split(',').map(|one| format!("{before}{one}{after}")).collect::<Vec<_>>())
    };
    match split(pattern) {
        Some(all) => all.iter().flat_map(|one| alternatives(one)).collect(),
        None => vec![pattern.to_owned()],
    }
}

fn folders(pattern: &[String], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        ([first, rest @ ..], _) if first == "**" => {
            (0..path.len()).any(|skip| folders(rest, &path[skip..]))
        }
        ([first, rest @ ..], [name, below @ ..]) => within(first, name) && folders(rest, below),
        _ => false,
    }
}

fn within(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(mut name) = name.strip_prefix(start) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        let Some(at) = name.find(part) else {
            return false;
        };
        name = &name[at + part.len()..];
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::Globs;

    #[test]
    fn globs_match_as_they_do_for_the_host() {
        for (pattern, path, expected) in [
            ("a.txt", "a.txt", true),
            ("*.txt", "b/a.txt", false),
            ("**/*.txt", "a.txt", true),
            ("**/*.txt", "b/c/a.txt", true),
            ("**/migrations/*/up.sql", "x/migrations/1/up.sql", true),
            ("**/migrations/*/up.sql", "x/migrations/up.sql", false),
            ("knexfile.{js,ts}", "knexfile.ts", true),
            ("knexfile.{js,ts}", "knexfile.py", false),
            ("V*__*.sql", "V1__init.sql", true),
            ("V*__*.sql", "V1_init.sql", false),
            ("a*", "a", true),
            ("{x/,}a.js", "a.js", true),
        ] {
            assert_eq!(Globs::new(&[pattern]).match_path(path), expected, "{pattern} {path}");
        }
    }
}
