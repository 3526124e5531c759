//! Detecting and planning a folder on this machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_model::ahead::PlanOutput;
use windlass_model::plan::Context;
use windlass_model::plugin::lock::{self, Lock};
use windlass_model::settings::{self, Settings};
use windlass_model::{EnvironmentName, Failure, Limits};
use windlass_sandbox::{LoadProblem, NotAsked, Plugin, Sandbox, SandboxConfig, Source};

use crate::ask::{Asking, Detected};
use crate::choose::Chosen;
use crate::tree::Tree;

/// How plugins are found and run.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the plugins that came with Windlass.
    pub bundled_plugins: PathBuf,
    /// Folder of installed plugins; it need not exist.
    pub installed_plugins: PathBuf,
    /// Folder for compiled code, answers and copies of sources.
    pub cache_dir: PathBuf,
    /// Program that compiles components; see `windlass_sandbox::compile_main`.
    pub compiler: PathBuf,
    /// Its first arguments, that choose this role.
    pub compiler_args: Vec<String>,
    /// The limits in force.
    pub limits: Limits,
}

/// What to look at.
#[derive(Debug, Clone)]
pub struct Request {
    /// The source's root.
    pub path: PathBuf,
    /// The environment whose settings apply.
    pub environment: EnvironmentName,
    /// Whether `windlass.toml` is left out of account.
    pub without_settings: bool,
    /// Overrides `build.app_dir`.
    pub app_dir: Option<String>,
    /// Overrides `build.framework`.
    pub framework: Option<String>,
}

/// `$XDG_CACHE_HOME/windlass`, `~/.cache/windlass`, or a folder of this user for temporary files.
pub fn default_cache_dir() -> PathBuf {
    let var = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    var("XDG_CACHE_HOME")
        .or_else(|| var("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("windlass")
}

/// Says what a folder is.
///
/// # Errors
/// When settings, folder or plugins cannot be read. That nothing is recognised, or that a detector
/// fails, is part of the answer.
pub async fn detect(config: &Config, request: &Request) -> Result<Detected, Failure> {
    Ok(Session::open(config, request)?.detect().await)
}

/// Says how a folder would be built.
///
/// # Errors
/// As [`detect`]; and when nothing is recognised, or the builder refuses, fails or gives an invalid
/// plan.
pub async fn plan(config: &Config, request: &Request) -> Result<PlanOutput, Failure> {
    let session = Session::open(config, request)?;
    let chosen = session.detect().await.outcome?;
    session.plan(&chosen).await
}

/// Everything that both questions need.
struct Session<'a> {
    limits: &'a Limits,
    sandbox: Sandbox,
    plugins: Vec<Plugin>,
    problems: Problems,
    settings: Settings,
    source: Source,
    /// Holds the copy that `source` shows.
    _tree: Tree,
}

impl<'a> Session<'a> {
    fn open(config: &'a Config, request: &Request) -> Result<Self, Failure> {
        let settings = read_settings(request)?;
        let sandbox = sandbox(config)?;
        let (plugins, problems) = load(&sandbox, config)?;
        let tree =
            Tree::of_folder(&request.path, &config.cache_dir.join("sources"), &config.limits)?;
        require_app_dir(&tree, &settings)?;
        let source = opened(&tree)?;
        let limits = &config.limits;
        Ok(Self { limits, sandbox, plugins, problems, settings, source, _tree: tree })
    }

    fn context(&self) -> Context {
        let arch = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => other,
        };
        Context {
            platform: format!("linux/{arch}"),
            app_dir: self.settings.build.app_dir.clone(),
            config_json: self.settings.plugin_config(),
            options_json: String::new(),
            ..Context::default()
        }
    }

    fn asking<'b>(&'b self, sandbox: &'b Sandbox, context: &'b Context) -> Asking<'b> {
        Asking {
            sandbox,
            plugins: &self.plugins,
            source: &self.source,
            context,
            settings: &self.settings,
            port: None,
            limits: &self.limits.build,
        }
    }

    async fn detect(&self) -> Detected {
        let context = self.context();
        let detected = self.asking(&self.sandbox, &context).detect().await;
        Detected { problems: self.problems.clone(), ..detected }
    }

    /// No registry is asked: what images bring is not known, and that is said.
    async fn plan(&self, chosen: &Chosen) -> Result<PlanOutput, Failure> {
        let images = Arc::new(NotAsked::default());
        let sandbox = self.sandbox.with_images(images.clone());
        let context = self.context();
        let mut planned = self.asking(&sandbox, &context).plan(chosen).await?;
        planned.log.extend(images.names().iter().map(|name| not_known(name)));
        Ok(planned)
    }
}

