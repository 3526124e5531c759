//! Node.js and Bun: which version, and which of the two.

use crate::support::app;
use windlass_plugin_common::outline::outline;

const START: (&str, &str) = ("package.json", r#"{"scripts":{"start":"node a.js"}}"#);

#[test]
fn every_place_may_name_the_version() {
    let version =
        |file: (&str, &str)| app(&[file, START]).found().toolchains[0].requirement.clone();
    assert_eq!(version((".tool-versions", "node 24.1.0")), "24.1.0");
    assert_eq!(version(("mise.toml", "[tools]\nnode = \"lts\"")), "22");
    assert_eq!(version(("mise.toml", "[tools]\nnode = ['20', '22']")), "20");
    assert_eq!(version((".node-version", "# pinned\n24\n")), "24");
    let engine = |text: &str| {
        let package = format!(r#"{{"scripts":{{"start":"node a.js"}},{text}}}"#);
        app(&[("package.json", &package)]).found().toolchains[0].requirement.clone()
    };
    assert_eq!(engine(r#""devEngines":{"runtime":{"name":"node","version":">=24"}}"#), "26");
    assert_eq!(engine(r#""engines":{"node":"18.x"}"#), "18.20.8");
    assert_eq!(engine(r#""engines":{"node":">=16.0.0 <18.0.0"}"#), "16.20.2");
    assert_eq!(engine(r#""engines":{"node":"14.17.0"}"#), "14.17.0");
    assert_eq!(engine(r#""engines":{"node":">=18"}"#), "22");
}

#[test]
fn a_version_past_its_end_is_warned_about() {
    let warnings = |nvmrc: &str| {
        let app = app(&[START, (".nvmrc", nvmrc)]);
        app.warnings().into_iter().filter(|line| line.contains("end of life")).count()
    };
    assert_eq!(["18", "20.11.1", "lts/gallium"].map(warnings), [1, 1, 1]);
    assert_eq!(["22", "24", "whatever"].map(warnings), [0, 0, 0]);
}

#[test]
fn bun_runs_what_is_started_with_it() {
    let package = r#"{"scripts":{"start":"bun run index.ts"},"dependencies":{"hono":"4"},
        "engines":{"bun":">=1.1"}}"#;
    let files = [("package.json", package), ("bun.lock", "{}"), ("index.ts", "import 'hono'")];
    let found = app(&files).found();
    assert_eq!((found.id.as_str(), found.toolchains[0].name.as_str()), ("hono", "bun"));
    assert_eq!(found.toolchains[0].requirement, ">=1.1");
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn bun_only_installs_for_what_node_runs() {
    let package = r#"{"scripts":{"start":"node a.js"},"dependencies":{"express":"4"},"packageManager":"bun@1.2.0"}"#;
    let text = outline(&app(&[("package.json", package), ("bun.lockb", "")]).plan());
    assert!(text.contains("run npm install --global --force bun@1.2.0"), "{text}");
    assert!(text.contains("run bun install --frozen-lockfile --production +network +cache bun"));
    assert!(text.contains("dependencies (install the dependencies) on manager"));
    assert_eq!(app(&[("package.json", package)]).found().toolchains[0].name, "node");
}

#[test]
fn another_manager_may_install_for_bun() {
    let package = r#"{"scripts":{"start":"bun index.ts"},"dependencies":{"chalk":"5"}}"#;
    let files = [("package.json", package), ("pnpm-lock.yaml", "lockfileVersion: '9.0'")];
    let text = outline(&app(&files).plan());
    assert!(text.contains("run npm install --global --force pnpm@9"), "{text}");
    assert!(text.contains("step runtime (prepare the runtime) on bun"), "{text}");
    assert!(text.contains(r#"["bun", "index.ts"]"#));
}

#[test]
fn an_engine_names_the_package_manager_and_its_version() {
    let package =
        r#"{"scripts":{"start":"node a.js"},"dependencies":{"a":"1"},"engines":{"pnpm":"8.15.9"}}"#;
    let text = outline(&app(&[("package.json", package)]).plan());
    assert!(text.contains("run npm install --global --force pnpm@8.15.9"), "{text}");
}

#[test]
fn pnpm_is_the_one_that_the_files_were_written_by() {
    let pnpm = |more: &str, workspace: &str| {
        let package =
            format!(r#"{{"scripts":{{"start":"node a.js"}},"dependencies":{{"a":"1"}}{more}}}"#);
        let files = [
            ("package.json", package.as_str()),
            ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n"),
            ("pnpm-workspace.yaml", workspace),
        ];
        let text = outline(&app(&files).plan());
        let fetch = text.lines().find_map(|line| line.split("--force pnpm@").nth(1)).unwrap();
        fetch.split(' ').next().unwrap().to_owned()
    };
    assert_eq!(pnpm("", ""), "9");
    assert_eq!(pnpm("", "onlyBuiltDependencies:\n  - esbuild\n"), "10");
    assert_eq!(pnpm("", "packages:\n  - .\noverrides:\n  a: 2\n"), "10");
    assert_eq!(pnpm(r#","pnpm":{"onlyBuiltDependencies":["esbuild"]}"#, ""), "10");
    let engine = r#","devEngines":{"packageManager":{"name":"pnpm","version":"9.15.0"}}"#;
    assert_eq!(pnpm(engine, "onlyBuiltDependencies: []\n"), "9.15.0");
}

#[test]
fn another_platform_s_version_never_beats_a_pin_and_never_fails() {
    let version = |netlify: &str, files: &[(&str, &str)]| {
        let netlify = format!("[build.environment]\nNODE_VERSION = \"{netlify}\"\n");
        let found = app(&[files, &[START, ("netlify.toml", &netlify)]].concat()).found();
        assert_eq!(found.refusal, None);
        found.toolchains[0].requirement.clone()
    };
    assert_eq!(version("24", &[]), "24");
    assert_eq!(version("18", &[(".nvmrc", "22")]), "22");
    assert_eq!(version("12", &[]), "22");
}

#[test]
fn the_manager_for_development_is_the_manager() {
    let text = |manager: &str, lock: (&str, &str)| {
        let package = format!(
            r#"{{"scripts":{{"start":"node a.js"}},"dependencies":{{"a":"1"}},"devEngines":{{"packageManager":{manager}}}}}"#
        );
        outline(&app(&[("package.json", &package), lock]).plan())
    };
    let yarn = text(r#"[{"name":"yarn","version":"^4.5"}]"#, ("yarn.lock", ""));
    assert!(yarn.contains("--force @yarnpkg/cli-dist@^4.5"), "{yarn}");
    let classic = text(r#"{"name":"yarn","version":"^1.22.0"}"#, ("yarn.lock", ""));
    assert!(classic.contains("--force yarn@^1.22.0"), "{classic}");
    let any = text(r#"{"name":"npm"}"#, ("package-lock.json", "{}"));
    assert!(any.contains("run npm ci"), "{any}");
}
