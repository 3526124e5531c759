//! What the plugin takes an application for.

use crate::support::app;

const APPLICATION: (&str, &str) =
    ("config/application.rb", "module Shop\n  class Application < Rails::Application\n");
const RAILS: (&str, &str) = ("Gemfile", "source \"https://rubygems.org\"\ngem \"rails\"\n");
const SINATRA: (&str, &str) = ("Gemfile", "gem 'sinatra'\ngem 'puma'\n");

#[track_caller]
fn check(files: &[(&str, &str)], id: &str, confidence: u8) {
    let found = app(files).buildable();
    assert_eq!((found.id.as_str(), found.confidence), (id, confidence), "{files:?}");
    assert_eq!(found.ecosystem, "ruby");
}

#[test]
fn applications_are_told_by_what_they_declare_and_use() {
    check(&[RAILS, APPLICATION, ("bin/rails", "")], "rails", 95);
    check(&[RAILS, ("bin/rails", "")], "rails", 60);
    // Nothing in them can be read.
    check(&[("Gemfile", ""), ("config/application.rb", ""), ("bin/rails", "")], "rails", 95);
    check(&[SINATRA, ("config.ru", "run App")], "sinatra", 92);
    check(&[SINATRA, ("shop.rb", "require 'sinatra'\n")], "sinatra", 92);
    check(&[("Gemfile", "gem 'hanami'"), ("config.ru", "")], "hanami", 92);
    check(&[("Gemfile", "gem 'roda'"), ("config.ru", "")], "rack", 92);
    check(&[("Gemfile", ""), ("config.ru", "")], "rack", 80);
    check(&[("Gemfile", "gem 'redis'"), ("main.rb", "")], "ruby", 65);
    check(&[("Gemfile", ""), ("shop.rb", "")], "ruby", 65);
    check(&[("Gemfile", ""), ("Procfile", "web: ruby lib/x.rb")], "ruby", 80);
    check(&[("Procfile", "web: ruby lib/x.rb"), ("Rakefile", "")], "ruby", 60);
    check(&[("Gemfile", "gem 'middleman'"), ("config.rb", "")], "middleman", 90);
    check(&[("server.rb", "")], "ruby", 35);
    check(&[("gems.rb", "gem 'x'"), ("app.rb", "")], "ruby", 65);
}

