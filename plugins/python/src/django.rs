//! Django: its settings module, its WSGI or ASGI application, and the server for it.

use windlass_sdk::Detection;

use crate::facts::Facts;
use crate::framework::{Decision, decision, found, in_folder};
use crate::imports;
use crate::serve::{self, Served};

/// The variable that names the settings module.
const KEY: &str = "DJANGO_SETTINGS_MODULE";

/// Django, if there is a manage.py for it.
pub(crate) fn decide(facts: &Facts) -> Option<Decision> {
    let manage = manage(facts)?;
    let folder = manage.strip_suffix("manage.py").unwrap_or_default().trim_end_matches('/');
    let text = facts.text(&manage);
    let named = settings_module(&text).unwrap_or_default();
    let mut settings = if named.is_empty() { guessed(facts, folder)? } else { named.to_owned() };
    // Where the application names other settings than manage.py, those are the ones of production.
    let served_with = ["wsgi", "asgi"].iter().find_map(|kind| {
        let (_, file) = application(facts, folder, &settings, kind)?;
        let module = settings_module(&facts.text(&file)).map(str::to_owned)?;
        Some((module, file))
    });
    let own = format!("{KEY} = {settings}");
    let other = served_with.filter(|(other, _)| *other != settings);
    settings = other.clone().map_or(settings, |(other, _)| other);
    if named.is_empty() && !facts.declares("django") {
        return None;
    }
    let confidence = if named.is_empty() { 80 } else { 95 };
    let mut detection = found(facts, "django", "Django", confidence).evidence(&manage, own);
    if let Some((module, file)) = &other {
        detection = detection.evidence(file, format!("{KEY} = {module}"));
    }
    if let Some((_, file, sign)) = &facts.declared.web {
        detection = detection.evidence(*file, sign.clone());
    }
    if imports::unlisted(facts) {
        let refusal = imports::refusal(facts, &manage, "django");
        return Some(decision(detection.refuse(refusal), None));
    }
    let (detection, served) = served(facts, folder, &settings, detection);
    let Served { line, warning, adds } = served.beside_declared(facts);
    let mut decision = decision(detection, Some(in_folder(folder, line)));
    decision.adds = adds;
    decision.collect_static = collects(facts, folder, &settings)
        .then(|| in_folder(folder, "python manage.py collectstatic --noinput".to_owned()));
    decision.warnings.extend(warning);
    decision.settings = other.map(|(module, _)| module);
    Some(decision)
}

/// `os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")` → `shop.settings`
fn settings_module(text: &str) -> Option<&str> {
    let commented = |at: usize| {
        text[..at].rsplit('\n').next().is_some_and(|line| line.trim_start().starts_with('#'))
    };
    let (at, _) = text.match_indices(KEY).find(|(at, _)| !commented(*at))?;
    let rest = &text[at + KEY.len()..];
    let module = rest.split(['"', '\'']).nth(2)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    (!module.is_empty() && module.chars().all(fits)).then_some(module)
}

/// manage.py, at the root or in the only folder that has one.
pub(crate) fn manage(facts: &Facts) -> Option<String> {
    let root = "manage.py".to_owned();
    if facts.has(&root) {
        return Some(root);
    }
    let mut below = facts.files.iter().filter(|file| {
        file.ends_with("/manage.py")
            && file.matches('/').count() <= 2
            && !file.contains("test")
            && !file.contains("example")
    });
    match (below.next(), below.next()) {
        (Some(only), None) => Some(only.clone()),
        _ => None,
    }
}

/// The settings module where manage.py does not name it: the only folder with settings beside a wsgi.py.
fn guessed(facts: &Facts, folder: &str) -> Option<String> {
    let inside =
        |file: &String| Some(below(file, folder)?.strip_suffix("/settings.py")?.replace('/', "."));
    facts.files.iter().find_map(inside).map(|project| format!("{project}.settings"))
}

fn below<'f>(file: &'f str, folder: &str) -> Option<&'f str> {
    if folder.is_empty() { Some(file) } else { file.strip_prefix(folder)?.strip_prefix('/') }
}

