//! What the settings say in vain of a plan: no key is ignored without a word.

use super::{Settings, TOOLCHAINS};
use crate::plan::{Base, BuildPlan, Op, ProcessKind};

/// Languages of which a plan names the toolchain, if it uses it.
const LANGUAGES: [&str; 8] = ["bun", "deno", "go", "node", "php", "python", "ruby", "rust"];

impl Settings {
    /// Which of the settings mean nothing to this plan, and why: sentences for people. None where all of them
    /// count.
    ///
    /// A plan that runs nothing is a site, which the proxy serves. What a plugin could have built otherwise is for
    /// the plugin to say.
    pub fn unused_by(&self, plan: &BuildPlan) -> Vec<String> {
        let all = [self.of_no_process(plan), self.of_no_step(plan), self.of_no_command(plan)];
        all.into_iter().flatten().collect()
    }

    fn of_no_process(&self, plan: &BuildPlan) -> Option<String> {
        let why = if plan.processes.is_empty() {
            "the result is a static site, which Windlass serves itself, so nothing runs"
        } else if plan.processes.iter().all(|process| process.kind != ProcessKind::Web) {
            "no process answers requests"
        } else {
            return None;
        };
        let mut keys = self.of_requests();
        if plan.processes.is_empty() {
            keys.extend(self.of_processes());
        }
        let set = keys.into_iter().filter(|(_, set)| *set).map(|(key, _)| key.to_owned());
        sentence(set, why, "remove what is ignored, or set `build.framework` to what is to run")
    }

    /// Pins of languages that no step is built on, and of programs that no plugin fetches. Where images are named instead, the plugin decides.
    fn of_no_step(&self, plan: &BuildPlan) -> Option<String> {
        let bases = plan.steps.iter().filter_map(|step| match &step.base {
            Base::Toolchains(toolchains) => Some(toolchains),
            _ => None,
        });
        let bases: Vec<_> = bases.collect();
        let used = |name: &str| {
            let mut all = bases.iter().copied().flatten().chain(&plan.toolchains);
            all.any(|toolchain| toolchain.name == name)
        };
        let pinned = self.build.toolchain.keys();
        let named = |name: &str| LANGUAGES.contains(&name) || !TOOLCHAINS.contains(&name);
        let unused = pinned.filter(|name| named(name) && !used(name));
        let keys =
            unused.filter(|_| !bases.is_empty()).map(|name| format!("build.toolchain.{name}"));
        sentence(keys, "no step of the build uses it", "remove what is ignored")
    }

    /// Command lines of the build that no step runs: there is nothing to install for a published program or a folder of
    /// finished files. Where images are named instead, the plugin says it.
    fn of_no_command(&self, plan: &BuildPlan) -> Option<String> {
        if plan.steps.iter().any(|step| matches!(step.base, Base::Image(_))) {
            return None;
        }
        let ops = || plan.steps.iter().flat_map(|step| &step.ops);
        let run = |line: &str| {
            ops().any(|op| match op {
                Op::Run(run) => run.argv.iter().any(|word| word.contains(line)),
                _ => false,
            })
        };
        let lines =
            [("build.install", &self.build.install), ("build.command", &self.build.command)];
        let unused = lines.into_iter().filter_map(|(key, line)| Some((key, line.as_deref()?)));
        let unused = unused.filter(|(_, line)| !run(line.trim())).map(|(key, _)| key.to_owned());
        let fix = "remove what is ignored, or set `build.framework` to what it is meant for";
        sentence(unused, "no step of the build runs it for this kind of application", fix)
    }

    /// The keys that are about requests, and whether each is set.
    fn of_requests(&self) -> Vec<(&'static str, bool)> {
        let (run, health) = (&self.run, &self.health);
        vec![
            ("run.port", run.port.is_some()),
            ("run.replicas", run.replicas.is_some()),
            ("health.path", health.path.is_some()),
            ("health.status", health.status.is_some()),
        ]
    }

