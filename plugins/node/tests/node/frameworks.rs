//! The catalog: what each framework is taken for, and what is served or started.

use crate::support::{App, app};
use windlass_plugin_common::outline::outline;

/// What is left: the web process's command line, or folder and page of a static tree.
fn left(app: &App) -> String {
    let plan = app.plan();
    match plan.processes.first() {
        Some(process) => process.argv.join(" "),
        None => {
            let text = outline(&plan);
            let line = text.lines().find(|line| line.starts_with("output site")).unwrap();
            line.split(" in ").nth(1).unwrap().to_owned()
        }
    }
}

fn with(dependencies: &str, scripts: &str, files: &[(&str, &str)]) -> App {
    let list: Vec<String> =
        dependencies.split_whitespace().map(|name| format!("\"{name}\":\"*\"")).collect();
    let package = format!(
        r#"{{"name":"x","private":true,"dependencies":{{{}}},"scripts":{{{scripts}}}}}"#,
        list.join(",")
    );
    let mut all = vec![("package.json", package.as_str()), ("package-lock.json", "{}")];
    all.extend(files);
    app(&all)
}

#[track_caller]
fn check(dependencies: &str, scripts: &str, files: &[(&str, &str)], id: &str, result: &str) {
    let app = with(dependencies, scripts, files);
    let found = app.found();
    assert_eq!((found.id.as_str(), left(&app).as_str()), (id, result), "{dependencies}");
    assert!(found.confidence >= 85 && found.refusal.is_none(), "{found:?}");
    assert_eq!(found.supersedes.contains(&"node".to_owned()), id != "node");
}

const INDEX: &str = " spa=Some(\"index.html\") not-found=None";
const PLAIN: &str = " spa=None not-found=Some(\"404.html\")";

