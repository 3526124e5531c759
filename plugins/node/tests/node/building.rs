//! What the installation and the build run, and with what around them.

use crate::support::{App, app};
use windlass_plugin_common::outline::outline;
use windlass_sdk::plan::{Op, Run};

const LOCK: (&str, &str) = ("package-lock.json", "{}");

/// The commands of a step.
fn runs(app: &App, step: &str) -> Vec<Run> {
    let plan = app.plan();
    let found = plan.steps.into_iter().find(|one| one.id == step).unwrap();
    let run = |op| match op {
        Op::Run(run) => Some(run),
        _ => None,
    };
    found.ops.into_iter().filter_map(run).collect()
}

fn lines(app: &App, step: &str) -> Vec<String> {
    runs(app, step).into_iter().map(|run| run.argv.join(" ")).collect()
}

fn prisma(scripts: &str, provider: &str) -> App {
    let package = format!(
        r#"{{"dependencies":{{"next":"15","@prisma/client":"6"}},"devDependencies":{{"prisma":"6"}},"scripts":{{{scripts}}}}}"#
    );
    let schema = format!("datasource db {{\n  provider = \"{provider}\"\n}}\n");
    let files = [("package.json", package.as_str()), LOCK, ("prisma/schema.prisma", &schema)];
    app(&files)
}

