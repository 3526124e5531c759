//! What a copy means: the files that its names pick, and where they go below the destination.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use super::pattern::{Pattern, has_wildcard, plain};
use super::{BadPattern, Rules};
use crate::rooted::{DEPTH_MAX, Entry, Kind, Root};

/// Where things are picked from, and what is left out.
pub(crate) struct Picker<'a> {
    /// The origin.
    pub(crate) root: &'a Root,
    /// What the origin does not show.
    pub(crate) ignore: Rules,
    /// What is left out below each name.
    pub(crate) exclude: Rules,
    /// Whether `.git` is left out.
    pub(crate) without_git: bool,
    /// Whether the path of each match is kept.
    pub(crate) parents: bool,
}

/// Something below a picked directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Below {
    /// It, by its path from the origin's root.
    pub(crate) entry: Entry,
    /// Its path below the destination.
    pub(crate) to: PathBuf,
    /// Whether a directory that is there keeps its mode and owner.
    pub(crate) only_new: bool,
}

/// What one match of a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Pick {
    /// A file or a link, with the name that it has where the destination is a directory.
    File(Entry, OsString),
    /// What is in a directory, parents first.
    Inside(Vec<Below>),
}

/// Why nothing can be picked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PickError {
    /// A name without wildcards that is not there.
    #[error("{0:?} is not there")]
    Missing(String),
    /// It is there, and the ignore file leaves it out.
    #[error("{0:?} is left out by the ignore file")]
    Ignored(String),
    /// A pattern cannot be read.
    #[error(transparent)]
    Pattern(#[from] BadPattern),
    /// The origin cannot be read.
    #[error("{path:?} cannot be read: {source}")]
    Io {
        /// What.
        path: String,
        /// Why.
        source: io::Error,
    },
}

impl Picker<'_> {
    /// What a name means. One with wildcards may mean nothing.
    pub(crate) fn pick(&self, name: &str) -> Result<Vec<Pick>, PickError> {
        if self.parents {
            return self.with_parents(name);
        }
        let name = clean(name);
        let found = if has_wildcard(&name) { self.wild(&name)? } else { vec![plain(&name).into()] };
        let wild = has_wildcard(&name);
        let mut picks = Vec::new();
        for path in found {
            picks.extend(self.one(&path, &name, wild)?);
        }
        Ok(picks)
    }

    /// A match: what it links to is taken in its place.
    fn one(&self, path: &Path, name: &str, wild: bool) -> Result<Option<Pick>, PickError> {
        let followed = self.root.canonical(path).map_err(|e| not_there(name, e))?;
        let hidden = self.hides(path) || self.hides(&followed);
        let entry = self.root.entry(&followed).map_err(|e| not_there(name, e))?;
        if self.is_git(path) || self.is_git(&followed) {
            return if wild { Ok(None) } else { Err(PickError::Missing(name.to_owned())) };
        }
        let own = path.file_name().unwrap_or_default().to_owned();
        if entry.kind != Kind::Dir {
            if hidden {
                return if wild { Ok(None) } else { Err(PickError::Ignored(name.to_owned())) };
            }
            if wild && self.exclude.hit(Path::new(&own)) {
                return Ok(None);
            }
            return Ok(Some(Pick::File(entry, own)));
        }
        let mut below = Vec::new();
        let mut walk = Walk { picker: self, include: None, out: &mut below };
        walk.folder(&followed, Path::new(""), true, &mut Vec::new())?;
        match below.is_empty() && hidden {
            true if wild => Ok(None),
            true => Err(PickError::Ignored(name.to_owned())),
            false => Ok(Some(Pick::Inside(below))),
        }
    }

    /// Matches of a name with wildcards, in the order of names. What is in a match is no match.
    fn wild(&self, name: &str) -> Result<Vec<PathBuf>, PickError> {
        let parts: Vec<&str> = name.split('/').collect();
        let first = parts.iter().position(|part| has_wildcard(part)).unwrap_or(0);
        let base = PathBuf::from(plain(&parts[..first].join("/")));
        let Ok(base) = self.root.canonical(&base) else { return Ok(Vec::new()) };
        if !self.root.is_dir(&base) {
            return Ok(Vec::new());
        }
        let pattern = Pattern::of_name(&parts[first..].join("/"))?;
        let mut found = Vec::new();
        self.wild_in(&base, &base, &pattern, parts.len() - first, &mut found)?;
        Ok(found)
    }

    fn wild_in(
        &self,
        base: &Path,
        folder: &Path,
        pattern: &Pattern,
        depth: usize,
        found: &mut Vec<PathBuf>,
    ) -> Result<(), PickError> {
        for entry in self.children(folder)? {
            let below = entry.path.strip_prefix(base).unwrap_or(&entry.path);
            let is_dir = entry.kind == Kind::Dir;
            if pattern.matches(below) {
                found.push(entry.path);
            } else if is_dir && depth > 1 {
                self.wild_in(base, &entry.path, pattern, depth - 1, found)?;
            }
        }
        Ok(())
    }

    fn with_parents(&self, name: &str) -> Result<Vec<Pick>, PickError> {
        let (base, rest) = name.split_once("/./").unwrap_or(("", name));
        let (base, rest) = (clean(base), clean(rest));
        let bases = if has_wildcard(&base) { self.wild(&base)? } else { vec![plain(&base).into()] };
        let required = !has_wildcard(&base) && !has_wildcard(&rest);
        let include = if rest.is_empty() { None } else { Some(Pattern::of_rule(&rest)?) };
        let mut picks = Vec::new();
        for base in bases {
            let followed = self.root.canonical(&base).map_err(|e| not_there(name, e))?;
            if !self.root.is_dir(&followed) {
                continue;
            }
            let mut below = Vec::new();
            let all = include.is_none();
            let mut walk = Walk { picker: self, include: include.as_ref(), out: &mut below };
            walk.folder(&followed, Path::new(""), all, &mut Vec::new())?;
            if below.is_empty() && required {
                return Err(PickError::Missing(name.to_owned()));
            }
            picks.push(Pick::Inside(below));
        }
        Ok(picks)
    }

    fn children(&self, folder: &Path) -> Result<Vec<Entry>, PickError> {
        let mut entries = self
            .root
            .children(folder)
            .map_err(|source| PickError::Io { path: folder.display().to_string(), source })?;
        if self.without_git {
            entries.retain(|entry| entry.path.file_name() != Some(OsStr::new(".git")));
        }
        Ok(entries)
    }

    fn hides(&self, path: &Path) -> bool {
        self.ignore.hit(path)
    }

    fn is_git(&self, path: &Path) -> bool {
        self.without_git && path.components().any(|c| c.as_os_str() == ".git")
    }
}

