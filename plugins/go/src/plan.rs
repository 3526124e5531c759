//! The build plan: modules from the manifests alone, then a static program in a bare image.
//!
//! Modules and the compiler's results are in caches that outlive the build, so that a change of one file
//! compiles that file's package.

use windlass_plugin_common::compiled::{self, Compiled, Start, built, program};
use windlass_sdk::plan::{BuildPlan, Run};
use windlass_sdk::{PluginError, Toolchain, log};

use crate::facts::{Facts, join};
use crate::program::Program;
use crate::{migration, version};

/// Modules that need a C compiler, and the Debian packages beside it.
const NATIVE: [(&str, &[&str]); 10] = [
    ("github.com/mattn/go-sqlite3", &[]),
    ("github.com/mutecomm/go-sqlcipher", &["libssl-dev"]),
    ("github.com/marcboeker/go-duckdb", &["g++"]),
    ("github.com/confluentinc/confluent-kafka-go", &[]),
    ("github.com/h2non/bimg", &["libvips-dev", "pkg-config"]),
    ("github.com/davidbyttow/govips", &["libvips-dev", "pkg-config"]),
    ("gopkg.in/gographics/imagick.v3", &["libmagickwand-dev", "pkg-config"]),
    ("github.com/libgit2/git2go", &["libgit2-dev", "pkg-config"]),
    ("github.com/chai2010/webp", &[]),
    ("gopkg.in/h2non/bimg.v1", &["libvips-dev", "pkg-config"]),
];
/// Modules of programs that ask and are not asked.
const BOTS: [&str; 6] = [
    "github.com/bwmarrin/discordgo",
    "github.com/go-telegram-bot-api/telegram-bot-api",
    "github.com/go-telegram/bot",
    "gopkg.in/telebot.v3",
    "github.com/tucnak/telebot",
    "github.com/slack-go/slack",
];
/// What only the build reads.
const ONLY_BUILD: [&str; 10] = [
    "**/*.go",
    "**/go.mod",
    "**/go.sum",
    "go.work",
    "go.work.sum",
    "vendor/**",
    "**/testdata/**",
    "Makefile",
    "Dockerfile",
    ".golangci.y*ml",
];

/// Why a module cannot be built, although it is one.
pub(crate) fn refusal(facts: &Facts) -> Option<PluginError> {
    let inside = |folder: &str, target: &str| {
        let depth = folder.split('/').filter(|part| !part.is_empty()).count();
        target.split('/').filter(|part| *part == "..").count() <= depth && !target.starts_with('/')
    };
    let outside = facts
        .modules
        .iter()
        .find_map(|(folder, module)| module.local.iter().find(|target| !inside(folder, target)))?;
    if facts.vendored || facts.settings.build.command.is_some() {
        return None;
    }
    let message =
        format!("go.mod replaces a module with {outside}, which is outside the application");
    Some(PluginError::new("go.replace-outside", message).hint(
        "deploy the folder that holds both, with a go.work or the program's folder as run.command \
         names it; or commit the modules with `go mod vendor`",
    ))
}

/// Writes the plan for these programs, the application first.
pub(crate) fn plan(
    facts: &Facts,
    toolchain: Toolchain,
    id: &str,
    programs: &[Program],
) -> BuildPlan {
    version::warn(facts);
    let mut compiled = Compiled::new(toolchain);
    compiled.caches =
        [("go-mod", "/go/pkg/mod"), ("go-build", "/root/.cache/go-build")].map(own).to_vec();
    let native = native(facts, programs);
    compiled.dynamic = native.is_some();
    compiled.env = env(facts, native.is_some());
    compiled.packages.extend(native.into_iter().flatten());
    compiled.only_build = ONLY_BUILD.map(str::to_owned).to_vec();
    if id == "gin" {
        compiled.run_env.push(own(("GIN_MODE", "release")));
    }
    let requires = facts.modules.values().any(|module| !module.requires.is_empty());
    if requires && !facts.vendored && facts.settings.build.install.is_none() {
        compiled.manifests = ["**/go.mod", "**/go.sum", "go.work*"].map(str::to_owned).to_vec();
        compiled.install = vec![compiled.run(Run::new(["go", "mod", "download"]))];
    }
    if facts.modules.is_empty() {
        log::warn(
            "there is no go.mod, so the newest versions of all imports are taken: run `go mod init`",
        );
        let line = "[ -f go.mod ] || go mod init app && go mod tidy";
        compiled.build.push(compiled.run(Run::shell(line)));
    } else if requires && !facts.locked && !facts.vendored {
        log::warn(
            "there is no go.sum, so what is downloaded is checked against nothing of yours: commit it",
        );
    } else if let Some(warning) = unlocked(facts).filter(|_| !facts.vendored) {
        log::warn(warning);
    }
    let builds: Vec<Run> = programs.iter().map(|one| compiled.run(build(one))).collect();
    compiled.build.extend(builds);
    let main = programs.first();
    let text = main.map(|main| facts.text(&main.file)).unwrap_or_default();
    let start = Start {
        argv: main.map(|main| vec![program(&main.name)]).unwrap_or_default(),
        port: compiled::fixed_port(&text),
        port_variable: compiled::port_variable(&text),
        worker: id == "go" && is_bot(facts, &text),
        programs: programs.iter().map(|program| program.name.clone()).collect(),
    };
    if let Some(main) = main {
        compiled::say_listening(&main.file, &text, &facts.declared, &start);
        let warning = facts.declared.no_port(&main.file);
        warning.filter(|_| start.worker).into_iter().for_each(log::warn);
    }
    let mut plan = compiled.plan(&facts.settings, &facts.declared, &start);
    if let Some((program, run)) = migration::tool(facts) {
        compiled.migrates(&mut plan, Some((program, run)));
    }
    plan
}

