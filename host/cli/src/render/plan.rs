//! What `plan` says, for people: the steps, what comes out of them, and what is done with it.

use windlass_model::ahead::by_reason;
use windlass_model::plan::{
    Base, BuildPlan, BuildStep, Evidence, KeyValues, Migration, MigrationVerdict, Mount, Op,
    Origin, OutputKind, Place, Placed, Probe, ProcessKind, ProcessPlan, Run, RunConfig,
};

use super::local::toolchains;
use super::{cut, harmless, took};
use crate::console::{Style, paint};
use crate::roles::PlanOutput;

/// Longest value of a variable that is shown whole: search paths are longer, and say little.
const VALUE_CHARS_MAX: usize = 48;

/// A plan as readable steps.
pub fn plan(output: &PlanOutput, color: bool) -> String {
    let mut text = format!(
        "{} is built like this, by plugin {}:\n",
        harmless(&output.detection.name),
        output.stored.plugin
    );
    let plan = &output.stored.plan;
    for (index, one) in plan.steps.iter().enumerate() {
        let name = paint(color, Style::Bold, &harmless(&one.name));
        text += &format!("\n{}. {name} (`{}`, from {})\n", index + 1, one.id, base(&one.base));
        text += &harmless_lines(&step(one));
    }
    text += "\n";
    let after = [results(plan), migrations(plan, &output.migrations), health(output)].concat();
    text += &harmless_lines(&after);
    for line in &output.log {
        text += &format!("plugin: {}\n", harmless(line));
    }
    for (ids, reason) in by_reason(&output.near_misses) {
        text += &format!("also seen ({}): {}\n", harmless(&ids.join(", ")), harmless(reason));
    }
    text
}

fn harmless_lines(text: &str) -> String {
    text.lines().map(|line| harmless(line) + "\n").collect()
}

fn base(base: &Base) -> String {
    match base {
        Base::Step(id) => format!("step `{id}`"),
        Base::Image(reference) => format!("image {reference}"),
        Base::Toolchains(needed) => format!("a base with {}", toolchains(needed)),
        Base::Scratch => "nothing".to_owned(),
    }
}

/// What is done in a step, a line each.
fn step(step: &BuildStep) -> String {
    let mut text = String::new();
    if !step.cwd.is_empty() {
        text += &format!("   in {}\n", harmless(&step.cwd));
    }
    if !step.user.is_empty() {
        text += &format!("   as {}\n", harmless(&step.user));
    }
    if !step.env.is_empty() {
        text += &format!("   with   {}\n", variables(&step.env));
    }
    for op in &step.ops {
        text += &format!("   {}\n", harmless(&operation(op)));
    }
    text
}

