//! `Procfile`: a line for each process.

use windlass_sdk::{PluginError, Source};

/// A process of a Procfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `web`, `worker`, `release`, ...
    pub name: String,
    /// Its command line.
    pub command: String,
    /// Line in the file, from 1.
    pub line: usize,
}

/// Name of the file.
pub const FILE: &str = "Procfile";

/// The entries of the application's Procfile; none without one.
///
/// # Errors
/// Code `source.unreadable`.
pub fn read(source: &Source) -> Result<Vec<Entry>, PluginError> {
    Ok(source.text(FILE)?.map(|text| parse(&text)).unwrap_or_default())
}

/// The entries of a Procfile, in order; comments and lines without a colon are none.
pub fn parse(text: &str) -> Vec<Entry> {
    let entry = |(n, line): (usize, &str)| {
        let (name, command) = line.split_once(':')?;
        let (name, command) = (name.trim(), command.trim());
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        let fits = !name.is_empty() && name.chars().all(good) && !command.is_empty();
        fits.then(|| Entry { name: name.to_owned(), command: command.to_owned(), line: n + 1 })
    };
    text.lines().enumerate().filter_map(entry).collect()
}

/// A name that the contract takes for a process: lower case, hyphens.
pub fn process_name(name: &str) -> String {
    let good = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(good).collect::<String>().trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_comments_are_not() {
        let found = parse(
            "# web: no\nweb: node a.js --x: y\r\n\nrelease:  npm run migrate\nodd line\nx y: z\n",
        );
        let seen: Vec<_> =
            found.iter().map(|e| (e.name.as_str(), e.command.as_str(), e.line)).collect();
        assert_eq!(seen, [("web", "node a.js --x: y", 2), ("release", "npm run migrate", 4)]);
    }
}
