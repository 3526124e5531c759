//! The package manager: which one installs, with what files, and by which commands.
//!
//! What is committed for installing wins: a requirements file, then a lock file, then the tables of
//! pyproject.toml. uv, Poetry, PDM and Pipenv live in a step of their own and are only lent to the steps
//! that install: the image has none of them.

use windlass_plugin_common::conda::Conda;
use windlass_plugin_common::layout;
use windlass_plugin_common::python::{Manifests, PYPROJECT, included_file};
use windlass_sdk::plan::{BindMount, Copy, Mount, Op, Run, WriteFile};
use windlass_sdk::{PluginError, log};

use crate::facts::Facts;

/// The environment that the application runs in.
pub(crate) const VENV: &str = "/opt/venv";
/// Where package managers live.
const MANAGER: &str = "/opt/manager";
const LISTED: &str = "/opt/requirements.txt";

/// Who installs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manager {
    /// pip, from a requirements file.
    Requirements,
    /// pip, from the list in pyproject.toml.
    List,
    /// pip, which builds the project to learn what it needs.
    Project,
    /// uv
    Uv,
    /// Poetry
    Poetry,
    /// PDM
    Pdm,
    /// Pipenv
    Pipenv,
    /// pip, from the list of its packages in Conda's environment.
    Conda,
    /// Nothing is declared.
    Nobody,
}

impl Manager {
    /// The one for this application.
    pub(crate) fn of(facts: &Facts) -> Self {
        let pyproject = facts.manifests.pyproject.as_ref();
        let listed = pyproject.is_some_and(|p| !p.dynamic && !p.dependencies.is_empty());
        if facts.manifests.requirements.is_some() {
            Self::Requirements
        } else if facts.has("uv.lock") && pyproject.is_some() {
            Self::Uv
        } else if facts.has("poetry.lock") && pyproject.is_some() {
            Self::Poetry
        } else if facts.has("pdm.lock") && pyproject.is_some() {
            Self::Pdm
        } else if facts.manifests.pipfile.is_some() {
            Self::Pipenv
        } else if pyproject.is_some_and(|p| p.uv_workspace || p.uv_sources) {
            Self::Uv
        } else if pyproject.is_some_and(|p| p.poetry.is_some() && !p.project) {
            Self::Poetry
        } else if listed {
            Self::List
        } else if pyproject.is_some_and(|p| p.dynamic) || facts.manifests.setup.is_some() {
            Self::Project
        } else if facts.manifests.conda.as_ref().is_some_and(Conda::is_for_pip) {
            Self::Conda
        } else {
            Self::Nobody
        }
    }

    /// The command that fetches it; none where the base brings it.
    pub(crate) fn fetch(self, facts: &Facts) -> Option<Run> {
        let pyproject = facts.manifests.pyproject.as_ref();
        let package = match self {
            Self::Uv => {
                let version = pyproject.and_then(|p| p.uv_version.as_deref()).unwrap_or_default();
                let exact = version.starts_with(|c: char| c.is_ascii_digit());
                let operator = if exact { "==" } else { "" };
                format!("uv{operator}{}", version.replace(' ', ""))
            }
            Self::Poetry => "poetry>=2,<3".to_owned(),
            // With the versions that its authors tested it with.
            Self::Pdm => "pdm[locked]>=2,<3".to_owned(),
            Self::Pipenv => "pipenv".to_owned(),
            _ => return None,
        };
        let line = format!("python3 -m venv {MANAGER} && {MANAGER}/bin/pip install '{package}'");
        Some(pip(Run::shell(line)))
    }

    /// Whether pip installs.
    fn is_pip(self) -> bool {
        use Manager::{Conda, List, Nobody, Project, Requirements};
        matches!(self, Requirements | List | Project | Conda | Nobody)
    }

    /// The command that makes the empty environment.
    pub(crate) fn environment(self, with_pip: bool) -> Run {
        let mut argv = vec!["python3", "-m", "venv"];
        argv.extend((!with_pip && !self.is_pip()).then_some("--without-pip"));
        argv.push(VENV);
        Run::new(argv)
    }