/// A walk below one folder. Folders that are left out, or not yet included, wait in `pending` until
/// something below them is taken.
struct Walk<'a, 'b> {
    picker: &'a Picker<'b>,
    include: Option<&'a Pattern>,
    out: &'a mut Vec<Below>,
}

impl Walk<'_, '_> {
    fn folder(
        &mut self,
        folder: &Path,
        to: &Path,
        included: bool,
        pending: &mut Vec<Below>,
    ) -> Result<(), PickError> {
        if to.components().count() > DEPTH_MAX {
            let source = io::Error::other("the directories are nested too deeply");
            return Err(PickError::Io { path: folder.display().to_string(), source });
        }
        for entry in self.picker.children(folder)? {
            let to = to.join(entry.path.file_name().unwrap_or_default());
            let ignored = self.picker.ignore.hit(&entry.path);
            let excluded = self.picker.exclude.hit(&to);
            let included = included || self.include.is_some_and(|pattern| pattern.matches(&to));
            let (is_dir, path) = (entry.kind == Kind::Dir, entry.path.clone());
            let below = Below { entry, to, only_new: self.include.is_some() };
            if included && !ignored && !excluded {
                let to = below.to.clone();
                self.out.append(pending);
                self.out.push(below);
                if is_dir {
                    self.folder(&path, &to, true, pending)?;
                }
            } else if is_dir
                && (!ignored || self.picker.ignore.takes_back())
                && (!excluded || self.picker.exclude.takes_back())
            {
                let (to, waiting) = (below.to.clone(), pending.len());
                pending.push(below);
                self.folder(&path, &to, included, pending)?;
                pending.truncate(waiting.min(pending.len()));
            }
        }
        Ok(())
    }
}

/// Without slashes at both ends and without `.`; empty for the root.
fn clean(name: &str) -> String {
    name.split('/').filter(|part| !part.is_empty() && *part != ".").collect::<Vec<_>>().join("/")
}

