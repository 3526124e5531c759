//! What a Python application declares: pip's requirements files, `pyproject.toml`, `Pipfile`, `setup.py`.

use std::collections::BTreeSet;

use toml::Spanned;
use toml::de::{DeTable, DeValue};
use windlass_sdk::{PluginError, Source};

use crate::conda::Conda;

/// Name of the PEP 621 file.
pub const PYPROJECT: &str = "pyproject.toml";
/// Name of pip's file.
pub const REQUIREMENTS: &str = "requirements.txt";

/// Name of Pipenv's file.
pub const PIPFILE: &str = "Pipfile";
/// Where the requirements of what runs are, the first that exists. Those of development are none of them.
pub const REQUIREMENT_FILES: [&str; 10] = [
    REQUIREMENTS,
    "requirements/production.txt",
    "requirements/prod.txt",
    "requirements-prod.txt",
    "requirements-production.txt",
    "requirements/base.txt",
    "requirements/common.txt",
    "requirements/main.txt",
    "requirements/requirements.txt",
    "requirements.in",
];
/// Files that include each other are followed this far.
const INCLUDES_MAX: usize = 20;
/// Poetry's groups that belong to what runs.
const RUN_GROUPS: [&str; 6] = ["prod", "production", "deploy", "server", "web", "runtime"];

/// The declared dependencies of an application.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifests {
    /// Text of the requirements file.
    pub requirements: Option<String>,
    /// Its path: one of [`REQUIREMENT_FILES`], empty without one.
    pub requirements_file: &'static str,
    /// Files that it includes, and those that they include: path and text.
    pub included: Vec<(String, String)>,
    /// pyproject.toml.
    pub pyproject: Option<Pyproject>,
    /// Pipfile.
    pub pipfile: Option<Pipfile>,
    /// Requirements in setup.py or setup.cfg, and which of them it is; `None` without either.
    pub setup: Option<(&'static str, Vec<String>)>,
    /// Conda's environment, where no other manifest declares anything.
    pub conda: Option<Conda>,
}

/// What is read of a Pipfile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pipfile {
    /// Names of the packages; with extras as in a requirement.
    pub packages: Vec<String>,
    /// `requires.python_full_version`, or `requires.python_version`: key and version.
    pub python: Option<(&'static str, String)>,
}

/// What is read of a pyproject.toml.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pyproject {
    /// Whether there is a `[project]` table.
    pub project: bool,
    /// `project.name`, or Poetry's.
    pub name: Option<String>,
    /// `project.dependencies`
    pub dependencies: Vec<String>,
    /// Whether the dependencies are computed by the build backend.
    pub dynamic: bool,
    /// `project.requires-python`, or Poetry's `python`.
    pub requires_python: Option<String>,
    /// Names in `project.scripts`, or Poetry's.
    pub scripts: Vec<String>,
    /// Whether there is a `[build-system]`.
    pub build_system: bool,
    /// Names of the dependencies in `[tool.poetry.dependencies]`, with extras as in a requirement.
    pub poetry: Option<Vec<String>>,
    /// Poetry's groups that belong to what runs.
    pub poetry_groups: Vec<String>,
    /// Whether it says itself to be a package, or to be none: `tool.uv.package` and its like.
    pub package: Option<bool>,
    /// Whether it carries what only a package index shows: classifiers or keywords.
    pub published: bool,
    /// `tool.uv.required-version`
    pub uv_version: Option<String>,
    /// Whether `tool.uv.sources` says where packages come from.
    pub uv_sources: bool,
    /// Whether there is a `[tool.uv.workspace]`.
    pub uv_workspace: bool,
    /// Whether a source is another member of a workspace.
    pub uv_member: bool,
}

impl Manifests {
    /// The application's manifests.
    ///
    /// # Errors
    /// Code `python.pyproject-invalid` with line and column; `source.unreadable`.
    pub fn read(source: &Source) -> Result<Self, PluginError> {
        source.prefetch(&REQUIREMENT_FILES);
        source.prefetch(&[PYPROJECT, PIPFILE, "setup.py", "setup.cfg"]);
        let pyproject = source.text(PYPROJECT)?.map(|text| Pyproject::parse(&text)).transpose()?;
        let text = |file: &str| source.text(file).ok().flatten();
        let mut found = Self { pyproject, ..Self::default() };
        found.pipfile = text(PIPFILE).map(|text| Pipfile::parse(&text));
        for file in ["setup.py", "setup.cfg"] {
            let requires = text(file).map(|text| (file, setup_requires(&text)));
            found.setup = found.setup.or(requires);
        }
        for file in REQUIREMENT_FILES {
            if let Some(text) = source.text(file)? {
                found.included = included(source, file, &text);
                (found.requirements, found.requirements_file) = (Some(text), file);
                break;
            }
        }
        let project = found.pyproject.as_ref().is_some_and(|p| p.project || p.poetry.is_some());
        let declared = project || found.requirements.is_some() || found.pipfile.is_some();
        if !declared && found.setup.is_none() {
            found.conda = Conda::read(source);
        }
        Ok(found)
    }

