//! What the plugin takes an application for.

use crate::support::app;

const LARAVEL: (&str, &str) =
    ("composer.json", r#"{"type":"project","require":{"php":"^8.2","laravel/framework":"^11"}}"#);
const INDEX: (&str, &str) = ("public/index.php", "<?php");

#[track_caller]
fn check(files: &[(&str, &str)], id: &str, confidence: u8) {
    let found = app(files).buildable();
    assert_eq!((found.id.as_str(), found.confidence), (id, confidence), "{files:?}");
    assert_eq!(found.ecosystem, "php");
}

fn requires(package: &str) -> String {
    format!(r#"{{"require":{{"{package}":"*"}}}}"#)
}

#[test]
fn frameworks_are_told_by_their_package_and_their_files() {
    check(&[LARAVEL, ("artisan", ""), INDEX], "laravel", 95);
    check(&[("artisan", ""), INDEX], "laravel", 85);
    let with = |package: &str, file: &str, id: &str| {
        let composer = requires(package);
        check(&[("composer.json", &composer), (file, "")], id, 95);
    };
    with("symfony/framework-bundle", "public/index.php", "symfony");
    with("symfony/symfony", "web/app.php", "symfony");
    with("slim/slim", "public/index.php", "slim");
    with("slim/slim", "index.php", "slim");
    with("codeigniter4/framework", "spark", "codeigniter");
    with("cakephp/cakephp", "webroot/index.php", "cakephp");
    with("yiisoft/yii2", "web/index.php", "yii");
    with("drupal/core-recommended", "composer.lock", "drupal");
    with("roots/wordpress", "web/index.php", "wordpress");
    check(&[("index.php", ""), ("wp-load.php", ""), ("wp-settings.php", "")], "wordpress", 85);
    check(&[("index.php", ""), ("system/core/CodeIgniter.php", "")], "codeigniter", 85);
}

#[test]
fn a_framework_that_no_page_uses_is_less_sure_and_says_so() {
    let slim = requires("slim/slim");
    let files =
        |index: &'static str| [("composer.json", slim.clone()), ("index.php", index.to_owned())];
    let found = |index| {
        let files = files(index);
        let files: Vec<_> = files.iter().map(|(file, text)| (*file, text.as_str())).collect();
        app(&files).found()
    };
    assert_eq!(found("<?php $app = Slim\\Factory\\AppFactory::create();").confidence, 95);
    let unused = found("<?php echo 1;");
    assert_eq!((unused.id.as_str(), unused.confidence), ("slim", 60));
    assert!(unused.evidence.iter().any(|sign| sign.detail.contains("not used here")));
}

#[test]
fn pages_are_plain_php() {
    check(&[("index.php", "")], "php", 38);
    check(&[INDEX], "php", 38);
    check(&[("htdocs/index.php", "")], "php", 38);
    check(&[("composer.json", "{}"), ("index.php", "")], "php", 75);
    check(&[("composer.json", "{}"), ("Procfile", "web: php server.php")], "php", 80);
    check(&[("composer.json", "{}"), ("bot.php", "")], "php", 60);
    check(&[("index.php", ""), ("Procfile", "web: vendor/bin/heroku-php-apache2")], "php", 38);
    let setting = r#"{"build":{"output":"site/web"}}"#;
    let found = app(&[("composer.json", "{}"), ("x.php", "")]).settings(setting).found();
    assert_eq!(found.confidence, 75);
}

#[test]
fn a_folder_that_is_published_is_no_php_without_php_in_it() {
    let netlify = ("netlify.toml", "[build]\npublish = \"dist\"\n");
    let vercel = ("vercel.json", r#"{"outputDirectory":"dist"}"#);
    let firebase = ("firebase.json", r#"{"hosting":{"public":"dist"}}"#);
    let root = ("static.json", r#"{"root":"dist"}"#);
    for file in [netlify, vercel, firebase, root] {
        assert_eq!(app(&[file]).nothing(), "", "{file:?}");
        let others = [file, ("index.html", ""), ("dist/index.html", ""), ("tools/x.php", "")];
        assert_eq!(app(&others).nothing(), "", "{file:?}");
    }
    let own = r#"{"build":{"output":"site"}}"#;
    assert_eq!(app(&[("site/index.html", "")]).settings(own).nothing(), "");
    let asked = r#"{"build":{"output":"site","framework":"php"}}"#;
    assert_eq!(app(&[("site/index.html", "")]).settings(asked).found().confidence, 100);
    let names = |app: crate::support::App, file: &str| {
        let found = app.found();
        assert!(found.evidence.iter().any(|sign| sign.path == file), "{found:?}");
    };
    names(app(&[netlify, ("dist/page.php", "")]), "netlify.toml");
    names(app(&[("site/page.php", "")]).settings(own), "windlass.toml");
}

#[test]
fn a_package_json_of_a_framework_builds_assets() {
    let found = app(&[LARAVEL, ("artisan", ""), ("package.json", "{}")]).found();
    let supersedes = |id: &str| found.supersedes.contains(&id.to_owned());
    assert!(["node", "vite", "php", "static"].into_iter().all(supersedes));
}

#[test]
fn libraries_themes_and_other_folders_are_none() {
    let miss = |files: &[(&str, &str)]| {
        let report = app(files).detect();
        assert!(report.detections.is_empty(), "{:?}", report.detections);
        report.near_misses.first().map(|miss| miss.reason.clone()).unwrap_or_default()
    };
    let library = r#"{"type":"library","require":{"php":">=8.1"}}"#;
    assert!(miss(&[("composer.json", library), ("src/X.php", "")]).contains("\"library\""));
    assert!(miss(&[("composer.json", library), ("index.php", "")]).contains("\"library\""));
    assert!(miss(&[("composer.json", "{}"), ("src/X.php", "")]).contains("build.output"));
    let theme = ("style.css", "/*\nTheme Name: Mine\n*/");
    assert!(miss(&[theme, ("index.php", ""), ("functions.php", "")]).contains("theme"));
    assert!(
        miss(&[("index.php", "<?php // Silence is golden."), ("x.php", "")]).contains("plugin")
    );
    assert!(miss(&[("composer.json", "{}"), ("Procfile", "web: node x.js")]).contains("runs node"));
    assert_eq!(miss(&[("README.md", ""), ("tools/x.php", "")]), "");
    assert!(miss(&[("compser.json", "{}")]).contains("did you mean \"composer.json\""));
}

#[test]
fn the_version_is_one_that_fits_what_is_asked_for() {
    let version = |files: &[(&str, &str)], settings: &str| {
        let mut all = vec![("index.php", "")];
        all.extend(files);
        app(&all).settings(settings).found().toolchains[0].requirement.clone()
    };
    let composer = ("composer.json", r#"{"require":{"php":"^8.2"}}"#);
    assert_eq!(version(&[], "{}"), "");
    assert_eq!(version(&[composer], "{}"), ">=8.2.0 <9.0.0");
    assert_eq!(version(&[composer, (".php-version", "8.3")], "{}"), "8.3");
    assert_eq!(version(&[composer, (".tool-versions", "php 8.4.1")], "{}"), "8.4");
    assert_eq!(version(&[("mise.toml", "[tools]\nphp = '8.1'")], "{}"), "8.1");
    let platform = r#"{"config":{"platform":{"php":"8.1.9"}},"require":{"php":"^8.0"}}"#;
    assert_eq!(version(&[("composer.json", platform)], "{}"), "8.1");
    let setting = r#"{"build":{"toolchain":{"php":"8.4"}}}"#;
    assert_eq!(version(&[(".php-version", "8.3")], setting), "8.4");
}

#[test]
fn an_application_keeps_the_version_that_it_ran_with() {
    let mut app = app(&[("index.php", "")]);
    app.harness.context.previous_toolchains.push(windlass_sdk::Toolchain::new("php", "8.3.11"));
    assert_eq!(app.found().toolchains[0].requirement, "8.3");
}

#[test]
fn a_broken_composer_json_is_refused_with_its_place() {
    let refusal = app(&[("composer.json", "{\n\"a\": ,\n}"), ("index.php", "")]).refusal();
    assert_eq!(refusal.code, "php.composer-json-invalid");
    assert!(refusal.message.contains("line 2"), "{}", refusal.message);
}

#[test]
fn the_framework_setting_overrides() {
    let files = [LARAVEL, ("artisan", ""), INDEX];
    let as_what = |what: &str| {
        let setting = format!(r#"{{"build":{{"framework":"{what}"}}}}"#);
        app(&files).settings(&setting).detect().detections
    };
    let found = |what: &str| (as_what(what)[0].id.clone(), as_what(what)[0].confidence);
    assert_eq!(found("php"), ("php".to_owned(), 100));
    assert_eq!(found("laravel"), ("laravel".to_owned(), 100));
    assert!(as_what("node").is_empty());
    let app = app(&[("composer.json", "{}")]).settings(r#"{"build":{"framework":"php"}}"#);
    assert_eq!(app.refusal().code, "php.no-start");
}
