//! What kind of PHP application it is, and which folder is served.
//!
//! **Invariant: something answers requests, or it is no detection.** A library, a theme and a plugin of a
//! larger application are near misses.

use windlass_plugin_common::assets::Files;
use windlass_sdk::{Detection, NearMiss};

use crate::facts::{self, Facts};

/// What was decided.
#[derive(Debug, Clone)]
pub(crate) struct Decision {
    pub(crate) detection: Detection,
    pub(crate) start: Start,
}

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// Apache, on this folder of the application.
    Server(Served),
    /// A script, and whether it answers requests; none where the command was declared.
    Script(Option<String>, bool),
}

/// What Apache serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    /// The folder; `""` is the application's own.
    pub(crate) root: String,
    /// The script that unknown paths go to.
    pub(crate) front: Option<&'static str>,
}

/// A framework: what names it, and what it is started from.
struct Framework {
    id: &'static str,
    name: &'static str,
    packages: &'static [&'static str],
    /// Files of its own; one of them must be there, besides the package.
    files: &'static [&'static str],
    /// Whether its files say enough without the package.
    alone: bool,
    /// Folders that it serves, the usual first.
    roots: &'static [&'static str],
}

const FRAMEWORKS: [Framework; 10] = [
    Framework {
        id: "laravel",
        name: "Laravel",
        packages: &["laravel/framework", "laravel/lumen-framework"],
        files: &["artisan"],
        alone: true,
        roots: &["public"],
    },
    Framework {
        id: "symfony",
        name: "Symfony",
        packages: &["symfony/framework-bundle", "symfony/symfony", "symfony/runtime"],
        files: &["bin/console", "public/index.php", "web/app.php"],
        alone: false,
        roots: &["public", "web"],
    },
    Framework {
        id: "codeigniter",
        name: "CodeIgniter",
        packages: &["codeigniter4/framework", "codeigniter/framework"],
        files: &["spark", "system/core", "application/config", "app/Config"],
        alone: false,
        roots: &["public", ""],
    },
    Framework {
        id: "cakephp",
        name: "CakePHP",
        packages: &["cakephp/cakephp"],
        files: &["webroot/index.php", "bin/cake", "bin/cake.php"],
        alone: false,
        roots: &["webroot"],
    },
    Framework {
        id: "yii",
        name: "Yii",
        packages: &["yiisoft/yii2", "yiisoft/yii-runner-http"],
        files: &["yii", "web/index.php", "public/index.php"],
        alone: false,
        roots: &["web", "public"],
    },
    Framework {
        id: "drupal",
        name: "Drupal",
        packages: &["drupal/core-recommended", "drupal/core"],
        files: &["core/lib", "web", "docroot", "composer.lock", "composer.json"],
        alone: false,
        roots: &["web", "docroot", ""],
    },
    Framework {
        id: "wordpress",
        name: "WordPress",
        packages: &["roots/wordpress", "johnpbloch/wordpress"],
        files: &["web/wp-config.php", "web/index.php", "wp-config.php", "index.php"],
        alone: false,
        roots: &["web", "public", ""],
    },
    Framework {
        id: "wordpress",
        name: "WordPress",
        packages: &[],
        files: &["wp-load.php", "wp-settings.php", "wp-config-sample.php", "wp-includes"],
        alone: true,
        roots: &[""],
    },
    Framework {
        id: "slim",
        name: "Slim",
        packages: &["slim/slim"],
        files: &["public/index.php", "web/index.php", "index.php", "html/index.php"],
        alone: false,
        roots: &["public", "web", "", "html"],
    },
    Framework {
        id: "codeigniter",
        name: "CodeIgniter",
        packages: &[],
        files: &["spark", "system/core"],
        alone: true,
        roots: &["public", ""],
    },
];
/// Folders that are served, strongest first.
const ROOTS: [&str; 13] = [
    "public",
    "web",
    "webroot",
    "",
    "htdocs",
    "html",
    "www",
    "public_html",
    "docroot",
    "pub",
    "httpdocs",
    "site",
    "src",
];
/// Scripts that listen by themselves, and those that answer no requests.
const SERVERS: [&str; 3] = ["server.php", "main.php", "app.php"];
const WORKERS: [&str; 3] = ["bot.php", "worker.php", "run.php"];

