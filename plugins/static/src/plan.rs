//! The plans: a copy of the files, or a generator on its own base.

use windlass_plugin_common::layout::{self, APP};
use windlass_sdk::config::Settings;
use windlass_sdk::plan::{Base, BuildPlan, Copy, Fetch, Op, Run, Step};
use windlass_sdk::{PluginError, Toolchain, log};

use crate::facts::Facts;
use crate::generators::{Generator, Tool};
use crate::plain::Plain;
use crate::releases::{Archive, Check, Program};

/// Left out of the tree. `.well-known` is not among them: it is made to be served.
const NOT_SERVED: [&str; 16] = [
    ".git/**",
    ".github/**",
    "**/.gitignore",
    "**/.env",
    "**/.env.*",
    "**/.ht*",
    "**/.DS_Store",
    "node_modules/**",
    "Procfile",
    "Staticfile",
    "nginx.conf",
    "httpd.conf",
    "Caddyfile",
    "package.json",
    "package-lock.json",
    "windlass.toml",
];
/// Where a generator that is written in Python is installed.
const VENV: &str = "/opt/venv";
const VENV_PATH: &str =
    "/opt/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Hugo's release in Debian 12.
const HUGO: (u64, u64) = (0, 111);

/// The plan of a folder that is served as it is; with a build command, of what it leaves.
pub(crate) fn plain(plain: &Plain, settings: &Settings) -> BuildPlan {
    for note in &plain.notes {
        log::warn(note);
    }
    let spa = plain.single_page.then_some("index.html");
    let not_found = plain.not_found.as_deref().filter(|_| spa.is_none());
    let (step, root) = match &settings.build.command {
        Some(line) => {
            let toolchain = Toolchain::new("debian", "");
            let step = Step::new("build", "build", Base::Toolchains(vec![toolchain]));
            let step = step.op(layout::files(["**"]));
            let lines = settings.build.install.iter().chain([line]);
            let step = lines.fold(step, |step, line| step.op(Run::shell(line).network()));
            (step, format!("{APP}/{}", plain.root))
        }
        None => (collect(&plain.root), format!("/site/{}", plain.root)),
    };
    let mut plan = BuildPlan::new();
    let root = root.trim_end_matches('/').to_owned();
    plan.outputs.push(layout::site(&step, root, spa, not_found));
    plan.steps.push(step);
    plan
}

fn collect(root: &str) -> Step {
    let sources = if root.is_empty() { "**".to_owned() } else { format!("{root}/**") };
    let copy = Copy::source([sources], "/site/").parents().exclude(NOT_SERVED);
    let mut step = Step::new("site", "collect the files", Base::Scratch).op(copy);
    "/".clone_into(&mut step.cwd);
    step
}

