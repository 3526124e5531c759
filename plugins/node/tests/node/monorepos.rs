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
    assert_eq!(found.app_dir.as_deref(), Some("apps/api"));
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
fn an_application_that_accompanies_another_is_named() {
    let report = app(&files()).detect();
    let said: Vec<_> = report.near_misses.iter().map(|miss| miss.reason.as_str()).collect();
    let aside = said.iter().find(|reason| reason.starts_with("apps/docs is an application too"));
    assert!(aside.unwrap().contains("build.app_dir = \"apps/docs\""), "{said:?}");
}

#[test]
fn a_target_is_said_to_be_the_wrong_key_for_one_of_several() {
    let mut all = files();
    all.push(("apps/web/package.json", r#"{"name":"web","dependencies":{"next":"15"}}"#));
    let hint = app(&all).settings(r#"{"build":{"target":"apps/web"}}"#).refusal().hint.unwrap();
    assert!(hint.contains("not with build.target: build.app_dir = \"apps/web\""), "{hint}");
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
fn a_declared_command_may_lead_to_a_member() {
    let root = r#"{"private":true,"workspaces":["apps/*"],"scripts":{"start":"node index.js","web":"yarn workspace web start"}}"#;
    let web = r#"{"name":"web","dependencies":{"next":"15"},"scripts":{"build":"next build","start":"next start"}}"#;
    let all = [
        ("package.json", root),
        LOCK,
        ("index.js", "require('http').createServer().listen(1)"),
        ("apps/web/package.json", web),
        ("apps/api/package.json", API),
    ];
    for line in [
        "pnpm --filter web start",
        "yarn workspace web start",
        "npm -w web start",
        "npm run web",
        "npm start --workspace=apps/web",
    ] {
        let app = app(&all).settings(&format!(r#"{{"run":{{"command":"{line}"}}}}"#));
        let found = app.found();
        assert_eq!(
            (found.id.as_str(), found.app_dir.as_deref()),
            ("nextjs", Some("apps/web")),
            "{line}"
        );
        let text = outline(&app.plan());
        assert!(text.contains("run next build") || text.contains("npm run build"), "{text}");
        assert_eq!(app.web(), ["next", "start"], "{line}");
    }
    let both = ("Procfile", "web: npm start -w web\nworker: npm start -w api\n");
    let found = app(&[&all[..], &[both]].concat()).found();
    assert_eq!(found.app_dir, None, "the worker is another member");
}

#[test]
fn a_start_script_may_hand_over_behind_another_script() {
    let root = r#"{"private":true,"workspaces":["apps/*"],"scripts":{"start":"npm run start:web","start:web":"pnpm --filter web start"}}"#;
    let web = r#"{"name":"web","dependencies":{"next":"15"},"scripts":{"start":"next start"}}"#;
    let all = [
        ("package.json", root),
        LOCK,
        ("apps/web/package.json", web),
        ("apps/api/package.json", API),
    ];
    assert_eq!(app(&all).found().id, "nextjs");
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
fn a_workspace_of_pnpm_is_freed_of_what_only_the_build_needs() {
    let prune = |root: &str, lock: &str, start: &str| {
        let api = format!(
            r#"{{"name":"@x/api","dependencies":{{"fastify":"5"}},"scripts":{{"build":"tsc","start":"{start}"}}}}"#
        );
        let files = [
            ("package.json", root),
            (lock, ""),
            ("pnpm-workspace.yaml", "packages:\n  - apps/*\n"),
            ("apps/api/package.json", &api),
        ];
        let plan = app(&files).plan();
        let step = plan.steps.iter().find(|step| step.id == "prune")?;
        let copied = outline(&plan).contains("copy app/** of prune to /");
        assert!(copied && step.cwd == "/app", "{plan:?}");
        step.ops.iter().find_map(|op| match op {
            windlass_sdk::plan::Op::Run(run) => Some(run.argv.join(" ")),
            _ => None,
        })
    };
    let root = r#"{"name":"r","private":true,"packageManager":"pnpm@10.0.0","devDependencies":{"tsx":"4"}}"#;
    let offline = "--prefer-offline --ignore-scripts --config.modules-cache-max-age=0";
    assert_eq!(
        prune(root, "pnpm-lock.yaml", "node a.js").unwrap(),
        format!("pnpm install --frozen-lockfile --filter @x/api... --filter r --prod {offline}")
    );
    let unnamed = root.replace(r#""name":"r","#, "");
    assert_eq!(
        prune(&unnamed, "pnpm-lock.yaml", "node a.js").unwrap(),
        format!("pnpm install --frozen-lockfile --prod {offline}")
    );
    // Nothing says which versions are there.
    assert_eq!(prune(root, "README.md", "node a.js"), None);
    // The root's own development dependency runs it.
    assert_eq!(prune(root, "pnpm-lock.yaml", "tsx a.ts"), None);
    let kept = root.replace("devDependencies", "dependencies");
    assert!(prune(&kept, "pnpm-lock.yaml", "tsx a.ts").is_some());
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

#[test]
fn yarn_keeps_what_the_member_needs_alone() {
    let api = r#"{"name":"@x/api","dependencies":{"express":"5"},"devDependencies":{"typescript":"5"},"scripts":{"build":"tsc","start":"node server.js"}}"#;
    let root =
        r#"{"name":"root","private":true,"workspaces":["apps/*"],"packageManager":"yarn@4.5.0"}"#;
    let all = [("package.json", root), ("yarn.lock", ""), ("apps/api/package.json", api)];
    let text = outline(&app(&all).plan());
    assert!(text.contains("  run yarn workspaces focus root @x/api --production +"), "{text}");
    let alone = r#"{"dependencies":{"a":"1"},"devDependencies":{"typescript":"5"},"packageManager":"yarn@4.5.0","scripts":{"build":"tsc","start":"node server.js"}}"#;
    let text = outline(&app(&[("package.json", alone), ("yarn.lock", "")]).plan());
    assert!(text.contains("  run yarn workspaces focus --all --production +"), "{text}");
}

#[test]
fn a_project_of_nx_that_is_chosen_by_its_folder_is_built_at_the_root() {
    let root = r#"{"name":"r","dependencies":{"express":"4"},"devDependencies":{"nx":"19"}}"#;
    let project = |name: &str| {
        format!(
            r#"{{"projectType":"application","targets":{{"build":{{"executor":"@nx/{name}"}}}}}}"#
        )
    };
    let (node, site) = (project("node:webpack"), project("vite:build"));
    let all = [
        ("package.json", root),
        LOCK,
        ("nx.json", "{}"),
        ("apps/api/project.json", node.as_str()),
        ("apps/api/src/main.ts", "import express from 'express'"),
        ("apps/site/project.json", site.as_str()),
    ];
    assert_eq!(app(&all).refusal().code, "node.several-applications");
    let mut api = app(&all);
    api.harness = api.harness.app_dir("apps/api");
    let found = api.found();
    assert_eq!((found.id.as_str(), found.name.as_str()), ("node", "Nx project api"));
    assert_eq!(found.app_dir.as_deref(), Some("apps/api"));
    assert_eq!(found.evidence[0].path, "apps/api/project.json");
    insta::assert_snapshot!(outline(&api.plan()));
    let mut site = app(&all);
    site.harness = site.harness.app_dir("apps/site");
    assert!(outline(&site.plan()).contains("in /app/dist/apps/site spa="));
}

/// The usual layout: the database in a package of its own.
fn with_database<'a>(db: &'a str, root: &'a str) -> Vec<(&'a str, &'a str)> {
    let web = r#"{"name":"web","dependencies":{"next":"15","@r/db":"workspace:*"},"scripts":{"build":"next build","start":"next start"}}"#;
    vec![
        ("package.json", root),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'"),
        ("pnpm-workspace.yaml", "packages:\n  - apps/*\n  - packages/*\n"),
        ("turbo.json", "{}"),
        ("apps/web/package.json", web),
        ("apps/web/next.config.js", ""),
        ("packages/db/package.json", db),
        ("packages/db/prisma/schema.prisma", "datasource db {\n provider = \"postgresql\"\n}"),
    ]
}

const TURBO: &str =
    r#"{"name":"r","private":true,"packageManager":"pnpm@9.0.0","devDependencies":{"turbo":"2"}}"#;

#[test]
fn what_a_needed_package_needs_is_there() {
    let db = r#"{"name":"@r/db","dependencies":{"@prisma/client":"6","bcrypt":"5"},"devDependencies":{"prisma":"6"}}"#;
    let app = app(&with_database(db, TURBO));
    let plan = app.plan();
    let build = plan.steps.iter().find(|step| step.id == "build").unwrap();
    let generates = build.ops.iter().find_map(|op| match op {
        windlass_sdk::plan::Op::Run(run) if run.argv == ["prisma", "generate"] => Some(run),
        _ => None,
    });
    let generates = generates.unwrap();
    assert_eq!(generates.cwd.as_deref(), Some("/app/packages/db"));
    let path = &generates.env.iter().find(|(name, _)| name == "PATH").unwrap().1;
    assert!(path.starts_with("/app/packages/db/node_modules/.bin:/app/apps/web/"), "{path}");
    insta::assert_snapshot!(outline(&plan));
}

#[test]
fn hooks_of_needed_packages_get_what_they_read() {
    let copied = |hook: &str, root: &str| {
        let db = format!(
            r#"{{"name":"@r/db","dependencies":{{"prisma":"6"}},"scripts":{{"postinstall":"{hook}"}}}}"#
        );
        let text = outline(&app(&with_database(&db, root)).plan());
        let copy = text.lines().find(|line| line.trim().starts_with("copy")).unwrap();
        copy.trim().to_owned()
    };
    let manifests = "copy package.json pnpm-lock.yaml pnpm-workspace.yaml packages/db/prisma/** \
                     **/package.json of source to /app/";
    assert_eq!(copied("prisma generate", TURBO), manifests);
    assert_eq!(copied("node setup.js", TURBO), "copy ** of source to /app/");
    let root = TURBO.replace(
        "\"private\"",
        r#""scripts":{"preinstall":"npx only-allow pnpm","prepare":"husky"},"private""#,
    );
    assert_eq!(copied("prisma generate", &root), manifests);
}
