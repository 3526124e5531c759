//! Workspaces: which member is the application, and what is installed, built and run for it.

use crate::support::app;
use windlass_plugin_common::outline::outline;

const ROOT: &str = r#"{"name":"root","private":true,"workspaces":["apps/*","packages/*"]}"#;
const API: &str = r#"{"name":"@x/api","dependencies":{"express":"5","@x/greeting":"*"},"scripts":{"start":"node server.js"}}"#;
const GREETING: &str = r#"{"name":"@x/greeting","main":"dist/index.js","scripts":{"build":"tsc"},"devDependencies":{"typescript":"5"}}"#;
const DOCS: &str = r#"{"name":"docs","private":true,"dependencies":{"@docusaurus/core":"3"}}"#;
const LOCK: (&str, &str) = ("package-lock.json", "{}");

fn files<'a>() -> Vec<(&'a str, &'a str)> {
    vec![
        ("package.json", ROOT),
        LOCK,
        ("apps/api/package.json", API),
        ("apps/api/server.js", "import express from 'express'"),
        ("apps/docs/package.json", DOCS),
        ("packages/greeting/package.json", GREETING),
    ]
}

#[test]
fn the_only_application_of_a_workspace_is_built_from_its_root() {
    let app = app(&files());
    let found = app.found();
    assert_eq!((found.id.as_str(), found.confidence), ("express", 92));
    assert!(found.notes_json.contains("/app/apps/api"));
    insta::assert_snapshot!(outline(&app.plan()));
}

#[test]
fn a_chosen_folder_is_installed_from_the_workspace_above() {
    let mut app = app(&files());
    app.harness = app.harness.app_dir("apps/api");
    assert_eq!(app.found().id, "express");
    insta::assert_snapshot!(outline(&app.plan()));
}