/// Decides; `forced` is the setting `build.framework`.
///
/// # Errors
/// A near miss, if there is anything of PHP.
pub(crate) fn decide(facts: &Facts, forced: Option<&str>) -> Result<Decision, Option<NearMiss>> {
    let miss = |reason| Some(NearMiss { id: "php".to_owned(), reason });
    if let Some(reason) = stands_back(facts).filter(|_| forced.is_none()) {
        return Err(miss(reason));
    }
    if forced != Some("php") {
        let mine = FRAMEWORKS.iter().filter(|known| forced.is_none_or(|id| id == known.id));
        if let Some(decision) = mine.into_iter().find_map(|known| framework(facts, known, forced)) {
            return Ok(decision);
        }
    }
    plain(facts, forced == Some("php")).map_err(|reason| reason.and_then(miss))
}

fn found(id: &str, name: &str, confidence: u8) -> Detection {
    let detection = Detection::new(id, name, "php").confidence(confidence).supersedes("static");
    if id == "php" { detection } else { detection.supersedes("php") }
}

fn framework(facts: &Facts, known: &Framework, forced: Option<&str>) -> Option<Decision> {
    let package = known.packages.iter().find(|package| facts.requires(package).is_some());
    let file = facts.first(known.files);
    let asked = forced == Some(known.id);
    let wordpress = known.id == "wordpress" && known.alone;
    let enough = match (package, file) {
        (Some(_), Some(_)) => true,
        // One file of WordPress alone may be a test's.
        (None, Some(_)) if wordpress => {
            known.files.iter().filter(|file| facts.has(file)).count() > 1
        }
        (None, Some(_)) if known.alone => {
            facts.has("public/index.php") || known.roots.contains(&"") && facts.has("index.php")
        }
        _ => false,
    };
    if !asked && (!enough || foreign(facts).is_some()) {
        return None;
    }
    let name = match package {
        Some(&"laravel/lumen-framework") => "Lumen",
        _ => known.name,
    };
    let root = root_of(facts, known.roots).unwrap_or_else(|| known.roots[0].to_owned());
    let unused = known.id == "slim" && is_unused(facts, &root);
    let confidence = match package.is_some() && file.is_some() {
        true if unused => 60,
        true => 95,
        false => 85,
    };
    let mut detection = found(known.id, name, confidence);
    if let Some(package) = package {
        detection = detection.evidence("composer.json", format!("require.{package}"));
    }
    let detail =
        if unused { format!("{name} is required, but not used here") } else { String::new() };
    detection = detection.evidence(file.unwrap_or("windlass.toml"), detail);
    if confidence == 95 {
        // Their package.json builds assets.
        detection = detection.supersedes("node").supersedes("vite");
    }
    let old = facts.has(&below(&root, "app.php")) && !facts.has(&below(&root, "index.php"));
    let front = Some(if old { "app.php" } else { "index.php" });
    Some(with_server(facts, detection, root, front))
}

/// Whether the page is there to be read, and does nothing with Slim.
fn is_unused(facts: &Facts, root: &str) -> bool {
    let text = facts.text(&below(root, "index.php")).unwrap_or_default().to_ascii_lowercase();
    !text.trim().is_empty() && !text.contains("slim") && !text.contains("->run(")
}

/// The folder that is served: the setting, Heroku's command, `extra` of composer.json, or the first of
/// these that has an index.php.
fn root_of(facts: &Facts, roots: &[&str]) -> Option<String> {
    if let Some(output) = &facts.settings.build.output {
        return Some(normal(output));
    }
    let procfile = facts.text("Procfile").unwrap_or_default();
    let web = procfile.lines().find_map(|line| line.trim().strip_prefix("web:"));
    if let Some(root) = web.and_then(facts::heroku).filter(|root| !root.is_empty()) {
        return Some(normal(&root));
    }
    let public = facts.composer.as_ref().and_then(|composer| composer.public.as_deref());
    if let Some(public) = public {
        return Some(normal(public));
    }
    let index =
        |root: &&&str| ["index.php", "app.php"].iter().any(|name| facts.has(&below(root, name)));
    roots.iter().find(index).map(|root| (*root).to_owned())
}

/// `public/` + `index.php` → `public/index.php`
pub(crate) fn below(folder: &str, file: &str) -> String {
    if folder.is_empty() { file.to_owned() } else { format!("{folder}/{file}") }
}

fn normal(path: &str) -> String {
    let parts = path.trim().split('/').filter(|part| !matches!(*part, "" | "." | ".."));
    parts.collect::<Vec<_>>().join("/")
}

fn with_server(
    facts: &Facts,
    mut detection: Detection,
    root: String,
    front: Option<&'static str>,
) -> Decision {
    if let Some((_, file, sign)) = &facts.declared.web {
        detection = detection.evidence(*file, sign.clone());
    } else if let Some(file) = facts.output_file {
        detection = detection.evidence(file, format!("the folder {root:?}"));
    } else {
        let index = below(&root, "index.php");
        if facts.has(&index) {
            detection = detection.evidence(index, "");
        }
    }
    Decision { detection, start: Start::Server(Served { root, front }) }
}

