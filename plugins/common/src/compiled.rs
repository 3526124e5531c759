//! Programs that are compiled: a step with the compiler, one that builds, and a bare Debian with what
//! was built. The programs lie in `/app/bin`, which is on the search path; beside them, in `/app`, lies
//! the source without what only the compiler reads: templates, public files and settings are found
//! where the program expects them.
//!
//! **Invariant: what a program is linked to comes along.** The shared libraries are those that it was
//! built against, and not packages of the same name.

mod listening;

pub use listening::{fixed_port, port_variable};
use windlass_sdk::config::Settings;
use windlass_sdk::plan::{Artifact, Base, BuildPlan, Copy, Run, Step};
use windlass_sdk::{Toolchain, log};

use crate::layout::{self, APP, Declared, OUTPUT_APP, OUTPUT_MIGRATE, USER, on};
use crate::ports;

/// Search path of the run image.
pub const PATH: &str = "/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where the libraries of the programs lie.
const LIBRARIES: &str = "/usr/local/lib/app";
/// What a build of the settings leaves behind and nothing runs.
const LEFT_BEHIND: [&str; 6] = [
    "app/target/*/deps/**",
    "app/target/*/build/**",
    "app/target/*/incremental/**",
    "app/target/*/.fingerprint/**",
    "app/dist-newstyle/cache/**",
    "**/*.o",
];
/// Puts every library that a program needs, but for those of the C library, beside it: the body of a loop
/// over the programs, and what follows.
const COLLECT: &str = "ldd \"$program\" 2>/dev/null; done | \
    awk '$2 == \"=>\" && $3 ~ /^\\// { print $3 }' | sort -u | \
    grep -vE '/(ld-linux[^/]*|lib(c|m|dl|pthread|rt|resolv|util))\\.so[^/]*$' | \
    while read -r library; do \
    install -D \"$library\" \"/out/usr/local/lib/app/$(basename \"$library\")\"; done";

/// Below it, in `bin`, a migration tool is left: see [`Compiled::migrates`].
pub const TOOLS: &str = "/tools";

/// Where the build leaves a program.
pub fn built(name: &str) -> String {
    format!("/out/app/bin/{name}")
}

/// Where it is in the image.
pub fn program(name: &str) -> String {
    format!("/app/bin/{name}")
}

/// How a program is built and run.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The compiler.
    pub toolchain: Toolchain,
    /// Debian packages that the build needs.
    pub packages: Vec<String>,
    /// Variables of the build.
    pub env: Vec<(String, String)>,
    /// Caches of the package manager: name and folder.
    pub caches: Vec<(String, String)>,
    /// Globs of the manifests; none where nothing is installed ahead.
    pub manifests: Vec<String>,
    /// Installs what the manifests name.
    pub install: Vec<Run>,
    /// Leaves programs where [`built`] says.
    pub build: Vec<Run>,
    /// Globs of the source that only the build needs.
    pub only_build: Vec<String>,
    /// Whether the programs may be linked to shared libraries.
    pub dynamic: bool,
    /// Variables of the run image.
    pub run_env: Vec<(String, String)>,
    /// Debian packages of the run image.
    pub run_packages: Vec<String>,
}

/// What is run.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// Argument vector of the program.
    pub argv: Vec<String>,
    /// The port that it has fixed.
    pub port: Option<u16>,
    /// The variable that it reads its port from, if that is not `PORT`: see [`port_variable`].
    pub port_variable: Option<String>,
    /// Whether it answers no requests.
    pub worker: bool,
    /// Names of the programs that are built, the main one first.
    pub programs: Vec<String>,
}

impl Compiled {
    /// Nothing but a compiler.
    pub fn new(toolchain: Toolchain) -> Self {
        Self {
            toolchain,
            packages: Vec::new(),
            env: Vec::new(),
            caches: Vec::new(),
            manifests: Vec::new(),
            install: Vec::new(),
            build: Vec::new(),
            only_build: Vec::new(),
            dynamic: true,
            run_env: Vec::new(),
            run_packages: Vec::new(),
        }
    }

    /// A command with the caches and the network.
    pub fn run(&self, run: Run) -> Run {
        self.caches.iter().fold(run.network(), |run, (id, target)| run.cache(id, target))
    }

