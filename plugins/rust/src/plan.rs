//! The build plan: `cargo build`, with crates and what was compiled in caches that outlive the build.
//!
//! No step of its own compiles the dependencies: Cargo compiles what changed, and finds the rest in its
//! target folder, which is such a cache. The program is copied out of it in the same command.

use windlass_plugin_common::compiled::{self, Compiled, Start, built, program};
use windlass_plugin_common::{command, layout};
use windlass_sdk::plan::{Base, BuildPlan, Run, Step};
use windlass_sdk::{PluginError, Toolchain, log};

use crate::facts::Facts;
use crate::program::Program;
use crate::{migration, packages, version};

const TARGET: &str = "/cache/target";
/// What only the build reads.
const ONLY_BUILD: [&str; 10] = [
    "**/*.rs",
    "**/Cargo.toml",
    "Cargo.lock",
    "target/**",
    "rust-toolchain",
    "rust-toolchain.toml",
    ".cargo/**",
    "Makefile",
    "Dockerfile",
    "**/benches/**",
];

/// Crates of programs that ask and are not asked.
const BOTS: [&str; 6] =
    ["serenity", "poise", "teloxide", "twilight-gateway", "frankenstein", "matrix-sdk"];

fn compiler(facts: &Facts, toolchain: Toolchain) -> Compiled {
    version::warn(facts);
    let mut compiled = Compiled::new(toolchain);
    let cache = |(id, target): (&str, &str)| (id.to_owned(), target.to_owned());
    compiled.caches =
        [("cargo-registry", "/root/.cargo/registry"), ("cargo-git", "/root/.cargo/git")]
            .map(cache)
            .to_vec();
    compiled.env =
        [("CARGO_HOME", "/root/.cargo"), ("HOME", "/root"), ("CARGO_TERM_COLOR", "never")]
            .map(cache)
            .to_vec();
    if facts.has("sqlx-data.json") || facts.has(".sqlx") {
        compiled.env.push(("SQLX_OFFLINE".to_owned(), "true".to_owned()));
    }
    compiled.packages = packages::needed(facts);
    compiled.only_build = ONLY_BUILD.map(str::to_owned).to_vec();
    compiled
}

/// Writes the plan for these programs, the application first.
pub(crate) fn plan(
    facts: &Facts,
    toolchain: Toolchain,
    id: &str,
    programs: &[Program],
) -> BuildPlan {
    let mut compiled = compiler(facts, toolchain);
    let run = compiled.run(Run::shell(build(facts, programs)));
    compiled.build = vec![run.cache("cargo-target", TARGET).env("CARGO_TARGET_DIR", TARGET)];
    if facts.text("Cargo.lock").is_empty() {
        log::warn(
            "there is no Cargo.lock, so the newest versions of all crates are taken: commit it",
        );
    }
    let main = programs.first();
    let place = main.map(|main| program(&main.name)).unwrap_or_default();
    let text = main.map(|main| facts.text(&main.file)).unwrap_or_default();
    let mut argv = vec![place.clone()];
    if id == "rocket" {
        compiled.run_env.push(("ROCKET_ADDRESS".to_owned(), "0.0.0.0".to_owned()));
        argv = command::argv(&format!("ROCKET_PORT=\"$PORT\" {place}"));
    }
    let port = compiled::fixed_port(&text).filter(|_| id != "rocket");
    let names = programs.iter().map(|program| program.name.clone()).collect();
    let port_variable = compiled::port_variable(&text).filter(|_| id != "rocket");
    let worker = is_bot(facts, main, id);
    let start = Start { argv, port, port_variable, worker, programs: names };
    if let Some(main) = main.filter(|_| id != "rocket") {
        compiled::say_listening(&main.file, &text, &facts.declared, &start);
    }
    let mut plan = compiled.plan(&facts.settings, &facts.declared, &start);
    let own = programs.iter().any(|one| migration::is_migrator(facts, one));
    if own && facts.settings.build.command.is_none() {
        compiled.migrates(&mut plan, None);
    } else if let Some((program, run)) = migration::tool(facts) {
        compiled.migrates(&mut plan, Some((program, run)));
    }
    plan
}