/// The program of another language that the declared command runs.
fn foreign<'f>(facts: &'f Facts) -> Option<&'f str> {
    const PROGRAMS: [&str; 12] = [
        "node", "npm", "yarn", "pnpm", "npx", "bun", "python", "python3", "gunicorn", "uvicorn",
        "bundle", "java",
    ];
    let (line, file, _) = facts.declared.web.as_ref()?;
    let mut words = line.split_whitespace().filter(|word| !word.contains('='));
    let first = words.find(|word| !matches!(*word, "env" | "exec"))?;
    (*file == "Procfile" && PROGRAMS.contains(&first)).then_some(first)
}

/// Why it is no application although it has files of one.
fn stands_back(facts: &Facts) -> Option<String> {
    if let Some(program) = foreign(facts).filter(|_| facts.composer.is_some()) {
        return Some(format!(
            "the Procfile runs {program}: this is no PHP application; to run it as one, set \
             run.command in windlass.toml"
        ));
    }
    let kind = facts.composer.as_ref().and_then(|composer| composer.kind.as_deref());
    let served = ["public/index.php", "web/index.php", "artisan", "bin/console"];
    let declared = facts.declared.web.is_some() || facts.declared.only_workers;
    if let Some(kind) = kind.filter(|kind| *kind != "project")
        && facts.first(&served).is_none()
        && !declared
    {
        return Some(format!(
            "composer.json has the type {kind:?}: it is made to be installed by an application; if \
             it is one, set \"type\": \"project\", or build.framework = \"php\" in windlass.toml"
        ));
    }
    let theme = facts.text("style.css").is_some_and(|text| text.contains("Theme Name:"));
    let silent = facts.text("index.php").is_some_and(|text| text.contains("Silence is golden"));
    (theme || silent).then(|| {
        "this is a theme or a plugin of WordPress, which needs a WordPress around it".to_owned()
    })
}

/// Pages, a script, or what was declared.
fn plain(facts: &Facts, asked: bool) -> Result<Decision, Option<String>> {
    let manifest = facts.composer.is_some();
    let sign = |detection: Detection| match manifest {
        true => detection.evidence("composer.json", ""),
        false => detection,
    };
    let root = root_of(facts, &ROOTS).filter(|root| {
        let named = facts.settings.build.output.is_some();
        facts.scripts(root).next().is_some() || named && (asked || facts.has_php(root))
    });
    let declared = facts.declared.web.is_some();
    if let Some(root) = root.filter(|root| root != "src" || manifest) {
        let confidence = match (manifest, declared) {
            (true, _) => 75,
            (false, true) => 60,
            (false, false) => 38,
        };
        let front = is_front_controller(facts, &root).then_some("index.php");
        return Ok(with_server(facts, sign(found("php", "PHP", confidence)), root, front));
    }
    let php = |line: &str| line.split_whitespace().any(|word| word == "php");
    let runs = facts.declared.web.as_ref().is_some_and(|(line, ..)| php(line));
    let workers = facts.declared.workers.iter().any(|(_, line)| php(line));
    if manifest && (declared || workers) || runs {
        let mut detection = sign(found("php", "PHP", if manifest { 80 } else { 60 }));
        if let Some((_, file, line)) = &facts.declared.web {
            detection = detection.evidence(*file, line.clone());
        }
        return Ok(Decision { detection, start: Start::Script(None, true) });
    }
    let script = facts.first(&SERVERS).map(|file| (file, true));
    let script = script.or_else(|| facts.first(&WORKERS).map(|file| (file, false)));
    match script.filter(|_| manifest) {
        Some((file, web)) => {
            let detection = sign(found("php", "PHP", 60)).evidence(file, "");
            let line = Some(format!("php {file}"));
            Ok(Decision { detection, start: Start::Script(line, web) })
        }
        None if manifest || script.is_some() => Err(Some(
            "there is no index.php in the application's folder, public, web or htdocs: if this is \
             no library, name the folder that is served with build.output in windlass.toml, or set \
             run.command"
                .to_owned(),
        )),
        None => Err(None),
    }
}

/// Whether the index.php is the only page, and so answers every path.
fn is_front_controller(facts: &Facts, root: &str) -> bool {
    let mut pages = facts.scripts(root);
    pages.next() == Some("index.php") && pages.next().is_none()
}
