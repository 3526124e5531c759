//! `windlass plugin new|build|check|test|run|bench`: from an empty folder to a component and its figures, on the
//! author's machine and without a host.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser as _};
use windlass_model::Failure;
use windlass_model::author::{AskPlugin, BenchPlugin, Language, NewPlugin, TestPlugin};
use windlass_model::plugin::Stage;

use crate::exit::{CliError, CliResult, Exit};
use crate::render;
use crate::session::Session;

/// Begin a plugin: a folder with a template that builds, its tests and its fixtures.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin new my-plugin
  windlass plugin new my-plugin --lang python --stage migrator
  windlass plugin new my-plugin --sdk-path ~/windlass    # the SDK of a clone, in place of a copy")]
pub(super) struct New {
    /// Its name: 1 to 40 lower-case letters, digits and hyphens; it begins with a letter.
    name: String,
    /// What it is written in.
    #[arg(long, value_name = "LANGUAGE", default_value = "rust", value_parser = languages())]
    lang: Language,
    /// What it decides.
    #[arg(long, default_value = "detector", value_parser = stages())]
    stage: Stage,
    /// Where it goes [default: a folder of its name, here].
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// A clone of Windlass whose SDK it uses [default: the clone that it lies in, else a copy].
    #[arg(long, value_name = "DIR")]
    sdk_path: Option<PathBuf>,
}

/// Build the plugin of a folder; the component goes to dist/.
///
/// Which language it is, the files say: Cargo.toml, package.json, pyproject.toml or requirements.txt. The
/// language's own tools are run, and what they print is shown.
#[derive(Debug, clap::Args)]
pub(super) struct Build {
    /// The plugin's folder.
    #[arg(default_value = ".")]
    folder: PathBuf,
}

/// Say whether a component fits this Windlass: world, size, manifest, capabilities.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// The component, or the folder that it was built in.
    #[arg(default_value = ".")]
    plugin: PathBuf,
}

/// Ask a component about its fixtures, and compare the answers with what is expected.
///
/// A fixture is a folder: fixtures/CASE/source with the source, fixtures/CASE/context.toml with what is told
/// beside it (it may be missing), fixtures/CASE/expected.json with the answers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin test
  windlass plugin test --accept          # what it answers is what is expected from now on
  windlass plugin test dist/my-plugin.wasm --fixtures fixtures --case book")]
pub(super) struct Test {
    /// The component, or the folder that it was built in.
    #[arg(default_value = ".")]
    plugin: PathBuf,
    /// Write down what is answered as expected.
    #[arg(long)]
    accept: bool,
    /// Only this fixture; can be given several times.
    #[arg(long, value_name = "CASE")]
    case: Vec<String>,
    /// The folder of the fixtures [default: `fixtures` in the plugin's folder].
    #[arg(long, value_name = "DIR")]
    fixtures: Option<PathBuf>,
}

/// Ask a component about a folder, and print what it answers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin run ../shop
  windlass plugin run ../shop --plugin dist/my-plugin.wasm --stage builder --json")]
pub(super) struct Run {
    #[command(flatten)]
    asked: Asked,
}

/// Measure a component: compiling, loading, and warm calls of each function and stage.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass plugin bench
  windlass plugin bench ../shop --calls 2000")]
pub(super) struct Bench {
    #[command(flatten)]
    asked: Asked,
    /// Calls of each function that are measured.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    calls: u32,
}

/// Which component, on what.
#[derive(Debug, clap::Args)]
struct Asked {
    /// The source that it is asked about [default: that of the plugin's first fixture].
    #[arg(value_name = "FOLDER")]
    source: Option<PathBuf>,
    /// The component, or the folder that it was built in.
    #[arg(long, value_name = "PATH", default_value = ".")]
    plugin: PathBuf,
    /// Only this stage [default: all that it fills].
    #[arg(long, value_parser = stages())]
    stage: Option<Stage>,
    /// A file with what it is told beside the source, as context.toml of a fixture.
    #[arg(long, value_name = "FILE")]
    context: Option<PathBuf>,
}

