//! The build plan: gems from the manifests alone, compiled beside the run image; then the source and its
//! assets; then both on a runtime without compilers and Node.js.

use windlass_plugin_common::assets::{Assets, Files};
use windlass_plugin_common::command;
use windlass_plugin_common::layout::{self, APP, OUTPUT_APP, USER, on, pairs};
use windlass_sdk::plan::{BuildPlan, Copy, Op, Output, Run, Step, WriteFile};
use windlass_sdk::{Toolchain, log};

use crate::facts::Facts;
use crate::framework::{Decision, Kind};
use crate::{native, queues};

const GEMS: &str = "/usr/local/bundle";
const SEARCH_PATH: &str =
    "/usr/local/bundle/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Ruby holds back what it prints to a pipe: logs would come late, or never.
const UNBUFFERED: &str = "/etc/windlass/unbuffered.rb";
const BUNDLER: [(&str, &str); 6] = [
    ("PATH", SEARCH_PATH),
    ("GEM_HOME", GEMS),
    ("BUNDLE_APP_CONFIG", GEMS),
    ("BUNDLE_WITHOUT", "development:test"),
    ("BUNDLE_SILENCE_ROOT_WARNING", "1"),
    ("LANG", "C.UTF-8"),
];
/// Gems that make Rails compile assets.
const PIPELINES: [&str; 13] = [
    "sprockets-rails",
    "sprockets",
    "propshaft",
    "importmap-rails",
    "jsbundling-rails",
    "cssbundling-rails",
    "tailwindcss-rails",
    "dartsass-rails",
    "webpacker",
    "shakapacker",
    "vite_rails",
    "vite_ruby",
    "sassc-rails",
];
/// Of no use to the running application.
const LEFT_BEHIND: [&str; 8] = [
    "app/node_modules",
    "app/node_modules/**",
    "app/vendor/cache",
    "app/vendor/cache/**",
    "app/tmp/cache/assets",
    "app/tmp/cache/assets/**",
    "app/tmp/cache/webpacker",
    "app/tmp/cache/webpacker/**",
];

/// Writes the plan of what was decided.
pub(crate) struct Planner<'a> {
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) toolchain: Toolchain,
    pub(crate) decision: Decision,
}

