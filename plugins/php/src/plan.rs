//! The build plan: packages from the manifests alone, then the source and its assets beside the run image,
//! then everything on a runtime without Composer and Node.js.

use windlass_plugin_common::assets::{Assets, Files};
use windlass_plugin_common::composer::{self, Lock};
use windlass_plugin_common::layout::{self, APP, OUTPUT_APP, PATH, USER, on, pairs};
use windlass_plugin_common::{command, queues};
use windlass_sdk::plan::{BuildPlan, Copy, Op, Run, Step, WriteFile};
use windlass_sdk::{Toolchain, log};

use crate::extensions::{Wanted, apt};
use crate::facts::Facts;
use crate::framework::{Decision, Start};
use crate::server;

/// Composer from its own site, where the base does not bring it; its signature comes from another host.
const FETCH_COMPOSER: &str = "command -v composer >/dev/null || { \
    php -r \"copy('https://getcomposer.org/installer', '/tmp/composer-setup.php');\" && \
    php -r \"exit(hash_equals(trim(file_get_contents('https://composer.github.io/installer.sig')), \
    hash_file('sha384', '/tmp/composer-setup.php')) ? 0 : 1);\" && \
    php /tmp/composer-setup.php --quiet --2 --install-dir=/usr/local/bin --filename=composer && \
    rm /tmp/composer-setup.php; }";
const COMPOSER: [(&str, &str); 4] = [
    ("COMPOSER_ALLOW_SUPERUSER", "1"),
    ("COMPOSER_NO_INTERACTION", "1"),
    ("COMPOSER_HOME", "/root/.composer"),
    ("COMPOSER_CACHE_DIR", "/root/.composer/cache"),
];
/// Folders that Laravel writes to, and that a repository may lack.
const LARAVEL_FOLDERS: &str = "mkdir -p bootstrap/cache storage/logs storage/app/public \
    storage/framework/cache/data storage/framework/sessions storage/framework/views && \
    { test -e public/storage || ln -s ../storage/app/public public/storage; }";
/// Packages that make assets of AssetMapper, and their commands.
const ASSET_BUNDLES: [(&str, &[&str]); 3] = [
    ("symfonycasts/tailwind-bundle", &["tailwind:build", "--minify"]),
    ("symfonycasts/sass-bundle", &["sass:build"]),
    ("sensiolabs/typescript-bundle", &["typescript:build"]),
];
/// Of no use to the running application.
const LEFT_BEHIND: [&str; 2] = ["app/node_modules", "app/node_modules/**"];

/// Writes the plan of what was decided.
pub(crate) struct Planner<'a> {
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) toolchain: Toolchain,
    pub(crate) lock: &'a Lock,
    pub(crate) decision: Decision,
}