/// The server: the one that is declared, else one that is installed too.
fn served(
    facts: &Facts,
    folder: &str,
    settings: &str,
    detection: Detection,
) -> (Detection, Served) {
    let asgi = application(facts, folder, settings, "asgi");
    let wsgi = application(facts, folder, settings, "wsgi");
    let channels = facts.declares("daphne") || facts.declares("channels") || wsgi.is_none();
    let by_asgi = asgi
        .as_ref()
        .and_then(|(target, file)| Some((serve::asgi_line(facts, target, false)?, file.clone())));
    let by_wsgi = wsgi
        .as_ref()
        .and_then(|(target, file)| Some((serve::wsgi_line(facts, target, false)?, file.clone())));
    let line = if channels { by_asgi.or(by_wsgi) } else { by_wsgi.or(by_asgi) };
    if let Some((line, file)) = line {
        return (with_file(detection, file), Served { line, ..Served::default() });
    }
    match (asgi.filter(|_| channels), wsgi) {
        (Some((target, file)), _) => {
            let served = serve::asgi_added(facts, "Django", &target, false);
            (with_file(detection, file), served)
        }
        (None, Some((target, file))) => {
            let mut served = serve::gunicorn(facts, "Django", &target, false);
            if !facts.declares("whitenoise")
                && let Some(warning) = &mut served.warning
            {
                warning.push_str("; it serves no static files: whitenoise in MIDDLEWARE does");
            }
            (with_file(detection, file), served)
        }
        (None, None) => {
            let line = "python manage.py runserver --noreload \"0.0.0.0:$PORT\"".to_owned();
            let warning = Some(serve::no_server("Django"));
            (detection, Served { line, warning, adds: None })
        }
    }
}

/// The detection with a file among its signs, if that is not there with more to say.
fn with_file(detection: Detection, file: String) -> Detection {
    let known = detection.evidence.iter().any(|sign| sign.path == file);
    if known { detection } else { detection.evidence(file, "") }
}

/// `module:application` of one kind, and its file: what the settings name, else the file of that name
/// beside them.
fn application(
    facts: &Facts,
    folder: &str,
    settings: &str,
    kind: &str,
) -> Option<(String, String)> {
    let path = |module: &str| {
        let file = format!("{}.py", module.replace('.', "/"));
        if folder.is_empty() { file } else { format!("{folder}/{file}") }
    };
    let key = format!("{}_APPLICATION", kind.to_uppercase());
    let named = settings_files(facts, folder, settings).into_iter().find_map(|file| {
        let text = facts.text(file);
        let line = text.lines().find(|line| line.starts_with(&key))?;
        let (module, object) = line.split(['"', '\'']).nth(1)?.rsplit_once('.')?;
        Some((format!("{module}:{object}"), path(module)))
    });
    let project = settings.split('.').next().unwrap_or_default();
    let usual = (format!("{project}.{kind}:application"), path(&format!("{project}.{kind}")));
    let mut options = named.into_iter().chain([usual]);
    options.find(|(_, file)| facts.has(file)).or_else(|| {
        let end = format!("/{kind}.py");
        let mut all = facts.files.iter().filter_map(|file| {
            let module = below(file, folder)?.strip_suffix(&end)?.replace('/', ".");
            Some((format!("{module}.{kind}:application"), file.clone()))
        });
        let first = all.next()?;
        all.next().is_none().then_some(first)
    })
}

fn settings_files<'f>(facts: &'f Facts, folder: &str, settings: &str) -> Vec<&'f str> {
    let prefix = settings.replace('.', "/");
    let package = prefix.rsplit_once('/').map_or("", |(package, _)| package);
    let of_settings = |file: &&String| {
        below(file, folder).is_some_and(|file| {
            let beside = package.ends_with("settings") && file.starts_with(&format!("{package}/"));
            file.starts_with(&prefix) || file.contains("settings/") || beside
        })
    };
    facts.files.iter().filter(of_settings).map(String::as_str).take(20).collect()
}

/// Whether static files are collected: they have a place to go, and nobody switched it off.
fn collects(facts: &Facts, folder: &str, settings: &str) -> bool {
    let off = facts.variables.iter().any(|name| name == "DISABLE_COLLECTSTATIC");
    let sets = |file: &str| {
        facts.text(file).lines().any(|line| line.trim_start().starts_with("STATIC_ROOT"))
    };
    !off && settings_files(facts, folder, settings).into_iter().any(sets)
}

/// Variables that the settings insist on for their secret key, and that the build does not have. Collecting
/// files needs one of any value.
pub(crate) fn secret_keys(facts: &Facts) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for file in facts.files.iter().filter(|file| file.contains("settings")).take(20) {
        for word in facts.text(file).split(['"', '\'']) {
            let name =
                word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit());
            let fits = name && word.ends_with("SECRET_KEY") && !found.iter().any(|one| one == word);
            if fits && !facts.variables.iter().any(|known| known == word) {
                found.push(word.to_owned());
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::settings_module;

    #[test]
    fn the_settings_module_is_seen_in_each_form() {
        for text in [
            "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'a.b')",
            "# DJANGO_SETTINGS_MODULE = 'x'\nos.environ[\"DJANGO_SETTINGS_MODULE\"] = \"a.b\"",
            "setdefault(\n    \"DJANGO_SETTINGS_MODULE\",\n    \"a.b\",\n)",
        ] {
            assert_eq!(settings_module(text), Some("a.b"), "{text}");
        }
        assert_eq!(settings_module("DJANGO_SETTINGS_MODULE"), None);
        assert_eq!(settings_module("setdefault('DJANGO_SETTINGS_MODULE', f'{x}.y')"), None);
    }
}
