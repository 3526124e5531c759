//! What a Python application declares: `requirements.txt` and `pyproject.toml`.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};
use windlass_sdk::{PluginError, Source};

/// Name of the PEP 621 file.
pub const PYPROJECT: &str = "pyproject.toml";
/// Name of pip's file.
pub const REQUIREMENTS: &str = "requirements.txt";

/// The declared dependencies of an application.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifests {
    /// Text of requirements.txt.
    pub requirements: Option<String>,
    /// pyproject.toml.
    pub pyproject: Option<Pyproject>,
}

/// What is read of a pyproject.toml.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pyproject {
    /// Whether there is a `[project]` table.
    pub project: bool,
    /// `project.name`
    pub name: Option<String>,
    /// `project.dependencies`
    pub dependencies: Vec<String>,
    /// Whether the dependencies are computed by the build backend.
    pub dynamic: bool,
    /// `project.requires-python`, or Poetry's `python`.
    pub requires_python: Option<String>,
    /// Names in `project.scripts`.
    pub scripts: Vec<String>,
    /// Whether there is a `[build-system]`.
    pub build_system: bool,
    /// Names of the dependencies in `[tool.poetry.dependencies]`.
    pub poetry: Option<Vec<String>>,
}

impl Manifests {
    /// The application's manifests.
    ///
    /// # Errors
    /// Code `python.pyproject-invalid` with line and column; `source.unreadable`.
    pub fn read(source: &Source) -> Result<Self, PluginError> {
        source.prefetch(&[REQUIREMENTS, PYPROJECT]);
        let pyproject = source.text(PYPROJECT)?.map(|text| Pyproject::parse(&text)).transpose()?;
        Ok(Self { requirements: source.text(REQUIREMENTS)?, pyproject })
    }

    /// Where a package is declared, as file and key; `None` when it is not.
    pub fn declares(&self, package: &str) -> Option<(&'static str, String)> {
        let lines = self.requirements.iter().flat_map(|text| text.lines());
        for (n, line) in lines.enumerate() {
            if name_of(line).as_deref() == Some(package) {
                return Some((REQUIREMENTS, format!("line {}: {}", n + 1, line.trim())));
            }
        }
        let pyproject = self.pyproject.as_ref()?;
        let named = |line: &String| name_of(line).as_deref() == Some(package);
        if let Some(line) = pyproject.dependencies.iter().find(|line| named(line)) {
            return Some((PYPROJECT, format!("project.dependencies: {line}")));
        }
        let poetry = pyproject.poetry.iter().flatten().any(named);
        poetry.then(|| (PYPROJECT, format!("tool.poetry.dependencies.{package}")))
    }

    /// Whether anything is declared at all.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_none() && self.pyproject.is_none()
    }

    /// Names of all declared packages, normalised.
    pub fn names(&self) -> BTreeSet<String> {
        let lines = self.requirements.iter().flat_map(|text| text.lines()).map(str::to_owned);
        let of_project = |p: &Pyproject| {
            p.dependencies.iter().chain(p.poetry.iter().flatten()).cloned().collect::<Vec<_>>()
        };
        let project = self.pyproject.iter().flat_map(of_project);
        lines.chain(project).filter_map(|line| name_of(&line)).collect()
    }
}

impl Pyproject {
    /// Reads the text of a pyproject.toml.
    ///
    /// # Errors
    /// Code `python.pyproject-invalid` with line and column.
    pub fn parse(text: &str) -> Result<Self, PluginError> {
        let text = text.trim_start_matches('\u{feff}');
        let table = DeTable::parse(text).map_err(|error| {
            let (line, column) = place(text, error.span().map_or(0, |span| span.start));
            let message = format!(
                "pyproject.toml does not read: {} at line {line} column {column}",
                error.message().trim()
            );
            PluginError::new("python.pyproject-invalid", message).hint(format!(
                "repair pyproject.toml at line {line}, column {column}, then deploy again"
            ))
        })?;
        Ok(Self::of(&DeValue::Table(table.into_inner())))
    }

