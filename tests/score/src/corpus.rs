//! The trees: one JSON object a line.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// A tree with what it is said to be.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Tree {
    /// `source:path`
    pub(crate) id: String,
    /// The label's name of the language.
    pub(crate) language: Option<String>,
    /// The label's id of the framework.
    pub(crate) framework: Option<String>,
    /// The label's start command.
    pub(crate) start: Option<String>,
    /// Every file.
    pub(crate) files: Vec<String>,
    /// The content of some of them; the others are empty.
    pub(crate) manifests: BTreeMap<String, String>,
    /// For trees that must match nothing, or only this detection.
    pub(crate) expected: Option<String>,
}

impl Tree {
    /// Who labelled it: what stands before the colon.
    pub(crate) fn source(&self) -> &str {
        self.id.split_once(':').map_or("other", |(source, _)| source)
    }

    /// Writes the tree into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let nothing = String::new();
        for file in self.files.iter().chain(self.manifests.keys()) {
            let path = folder.join(inside(file)?);
            if file.ends_with('/') {
                std::fs::create_dir_all(&path)?;
                continue;
            }
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            let content = self.manifests.get(file).unwrap_or(&nothing);
            std::fs::write(&path, content).with_context(|| format!("{}: {file}", self.id))?;
        }
        Ok(())
    }

    /// A file's content; `None` if it is empty or missing.
    pub(crate) fn text(&self, path: &str) -> Option<&str> {
        self.manifests.get(path).map(String::as_str).filter(|text| !text.trim().is_empty())
    }

    /// A JSON file.
    pub(crate) fn json(&self, path: &str) -> Option<serde_json::Value> {
        serde_json::from_str(self.text(path)?.trim_start_matches('\u{feff}')).ok()
    }
}

/// A path that stays below the folder.
fn inside(file: &str) -> Result<PathBuf> {
    let path = Path::new(file);
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_) | Component::CurDir);
    if !path.components().all(plain) {
        bail!("the path {file:?} leaves the tree");
    }
    Ok(path.to_owned())
}

/// Reads all trees of a file.
pub(crate) fn read(file: &Path) -> Result<Vec<Tree>> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let parse = |(number, line): (usize, &str)| {
        serde_json::from_str(line).with_context(|| format!("{}:{}", file.display(), number + 1))
    };
    lines.map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_written_with_its_manifests_and_never_outside() {
        let folder = tempfile::tempdir().unwrap();
        let line =
            r#"{"id":"a:b","files":["src/x.go","go.mod"],"manifests":{"go.mod":"module x"}}"#;
        let tree: Tree = serde_json::from_str(line).unwrap();
        tree.write(folder.path()).unwrap();
        let read = |name| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("src/x.go").as_str(), read("go.mod").as_str()), ("", "module x"));
        assert_eq!(tree.source(), "a");
        for outside in ["../x", "/x", "a/../../x"] {
            let tree = Tree { files: vec![outside.to_owned()], ..Tree::default() };
            assert!(tree.write(folder.path()).is_err(), "{outside}");
        }
    }
}