#[test]
fn frameworks_that_render_on_a_server() {
    let next = "/bin/sh -c exec next start -H 0.0.0.0 -p \"$PORT\"";
    check("next react", r#""build":"next build","start":"next start""#, &[], "nextjs", next);
    let nitro = "node .output/server/index.mjs";
    check("nuxt vue", r#""build":"nuxt build","generate":"nuxt generate""#, &[], "nuxt", nitro);
    check("nuxt", r#""build":"nuxt build","start":"nuxt preview""#, &[], "nuxt", nitro);
    let remix = "remix-serve ./build/server/index.js";
    let start = format!(r#""build":"remix vite:build","start":"{remix}""#);
    check("@remix-run/react @remix-run/serve vite", &start, &[], "remix", remix);
    check("@remix-run/node vite", "", &[("vite.config.ts", "")], "remix", remix);
    let router = "react-router-serve ./build/server/index.js";
    check("@react-router/dev react-router vite", "", &[], "react-router", router);
    check("@sveltejs/kit @sveltejs/adapter-node vite", "", &[], "sveltekit", "node build");
    check("@sveltejs/kit @sveltejs/adapter-auto vite", "", &[], "sveltekit", "node build");
    let config = ("astro.config.mjs", "import node from '@astrojs/node'\nx = { adapter: node() }");
    check("astro @astrojs/node", "", &[config], "astro", "node ./dist/server/entry.mjs");
    check("@tanstack/react-start nitro vite", "", &[], "tanstack-start", nitro);
    check("@solidjs/start vinxi", r#""start":"vinxi start""#, &[], "solidstart", nitro);
    let entry = ("adapters/express/vite.config.ts", "");
    check("@builder.io/qwik-city vite", "", &[entry], "qwik", "node server/entry.express.js");
    let nest = r#""build":"nest build","start":"nest start","start:prod":"node dist/main""#;
    check("@nestjs/core express", nest, &[], "nestjs", "node dist/main");
    let ace = r#""build":"node ace build","start":"node bin/server.js""#;
    check("@adonisjs/core", ace, &[("adonisrc.ts", "")], "adonisjs", "node build/bin/server.js");
    let strapi = r#""build":"strapi build","start":"strapi start","develop":"strapi develop""#;
    check("@strapi/strapi", strapi, &[], "strapi", "strapi start");
    let expo = ("app.json", r#"{"expo":{"web":{"output":"server"}}}"#);
    let line = "/bin/sh -c exec expo serve --port $PORT";
    check("expo react-dom react-native", "", &[expo], "expo", line);
    let hydrogen = "/bin/sh -c exec shopify hydrogen preview --port $PORT";
    check("@shopify/hydrogen @remix-run/react", "", &[], "hydrogen", hydrogen);
}

#[test]
fn sveltekit_takes_its_address_from_the_proxy() {
    let text = outline(&with("@sveltejs/kit @sveltejs/adapter-node vite", "", &[]).plan());
    let sign =
        " HOST=0.0.0.0 PROTOCOL_HEADER=x-forwarded-proto HOST_HEADER=x-forwarded-host\nprocess web";
    assert!(text.contains(sign), "{text}");
    let adapter = "@sveltejs/kit @sveltejs/adapter-static vite";
    assert!(!outline(&with(adapter, "", &[]).plan()).contains("_HEADER"));
}

#[test]
fn frameworks_that_leave_files() {
    for (dependencies, scripts, id, result) in [
        ("astro", r#""start":"astro dev""#, "astro", format!("/app/dist{PLAIN}")),
        ("gatsby react", "", "gatsby", format!("/app/public{PLAIN}")),
        ("@docusaurus/core", "", "docusaurus", format!("/app/build{PLAIN}")),
        (
            "vitepress vue",
            r#""docs:build":"vitepress build docs""#,
            "vitepress",
            format!("/app/docs/.vitepress/dist{PLAIN}"),
        ),
        (
            "vuepress",
            r#""build":"vuepress build src""#,
            "vuepress",
            format!("/app/src/.vuepress/dist{PLAIN}"),
        ),
        (
            "@11ty/eleventy",
            r#""build":"eleventy --output=out""#,
            "eleventy",
            format!("/app/out{PLAIN}"),
        ),
        ("hexo", "", "hexo", format!("/app/public{PLAIN}")),
        ("ember-cli ember-source", "", "ember", format!("/app/dist{INDEX}")),
        ("sanity react", r#""start":"sanity start""#, "sanity", format!("/app/dist{INDEX}")),
        (
            "@stencil/core",
            r#""start":"stencil build --dev --serve""#,
            "stencil",
            format!("/app/www{INDEX}"),
        ),
        ("@ionic/react react vite", "", "ionic-react", format!("/app/dist{INDEX}")),
        (
            "react react-scripts",
            r#""start":"react-scripts start""#,
            "create-react-app",
            format!("/app/build{INDEX}"),
        ),
        ("vue @vue/cli-service", "", "vue", format!("/app/dist{INDEX}")),
        ("preact preact-cli", r#""serve":"sirv build""#, "preact", format!("/app/build{INDEX}")),
        (
            "parcel",
            r#""start":"parcel","build":"parcel build --dist-dir web""#,
            "parcel",
            format!("/app/web{INDEX}"),
        ),
        ("vite vue", r#""start":"serve -s dist""#, "vite", format!("/app/dist{INDEX}")),
        ("vite react-router react", r#""build":"vite build""#, "vite", format!("/app/dist{INDEX}")),
        ("@builder.io/qwik vite", "", "vite", format!("/app/dist{INDEX}")),
        (
            "expo react-dom react-native",
            r#""start":"expo start""#,
            "expo",
            format!("/app/dist{INDEX}"),
        ),
    ] {
        check(dependencies, scripts, &[], id, &result);
    }
}

#[test]
fn configuration_decides_between_server_and_files() {
    for (dependencies, file, text, id, result) in [
        (
            "next",
            "next.config.mjs",
            "export default { output: 'export' }",
            "nextjs",
            format!("/app/out{PLAIN}"),
        ),
        (
            "next",
            "next.config.js",
            "x = { output: 'standalone' }",
            "nextjs",
            "node server.js".to_owned(),
        ),
        (
            "nuxt",
            "nuxt.config.ts",
            "nitro: {\n preset: 'static' }",
            "nuxt",
            "/app/.output/public spa=Some(\"200.html\") not-found=None".to_owned(),
        ),
        (
            "@react-router/dev",
            "react-router.config.ts",
            "export default {\n  ssr: false,\n}",
            "react-router",
            format!("/app/build/client{INDEX}"),
        ),
        (
            "@react-router/dev",
            "react-router.config.ts",
            "export default {\n  // ssr: false,\n}",
            "react-router",
            "react-router-serve ./build/server/index.js".to_owned(),
        ),
        (
            "@sveltejs/kit @sveltejs/adapter-static",
            "svelte.config.js",
            "adapter({ fallback: '200.html' })",
            "sveltekit",
            "/app/build spa=Some(\"200.html\") not-found=None".to_owned(),
        ),
        (
            "@sveltejs/kit @sveltejs/adapter-node",
            "svelte.config.js",
            "adapter({ out: 'server' })",
            "sveltekit",
            "node server".to_owned(),
        ),
        (
            "expo react-dom",
            "app.json",
            r#"{"expo":{"web":{"output":"static"}}}"#,
            "expo",
            format!("/app/dist{PLAIN}"),
        ),
    ] {
        check(dependencies, "", &[(file, text)], id, &result);
    }
}

#[test]
fn angular_writes_where_its_workspace_says() {
    let left = |options: &str, builder: &str, more: &str| {
        let json = format!(
            r#"{{"projects":{{"shop":{{"projectType":"application","architect":{{"build":{{
            "builder":"@angular/build:{builder}","options":{{{options}}}}}}}}}}}}}"#
        );
        let dependencies = format!("@angular/core {more}");
        left(&with(&dependencies, r#""start":"ng serve""#, &[("angular.json", &json)]))
    };
    assert_eq!(
        left(r#""outputPath":"dist/shop""#, "application", ""),
        format!("/app/dist/shop/browser{INDEX}")
    );
    assert_eq!(left(r#""outputPath":"out""#, "browser", ""), format!("/app/out{INDEX}"));
    assert_eq!(left("", "application", ""), format!("/app/dist/shop/browser{INDEX}"));
    let path = r#""outputPath":{"base":"web","browser":""}"#;
    assert_eq!(left(path, "application", ""), format!("/app/web{INDEX}"));
    let ssr = r#""ssr":{"entry":"src/server.ts"}"#;
    assert_eq!(left(ssr, "application", "@angular/ssr"), "node dist/shop/server/server.mjs");
    let fixed = r#""ssr":{},"outputMode":"static""#;
    assert_eq!(
        left(fixed, "application", "@angular/ssr"),
        format!("/app/dist/shop/browser{INDEX}")
    );
}

#[test]
fn adapters_of_other_platforms_are_refused_by_name() {
    for (dependencies, file, text, named) in [
        (
            "@sveltejs/kit @sveltejs/adapter-vercel",
            "svelte.config.js",
            "import a from '@sveltejs/adapter-vercel'",
            "@sveltejs/adapter-vercel",
        ),
        (
            "astro @astrojs/vercel",
            "astro.config.mjs",
            "x = { output: 'server', adapter: v() }",
            "@astrojs/vercel",
        ),
        ("@builder.io/qwik-city", "vite.config.ts", "", "adapter"),
        ("@tanstack/react-start", "vite.config.ts", "", "Nitro"),
    ] {
        let refusal = with(dependencies, "", &[(file, text)]).refusal();
        assert_eq!(refusal.code, "node.adapter-unsupported");
        assert!(refusal.message.contains(named), "{}", refusal.message);
        assert!(refusal.hint.unwrap().contains("run.command"));
    }
    let own = with("astro @astrojs/vercel", r#""start":"node s.js""#, &[]);
    assert_eq!(own.web(), ["node", "s.js"], "a start command of the application's own decides");
}

#[test]
fn backends_are_surer_where_the_program_imports_them() {
    let confidence = |files: &[(&str, &str)]| {
        let found = with("express", r#""start":"node bin/www""#, files).found();
        assert_eq!(found.id, "express");
        (
            found.confidence,
            found.evidence.into_iter().map(|e| e.detail).collect::<Vec<_>>().join("; "),
        )
    };
    let www = ("bin/www", "var app = require('../app');\napp.listen(3000)");
    let (sure, evidence) = confidence(&[www, ("app.js", "const e = require('express')")]);
    assert!(sure == 92 && evidence.contains("imports express"), "{evidence}");
    let (unsure, evidence) = confidence(&[www, ("app.js", "const e = require('koa')")]);
    assert!(unsure == 60 && evidence.contains("imported by no entry file"), "{evidence}");
    assert_eq!(confidence(&[]).0, 88);
    let built = with(
        "fastify typescript",
        r#""build":"tsc","start":"node dist/server.js""#,
        &[("src/server.ts", "import Fastify from 'fastify'")],
    );
    assert_eq!((built.found().id.as_str(), built.found().confidence), ("fastify", 92));
    for id in ["hono", "koa", "fastify"] {
        assert_eq!(with(id, r#""start":"node a.js""#, &[]).found().id, id);
    }
    let other = with("@hapi/hapi", r#""start":"node a.js""#, &[]).found();
    assert_eq!((other.id.as_str(), other.name.as_str()), ("node", "hapi"));
    let both = r#"{"build":{"framework":"node"}}"#;
    assert_eq!(with("express", r#""start":"node a.js""#, &[]).settings(both).found().id, "node");
}

#[test]
fn what_is_no_application_for_a_server_is_a_near_miss() {
    for (package, files, said) in [
        (
            r#"{"engines":{"vscode":"^1.80"},"main":"out/e.js","scripts":{"build":"tsc"}}"#,
            &["src/e.ts"][..],
            "extension",
        ),
        (
            r#"{"main":"dist/index.js","scripts":{"build":"ncc build"}}"#,
            &["action.yml"],
            "GitHub action",
        ),
        (
            r#"{"main":"main.js","devDependencies":{"electron":"30"},"scripts":{"start":"electron ."}}"#,
            &["main.js"],
            "desktop",
        ),
        (
            r#"{"main":"main.js","devDependencies":{"electron":"30","vite":"6"},"scripts":{"start":"vite"}}"#,
            &["main.js"],
            "desktop",
        ),
        (
            r#"{"dependencies":{"react-native":"0.76"},"scripts":{"start":"react-native start"}}"#,
            &["index.js"],
            "telephones",
        ),
        (
            r#"{"dependencies":{"expo":"52","react-native":"0.76"},"scripts":{"start":"expo start"}}"#,
            &["App.js"],
            "telephones",
        ),
        (r#"{"bin":{"x":"cli.js"},"main":"index.js"}"#, &["cli.js", "index.js"], "command line"),
        (
            r#"{"devDependencies":{"husky":"9","lint-staged":"15"},"scripts":{"prepare":"husky"}}"#,
            &[],
            "no \"start\" script",
        ),
        (
            r#"{"exports":"./dist/x.js","devDependencies":{"vite":"6"},"scripts":{"build":"vite build"}}"#,
            &[],
            "library",
        ),
        (
            r#"{"exports":"./x.js","devDependencies":{"vitepress":"1"},"scripts":{"docs:build":"vitepress build docs"}}"#,
            &[],
            "library",
        ),
        (
            r#"{"peerDependencies":{"next":"15"},"devDependencies":{"next":"15"}}"#,
            &["src/index.ts"],
            "library",
        ),
        (r#"{"scripts":{"start":"storybook dev"}}"#, &[], "development server"),
        (r#"{"scripts":{"start":"tsc -w"}}"#, &[], "development server"),
        (r#"{"scripts":{"start":"docker compose up"}}"#, &[], "docker"),
    ] {
        let mut all = vec![("package.json", package)];
        all.extend(files.iter().map(|file| (*file, "")));
        let report = app(&all).detect();
        assert!(report.detections.is_empty(), "{package}: {:?}", report.detections);
        let reasons: Vec<_> = report.near_misses.iter().map(|miss| miss.reason.as_str()).collect();
        assert!(reasons.join("; ").contains(said), "{package}: {reasons:?}");
    }
    let exports =
        [("package.json", r#"{"main":"index.js"}"#), ("index.js", "module.exports = 1\n")];
    assert!(app(&exports).detect().detections.is_empty());
}

#[test]
fn start_scripts_are_looked_through() {
    let web = |scripts: &str| with("express tsx", scripts, &[]).web().join(" ");
    assert_eq!(web(r#""start":"npx tsx src/index.ts""#), "tsx src/index.ts");
    assert_eq!(web(r#""start":"npm run serve -- --x","serve":"node s.js""#), "node s.js --x");
    assert_eq!(web(r#""start":"yarn serve","serve":"ts-node s.ts""#), "ts-node s.ts");
    assert_eq!(web(r#""build":"tsc","start":"npm run build && node dist/s.js""#), "node dist/s.js");
    let chain = "/bin/sh -c prisma migrate deploy && exec node s.js";
    assert_eq!(
        web(r#""migrate":"prisma migrate deploy","start":"npm run migrate && node s.js""#),
        chain
    );
    let nested = with(
        "express",
        r#""start":"cd server && npm start""#,
        &[("server/package.json", r#"{"scripts":{"start":"node i.js"}}"#)],
    );
    assert_eq!(nested.web().join(" "), "/bin/sh -c cd server && exec node i.js");
}