/// The plan of a site that a generator builds on this platform.
///
/// # Errors
/// Code `static.platform-unsupported`: the generator is a program that there is none of for the platform.
pub(crate) fn generated(
    facts: &Facts<'_>,
    site: &Generator,
    platform: &str,
) -> Result<BuildPlan, PluginError> {
    let (toolchain, tool) = tool(facts, site, platform)?;
    let mut copy = layout::source();
    copy.chown = None;
    let mut build = layout::on(&tool, "build", "build the site").op(copy);
    build
        .env
        .extend(site.env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    if matches!(site.tool, Tool::Pip { .. }) {
        build = build.env("PATH", VENV_PATH);
    }
    if site.tool == Tool::Bundle {
        build = build.env("BUNDLE_PATH", "/opt/bundle");
    }
    let run = Run::shell(&site.command).network().env("HOME", "/root");
    let cached = matches!(site.tool, Tool::Hugo { .. });
    build = build.op(if cached { run.cache("hugo", "/root/.cache/hugo") } else { run });
    let root = format!("{APP}/{}", crate::generators::folder(&site.output));
    let spa = facts.others.single_page().unwrap_or_default().then_some("index.html");
    let not_found = if spa.is_some() { None } else { Some("404.html") };
    let mut plan = BuildPlan::new();
    plan.outputs.push(layout::site(&build, root.trim_end_matches('/').to_owned(), spa, not_found));
    plan.steps.extend([tool, build]);
    plan.toolchains.push(toolchain);
    plan.toolchains.extend(program(site, platform));
    Ok(plan)
}

/// The step that has the generator.
fn tool(
    facts: &Facts<'_>,
    site: &Generator,
    platform: &str,
) -> Result<(Toolchain, Step), PluginError> {
    let toolchain = toolchain(facts, site);
    let base = Base::Toolchains(vec![toolchain.clone()]);
    let step = Step::new("generator", format!("install {}", site.name), base);
    let step = match &site.tool {
        Tool::Hugo { version, modules, npm } => {
            let archive = hugo_archive(version.as_deref(), platform)?;
            hugo(facts, step, archive.as_ref(), *modules, *npm)
        }
        Tool::Debian(packages) => step.op(apt(packages)),
        Tool::Release { program, version } => {
            let (asked, usual) = (version.as_deref(), program.usual(platform));
            let exact = asked.and_then(exact);
            if let (Some(asked), None) = (asked, exact) {
                log::warn(unnamed(*program, asked, usual, usual));
            }
            release(step, &program.archive(exact.unwrap_or(usual), platform)?)
        }
        Tool::Pip { requirements, packages } => pip(facts, step, requirements.as_deref(), packages),
        Tool::Bundle => bundle(facts, step),
    };
    Ok((toolchain, step))
}

/// The program that is fetched, or taken from Debian, with the version that is taken of it.
fn program(site: &Generator, platform: &str) -> Option<Toolchain> {
    let (program, version) = match &site.tool {
        Tool::Hugo { version, .. } => (Program::Hugo, version),
        Tool::Release { program, version } => (*program, version),
        Tool::Debian(_) | Tool::Pip { .. } | Tool::Bundle => return None,
    };
    let exact = version.as_deref().and_then(exact);
    Some(Toolchain::new(program.id(), exact.unwrap_or_else(|| program.usual(platform))))
}

fn toolchain(facts: &Facts<'_>, site: &Generator) -> Toolchain {
    match site.tool {
        Tool::Pip { .. } => facts.toolchain("python", ".python-version").0,
        Tool::Bundle => facts.toolchain("ruby", ".ruby-version").0,
        Tool::Hugo { .. } | Tool::Debian(_) | Tool::Release { .. } => Toolchain::new("debian", ""),
    }
}

fn apt<S: AsRef<str>>(packages: &[S]) -> Run {
    let names: Vec<&str> = packages.iter().map(AsRef::as_ref).collect();
    Run::shell(format!(
        "apt-get update && apt-get install -y --no-install-recommends {} && rm -rf /var/lib/apt/lists/*",
        names.join(" ")
    ))
    .network()
}

/// The archive of the Hugo that is asked for; none where Debian's will do.
///
/// # Errors
/// Code `static.platform-unsupported`.
fn hugo_archive(wanted: Option<&str>, platform: &str) -> Result<Option<Archive>, PluginError> {
    let Some(wanted) = wanted.map(|wanted| wanted.trim_start_matches('v')) else {
        return Ok(None);
    };
    match exact(wanted) {
        _ if is_packaged(wanted) => Ok(None),
        Some(version) => Program::Hugo.archive(version, platform).map(Some),
        None => {
            let usual = Program::Hugo.usual(platform);
            log::warn(unnamed(Program::Hugo, wanted, &format!("Debian's {usual}"), usual));
            Ok(None)
        }
    }
}

/// A version that names one release, without its `v`.
fn exact(requirement: &str) -> Option<&str> {
    let version = requirement.trim_start_matches('v');
    let whole = version.split('.').count() == 3;
    let digits =
        version.split('.').all(|part| part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty());
    (whole && digits).then_some(version)
}

/// What to say of a version that names no release: what is taken instead, and a release as an example.
fn unnamed(program: Program, asked: &str, taken: &str, such_as: &str) -> String {
    format!(
        "{title} {asked} names no single release, so {taken} is used: write the whole version, such as {such_as}",
        title = program.title()
    )
}

fn hugo(
    facts: &Facts<'_>,
    step: Step,
    archive: Option<&Archive>,
    modules: bool,
    npm: bool,
) -> Step {
    let mut packages = Vec::new();
    packages.extend(archive.is_none().then_some("hugo"));
    packages.extend(modules.then_some(["golang-go", "git"]).into_iter().flatten());
    packages.extend(npm.then_some(["nodejs", "npm"]).into_iter().flatten());
    let mut step = if packages.is_empty() { step } else { step.op(apt(&packages)) };
    if let Some(archive) = archive {
        step = release(step, archive);
    }
    if npm {
        let copy = layout::files(["package.json", "package-lock.json", "npm-shrinkwrap.json"]);
        let line = "if test -f package-lock.json; then npm ci; else npm install; fi";
        let install = if facts.has("package-lock.json") { "npm ci" } else { line };
        let run = Run::shell(install).network().cache("npm", "/root/.npm").env("HOME", "/root");
        step = step.op(copy).op(run);
    }
    step
}

/// Whether Debian's release is the one that is asked for.
fn is_packaged(version: &str) -> bool {
    let line = format!("{}.{}", HUGO.0, HUGO.1);
    version == line || version == format!("{line}.3")
}

/// A program out of the archive of a release, checked as far as that can be.
fn release(mut step: Step, archive: &Archive) -> Step {
    let Archive { program, name, folder, check } = archive;
    let mut fetch = |name: &str, sha256: Option<&str>| {
        step.ops.push(Op::Fetch(Fetch {
            url: format!("{folder}/{name}"),
            sha256: sha256.map(str::to_owned),
            dest: format!("/tmp/{name}"),
            chown: None,
            chmod: None,
        }));
    };
    let unpack = format!("tar -xzf /tmp/{name} -C /usr/local/bin {program} && rm /tmp/{name}");
    let line = match check {
        Check::Known(sum) => {
            fetch(name, Some(sum));
            unpack
        }
        Check::Listed(list) => {
            fetch(list, None);
            fetch(name, None);
            // Nothing to check is an error, too: the list does not name the archive then.
            let checked = format!("grep -F '  {name}' {list} | sha256sum --check");
            format!("cd /tmp && {checked} && {unpack} && rm {list}")
        }
        Check::Unknown { known } => {
            log::warn(format!(
                "no checksum of {} is known, so it is taken as it comes: the release publishes none; pin one of {}",
                archive.url(),
                known.join(", ")
            ));
            fetch(name, None);
            unpack
        }
    };
    step.op(Run::shell(line))
}

fn pip(facts: &Facts<'_>, step: Step, requirements: Option<&str>, packages: &[String]) -> Step {
    let step = step
        .env("PATH", VENV_PATH)
        .env("PIP_DISABLE_PIP_VERSION_CHECK", "1")
        .env("PIP_ROOT_USER_ACTION", "ignore")
        .op(Run::new(["python3", "-m", "venv", VENV]));
    let run = |run: Run| run.network().cache("pip", "/root/.cache/pip").env("HOME", "/root");
    match (&facts.settings.build.install, requirements) {
        (Some(line), _) => step.op(layout::files(["**"])).op(run(Run::shell(line))),
        (None, Some(file)) => {
            let install = Run::new(["pip", "install", "-r", file]);
            step.op(layout::files([file])).op(run(install))
        }
        (None, None) => {
            let words = ["pip", "install"].map(str::to_owned).into_iter();
            step.op(run(Run::new(words.chain(packages.iter().cloned()))))
        }
    }
}

fn bundle(facts: &Facts<'_>, step: Step) -> Step {
    let step = step.env("BUNDLE_PATH", "/opt/bundle").env("LANG", "C.UTF-8");
    let copy = layout::files(["Gemfile", "Gemfile.lock", ".ruby-version"]);
    let line = facts.settings.build.install.as_deref().unwrap_or("bundle install");
    let run = Run::shell(line).network().env("HOME", "/root");
    step.op(copy).op(run)
}