/// The warning about modules of a workspace that download others, and whose checksums nobody committed.
fn unlocked(facts: &Facts) -> Option<String> {
    if !facts.workspace || facts.source.is_file("go.work.sum") {
        return None;
    }
    let own = |path: &str| facts.modules.values().any(|module| module.path == path);
    let missing = facts.modules.iter().filter(|(folder, module)| {
        let downloads = module.requires.iter().any(|(path, _)| !own(path));
        downloads && !facts.source.is_file(&join(folder, "go.sum"))
    });
    let missing: Vec<String> = missing.map(|(folder, _)| join(folder, "go.mod")).collect();
    (!missing.is_empty()).then(|| {
        format!(
            "there is no go.sum beside {}, so what is downloaded is checked against nothing of yours: run `go mod \
             tidy` there and commit it",
            missing.join(", ")
        )
    })
}

/// Whether it talks to a chat service and answers no requests.
fn is_bot(facts: &Facts, text: &str) -> bool {
    let serves = ["PORT", "ListenAndServe", "net/http\""].iter().any(|sign| text.contains(sign));
    !serves && BOTS.iter().any(|module| facts.requires(module).is_some())
}

fn build(one: &Program) -> Run {
    let folder = if one.folder.is_empty() { ".".to_owned() } else { format!("./{}", one.folder) };
    let out = built(&one.name);
    Run::new(["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out.as_str(), folder.as_str()])
}

fn env(facts: &Facts, native: bool) -> Vec<(String, String)> {
    let mut env = vec![
        ("GOMODCACHE", "/go/pkg/mod"),
        ("GOCACHE", "/root/.cache/go-build"),
        // A go.mod that asks for a later patch level than the base has gets it.
        ("GOTOOLCHAIN", "auto"),
        ("CGO_ENABLED", if native { "1" } else { "0" }),
        ("HOME", "/root"),
    ];
    let requires = facts.modules.values().any(|module| !module.requires.is_empty());
    if facts.vendored && !facts.workspace {
        env.push(("GOFLAGS", "-mod=vendor"));
    } else if requires && !facts.locked {
        env.push(("GOFLAGS", "-mod=mod"));
    }
    env.into_iter().map(own).collect()
}

/// Packages for C code, if there is any.
fn native(facts: &Facts, programs: &[Program]) -> Option<Vec<String>> {
    let mut found: Option<Vec<String>> = None;
    let compiler = ["gcc", "libc6-dev"].map(str::to_owned);
    for (module, packages) in NATIVE {
        if facts.requires(module).is_some() {
            let list = found.get_or_insert_with(|| compiler.to_vec());
            list.extend(packages.iter().map(|name| (*name).to_owned()));
        }
    }
    let calls_c = |program: &Program| {
        facts.files_of(&program.folder).any(|file| facts.text(file).contains("\nimport \"C\""))
    };
    if found.is_none() && programs.iter().any(calls_c) {
        found = Some(compiler.to_vec());
    }
    found
}

fn own(pair: (&str, &str)) -> (String, String) {
    (pair.0.to_owned(), pair.1.to_owned())
}
