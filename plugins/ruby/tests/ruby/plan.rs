//! What the plugin plans.

use crate::support::app;
use windlass_plugin_common::outline::outline;
use windlass_plugin_ruby::Ruby;
use windlass_sdk::testing::Harness;

const APPLICATION: (&str, &str) =
    ("config/application.rb", "class Application < Rails::Application\n");
const RAILS: &str = "GEM\n  remote: https://rubygems.org/\n  specs:\n    bootsnap (1.18.3)\n    \
                     pg (1.5.6)\n    puma (6.4.2)\n    rails (7.1.3)\n    sprockets-rails (3.4.2)\n    \
                     sprockets (4.2.1)\n    tzinfo (2.0.6)\n\nPLATFORMS\n  x86_64-linux\n";

/// The command line of the first process.
#[track_caller]
fn line(files: &[(&str, &str)]) -> String {
    app(files).web().last().unwrap().clone()
}

#[test]
fn rails_with_assets_and_node() {
    let package = r#"{"scripts":{"build":"esbuild"},"dependencies":{"esbuild":"0.20"}}"#;
    let files = [
        ("Gemfile", "gem 'rails'\ngem 'pg'\ngem 'bootsnap'\ngem 'puma'\ngem 'sprockets-rails'\n"),
        ("Gemfile.lock", RAILS),
        APPLICATION,
        ("app/assets/x.css", ""),
        ("lib/x.rb", ""),
        ("package.json", package),
        ("yarn.lock", ""),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn a_rails_api_compiles_nothing() {
    let lock = RAILS.replace("    bootsnap (1.18.3)\n", "");
    let files = [("Gemfile", "gem 'rails'"), ("Gemfile.lock", &lock), APPLICATION];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn sinatra_without_a_lock_file() {
    let files = [("Gemfile", "gem 'sinatra'\n"), ("app.rb", "require 'sinatra'\n")];
    insta::assert_snapshot!(outline(&app(&files).plan()));
    let lock = |line: &String| line.contains("there is no Gemfile.lock");
    assert!(app(&files).warnings().iter().any(lock));
}

#[test]
fn plain_ruby_has_no_bundle() {
    insta::assert_snapshot!(outline(&app(&[("server.rb", "require 'socket'\n")]).plan()));
}

#[test]
fn the_server_of_the_bundle_is_used() {
    let with = |gem: &str, more: &[(&str, &str)]| {
        let gemfile = format!("gem 'rack'\ngem '{gem}'\n");
        let mut files = vec![("Gemfile", gemfile.as_str()), ("config.ru", "")];
        files.extend(more);
        line(&files)
    };
    let puma = [("config/puma.rb", "")];
    assert_eq!(with("puma", &puma), "exec bundle exec puma -C config/puma.rb -p \"$PORT\"");
    assert_eq!(with("puma", &[]), "exec bundle exec puma -p \"$PORT\"");
    assert_eq!(with("unicorn", &[]), "exec bundle exec unicorn -l \"0.0.0.0:$PORT\"");
    let thin = "exec bundle exec thin start -R config.ru -a 0.0.0.0 -p \"$PORT\"";
    assert_eq!(with("thin", &[]), thin);
    let rackup = "exec bundle exec rackup config.ru -o 0.0.0.0 -p \"$PORT\"";
    assert_eq!(with("webrick", &[]), rackup);
    let falcon = "exec bundle exec falcon serve --bind \"http://0.0.0.0:$PORT\"";
    assert_eq!(with("falcon", &[]), falcon);
}

#[test]
fn what_is_missing_is_said() {
    let warnings = |lock: &str| {
        app(&[("Gemfile", "gem 'rack'"), ("Gemfile.lock", lock), ("config.ru", "")]).warnings()
    };
    let rack = "GEM\n  specs:\n    rack (3.0.8)\n";
    assert!(warnings(rack)[0].contains("no web server"));
    assert!(warnings(&format!("{rack}    webrick (1.8.1)\n"))[0].contains("no rackup command"));
    assert!(warnings(&format!("{rack}    puma (6.0)\n")).is_empty());
    let mac = format!("{rack}    puma (6.0)\n\nPLATFORMS\n  arm64-darwin-22\n");
    assert!(warnings(&mac)[0].contains("arm64-darwin-22 alone"));
    let old = app(&[("Gemfile", "ruby '2.7.8'\n"), ("config.ru", "")]);
    assert!(old.warnings()[0].contains("no longer maintained"));
    let rails = app(&[("Gemfile", "gem 'rails'"), ("Gemfile.lock", RAILS), APPLICATION]);
    assert!(rails.warnings()[0].contains("RAILS_MASTER_KEY"));
}

#[test]
fn a_bundle_without_a_server_is_warned_of_without_a_lock_file_too() {
    let warned = |files: &[(&str, &str)]| {
        app(files).warnings().into_iter().find(|line| line.contains("has no web server"))
    };
    let rails = |gemfile| warned(&[("Gemfile", gemfile), APPLICATION]);
    let add = "Gemfile has no web server: add puma to the Gemfile";
    assert_eq!(rails("gem 'rails'\n").as_deref(), Some(add));
    assert_eq!(rails("gem 'rails'\ngem 'puma'\n"), None);
    assert_eq!(rails("gem 'rails'\neval_gemfile 'more'\n"), None, "the other file may name one");
    let sinatra = |gemfile, procfile| {
        warned(&[("Gemfile", gemfile), ("app.rb", "require 'sinatra'\n"), ("Procfile", procfile)])
    };
    let both = "Gemfile has no web server: add puma and rackup to the Gemfile";
    assert_eq!(sinatra("gem 'sinatra'\n", "").as_deref(), Some(both));
    assert_eq!(sinatra("gem 'sinatra'\n", "web: ruby app.rb\n").as_deref(), Some(both));
    assert_eq!(sinatra("gem 'sinatra'\n", "web: bundle exec puma\n").as_deref(), Some(both));
    assert_eq!(sinatra("gem 'sinatra'\n", "web: ./serve\n"), None);
    assert!(warned(&[("Gemfile", "gem 'rack'\n"), ("config.ru", "")]).is_some());
}

#[test]
fn a_lock_file_of_another_platform_gets_linux() {
    let lock = "GEM\n  specs:\n    puma (6.0)\n\nPLATFORMS\n  arm64-darwin-22\n";
    let files = [("Gemfile", "gem 'puma'"), ("Gemfile.lock", lock), ("config.ru", "")];
    let text = outline(&app(&files).plan());
    assert!(text.contains("bundle lock --add-platform x86_64-linux && bundle install"));
    assert!(text.contains("copy app/Gemfile.lock of dependencies to / as 1000:1000"));
    assert!(!text.contains("BUNDLE_FROZEN"));
}

#[test]
fn an_empty_folder_of_gems_is_not_frozen_and_compiles_nothing() {
    let text = outline(&app(&[("Gemfile", ""), ("Gemfile.lock", ""), ("app.rb", "")]).plan());
    assert!(!text.contains("build-essential") && !text.contains("BUNDLE_FROZEN"));
}

#[test]
fn gems_of_the_source_are_copied_before_they_are_installed() {
    let text = |gemfile: &str, more: &[(&str, &str)]| {
        let mut files = vec![("Gemfile", gemfile), ("app.rb", "")];
        files.extend(more);
        outline(&app(&files).plan())
    };
    let local = text("gem 'a', path: 'gems/a'", &[("gems/a/a.gemspec", "")]);
    assert!(local.contains("copy Gemfile gems/a/** of source to /app/\n"), "{local}");
    assert!(local.contains("bundle\", \"exec\", \"ruby\", \"app.rb\""));
    let vendored = text("gem 'a'", &[("vendor/cache/a.gem", "")]);
    assert!(vendored.contains("copy Gemfile vendor/cache/** of source to /app/\n"));
    assert!(text("eval_gemfile 'x'", &[]).contains("copy ** of source to /app/\n"));
}

#[test]
fn native_gems_bring_their_packages() {
    let lock = "GEM\n  specs:\n    image_processing (1)\n    mysql2 (1)\n";
    let files = [("Gemfile", "gem 'mysql2'"), ("Gemfile.lock", lock), ("app.rb", "")];
    let text = outline(&app(&files).plan());
    assert!(text.contains("--no-install-recommends libmariadb3 libvips42 &&"), "{text}");
    assert!(text.contains("build-essential git libmariadb-dev libyaml-dev pkg-config $("));
}

#[test]
fn settings_come_before_the_procfile_and_that_before_the_framework() {
    let files = [
        ("Gemfile", "gem 'rails'"),
        APPLICATION,
        ("Procfile", "web: bin/rails server -p $PORT\nworker: bundle exec sidekiq\n"),
    ];
    let plan = app(&files).plan();
    assert_eq!(plan.processes[0].argv[2], "exec bin/rails server -p $PORT");
    assert_eq!(plan.processes[1].argv, ["bundle", "exec", "sidekiq"]);
    let settings =
        r#"{"run":{"command":"puma","port":8080},"build":{"command":"make","install":"bundle"}}"#;
    let set = app(&files).settings(settings).plan();
    assert_eq!(
        (set.processes[0].argv[0].as_str(), &set.processes[0].ports[..]),
        ("puma", &[8080][..])
    );
    let text = outline(&set);
    assert!(text.contains("mkdir -p /usr/local/bundle && bundle +network"), "{text}");
    assert!(text.contains("run /bin/sh -c make +network"));
}

#[test]
fn bots_are_workers() {
    let plan = app(&[("Gemfile", "gem 'discordrb'"), ("bot.rb", "")]).plan();
    assert_eq!((plan.processes.len(), plan.processes[0].name.as_str()), (1, "worker"));
    let named = r#"{"run":{"processes":{"worker":{"command":"ruby bot.rb -q"}}}}"#;
    let plan = app(&[("Gemfile", "gem 'discordrb'"), ("bot.rb", "")]).settings(named).plan();
    assert_eq!(
        (plan.processes.len(), plan.processes[0].argv.join(" ").as_str()),
        (1, "ruby bot.rb -q")
    );
}

#[test]
fn a_generator_leaves_a_static_tree() {
    let files = [
        ("Gemfile", "gem 'middleman'\n"),
        ("config.rb", ""),
        ("source/404.html.erb", ""),
        ("package.json", r#"{"devDependencies":{"sass":"1"}}"#),
    ];
    let plan = app(&files).plan();
    assert!(plan.processes.is_empty());
    let text = outline(&plan);
    assert!(text.contains("run /bin/sh -c bundle exec middleman build +network"), "{text}");
    assert!(text.contains("files of build in /app/build spa=None not-found=Some(\"404.html\")"));
    assert!(text.contains("run npm install +network"), "{text}");
    let elsewhere = app(&files).settings(r#"{"build":{"output":"./public/"}}"#).plan();
    assert!(outline(&elsewhere).contains("in /app/public spa"));
}

#[test]
fn the_sample_applications_are_recognised_and_planned() {
    let samples = [
        ("ruby-socket", "ruby"),
        ("ruby-socket-gem", "ruby"),
        ("rack", "rack"),
        ("sinatra", "sinatra"),
        ("rails", "rails"),
    ];
    for (sample, id) in samples {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/samples/");
        let harness = Harness::new(format!("{folder}{sample}"));
        let (found, plan) = harness.detect_and_plan::<Ruby>().unwrap();
        assert_eq!((found.id.as_str(), found.refusal), (id, None), "{sample}");
        assert_eq!(plan.processes.len(), 1, "{sample}");
    }
}

#[test]
fn jobs_that_no_process_carries_out_are_said() {
    let hint = |files: &[(&str, &str)], variables: &[&str]| {
        let mut app = app(files);
        app.harness = app.harness.variables(variables.iter().copied());
        app.warnings().into_iter().find(|line| line.contains("into a queue"))
    };
    let sidekiq = ("Gemfile", "gem 'rails'\ngem 'sidekiq'\n");
    let said = hint(&[sidekiq, APPLICATION], &[]).unwrap();
    assert!(
        said.starts_with("Sidekiq puts jobs") && said.contains("\"bundle exec sidekiq\""),
        "{said}"
    );
    let worker = ("Procfile", "web: bundle exec puma\nworker: bundle exec sidekiq\n");
    assert_eq!(hint(&[sidekiq, APPLICATION, worker], &[]), None);
    let solid = ("Gemfile", "gem 'rails'\ngem 'solid_queue'\n");
    let (job, own) = ("app/jobs/application_job.rb", ("app/jobs/mail_job.rb", ""));
    assert_eq!(hint(&[solid, APPLICATION, (job, "")], &[]), None);
    let puma = ("config/puma.rb", "plugin :solid_queue if ENV[\"SOLID_QUEUE_IN_PUMA\"]\n");
    let said = hint(&[solid, APPLICATION, own, puma], &[]).unwrap();
    assert!(said.contains("\"bin/jobs\"") && said.contains("SOLID_QUEUE_IN_PUMA to 1"), "{said}");
    assert_eq!(hint(&[solid, APPLICATION, own, puma], &["SOLID_QUEUE_IN_PUMA"]), None);
    let good = ("Gemfile", "gem 'rails'\ngem 'good_job'\n");
    let mode = (
        "config/application.rb",
        "class A < Rails::Application\n  config.good_job.execution_mode = :async\n",
    );
    assert!(hint(&[good, APPLICATION], &[]).is_some());
    assert_eq!(hint(&[good, mode], &[]), None);
}