    /// The keys that are about any process, and whether each is set.
    fn of_processes(&self) -> [(&'static str, bool); 8] {
        let Self { run, health, deploy, cron, .. } = self;
        [
            ("run.command", run.command.is_some()),
            ("run.memory", run.memory_bytes.is_some()),
            ("run.cpu", run.cpu_millis.is_some()),
            ("run.volumes", !run.volumes.is_empty()),
            ("run.processes", !run.processes.is_empty()),
            ("health.timeout", health.timeout_ms.is_some()),
            ("deploy.before_switch", !deploy.before_switch.is_empty()),
            ("cron", !cron.is_empty()),
        ]
    }
}

fn sentence(keys: impl Iterator<Item = String>, why: &str, fix: &str) -> Option<String> {
    let keys: Vec<String> = keys.map(|key| format!("`{key}`")).collect();
    let are = if keys.len() == 1 { "is" } else { "are" };
    (!keys.is_empty()).then(|| format!("{} {are} ignored: {why}; {fix}", keys.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::EnvironmentName;
    use crate::plan::{BuildStep, ProcessPlan, Run, Toolchain};

    fn read(text: &str) -> Settings {
        Settings::parse(text, &EnvironmentName::production()).unwrap()
    }

    fn said(text: &str, kinds: &[ProcessKind]) -> Option<String> {
        let process = |kind: &ProcessKind| ProcessPlan {
            name: "one".into(),
            output: "app".into(),
            kind: *kind,
            argv: vec![],
            ports: vec![],
        };
        let processes = kinds.iter().map(process).collect();
        let mut all = read(text).unused_by(&BuildPlan { processes, ..BuildPlan::default() });
        assert!(all.len() < 2, "{all:?}");
        all.pop()
    }

    #[test]
    fn a_language_that_no_step_uses_is_pinned_in_vain() {
        let settings = read(
            "[build]\ntoolchain = { node = '22', python = '3.12', jdk = '21', fetched = '0.140.0', forgotten = '1' }",
        );
        let plan = |base| {
            let step = BuildStep {
                id: "build".into(),
                name: "build".into(),
                base,
                env: vec![],
                cwd: String::new(),
                user: String::new(),
                ops: vec![],
            };
            let fetched = Toolchain { name: "fetched".into(), requirement: "0.140.0".into() };
            BuildPlan { steps: vec![step], toolchains: vec![fetched], ..BuildPlan::default() }
        };
        let node = Toolchain { name: "node".into(), requirement: "22".into() };
        let said = settings.unused_by(&plan(Base::Toolchains(vec![node])));
        let vain = "`build.toolchain.forgotten`, `build.toolchain.python` are ignored: no step of the build";
        assert!(said.len() == 1 && said[0].starts_with(vain), "{said:?}");
        assert!(settings.unused_by(&plan(Base::Image("node:22".into()))).is_empty());
    }

    #[test]
    fn command_lines_that_no_step_runs_are_said() {
        let settings = read("[build]\ninstall = 'npm ci'\ncommand = 'make'");
        let plan = |base, line: &str| {
            let run = Run {
                argv: vec!["/bin/sh".into(), "-c".into(), line.into()],
                env: vec![],
                cwd: None,
                user: None,
                network: true,
                mounts: vec![],
                timeout_ms: None,
            };
            let step = BuildStep {
                id: "build".into(),
                name: "build".into(),
                base,
                env: vec![],
                cwd: String::new(),
                user: String::new(),
                ops: vec![Op::Run(run)],
            };
            BuildPlan { steps: vec![step], ..BuildPlan::default() }
        };
        let said = |base, line: &str| settings.unused_by(&plan(base, line)).join("\n");
        let vain = "`build.install`, `build.command` are ignored: no step of the build runs it";
        assert!(said(Base::Scratch, "cp").starts_with(vain));
        let one = said(Base::Scratch, "mkdir x && make");
        assert!(one.starts_with("`build.install` is ignored: "), "{one}");
        assert_eq!(said(Base::Image("node".into()), "cp"), "", "the plugin says it");
        assert_eq!(said(Base::Scratch, "npm ci && make"), "");
    }

    #[test]
    fn a_site_says_what_it_has_no_use_for() {
        let text = "[run]\ncommand = 'node x.js'\nport = 4000\n[health]\npath = '/up'";
        let site = said(text, &[]).unwrap();
        assert!(site.starts_with("`run.port`, `health.path`, `run.command` are ignored"), "{site}");
        assert!(site.contains("static site"), "{site}");
        let one = said("[run.processes.worker]\ncommand = 'w'", &[]).unwrap();
        assert!(one.starts_with("`run.processes` is ignored: "), "{one}");
        assert_eq!(said("[build]\noutput = 'dist'\n[deploy]\nkeep_deployments = 3", &[]), None);
    }

    #[test]
    fn workers_have_no_use_for_a_port_and_a_web_process_for_everything() {
        use ProcessKind::{Web, Worker};
        let text = "[run]\ncommand = 'node x.js'\nport = 4000\nmemory = '64MiB'";
        let workers = said(text, &[Worker]).unwrap();
        assert!(workers.starts_with("`run.port` is ignored: no process answers"), "{workers}");
        assert_eq!(said(text, &[Worker, Web]), None);
    }
}
