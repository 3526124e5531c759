//! What the frameworks of the catalog say of themselves, where a dependency alone does not: server or
//! static tree, in which folder.
//!
//! **Invariant: a framework that renders on a server is never taken for a static tree** because it
//! happens to use the same bundler.

use windlass_plugin_common::package_json::PackageJson;
use windlass_plugin_common::version::{Interval, npm};

use crate::catalog::Answer;
use crate::config::{self, flag, key, normal, says};
use crate::facts::Facts;

pub(crate) const ASTRO: &[&str] =
    &["astro.config.mjs", "astro.config.ts", "astro.config.js", "astro.config.cjs"];
pub(crate) const SANITY: &[&str] =
    &["sanity.config.ts", "sanity.config.js", "sanity.cli.ts", "sanity.cli.js", "sanity.json"];
const NUXT: [&str; 3] = ["nuxt.config.ts", "nuxt.config.js", "nuxt.config.mjs"];
const ROUTER: [&str; 3] =
    ["react-router.config.ts", "react-router.config.js", "react-router.config.mjs"];
const VITE: [&str; 4] = ["vite.config.ts", "vite.config.js", "vite.config.mjs", "vite.config.mts"];
const SVELTE: [&str; 2] = ["svelte.config.js", "svelte.config.ts"];
const VUE: [&str; 3] = ["vue.config.js", "vue.config.ts", "vue.config.cjs"];

fn files(folder: impl Into<String>, spa: Option<&str>) -> Answer {
    Answer::Files(normal(&folder.into()), spa.map(str::to_owned))
}

fn server(line: &str) -> Answer {
    Answer::Server(line.to_owned())
}

/// Whether all that a dependency's requirement allows is older than this major version.
fn older(facts: &Facts, package: &str, major: u64) -> bool {
    let wanted = facts.package.as_ref().and_then(|json| json.requirement(package));
    let Some(ranges) = wanted.and_then(npm) else {
        return false;
    };
    let below = Interval { low: (0, 0, 0), high: (major, 0, 0) };
    ranges.iter().all(|range| below.holds(*range))
}

fn build_script(facts: &Facts) -> &str {
    facts.settings.build.command.as_deref().or(facts.script("build")).unwrap_or_default()
}

/// What starts a Next.js server that is not cut down.
pub(crate) const NEXT_START: &str = "next start -H 0.0.0.0 -p \"$PORT\"";

pub(crate) fn next(facts: &Facts) -> Answer {
    let exports = build_script(facts).contains("next export");
    match config::next_output(facts).as_deref() {
        Some("export") => {
            let folder =
                key(facts, &["next.config.js", "next.config.mjs", "next.config.ts"], "distDir");
            files(folder.unwrap_or_else(|| "out".to_owned()), None)
        }
        Some("standalone") => Answer::Standalone,
        _ if exports => files("out", None),
        _ => server(NEXT_START),
    }
}

pub(crate) fn nuxt(facts: &Facts) -> Answer {
    let old = older(facts, "nuxt", 3) || facts.uses("nuxt-edge");
    let script = build_script(facts);
    let generates = script.contains("nuxt generate") || script.contains("nuxi generate");
    let fixed = says(facts, &NUXT, "preset:'static'") || says(facts, &NUXT, "preset:\"static\"");
    let target = key(facts, &NUXT, "target").as_deref() == Some("static");
    match old {
        true if generates || target => files("dist", Some("200.html")),
        true => server("nuxt start"),
        false if generates || fixed => files(".output/public", Some("200.html")),
        false => server("node .output/server/index.mjs"),
    }
}

pub(crate) fn remix(facts: &Facts) -> Answer {
    let vite = facts.first(&VITE).is_some();
    let classic = facts.has("remix.config.js") || older(facts, "@remix-run/dev", 2);
    if vite && says(facts, &VITE, "ssr:false") {
        return files("build/client", Some("index.html"));
    }
    let line = match (classic, older(facts, "@remix-run/serve", 2)) {
        (true, true) => "remix-serve build",
        (true, false) => "remix-serve ./build/index.js",
        (false, _) => "remix-serve ./build/server/index.js",
    };
    server(line)
}