    /// The plan.
    pub fn plan(&self, settings: &Settings, declared: &Declared, start: &Start) -> BuildPlan {
        let compiler = self.compiler(settings);
        let dependencies = self.dependencies(settings, &compiler);
        let build = self.building(settings, dependencies.as_ref().unwrap_or(&compiler));
        let debian = Toolchain::new("debian", "");
        let mut runtime = layout::runtime(std::slice::from_ref(&debian));
        runtime.ops.extend(packages(&self.run_packages).map(Into::into));
        let app = self.app(settings, &runtime, &build);
        let mut env: Vec<(&str, &str)> = vec![("PATH", PATH), ("HOME", APP)];
        if self.dynamic {
            env.push(("LD_LIBRARY_PATH", LIBRARIES));
        }
        env.extend(self.run_env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let mut plan = BuildPlan::new();
        plan.outputs.push(layout::image(OUTPUT_APP, &app, &env, APP));
        plan.steps.push(compiler);
        plan.steps.extend(dependencies);
        plan.steps.extend([build, runtime, app]);
        plan.toolchains.extend([self.toolchain.clone(), debian]);
        plan.processes = processes(declared, start);
        plan
    }

    /// Adds the output for migrations: the application's image, and in it the program of a tool, which is
    /// left in [`TOOLS`]. It is built of its name and version alone, so a change of the source does not
    /// build it again. Without a tool the application's own programs migrate.
    pub fn migrates(&self, plan: &mut BuildPlan, tool: Option<(&str, Run)>) {
        let app = plan.outputs.iter().find(|output| output.name == OUTPUT_APP);
        let Some(mut output) = app.cloned() else {
            return;
        };
        OUTPUT_MIGRATE.clone_into(&mut output.name);
        if let (Some((program, run)), Artifact::Image(image)) = (tool, &mut output.artifact) {
            let compiler = Base::Step("compiler".to_owned());
            let built = self.with_env(Step::new("tool", "build the migration tool", compiler));
            let built = built.op(self.run(run));
            let files = [format!("{TOOLS}/bin/{program}")];
            let app = Base::Step(image.step.clone());
            let step = Step::new("migrate", "prepare the migration", app).op(Copy::step(
                &built.id,
                files,
                "/app/bin/",
            ));
            image.step.clone_from(&step.id);
            plan.steps.extend([built, step]);
        }
        plan.outputs.push(output);
    }

    fn compiler(&self, settings: &Settings) -> Step {
        let base = Base::Toolchains(vec![self.toolchain.clone()]);
        let mut step = Step::new("compiler", "prepare the compiler", base);
        step.ops.push(Run::new(["mkdir", "-p", "/app", "/out/app/bin"]).into());
        let lines = || settings.build.install.iter().chain(&settings.build.command);
        let makes = lines().any(|line| line.split_whitespace().any(|word| word == "make"));
        let make = makes.then(|| "make".to_owned());
        let all: Vec<String> = self.packages.iter().cloned().chain(make).collect();
        step.ops.extend(packages(&all).map(Into::into));
        "/".clone_into(&mut step.cwd);
        step
    }

    fn with_env(&self, mut step: Step) -> Step {
        step.env.extend(self.env.iter().cloned());
        step
    }

    fn dependencies(&self, settings: &Settings, compiler: &Step) -> Option<Step> {
        let step = self.with_env(on(compiler, "dependencies", "install the dependencies"));
        if let Some(line) = &settings.build.install {
            return Some(step.op(layout::files(["**"])).op(self.run(Run::shell(line))));
        }
        if self.install.is_empty() {
            return None;
        }
        let step = step.op(layout::files(self.manifests.clone()));
        Some(self.install.iter().fold(step, |step, run| step.op(run.clone())))
    }

    fn building(&self, settings: &Settings, on_step: &Step) -> Step {
        let mut step = self.with_env(on(on_step, "build", "build")).op(layout::source());
        match &settings.build.command {
            Some(line) => {
                log::info(
                    "build.command builds: the program is expected in /app/bin, or run.command names it",
                );
                step = step.op(self.run(Run::shell(line)));
            }
            None => step.ops.extend(self.build.iter().cloned().map(Into::into)),
        }
        if self.dynamic {
            let own = settings.build.command.is_some();
            let programs =
                if own { "$(find /app -maxdepth 4 -type f -perm -u+x)" } else { "/out/app/bin/*" };
            step = step.op(Run::shell(format!("for program in {programs}; do {COLLECT}")));
        }
        step
    }

    fn app(&self, settings: &Settings, runtime: &Step, build: &Step) -> Step {
        let step = on(runtime, "app", "collect the application");
        let programs = Copy::step(&build.id, ["/out/**"], "/");
        if settings.build.command.is_some() {
            let mut all = Copy::step(&build.id, ["/app/**"], "/app/").exclude(LEFT_BEHIND);
            all.chown = Some(USER.to_owned());
            return step.op(all).op(programs);
        }
        step.op(layout::source().exclude(self.only_build.clone())).op(programs)
    }
}

fn processes(declared: &Declared, start: &Start) -> Vec<windlass_sdk::plan::Process> {
    let mut declared = declared.clone();
    if let Some((line, ..)) = &mut declared.web {
        *line = resolved(line, &start.programs);
    }
    for (_, line) in &mut declared.workers {
        *line = resolved(line, &start.programs);
    }
    if start.worker {
        declared = declared.with_worker(Some(&start.argv.join(" ")));
    }
    let mut processes = declared.processes(Some(start.argv.clone()), start.port);
    if let Some(name) = told(&declared, start) {
        ports::tell(&mut processes, name);
    }
    processes
}

/// The variable that the web process is told its port in: of the main program, whose line does not set it.
fn told<'s>(declared: &Declared, start: &'s Start) -> Option<&'s str> {
    let name = start.port_variable.as_deref().filter(|_| !start.worker)?;
    let main = start.programs.first();
    let own = match &declared.web {
        None => !declared.only_workers,
        Some((line, ..)) => {
            let sets = ports::set_by(line, name).is_some();
            main.is_some_and(|main| names(&resolved(line, &start.programs), main)) && !sets
        }
    };
    own.then_some(name)
}

