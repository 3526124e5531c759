//! `windlass env`: variables of an environment.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use ureq::http::Method;
use windlass_model::api::{SetVariable, SetVariables, VariableView};
use windlass_model::variable::{Scope, VariableName};

use super::environment::items;
use super::{environment_path, unreadable};
use crate::dotenv;
use crate::exit::{CliError, CliResult, Exit};
use crate::render::{self, harmless, table};
use crate::session::Session;

/// Set, remove, list and import variables of an environment.
///
/// A change takes effect with `windlass restart`, or with the next deployment.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  windlass env set LOG_LEVEL=debug --scope run
  windlass env set API_KEY --secret            # asks for the value
  cat key.pem | windlass env set KEY - --secret # value from standard input
  windlass env import .env --secret -e staging")]
pub struct Env {
    #[command(subcommand)]
    verb: EnvVerb,
}

#[derive(Debug, Subcommand)]
enum EnvVerb {
    /// Set variables: all or none.
    Set {
        /// NAME=VALUE; NAME alone asks for the value; `NAME -` takes it from standard input.
        #[arg(required = true, value_name = "NAME=VALUE")]
        variables: Vec<String>,
        #[command(flatten)]
        kind: KindOptions,
    },
    /// Remove variables.
    Unset {
        /// Their names.
        #[arg(required = true)]
        names: Vec<VariableName>,
    },
    /// List variables; secret values are never shown.
    List,
    /// Set all variables of a .env file: all or none.
    Import {
        /// The file; `-` for standard input.
        file: PathBuf,
        #[command(flatten)]
        kind: KindOptions,
    },
}

#[derive(Debug, Clone, Copy, clap::Args)]
struct KindOptions {
    /// The value can never be read again, and is masked in logs.
    #[arg(long)]
    secret: bool,
    /// When it is given to the application [default: as before; a new one: `run` if it is secret,
    /// else `both`]. Changing what a build sees builds again.
    #[arg(long, value_enum)]
    scope: Option<ScopeName>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeName {
    /// While building.
    Build,
    /// While running and migrating.
    Run,
    /// Both.
    Both,
}

impl From<ScopeName> for Scope {
    fn from(name: ScopeName) -> Self {
        match name {
            ScopeName::Build => Self::Build,
            ScopeName::Run => Self::Run,
            ScopeName::Both => Self::Both,
        }
    }
}

impl Env {
    pub(super) fn run(self, session: &mut Session<'_, '_>) -> CliResult<Exit> {
        match self.verb {
            EnvVerb::Set { variables, kind } => {
                let pairs = values(session, &variables)?;
                set(session, pairs, kind)?;
            }
            EnvVerb::Import { file, kind } => {
                let pairs = import(session, &file)?;
                set(session, pairs, kind)?;
            }
            EnvVerb::Unset { names } => unset(session, &names)?,
            EnvVerb::List => list(session)?,
        }
        Ok(Exit::Ok)
    }
}

/// Names with their values, asked for where they are not given.
fn values(session: &mut Session<'_, '_>, given: &[String]) -> CliResult<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut stdin_taken = false;
    let mut rest = given.iter().peekable();
    while let Some(item) = rest.next() {
        if let Some((name, value)) = item.split_once('=') {
            pairs.push((name.to_owned(), value.to_owned()));
            continue;
        }
        if item.parse::<VariableName>().is_err() && item != "-" {
            return Err(usage(&format!(
                "{item:?} is neither NAME=VALUE nor a name; a value is joined to its name by `=`"
            )));
        }
        let dash = rest.next_if(|next| next.as_str() == "-").is_some();
        if item == "-" {
            return Err(usage("`-` stands behind the NAME whose value it gives"));
        }
        if !dash && given.len() > 1 && !given.iter().any(|one| one.contains('=')) {
            return Err(usage(&format!(
                "several names without values: is {:?} meant?",
                format!("{}=…", given[0])
            )));
        }
        let value = if dash || !session.console.stdin_is_terminal() {
            if std::mem::replace(&mut stdin_taken, true) {
                return Err(usage("standard input can give the value of one variable only"));
            }
            let text = session.console.read_stdin().map_err(|e| unreadable("standard input", e))?;
            if text.is_empty() && !dash {
                return Err(no_value(item));
            }
            text.strip_suffix('\n').map_or(text.clone(), |t| t.trim_end_matches('\r').to_owned())
        } else {
            let prompt = format!("{item} (not shown): ");
            session.console.read_secret(&prompt).map_err(|e| unreadable("standard input", e))?
        };
        pairs.push((item.clone(), value));
    }
    Ok(pairs)
}