#[test]
fn a_build_is_run_without_its_migrations() {
    let scripts = r#""build":"prisma generate && prisma migrate deploy && next build""#;
    let found = prisma(scripts, "postgresql");
    assert_eq!(lines(&found, "build"), ["/bin/sh -c prisma generate && next build"]);
    let run = &runs(&found, "build")[0];
    assert!(run.network && run.cwd.as_deref() == Some("/app") && run.mounts.len() == 1);
    let warnings = found.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].starts_with(
        "scripts.build of package.json is run without `prisma migrate deploy`: a build has no"
    ));
    // What generates the client besides is missing with it.
    let pushed = prisma(r#""build":"prisma db push && next build""#, "postgresql");
    assert_eq!(lines(&pushed, "build"), ["prisma generate", "/bin/sh -c next build"]);
    let hook = prisma(r#""build":"next build","postbuild":"npx prisma migrate deploy""#, "mysql");
    assert_eq!(lines(&hook, "build"), ["prisma generate", "/bin/sh -c next build"]);
}

#[test]
fn a_build_that_may_make_its_own_database_is_left_alone() {
    let found = prisma(r#""build":"prisma migrate deploy && next build""#, "sqlite");
    assert_eq!(lines(&found, "build"), ["prisma generate", "npm run build"]);
    assert!(found.warnings().is_empty(), "{:?}", found.warnings());
}

#[test]
fn migrations_that_cannot_be_taken_out_are_named() {
    for (scripts, place) in [
        (r#""build":"prisma migrate deploy; next build""#, "scripts.build of package.json"),
        (
            r#""build":"next build","postinstall":"prisma migrate deploy""#,
            "scripts.postinstall of package.json",
        ),
    ] {
        let found = prisma(scripts, "postgresql");
        assert_eq!(lines(&found, "build").last().unwrap(), "npm run build");
        let warnings = found.warnings();
        assert!(warnings[0].starts_with(place) && warnings[0].contains("there is none"));
    }
    let found = prisma(r#""build":"next build""#, "postgresql")
        .settings(r#"{"build":{"command":"npx prisma migrate deploy && npm run build"}}"#);
    assert!(found.warnings()[0].starts_with("the build command of the settings changes"));
}

#[test]
fn turborepo_gives_way_to_a_build_without_migrations() {
    let root = r#"{"name":"r","workspaces":["apps/*","packages/*"],"packageManager":"npm@10.0.0","devDependencies":{"turbo":"2"}}"#;
    let web =
        r#"{"name":"web","dependencies":{"next":"15","db":"*"},"scripts":{"build":"next build"}}"#;
    let db = r#"{"name":"db","main":"i.js","scripts":{"build":"tsc && knex migrate:latest"}}"#;
    let files = [
        ("package.json", root),
        LOCK,
        ("turbo.json", "{}"),
        ("apps/web/package.json", web),
        ("packages/db/package.json", db),
    ];
    let found = app(&files);
    let wanted = ["/bin/sh -c PATH=\"$PWD/node_modules/.bin:$PATH\"; tsc", "npm run build"];
    assert_eq!(lines(&found, "build"), wanted);
    assert!(found.warnings()[0].starts_with("scripts.build of packages/db/package.json is run"));
}

#[test]
fn only_installations_are_told_that_nobody_answers() {
    let package = r#"{"devDependencies":{"react-scripts":"5","a":"1"},"scripts":{"build":"react-scripts build"}}"#;
    let react = app(&[("package.json", package), ("pnpm-lock.yaml", "")]);
    let told = |run: &Run| run.env.iter().any(|(name, value)| name == "CI" && value == "true");
    assert!(runs(&react, "dependencies").iter().all(told));
    assert!(!runs(&react, "build").iter().any(told));
    assert!(react.plan().steps.iter().all(|step| step.env.iter().all(|(name, _)| name != "CI")));
    let package = r#"{"dependencies":{"a":"1"},"devDependencies":{"tsc":"1"},"scripts":{"build":"tsc","start":"node a.js"}}"#;
    let server = app(&[("package.json", package), ("pnpm-lock.yaml", "")]);
    assert!(runs(&server, "prune").iter().all(told));
}

#[test]
fn an_installation_of_the_settings_with_flags_alone_needs_the_manifests_alone() {
    let package = r#"{"dependencies":{"a":"1"},"scripts":{"start":"node a.js"}}"#;
    let copied = |line: &str, lock: (&str, &str)| {
        let settings = format!(r#"{{"build":{{"install":"{line}"}}}}"#);
        outline(&app(&[("package.json", package), lock]).settings(&settings).plan())
    };
    let yarn = ("yarn.lock", "# yarn lockfile v1");
    for (line, lock) in [
        ("npm ci --legacy-peer-deps", LOCK),
        ("npm install --force --omit=optional", LOCK),
        ("yarn --ignore-engines", yarn),
        ("pnpm i --no-frozen-lockfile", ("pnpm-lock.yaml", "")),
    ] {
        let text = copied(line, lock);
        assert!(text.contains(&format!("copy package.json {} of source", lock.0)), "{text}");
        assert!(text.contains(&format!("run /bin/sh -c {line} +network +cache")), "{text}");
    }
    for (line, lock) in [
        ("npm ci && node prepare.js", LOCK),
        ("npm install ./local", LOCK),
        ("npm ci --prefix=web", LOCK),
        ("yarn install", LOCK),
        ("make install", LOCK),
    ] {
        let text = copied(line, lock);
        assert!(text.contains("  copy ** of source to /app/\n  run /bin/sh"), "{text}");
    }
}

#[test]
fn a_part_of_the_application_comes_with_its_browser() {
    let copied = |package: &str, more: (&str, &str)| {
        let text = outline(&app(&[("package.json", package), LOCK, more]).plan());
        text.lines().rfind(|line| line.trim().starts_with("copy")).unwrap().trim().to_owned()
    };
    let next = |with: &str| {
        let package = format!(
            r#"{{"dependencies":{{"next":"15"{with}}},"scripts":{{"build":"next build"}}}}"#
        );
        copied(&package, ("next.config.js", "module.exports = { output: 'standalone' }"))
    };
    let browser = r#","playwright":"1""#;
    assert_eq!(
        next(browser),
        "copy app/.next/standalone/** app/.browsers/** of collect to / as 1000:1000"
    );
    assert_eq!(next(""), "copy app/.next/standalone/** of collect to / as 1000:1000");
    let nuxt = r#"{"dependencies":{"nuxt":"4","playwright":"1"},"scripts":{"build":"nuxt build"}}"#;
    assert_eq!(
        copied(nuxt, ("nuxt.config.ts", "")),
        "copy app/.output/** app/.browsers/** of build to / as 1000:1000"
    );
    let server =
        r#"{"dependencies":{"playwright":"1"},"scripts":{"build":"tsc","start":"node a.js"}}"#;
    assert_eq!(copied(server, ("a.js", "")), "copy app/** of build to / as 1000:1000");
}