    fn of(file: &DeValue<'_>) -> Self {
        let project = |key: &str| at(file, &["project", key]);
        let list = |key: &str| -> Vec<String> {
            let items = project(key).and_then(DeValue::as_array);
            items.into_iter().flatten().filter_map(|item| text_of(item.get_ref())).collect()
        };
        let keys = |value: &DeValue<'_>| -> Vec<String> {
            let keys = value.as_table().into_iter().flat_map(DeTable::keys);
            keys.map(|key| key.get_ref().to_string()).collect()
        };
        let poetry = ["tool", "poetry", "dependencies"];
        let poetry_python = at(file, &["tool", "poetry", "dependencies", "python"]);
        Self {
            project: at(file, &["project"]).is_some(),
            name: project("name").and_then(text_of),
            dependencies: list("dependencies"),
            dynamic: list("dynamic").iter().any(|key| key == "dependencies"),
            requires_python: project("requires-python").or(poetry_python).and_then(text_of),
            scripts: project("scripts").map(keys).unwrap_or_default(),
            build_system: at(file, &["build-system"]).is_some(),
            poetry: at(file, &poetry).map(keys),
        }
    }
}

/// The value below these keys.
fn at<'a, 'i>(file: &'a DeValue<'i>, keys: &[&str]) -> Option<&'a DeValue<'i>> {
    keys.iter().try_fold(file, |value, key| Some(value.get(*key)?.get_ref()))
}

fn text_of(value: &DeValue<'_>) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// Line and column of a byte offset, from 1.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    (line, column)
}

/// The normalised name in a requirement: `Flask_Login[x]>=1 ; ...` → `flask-login`. `None` for
/// comments, options and paths.
pub fn name_of(requirement: &str) -> Option<String> {
    let line = requirement.trim();
    let end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        .unwrap_or(line.len());
    let name = &line[..end];
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || line[end..].starts_with('/') {
        return None;
    }
    let mut normal = String::new();
    for c in name.chars() {
        match c {
            '-' | '_' | '.' if normal.ends_with('-') => {}
            '-' | '_' | '.' => normal.push('-'),
            c => normal.push(c.to_ascii_lowercase()),
        }
    }
    Some(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_out_of_requirements() {
        for (line, name) in [
            ("Flask==3.0", Some("flask")),
            ("  Flask_Login[x] >= 1 ; python_version > '3'", Some("flask-login")),
            ("zope.interface", Some("zope-interface")),
            ("pkg @ git+https://example.org/pkg", Some("pkg")),
            ("-r base.txt", None),
            ("# flask", None),
            ("./local", None),
            ("libs/local", None),
            ("", None),
        ] {
            assert_eq!(name_of(line).as_deref(), name, "{line}");
        }
    }

    #[test]
    fn a_broken_pyproject_is_named_with_its_place_and_a_fix() {
        let error = Pyproject::parse("[project]\nname = \n").unwrap_err();
        assert_eq!(error.code, "python.pyproject-invalid");
        assert!(error.message.contains("line 2"), "{}", error.message);
        assert!(error.hint.unwrap().contains("line 2"));
    }

    #[test]
    fn the_project_table_is_read() {
        let project = Pyproject::parse(
            "[project]\nname='shop'\nrequires-python='>=3.10'\ndependencies=['flask','gunicorn>=20']\n\
             [project.scripts]\nshop='shop:main'\n[build-system]\nrequires=[]\n",
        )
        .unwrap();
        assert_eq!(project.dependencies, ["flask", "gunicorn>=20"]);
        assert_eq!(project.scripts, ["shop"]);
        assert!(project.project && project.build_system && !project.dynamic);
        let manifests = Manifests { pyproject: Some(project), requirements: None };
        let key = "project.dependencies: gunicorn>=20".to_owned();
        assert_eq!(manifests.declares("gunicorn"), Some((PYPROJECT, key)));
        assert_eq!(manifests.declares("django"), None);
    }

    #[test]
    fn poetry_is_recognised() {
        let text = "[tool.poetry.dependencies]\npython='^3.11'\nflask='^3'\n";
        let project = Pyproject::parse(text).unwrap();
        assert!(!project.project);
        assert_eq!(project.requires_python.as_deref(), Some("^3.11"));
        assert_eq!(project.poetry.unwrap(), ["flask", "python"]);
    }
}