/// Whether it talks to a chat service and answers no requests.
fn is_bot(facts: &Facts, main: Option<&Program>, id: &str) -> bool {
    let package = main.and_then(|main| facts.packages.get(&main.folder));
    let uses = |name: &str| package.is_some_and(|package| package.uses(name));
    id == "rust"
        && BOTS.iter().any(|name| uses(name))
        && !["hyper", "axum", "tiny_http"].iter().any(|name| uses(name))
}

/// The command that builds the programs and copies them out of the cache.
fn build(facts: &Facts, programs: &[Program]) -> String {
    let locked = if facts.text("Cargo.lock").is_empty() { "" } else { " --locked" };
    let folder = match target(facts) {
        Some(triple) => format!("{TARGET}/{triple}/release"),
        None => format!("{TARGET}/release"),
    };
    let each = programs.iter().map(|one| {
        let Program { folder: of, name, .. } = one;
        // By its folder: a package may be called like one that it depends on.
        let manifest =
            if of.is_empty() { String::new() } else { format!(" --manifest-path {of}/Cargo.toml") };
        format!(
            "cargo build --release{locked}{manifest} --bin {name} && \
             install -D {folder}/{name} {}",
            built(name)
        )
    });
    each.collect::<Vec<_>>().join(" && ")
}

/// The platform that `.cargo/config.toml` builds for.
fn target(facts: &Facts) -> Option<String> {
    let table: toml::Table = toml::from_str(&facts.text(".cargo/config.toml")).ok()?;
    Some(table.get("build")?.get("target")?.as_str()?.to_owned())
}

/// Writes the plan of a site that Trunk builds.
pub(crate) fn site(facts: &Facts, toolchain: Toolchain) -> BuildPlan {
    let compiled = compiler(facts, toolchain);
    let base = Base::Toolchains(vec![compiled.toolchain.clone()]);
    let env = |mut step: Step| {
        step.env.extend(compiled.env.iter().cloned());
        step
    };
    let mut tools = env(Step::new("compiler", "prepare the compiler and Trunk", base));
    "/".clone_into(&mut tools.cwd);
    tools.ops.extend(compiled::packages(&compiled.packages).map(Into::into));
    let install = "rustup target add wasm32-unknown-unknown && \
                   cargo install --locked trunk --root /usr/local";
    let tools = tools.op(compiled.run(Run::shell(install)));
    let line = facts.settings.build.command.as_deref().unwrap_or("trunk build --release");
    // The target folder is left in the step: Trunk reads what Cargo says of it.
    let build = env(layout::on(&tools, "build", "build")).op(layout::source());
    let lines = facts.settings.build.install.iter().map(String::as_str).chain([line]);
    let build = lines.fold(build, |build, line| build.op(compiled.run(Run::shell(line))));
    let configured = || {
        let table: toml::Table = toml::from_str(&facts.text("Trunk.toml")).ok()?;
        Some(table.get("build")?.get("dist")?.as_str()?.to_owned())
    };
    let folder = facts.settings.build.output.clone().or_else(configured);
    let folder = folder.unwrap_or_else(|| "dist".to_owned());
    let folder = folder.trim_start_matches("./").trim_matches('/');
    let mut plan = BuildPlan::new();
    plan.toolchains.push(compiled.toolchain.clone());
    let root = format!("/app/{folder}");
    plan.outputs.push(layout::site(&build, root, Some("index.html"), None));
    plan.steps.extend([tools, build]);
    plan
}

/// Whether it is a site that Trunk builds, and the sign.
pub(crate) fn trunk(facts: &Facts) -> Option<(&'static str, &'static str)> {
    if facts.has("Trunk.toml") {
        return Some(("Trunk.toml", ""));
    }
    facts.text("index.html").contains("data-trunk").then_some(("index.html", "data-trunk"))
}

/// Why it cannot be built, although it is an application.
pub(crate) fn refusal(facts: &Facts) -> Option<PluginError> {
    if facts.settings.build.command.is_some() {
        return None;
    }
    let any = |test: &dyn Fn(&crate::manifest::Manifest) -> bool| {
        facts.root.iter().chain(facts.packages.values()).any(test)
    };
    any(&|package| package.leptos).then(|| {
        let message = "it is built by cargo-leptos (metadata.leptos in Cargo.toml), which this plugin does not run";
        PluginError::new("rust.leptos-unsupported", message)
            .hint("set build.command and run.command in windlass.toml, or add a Dockerfile")
    })
}
