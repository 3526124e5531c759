//! The frameworks, as data: a row for each, and the first row whose package is a dependency is taken.
//! What stands further up is the more special: SvelteKit before Vite, NestJS before Express.

use crate::answers;
use crate::config;
use crate::facts::Facts;

/// A framework.
pub(crate) struct Framework {
    /// Id of its detection; `node` where it has none of its own.
    pub(crate) id: &'static str,
    /// For people.
    pub(crate) name: &'static str,
    /// It is used where one of these is a dependency.
    pub(crate) packages: &'static [&'static str],
    /// Its configuration files.
    pub(crate) files: &'static [&'static str],
    /// What builds it where package.json has no script for that; may be empty.
    pub(crate) build: &'static str,
    /// What the build leaves.
    pub(crate) leaves: Leaves,
    /// Folders of the application that make the next build faster.
    pub(crate) caches: &'static [&'static str],
    /// What its server reads to listen on every address.
    pub(crate) env: &'static [(&'static str, &'static str)],
}

/// What a build leaves.
pub(crate) enum Leaves {
    /// Files in this folder, with a page for unknown paths if the second is set.
    Files(fn(&Facts) -> String, Option<&'static str>),
    /// A server that this line starts, where package.json says nothing better.
    Server(&'static str),
    /// One or the other, as the application says.
    Asks(fn(&Facts) -> Answer),
    /// A library that servers are written with.
    Library,
}

/// What an application says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Files in this folder, with a page for unknown paths.
    Files(String, Option<String>),
    /// A server with its line.
    Server(String),
    /// A server that is a folder of its own.
    Standalone,
    /// It cannot be run here: why, and what to do.
    Unfit(String, String),
}

type Row = (&'static str, &'static str, &'static [&'static str], &'static [&'static str]);

const fn row((id, name, packages, files): Row, build: &'static str, leaves: Leaves) -> Framework {
    Framework { id, name, packages, files, build, leaves, caches: &[], env: &[] }
}

const fn cached(mut framework: Framework, caches: &'static [&'static str]) -> Framework {
    framework.caches = caches;
    framework
}

const fn listening(
    mut framework: Framework,
    env: &'static [(&'static str, &'static str)],
) -> Framework {
    framework.env = env;
    framework
}

const INDEX: Option<&str> = Some("index.html");
const ANYWHERE: &[(&str, &str)] = &[("HOST", "0.0.0.0")];
/// It refuses forms that come from another address than the one that it takes for its own.
const SVELTEKIT: &[(&str, &str)] = &[
    ("HOST", "0.0.0.0"),
    ("PROTOCOL_HEADER", "x-forwarded-proto"),
    ("HOST_HEADER", "x-forwarded-host"),
];

