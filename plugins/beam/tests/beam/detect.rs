//! What the plugin recognises.

use crate::support::app;

pub(crate) const MIX: &str = "defmodule Shop.MixProject do\n  use Mix.Project\n  def project do\n    [app: :shop, elixir: \"~> 1.15\", deps: deps()]\n  end\n  \
    def application do\n    [mod: {Shop.Application, []}]\n  end\n  defp deps do\n    []\n  end\nend\n";
pub(crate) const PHOENIX: &str = "defmodule Shop.MixProject do\n  def project do\n    [app: :shop, aliases: aliases()]\n  end\n  \
    def application, do: [mod: {Shop.Application, []}]\n  defp deps do\n    [\n      {:phoenix, \"~> 1.7\"}, {:bcrypt_elixir, \"~> 3.0\"}\n    ]\n  end\n  \
    defp aliases do\n    [\"assets.deploy\": [\"esbuild default --minify\", \"phx.digest\"]]\n  end\nend\n";
const GLEAM: &str = "name = \"shop\"\nversion = \"1.0.0\"\ngleam = \">= 1.13.0\"\n[dependencies]\nmist = \">= 1.0.0\"\n";

#[track_caller]
fn check(files: &[(&str, &str)], id: &str, confidence: u8, start: &str) {
    let app = app(files);
    let found = app.found();
    assert_eq!(found.id, id, "{found:?}");
    assert!((confidence..confidence + 10).contains(&found.confidence), "{}", found.confidence);
    assert_eq!(app.line(), start);
}

#[test]
fn each_kind_of_project() {
    let start = "/app/_build/prod/rel/shop/bin/shop start";
    check(&[("mix.exs", MIX)], "elixir", 80, start);
    check(&[("mix.exs", PHOENIX), ("lib/shop_web/endpoint.ex", "")], "phoenix", 90, start);
    check(&[("mix.exs", ""), ("lib/shop/application.ex", "")], "elixir", 60, start);
    let named =
        MIX.replace("deps: deps()", "releases: [\n  web: [include_executables_for: [:unix]]]");
    check(&[("mix.exs", &named)], "elixir", 80, "/app/_build/prod/rel/web/bin/web start");
    let umbrella = "[apps_path: \"apps\", releases: [all: [applications: [web: :permanent]]]]";
    let child = ("apps/web/mix.exs", PHOENIX);
    check(
        &[("mix.exs", umbrella), child, ("apps/web/lib/web/endpoint.ex", "")],
        "phoenix",
        90,
        "/app/_build/prod/rel/all/bin/all start",
    );
    let shipment = "./build/erlang-shipment/entrypoint.sh run";
    check(&[("gleam.toml", GLEAM), ("src/shop.gleam", "pub fn main() {}")], "gleam", 90, shipment);
    check(&[("gleam.toml", "name = \"a\""), ("src/a.gleam", "")], "gleam", 70, shipment);
    let rebar = "{deps, []}.\n{relx, [{release, {shop, \"1.0.0\"}, [shop, sasl]}]}.\n";
    check(
        &[("rebar.config", rebar)],
        "erlang",
        80,
        "/app/_build/prod/rel/shop/bin/shop foreground",
    );
}

#[test]
fn what_is_no_application_is_not_one() {
    let library = MIX.replace("mod: {Shop.Application, []}", "extra_applications: [:logger]");
    for (files, reason) in [
        (vec![("mix.exs", &library as &str)], "names no application module"),
        (
            vec![("mix.exs", "[apps_path: \"apps\"]"), ("apps/a/mix.exs", MIX)],
            "mix.exs defines none",
        ),
        (
            vec![("gleam.toml", GLEAM), ("src/shop.gleam", "pub fn add() {}")],
            "no public main function",
        ),
        (vec![("gleam.toml", GLEAM)], "there is no src/shop.gleam"),
        (vec![("gleam.toml", "name = \"a\"\ntarget = \"javascript\"")], "target = \"javascript\""),
        (vec![("gleam.toml", "name = ")], "not valid TOML"),
        (vec![("rebar.config", "{deps, []}.")], "defines no release"),
        (vec![("mix.ex", "")], "did you mean \"mix.exs\""),
    ] {
        let found = app(&files).nothing();
        assert!(found.contains(reason), "{files:?}: {found}");
    }
    for files in [&[("README.md", "")][..], &[("deps/a/mix.exs", MIX)], &[("src/a.erl", "")]] {
        assert_eq!(app(files).nothing(), "", "{files:?}");
    }
}

#[test]
fn versions_are_found_where_they_are_pinned() {
    for (files, expected) in [
        (vec![("mix.exs", MIX)], ">=1.15 <2.0.0"),
        (
            vec![("mix.exs", MIX), (".tool-versions", "erlang 26.2\nelixir 1.17.3-otp-27\n")],
            "1.17.3",
        ),
        (vec![("mix.exs", MIX), ("elixir_buildpack.config", "elixir_version=1.16.2\n")], "1.16.2"),
        (vec![("mix.exs", MIX), ("mise.toml", "[tools]\nelixir = '1.18'\n")], "1.18"),
        (vec![("mix.exs", PHOENIX)], ""),
    ] {
        assert_eq!(app(&files).found().toolchains[0].requirement, expected, "{files:?}");
    }
    let set = app(&[("mix.exs", MIX)]).settings(r#"{"build":{"toolchain":{"elixir":"1.14"}}}"#);
    assert_eq!(set.found().toolchains[0].requirement, "1.14");
    assert!(set.warnings()[0].contains("no more security fixes"));
}

#[test]
fn the_settings_win() {
    let forced = app(&[("mix.exs", MIX)]).settings(r#"{"build":{"framework":"phoenix"}}"#).found();
    assert_eq!((forced.id.as_str(), forced.confidence), ("phoenix", 100));
    let missing =
        app(&[("README.md", "")]).settings(r#"{"build":{"framework":"gleam"}}"#).refusal();
    assert_eq!(missing.code, "beam.no-start");
}

#[test]
fn the_samples_are_what_they_say() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/samples");
    for (name, id) in [("elixir", "elixir"), ("phoenix", "phoenix"), ("gleam", "gleam")] {
        let harness = windlass_sdk::testing::Harness::new(format!("{folder}/{name}"));
        let (found, plan) = harness.detect_and_plan::<windlass_plugin_beam::Beam>().unwrap();
        assert_eq!(found.id, id, "{name}");
        assert!(found.refusal.is_none() && plan.processes.len() == 1, "{name}");
    }
}