    /// Manifests, and the command that installs what they name.
    pub(crate) fn install(self, facts: &Facts) -> Vec<Op> {
        let project = facts.manifests.pyproject.as_ref();
        match self {
            Self::Requirements => {
                let file = facts.manifests.requirements_file;
                let install = pip(Run::new(["pip", "install", "-r", file]));
                vec![layout::files(requirement_files(&facts.manifests)).into(), install.into()]
            }
            Self::List => {
                let list = project.map(|p| p.dependencies.join("\n")).unwrap_or_default();
                let content = format!("{list}\n").into_bytes();
                let path = LISTED.to_owned();
                let file = WriteFile { path, content, mode: 0o644, chown: None };
                vec![Op::WriteFile(file), pip(Run::new(["pip", "install", "-r", LISTED])).into()]
            }
            Self::Project => {
                let install = pip(Run::new(["pip", "install", "."]));
                vec![layout::files(["**"]).into(), install.into()]
            }
            Self::Conda => {
                let conda = facts.manifests.conda.as_ref();
                let words = conda.map(Conda::arguments).unwrap_or_default();
                if words.is_empty() {
                    return Vec::new();
                }
                let install = ["pip", "install"].map(str::to_owned).into_iter().chain(words);
                let files = conda.is_some_and(Conda::reads_files);
                let copy = files.then(|| layout::files(["**"]).into());
                copy.into_iter().chain([pip(Run::new(install)).into()]).collect()
            }
            Self::Nobody => Vec::new(),
            Self::Uv => {
                let mut run = vec!["uv", "sync", "--no-dev", "--no-install-project"];
                run.extend(facts.has("uv.lock").then_some("--frozen"));
                run.extend(project.filter(|p| p.uv_workspace).map(|_| "--no-install-workspace"));
                vec![self.manifests(facts).into(), lend(self, Run::new(run)).into()]
            }
            Self::Poetry => {
                let only = only_groups(facts);
                let run = ["poetry", "install", "--no-interaction", "--no-root", "--only", &only];
                vec![self.manifests(facts).into(), lend(self, Run::new(run)).into()]
            }
            Self::Pdm => {
                let run = ["pdm", "sync", "--prod", "--no-self"];
                vec![self.manifests(facts).into(), lend(self, Run::new(run)).into()]
            }
            Self::Pipenv => {
                let locked = facts.has("Pipfile.lock");
                let run = if locked {
                    &["pipenv", "sync"][..]
                } else {
                    &["pipenv", "install", "--skip-lock"]
                };
                vec![self.manifests(facts).into(), lend(self, Run::new(run.to_vec())).into()]
            }
        }
    }

    /// The command that installs the application itself, once its source is there; none if it is no
    /// package. It stays where it is and is only made known to the environment, so that the files that
    /// lie beside it are found.
    pub(crate) fn own(self, facts: &Facts) -> Option<Run> {
        let project = facts.manifests.pyproject.as_ref();
        let package = facts.own_package().is_some();
        match self {
            Self::Requirements | Self::List | Self::Nobody if package => {
                Some(pip(Run::new(["pip", "install", "--no-deps", "-e", "."])))
            }
            Self::Uv if package || project.is_some_and(|p| p.uv_workspace || p.uv_sources) => {
                let mut run = vec!["uv", "sync", "--no-dev"];
                run.extend(facts.has("uv.lock").then_some("--frozen"));
                Some(lend(self, Run::new(run)))
            }
            Self::Poetry if package => {
                let run = ["poetry", "install", "--no-interaction", "--only-root"];
                Some(lend(self, Run::new(run)))
            }
            Self::Pdm if package => Some(lend(self, Run::new(["pdm", "sync", "--prod"]))),
            _ => None,
        }
    }

    /// The files that say what is installed.
    fn manifests(self, facts: &Facts) -> Copy {
        let lock = match self {
            Self::Uv => "uv.lock",
            Self::Poetry => "poetry.lock",
            Self::Pdm => "pdm.lock",
            _ => "Pipfile.lock",
        };
        let manifest = if self == Self::Pipenv { "Pipfile" } else { PYPROJECT };
        let mut files = vec![manifest.to_owned()];
        let members = facts.files.iter().filter(|file| file.ends_with("/pyproject.toml"));
        files.extend(members.filter(|_| self == Self::Uv).cloned());
        files.extend(facts.has(lock).then(|| lock.to_owned()));
        layout::files(files)
    }
}

/// Things to say about the choice.
pub(crate) fn report(facts: &Facts, manager: Manager) {
    let lock = facts.first(&["uv.lock", "poetry.lock", "pdm.lock", "Pipfile.lock"]);
    match (manager, lock) {
        (Manager::Requirements, Some(lock)) => {
            let file = facts.manifests.requirements_file;
            log::info(format!("{file} is installed; {lock} is not read while that file is there"));
        }
        (Manager::Conda, _) => log::info(
            "pip installs the list of its packages in the environment of Conda, and the version of Python is taken from there",
        ),
        (Manager::Uv | Manager::Poetry | Manager::Pipenv, None) => log::warn(
            "no lock file is committed: every new build takes the newest versions that are allowed",
        ),
        _ => {}
    }
}