pub(crate) fn react_router(facts: &Facts) -> Answer {
    let folder = key(facts, &ROUTER, "buildDirectory").unwrap_or_else(|| "build".to_owned());
    if says(facts, &ROUTER, "ssr:false") {
        // Where the root is rendered before, its page is not the one for unknown paths.
        let rendered = says(facts, &ROUTER, "prerender");
        let page = if rendered { "__spa-fallback.html" } else { "index.html" };
        return files(format!("{folder}/client"), Some(page));
    }
    server(&format!("react-router-serve ./{}/server/index.js", normal(&folder)))
}

/// What to do about a framework whose adapter is for another platform.
fn unfit(name: &str, file: &str, adapter: &str, instead: &str) -> Answer {
    Answer::Unfit(
        format!("{name} is built with {adapter}, which leaves nothing that can be run here"),
        format!("install {instead} and use it in {file}; or set run.command in windlass.toml"),
    )
}

pub(crate) fn sveltekit(facts: &Facts) -> Answer {
    let text = facts.first(&SVELTE).and_then(|file| facts.text(file)).unwrap_or_default();
    let package = facts.package.as_ref();
    let adapters = package.into_iter().flat_map(PackageJson::all_dependencies);
    let adapters: Vec<&str> = adapters.filter(|name| name.contains("adapter-")).collect();
    let imported = adapters.iter().find(|name| text.contains(**name)).or(adapters.first());
    let out = config::value(&text, "out").unwrap_or_else(|| "build".to_owned());
    match imported {
        Some(&"@sveltejs/adapter-node") => server(&format!("node {}", normal(&out))),
        Some(&"@sveltejs/adapter-static") => {
            let pages = config::value(&text, "pages").unwrap_or_else(|| "build".to_owned());
            files(pages, config::value(&text, "fallback").as_deref())
        }
        // It takes the adapter for Node.js itself where this variable says so: see the plan.
        Some(&"@sveltejs/adapter-auto") | None => server("node build"),
        Some(other) => unfit("SvelteKit", "svelte.config.js", other, "@sveltejs/adapter-node"),
    }
}

/// Whether SvelteKit chooses its adapter by the platform that it is built on.
pub(crate) fn adapts_itself(facts: &Facts) -> bool {
    let auto = facts.uses("@sveltejs/adapter-auto") && !facts.uses("@sveltejs/adapter-node");
    auto && !facts.uses("@sveltejs/adapter-static")
}

pub(crate) fn astro(facts: &Facts) -> Answer {
    let folder = key(facts, ASTRO, "outDir").unwrap_or_else(|| "dist".to_owned());
    let folder = normal(&folder);
    let known = facts.first(ASTRO).and_then(|file| facts.text(file));
    let empty = known.as_ref().is_none_or(|text| text.trim().is_empty());
    let adapter = empty || says(facts, ASTRO, "adapter:") || says(facts, ASTRO, "adapter,");
    if facts.uses("@astrojs/node") && adapter {
        return server(&format!("node ./{folder}/server/entry.mjs"));
    }
    let renders = ["output:'server'", "output:\"server\"", "output:'hybrid'", "output:\"hybrid\""];
    if renders.iter().any(|sign| says(facts, ASTRO, sign)) {
        let others = ["@astrojs/vercel", "@astrojs/netlify", "@astrojs/cloudflare"];
        let other = others.into_iter().find(|name| facts.uses(name)).unwrap_or("no adapter");
        return unfit("Astro", "astro.config.mjs", other, "@astrojs/node");
    }
    files(folder, None)
}