fn not_there(name: &str, source: io::Error) -> PickError {
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
            PickError::Missing(name.to_owned())
        }
        _ => PickError::Io { path: name.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for path in ["src/a.js", "src/b.ts", "src/lib/c.js", "docs/x.md", "one", ".git/config"] {
            let file = dir.path().join(path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, path).unwrap();
        }
        std::os::unix::fs::symlink("src", dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink("one", dir.path().join("two")).unwrap();
        dir
    }

    struct Case<'a> {
        ignore: &'a [&'a str],
        exclude: &'a [&'a str],
        parents: bool,
    }

    const PLAIN: Case<'_> = Case { ignore: &[], exclude: &[], parents: false };

    fn run(name: &str, case: &Case<'_>) -> Result<Vec<String>, PickError> {
        let dir = tree();
        let root = Root::open(dir.path()).unwrap();
        let rules = |lines: &[&str]| {
            Rules::new(&lines.iter().map(|l| (*l).to_owned()).collect::<Vec<_>>()).unwrap()
        };
        let picker = Picker {
            root: &root,
            ignore: rules(case.ignore),
            exclude: rules(case.exclude),
            without_git: true,
            parents: case.parents,
        };
        let mut found = Vec::new();
        for pick in picker.pick(name)? {
            match pick {
                Pick::File(entry, name) => {
                    found.push(format!("{} as {}", entry.path.display(), name.display()));
                }
                Pick::Inside(below) => {
                    found.extend(below.iter().map(|b| b.to.display().to_string()));
                }
            }
        }
        Ok(found)
    }

    #[track_caller]
    fn check(name: &str, case: &Case<'_>, expected: &[&str]) {
        assert_eq!(run(name, case).unwrap(), expected, "{name}");
    }

    #[test]
    fn a_folder_stands_for_what_is_in_it_and_a_link_for_what_it_leads_to() {
        check("src", &PLAIN, &["a.js", "b.ts", "lib", "lib/c.js"]);
        check("./src/", &PLAIN, &["a.js", "b.ts", "lib", "lib/c.js"]);
        check("link", &PLAIN, &["a.js", "b.ts", "lib", "lib/c.js"]);
        check("two", &PLAIN, &["one as two"]);
        check("src/*.js", &PLAIN, &["src/a.js as a.js"]);
        check("src/*", &PLAIN, &["src/a.js as a.js", "src/b.ts as b.ts", "c.js"]);
        check("no*", &PLAIN, &[]);
        assert!(matches!(run("nope", &PLAIN), Err(PickError::Missing(_))));
        assert!(run(".git", &PLAIN).is_err());
        assert_eq!(run(".", &PLAIN).unwrap().len(), 10);
    }

    #[test]
    fn what_is_ignored_is_not_there_and_what_is_taken_back_is() {
        let case = Case { ignore: &["src", "!src/lib"], ..PLAIN };
        check("src", &case, &["lib", "lib/c.js"]);
        check("src/*", &case, &["c.js"]);
        assert!(matches!(run("src/a.js", &case), Err(PickError::Ignored(_))));
        let all = Case { ignore: &["*"], ..PLAIN };
        assert!(matches!(run("src", &all), Err(PickError::Ignored(_))));
        check("s*", &all, &[]);
    }

    #[test]
    fn exclusions_are_below_each_name() {
        check("src", &Case { exclude: &["*.js"], ..PLAIN }, &["b.ts", "lib", "lib/c.js"]);
        check("src", &Case { exclude: &["**/*.js"], ..PLAIN }, &["b.ts", "lib"]);
        check("src/*", &Case { exclude: &["*.js"], ..PLAIN }, &["src/b.ts as b.ts"]);
    }

    #[test]
    fn parents_are_kept_from_the_pivot_on() {
        let case = Case { parents: true, ..PLAIN };
        check("src/lib/c.js", &case, &["src", "src/lib", "src/lib/c.js"]);
        check("src/./lib/c.js", &case, &["lib", "lib/c.js"]);
        check("**/*.js", &case, &["src", "src/a.js", "src/lib", "src/lib/c.js"]);
        check("src/./lib", &case, &["lib", "lib/c.js"]);
        assert!(matches!(run("src/nope", &case), Err(PickError::Missing(_))));
    }
}