/// Every framework, the special ones first.
pub(crate) static FRAMEWORKS: [Framework; 46] = [
    listening(
        cached(
            row(
                (
                    "nextjs",
                    "Next.js",
                    &["next"],
                    &["next.config.js", "next.config.mjs", "next.config.ts", "next.config.cjs"],
                ),
                "next build",
                Leaves::Asks(answers::next),
            ),
            &[".next/cache"],
        ),
        &[("HOSTNAME", "0.0.0.0")],
    ),
    listening(
        row(
            (
                "nuxt",
                "Nuxt",
                &["nuxt", "nuxt3", "nuxt-edge", "nuxt-nightly"],
                &["nuxt.config.ts", "nuxt.config.js", "nuxt.config.mjs"],
            ),
            "nuxt build",
            Leaves::Asks(answers::nuxt),
        ),
        ANYWHERE,
    ),
    row(
        (
            "hydrogen",
            "Hydrogen",
            &["@shopify/hydrogen"],
            &["remix.config.js", "hydrogen.config.ts"],
        ),
        "shopify hydrogen build",
        Leaves::Server("shopify hydrogen preview --port $PORT"),
    ),
    row(
        (
            "remix",
            "Remix",
            &["@remix-run/react", "@remix-run/serve", "@remix-run/node", "@remix-run/dev"],
            &["remix.config.js", "vite.config.ts", "vite.config.js"],
        ),
        "remix vite:build",
        Leaves::Asks(answers::remix),
    ),
    row(
        (
            "react-router",
            "React Router",
            &["@react-router/dev", "@react-router/serve", "@react-router/node"],
            &["react-router.config.ts", "react-router.config.js", "vite.config.ts"],
        ),
        "react-router build",
        Leaves::Asks(answers::react_router),
    ),
    listening(
        row(
            (
                "sveltekit",
                "SvelteKit",
                &["@sveltejs/kit"],
                &["svelte.config.js", "svelte.config.ts"],
            ),
            "vite build",
            Leaves::Asks(answers::sveltekit),
        ),
        SVELTEKIT,
    ),
    listening(
        row(
            ("astro", "Astro", &["astro"], answers::ASTRO),
            "astro build",
            Leaves::Asks(answers::astro),
        ),
        ANYWHERE,
    ),
    row(
        (
            "tanstack-start",
            "TanStack Start",
            &["@tanstack/react-start", "@tanstack/solid-start", "@tanstack/start"],
            &["vite.config.ts", "app.config.ts"],
        ),
        "vite build",
        Leaves::Asks(answers::tanstack),
    ),
    row(
        (
            "solidstart",
            "SolidStart",
            &["@solidjs/start", "solid-start"],
            &["app.config.ts", "app.config.js", "vite.config.ts"],
        ),
        "vinxi build",
        Leaves::Server("node .output/server/index.mjs"),
    ),
    row(
        (
            "qwik",
            "Qwik",
            &["@builder.io/qwik-city", "@qwik.dev/router"],
            &["vite.config.ts", "vite.config.mts"],
        ),
        "qwik build",
        Leaves::Asks(answers::qwik),
    ),
    row(("node", "Vike", &["vike", "vite-plugin-ssr"], &[]), "vite build", Leaves::Server("")),
    row(
        ("node", "Vinxi", &["vinxi"], &["app.config.ts", "app.config.js"]),
        "vinxi build",
        Leaves::Server("node .output/server/index.mjs"),
    ),
    cached(
        row(
            (
                "ionic-angular",
                "Ionic Angular",
                &["@ionic/angular"],
                &["ionic.config.json", "angular.json"],
            ),
            "ng build",
            Leaves::Asks(answers::angular),
        ),
        &[".angular/cache"],
    ),
    cached(
        row(
            ("angular", "Angular", &["@angular/core"], &["angular.json"]),
            "ng build",
            Leaves::Asks(answers::angular),
        ),
        &[".angular/cache"],
    ),
    row(
        (
            "docusaurus",
            "Docusaurus",
            &["@docusaurus/core", "docusaurus"],
            &["docusaurus.config.js", "docusaurus.config.ts", "siteConfig.js"],
        ),
        "docusaurus build",
        Leaves::Files(answers::docusaurus, None),
    ),
    row(
        ("gatsby", "Gatsby", &["gatsby"], &["gatsby-config.js", "gatsby-config.ts"]),
        "gatsby build",
        Leaves::Files(|_| "public".to_owned(), None),
    ),
    row(
        ("vitepress", "VitePress", &["vitepress"], &["docs/.vitepress", ".vitepress"]),
        "vitepress build",
        Leaves::Files(|facts| config::press_output(facts, "vitepress"), None),
    ),
    row(
        ("vuepress", "VuePress", &["vuepress", "@vuepress/cli"], &["docs/.vuepress", ".vuepress"]),
        "vuepress build",
        Leaves::Files(|facts| config::press_output(facts, "vuepress"), None),
    ),
    cached(
        row(
            (
                "eleventy",
                "Eleventy",
                &["@11ty/eleventy"],
                &[
                    ".eleventy.js",
                    "eleventy.config.js",
                    "eleventy.config.mjs",
                    "eleventy.config.cjs",
                ],
            ),
            "eleventy",
            Leaves::Files(config::eleventy_output, None),
        ),
        &[".cache"],
    ),
    row(
        ("hexo", "Hexo", &["hexo"], &["_config.yml"]),
        "hexo generate",
        Leaves::Files(answers::hexo, None),
    ),
    row(
        ("ember", "Ember", &["ember-cli", "ember-source"], &["ember-cli-build.js"]),
        "ember build --environment=production",
        Leaves::Files(|_| "dist".to_owned(), INDEX),
    ),
    row(
        ("sanity", "Sanity Studio", &["sanity", "@sanity/core", "@sanity/cli"], answers::SANITY),
        "sanity build",
        Leaves::Files(|_| "dist".to_owned(), INDEX),
    ),
    row(
        ("expo", "Expo", &["expo"], &["app.json", "app.config.js", "app.config.ts"]),
        "expo export --platform web",
        Leaves::Asks(answers::expo),
    ),
    cached(
        row(
            ("stencil", "Stencil", &["@stencil/core"], &["stencil.config.ts", "stencil.config.js"]),
            "stencil build",
            Leaves::Files(|_| "www".to_owned(), INDEX),
        ),
        &[".stencil"],
    ),
    row(
        ("ionic-react", "Ionic React", &["@ionic/react"], &["ionic.config.json", "vite.config.ts"]),
        "vite build",
        Leaves::Files(answers::react_app, INDEX),
    ),
    row(
        (
            "create-react-app",
            "Create React App",
            &["react-scripts", "@craco/craco"],
            &["src/index.js", "src/index.tsx"],
        ),
        "react-scripts build",
        Leaves::Files(|_| "build".to_owned(), INDEX),
    ),
    row(
        ("vue", "Vue CLI", &["@vue/cli-service"], &["vue.config.js", "vue.config.ts"]),
        "vue-cli-service build",
        Leaves::Files(answers::vue, INDEX),
    ),
    row(
        ("preact", "Preact CLI", &["preact-cli"], &["preact.config.js"]),
        "preact build",
        Leaves::Files(|_| "build".to_owned(), INDEX),
    ),
    row(
        (
            "vite",
            "Vite",
            &["vite", "rolldown-vite"],
            &["vite.config.ts", "vite.config.js", "vite.config.mjs", "vite.config.mts"],
        ),
        "vite build",
        Leaves::Files(config::vite_output, INDEX),
    ),
    cached(
        row(
            ("parcel", "Parcel", &["parcel", "parcel-bundler"], &[".parcelrc"]),
            "parcel build",
            Leaves::Files(answers::parcel, INDEX),
        ),
        &[".parcel-cache"],
    ),
    row(
        ("nestjs", "NestJS", &["@nestjs/core"], &["nest-cli.json"]),
        "nest build",
        Leaves::Server("node dist/main"),
    ),
    listening(
        row(
            (
                "adonisjs",
                "AdonisJS",
                &["@adonisjs/core"],
                &["adonisrc.ts", ".adonisrc.json", "ace.js", "ace"],
            ),
            "node ace build",
            Leaves::Asks(answers::adonis),
        ),
        ANYWHERE,
    ),
    row(
        (
            "strapi",
            "Strapi",
            &["@strapi/strapi", "strapi"],
            &["config/server.ts", "config/server.js"],
        ),
        "strapi build",
        Leaves::Server("strapi start"),
    ),
    row(("fastify", "Fastify", &["fastify"], &[]), "", Leaves::Library),
    row(("hono", "Hono", &["hono"], &[]), "", Leaves::Library),
    row(("koa", "Koa", &["koa"], &[]), "", Leaves::Library),
    row(("express", "Express", &["express"], &[]), "", Leaves::Library),
    row(("node", "hapi", &["@hapi/hapi"], &[]), "", Leaves::Library),
    row(("node", "Polka", &["polka"], &[]), "", Leaves::Library),
    row(("node", "Restify", &["restify"], &[]), "", Leaves::Library),
    row(("node", "Feathers", &["@feathersjs/feathers"], &[]), "", Leaves::Library),
    row(("node", "Elysia", &["elysia"], &[]), "", Leaves::Library),
    row(("node", "LoopBack", &["@loopback/core"], &[]), "", Leaves::Library),
    row(("node", "Apollo Server", &["@apollo/server"], &[]), "", Leaves::Library),
    row(("node", "Micro", &["micro"], &[]), "", Leaves::Library),
    row(("node", "Socket.IO", &["socket.io"], &[]), "", Leaves::Library),
];

/// Ids of this plugin.
pub(crate) fn is_own(id: &str) -> bool {
    id == "node" || FRAMEWORKS.iter().any(|framework| framework.id == id)
}

/// The frameworks that the application depends on, in the order of the table; the one that is asked for
/// comes first.
pub(crate) fn used(facts: &Facts, asked: Option<&str>) -> Vec<(&'static Framework, &'static str)> {
    let mut found: Vec<(&'static Framework, &'static str)> = FRAMEWORKS
        .iter()
        .filter_map(|row| Some((row, *row.packages.iter().find(|package| facts.uses(package))?)))
        .collect();
    found.sort_by_key(|(row, _)| asked != Some(row.id) || row.id == "node");
    found
}
