//! What the plugin plans.

use crate::support::app;
use windlass_plugin_common::outline::outline;
use windlass_plugin_php::Php;
use windlass_sdk::testing::Harness;

const LARAVEL: (&str, &str) = (
    "composer.json",
    r#"{"require":{"php":"^8.2","laravel/framework":"^11","ext-redis":"*"},"scripts":{"post-install-cmd":"x"}}"#,
);
const INDEX: (&str, &str) = ("public/index.php", "<?php");

#[test]
fn laravel_with_assets() {
    let files = [
        LARAVEL,
        ("composer.lock", r#"{"packages":[{"require":{"php":"<8.4","ext-gd":"*"}}]}"#),
        ("artisan", ""),
        INDEX,
        ("package.json", r#"{"scripts":{"build":"vite build"},"devDependencies":{"vite":"6"}}"#),
        ("package-lock.json", ""),
    ];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn symfony() {
    let composer = r#"{"require":{"php":">=8.2","symfony/framework-bundle":"7.*"}}"#;
    let files = [("composer.json", composer), ("bin/console", ""), INDEX, ("symfony.lock", "{}")];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn assets_of_symfony_are_compiled() {
    let requires = |more: &str| {
        format!(
            r#"{{"require":{{"symfony/framework-bundle":"7.*","symfony/asset-mapper":"7.*"{more}}},"scripts":{{"post-install-cmd":["@auto-scripts"]}}}}"#
        )
    };
    let composer = requires("");
    let files = [("composer.json", &composer as &str), ("bin/console", ""), INDEX];
    let text = outline(&app(&files).plan());
    assert!(!text.contains("importmap:install"), "{text}");
    let compiled = text.split("run php bin/console asset-map:compile").collect::<Vec<_>>();
    assert!(compiled.len() == 2 && compiled[0].contains("post-install-cmd"), "{text}");

    let composer = requires(r#","symfonycasts/tailwind-bundle":"^0.10""#);
    let files = [("composer.json", &composer as &str), ("bin/console", ""), INDEX];
    let fetched = [&files[..], &[("importmap.php", "<?php")]].concat();
    insta::assert_snapshot!(outline(&app(&fetched).plan()));
    let committed = [&fetched[..], &[("assets/vendor/installed.php", "<?php")]].concat();
    let text = outline(&app(&committed).plan());
    assert!(!text.contains("importmap:install") && text.contains("tailwind:build"), "{text}");
    let own = r#"{"build":{"command":"make assets"}}"#;
    let text = outline(&app(&committed).settings(own).plan());
    assert!(text.contains("make assets") && !text.contains("asset-map:compile"), "{text}");
}

#[test]
fn laravel_gets_the_extension_for_redis_where_it_is_used() {
    let text = |require: &str, files: &[(&str, &str)]| {
        let composer = format!(r#"{{"require":{{"laravel/framework":"^12"{require}}}}}"#);
        let own = [("composer.json", composer.as_str()), ("artisan", ""), INDEX];
        outline(&app(&[&own[..], files].concat()).plan())
    };
    let installs = |text: String| text.contains("docker-php-ext-enable redis");
    let env = |line: &'static str| [(".env.example", line)];
    assert!(!installs(text("", &env("CACHE_STORE=database\nREDIS_HOST=127.0.0.1\n"))));
    assert!(installs(text("", &env("APP_NAME=x\nCACHE_STORE=redis\n"))));
    assert!(installs(text(
        "",
        &[("config/queue.php", "'default' => env('QUEUE_CONNECTION', 'redis'),")]
    )));
    assert!(installs(text(r#","laravel/horizon":"^5""#, &[])));
    assert!(!installs(text(r#","predis/predis":"^2""#, &env("CACHE_STORE=redis\n"))));
    let composer = r#"{"require":{"laravel/framework":"^12"}}"#;
    let mut app = app(&[("composer.json", composer), ("artisan", ""), INDEX]);
    app.harness = app.harness.variables(["REDIS_URL"]);
    assert!(installs(outline(&app.plan())));
}

#[test]
fn plain_pages_need_no_composer() {
    let files = [("index.php", ""), ("about.php", "")];
    insta::assert_snapshot!(outline(&app(&files).plan()));
}

#[test]
fn packages_that_were_committed_stay() {
    let composer = r#"{"require":{"slim/slim":"4"}}"#;
    let files = [("composer.json", composer), INDEX, ("vendor/autoload.php", "")];
    let text = outline(&app(&files).plan());
    assert!(!text.contains("composer install") && text.contains("copy ** of source to /app/"));
    assert!(text.contains("FallbackResource /index.php") && text.contains("\"/app/public\""));
}

#[test]
fn the_folder_that_is_served_is_the_one_that_is_named() {
    let root = |files: &[(&str, &str)], settings: &str| {
        let text = outline(&app(files).settings(settings).plan());
        let root = text.split("DocumentRoot \"").nth(1).unwrap();
        root.split('"').next().unwrap().to_owned()
    };
    let composer = ("composer.json", "{}");
    assert_eq!(root(&[composer, ("index.php", ""), INDEX], "{}"), "/app/public");
    assert_eq!(root(&[("www/index.php", "")], "{}"), "/app/www");
    let setting = r#"{"build":{"output":"./backend/web/"}}"#;
    assert_eq!(root(&[composer, ("index.php", "")], setting), "/app/backend/web");
    let heroku = ("Procfile", "web: vendor/bin/heroku-php-apache2 site/\n");
    assert_eq!(root(&[composer, ("index.php", ""), ("site/a.php", ""), heroku], "{}"), "/app/site");
    let drupal = r#"{"require":{"drupal/core":"11"},"extra":{"drupal-scaffold":{"locations":{"web-root":"docroot/"}}}}"#;
    assert_eq!(root(&[("composer.json", drupal)], "{}"), "/app/docroot");
}

#[test]
fn only_a_single_page_answers_every_path() {
    let front = |files: &[(&str, &str)]| outline(&app(files).plan()).contains("FallbackResource");
    assert!(front(&[("index.php", "")]));
    assert!(!front(&[("index.php", ""), ("contact.php", "")]));
    assert!(!front(&[("htdocs/index.php", ""), ("htdocs/b.php", "")]));
}

#[test]
fn what_is_missing_is_said() {
    let laravel = [LARAVEL, ("artisan", ""), INDEX, ("composer.lock", "{}")];
    assert!(app(&laravel).warnings()[0].contains("APP_KEY is not set"));
    let with_key =
        [LARAVEL, ("artisan", ""), INDEX, ("composer.lock", "{}"), (".env", "APP_KEY=x")];
    assert!(app(&with_key).warnings().is_empty());
    let composer = r#"{"require":{"php":"^7.4","ext-oci8":"*"}}"#;
    let warnings = app(&[("composer.json", composer), ("index.php", "")]).warnings();
    assert!(warnings[0].contains("no longer maintained"), "{warnings:?}");
    assert!(warnings[1].contains("no composer.lock"), "{warnings:?}");
    assert!(warnings[2].contains("oci8"), "{warnings:?}");
}

#[test]
fn settings_come_before_the_procfile_and_that_before_apache() {
    let files = [
        LARAVEL,
        ("artisan", ""),
        INDEX,
        (
            "Procfile",
            "web: php artisan octane:start --port=$PORT\nworker: php artisan queue:work\n",
        ),
    ];
    let plan = app(&files).plan();
    assert_eq!(plan.processes[0].argv[2], "exec php artisan octane:start --port=$PORT");
    assert_eq!(plan.processes[1].argv, ["php", "artisan", "queue:work"]);
    let settings = r#"{"run":{"command":"php x.php"},"build":{"command":"make","install":"composer install"}}"#;
    let set = app(&files).settings(settings).plan();
    assert_eq!(set.processes[0].argv, ["php", "x.php"]);
    let text = outline(&set);
    assert!(text.contains("run /bin/sh -c composer install +network"), "{text}");
    assert!(text.contains("run /bin/sh -c make +network") && !text.contains("dump-autoload"));
}

#[test]
fn heroku_s_command_is_the_server_that_the_platform_brings() {
    let files = [("index.php", ""), ("Procfile", "web: heroku-php-apache2\nworker: php w.php\n")];
    let plan = app(&files).plan();
    assert_eq!(plan.processes[0].argv[0], "/usr/sbin/apache2");
    assert_eq!(plan.processes[1].argv, ["php", "w.php"]);
}

#[test]
fn bots_are_workers() {
    let plan = app(&[("composer.json", "{}"), ("bot.php", "")]).plan();
    assert_eq!((plan.processes.len(), plan.processes[0].name.as_str()), (1, "worker"));
    let named = r#"{"run":{"processes":{"worker":{"command":"php bot.php -q"}}}}"#;
    let plan = app(&[("composer.json", "{}"), ("bot.php", "")]).settings(named).plan();
    assert_eq!(
        (plan.processes.len(), plan.processes[0].argv.join(" ").as_str()),
        (1, "php bot.php -q")
    );
    let plan = app(&[("composer.json", "{}"), ("server.php", "")]).plan();
    assert_eq!(plan.processes[0].argv, ["php", "server.php"]);
}

#[test]
fn packages_of_the_source_are_copied_before_they_are_installed() {
    let composer = r#"{"repositories":[{"type":"path","url":"packages/*"}]}"#;
    let files = [("composer.json", composer), ("index.php", ""), ("packages/a/composer.json", "")];
    let text = outline(&app(&files).plan());
    assert!(text.contains("copy composer.json packages/*/** of source to /app/\n"), "{text}");
}

#[test]
fn the_sample_applications_are_recognised_and_planned() {
    let samples = [
        ("php-plain", "php"),
        ("php-public", "php"),
        ("slim", "slim"),
        ("laravel-like", "laravel"),
        ("symfony-like", "symfony"),
    ];
    for (sample, id) in samples {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/samples/");
        let harness = Harness::new(format!("{folder}{sample}"));
        let (found, plan) = harness.detect_and_plan::<Php>().unwrap();
        assert_eq!((found.id.as_str(), found.refusal), (id, None), "{sample}");
        assert_eq!(plan.processes.len(), 1, "{sample}");
    }
}

#[test]
fn jobs_that_no_process_carries_out_are_said() {
    let hint = |requires: &str, more: &[(&str, &str)], variables: &[&str]| {
        let composer = format!(r#"{{"require":{{"laravel/framework":"^12"{requires}}}}}"#);
        let mut files = vec![("composer.json", composer.as_str()), ("artisan", "")];
        files.extend(more);
        let mut app = app(&files);
        app.harness = app.harness.variables(variables.iter().copied());
        app.warnings().into_iter().find(|line| line.contains("into a queue"))
    };
    let job = ("app/Jobs/Mail.php", "");
    let said = hint("", &[job], &[]).unwrap();
    assert!(said.contains("Laravel (app/Jobs/Mail.php)"), "{said}");
    assert!(said.contains("\"php artisan queue:work\""), "{said}");
    assert!(hint(r#","laravel/horizon":"^5""#, &[], &[]).unwrap().contains("artisan horizon"));
    assert_eq!(hint("", &[], &[]), None);
    assert_eq!(hint("", &[job], &["QUEUE_CONNECTION"]), None);
    let worker = ("Procfile", "queue: php artisan queue:work\n");
    assert_eq!(hint("", &[job, worker], &[]), None);
}
