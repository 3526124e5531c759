//! The command line of Windlass: one file a verb, in [`verbs`].
//!
//! **Invariants**
//!
//! - It speaks to a host over HTTP only, and depends on `model` only. What runs on this machine
//!   itself (`serve`, `proxy`, `detect`, `plan`, `doctor`) is behind the trait [`Roles`], which the
//!   binary implements.
//! - Everything printed goes through [`console::Console`]; results to standard output, the rest to
//!   standard error. With `--json`, standard output holds one JSON document (or one a line, where
//!   the help says so) and nothing else.
//! - Every failure has a code, a cause and a fix, and its kind is the exit code ([`exit::Exit`]).
//!
//! Reading order: [`args`], [`roles`], [`client`], [`session`], [`verbs`], [`progress`].

pub mod archive;
pub mod args;
pub mod client;
pub mod console;
pub mod dotenv;
pub mod exit;
mod interrupt;
pub mod progress;
mod remote;
pub mod render;
mod resume;
pub mod roles;
pub mod session;
pub mod verbs;
mod watch;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use windlass_model::Failure;

use crate::args::Cli;
use crate::console::Console;
use crate::exit::{CliError, Exit};
pub use crate::roles::Roles;
use crate::session::Session;

/// Runs one command line, `args` with the program's name first.
pub fn main(args: Vec<OsString>, roles: &dyn Roles) -> ExitCode {
    let mut console = Console::of_process();
    ExitCode::from(run(args, roles, &mut console).code())
}

/// The same on any console: what the tests call.
pub fn run(args: Vec<OsString>, roles: &dyn Roles, console: &mut Console<'_>) -> Exit {
    let wants_json = args.iter().any(|arg| arg == "--json");
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, wants_json, console),
    };
    let json = cli.common.json;
    let mut session = Session::new(cli.common, roles, console);
    let outcome = cli.verb.run(&mut session);
    match outcome {
        Ok(exit) => exit,
        Err(error) => {
            render::failure::report(session.console, &error.failure, json);
            error.exit
        }
    }
}

fn usage(error: &clap::Error, json: bool, console: &mut Console<'_>) -> Exit {
    let text = error.render();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        let styled = if console.color() { text.ansi().to_string() } else { text.to_string() };
        console.out(&styled);
        return match error.kind() {
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Exit::Usage,
            _ => Exit::Ok,
        };
    }
    if json {
        let failure = Failure::app(
            "cli.usage",
            "the command line is not understood",
            text.to_string().trim().trim_start_matches("error: ").to_owned(),
            "see `windlass --help`, or `windlass VERB --help`",
        );
        let error = CliError { failure, exit: Exit::Usage };
        render::failure::report(console, &error.failure, true);
    } else {
        let styled = if console.color() { text.ansi().to_string() } else { text.to_string() };
        console.err(&styled);
    }
    Exit::Usage
}