fn variables(env: &KeyValues) -> String {
    let one = |(name, value): &(String, String)| {
        format!("{name}={}", word(&cut(&harmless(value), VALUE_CHARS_MAX)))
    };
    env.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn operation(op: &Op) -> String {
    let from = |origin: &Origin| match origin {
        Origin::Source => "the source".to_owned(),
        Origin::Step(id) => format!("step `{id}`"),
        Origin::Image(reference) => format!("image {reference}"),
    };
    match op {
        Op::Run(run) => ran(run),
        Op::Copy(copy) => {
            format!("copy   {} of {} to {}", copy.sources.join(" "), from(&copy.origin), copy.dest)
        }
        Op::WriteFile { path, content, .. } => format!("write  {path} ({} bytes)", content.len()),
        Op::Fetch { url, dest, .. } => format!("fetch  {url} to {dest}"),
        Op::Extract { origin, archive, dest } => {
            format!("unpack {archive} of {} to {dest}", from(origin))
        }
        Op::Place(place) => placed(place),
        Op::MakeDir { path, .. } => format!("make   the directory {path}"),
    }
}

/// A command, and what it has beside its step.
fn ran(run: &Run) -> String {
    let mut notes = Vec::new();
    if !run.network {
        notes.push("no network".to_owned());
    }
    notes.extend(run.mounts.iter().map(mounted));
    if !run.env.is_empty() {
        notes.push(format!("with {}", variables(&run.env)));
    }
    let notes = match notes.as_slice() {
        [] => String::new(),
        notes => format!("   ({})", notes.join(", ")),
    };
    format!("run    {}{notes}", command(&run.argv))
}

fn mounted(mount: &Mount) -> String {
    match mount {
        Mount::Cache { id, target, .. } => format!("cache {id} at {target}"),
        Mount::Bind { from_step, path, target, .. } if from_step.is_empty() => {
            format!("{} of the source at {target}", whole(path))
        }
        Mount::Bind { from_step, path, target, .. } => {
            format!("{} of step `{from_step}` at {target}", whole(path))
        }
        Mount::Secret { name, .. } => format!("secret {name}"),
        Mount::Tmpfs { target, .. } => format!("memory at {target}"),
    }
}

fn whole(path: &str) -> &str {
    if path.is_empty() { "all" } else { path }
}

fn placed(place: &Place) -> String {
    let paths = place.paths.join(" ");
    let what = match &place.origin {
        Placed::Source => format!("{paths} of the source"),
        Placed::Step(id) => format!("{paths} of step `{id}`"),
        Placed::Image(reference) => format!("{paths} of image {reference}"),
        Placed::Inline(files) => {
            files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(" ")
        }
        Placed::Download { url, .. } => url.clone(),
    };
    format!("copy   {what} to {}", place.dest)
}

/// What comes out, and which processes run.
fn results(plan: &BuildPlan) -> String {
    let mut text = String::new();
    // Outputs for migrations mostly have what the application has.
    let mut shown: Option<(&str, &KeyValues)> = None;
    for output in &plan.outputs {
        match &output.artifact {
            OutputKind::Image { step, config } => {
                let ways = ways(config);
                text += &format!("output {}: the result of step `{step}`{ways}\n", output.name);
                match shown {
                    _ if config.env.is_empty() => {}
                    Some((name, env)) if *env == config.env => {
                        text += &format!("   with   the variables of output {name}\n");
                    }
                    _ => text += &format!("   with   {}\n", variables(&config.env)),
                }
                shown = shown.or(Some((&output.name, &config.env)));
            }
            OutputKind::StaticTree { step, root, spa_fallback, not_found } => {
                text += &format!("output {}: static tree {root} of step `{step}`\n", output.name);
                text += &unknown_paths(spa_fallback.as_deref(), not_found.as_deref());
            }
        }
    }
    text += &plan.processes.iter().map(process).collect::<String>();
    if !plan.toolchains.is_empty() {
        text += &format!("toolchains: {}\n", toolchains(&plan.toolchains));
    }
    text
}

/// Where and as whom it is run.
fn ways(config: &RunConfig) -> String {
    let mut text = String::new();
    if !config.cwd.is_empty() {
        text += &format!(", in {}", config.cwd);
    }
    if !config.user.is_empty() {
        text += &format!(", as {}", config.user);
    }
    text
}

fn unknown_paths(spa_fallback: Option<&str>, not_found: Option<&str>) -> String {
    match (spa_fallback, not_found) {
        (Some(page), _) => format!("   unknown paths get {page}, with status 200\n"),
        (None, Some(page)) => format!("   unknown paths get {page}, with status 404\n"),
        (None, None) => String::new(),
    }
}

fn process(process: &ProcessPlan) -> String {
    let port = process.ports.first().filter(|_| process.kind == ProcessKind::Web);
    let port = port.map(|port| format!(", PORT={port}")).unwrap_or_default();
    let argv = if process.argv.is_empty() {
        "the image's own command".to_owned()
    } else {
        harmless(&command(&process.argv))
    };
    format!("process {}: {argv}{port}\n", process.name)
}

/// What is run before the new version starts, and why the rest is not.
fn migrations(plan: &BuildPlan, found: &[Migration]) -> String {
    let mut text = String::new();
    for migration in found {
        let tool = &migration.tool;
        text += &match &migration.verdict {
            MigrationVerdict::Run => {
                let (argv, output) = (harmless(&command(&migration.argv)), &migration.output);
                let folder = own_folder(plan, migration);
                let folder = folder.map(|folder| format!(", in {folder}")).unwrap_or_default();
                format!("migration {tool}: {argv}, in output {output}{folder}\n")
            }
            MigrationVerdict::Leave(reason) => {
                format!("migration {tool}: not run: {}\n", harmless(reason))
            }
        };
        text += &migration.evidence.iter().map(seen).collect::<String>();
    }
    if found.iter().filter(|one| one.verdict == MigrationVerdict::Run).count() > 1 {
        text +=
            "   none of them is run: set `migrate.command` in windlass.toml to the one to run\n";
    }
    text
}

/// The folder that a migration runs in, where it is another than that of its output.
pub fn own_folder<'m>(plan: &BuildPlan, migration: &'m Migration) -> Option<&'m str> {
    let output = plan.outputs.iter().find(|output| output.name == migration.output);
    let usual = match output.map(|output| &output.artifact) {
        Some(OutputKind::Image { config, .. }) => config.cwd.as_str(),
        Some(OutputKind::StaticTree { .. }) | None => "",
    };
    Some(migration.cwd.as_str()).filter(|cwd| !cwd.is_empty() && *cwd != usual)
}