/// The copy as plugins see it.
pub(crate) fn opened(tree: &Tree) -> Result<Source, Failure> {
    Source::open(tree.path(), tree.digest().clone()).map_err(|e| {
        Failure::host(
            "detect.workspace",
            "the source cannot be opened",
            e.to_string(),
            "check the permissions of the cache folder (XDG_CACHE_HOME)",
        )
    })
}

/// Refuses settings that name a folder for the application which is not in the source.
pub(crate) fn require_app_dir(tree: &Tree, settings: &Settings) -> Result<(), Failure> {
    if tree.path().join(&settings.build.app_dir).is_dir() {
        return Ok(());
    }
    Err(Failure::app(
        "settings.app-dir-missing",
        format!("there is no folder {} in the source", settings.build.app_dir),
        "`build.app_dir` names it, and it does not exist, is empty or is ignored by .gitignore",
        "correct `build.app_dir` in windlass.toml; `windlass detect --app-dir DIR` tries another",
    ))
}

fn not_known(image: &str) -> String {
    format!(
        "what the image {image} brings (variables, user, folder, command, triggers) is not known here and left \
         out: its registry is asked when it is deployed"
    )
}

fn read_settings(request: &Request) -> Result<Settings, Failure> {
    let file = request.path.join(settings::FILE);
    let text = match std::fs::read_to_string(&file) {
        _ if request.without_settings => String::new(),
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(e) => {
            return Err(Failure::app(
                "settings.unreadable",
                format!("{} cannot be read", file.display()),
                e.to_string(),
                "make it a readable file of UTF-8 text",
            ));
        }
    };
    let mut settings = Settings::parse(&text, &request.environment)?;
    if let Some(app_dir) = &request.app_dir {
        app_dir.trim_matches('/').clone_into(&mut settings.build.app_dir);
    }
    if let Some(framework) = &request.framework {
        settings.build.framework = Some(framework.clone());
    }
    Ok(settings)
}

pub(crate) fn sandbox(config: &Config) -> Result<Sandbox, Failure> {
    let sandbox = SandboxConfig {
        cache_dir: config.cache_dir.join("plugins"),
        limits: config.limits.plugin.clone(),
        compiler: config.compiler.clone(),
        compiler_args: config.compiler_args.clone(),
        images: None,
    };
    Sandbox::new(sandbox).map_err(|e| {
        Failure::host(
            "detect.sandbox",
            "the plugin sandbox could not be set up",
            e.to_string(),
            format!(
                "make {} a folder of yours, or choose another with XDG_CACHE_HOME",
                config.cache_dir.display()
            ),
        )
    })
}

/// Files that are no plugins, each with its failure.
type Problems = Vec<(String, Failure)>;

/// Bundled plugins, then installed ones; as the daemon loads them.
fn load(sandbox: &Sandbox, config: &Config) -> Result<(Vec<Plugin>, Problems), Failure> {
    let (mut plugins, mut problems) = sandbox.load_dir(&config.bundled_plugins, true);
    let (more, more_problems) = sandbox.load_dir(&config.installed_plugins, false);
    plugins.extend(more);
    problems.extend(more_problems);
    installed(sandbox, &config.installed_plugins, &mut plugins, &mut problems);
    if plugins.is_empty() && problems.is_empty() {
        return Err(Failure::host(
            "plugin.none",
            "there are no plugins",
            format!("no *.wasm file lies in {}", config.bundled_plugins.display()),
            "name the folder of the plugins that came with Windlass with --plugins-dir",
        ));
    }
    Ok((plugins, problems.iter().map(not_loaded).collect()))
}