pub(crate) fn tanstack(facts: &Facts) -> Answer {
    let nitro = ["nitro", "nitropack", "@tanstack/nitro-v2-vite-plugin", "vinxi"];
    if nitro.into_iter().any(|name| facts.uses(name)) {
        return server("node .output/server/index.mjs");
    }
    Answer::Unfit(
        "TanStack Start is built without Nitro, and leaves no program that can be started"
            .to_owned(),
        "add the plugin of `nitro` to vite.config.ts; or set run.command in windlass.toml"
            .to_owned(),
    )
}

pub(crate) fn qwik(facts: &Facts) -> Answer {
    for (folder, name) in
        [("express", "express"), ("node-server", "node-server"), ("fastify", "fastify")]
    {
        if facts.has(&format!("adapters/{folder}")) {
            return server(&format!("node server/entry.{name}.js"));
        }
    }
    if facts.has("adapters/static") {
        return files("dist", None);
    }
    let why = "Qwik City has no adapter, and leaves no program that can be started";
    let fix = "add one with `npm run qwik add express`; or set run.command in windlass.toml";
    Answer::Unfit(why.to_owned(), fix.to_owned())
}

pub(crate) fn angular(facts: &Facts) -> Answer {
    match config::angular_output(facts) {
        (_, Some(program)) if facts.uses("@angular/ssr") => server(&format!("node {program}")),
        (browser, _) => files(browser, Some("index.html")),
    }
}

pub(crate) fn adonis(facts: &Facts) -> Answer {
    let old = facts.has(".adonisrc.json") || older(facts, "@adonisjs/core", 6);
    server(if old { "node build/server.js" } else { "node build/bin/server.js" })
}

/// For browsers only where it is told to be: the rest of Expo are applications for telephones.
pub(crate) fn expo(facts: &Facts) -> Answer {
    let text = facts.text("app.json").unwrap_or_default();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let web = json.get("expo").unwrap_or(&json).get("web");
    let browser = ["react-native-web", "react-dom"].into_iter().any(|name| facts.uses(name));
    if !browser {
        return Answer::Unfit(
            "this Expo application has no part for browsers".to_owned(),
            "install react-dom and react-native-web, if it shall be served".to_owned(),
        );
    }
    let folder = match build_script(facts).contains("export:web") {
        true => "web-build",
        false => "dist",
    };
    match web.and_then(|web| web.get("output")?.as_str()) {
        Some("server") => server("expo serve --port $PORT"),
        Some("static") => files(folder, None),
        _ => files(folder, Some("index.html")),
    }
}

/// Docusaurus; its first version wrote into a folder named like the project.
pub(crate) fn docusaurus(facts: &Facts) -> String {
    if let Some(folder) = flag(build_script(facts), &["--out-dir"]) {
        return normal(&folder);
    }
    match key(facts, &["siteConfig.js"], "projectName") {
        Some(project) if !facts.uses("@docusaurus/core") => normal(&format!("build/{project}")),
        _ => "build".to_owned(),
    }
}

pub(crate) fn hexo(facts: &Facts) -> String {
    let text = facts.text("_config.yml").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("public_dir:"));
    let folder = line.map(|line| normal(line.trim())).filter(|folder| !folder.is_empty());
    folder.unwrap_or_else(|| "public".to_owned())
}

pub(crate) fn vue(facts: &Facts) -> String {
    let named = flag(build_script(facts), &["--dest"]).or_else(|| key(facts, &VUE, "outputDir"));
    normal(&named.unwrap_or_else(|| "dist".to_owned()))
}

pub(crate) fn parcel(facts: &Facts) -> String {
    let named = flag(build_script(facts), &["--dist-dir", "--out-dir", "-d"]);
    normal(&named.unwrap_or_else(|| "dist".to_owned()))
}

/// An application that either Vite or Create React App builds.
pub(crate) fn react_app(facts: &Facts) -> String {
    match facts.uses("react-scripts") {
        true => "build".to_owned(),
        false => config::vite_output(facts),
    }
}
