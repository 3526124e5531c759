//! The settings that are in force: windlass.toml, then the Procfile, then what people wrote for other
//! platforms.
//!
//! **Invariant: what stands in windlass.toml or the Procfile is never changed by another platform's file**, and
//! a version that such a file names is no setting: it counts after every pin of the repository, see
//! [`crate::wanted::elsewhere`].

use windlass_sdk::config::{Build, Migrate, Process, Settings};
use windlass_sdk::{Context, PluginError, Source, log};

use crate::others::{self, Field, Others, Taken};
use crate::{compose, procfile};

/// Name of the settings' own file.
pub const OWN: &str = "windlass.toml";

/// The settings, completed by the files of other platforms: what every plugin asks for.
///
/// # Errors
/// Codes `settings.invalid`, `source.unreadable`.
pub fn read(ctx: &Context, source: &Source) -> Result<Settings, PluginError> {
    let mut settings = Settings::of(ctx)?;
    let others = others::read(source);
    if !others.files.is_empty() {
        merge(&mut settings, &others, &procfile::read(source)?, renders(source));
    }
    Ok(settings)
}

/// The context with the settings' health check completed, for what reads the context itself.
///
/// # Errors
/// Code `settings.invalid`.
pub fn with_health(ctx: &Context, source: &Source) -> Result<Context, PluginError> {
    let mut ctx = ctx.clone();
    let settings = Settings::of(&ctx)?;
    let others = others::read(source);
    let path = others.value(&Field::Health).filter(|_| settings.health.path.is_none());
    if let Some(path) = path
        && let Ok(mut json) = serde_json::from_str::<serde_json::Value>(ctx.config_json.trim())
        && let Some(tables) = json.as_object_mut()
    {
        let health = tables.entry("health").or_insert_with(|| serde_json::json!({}));
        if let Some(health) = health.as_object_mut() {
            health.insert("path".to_owned(), path.into());
            ctx.config_json = json.to_string();
        }
    }
    Ok(ctx)
}

/// The file that names the folder of `build.output`: windlass.toml, or another platform's. None where no
/// file names one. The platforms named in [`others`] serve such a folder as files, whatever else is here.
///
/// # Errors
/// Code `settings.invalid`.
pub fn output_file(ctx: &Context, source: &Source) -> Result<Option<&'static str>, PluginError> {
    if Settings::of(ctx)?.build.output.is_some() {
        return Ok(Some(OWN));
    }
    Ok(others::read(source).get(&Field::Output).map(|(_, file)| file))
}

/// Writes into the log what was taken from other platforms' files and what they say in vain, a line each,
/// and what a compose file lists; as warnings, which keys of `[build]` are not acted on, and files that the tools
/// of the build may not be able to read. For the plan, once.
pub fn say(ctx: &Context, source: &Source) {
    say_by(ctx, source, By::Other);
}

/// The same where processes answer requests, and no folder of finished files is served.
pub fn say_for_server(ctx: &Context, source: &Source) {
    say_by(ctx, source, By::Server { target: false });
}

/// The same where `build.target` names one of several applications.
pub fn say_with_target(ctx: &Context, source: &Source) {
    say_by(ctx, source, By::Server { target: true });
}

/// The same where it names one of several sites, which are served as files.
pub fn say_for_site_with_target(ctx: &Context, source: &Source) {
    say_by(ctx, source, By::Site);
}

/// The same for an application with a Dockerfile, which decides about the build, and where it `exposes` any, about
/// the ports.
pub fn say_for_image(ctx: &Context, source: &Source, exposes: bool) {
    say_by(ctx, source, By::Image { exposes });
}

/// Who builds, as far as that decides which settings count.
#[derive(Clone, Copy)]
enum By {
    /// A Dockerfile, with or without an exposed port.
    Image { exposes: bool },
    /// A plugin whose application answers requests itself; whether it takes `build.target` for one of several.
    Server { target: bool },
    /// A plugin that serves a folder of finished files, and takes `build.target` for one of several.
    Site,
    /// A plugin that may serve a folder of finished files.
    Other,
}