fn seen(sign: &Evidence) -> String {
    let detail = if sign.detail.is_empty() { String::new() } else { format!(": {}", sign.detail) };
    format!("   {}\n", harmless(&format!("{}{detail}", sign.path)))
}

/// How it is asked whether it is well.
fn health(output: &PlanOutput) -> String {
    let Some(health) = &output.health else { return String::new() };
    let policy = &health.policy;
    let probes: Vec<String> = policy.probes.iter().map(probe).collect();
    let statuses: Vec<String> = policy
        .pass_status
        .iter()
        .map(|range| match range.first == range.last {
            true => range.first.to_string(),
            false => format!("{}-{}", range.first, range.last),
        })
        .collect();
    let asks = policy.probes.iter().any(|probe| matches!(probe, Probe::Http { .. }));
    let passes = match asks {
        true => format!("; {} passes", statuses.join(",")),
        false => String::new(),
    };
    let within = took(u64::from(policy.budget_ms));
    format!("health: {}{passes}; within {within}\n", probes.join(", then "))
}

fn probe(probe: &Probe) -> String {
    match probe {
        Probe::Http { process, path, .. } => format!("GET {path} of {process}"),
        Probe::Tcp { process, .. } => format!("{process} accepts connections"),
        Probe::Command { process, argv } => {
            format!("`{}` in {process} ends well", harmless(&command(argv)))
        }
        Probe::StaysUp { process, stays_up_ms } => {
            format!("{process} stays up for {}", took(u64::from(*stays_up_ms)))
        }
    }
}

/// A command as one would type it: what is no plain word is quoted, and one of several lines is written with `\n`,
/// as bash reads it in `$'…'`.
pub fn command(argv: &[String]) -> String {
    argv.iter().map(|one| word(one)).collect::<Vec<_>>().join(" ")
}

