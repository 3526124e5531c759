//! What the plugin plans.

use crate::support::app;
use windlass_plugin_common::outline::outline;

const EXPRESS: &str = r#"{"dependencies":{"express":"^4"},"scripts":{"start":"node server.js"}}"#;
const SERVER: (&str, &str) = ("server.js", "require('express')().listen(process.env.PORT || 3000)");
const LOCK: (&str, &str) = ("package-lock.json", "{}");

#[test]
fn express_without_a_build() {
    let plan = app(&[("package.json", EXPRESS), LOCK, SERVER]).plan();
    insta::assert_snapshot!(outline(&plan));
}

#[test]
fn a_typescript_server_is_built_and_freed_of_its_tools() {
    let package = r#"{"dependencies":{"fastify":"5","@prisma/client":"6"},
        "devDependencies":{"typescript":"5","prisma":"6"},
        "scripts":{"build":"tsc","start":"node dist/index.js"}}"#;
    let files = [
        ("package.json", package),
        ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n"),
        ("prisma/schema.prisma", ""),
        ("prisma/migrations/1/migration.sql", ""),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn next_as_a_server() {
    let package = r#"{"dependencies":{"next":"15"},"devDependencies":{"eslint":"9"},
        "scripts":{"dev":"next dev","build":"next build","start":"next start"}}"#;
    let files = [("package.json", package), ("yarn.lock", "# yarn lockfile v1\n")];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn next_standalone() {
    let package =
        r#"{"dependencies":{"next":"15"},"scripts":{"build":"next build","start":"next start"}}"#;
    let config = ("next.config.ts", "export default {\n  output: 'standalone',\n}");
    insta::assert_snapshot!(outline(&app(&[("package.json", package), LOCK, config]).plan()));
}

#[test]
fn next_export_is_a_static_tree() {
    let config = ("next.config.js", "module.exports = { output: \"export\" }");
    let package = r#"{"dependencies":{"next":"15"},"scripts":{"build":"next build"}}"#;
    let plan = app(&[("package.json", package), LOCK, config]).plan();
    assert!(plan.processes.is_empty());
    assert!(outline(&plan).contains("in /app/out spa=None"));
}

#[test]
fn vite_is_a_static_tree() {
    let package =
        r#"{"devDependencies":{"vite":"6"},"scripts":{"dev":"vite","build":"vite build"}}"#;
    insta::assert_snapshot!(outline(&app(&[("package.json", package), LOCK]).plan()));
}

#[test]
fn vite_says_where_it_writes() {
    let root = |build: &str, config: &str, settings: &str| {
        let package =
            format!(r#"{{"devDependencies":{{"vite":"6"}},"scripts":{{"build":"{build}"}}}}"#);
        let app = app(&[("package.json", &package), LOCK, ("vite.config.ts", config)]);
        let text = outline(&app.settings(settings).plan());
        text.split(" in ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
    };
    assert_eq!(root("vite build", "", "{}"), "/app/dist");
    assert_eq!(root("vite build", "export default { build: { outDir: 'web' } }", "{}"), "/app/web");
    assert_eq!(
        root("vite build", "x = { root: 'client', build: {\n outDir: '../out' } }", "{}"),
        "/app/out"
    );
    assert_eq!(root("vite build --outDir public", "", "{}"), "/app/public");
    assert_eq!(root("vite build", "", r#"{"build":{"output":"./site/"}}"#), "/app/site");
}

#[test]
fn signals_reach_the_application() {
    let web = |scripts: &str| {
        let package = format!(r#"{{"dependencies":{{"express":"4"}},"scripts":{{{scripts}}}}}"#);
        app(&[("package.json", &package), LOCK]).web()
    };
    assert_eq!(web(r#""start":"node server.js""#), ["node", "server.js"]);
    assert_eq!(web(r#""start":"npm run serve","serve":"node s.js""#), ["node", "s.js"]);
    let shell = ["/bin/sh", "-c", "exec env NODE_ENV=production node s.js"];
    assert_eq!(web(r#""start":"NODE_ENV=production node s.js""#), shell);
    let before = ["/bin/sh", "-c", "node prepare.js && exec node s.js"];
    assert_eq!(web(r#""prestart":"node prepare.js","start":"node s.js""#), before);
    assert_eq!(
        web(r#""build":"tsc","prestart":"npm run build","start":"node s.js""#),
        ["node", "s.js"]
    );
}

#[test]
fn settings_come_before_the_procfile_and_that_before_the_script() {
    let files = [
        ("package.json", EXPRESS),
        LOCK,
        SERVER,
        ("Procfile", "web: node p.js\nworker: node w.js\nrelease: x\n"),
    ];
    let plan = app(&files).plan();
    let seen: Vec<_> = plan.processes.iter().map(|p| (p.name.as_str(), p.argv.join(" "))).collect();
    assert_eq!(seen, [("web", "node p.js".to_owned()), ("worker", "node w.js".to_owned())]);
    let settings = r#"{"run":{"command":"node t.js","port":8080}}"#;
    let plan = app(&files).settings(settings).plan();
    assert_eq!(plan.processes[0].argv, ["node", "t.js"]);
    assert_eq!(plan.processes[0].ports, [8080]);
}

#[test]
fn a_port_that_the_application_insists_on_is_used() {
    let port = |start: &str, server: &str| {
        let package = format!(r#"{{"scripts":{{"start":"{start}"}}}}"#);
        app(&[("package.json", &package), ("s.js", server)]).plan().processes[0].ports.clone()
    };
    assert_eq!(port("node s.js", "app.listen(process.env.PORT || 3000)"), [0_u16; 0]);
    assert_eq!(port("node s.js", "app.listen(8080, () => {})"), [8080]);
    assert_eq!(port("tool --port 4000", ""), [4000]);
    assert_eq!(port("PORT=5000 node s.js", ""), [5000]);
}

#[test]
fn the_package_manager_is_the_lock_file_s() {
    for (lock, text, named, install) in [
        ("package-lock.json", "{}", "", "run npm ci --omit=dev"),
        ("yarn.lock", "# yarn lockfile v1", "", "run yarn install --frozen-lockfile"),
        ("yarn.lock", "__metadata:\n  version: 8\n", "", "run yarn install --immutable"),
        ("pnpm-lock.yaml", "lockfileVersion: '6.0'", "", "run npm install --global --force pnpm@8"),
        (
            "pnpm-lock.yaml",
            "",
            "pnpm@10.2.0+sha512.x",
            "run npm install --global --force pnpm@10.2.0",
        ),
        ("yarn.lock", "", "yarn@4.5.0", "run npm install --global --force @yarnpkg/cli-dist@4.5.0"),
    ] {
        let named = if named.is_empty() {
            String::new()
        } else {
            format!(r#","packageManager":"{named}""#)
        };
        let package =
            format!(r#"{{"dependencies":{{"a":"1"}},"scripts":{{"start":"node a.js"}}{named}}}"#);
        let text = outline(&app(&[("package.json", &package), (lock, text)]).plan());
        assert!(text.contains(install), "{lock}: {text}");
    }
}

#[test]
fn a_missing_lock_file_works_with_a_warning() {
    let app = app(&[("package.json", EXPRESS), SERVER]);
    assert!(outline(&app.plan()).contains("run npm install --omit=dev"));
    assert!(app.warnings()[0].contains("there is no lock file"), "{:?}", app.warnings());
}

#[test]
fn development_dependencies_stay_where_the_start_command_needs_them() {
    let package = r#"{"devDependencies":{"tsx":"4"},"scripts":{"start":"tsx server.ts"}}"#;
    let app = app(&[("package.json", package), LOCK]);
    assert!(outline(&app.plan()).contains("run npm ci +"));
    assert!(app.warnings()[0].contains("tsx"));
}

#[test]
fn a_script_of_the_installation_gets_the_source() {
    let copied = |hook: &str| {
        let package = format!(
            r#"{{"dependencies":{{"a":"1"}},"scripts":{{"start":"node a.js","postinstall":"{hook}"}}}}"#
        );
        outline(&app(&[("package.json", &package), LOCK]).plan())
    };
    assert!(copied("node scripts/setup.js").contains("  copy ** of source to /app/\n"));
    assert!(copied("husky").contains("copy package.json package-lock.json of source"));
}

#[test]
fn the_settings_replace_install_and_build() {
    let settings = r#"{"build":{"install":"npm ci --legacy-peer-deps","command":"make all"}}"#;
    let text = outline(&app(&[("package.json", EXPRESS), LOCK, SERVER]).settings(settings).plan());
    assert!(text.contains("run /bin/sh -c npm ci --legacy-peer-deps +network"), "{text}");
    assert!(text.contains("run /bin/sh -c make all"), "{text}");
}