    /// Where a package is declared, as file and key; `None` when it is not.
    pub fn declares(&self, package: &str) -> Option<(&'static str, String)> {
        let named = |line: &String| name_of(line).as_deref() == Some(package);
        let in_text = |text: &str| {
            let line = |(n, line): (usize, &str)| format!("line {}: {}", n + 1, line.trim());
            let named = |(_, line): &(usize, &str)| name_of(line).as_deref() == Some(package);
            text.lines().enumerate().find(named).map(line)
        };
        if let Some(line) = self.requirements.as_deref().and_then(in_text) {
            return Some((self.file(), line));
        }
        for (path, text) in &self.included {
            if let Some(line) = in_text(text) {
                return Some((self.file(), format!("{path} {line}")));
            }
        }
        if let Some(pyproject) = &self.pyproject {
            if let Some(line) = pyproject.dependencies.iter().find(|line| named(line)) {
                return Some((PYPROJECT, format!("project.dependencies: {line}")));
            }
            if let Some(line) = pyproject.poetry.iter().flatten().find(|line| named(line)) {
                return Some((PYPROJECT, format!("tool.poetry.dependencies.{line}")));
            }
        }
        let packages = self.pipfile.iter().flat_map(|pipfile| &pipfile.packages);
        if let Some(line) = packages.into_iter().find(|line| named(line)) {
            return Some((PIPFILE, format!("packages.{line}")));
        }
        if let Some(conda) = &self.conda
            && let Some(line) = conda.pip.iter().find(|line| named(line))
        {
            return Some((conda.file, format!("dependencies.pip: {line}")));
        }
        let (file, requires) = self.setup.as_ref()?;
        let line = requires.iter().find(|line| named(line))?;
        Some((file, format!("install_requires: {line}")))
    }

    /// Whether anything is declared at all.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_none() && self.pyproject.is_none() && self.pipfile.is_none()
    }

    /// Names of all declared packages, normalised.
    pub fn names(&self) -> BTreeSet<String> {
        let texts = self.requirements.iter().chain(self.included.iter().map(|(_, text)| text));
        let lines = texts.flat_map(|text| text.lines()).map(str::to_owned);
        let of_project = |p: &Pyproject| {
            p.dependencies.iter().chain(p.poetry.iter().flatten()).cloned().collect::<Vec<_>>()
        };
        let project = self.pyproject.iter().flat_map(of_project);
        let pipfile = self.pipfile.iter().flat_map(|pipfile| pipfile.packages.clone());
        let setup = self.setup.iter().flat_map(|(_, requires)| requires.clone());
        let conda = self.conda.iter().flat_map(|conda| conda.pip.clone());
        let all = lines.chain(project).chain(pipfile).chain(setup).chain(conda);
        all.filter_map(|line| name_of(&line)).collect()
    }

    fn file(&self) -> &'static str {
        if self.requirements_file.is_empty() { REQUIREMENTS } else { self.requirements_file }
    }
}

/// What a line of a requirements file names beside packages: `-r base.txt`, `--constraint=limits.txt`.
pub fn included_file(line: &str) -> Option<&str> {
    let line = line.trim();
    ["--requirement", "--constraint", "-r", "-c"].into_iter().find_map(|option| {
        let rest = line.strip_prefix(option)?;
        let file = rest.trim_start_matches(['=', ' ', '\t']).split(" #").next()?.trim();
        (!file.is_empty() && !file.contains("://")).then_some(file)
    })
}

/// The files that a requirements file includes, and those that they include, relative to the
/// application: path and text. What does not exist is left out; pip will name it.
fn included(source: &Source, file: &str, text: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut open = vec![(file.to_owned(), text.to_owned())];
    while let Some((file, text)) = open.pop() {
        for line in text.lines() {
            let Some(path) = included_file(line).and_then(|path| beside(&file, path)) else {
                continue;
            };
            let known = found.iter().any(|(other, _)| *other == path);
            if known || found.len() >= INCLUDES_MAX {
                continue;
            }
            if let Ok(Some(text)) = source.text(&path) {
                found.push((path.clone(), text.clone()));
                open.push((path, text));
            }
        }
    }
    found
}