fn word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@,+%…".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else if word.contains('\n') {
        let escaped = word.replace('\\', r"\\").replace('\'', r"\'").replace('\n', r"\n");
        format!("$'{escaped}'")
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use windlass_model::ahead::PlannedHealth;
    use windlass_model::deployment::StoredPlan;
    use windlass_model::plan::{
        Copy, Detection, HealthPolicy, NearMiss, Output, Sharing, StatusRange, Toolchain,
    };

    use super::*;

    fn pairs(env: &[(&str, &str)]) -> KeyValues {
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn words(argv: &[&str]) -> Vec<String> {
        argv.iter().map(|word| (*word).to_owned()).collect()
    }

    fn build() -> BuildStep {
        let run = Run {
            argv: words(&["sh", "-c", "make all"]),
            env: pairs(&[("MODE", "all of it")]),
            cwd: None,
            user: None,
            network: false,
            mounts: vec![Mount::Cache {
                id: "tool".into(),
                target: "/root/.tool".into(),
                sharing: Sharing::Shared,
            }],
            timeout_ms: None,
        };
        let copy = Copy {
            origin: Origin::Source,
            sources: vec!["**".into()],
            exclude: vec![],
            dest: "/app/".into(),
            chown: None,
            chmod: None,
            parents: true,
        };
        BuildStep {
            id: "build".into(),
            name: "build it".into(),
            base: Base::Toolchains(vec![Toolchain {
                name: "tool".into(),
                requirement: "2".into(),
            }]),
            env: pairs(&[("CI", "1"), ("PATH", &"/a/long/folder:".repeat(5))]),
            cwd: "/app".into(),
            user: String::new(),
            ops: vec![Op::Copy(copy), Op::Run(run)],
        }
    }

    fn planned(outputs: Vec<Output>, processes: Vec<ProcessPlan>) -> PlanOutput {
        let detection = Detection::new("special", "The special", "x", 90);
        let plan = BuildPlan { steps: vec![build()], outputs, processes, toolchains: vec![] };
        let stored = StoredPlan { plugin: "acme".into(), plan };
        PlanOutput {
            detection,
            stored,
            migrations: vec![],
            health: None,
            log: vec![],
            near_misses: vec![],
        }
    }

    fn migration(tool: &str, verdict: MigrationVerdict) -> Migration {
        let evidence = Evidence { path: format!("{tool}.json"), detail: "line 2".into() };
        Migration {
            tool: tool.into(),
            output: "migrate".into(),
            argv: words(&[tool, "up"]),
            cwd: String::new(),
            evidence: vec![evidence],
            verdict,
        }
    }

    #[test]
    fn a_plan_reads_like_a_recipe() {
        let config = RunConfig {
            env: pairs(&[("NODE_ENV", "production")]),
            cwd: "/app".into(),
            user: "1000:1000".into(),
            ..RunConfig::default()
        };
        let image = |name: &str| Output {
            name: name.into(),
            artifact: OutputKind::Image { step: "build".into(), config: config.clone() },
        };
        let process = ProcessPlan {
            name: "web".into(),
            output: "app".into(),
            kind: ProcessKind::Web,
            argv: words(&["./server"]),
            ports: vec![3000],
        };
        let get = |path: &str| Probe::Http {
            process: "web".into(),
            port: None,
            path: path.into(),
            headers: vec![],
            redirects_max: 3,
        };
        let mut output = planned(vec![image("app"), image("migrate")], vec![process]);
        let left = MigrationVerdict::Leave("the application does it at its start".into());
        output.migrations = vec![migration("one", MigrationVerdict::Run), migration("two", left)];
        let policy = HealthPolicy {
            probes: vec![get("/up"), get("/")],
            pass_status: vec![StatusRange { first: 200, last: 299 }],
            first_after_ms: 20,
            interval_min_ms: 10,
            interval_max_ms: 1000,
            timeout_ms: 5000,
            budget_ms: 300_000,
        };
        output.health = Some(PlannedHealth { plugin: "health".into(), policy });
        output.log = vec!["a word".into()];
        let miss = |id: &str| NearMiss { id: id.into(), reason: "a file \"prcofile\"".into() };
        output.near_misses = vec![miss("one"), miss("two")];
        insta::assert_snapshot!(plan(&output, false), @r#"
        The special is built like this, by plugin acme:

        1. build it (`build`, from a base with tool 2)
           in /app
           with   CI=1 PATH=/a/long/folder:/a/long/folder:/a/long/folder:/a…
           copy   ** of the source to /app/
           run    sh -c 'make all'   (no network, cache tool at /root/.tool, with MODE='all of it')

        output app: the result of step `build`, in /app, as 1000:1000
           with   NODE_ENV=production
        output migrate: the result of step `build`, in /app, as 1000:1000
           with   the variables of output app
        process web: ./server, PORT=3000
        migration one: one up, in output migrate
           one.json: line 2
        migration two: not run: the application does it at its start
           two.json: line 2
        health: GET /up of web, then GET / of web; 200-299 passes; within 5 min 0 s
        plugin: a word
        also seen (one, two): a file "prcofile"
        "#);
    }

    #[test]
    fn a_site_says_what_unknown_paths_get_and_of_several_migrations_none_is_run() {
        let tree = |spa: Option<&str>, missing: Option<&str>| Output {
            name: "site".into(),
            artifact: OutputKind::StaticTree {
                step: "build".into(),
                root: "/dist".into(),
                spa_fallback: spa.map(str::to_owned),
                not_found: missing.map(str::to_owned),
            },
        };
        let of = |output: Output| plan(&planned(vec![output], vec![]), false);
        let spa = of(tree(Some("index.html"), Some("404.html")));
        assert!(spa.contains("   unknown paths get index.html, with status 200\n"), "{spa}");
        let missing = of(tree(None, Some("404.html")));
        assert!(missing.contains("   unknown paths get 404.html, with status 404\n"), "{missing}");
        assert!(!of(tree(None, None)).contains("unknown paths"));
        let both = ["one", "two"].map(|tool| migration(tool, MigrationVerdict::Run));
        let none = BuildPlan::default();
        assert!(migrations(&none, &both).ends_with("windlass.toml to the one to run\n"));
        assert!(!migrations(&none, &both[..1]).contains("none of them"));
    }

    #[test]
    fn a_migration_in_a_folder_of_its_own_says_which() {
        let config = RunConfig { cwd: "/app/apps/api".into(), ..RunConfig::default() };
        let artifact = OutputKind::Image { step: "build".into(), config };
        let output = Output { name: "migrate".into(), artifact };
        let build = BuildPlan { outputs: vec![output], ..BuildPlan::default() };
        let said = |cwd: &str| {
            let one = migration("one", MigrationVerdict::Run);
            migrations(&build, &[Migration { cwd: cwd.into(), ..one }])
        };
        let line = "migration one: one up, in output migrate";
        assert!(said("/app/packages/db").starts_with(&format!("{line}, in /app/packages/db\n")));
        assert!(said("").starts_with(&format!("{line}\n")));
        assert!(said("/app/apps/api").starts_with(&format!("{line}\n")));
    }

    #[test]
    fn a_command_is_written_as_one_line_that_a_shell_takes_for_the_same() {
        let typed = |argv: &[&str]| command(&words(argv));
        assert_eq!(typed(&["node", "a b.js", "", "it's"]), r"node 'a b.js' '' 'it'\''s'");
        let lines = ["sh", "-c", "echo 'a'\nprintf '\\n'"];
        assert_eq!(typed(&lines), r"sh -c $'echo \'a\'\nprintf \'\\n\''");
    }

    #[test]
    fn every_probe_and_mount_has_its_words() {
        let process = || "web".to_owned();
        let tcp = Probe::Tcp { process: process(), port: None };
        assert_eq!(probe(&tcp), "web accepts connections");
        let argv = words(&["curl", "a b"]);
        let own = Probe::Command { process: process(), argv };
        assert_eq!(probe(&own), "`curl 'a b'` in web ends well");
        let up = Probe::StaysUp { process: process(), stays_up_ms: 5000 };
        assert_eq!(probe(&up), "web stays up for 5.0 s");
        let bind = |from_step: &str, path: &str| Mount::Bind {
            from_step: from_step.into(),
            path: path.into(),
            target: "/t".into(),
            writable: false,
        };
        assert_eq!(mounted(&bind("", "a")), "a of the source at /t");
        assert_eq!(mounted(&bind("one", "")), "all of step `one` at /t");
        let memory = Mount::Tmpfs { target: "/t".into(), bytes_max: None };
        assert_eq!(mounted(&memory), "memory at /t");
        let secret = Mount::Secret {
            name: "TOKEN".into(),
            target: None,
            env: None,
            mode: 0o400,
            owner: None,
            required: true,
        };
        assert_eq!(mounted(&secret), "secret TOKEN");
    }
}