/// Nobody is there to be asked, and nothing was given.
fn no_value(name: &str) -> Box<CliError> {
    CliError::new(
        Exit::Usage,
        "cli.no-value",
        format!("there is no value for {name}: nothing was set"),
        "it was not given, standard input is empty, and without a terminal nobody can be asked",
        format!("give it as {name}=VALUE or on standard input; `{name}=` sets it to nothing"),
    )
}

fn usage(why: &str) -> Box<CliError> {
    CliError::new(
        Exit::Usage,
        "cli.usage",
        "the variables are not understood",
        why,
        "see `windlass env set --help`",
    )
}

fn import(session: &mut Session<'_, '_>, file: &Path) -> CliResult<Vec<(String, String)>> {
    let name = file.display().to_string();
    let text =
        if name == "-" { session.console.read_stdin() } else { std::fs::read_to_string(file) };
    let text = text.map_err(|e| unreadable(&name, e))?;
    dotenv::parse(&text).map_err(|e| {
        CliError::bad_input(
            "cli.dotenv",
            format!("{name} is not read: nothing was set"),
            e.to_string(),
            "write NAME=VALUE, with quotes around values that have spaces or line ends",
        )
    })
}

fn set(
    session: &mut Session<'_, '_>,
    pairs: Vec<(String, String)>,
    kind: KindOptions,
) -> CliResult<()> {
    let variables = pairs
        .into_iter()
        .map(|(name, value)| {
            let name: VariableName = name.parse().map_err(|e| {
                CliError::bad_input(
                    "cli.variable-name",
                    format!("{e}"),
                    "programs could not read it under this name",
                    "choose another name; nothing was set",
                )
            })?;
            Ok(SetVariable { name, value, scope: kind.scope.map(Into::into), secret: kind.secret })
        })
        .collect::<CliResult<Vec<_>>>()?;
    let path = environment_path(session, &["variables"])?;
    let body = SetVariables { variables };
    session.client()?.send_only(Method::PUT, &path, &body)?;
    let names: Vec<&str> = body.variables.iter().map(|v| v.name.as_str()).collect();
    if session.json() {
        session.print_json(&serde_json::json!({ "set": names }));
    } else {
        let count = render::count(names.len() as u64, "variable");
        session.console.line(&format!("{count} set: {}", names.join(", ")));
        session
            .console
            .line("they take effect with `windlass restart`, or with the next deployment");
    }
    Ok(())
}

fn unset(session: &mut Session<'_, '_>, names: &[VariableName]) -> CliResult<()> {
    let client = session.client()?;
    for name in names {
        client.delete(&environment_path(session, &["variables", name.as_str()])?)?;
        if !session.json() {
            session.console.line(&format!("{name} is removed"));
        }
    }
    if session.json() {
        let names: Vec<&str> = names.iter().map(VariableName::as_str).collect();
        session.print_json(&serde_json::json!({ "removed": names }));
    }
    Ok(())
}

fn list(session: &mut Session<'_, '_>) -> CliResult<()> {
    let path = environment_path(session, &["variables"])?;
    let variables: Vec<VariableView> = items(session.client()?.get(&path)?)?;
    if session.json() {
        session.print_json(&variables);
        return Ok(());
    }
    if variables.is_empty() {
        session.console.line("no variables");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = variables
        .iter()
        .map(|variable| {
            let scope = match variable.scope {
                Scope::Build => "build",
                Scope::Run => "run",
                Scope::Both => "both",
            };
            let value = match (&variable.value, variable.secret) {
                (Some(value), false) => render::cut(&harmless(value), 60),
                _ => "[secret]".to_owned(),
            };
            vec![variable.name.to_string(), value, scope.to_owned()]
        })
        .collect();
    session.console.out(&table(&["name", "value", "scope"], &rows));
    Ok(())
}
