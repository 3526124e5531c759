//! Which files a copy means, and where they go: a plain function of names.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

/// Something of the origin, for the choice. They come in the order of a walk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    /// Path relative to the origin's root.
    pub(crate) path: &'a Path,
    /// Whether it is a directory.
    pub(crate) is_dir: bool,
}

/// A chosen entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// Index of the candidate.
    pub(crate) index: usize,
    /// Path below the destination; empty for the destination itself.
    pub(crate) to: PathBuf,
}

/// What is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Selection {
    /// The entries, parents before what is in them.
    pub(crate) chosen: Vec<Chosen>,
    /// Whether the destination is a directory, by the sources alone.
    pub(crate) into_dir: bool,
}

/// Why nothing can be copied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectError {
    /// A name without wildcards that is not there, or no match at all.
    #[error("{0:?} is not there")]
    Missing(String),
    /// The directory cannot be listed.
    #[error("it cannot be listed: {0}")]
    Unlisted(String),
    /// The glob cannot be read.
    #[error("the pattern {pattern:?} is not a glob: {why}")]
    BadGlob {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        why: String,
    },
}

/// Chooses. A directory that matches stands for what is in it; a file keeps its name, or its whole path
/// with `parents`. Wildcards may match nothing as long as something matches.
pub(crate) fn select(
    candidates: &[Candidate<'_>],
    sources: &[String],
    exclude: &[String],
    dest: &str,
    parents: bool,
    without_git: bool,
) -> Result<Selection, SelectError> {
    let excludes = Excludes::new(exclude, without_git)?;
    let mut chosen: Vec<Chosen> = Vec::new();
    let (mut matches, mut any_dir) = (0_usize, false);
    for source in sources {
        let pattern = clean(source);
        let matched = matched_by(candidates, source, pattern)?;
        if matched.is_empty() && !has_wildcard(pattern) {
            return Err(SelectError::Missing(source.clone()));
        }
        for top in matched {
            matches += 1;
            any_dir |= top.is_none_or(|n| candidates[n].is_dir);
            take(candidates, top, parents, &excludes, &mut chosen);
        }
    }
    if matches == 0 {
        return Err(SelectError::Missing(sources.join(", ")));
    }
    chosen.sort_by(|a, b| a.to.cmp(&b.to).then(a.index.cmp(&b.index)));
    chosen.dedup();
    Ok(Selection { chosen, into_dir: dest.ends_with('/') || matches > 1 || any_dir || parents })
}

/// `./src/`, `/src` and `src/**` are `src`; `.` and `**` are the root, which is empty.
fn clean(source: &str) -> &str {
    let mut rest = source.trim_start_matches('/');
    while let Some(shorter) = rest.strip_prefix("./") {
        rest = shorter.trim_start_matches('/');
    }
    rest = rest.trim_end_matches('/');
    rest = rest.strip_suffix("/**").unwrap_or(rest);
    if matches!(rest, "." | "**") { "" } else { rest }
}

fn has_wildcard(pattern: &str) -> bool {
    pattern.contains(['*', '?', '[', '{'])
}

/// Indices of the candidates that match; `None` stands for the root.
fn matched_by(
    candidates: &[Candidate<'_>],
    source: &str,
    pattern: &str,
) -> Result<Vec<Option<usize>>, SelectError> {
    if pattern.is_empty() {
        return Ok(vec![None]);
    }
    let matcher =
        glob(pattern).map_err(|why| SelectError::BadGlob { pattern: source.to_owned(), why })?;
    let hit = |(n, c): (usize, &Candidate<'_>)| matcher.is_match(c.path).then_some(Some(n));
    Ok(candidates.iter().enumerate().filter_map(hit).collect())
}

fn take(
    candidates: &[Candidate<'_>],
    top: Option<usize>,
    parents: bool,
    excludes: &Excludes,
    chosen: &mut Vec<Chosen>,
) {
    let base = top.map_or(Path::new(""), |n| candidates[n].path);
    let is_file = top.is_some_and(|n| !candidates[n].is_dir);
    // Candidates come as a walk lists them: what is in a directory follows it without a gap.
    let first = top.unwrap_or(0);
    let run = candidates[first..].iter().take_while(|c| c.path.starts_with(base));
    for (offset, candidate) in run.enumerate().take(if is_file { 1 } else { usize::MAX }) {
        let is_top = top.is_some() && offset == 0;
        if excludes.hit(candidate.path) || (is_top && !is_file && !parents) {
            continue;
        }
        let below = candidate.path.strip_prefix(base).unwrap_or(candidate.path);
        let to = match (parents, is_file) {
            (true, _) => candidate.path.to_owned(),
            (false, true) => PathBuf::from(base.file_name().unwrap_or_default()),
            (false, false) => below.to_owned(),
        };
        chosen.push(Chosen { index: first + offset, to });
    }
}

/// Patterns in the manner of ignore files: the last match wins, `!` takes back.
struct Excludes {
    rules: Vec<(GlobMatcher, bool)>,
    without_git: bool,
}

impl Excludes {
    fn new(patterns: &[String], without_git: bool) -> Result<Self, SelectError> {
        let mut rules = Vec::new();
        for pattern in patterns {
            let (body, excluded) =
                pattern.strip_prefix('!').map_or((pattern.as_str(), true), |rest| (rest, false));
            let matcher = glob(clean(body))
                .map_err(|why| SelectError::BadGlob { pattern: pattern.clone(), why })?;
            rules.push((matcher, excluded));
        }
        Ok(Self { rules, without_git })
    }

    fn hit(&self, path: &Path) -> bool {
        if self.without_git && path.components().any(|c| c.as_os_str() == OsStr::new(".git")) {
            return true;
        }
        let mut excluded = false;
        for (matcher, value) in &self.rules {
            if path.ancestors().any(|p| !p.as_os_str().is_empty() && matcher.is_match(p)) {
                excluded = *value;
            }
        }
        excluded
    }
}

fn glob(pattern: &str) -> Result<GlobMatcher, String> {
    let built = GlobBuilder::new(pattern).literal_separator(true).build();
    Ok(built.map_err(|e| e.kind().to_string())?.compile_matcher())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: [(&str, bool); 9] = [
        (".git", true),
        (".git/config", false),
        ("README.md", false),
        ("package-lock.json", false),
        ("package.json", false),
        ("src", true),
        ("src/a.js", false),
        ("src/lib", true),
        ("src/lib/b.js", false),
    ];

    fn run(sources: &[&str], exclude: &[&str], parents: bool) -> Result<Vec<String>, SelectError> {
        let candidates: Vec<_> = TREE
            .iter()
            .map(|(path, is_dir)| Candidate { path: Path::new(path), is_dir: *is_dir })
            .collect();
        let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let selection = select(&candidates, &own(sources), &own(exclude), "/app", parents, true)?;
        Ok(selection.chosen.iter().map(|c| c.to.display().to_string()).collect())
    }

    #[test]
    fn the_root_is_everything_but_git() {
        let all = run(&["."], &[], false).unwrap();
        assert_eq!(all.len(), 7);
        assert!(!all.iter().any(|p| p.starts_with(".git")));
        assert_eq!(run(&["**"], &[], false).unwrap(), all);
    }

    #[test]
    fn a_directory_stands_for_what_is_in_it() {
        let expected = ["a.js", "lib", "lib/b.js"];
        for source in ["src", "src/", "./src", "src/**"] {
            assert_eq!(run(&[source], &[], false).unwrap(), expected, "{source}");
        }
    }

    #[test]
    fn parents_keeps_the_path() {
        assert_eq!(run(&["src/lib"], &[], true).unwrap(), ["src/lib", "src/lib/b.js"]);
    }

    #[test]
    fn a_wildcard_may_match_nothing_but_a_name_may_not() {
        let both = run(&["package.json", "*.lock"], &[], false).unwrap();
        assert_eq!(both, ["package.json"]);
        assert_eq!(run(&["*.lock"], &[], false), Err(SelectError::Missing("*.lock".into())));
        assert_eq!(run(&["nope"], &[], false), Err(SelectError::Missing("nope".into())));
    }

    #[test]
    fn excludes_cover_what_is_below_and_can_be_taken_back() {
        let kept = run(&["."], &["src", "*.md", "!src/lib"], false).unwrap();
        assert_eq!(kept, ["package-lock.json", "package.json", "src/lib", "src/lib/b.js"]);
    }

    #[test]
    fn a_star_stays_within_its_directory() {
        assert_eq!(run(&["src/*.js"], &[], false).unwrap(), ["a.js"]);
    }
}