/// A path that a file names, relative to the application; `None` when it leaves it.
fn beside(file: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    (!path.starts_with('/')).then(|| parts.join("/"))
}

/// The requirements in the text of a setup.py or setup.cfg, as far as they are written out there.
fn setup_requires(text: &str) -> Vec<String> {
    let Some(rest) = text.split("install_requires").nth(1) else {
        return Vec::new();
    };
    let rest = rest.trim_start().trim_start_matches('=').trim_start_matches([' ', '\t']);
    if let Some(list) = rest.strip_prefix('[').and_then(|list| list.split("\n]").next()) {
        let list = list.split("],").next().unwrap_or(list);
        let quoted = list.split(['"', '\'']).skip(1).step_by(2);
        return quoted.filter(|line| name_of(line).is_some()).map(str::to_owned).collect();
    }
    let mut lines = rest.lines();
    let first = lines.next().map(str::trim).filter(|line| !line.is_empty());
    let more = lines.take_while(|line| line.starts_with([' ', '\t'])).map(str::trim);
    let all = first.into_iter().chain(more).filter(|line| name_of(line).is_some());
    all.map(str::to_owned).collect()
}

impl Pipfile {
    /// Reads the text of a Pipfile; what does not read declares nothing, and Pipenv will say so.
    pub fn parse(text: &str) -> Self {
        let Ok(table) = DeTable::parse(text.trim_start_matches('\u{feff}')) else {
            return Self::default();
        };
        let file = DeValue::Table(table.into_inner());
        let python = ["python_full_version", "python_version"]
            .into_iter()
            .find_map(|key| Some((key, at(&file, &["requires", key]).and_then(text_of)?)));
        Self { packages: at(&file, &["packages"]).map(requirements).unwrap_or_default(), python }
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
        let poetry = |key: &str| at(file, &["tool", "poetry", key]);
        let uv = |key: &str| at(file, &["tool", "uv", key]);
        let list = |key: &str| -> Vec<String> {
            let items = project(key).and_then(DeValue::as_array);
            items.into_iter().flatten().filter_map(|item| text_of(item.get_ref())).collect()
        };
        let says = |value: Option<&DeValue<'_>>| value.and_then(DeValue::as_bool);
        let filled = |value: Option<&DeValue<'_>>| {
            value.and_then(DeValue::as_array).is_some_and(|items| !items.is_empty())
        };
        let shown = ["classifiers", "keywords"];
        let groups = at(file, &["tool", "poetry", "group"]).map(keys).unwrap_or_default();
        let groups = groups.into_iter().filter(|name| RUN_GROUPS.contains(&name.as_str()));
        let groups: Vec<String> = groups.collect();
        let own = at(file, &["tool", "poetry", "dependencies"]).map(requirements);
        let grouped = groups.iter().flat_map(|group| {
            let path = ["tool", "poetry", "group", group.as_str(), "dependencies"];
            at(file, &path).map(requirements).unwrap_or_default()
        });
        let poetry_python = at(file, &["tool", "poetry", "dependencies", "python"]);
        let poetry_dependencies = own.map(|own| own.into_iter().chain(grouped).collect());
        Self {
            project: at(file, &["project"]).is_some(),
            name: project("name").or(poetry("name")).and_then(text_of),
            dependencies: list("dependencies"),
            dynamic: list("dynamic").iter().any(|key| key == "dependencies"),
            requires_python: project("requires-python").or(poetry_python).and_then(text_of),
            scripts: project("scripts").or(poetry("scripts")).map(keys).unwrap_or_default(),
            build_system: at(file, &["build-system"]).is_some(),
            poetry: poetry_dependencies,
            poetry_groups: groups,
            package: says(uv("package"))
                .or(says(poetry("package-mode")))
                .or(says(at(file, &["tool", "pdm", "distribution"]))),
            published: shown.iter().any(|key| filled(project(key)) || filled(poetry(key))),
            uv_version: uv("required-version").and_then(text_of),
            uv_sources: uv("sources").is_some(),
            uv_workspace: uv("workspace").is_some(),
            uv_member: uv("sources").and_then(DeValue::as_table).is_some_and(|sources| {
                sources.values().any(|one| {
                    says(one.get_ref().get("workspace").map(Spanned::get_ref)) == Some(true)
                })
            }),
        }
    }
}

/// The keys of a table.
fn keys(value: &DeValue<'_>) -> Vec<String> {
    let keys = value.as_table().into_iter().flat_map(DeTable::keys);
    keys.map(|key| key.get_ref().to_string()).collect()
}

