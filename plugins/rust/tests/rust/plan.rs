//! What the plugin plans.

use crate::support::app;
use windlass_plugin_common::outline::outline;

const MAIN: &str = "fn main() {}\n";
const PLAIN: &str = "[package]\nname = \"shop\"\nversion = \"0.1.0\"\nedition = \"2021\"\n";

#[test]
fn a_crate_with_a_lock_file() {
    let lock = "[[package]]\nname = \"openssl-sys\"\nversion = \"0.9.1\"\n";
    let main = "TcpListener::bind(\"127.0.0.1:8080\")";
    let files = [("Cargo.toml", PLAIN), ("Cargo.lock", lock), ("src/main.rs", main)];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn rocket_is_told_address_and_port() {
    let manifest = "[package]\nname='shop'\n[dependencies]\nrocket='0.5'\n";
    let plan = app(&[("Cargo.toml", manifest), ("src/main.rs", "use rocket::get;")]).plan();
    assert_eq!(plan.processes[0].argv[2], "exec env ROCKET_PORT=\"$PORT\" /app/bin/shop");
    assert!(outline(&plan).contains("ROCKET_ADDRESS=0.0.0.0"));
}

#[test]
fn a_site_of_trunk_is_a_static_tree() {
    let files = [
        ("Cargo.toml", PLAIN),
        ("src/main.rs", MAIN),
        ("index.html", "<link data-trunk rel=\"rust\">"),
    ];
    let app = app(&files);
    assert_eq!(app.found().id, "trunk");
    insta::assert_snapshot!(outline(&app.plan()));
}

#[test]
fn crates_of_other_languages_get_their_libraries() {
    let text = |manifest: &str, lock: &str| {
        outline(
            &app(&[("Cargo.toml", manifest), ("Cargo.lock", lock), ("src/main.rs", MAIN)]).plan(),
        )
    };
    let diesel =
        "[package]\nname='x'\n[dependencies]\ndiesel={version='2',features=['postgres']}\n";
    assert!(text(diesel, "").contains("--no-install-recommends libpq-dev &&"));
    assert!(text(PLAIN, "name = \"prost-build\"\n").contains("protobuf-compiler"));
    assert!(!text(PLAIN, "name = \"serde\"\n").contains("apt-get"));
    let rustls = "name = \"reqwest\"\n";
    assert!(!text(PLAIN, rustls).contains("libssl-dev"));
}

#[test]
fn each_program_that_a_process_names_is_built() {
    let files = [
        ("Cargo.toml", PLAIN),
        ("src/bin/web.rs", MAIN),
        ("src/bin/jobs.rs", MAIN),
        ("src/bin/seed.rs", MAIN),
        ("Procfile", "web: cargo run --release --bin web\nworker: ./target/release/jobs -q\n"),
    ];
    let plan = app(&files).plan();
    let text = outline(&plan);
    assert!(text.contains("--bin web &&") && text.contains("--bin jobs &&"), "{text}");
    assert!(!text.contains("seed"), "{text}");
    let lines: Vec<_> = plan.processes.iter().map(|process| process.argv.join(" ")).collect();
    assert_eq!(lines, ["/app/bin/web", "/app/bin/jobs -q"]);
}

#[test]
fn the_target_of_the_configuration_is_where_the_program_lies() {
    let config = "[build]\ntarget = \"x86_64-unknown-linux-musl\"\n";
    let files = [("Cargo.toml", PLAIN), ("src/main.rs", MAIN), (".cargo/config.toml", config)];
    let text = outline(&app(&files).plan());
    assert!(text.contains("/cache/target/x86_64-unknown-linux-musl/release/shop"), "{text}");
}

#[test]
fn a_bot_is_a_worker() {
    let manifest = "[package]\nname='x'\n[dependencies]\nserenity='0.12'\n";
    let plan = app(&[("Cargo.toml", manifest), ("src/main.rs", MAIN)]).plan();
    assert_eq!((plan.processes.len(), plan.processes[0].name.as_str()), (1, "worker"));
    let named = r#"{"run":{"processes":{"worker":{"command":"x -q"}}}}"#;
    let plan = app(&[("Cargo.toml", manifest), ("src/main.rs", MAIN)]).settings(named).plan();
    assert_eq!((plan.processes.len(), plan.processes[0].argv.join(" ").as_str()), (1, "x -q"));
}

#[test]
fn what_a_worker_or_the_migration_names_is_built_beside_the_application() {
    let files = [
        ("Cargo.toml", PLAIN),
        ("src/main.rs", MAIN),
        ("src/bin/jobs.rs", MAIN),
        ("src/bin/migrate.rs", MAIN),
        ("Procfile", "release: bin/migrate\n"),
    ];
    let settings = r#"{"run":{"processes":{"worker":{"command":"jobs -q"}}}}"#;
    let plan = app(&files).settings(settings).plan();
    let lines: Vec<_> = plan.processes.iter().map(|process| process.argv.join(" ")).collect();
    assert_eq!(lines, ["/app/bin/shop", "jobs -q"]);
    let text = outline(&plan);
    assert!(text.contains("--bin jobs &&") && text.contains("--bin migrate &&"), "{text}");
}

#[test]
fn the_migration_crate_of_sea_orm_is_built_beside_the_application() {
    let root = "[package]\nname='shop'\n[workspace]\nmembers=['.','migration']\n[dependencies]\naxum='0.8'\n";
    let member = "[package]\nname='migration'\n[dependencies]\nsea-orm-migration='1.1'\n";
    let main = "#[tokio::main]\nasync fn main() { cli::run_cli(migration::Migrator).await; }\n";
    let files = [
        ("Cargo.toml", root),
        ("Cargo.lock", "x"),
        ("src/main.rs", MAIN),
        ("migration/Cargo.toml", member),
        ("migration/src/lib.rs", ""),
        ("migration/src/main.rs", main),
    ];
    let plan = app(&files).plan();
    assert_eq!(plan.processes.len(), 1);
    insta::assert_snapshot!(outline(&plan));
    // It is no second application, where none has a framework that tells them apart.
    let plain = root.replace("axum='0.8'", "");
    let found = app(&[&[("Cargo.toml", plain.as_str())], &files[1..]].concat()).found();
    assert_eq!(found.refusal, None);
}

#[test]
fn a_migration_tool_that_nothing_calls_is_built_beside_the_application() {
    let manifest = "[package]\nname='shop'\n[dependencies]\nsqlx={version='0.8',features=['runtime-tokio','postgres']}\n";
    let lock = "[[package]]\nname = \"sqlx\"\nversion = \"0.8.2\"\n";
    let step = ("migrations/1_a.sql", "");
    let files = [("Cargo.toml", manifest), ("Cargo.lock", lock), ("src/main.rs", MAIN), step];
    insta::assert_snapshot!(outline(&app(&files).plan()));
    let migrates = |files: &[(&str, &str)]| {
        let text = outline(&app(files).plan());
        text.contains("output migrate:").then_some(text)
    };
    let boots = ("src/db/mod.rs", "pub async fn up(p: &Pool) { sqlx::migrate!().run(p).await }");
    assert!(migrates(&[&files[..], &[boots]].concat()).is_none());
    assert!(migrates(&files[..3]).is_none(), "no migrations");
    let sqlite = manifest.replace("'postgres'", "'sqlite'");
    assert!(migrates(&[&[("Cargo.toml", sqlite.as_str())], &files[1..]].concat()).is_none());

    let manifest =
        "[package]\nname='shop'\n[dependencies]\ndiesel={version='2',features=['postgres']}\n";
    let lock = "[[package]]\nname = \"diesel\"\nversion = \"2.2.6\"\n";
    let step = ("migrations/1_a/up.sql", "");
    let files = [("Cargo.toml", manifest), ("Cargo.lock", lock), ("src/main.rs", MAIN), step];
    let text = migrates(&files).unwrap();
    assert!(text.contains("--features postgres --version ~2.2 diesel_cli"), "{text}");
}

#[test]
fn a_port_of_another_variable_is_told_under_its_name() {
    let main = "let port = std::env::var(\"APP_PORT\").unwrap();\nTcpListener::bind(format!(\"0.0.0.0:{port}\"));\n";
    let line = app(&[("Cargo.toml", PLAIN), ("src/main.rs", main)]).line();
    assert_eq!(line, "/bin/sh -c exec env APP_PORT=\"$PORT\" /app/bin/shop");
}

#[test]
fn a_bot_is_not_told_of_a_port() {
    let manifest = "[package]\nname='x'\n[dependencies]\nserenity='0.12'\n";
    let main = "let health = TcpListener::bind(\"127.0.0.1:8080\");\n";
    let log = app(&[("Cargo.toml", manifest), ("Cargo.lock", "x"), ("src/main.rs", main)]).log();
    let told = |(_, line): &(_, String)| line.contains("the port is") || line.contains("127.0.0.1");
    assert!(!log.iter().any(told), "{log:?}");
}

#[test]
fn what_trunk_builds_is_preceded_by_the_installation_of_the_settings() {
    let files = [("Cargo.toml", PLAIN), ("src/main.rs", MAIN), ("Trunk.toml", "")];
    let app = app(&files).settings(r#"{"build":{"install":"npm ci"}}"#);
    let text = outline(&app.plan());
    let at = |line: &str| text.find(line).unwrap();
    assert!(at("npm ci") < at("trunk build --release"), "{text}");
}