/// Installs Debian packages.
pub fn packages(names: &[String]) -> Option<Run> {
    if names.is_empty() {
        return None;
    }
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    let line = format!(
        "apt-get update && apt-get install -y --no-install-recommends {} && rm -rf /var/lib/apt/lists/*",
        names.join(" ")
    );
    Some(Run::shell(line).network().env("DEBIAN_FRONTEND", "noninteractive"))
}

/// A declared command line with the program's place in the image: people write `./app`,
/// `target/release/app`, `go run .` and `cargo run`.
pub fn resolved(line: &str, programs: &[String]) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let known = |word: &str| {
        let name = word.rsplit('/').next().unwrap_or_default();
        programs.iter().find(|program| *program == name)
    };
    let joined = |name: &str, rest: &[&str]| {
        let mut all = vec![program(name)];
        all.extend(rest.iter().map(|word| (*word).to_owned()));
        all.join(" ")
    };
    let main = programs.first();
    match (words.as_slice(), main) {
        (["go", "run", target, rest @ ..], Some(main)) => {
            let rest =
                rest.iter().position(|word| !word.ends_with(".go")).map_or(&[][..], |n| &rest[n..]);
            joined(known(target).unwrap_or(main), rest)
        }
        (["cargo", "run", rest @ ..], Some(main)) => {
            let named = rest.iter().position(|word| *word == "--bin").and_then(|n| rest.get(n + 1));
            let after =
                rest.iter().position(|word| *word == "--").map_or(&[][..], |n| &rest[n + 1..]);
            joined(named.and_then(|name| known(name)).unwrap_or(main), after)
        }
        ([first, rest @ ..], _) if first.contains('/') => {
            known(first).map_or_else(|| line.to_owned(), |name| joined(name, rest))
        }
        _ => line.to_owned(),
    }
}

/// Whether a command line names this program.
pub fn names(line: &str, name: &str) -> bool {
    line.split_whitespace().any(|word| word.rsplit('/').next() == Some(name))
}

/// The one of several programs that is most likely the application: the one that is called like the
/// project, else the one with a usual name of a server.
pub fn likely<'a>(names: &[&'a str], project: &str) -> Option<&'a str> {
    const USUAL: [&str; 10] =
        ["web", "server", "api", "app", "main", "backend", "service", "http", "httpd", "serve"];
    let exact = |wanted: &str| names.iter().copied().find(|name| *name == wanted);
    let ends = |wanted: &str| {
        let fits = |name: &&&str| name.rsplit(['-', '_']).next() == Some(wanted);
        names.iter().find(fits).copied()
    };
    exact(project)
        .or_else(|| USUAL.into_iter().find_map(exact))
        .or_else(|| USUAL.into_iter().find_map(ends))
}

/// Says in the log what the main file of a program, named for people, shows of where it listens: on an address that
/// nothing reaches, and the port that it has fixed, where that is the one that counts. A worker is asked for nothing.
pub fn say_listening(file: &str, text: &str, declared: &Declared, start: &Start) {
    if start.worker {
        return;
    }
    if listening::on_loopback(text) {
        log::warn(format!(
            "{file} seems to listen on 127.0.0.1 only, where nothing can reach it: listen on 0.0.0.0"
        ));
    }
    let counts = declared.port.is_none() && !declared.only_workers;
    if let Some(port) = start.port.filter(|_| counts) {
        log::info(format!("the port is {port}: it is written into {file}"));
    }
    if let Some(name) = told(declared, start) {
        log::info(ports::said(name, file));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declared_lines_name_the_program_in_the_image() {
        let programs = ["shop".to_owned(), "worker".to_owned()];
        for (line, expected) in [
            ("./shop --x", "/app/bin/shop --x"),
            ("target/release/worker", "/app/bin/worker"),
            ("bin/shop", "/app/bin/shop"),
            ("shop", "shop"),
            ("go run .", "/app/bin/shop"),
            ("go run main.go util.go -v", "/app/bin/shop -v"),
            ("go run ./cmd/worker", "/app/bin/worker"),
            ("cargo run --release --bin worker -- -q", "/app/bin/worker -q"),
            ("cargo run --release", "/app/bin/shop"),
            ("./start.sh", "./start.sh"),
        ] {
            assert_eq!(resolved(line, &programs), expected, "{line}");
        }
    }

    #[test]
    fn the_likely_program_is_called_like_the_project_or_like_a_server() {
        assert_eq!(likely(&["migrate", "shop"], "shop"), Some("shop"));
        assert_eq!(likely(&["migrate", "api", "web"], "shop"), Some("web"));
        assert_eq!(likely(&["shop-server", "shop-cli"], "shop"), Some("shop-server"));
        assert_eq!(likely(&["first", "second"], "package"), None);
    }
}