/// Why the dependencies cannot be installed, if they are declared in a form that is not read.
pub(crate) fn unsupported(facts: &Facts) -> Option<PluginError> {
    if facts.settings.build.install.is_some() {
        return None;
    }
    let project = facts.manifests.pyproject.as_ref();
    let member = project.is_some_and(|p| p.uv_member && !p.uv_workspace);
    if member && facts.manifests.requirements.is_none() && !facts.has("uv.lock") {
        let message = "pyproject.toml takes packages from the workspace around it, and only this folder is \
                       copied";
        return Some(PluginError::new("python.workspace-member", message).hint(
            "deploy from the root of the workspace, with run.command set to what starts this member: \
             leave app_dir unset",
        ));
    }
    let conda = facts.manifests.conda.as_ref()?;
    let hint = format!(
        "list what the Python Package Index has below `pip:` in {}, or in a requirements.txt (`pip list \
         --format=freeze > requirements.txt`); for what only Conda has, use a Dockerfile on a Conda image; or set \
         build.install in windlass.toml",
        conda.file
    );
    Some(PluginError::new("python.conda-unsupported", conda.refused()?).hint(hint))
}

/// A command of pip.
pub(crate) fn pip(run: Run) -> Run {
    run.network().cache("pip", "/root/.cache/pip").env("HOME", "/root")
}

/// A command of a package manager, which is there only while it runs.
fn lend(manager: Manager, run: Run) -> Run {
    let (cache, target) = match manager {
        Manager::Uv => ("uv", "/root/.cache/uv"),
        Manager::Poetry => ("poetry", "/root/.cache/pypoetry"),
        Manager::Pdm => ("pdm", "/root/.cache/pdm"),
        _ => ("pipenv", "/root/.cache/pip"),
    };
    let path = MANAGER.to_owned();
    let from = "manager".to_owned();
    let bind = BindMount { from_step: from, path: path.clone(), target: path, writable: false };
    let mut run = run.network().cache(cache, target).env("HOME", "/root").mount(Mount::Bind(bind));
    if let Some(program) = run.argv.first_mut() {
        *program = format!("{MANAGER}/bin/{program}");
    }
    let env: &[(&str, &str)] = match manager {
        Manager::Uv => &[
            ("UV_PROJECT_ENVIRONMENT", VENV),
            // Patch levels are the base's, whatever .python-version pins.
            ("UV_PYTHON", "/opt/venv/bin/python3"),
            ("UV_PYTHON_DOWNLOADS", "never"),
            ("UV_LINK_MODE", "copy"),
            ("UV_COMPILE_BYTECODE", "1"),
            ("UV_NO_PROGRESS", "1"),
        ],
        Manager::Poetry => &[("POETRY_VIRTUALENVS_CREATE", "false")],
        Manager::Pdm => &[("PDM_IGNORE_SAVED_PYTHON", "1"), ("PDM_CHECK_UPDATE", "false")],
        _ => &[("PIPENV_VERBOSITY", "-1"), ("PIPENV_NOSPIN", "1")],
    };
    run.env.extend(env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    run
}

/// Poetry's groups that are installed.
fn only_groups(facts: &Facts) -> String {
    let project = facts.manifests.pyproject.as_ref();
    let groups = project.into_iter().flat_map(|project| &project.poetry_groups);
    let all: Vec<&str> = std::iter::once("main").chain(groups.map(String::as_str)).collect();
    all.join(",")
}

/// The requirements file with those that it includes, or everything if one of them names a folder of the
/// source.
fn requirement_files(manifests: &Manifests) -> Vec<String> {
    let main = manifests.requirements.as_deref().unwrap_or_default();
    let texts =
        || std::iter::once(main).chain(manifests.included.iter().map(|(_, text)| text.as_str()));
    let local = |line: &str| {
        let line = line.trim();
        let code = line.split(" #").next().unwrap_or_default();
        line.starts_with(['.', '/'])
            || code.contains("file:")
            || line.starts_with("--find-links")
            || line.starts_with("-e")
            || line.starts_with("--editable")
            || line.starts_with("-f ")
            || code.ends_with(".whl") && !code.contains("://")
            || included_file(line).is_some_and(|file| file.starts_with(".."))
    };
    if texts().flat_map(str::lines).any(local) {
        return vec!["**".to_owned()];
    }
    let included = manifests.included.iter().map(|(path, _)| path.clone());
    std::iter::once(manifests.requirements_file.to_owned()).chain(included).collect()
}
