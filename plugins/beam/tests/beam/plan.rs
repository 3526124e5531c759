//! What the plugin plans.

use crate::detect::{MIX, PHOENIX};
use crate::support::app;
use windlass_plugin_common::outline::outline;

const RUNTIME: &str = "System.get_env(\"SECRET_KEY_BASE\") || raise \"\"\n";

#[test]
fn phoenix_with_packages_for_its_assets() {
    let files = [
        ("mix.exs", PHOENIX),
        ("mix.lock", ""),
        ("config/config.exs", ""),
        ("config/runtime.exs", RUNTIME),
        ("lib/shop_web/endpoint.ex", ""),
        ("assets/package.json", "{}"),
        ("assets/package-lock.json", "{}"),
        ("priv/repo/migrations/1_init.exs", ""),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
    assert!(app(&files).warnings()[0].contains("SECRET_KEY_BASE"));
    let release = [files.as_slice(), &[("lib/shop/release.ex", "")]].concat();
    assert!(!outline(&app(&release).plan()).contains("output migrate"));
}

#[test]
fn node_is_the_one_that_the_assets_or_the_application_ask_for() {
    let node = |more: &[(&str, &str)]| {
        let files = [&[("mix.exs", PHOENIX), ("assets/package.json", "{}")], more].concat();
        let plan = app(&files).plan();
        let node = plan.toolchains.into_iter().find(|one| one.name == "node");
        node.map(|one| one.requirement).unwrap_or_default()
    };
    let tools = (".tool-versions", "elixir 1.18.4\nnodejs 24.1.0\n");
    assert_eq!(node(&[]), "22");
    assert_eq!(node(&[tools]), "24.1.0");
    assert_eq!(node(&[tools, ("assets/.nvmrc", "20")]), "20");
    let plan = app(&[("mix.exs", PHOENIX), tools]).plan();
    assert!(plan.toolchains.iter().all(|one| one.name != "node"), "no packages, no Node.js");
}

#[test]
fn elixir_without_dependencies() {
    insta::assert_snapshot!(outline(&app(&[("mix.exs", MIX)]).plan()));
}

#[test]
fn a_declared_mix_keeps_elixir() {
    let files = [("mix.exs", MIX), ("Procfile", "web: mix run --no-halt\n")];
    let plan = app(&files).plan();
    assert_eq!(plan.processes[0].argv, ["mix", "run", "--no-halt"]);
    assert!(!outline(&plan).contains("debian"), "{}", outline(&plan));
}

#[test]
fn gleam_is_shipped_onto_erlang() {
    let files = [
        ("gleam.toml", "name = \"a\""),
        ("manifest.toml", ""),
        ("src/a.gleam", "pub fn main() {}"),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}
