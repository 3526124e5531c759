//! `Gemfile` and `Gemfile.lock`: a look at the text, not an evaluation. A Gemfile is a program; what it
//! computes is not seen, and the lock file says what came of it.

use std::collections::BTreeMap;

/// A Gemfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Gemfile {
    /// Gems and the line that names each.
    gems: BTreeMap<String, usize>,
    /// What it says about Ruby.
    pub(crate) ruby: Option<RubyLine>,
    /// Folders of the source that gems come from.
    pub(crate) paths: Vec<String>,
    /// Whether it reads other files of the source: a gemspec, another Gemfile.
    pub(crate) reads_more: bool,
}

/// The line `ruby "3.2.1"`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RubyLine {
    pub(crate) line: usize,
    /// `3.2.1`, `~> 3.2`, `>= 3.1, < 3.4`; empty if a file says it.
    pub(crate) requirement: String,
    /// The file that says it.
    pub(crate) file: Option<String>,
    /// `jruby`
    pub(crate) engine: Option<String>,
}

/// A Gemfile.lock.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Lock {
    /// Gems with their versions.
    gems: BTreeMap<String, String>,
    pub(crate) platforms: Vec<String>,
    /// `3.2.1p31`, `3.1.4p0 (jruby 9.4.3.0)`
    pub(crate) ruby: Option<String>,
    /// Whether gems come from Git or from folders: only Bundler finds those.
    pub(crate) unpublished: bool,
}

impl Gemfile {
    /// Reads the text of a Gemfile.
    pub(crate) fn parse(text: &str) -> Self {
        let mut gemfile = Self::default();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            let (word, rest) = split_word(line);
            match word {
                "gem" => gemfile.gem(rest, n + 1),
                "ruby" => gemfile.ruby = gemfile.ruby.take().or(ruby_line(rest, n + 1)),
                "path" => gemfile.paths.extend(quoted(rest).first().cloned()),
                "gemspec" | "eval_gemfile" | "require_relative" => gemfile.reads_more = true,
                _ => {}
            }
        }
        gemfile
    }

    fn gem(&mut self, rest: &str, line: usize) {
        let words = quoted(rest);
        let Some(name) = words.first() else { return };
        self.gems.insert(name.clone(), line);
        self.paths.extend(option(rest, "path"));
    }

    /// The line that names a gem.
    pub(crate) fn line_of(&self, gem: &str) -> Option<usize> {
        self.gems.get(gem).copied()
    }

    /// Whether it names no gem.
    pub(crate) fn is_empty(&self) -> bool {
        self.gems.is_empty() && !self.reads_more
    }
}

impl Lock {
    /// Reads the text of a Gemfile.lock.
    pub(crate) fn parse(text: &str) -> Self {
        let mut lock = Self::default();
        let mut section = "";
        for line in text.lines() {
            if !line.starts_with(' ') {
                section = line.trim();
                lock.unpublished |= matches!(section, "GIT" | "PATH");
                continue;
            }
            match section {
                "PLATFORMS" => lock.platforms.push(line.trim().to_owned()),
                "RUBY VERSION" => {
                    lock.ruby = line.trim().strip_prefix("ruby ").map(str::to_owned);
                }
                "GEM" | "GIT" | "PATH" => lock.gem(line),
                _ => {}
            }
        }
        lock
    }

    /// `    rack (3.0.8)`; what stands further in is a requirement.
    fn gem(&mut self, line: &str) {
        let own = line.strip_prefix("    ").filter(|rest| !rest.starts_with(' '));
        let Some((name, version)) = own.and_then(|own| own.split_once(" (")) else { return };
        let version = version.trim_end_matches(')');
        // `1.16.2-x86_64-linux-gnu`: the same version for a platform.
        let version = version.split('-').next().unwrap_or(version);
        self.gems.insert(name.to_owned(), version.to_owned());
    }

    /// The version of a gem.
    pub(crate) fn version(&self, gem: &str) -> Option<&str> {
        self.gems.get(gem).map(String::as_str)
    }

    /// Whether it names no gem.
    pub(crate) fn is_empty(&self) -> bool {
        self.gems.is_empty()
    }

    /// Whether it was resolved for Linux. A lock file without platforms says nothing.
    pub(crate) fn fits_linux(&self) -> bool {
        let fits = |platform: &String| platform == "ruby" || platform.contains("linux");
        self.platforms.is_empty() || self.platforms.iter().any(fits)
    }
}