/// The packages of a table `name = "version"` or `name = { extras = [...] }`, as requirements.
fn requirements(value: &DeValue<'_>) -> Vec<String> {
    let entries = value.as_table().into_iter().flat_map(DeTable::iter);
    let line = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let name: &std::borrow::Cow<'_, str> = name.get_ref();
        let extras = at(value.get_ref(), &["extras"]).and_then(DeValue::as_array);
        let extras = extras.into_iter().flatten().filter_map(|extra| text_of(extra.get_ref()));
        let extras: Vec<String> = extras.collect();
        if extras.is_empty() { name.to_string() } else { format!("{name}[{}]", extras.join(",")) }
    };
    entries.map(line).collect()
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
    Some(pep503(name))
}

/// A name of the Python Package Index in the one spelling that all its spellings have in common, as
/// <https://peps.python.org/pep-0503/#normalized-names> says.
pub fn pep503(name: &str) -> String {
    let mut normal = String::with_capacity(name.len());
    for c in name.chars() {
        if !matches!(c, '-' | '_' | '.') {
            normal.extend(c.to_lowercase());
        } else if !normal.ends_with('-') {
            normal.push('-');
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_a_python_name_are_one() {
        for name in ["friendly-bard", "Friendly-Bard", "friendly.bard", "FrIeNdLy-._.-bArD"] {
            assert_eq!(pep503(name), "friendly-bard");
        }
    }

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
        let manifests = Manifests { pyproject: Some(project), ..Manifests::default() };
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

    #[test]
    fn groups_extras_and_scripts_of_poetry_are_read() {
        let text = "[tool.poetry]\nname='shop'\npackage-mode=false\n\
                    [tool.poetry.dependencies]\nfastapi={version='*',extras=['standard']}\n\
                    [tool.poetry.group.prod.dependencies]\ngunicorn='*'\n\
                    [tool.poetry.group.dev.dependencies]\npytest='*'\n\
                    [tool.poetry.scripts]\nserve='shop:main'\n";
        let project = Pyproject::parse(text).unwrap();
        assert_eq!(project.poetry_groups, ["prod"]);
        assert_eq!((project.name.as_deref(), project.package), (Some("shop"), Some(false)));
        assert_eq!(project.scripts, ["serve"]);
        assert_eq!(project.poetry.unwrap(), ["fastapi[standard]", "gunicorn"]);
    }

    #[test]
    fn tables_of_uv_are_read() {
        let text = "[project]\nname='x'\nclassifiers=['a']\n[tool.uv]\nrequired-version='>=0.6'\n\
                    [tool.uv.sources]\ny={workspace=true}\n";
        let project = Pyproject::parse(text).unwrap();
        assert!(project.published && project.uv_sources && project.uv_member);
        assert!(!project.uv_workspace);
        assert_eq!(project.uv_version.as_deref(), Some(">=0.6"));
    }

    #[test]
    fn a_pipfile_is_read() {
        let pipfile = Pipfile::parse(
            "[packages]\nflask='*'\nuvicorn={extras=['standard'],version='*'}\n\
             [dev-packages]\npytest='*'\n[requires]\npython_version='3.12'\n",
        );
        assert_eq!(pipfile.packages, ["flask", "uvicorn[standard]"]);
        assert_eq!(pipfile.python, Some(("python_version", "3.12".to_owned())));
        assert_eq!(Pipfile::parse("[packages"), Pipfile::default());
    }

    #[test]
    fn requirements_of_a_setup_are_read() {
        let script =
            "setup(\n  name='x',\n  install_requires=[\n    'flask>=2',\n    \"click\",\n  ],\n)";
        assert_eq!(setup_requires(script), ["flask>=2", "click"]);
        let config = "[options]\ninstall_requires =\n    flask>=2\n    click\npackages = find:\n";
        assert_eq!(setup_requires(config), ["flask>=2", "click"]);
        assert!(setup_requires("setup()").is_empty());
    }

    #[test]
    fn included_files_are_told_from_packages() {
        assert_eq!(included_file("-r base.txt # all"), Some("base.txt"));
        assert_eq!(included_file("--constraint=../limits.txt"), Some("../limits.txt"));
        assert_eq!(included_file("-r https://example.org/x.txt"), None);
        assert_eq!(included_file("requests"), None);
        assert_eq!(
            beside("requirements/prod.txt", "base.txt").as_deref(),
            Some("requirements/base.txt")
        );
        assert_eq!(beside("requirements/prod.txt", "../x.txt").as_deref(), Some("x.txt"));
        assert_eq!(beside("requirements.txt", "../x.txt"), None);
    }
}