impl Asked {
    fn request(self) -> CliResult<AskPlugin> {
        if let Some(folder) = self.source.as_ref().filter(|folder| !folder.is_dir()) {
            return Err(CliError::bad_input(
                "cli.no-such-folder",
                format!("{} is not a folder", folder.display()),
                "there is nothing, or a file",
                "name the folder that holds the source",
            ));
        }
        let Self { source, plugin, stage, context } = self;
        Ok(AskPlugin { plugin, source, context, stage })
    }
}

fn languages() -> impl clap::builder::TypedValueParser<Value = Language> {
    let names = PossibleValuesParser::new(Language::ALL.map(Language::as_str));
    names.try_map(|name| name.parse::<Language>())
}

pub(super) fn stages() -> impl clap::builder::TypedValueParser<Value = Stage> {
    let names = PossibleValuesParser::new(Stage::ALL.map(Stage::as_str));
    names.try_map(|name| {
        let found = Stage::ALL.into_iter().find(|stage| stage.as_str() == name);
        found.ok_or_else(|| format!("{name:?} is no stage"))
    })
}

/// What is there already is a refusal, as everywhere else.
fn error(failure: Failure) -> Box<CliError> {
    let exists = failure.is("plugin.folder-exists") || failure.is("plugin.exists");
    let mut error = CliError::of_role(failure);
    if exists {
        error.exit = Exit::Refused;
    }
    error
}

impl New {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let request = NewPlugin {
            name: self.name,
            language: self.lang,
            stage: self.stage,
            folder: self.folder,
            sdk: self.sdk_path,
        };
        let created = session.roles.authoring().new_plugin(&request).map_err(error)?;
        if session.json() {
            session.print_json(&created);
        } else {
            session.console.out(&render::author::created(&created));
        }
        Ok(Exit::Ok)
    }
}

impl Build {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let built = session.roles.authoring().build_plugin(&self.folder).map_err(error)?;
        if session.json() {
            session.print_json(&built);
        } else {
            session.console.out(&render::author::built(&built));
        }
        Ok(Exit::Ok)
    }
}

impl Check {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let checked = session.roles.authoring().check_plugin(&self.plugin).map_err(error)?;
        if session.json() {
            session.print_json(&checked);
        } else {
            let text = render::author::checked(&checked, session.console.color());
            session.console.out(&text);
        }
        Ok(Exit::Ok)
    }
}

impl Test {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let request = TestPlugin {
            plugin: self.plugin,
            fixtures: self.fixtures,
            accept: self.accept,
            only: self.case,
        };
        let tested = session.roles.authoring().test_plugin(&request).map_err(error)?;
        if session.json() {
            session.print_json(&tested);
        } else {
            let text = render::author::tested(&tested, session.console.color());
            session.console.out(&text);
        }
        let passed = tested.cases.iter().all(|case| case.passed());
        Ok(if passed { Exit::Ok } else { Exit::Failed })
    }
}

impl Run {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let request = self.asked.request()?;
        let answers = session.roles.authoring().run_plugin(&request).map_err(error)?;
        if session.json() {
            session.print_json(&answers);
        } else {
            let text = render::author::answers(&answers, session.console.color());
            session.console.out(&text);
        }
        let failed = answers.answers.iter().any(|one| one.failure.is_some());
        Ok(if failed { Exit::Failed } else { Exit::Ok })
    }
}

impl Bench {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        let request = BenchPlugin { ask: self.asked.request()?, calls: self.calls };
        let bench = session.roles.authoring().bench_plugin(&request).map_err(error)?;
        if session.json() {
            session.print_json(&bench);
        } else {
            session.console.out(&render::author::bench(&bench));
        }
        Ok(Exit::Ok)
    }
}