/// `gem("x")` → `("gem", "(\"x\")")`
fn split_word(line: &str) -> (&str, &str) {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    line.split_at(line.find(|c: char| !word(c)).unwrap_or(line.len()))
}

fn ruby_line(rest: &str, line: usize) -> Option<RubyLine> {
    if rest.contains("File.read") || rest.contains("file:") || rest.contains(":file") {
        let file = quoted(rest).into_iter().next();
        return Some(RubyLine { line, file, ..RubyLine::default() });
    }
    let engine = option(rest, "engine");
    let end = rest.find("engine").or_else(|| rest.find("patchlevel")).unwrap_or(rest.len());
    let versions = quoted(&rest[..end]);
    let known = !versions.is_empty() && !rest.contains("ENV");
    known.then(|| RubyLine { line, requirement: versions.join(", "), file: None, engine })
}

/// The text of `key: "text"` or `:key => "text"`.
fn option(rest: &str, key: &str) -> Option<String> {
    let at = [format!("{key}:"), format!(":{key} =>")]
        .iter()
        .find_map(|form| rest.find(form.as_str()).map(|at| at + form.len()))?;
    quoted(&rest[at..]).into_iter().next()
}

/// The quoted texts of a line, up to a comment.
fn quoted(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find(['"', '\'', '#']) {
        let quote = rest[at..].chars().next().unwrap_or('#');
        let inner = &rest[at + 1..];
        if quote == '#' {
            break;
        }
        let Some(end) = inner.find(quote) else { break };
        found.push(inner[..end].to_owned());
        rest = &inner[end + 1..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gemfile_is_read() {
        let gemfile = Gemfile::parse(
            "source \"https://rubygems.org\"\nruby '~> 3.2', '< 3.4' # x\n\ngem \"rails\", \"~> 7.1\"\n\
             # gem \"no\"\ngroup :test do\n  gem('rspec')\nend\ngem 'mine', path: 'engines/mine'\n",
        );
        assert_eq!(gemfile.line_of("rails"), Some(4));
        assert_eq!(gemfile.line_of("rspec"), Some(7));
        assert_eq!(gemfile.line_of("no"), None);
        assert_eq!(gemfile.paths, ["engines/mine"]);
        assert_eq!(gemfile.ruby.unwrap().requirement, "~> 3.2, < 3.4");
        assert!(!gemfile.reads_more);
        assert!(Gemfile::parse("source 'x'\ngemspec\n").reads_more);
    }

    #[test]
    fn what_it_says_about_ruby_is_understood() {
        let ruby = |line: &str| Gemfile::parse(line).ruby.unwrap_or_default();
        assert_eq!(ruby("ruby file: \".ruby-version\"").file.as_deref(), Some(".ruby-version"));
        let read = ruby("ruby File.read('.ruby-version').strip");
        assert_eq!(read.file.as_deref(), Some(".ruby-version"));
        let jruby = ruby("ruby '3.1.4', engine: 'jruby', engine_version: '9.4'");
        assert_eq!((jruby.requirement.as_str(), jruby.engine.as_deref()), ("3.1.4", Some("jruby")));
        let old = ruby("ruby '2.5.8', :engine => 'jruby'");
        assert_eq!(old.engine.as_deref(), Some("jruby"));
        assert_eq!(ruby("ruby ENV['RUBY'] || '3.2'"), RubyLine::default());
    }

    #[test]
    fn a_lock_file_is_read() {
        let lock = Lock::parse(
            "PATH\n  remote: .\n  specs:\n    mine (0.1)\n\nGEM\n  remote: https://rubygems.org/\n  specs:\n\
             \x20   nokogiri (1.16.2-x86_64-linux)\n      racc (~> 1.4)\n    rack (3.0.8)\n\n\
             PLATFORMS\n  arm64-darwin-22\n\nRUBY VERSION\n   ruby 3.2.1p31\n\nBUNDLED WITH\n   2.4.1\n",
        );
        assert_eq!((lock.version("rack"), lock.version("racc")), (Some("3.0.8"), None));
        assert_eq!(lock.version("nokogiri"), Some("1.16.2"));
        assert!(lock.unpublished && !lock.fits_linux());
        assert_eq!(lock.ruby.as_deref(), Some("3.2.1p31"));
        assert!(Lock::parse("").fits_linux());
    }
}