fn say_by(ctx: &Context, source: &Source, by: By) {
    lines(ctx, source, by).iter().for_each(log::info);
    let settings = Settings::of(ctx).unwrap_or_default();
    unused(&settings.build, by).iter().for_each(log::warn);
    unserved(&settings.build, by).iter().for_each(log::warn);
    foreign(source).iter().for_each(log::warn);
}

/// The keys of `[build]` that are set and not acted on, and why.
fn unused(build: &Build, by: By) -> Option<String> {
    let image = matches!(by, By::Image { .. });
    let keys = [
        ("build.install", image && build.install.is_some()),
        ("build.command", image && build.command.is_some()),
        ("build.output", image && build.output.is_some()),
        ("build.toolchain", image && !build.toolchain.is_empty()),
        ("build.dockerfile", !image && build.dockerfile.is_some()),
        ("build.args", !image && !build.args.is_empty()),
    ];
    let keys: Vec<&str> = keys.into_iter().filter(|(_, set)| *set).map(|(key, _)| key).collect();
    let are = if keys.len() == 1 { "is" } else { "are" };
    let why = if image {
        "the Dockerfile says how the image is built; to build without it, set build.framework"
    } else {
        "the application is not built from a Dockerfile"
    };
    (!keys.is_empty()).then(|| format!("{} {are} ignored: {why}", keys.join(", ")))
}

/// The keys of `[build]` that mean nothing to this plugin, and what to set instead.
fn unserved(build: &Build, by: By) -> Vec<String> {
    let mut said = Vec::new();
    let targets = matches!(by, By::Other | By::Server { target: false });
    if let Some(target) = build.target.as_ref().filter(|_| targets) {
        said.push(format!(
            "build.target {target:?} is ignored: it names a stage of a Dockerfile, a JVM module or a .NET project; \
             a folder is chosen with build.app_dir, and what is run with run.command"
        ));
    }
    if let Some(output) = build.output.as_ref().filter(|_| matches!(by, By::Server { .. })) {
        said.push(format!(
            "build.output {output:?} is ignored: {ANSWERS}; to serve that folder alone, set build.framework = \
             \"static\""
        ));
    }
    said
}

/// What people write by hand or by redirecting a command, and other tools than the plugins read.
const WRITTEN: [&str; 6] =
    ["Gemfile", "Pipfile", "composer.json", "package.json", "pyproject.toml", "requirements.txt"];

/// The files that are UTF-16.
fn foreign(source: &Source) -> Option<String> {
    source.prefetch(&WRITTEN);
    let files = source.utf16();
    (!files.is_empty()).then(|| {
        format!(
            "UTF-16 text, as PowerShell's `>` writes it: {}; the plugins read it, and not every tool of the build \
             does: save it as UTF-8 (`| Out-File -Encoding utf8`)",
            files.join(", ")
        )
    })
}

fn lines(ctx: &Context, source: &Source, by: By) -> Vec<String> {
    let mut settings = Settings::of(ctx).unwrap_or_default();
    let others = others::read(source);
    let entries = procfile::read(source).unwrap_or_default();
    let mut unused = merge(&mut settings, &others, &entries, renders(source));
    if let By::Image { exposes } = by {
        let decides = |field: &Field| {
            use Field::{Dockerfile, Health, Port, Process, Release, Start};
            let other = matches!(field, Dockerfile | Release | Health | Start | Process(_));
            !other && (exposes || *field != Port)
        };
        let decided = others.all().filter(|(taken, _)| decides(&taken.field));
        unused.extend(
            decided.map(|(taken, file)| (file, taken.key.clone(), "the Dockerfile decides")),
        );
    }
    if let By::Server { .. } = by {
        let served = |field: &Field| matches!(field, Field::Output | Field::SinglePage);
        let vain = others.all().filter(|(taken, _)| served(&taken.field));
        unused.extend(vain.map(|(taken, file)| (file, taken.key.clone(), ANSWERS)));
    }
    let mut lines: Vec<String> = others.files.iter().map(|file| line(file, &unused)).collect();
    lines.extend(compose::read(source).map(|compose| compose.summary()));
    lines
}