impl Planner<'_> {
    /// The plan.
    pub(crate) fn plan(&self) -> BuildPlan {
        self.warn();
        let runtime = self.runtime();
        let mut plan = layout::begin(&self.toolchain, &runtime);
        let dependencies = self.dependencies(&mut plan, &runtime);
        let node = self.node();
        let commands = self.commands(dependencies.is_some(), node.as_ref());
        let built = (!commands.is_empty() || dependencies.is_some()).then(|| {
            let base = dependencies.as_ref().unwrap_or(&runtime);
            self.build(&mut plan, base, commands, node.as_ref())
        });
        let app = self.app(&runtime, built.as_ref());
        plan.outputs.push(layout::image(OUTPUT_APP, &app, &self.run_env(), APP));
        plan.steps.push(app);
        self.processes(&mut plan);
        plan
    }

    fn id(&self) -> &str {
        &self.decision.detection.id
    }

    fn warn(&self) {
        let lock = self.facts.has(composer::LOCK);
        if self.installs() && !lock && self.facts.composer.is_some() {
            log::warn(
                "there is no composer.lock, so every build installs the newest versions that \
                 composer.json allows: run `composer update` and commit it",
            );
        }
        let set = |name: &str| self.facts.variables.iter().any(|set| set == name);
        let key = self.facts.text(".env").is_some_and(|text| {
            text.lines()
                .any(|line| line.trim().strip_prefix("APP_KEY=").is_some_and(|k| !k.is_empty()))
        });
        if self.id() == "laravel" && !set("APP_KEY") && !key {
            log::warn(
                "APP_KEY is not set: Laravel answers every request with an error without it; print one \
                 with `php artisan key:generate --show`, and set it: `windlass env set --secret \
                 APP_KEY=…`",
            );
        }
        if let Some(hint) = self.jobs() {
            log::warn(hint);
        }
        if let Start::Script(Some(line), _) = &self.decision.start {
            log::info(format!("there is no page to serve: {line} is run"));
        }
    }

    /// What to say of Laravel's jobs that no process carries out.
    fn jobs(&self) -> Option<String> {
        let facts = self.facts;
        let hint = |name: &str, line: &str| {
            queues::hint(&facts.declared, name, &["queue:", "horizon"], line)
        };
        match self.id() {
            "laravel" if facts.requires("laravel/horizon").is_some() => {
                hint("Laravel Horizon", "php artisan horizon")
            }
            // A connection that is set may carry them out at once.
            "laravel" if !facts.variables.iter().any(|name| name == "QUEUE_CONNECTION") => {
                let jobs = facts.source.files(&["app/Jobs/**/*.php"]).unwrap_or_default();
                let first = jobs.first()?;
                hint(&format!("Laravel ({first})"), "php artisan queue:work")
            }
            _ => None,
        }
    }

    fn runtime(&self) -> Step {
        let wanted = Wanted::of(self.facts, self.id(), &self.lock.extensions);
        for name in &wanted.unknown {
            log::warn(format!(
                "the extension {name} is asked for, and there is no way known to install it; if it \
                 is missing, deploy with a Dockerfile"
            ));
        }
        layout::runtime(std::slice::from_ref(&self.toolchain))
            .op(Run::shell(wanted.line()).network())
    }

    /// Whether Composer is run: packages that were committed stay as they are.
    fn installs(&self) -> bool {
        let committed = self.facts.has("vendor/autoload.php");
        self.facts.composer.is_some() && !committed || self.facts.settings.build.install.is_some()
    }

    /// The step with the packages; none without Composer.
    fn dependencies(&self, plan: &mut BuildPlan, runtime: &Step) -> Option<Step> {
        if !self.installs() {
            return None;
        }
        let mut tool = on(runtime, "composer", "install Composer");
        let line = format!("{} git unzip && rm -rf /var/lib/apt/lists/*", apt(""));
        tool = tool.op(Run::shell(line).network());
        tool = tool.op(Run::shell(FETCH_COMPOSER).network().env("HOME", "/root"));
        let mut step = on(&tool, "dependencies", "install the packages");
        step.env = pairs(&COMPOSER);
        let step = match &self.facts.settings.build.install {
            Some(line) => step.op(layout::files(["**"])).op(cached(Run::shell(line))),
            None => step.op(layout::files(self.manifests())).op(cached(Run::new([
                "composer",
                "install",
                "--no-dev",
                "--prefer-dist",
                "--no-progress",
                "--no-scripts",
                "--no-autoloader",
            ]))),
        };
        plan.steps.extend([tool, step.clone()]);
        Some(step)
    }

    /// The files that the installation reads.
    fn manifests(&self) -> Vec<String> {
        let files = [composer::FILE, composer::LOCK, "symfony.lock", "auth.json"];
        let files = files.into_iter().filter(|file| self.facts.has(file)).map(str::to_owned);
        let paths = self.facts.composer.iter().flat_map(|composer| &composer.paths);
        let outside = |path: &&String| path.starts_with("..") || path.starts_with('/');
        let folders = paths.filter(|path| !outside(path)).map(|path| format!("{path}/**"));
        files.chain(folders).collect()
    }

    /// What is run once the source is there.
    fn commands(&self, installed: bool, node: Option<&Assets>) -> Vec<Run> {
        let mut commands = Vec::new();
        let own = self.facts.settings.build.install.is_some();
        if self.id() == "laravel" && self.facts.has("artisan") {
            commands.push(Run::shell(LARAVEL_FOLDERS));
        }
        if installed && !own {
            let words = ["composer", "dump-autoload", "--no-dev", "--optimize"];
            commands.push(Run::new(words));
            let script = "post-install-cmd";
            if self.facts.composer.as_ref().is_some_and(|file| file.scripts.contains(script)) {
                commands.push(Run::new(["composer", "run-script", "--no-dev", script]));
            }
        }
        match (&self.facts.settings.build.command, node) {
            (Some(line), _) => commands.push(Run::shell(line)),
            (None, Some(node)) if node.builds() => commands.push(node.build()),
            _ => {}
        }
        commands.extend(self.asset_map());
        commands
    }

    /// Symfony's AssetMapper: without its files in the public folder every asset is a 404 in production.
    fn asset_map(&self) -> Vec<Run> {
        let maps = self.facts.requires("symfony/asset-mapper").is_some();
        if !maps || !self.facts.has("bin/console") || self.facts.settings.build.command.is_some() {
            return Vec::new();
        }
        let fetches = self.facts.has("importmap.php") && !self.facts.has("assets/vendor");
        let fetch = fetches.then_some(&["importmap:install"][..]);
        let made = ASSET_BUNDLES.iter().filter(|(name, _)| self.facts.requires(name).is_some());
        let all = fetch.into_iter().chain(made.map(|(_, words)| *words));
        let all = all.chain([&["asset-map:compile"][..]]);
        all.map(|words| Run::new([&["php", "bin/console"][..], words].concat())).collect()
    }

    /// Node.js, where assets are built.
    fn node(&self) -> Option<Assets> {
        let node = Assets::of(&self.facts.settings, self.facts.previous, self.facts);
        let asked = self.facts.settings.build.command.is_some();
        (self.facts.has("package.json") && (node.builds() || asked)).then_some(node)
    }

    fn build(
        &self,
        plan: &mut BuildPlan,
        base: &Step,
        commands: Vec<Run>,
        node: Option<&Assets>,
    ) -> Step {
        let mut step = on(base, "build", "build the application");
        step.env = pairs(&COMPOSER);
        step.env.extend(pairs(self.environment()));
        if let Some(node) = node {
            step = node.bring(plan, step);
        }
        step = step.op(layout::source());
        for command in commands {
            step = step.op(cached(command));
        }
        plan.steps.push(step.clone());
        step
    }

    fn app(&self, runtime: &Step, built: Option<&Step>) -> Step {
        let mut step = on(runtime, "app", "collect the application");
        if let Start::Server(served) = &self.decision.start {
            let content = server::configuration(served).into_bytes();
            let path = server::FILE.to_owned();
            step.ops.push(Op::WriteFile(WriteFile { path, content, mode: 0o644, chown: None }));
        }
        let Some(built) = built else {
            return step.op(layout::source());
        };
        let mut copy = Copy::step(&built.id, ["app/**"], "/").parents().exclude(LEFT_BEHIND);
        copy.chown = Some(USER.to_owned());
        step.op(copy)
    }

    fn run_env(&self) -> Vec<(&'static str, &'static str)> {
        let mut env = vec![("PATH", PATH), ("HOME", APP)];
        env.extend_from_slice(self.environment());
        env
    }

    fn environment(&self) -> &'static [(&'static str, &'static str)] {
        match self.id() {
            "laravel" => {
                &[("APP_ENV", "production"), ("APP_DEBUG", "false"), ("LOG_CHANNEL", "stderr")]
            }
            "symfony" => &[("APP_ENV", "prod"), ("APP_DEBUG", "0")],
            "codeigniter" => &[("CI_ENVIRONMENT", "production"), ("CI_ENV", "production")],
            "yii" => &[("YII_ENV", "prod"), ("YII_DEBUG", "0")],
            "wordpress" => &[("WP_ENV", "production")],
            _ => &[("APP_ENV", "production")],
        }
    }

    fn processes(&self, plan: &mut BuildPlan) {
        let mut declared = self.facts.declared.clone();
        let web = match &self.decision.start {
            Start::Server(_) => Some(self.server()),
            Start::Script(line, true) => line.as_deref().map(command::argv),
            Start::Script(line, false) => {
                declared = declared.with_worker(line.as_deref());
                None
            }
        };
        plan.processes = declared.processes(web, None);
    }

    /// Apache. Laravel's configuration is cached first, at the start: it is made of variables.
    fn server(&self) -> Vec<String> {
        if self.id() == "laravel" && self.facts.has("artisan") {
            let line = server::COMMAND.join(" ");
            return command::shell(&format!("php artisan config:cache; exec {line}"));
        }
        server::COMMAND.map(str::to_owned).to_vec()
    }
}

fn cached(run: Run) -> Run {
    run.network().cache("composer", "/root/.composer/cache").env("HOME", "/root")
}
