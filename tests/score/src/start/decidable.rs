//! Which start labels the trees can decide at all. Source files are empty in them, so a label may ask
//! for what only a source file says.
//!
//! The two rules look at the label and the tree, never at what the plugins answered.

use super::Start;
use super::package;
use super::words::split;
use crate::corpus::Tree;

/// Words of tools and of their conventions: every reader knows them.
const KNOWN: [&str; 47] = [
    "node",
    "bun",
    "deno",
    "npm",
    "pnpm",
    "yarn",
    "turbo",
    "nx",
    "python",
    "gunicorn",
    "uvicorn",
    "hypercorn",
    "flask",
    "fastapi",
    "streamlit",
    "ruby",
    "rackup",
    "rails",
    "puma",
    "server",
    "java",
    "jar",
    "sh",
    "run",
    "start",
    "app",
    "application",
    "main",
    "index",
    "js",
    "mjs",
    "cjs",
    "ts",
    "py",
    "rb",
    "dist",
    "build",
    "output",
    "out",
    "target",
    "next",
    "nuxt",
    "entrypoint",
    "php",
    "artisan",
    "mix",
    "phx",
];

/// Commands that serve what a framework rendered on the server.
const SERVES_RENDERED: [&str; 6] =
    ["next start", "nuxt start", "nuxi start", "remix-serve", "react-router-serve", "node "];

/// Why the label's start cannot be found in the tree; `None` if it can.
pub(crate) fn undecidable(wanted: &Start, tree: &Tree) -> Option<String> {
    match wanted {
        Start::Served => configuration(tree),
        Start::Command { text, .. } => names(text, tree),
    }
}

/// **Names**: every name in the label occurs in a path or in a file with content, or is a convention of
/// its tool. One that occurs nowhere is in a file that is empty here.
fn names(text: &str, tree: &Tree) -> Option<String> {
    let texts = || tree.manifests.values();
    let known = |name: &str| {
        KNOWN.contains(&name)
            || tree.files.iter().any(|path| path.contains(name))
            || texts().any(|text| text.contains(name))
    };
    let words = split(text);
    let words = words.iter().filter(|word| !word.starts_with(['-', '$', '*']));
    let names = words.flat_map(|word| word.split(['/', ':', '.', '=', '*', '$', '(', ')']));
    let unknown = names.filter(|name| name.len() > 1).find(|name| !known(name))?;
    Some(format!(
        "{unknown:?} is the name of nothing in the tree: it is in a file that is empty here"
    ))
}

/// **Configuration**: the label serves files, and the `start` script starts the framework's server. Only
/// the framework's configuration, which is a program and empty here, says which of the two it is.
fn configuration(tree: &Tree) -> Option<String> {
    let start = package::script(tree, "", "start")?;
    let renders = SERVES_RENDERED.iter().any(|command| start.contains(command));
    let is_config = |path: &&String| {
        let name = path.rsplit('/').next().unwrap_or(path);
        let program = [".js", ".mjs", ".ts", ".cjs"].iter().any(|ending| name.ends_with(ending));
        name.contains(".config.") && program && tree.text(path).is_none()
    };
    let config = tree.files.iter().find(is_config)?;
    let why = format!("{config} is empty here, and says whether {start:?} is needed");
    renders.then_some(why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::of_line;

    #[test]
    fn a_name_that_occurs_nowhere_is_not_decidable() {
        let files = vec!["mix.exs".to_owned(), "lib/friends.ex".to_owned()];
        let tree = Tree { files, ..Tree::default() };
        let check = |line: &str| undecidable(&of_line(line, &tree), &tree);
        assert_eq!(check("bin/friends start"), None);
        assert_eq!(check("python main.py --verbose"), None);
        assert!(check("bin/strangers start").unwrap().contains("strangers"));
    }

    #[test]
    fn an_empty_configuration_hides_that_files_are_served() {
        let package = |start: &str| {
            let text = format!(r#"{{"scripts":{{"start":"{start}"}}}}"#);
            let manifests = [("package.json".to_owned(), text)].into();
            let files = vec!["next.config.js".to_owned()];
            Tree { files, manifests, ..Tree::default() }
        };
        assert!(undecidable(&Start::Served, &package("next start")).is_some());
        assert!(undecidable(&Start::Served, &package("ng serve")).is_none());
    }
}
