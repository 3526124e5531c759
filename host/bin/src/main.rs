//! The binary `windlass`: which role is this process?
//!
//! **Invariant: the hidden roles are decided before anything else is set up.** The logger outlives
//! every other part and must stay small: no runtime, no command line, no log of its own.

mod authoring;
mod convert;
mod memory;
mod roles;

use std::ffi::OsString;
use std::process::ExitCode;

/// The hidden role that compiles one component, with limits on itself.
const COMPILE: &str = "__compile";

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    match args.get(1).and_then(|role| role.to_str()) {
        Some(windlass_containers::logger::ROLE) => windlass_containers::logger::main(),
        Some(COMPILE) => {
            let rest: Vec<String> =
                args[2..].iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
            let code = windlass_sandbox::compile_main(&rest);
            ExitCode::from(u8::try_from(code).unwrap_or(1))
        }
        _ => windlass_cli::main(args, &roles::Here),
    }
}