#[test]
fn what_needs_gems_that_no_file_names_is_refused() {
    let rack = [("config.ru", "run App\n"), ("Gemfil", "gem 'rack'\n")];
    let found = app(&rack).found();
    assert_eq!((found.id.as_str(), found.confidence), ("rack", 39));
    let refusal = found.refusal.unwrap();
    assert_eq!(refusal.code, "ruby.no-manifest");
    assert!(refusal.message.contains("config.ru needs the gem rack"), "{}", refusal.message);
    assert!(refusal.hint.unwrap().contains("did you mean \"Gemfile\""));
    let script = app(&[("app.rb", "require 'sinatra'\n"), ("api/Gemfile", "")]).refusal();
    assert!(script.message.contains("app.rb needs the gem sinatra"), "{}", script.message);
    assert!(script.hint.unwrap().contains("build.app_dir = \"api\""));
    let runs = |files: &[(&str, &str)], settings: &str| {
        app(files).settings(settings).buildable();
    };
    runs(&[("app.rb", "require 'socket'\n")], "{}");
    runs(&rack, r#"{"build":{"install":"gem install rack rackup webrick"}}"#);
    runs(&[("app.rb", "require 'sinatra'\n")], r#"{"run":{"command":"ruby other.rb"}}"#);
}

#[test]
fn rack_that_is_asked_for_is_not_called_by_a_framework() {
    let asked = r#"{"build":{"framework":"rack"}}"#;
    let named = |gem: &str| {
        let gemfile = format!("gem '{gem}'\n");
        app(&[("Gemfile", &gemfile), ("config.ru", "")]).settings(asked).found().name
    };
    assert_eq!((named("rack"), named("sinatra")), ("Rack".to_owned(), "Rack".to_owned()));
    assert_eq!(named("roda"), "Roda");
}

#[test]
fn the_lock_file_knows_what_the_gemfile_computes() {
    let lock = "GEM\n  specs:\n    sinatra (4.0.0)\n";
    let found = app(&[("Gemfile", "gems = 1"), ("Gemfile.lock", lock), ("config.ru", "")]).found();
    assert_eq!(found.id, "sinatra");
    assert!(found.evidence.iter().any(|sign| sign.detail == "sinatra (4.0.0)"));
}

#[test]
fn a_framework_that_no_entry_requires_is_less_sure_and_says_so() {
    let found = app(&[SINATRA, ("app.rb", "puts 1\n")]).found();
    assert_eq!((found.id.as_str(), found.confidence), ("sinatra", 55));
    assert!(found.evidence.iter().any(|sign| sign.detail.contains("does not require it")));
}

#[test]
fn a_package_json_of_rails_builds_assets() {
    let found = app(&[RAILS, APPLICATION, ("package.json", "{}")]).found();
    assert!(
        ["node", "vite", "ruby", "static"]
            .iter()
            .all(|id| found.supersedes.contains(&(*id).to_owned()))
    );
}

#[test]
fn libraries_tools_and_sites_are_near_misses() {
    let miss = |files: &[(&str, &str)]| {
        let report = app(files).detect();
        assert!(report.detections.is_empty(), "{:?}", report.detections);
        report.near_misses.first().map(|miss| miss.reason.clone()).unwrap_or_default()
    };
    let gem = ("x.gemspec", "");
    assert!(miss(&[gem, ("Gemfile", "gemspec"), ("lib/x.rb", "")]).contains("this is a gem"));
    assert!(miss(&[gem, ("Gemfile", "gemspec"), ("config.ru", "")]).contains("this is a gem"));
    assert!(miss(&[gem, ("Rakefile", ""), ("bin/rails", "")]).contains("this is a gem"));
    assert!(miss(&[("Rakefile", "task :x")]).contains("Rakefile"));
    assert!(miss(&[("Gemfile", "gem 'jekyll'"), ("_config.yml", "")]).contains("Jekyll"));
    assert!(miss(&[("Gemfile", "gem 'fastlane'"), ("fastlane/Fastfile", "")]).contains("fastlane"));
    assert!(miss(&[("Gemfile", "gem 'rake'")]).contains("run.command"));
    assert!(miss(&[("Gemfile", "gem 'x'"), ("Procfile", "web: node a.js")]).contains("runs node"));
    assert_eq!(miss(&[("README.md", ""), ("scripts/x.rb", "")]), "");
    assert_eq!(miss(&[("backup.rb", "")]), "");
    assert!(miss(&[("gemfile", "gem 'rack'")]).contains("did you mean \"Gemfile\""));
}

#[test]
fn jekyll_beside_rack_is_an_application() {
    check(&[("Gemfile", "gem 'jekyll'\ngem 'rack'"), ("config.ru", "")], "rack", 80);
    let lock = "GEM\n  specs:\n    rack (3.0)\n";
    check(
        &[("x.gemspec", ""), ("Gemfile.lock", lock), ("Gemfile", ""), ("app.rb", "")],
        "ruby",
        65,
    );
}

#[test]
fn the_version_is_one_that_fits_what_is_asked_for() {
    let version = |files: &[(&str, &str)], settings: &str| {
        let mut all = vec![("config.ru", "")];
        all.extend(files);
        if !files.iter().any(|(file, _)| *file == "Gemfile") {
            all.push(("Gemfile", "gem 'rack'\n"));
        }
        app(&all).settings(settings).found().toolchains[0].requirement.clone()
    };
    assert_eq!(version(&[], "{}"), "");
    assert_eq!(version(&[("Gemfile", "ruby '3.3.1'")], "{}"), "3.3.1");
    assert_eq!(version(&[("Gemfile", "ruby '~> 3.3'")], "{}"), ">=3.3.0 <4.0.0");
    assert_eq!(version(&[(".ruby-version", "ruby-3.2.1\n")], "{}"), "3.2");
    let file = [("Gemfile", "ruby file: '.ruby-version'"), (".ruby-version", "3.2.1")];
    assert_eq!(version(&file, "{}"), "3.2.1");
    assert_eq!(version(&[(".tool-versions", "nodejs 22\nruby 3.4.1")], "{}"), "3.4");
    assert_eq!(version(&[("mise.toml", "[tools]\nruby = '3.3.0'")], "{}"), "3.3");
    assert_eq!(version(&[("mise.toml", "[tools]\nruby = 'latest'")], "{}"), "");
    assert_eq!(version(&[("Gemfile.lock", "RUBY VERSION\n   ruby 3.1.4p223\n")], "{}"), "3.1");
    let setting = r#"{"build":{"toolchain":{"ruby":"3.4"}}}"#;
    assert_eq!(version(&[(".ruby-version", "3.2.1")], setting), "3.4");
}

#[test]
fn an_application_keeps_the_version_that_it_ran_with() {
    let mut app = app(&[("Gemfile", ""), ("config.ru", "")]);
    let before = windlass_sdk::Toolchain::new("ruby", "3.2.4");
    app.harness.context.previous_toolchains.push(before);
    assert_eq!(app.found().toolchains[0].requirement, "3.2");
}

#[test]
fn other_engines_are_refused_by_name() {
    for (file, text) in [
        ("Gemfile", "ruby '3.1.4', engine: 'jruby', engine_version: '9.4.3.0'"),
        (".ruby-version", "jruby-9.4.3.0"),
        ("Gemfile.lock", "RUBY VERSION\n   ruby 3.1.4p0 (truffleruby 23.1)\n"),
    ] {
        let mut files = vec![("config.ru", ""), (file, text)];
        if file != "Gemfile" {
            files.push(("Gemfile", ""));
        }
        let refusal = app(&files).refusal();
        assert_eq!(refusal.code, "ruby.engine-unsupported", "{file}");
        assert!(refusal.message.contains(file) && refusal.message.contains("ruby"));
    }
}

#[test]
fn the_framework_setting_overrides() {
    let files = [SINATRA, ("config.ru", ""), ("app.rb", "")];
    let as_what = |what: &str| {
        let setting = format!(r#"{{"build":{{"framework":"{what}"}}}}"#);
        app(&files).settings(&setting).detect().detections
    };
    let found = |what: &str| as_what(what)[0].clone();
    assert_eq!((found("ruby").id.as_str(), found("ruby").confidence), ("ruby", 100));
    assert_eq!((found("rack").id.as_str(), found("sinatra").confidence), ("rack", 100));
    assert!(as_what("node").is_empty());
    let app = app(&[("Gemfile", "")]).settings(r#"{"build":{"framework":"ruby"}}"#);
    assert_eq!(app.refusal().code, "ruby.no-start");
}