#[test]
fn several_applications_are_named_and_none_is_guessed() {
    let mut all = files();
    all.push(("apps/web/package.json", r#"{"name":"web","dependencies":{"next":"15"}}"#));
    let refusal = app(&all).refusal();
    assert_eq!(refusal.code, "node.several-applications");
    assert!(refusal.message.contains("apps/api, apps/docs, apps/web"), "{}", refusal.message);
    assert!(refusal.hint.unwrap().contains("build.app_dir"));
}

#[test]
fn a_start_script_may_hand_over_to_a_member() {
    for start in [
        "cd apps/web && npm start",
        "npm start -w web",
        "npm run start --workspace=apps/web",
        "npm --prefix apps/web start",
        "yarn workspace web start",
        "pnpm --filter web start",
        "turbo run start --filter=web",
        "npx turbo start --filter web...",
    ] {
        let root = format!(
            r#"{{"name":"r","private":true,"workspaces":["apps/*"],"scripts":{{"start":"{start}"}}}}"#
        );
        let web = r#"{"name":"web","dependencies":{"next":"15"},"scripts":{"start":"next start"}}"#;
        let all = [
            ("package.json", root.as_str()),
            LOCK,
            ("apps/web/package.json", web),
            ("apps/api/package.json", API),
        ];
        let app = app(&all);
        assert_eq!(app.found().id, "nextjs", "{start}");
        assert!(
            outline(&app.plan()).contains("in /app/apps/web PATH=/app/apps/web/node_modules/.bin:")
        );
    }
}

#[test]
fn a_root_without_applications_is_a_near_miss() {
    let library = r#"{"name":"a","exports":"./i.js"}"#;
    let report = app(&[("package.json", ROOT), ("packages/a/package.json", library)]).detect();
    assert!(report.detections.is_empty());
    assert!(!report.near_misses.is_empty());
}

#[test]
fn a_root_that_starts_itself_is_the_application() {
    let root = r#"{"workspaces":["packages/*"],"scripts":{"start":"node index.js"},"dependencies":{"a":"*"}}"#;
    let all = [
        ("package.json", root),
        LOCK,
        ("packages/a/package.json", r#"{"name":"a","scripts":{"start":"node a.js"}}"#),
    ];
    assert_eq!(app(&all).web(), ["node", "index.js"]);
}

#[test]
fn each_manager_installs_what_the_member_needs() {
    let install = |manager: &str, lock: &str, pnpm: Option<&str>| {
        let root = format!(
            r#"{{"name":"root","private":true,"workspaces":["apps/*"],"packageManager":"{manager}"}}"#
        );
        let mut all =
            vec![("package.json", root.as_str()), (lock, ""), ("apps/api/package.json", API)];
        all.extend(pnpm.map(|text| ("pnpm-workspace.yaml", text)));
        let mut app = app(&all);
        app.harness = app.harness.app_dir("apps/api");
        let text = outline(&app.plan());
        let line = text.lines().find(|line| {
            line.contains(" install ") && !line.contains("--global")
                || line.contains("focus")
                || line.contains(" ci ")
        });
        line.unwrap().trim().split(" +").next().unwrap().to_owned()
    };
    assert_eq!(
        install("npm@10.0.0", "package-lock.json", None),
        "run npm ci --include-workspace-root --workspace apps/api --omit=dev"
    );
    assert_eq!(
        install("pnpm@9.0.0", "pnpm-lock.yaml", Some("packages:\n  - apps/*\n")),
        "run pnpm install --frozen-lockfile --filter @x/api... --filter root --prod"
    );
    assert_eq!(
        install("yarn@4.5.0", "yarn.lock", None),
        "run yarn workspaces focus root @x/api --production"
    );
    assert_eq!(
        install("yarn@1.22.22", "yarn.lock", None),
        "run yarn install --frozen-lockfile --non-interactive --production"
    );
}

#[test]
fn turborepo_builds_what_the_application_needs() {
    let root = r#"{"name":"r","workspaces":["apps/*"],"packageManager":"npm@10.0.0","devDependencies":{"turbo":"2"}}"#;
    let web = r#"{"name":"web","dependencies":{"next":"15"},"scripts":{"build":"next build"}}"#;
    let all = [("package.json", root), LOCK, ("turbo.json", "{}"), ("apps/web/package.json", web)];
    let text = outline(&app(&all).plan());
    assert!(text.contains("run turbo run build --filter=web +network +cache turbo at /root/.turbo-cache +cache next-cache at /app/apps/web/.next/cache"), "{text}");
}

#[test]
fn nx_projects_are_read_from_their_own_files() {
    let root = r#"{"name":"r","private":true,"scripts":{"start":"nx serve"},"dependencies":{"express":"4","next":"14"},"devDependencies":{"nx":"19"}}"#;
    let project = |executor: &str| {
        format!(
            r#"{{"projectType":"application","targets":{{"build":{{"executor":"{executor}","options":{{"outputPath":"dist/apps/api"}}}}}}}}"#
        )
    };
    let (node, next) = (project("@nx/node:webpack"), project("@nx/next:build"));
    let all = [
        ("package.json", root),
        LOCK,
        ("nx.json", r#"{"defaultProject":"api"}"#),
        ("apps/api/project.json", node.as_str()),
        ("apps/site/project.json", next.as_str()),
    ];
    let app = app(&all);
    assert_eq!(app.web(), ["node", "dist/apps/api/main.js"]);
    assert!(outline(&app.plan()).contains("run nx build api"));
}

#[test]
fn a_member_without_an_own_start_is_found_by_its_framework() {
    let root =
        r#"{"name":"r","private":true,"dependencies":{"next":"16"},"devDependencies":{"nx":"23"}}"#;
    let web = r#"{"name":"@r/web","dependencies":{"next":"16"}}"#;
    let all = [
        ("package.json", root),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'"),
        ("pnpm-workspace.yaml", "packages:\n  - \"apps/*\"\n"),
        ("nx.json", "{}"),
        ("apps/web/package.json", web),
        ("apps/web/next.config.js", ""),
    ];
    let text = outline(&app(&all).plan());
    assert!(
        text.contains("run nx build @r/web") && text.contains("in /app/apps/web PATH"),
        "{text}"
    );
}