/// Those that were installed, in the versions that a project uses that chose nothing. A lock that does not read
/// here is said by the host, which holds it.
fn installed(
    sandbox: &Sandbox,
    folder: &Path,
    plugins: &mut Vec<Plugin>,
    problems: &mut Vec<LoadProblem>,
) {
    let text = std::fs::read(folder.join(lock::FILE)).unwrap_or_default();
    let Ok(lock) = Lock::parse(&text) else { return };
    for (file, grants) in lock.files_in_use() {
        let path = folder.join(file);
        match sandbox.load_granted(&path, false, grants) {
            Ok(plugin) => plugins.push(plugin),
            Err(error) => problems.push(LoadProblem { path, error }),
        }
    }
}

fn not_loaded(problem: &LoadProblem) -> (String, Failure) {
    let file = problem.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let name = file_stem(&problem.path);
    let failure = Failure::plugin(
        &name,
        problem.error.code(),
        format!("the plugin {name} was not loaded"),
        problem.error.to_string(),
        problem.error.fix(),
    );
    (file, failure)
}

pub(crate) fn file_stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(root: &Path) -> Request {
        Request {
            path: root.to_owned(),
            environment: EnvironmentName::production(),
            without_settings: false,
            app_dir: None,
            framework: None,
        }
    }

    fn config(root: &Path) -> Config {
        Config {
            bundled_plugins: root.join("plugins"),
            installed_plugins: root.join("more"),
            cache_dir: root.join("cache"),
            compiler: "/bin/false".into(),
            compiler_args: vec![],
            limits: Limits::default(),
        }
    }

    #[test]
    fn options_go_over_settings() {
        let root = tempfile::tempdir().unwrap();
        let text = "[build]\nframework = \"a\"\napp_dir = \"x\"\n";
        std::fs::write(root.path().join("windlass.toml"), text).unwrap();
        let mut request = request(root.path());
        assert_eq!(read_settings(&request).unwrap().build.framework.as_deref(), Some("a"));
        request.framework = Some("b".into());
        request.app_dir = Some("y/".into());
        let build = read_settings(&request).unwrap().build;
        assert_eq!((build.framework.as_deref(), build.app_dir.as_str()), (Some("b"), "y"));
    }

    #[tokio::test]
    async fn an_image_is_there_although_no_registry_is_asked_and_that_is_said() {
        use windlass_sandbox::ImageLookup as _;
        let images = NotAsked::default();
        for name in ["node:22", "alpine", "node:22"] {
            let config = images.config(name, "linux/amd64").await.unwrap();
            assert!(config.digest.is_empty() && config.env.is_empty());
        }
        assert_eq!(images.names(), ["alpine", "node:22"]);
        assert!(not_known("node:22").contains("the image node:22 brings"));
    }

    #[tokio::test]
    async fn without_plugins_the_folder_is_named() {
        let root = tempfile::tempdir().unwrap();
        let failure = detect(&config(root.path()), &request(root.path())).await.unwrap_err();
        assert_eq!(failure.code, "plugin.none");
        assert!(failure.why.contains("plugins"), "{}", failure.why);
    }

    #[tokio::test]
    async fn a_broken_plugin_is_a_problem_with_its_name_and_a_missing_folder_a_failure() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("plugins")).unwrap();
        std::fs::write(root.path().join("plugins/bad.wasm"), b"no wasm").unwrap();
        let app = tempfile::tempdir().unwrap();
        std::fs::write(app.path().join("a.txt"), "x").unwrap();
        let detected = detect(&config(root.path()), &request(app.path())).await.unwrap();
        assert_eq!(detected.problems[0].0, "bad.wasm");
        assert_eq!(detected.problems[0].1.code, "plugin.not-loadable");
        assert_eq!(detected.outcome.unwrap_err().code, "detect.no-match");
        let mut request = request(app.path());
        request.app_dir = Some("nowhere".into());
        let failure = detect(&config(root.path()), &request).await.unwrap_err();
        assert_eq!(failure.code, "settings.app-dir-missing");
    }
}
