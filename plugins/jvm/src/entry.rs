//! Main classes: the file whose `main` starts the application.

use crate::app::join;
use crate::facts::Facts;

/// Files with these names are read first.
const NAMES: [&str; 6] = ["application", "main", "app", "server", "bootstrap", "launcher"];
const READ_MAX: usize = 60;
const ENDINGS: [&str; 3] = [".java", ".kt", ".scala"];

/// A file with a main class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: String,
    /// `com.example.Main`
    pub(crate) class: String,
    /// Its text, where it could be read.
    pub(crate) text: String,
}

impl Entry {
    /// Whether it was read and does not mention this word.
    pub(crate) fn lacks(&self, word: &str) -> bool {
        !self.text.trim().is_empty() && !self.text.contains(word)
    }
}

/// The main class of a module; several are as good as none unless one has the usual name.
pub(crate) fn find(facts: &Facts, module: &str) -> Option<Entry> {
    in_folder(facts, &join(module, "src/main"))
}

/// The main class among the files below a folder.
pub(crate) fn in_folder(facts: &Facts, folder: &str) -> Option<Entry> {
    let mut paths: Vec<&str> = facts.below(folder, &ENDINGS).collect();
    paths.sort_by_key(|path| (rank(path), path.matches('/').count(), path.len()));
    paths.truncate(READ_MAX);
    facts.source.prefetch(&paths);
    let entries: Vec<Entry> = paths
        .iter()
        .map(|path| read(path, &facts.text(path)))
        .filter(|entry| {
            has_main(&entry.text) || (entry.text.trim().is_empty() && rank(&entry.path) < 2)
        })
        .collect();
    let sure = || entries.iter().filter(|entry| !entry.text.trim().is_empty());
    match sure().count() {
        0 => entries.first().cloned(),
        1 => sure().next().cloned(),
        // Several programs: the one with the usual name, if only one has it.
        _ => {
            let best = sure().map(|entry| rank(&entry.path)).min()?;
            let mut named = sure().filter(|entry| rank(&entry.path) == best);
            let first = named.next()?;
            (best < 2 && named.next().is_none()).then(|| first.clone())
        }
    }
}

/// 0 for a usual name, 1 for a name that ends in one, 2 for others.
fn rank(path: &str) -> u8 {
    let file = path.rsplit('/').next().unwrap_or(path);
    let stem = file.split('.').next().unwrap_or(file).to_ascii_lowercase();
    match stem.as_str() {
        stem if NAMES.contains(&stem) => 0,
        stem if NAMES.iter().any(|name| stem.ends_with(name)) => 1,
        _ => 2,
    }
}

fn has_main(text: &str) -> bool {
    let java = text.contains("static void main(") || text.contains("static public void main(");
    let modern = text.lines().any(|line| line.trim_start().starts_with("void main("));
    let kotlin = text.lines().any(|line| {
        let line = line.trim_start();
        line.starts_with("fun main(") || line.starts_with("suspend fun main(")
    });
    let scala =
        text.contains("def main(") || text.contains("extends App") || text.contains("@main");
    let modern = modern || text.contains("static void main (");
    java || modern || kotlin || scala || text.contains("@JvmStatic fun main")
}

/// The class that a file makes, by its package and its name.
pub(crate) fn read(path: &str, text: &str) -> Entry {
    let file = path.rsplit('/').next().unwrap_or(path);
    let (stem, ending) = file.rsplit_once('.').unwrap_or((file, ""));
    let declared = text.lines().map(str::trim).find_map(|line| {
        let name = line.strip_prefix("package ")?.trim().trim_end_matches(';').trim();
        Some(name.to_owned())
    });
    let package = declared.unwrap_or_else(|| {
        let below = ["src/main/java/", "src/main/kotlin/", "src/main/scala/"]
            .iter()
            .find_map(|folder| path.split_once(folder).map(|(_, below)| below));
        let folder =
            below.and_then(|below| below.rsplit_once('/')).map_or("", |(folder, _)| folder);
        folder.replace('/', ".")
    });
    let top = ending == "kt"
        && text
            .lines()
            .any(|line| line.starts_with("fun main(") || line.starts_with("suspend fun main("));
    let class = if top || (ending == "kt" && text.trim().is_empty()) {
        format!("{}Kt", capitalised(stem))
    } else {
        stem.to_owned()
    };
    let class = if package.is_empty() { class } else { format!("{package}.{class}") };
    Entry { path: path.to_owned(), class, text: text.to_owned() }
}

fn capitalised(name: &str) -> String {
    let mut letters = name.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + letters.as_str())
}