impl Planner<'_> {
    /// The plan.
    pub(crate) fn plan(&self) -> BuildPlan {
        self.warn();
        let runtime = self.runtime();
        let mut plan = layout::begin(&self.toolchain, &runtime);
        let dependencies = self.dependencies(&mut plan, &runtime);
        let commands = self.commands();
        let node = self.node(&commands);
        let built = match (&dependencies, commands.is_empty()) {
            (_, true) => None,
            (dependencies, false) => {
                let base = dependencies.as_ref().unwrap_or(&runtime);
                Some(self.build(&mut plan, base, commands, node.as_ref()))
            }
        };
        if let (Kind::Site(_, folder), Some(built)) = (self.decision.kind, &built) {
            plan.outputs.push(self.site(built, folder));
            return plan;
        }
        let app = self.app(&runtime, dependencies.as_ref(), built.as_ref());
        let env = self.run_env();
        plan.outputs.push(layout::image(OUTPUT_APP, &app, &env, APP));
        plan.steps.push(app);
        self.processes(&mut plan);
        plan
    }

    fn warn(&self) {
        for warning in &self.decision.warnings {
            log::warn(warning);
        }
        let Some((file, lock, _)) = &self.facts.gemfile else { return };
        match &self.facts.lock {
            None => log::warn(format!(
                "there is no {lock}, so every build installs the newest versions that the {file} \
                 allows: run `bundle lock` and commit it"
            )),
            Some(known) if !known.fits_linux() => log::warn(format!(
                "{lock} was resolved for {} alone; Linux is added while it is built: run `bundle \
                 lock --add-platform {}` and commit it",
                known.platforms.join(", "),
                self.platform()
            )),
            Some(_) => {}
        }
        let master = self
            .facts
            .variables
            .iter()
            .any(|name| matches!(name.as_str(), "RAILS_MASTER_KEY" | "SECRET_KEY_BASE"));
        if self.decision.kind == Kind::Rails && !master && !self.facts.has("config/master.key") {
            log::warn(
                "neither RAILS_MASTER_KEY nor SECRET_KEY_BASE is set: Rails does not start in \
                 production without one of them",
            );
        }
    }

    /// The platform, as RubyGems names it.
    fn platform(&self) -> &'static str {
        if self.facts.platform.contains("arm64") { "aarch64-linux" } else { "x86_64-linux" }
    }

    fn runtime(&self) -> Step {
        let mut step = layout::runtime(std::slice::from_ref(&self.toolchain));
        let content = b"$stdout.sync = true\n$stderr.sync = true\n".to_vec();
        let path = UNBUFFERED.to_owned();
        step.ops.push(Op::WriteFile(WriteFile { path, content, mode: 0o644, chown: None }));
        let packages = native::run(self.facts, self.decision.kind);
        if packages.is_empty() { step } else { step.op(apt(&packages.join(" "))) }
    }

    /// The step with the gems; none without a Gemfile.
    fn dependencies(&self, plan: &mut BuildPlan, runtime: &Step) -> Option<Step> {
        let install = self.facts.settings.build.install.as_ref();
        if self.facts.gemfile.is_none() && install.is_none() {
            return None;
        }
        let mut base = runtime.clone();
        if self.facts.knows_gems() || install.is_some() {
            let packages = native::build(self.facts).join(" ");
            // The official image brings the headers of its Ruby, Debian has a package of them.
            let packages = format!("{packages} $(test -x /usr/local/bin/ruby || echo ruby-dev)");
            base = on(runtime, "compilers", "install what compiles gems").op(apt(&packages));
            plan.steps.push(base.clone());
        }
        let step = on(&base, "dependencies", "install the gems");
        let step = self.bundler(step).op(layout::files(self.manifests()));
        let line = match install {
            Some(line) => format!("mkdir -p {GEMS} && {line}"),
            None => self.install(),
        };
        let step = step.op(cached(Run::shell(line)));
        plan.steps.push(step.clone());
        Some(step)
    }

    fn install(&self) -> String {
        let foreign = self.facts.lock.as_ref().is_some_and(|lock| !lock.fits_linux());
        let lock = match foreign {
            true => format!("bundle lock --add-platform {} && ", self.platform()),
            false => String::new(),
        };
        format!(
            "mkdir -p {GEMS} && {lock}bundle install && \
             rm -rf {GEMS}/cache {GEMS}/bundler/gems/*/.git"
        )
    }

    /// The files that the installation reads.
    fn manifests(&self) -> Vec<String> {
        let everything = vec!["**".to_owned()];
        let Some((file, lock, gemfile)) = &self.facts.gemfile else {
            return everything;
        };
        let outside = |path: &String| path.contains("..") || path.contains('#');
        if gemfile.reads_more
            || gemfile.paths.iter().any(outside)
            || self.facts.settings.build.install.is_some()
        {
            return everything;
        }
        let mut files = vec![(*file).to_owned()];
        files.extend(self.facts.lock.as_ref().map(|_| (*lock).to_owned()));
        let named = gemfile.ruby.as_ref().and_then(|ruby| ruby.file.clone());
        files.extend(named.filter(|named| self.facts.has(named)));
        let folders = gemfile.paths.iter().map(|path| path.trim_start_matches("./"));
        let cache = self.facts.has("vendor/cache").then_some("vendor/cache");
        files.extend(folders.chain(cache).map(|path| format!("{}/**", path.trim_matches('/'))));
        files
    }

    /// Whether the installation writes the lock file.
    fn writes_lock(&self) -> bool {
        self.facts.lock.as_ref().is_none_or(|lock| !lock.fits_linux())
    }

    /// What is run once the source is there.
    fn commands(&self) -> Vec<Run> {
        if let Some(line) = &self.facts.settings.build.command {
            return vec![Run::shell(line)];
        }
        let mut commands = Vec::new();
        match self.decision.kind {
            Kind::Rails => {
                if self.facts.uses("bootsnap") {
                    let lib = if self.facts.has("lib") { " lib/" } else { "" };
                    let line = format!("bundle exec bootsnap precompile --gemfile app/{lib}");
                    commands.push(Run::new(line.split(' ')));
                }
                if self.compiles_assets() {
                    commands.push(Run::new(["bundle", "exec", "rails", "assets:precompile"]));
                }
            }
            Kind::Site(command, _) => {
                commands.push(Run::shell(format!("bundle exec {command}")));
            }
            Kind::Hanami if self.facts.uses("hanami-assets") => {
                commands.push(Run::new(["bundle", "exec", "hanami", "assets", "compile"]));
            }
            Kind::Rack | Kind::Hanami if self.assets().builds() => {
                commands.push(self.assets().build());
            }
            _ => {}
        }
        commands
    }

    /// What a generator wrote.
    fn site(&self, built: &Step, folder: &str) -> Output {
        let folder = self.facts.settings.build.output.as_deref().unwrap_or(folder);
        let parts = folder.split('/').filter(|part| !matches!(*part, "" | "." | ".."));
        let root = [APP].into_iter().chain(parts).collect::<Vec<_>>().join("/");
        let pages =
            ["source/404.html", "source/404.html.erb", "source/404.html.md", "content/404.html"];
        let not_found = self.facts.first(&pages).map(|_| "404.html");
        layout::site(built, root, None, not_found)
    }

    fn compiles_assets(&self) -> bool {
        let pipeline = self.facts.first_gem(&PIPELINES).is_some() || !self.facts.knows_gems();
        let sources = ["app/assets", "app/javascript", "app/frontend"];
        pipeline && self.facts.first(&sources).is_some()
    }

    fn assets(&self) -> Assets {
        Assets::of(&self.facts.settings, self.facts.previous, self.facts)
    }

    /// Node.js, where the build needs it.
    fn node(&self, commands: &[Run]) -> Option<Assets> {
        let compiles = !commands.is_empty() && self.decision.kind != Kind::Plain;
        let javascript = self.facts.has("package.json")
            || self.facts.uses("execjs") && !self.facts.uses("mini_racer");
        let asked = self.facts.settings.build.command.is_some() && self.facts.has("package.json");
        (compiles && javascript || asked).then(|| self.assets())
    }

    fn build(
        &self,
        plan: &mut BuildPlan,
        base: &Step,
        commands: Vec<Run>,
        node: Option<&Assets>,
    ) -> Step {
        let mut step = self.bundler(on(base, "build", "build the application"));
        step.env.extend(pairs(&self.build_env()));
        if let Some(node) = node {
            step = node.bring(plan, step);
        }
        step = step.op(self.source());
        for command in commands {
            step = step.op(cached(command));
        }
        plan.steps.push(step.clone());
        step
    }

    fn build_env(&self) -> Vec<(&'static str, &'static str)> {
        let mut env = self.environment();
        if self.decision.kind == Kind::Rails {
            env.push(("SECRET_KEY_BASE_DUMMY", "1"));
            // Rails before 7.1 knows no dummy.
            let locked = self.facts.locked("rails").or(self.facts.locked("railties"));
            if locked.is_none_or(|version| version < (7, 1)) {
                env.push(("SECRET_KEY_BASE", "of-no-use-only-for-the-build"));
            }
        }
        env
    }

    /// The source, without the lock file where the installation wrote another.
    fn source(&self) -> Copy {
        let source = layout::source();
        match &self.facts.gemfile {
            Some((_, lock, _)) if self.writes_lock() => source.exclude([*lock]),
            _ => source,
        }
    }

    fn app(&self, runtime: &Step, dependencies: Option<&Step>, built: Option<&Step>) -> Step {
        let mut step = on(runtime, "app", "collect the application");
        if let Some(gems) = dependencies {
            step = step.op(Copy::step(&gems.id, ["usr/local/bundle/**"], "/").parents());
        }
        if let Some(built) = built {
            let copy = Copy::step(&built.id, ["app/**"], "/").parents().exclude(LEFT_BEHIND);
            return step.op(owned(copy));
        }
        if let (Some(gems), Some((_, lock, _))) = (dependencies, &self.facts.gemfile)
            && self.writes_lock()
            && self.facts.settings.build.install.is_none()
        {
            let lock = format!("app/{lock}");
            step = step.op(owned(Copy::step(&gems.id, [lock], "/").parents()));
        }
        step.op(self.source().exclude(["vendor/cache", "vendor/cache/**"]))
    }

    /// Environment of every command of Bundler.
    fn bundler(&self, mut step: Step) -> Step {
        step.env.extend(pairs(&BUNDLER));
        step.env.extend(self.frozen().map(|(name, value)| (name.to_owned(), value.to_owned())));
        step.env("BUNDLE_GLOBAL_GEM_CACHE", "true").env("BUNDLE_USER_HOME", "/root/.bundle")
    }

    fn frozen(&self) -> Option<(&'static str, &'static str)> {
        let known = self.facts.gemfile.is_some() && !self.writes_lock();
        let empty = self.facts.lock.as_ref().is_none_or(|lock| lock.is_empty());
        (known && !empty).then_some(("BUNDLE_FROZEN", "1"))
    }

    fn run_env(&self) -> Vec<(&'static str, &'static str)> {
        let mut env = BUNDLER.to_vec();
        env.extend(self.frozen());
        env.extend(self.environment());
        env.extend([("RUBYOPT", "-r/etc/windlass/unbuffered.rb"), ("MALLOC_ARENA_MAX", "2")]);
        env.push(("HOME", APP));
        env
    }

    fn environment(&self) -> Vec<(&'static str, &'static str)> {
        match self.decision.kind {
            Kind::Rails => vec![
                ("RAILS_ENV", "production"),
                ("RACK_ENV", "production"),
                ("RAILS_LOG_TO_STDOUT", "1"),
                ("RAILS_SERVE_STATIC_FILES", "1"),
            ],
            Kind::Hanami => vec![
                ("HANAMI_ENV", "production"),
                ("RACK_ENV", "production"),
                ("HANAMI_SERVE_ASSETS", "true"),
            ],
            Kind::Site(..) => vec![("MM_ENV", "production"), ("NANOC_ENV", "production")],
            Kind::Rack | Kind::Plain => vec![("APP_ENV", "production"), ("RACK_ENV", "production")],
        }
    }

    fn processes(&self, plan: &mut BuildPlan) {
        let mut declared = self.facts.declared.clone();
        let line = self.decision.line.as_deref();
        if !self.decision.web {
            declared = declared.with_worker(line);
        }
        if let Some(hint) = queues::hint(self.facts) {
            log::warn(hint);
        }
        plan.processes = declared.processes(line.map(command::argv), None);
    }
}

fn apt(packages: &str) -> Run {
    Run::shell(format!(
        "apt-get update && apt-get install -y --no-install-recommends {packages} && \
         rm -rf /var/lib/apt/lists/*"
    ))
    .network()
}

fn cached(run: Run) -> Run {
    run.network().cache("bundler", "/root/.bundle/cache").env("HOME", "/root")
}

fn owned(mut copy: Copy) -> Copy {
    copy.chown = Some(USER.to_owned());
    copy
}