fn line(file: &others::File, unused: &[(&'static str, String, &'static str)]) -> String {
    let (mut used, mut versions, mut ignored) = (Vec::new(), Vec::new(), Vec::new());
    for taken in &file.taken {
        let said = match taken.field {
            // Its value is not the author's.
            Field::SinglePage => taken.key.clone(),
            _ => format!("{} {:?}", taken.key, taken.value),
        };
        match unused.iter().find(|(name, key, _)| *name == file.name && *key == taken.key) {
            Some((_, key, why)) => ignored.push(format!("{key} ({why})")),
            None if matches!(taken.field, Field::Version(_)) => versions.push(said),
            None => used.push(said),
        }
    }
    ignored.extend(file.ignored.iter().cloned());
    let part = |what: &str, list: &[String]| match list {
        [] => None,
        list => Some(format!("{what} {}", list.join(", "))),
    };
    let unless = "taken unless another file pins the version:";
    let parts = [part("taken:", &used), part(unless, &versions), part("ignored:", &ignored)];
    format!("{}: {}", file.name, parts.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

/// Packages of applications that answer requests themselves: what another platform serves as files is only a
/// part of them, and the rest runs there as functions.
const RENDERS: [&str; 22] = [
    "next",
    "nuxt",
    "@sveltejs/kit",
    "@remix-run/react",
    "@react-router/node",
    "@react-router/dev",
    "@astrojs/node",
    "@astrojs/netlify",
    "@astrojs/vercel",
    "@astrojs/cloudflare",
    "@solidjs/start",
    "@tanstack/react-start",
    "@builder.io/qwik-city",
    "@analogjs/platform",
    "@angular/ssr",
    "vinxi",
    "vike",
    "express",
    "fastify",
    "koa",
    "hono",
    "@nestjs/core",
];

/// Whether package.json depends on one of them.
fn renders(source: &Source) -> bool {
    let package = source.text("package.json").ok().flatten().unwrap_or_default();
    let names = |name: &&&str| {
        package.split(&format!("{name:?}")).skip(1).any(|rest| rest.trim_start().starts_with(':'))
    };
    RENDERS.iter().any(|name| names(&name))
}

const ANSWERS: &str = "the application answers requests itself";
const EARLIER: &str = "an earlier file says it already";
const SETTINGS: &str = "windlass.toml says it already";
const PROCFILE: &str = "the Procfile lists the processes";
const SAME_FILE: &str = "another key of this file says it already";
const NOT_OFFERED: &str = "there is no base with this version";

/// Completes the settings. Gives what was not used: file, key, and why.
fn merge(
    settings: &mut Settings,
    others: &Others,
    procfile: &[procfile::Entry],
    renders: bool,
) -> Vec<(&'static str, String, &'static str)> {
    let own = settings.clone();
    let listed = procfile.iter().any(|entry| entry.name != "release");
    let releases = procfile.iter().any(|entry| entry.name == "release");
    let mut unused = Vec::new();
    for (n, (taken, file)) in others.all().enumerate() {
        let same = |(one, name): &(&Taken, &'static str)| one.field == taken.field && *name == file;
        let own_web = own.run.command.is_some() || own.run.processes.contains_key("web");
        let why = match &taken.field {
            Field::Start if own_web => Some(SETTINGS),
            Field::Start | Field::Process(_) if listed => Some(PROCFILE),
            Field::Process(name) if own.run.processes.contains_key(name) => Some(SETTINGS),
            Field::Release if own.migrate != Migrate::Unset => Some(SETTINGS),
            Field::Release if releases => Some("the Procfile has a release"),
            Field::Output if renders => Some("the application renders its pages itself"),
            Field::Version(tool) if own.build.toolchain.contains_key(tool) => Some(SETTINGS),
            Field::Version(tool) if !others::offered::has(tool, &taken.value) => Some(NOT_OFFERED),
            Field::Version(tool) => {
                let counts = |(one, _): (&Taken, _)| {
                    one.field == taken.field && others::offered::has(tool, &one.value)
                };
                others.all().take(n).any(counts).then_some(EARLIER)
            }
            _ => apply(settings, &own, taken),
        };
        let why = match why {
            Some(EARLIER) if others.all().take(n).any(|one| same(&one)) => Some(SAME_FILE),
            why => why,
        };
        unused.extend(why.map(|why| (file, taken.key.clone(), why)));
    }
    unused
}

/// Sets one value where none is set; else says who set it.
fn apply(settings: &mut Settings, own: &Settings, taken: &Taken) -> Option<&'static str> {
    let value = || taken.value.clone();
    let set = |slot: &mut Option<String>, own: &Option<String>| match slot {
        Some(_) if own.is_some() => Some(SETTINGS),
        Some(_) => Some(EARLIER),
        None => {
            *slot = Some(value());
            None
        }
    };
    match &taken.field {
        Field::Install => set(&mut settings.build.install, &own.build.install),
        Field::Build => set(&mut settings.build.command, &own.build.command),
        Field::Output => set(&mut settings.build.output, &own.build.output),
        Field::Start => set(&mut settings.run.command, &own.run.command),
        Field::Health => set(&mut settings.health.path, &own.health.path),
        Field::Dockerfile => set(&mut settings.build.dockerfile, &own.build.dockerfile),
        Field::Process(name) if settings.run.processes.contains_key(name) => Some(EARLIER),
        Field::Process(name) => {
            settings.run.processes.insert(name.clone(), Process { command: value() });
            None
        }
        Field::Release if settings.migrate != Migrate::Unset => Some(EARLIER),
        Field::Release => {
            settings.migrate = Migrate::Command(value());
            None
        }
        Field::Port if own.run.port.is_some() => Some(SETTINGS),
        Field::Port if settings.run.port.is_some() => Some(EARLIER),
        Field::Port => {
            settings.run.port = taken.value.parse().ok();
            None
        }
        // They are no settings: the one changes how a site is served, the other counts after the pins.
        Field::SinglePage | Field::Version(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use windlass_sdk::testing::Harness;

    use super::*;

    fn in_folder<T>(
        files: &[(&str, &str)],
        settings: &str,
        f: impl FnOnce(&Context, &Source) -> T,
    ) -> T {
        let harness = Harness::with_files(files).settings(settings);
        harness.run(|source| f(&harness.context, source)).0
    }

    const RAILWAY: (&str, &str) = (
        "railway.json",
        r#"{"$schema":"https://railway.com/railway.schema.json",
            "build":{"builder":"NIXPACKS","buildCommand":"npm ci && npm run build"},
            "deploy":{"startCommand":"node dist/main.js","healthcheckPath":"/health",
                      "preDeployCommand":["npm run migrate"],"numReplicas":2}}"#,
    );

    #[test]
    fn windlass_toml_and_procfile_come_first() {
        let settings = in_folder(&[RAILWAY], "{}", read).unwrap();
        assert_eq!(settings.build.command.as_deref(), Some("npm run build"));
        assert_eq!(settings.run.command.as_deref(), Some("node dist/main.js"));
        assert_eq!(settings.health.path.as_deref(), Some("/health"));
        assert_eq!(settings.migrate, Migrate::Command("npm run migrate".into()));
        let procfile = ("Procfile", "web: node a.js\nrelease: ./m\n");
        let settings = in_folder(&[RAILWAY, procfile], "{}", read).unwrap();
        assert_eq!((settings.run.command, settings.migrate), (None, Migrate::Unset));
        let own = r#"{"build":{"command":"make"},"run":{"processes":{"web":{"command":"w"}}},
                      "migrate":false,"health":{"path":"/up"}}"#;
        let settings = in_folder(&[RAILWAY], own, read).unwrap();
        assert_eq!(settings.build.command.as_deref(), Some("make"));
        assert_eq!((settings.run.command, settings.migrate), (None, Migrate::Off));
        assert_eq!(settings.health.path.as_deref(), Some("/up"));
    }

    #[test]
    fn a_folder_of_files_is_not_taken_for_what_renders_itself() {
        let netlify = ("netlify.toml", "[build]\npublish = 'dist'\n");
        let output = |package: &'static str| {
            let files = [netlify, ("package.json", package)];
            in_folder(&files, "{}", read).unwrap().build.output
        };
        assert_eq!(output(r#"{"dependencies":{"nuxt" : "^3"}}"#), None);
        assert_eq!(
            output(r#"{"name":"nuxt","devDependencies":{"gulp":"5"}}"#).as_deref(),
            Some("dist")
        );
    }

    #[test]
    fn the_log_says_what_was_taken_and_what_was_not() {
        let own = r#"{"build":{"command":"make"}}"#;
        let said = in_folder(&[RAILWAY], own, |ctx, source| lines(ctx, source, By::Other));
        assert_eq!(
            said,
            [
                "railway.json: taken: deploy.startCommand \"node dist/main.js\", deploy.preDeployCommand \
              \"npm run migrate\", deploy.healthcheckPath \"/health\"; ignored: build.buildCommand \
              (windlass.toml says it already), deploy.numReplicas (the number of instances is run.replicas \
              in windlass.toml)"
            ]
        );
        let nothing = in_folder(&[("x", "")], "{}", |ctx, source| lines(ctx, source, By::Other));
        assert!(nothing.is_empty(), "{nothing:?}");
        let image = in_folder(&[RAILWAY], "{}", |ctx, source| {
            lines(ctx, source, By::Image { exposes: true })
        });
        assert!(image[0].contains("build.buildCommand (the Dockerfile decides)"), "{image:?}");
        assert!(image[0].contains("taken: deploy.startCommand"), "{image:?}");
        let fly = ("fly.toml", "[http_service]\ninternal_port = 4000\n");
        let port = |exposes| {
            let by = By::Image { exposes };
            in_folder(&[fly], "{}", |ctx, source| lines(ctx, source, by)).remove(0)
        };
        assert!(port(false).contains("taken: http_service.internal_port"), "{}", port(false));
        assert!(port(true).contains("internal_port (the Dockerfile decides)"), "{}", port(true));
    }

    #[test]
    fn a_version_of_another_platform_is_no_setting_and_the_log_says_when_it_counts() {
        let netlify = |version: &str| format!("[build.environment]\nNODE_VERSION = '{version}'\n");
        let said = |version: &str, settings: &str| {
            let text = netlify(version);
            let files = [("netlify.toml", text.as_str())];
            let toolchain = in_folder(&files, settings, read).unwrap().build.toolchain;
            assert!(!toolchain.values().any(|value| value == version), "{toolchain:?}");
            in_folder(&files, settings, |ctx, source| lines(ctx, source, By::Other)).remove(0)
        };
        let line = said("18", "{}");
        assert!(line.contains("unless another file pins the version: build.environment"), "{line}");
        let line = said("12", "{}");
        assert!(line.contains("NODE_VERSION (there is no base with this version)"), "{line}");
        let line = said("18", r#"{"build":{"toolchain":{"node":"22"}}}"#);
        assert!(line.contains("(windlass.toml says it already)"), "{line}");
    }

    #[test]
    fn two_keys_of_one_file_are_not_called_two_files() {
        let fly = ("fly.toml", "[env]\nPORT = 8080\n[http_service]\ninternal_port = 8080\n");
        let said = in_folder(&[fly], "{}", |ctx, source| lines(ctx, source, By::Other)).remove(0);
        assert!(said.contains("env.PORT (another key of this file says it already)"), "{said}");
        let render = "services:\n- {type: web, name: a, envVars: [{key: PORT, value: 1}]}\n";
        let files = [fly, ("render.yaml", render)];
        let said = in_folder(&files, "{}", |ctx, source| lines(ctx, source, By::Other)).remove(1);
        assert!(said.contains("internal_port (an earlier file says it already)"), "{said}");
    }

    #[test]
    fn what_is_set_for_another_builder_is_said_to_be_ignored() {
        let said = |by| {
            let own = r#"{"build":{"command":"make","target":"api","args":{"A":"1"}}}"#;
            in_folder(&[("x", "")], own, |ctx, _| unused(&Settings::of(ctx).unwrap().build, by))
        };
        assert!(said(By::Other).unwrap().starts_with("build.args is ignored: "));
        let image = said(By::Image { exposes: true }).unwrap();
        assert!(image.starts_with("build.command is ignored: the Dockerfile"), "{image}");
        assert_eq!(unused(&Build::default(), By::Other), None);
        let own = r#"{"build":{"target":"api","output":"dist"}}"#;
        let said = |by| {
            in_folder(&[("x", "")], own, |ctx, _| unserved(&Settings::of(ctx).unwrap().build, by))
                .join("\n")
        };
        let target = "build.target \"api\" is ignored: it names a stage of a Dockerfile";
        let output = "build.output \"dist\" is ignored: the application answers requests itself";
        for (by, targets, outputs) in [
            (By::Other, true, false),
            (By::Server { target: false }, true, true),
            (By::Server { target: true }, false, true),
            (By::Site, false, false),
            (By::Image { exposes: true }, false, false),
        ] {
            let said = said(by);
            assert_eq!(
                (said.contains(target), said.contains(output)),
                (targets, outputs),
                "{said}"
            );
        }
    }

    #[test]
    fn what_says_how_files_are_served_is_not_taken_by_a_server() {
        let netlify = "[build]\npublish = 'dist'\n[[redirects]]\nfrom = '/*'\nto = '/index.html'\nstatus = 200\n";
        let files = [("netlify.toml", netlify)];
        let said = |by| in_folder(&files, "{}", |ctx, source| lines(ctx, source, by)).remove(0);
        assert_eq!(
            said(By::Server { target: false }),
            "netlify.toml: ignored: build.publish (the application answers requests itself), redirects \
             (the application answers requests itself)"
        );
        assert_eq!(said(By::Other), "netlify.toml: taken: build.publish \"dist\", redirects");
    }

    #[test]
    fn text_that_not_every_tool_reads_is_said_with_its_fix() {
        let harness = Harness::with_files(&[("package.json", "{}")]);
        assert_eq!(harness.run(foreign).0, None);
        let text: Vec<u8> = "\u{feff}flask\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(harness.folder().join("requirements.txt"), text).unwrap();
        let (said, _) = harness.run(foreign);
        let said = said.unwrap();
        assert!(said.contains("requirements.txt; ") && said.contains("UTF-8"), "{said}");
        let (_, log) = harness.run(|source| say(&harness.context, source));
        assert!(log.iter().any(|(_, line)| *line == said), "{log:?}");
    }

    #[test]
    fn the_folder_of_the_files_is_said_with_the_file_that_names_it() {
        let netlify = ("netlify.toml", "[build]\npublish = 'dist'\n");
        let file = |files: &[_], own| in_folder(files, own, output_file).unwrap();
        assert_eq!(file(&[netlify], "{}"), Some("netlify.toml"));
        assert_eq!(file(&[netlify], r#"{"build":{"output":"dist"}}"#), Some(OWN));
        assert_eq!(file(&[("index.html", "")], "{}"), None);
    }

    #[test]
    fn the_health_path_reaches_what_reads_the_context() {
        let path = |settings: &str| {
            let ctx = in_folder(&[RAILWAY], settings, with_health).unwrap();
            Settings::of(&ctx).unwrap().health.path
        };
        assert_eq!(path("{}").as_deref(), Some("/health"));
        assert_eq!(path(r#"{"health":{"timeout":"9s"}}"#).as_deref(), Some("/health"));
        assert_eq!(path(r#"{"health":{"path":"/up"}}"#).as_deref(), Some("/up"));
    }
}
