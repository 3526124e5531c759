//! What people wrote for other platforms: `railway.json`, `netlify.toml`, `fly.toml` and their like, in the
//! application's folder. What means the same here is taken, the rest is listed.
//!
//! **Invariant: these files never fail a deployment and never win.** A file that does not read is a line in
//! the log; [`crate::settings`] puts windlass.toml and the Procfile before all of them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use windlass_sdk::Source;

use crate::yaml;

mod advice;
mod clean;
mod clouds;
mod heroku;
pub(crate) mod offered;
mod railway;
mod sites;

/// The files, strongest first: where two say the same thing differently, the first is heard.
pub const FILES: [&str; 17] = [
    "railway.toml",
    "railway.json",
    "railpack.json",
    "nixpacks.toml",
    "render.yaml",
    "fly.toml",
    "heroku.yml",
    "app.json",
    "netlify.toml",
    "vercel.json",
    "static.json",
    "firebase.json",
    "public/_redirects",
    "static/_redirects",
    "_redirects",
    "now.json",
    "Aptfile",
];

/// What a value is for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// Command line that installs dependencies.
    Install,
    /// Command line that builds.
    Build,
    /// Folder of the static tree.
    Output,
    /// Command line of the web process.
    Start,
    /// Command line of another process.
    Process(String),
    /// Command line that runs before the new version takes over.
    Release,
    /// Port of the web process.
    Port,
    /// Path that is probed.
    Health,
    /// Version of a toolchain.
    Version(String),
    /// Unknown paths get the page of the root.
    SinglePage,
    /// File that says how the image is built.
    Dockerfile,
}

/// A value that means the same here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// What it is for.
    pub field: Field,
    /// The value.
    pub value: String,
    /// Where it stands in its file.
    pub key: String,
}

/// What one file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: &'static str,
    /// What is taken.
    pub taken: Vec<Taken>,
    /// Keys that mean nothing here, with what to do instead where there is something.
    pub ignored: Vec<String>,
}

/// What all files say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Others {
    /// The files that say anything, strongest first.
    pub files: Vec<File>,
}

impl Others {
    /// The value of a field, and the file that it comes from.
    pub fn get(&self, field: &Field) -> Option<(&Taken, &'static str)> {
        self.all().find(|(taken, _)| taken.field == *field)
    }

    /// The value of a field.
    pub fn value(&self, field: &Field) -> Option<&str> {
        self.get(field).map(|(taken, _)| taken.value.as_str())
    }

    /// Every value, strongest first.
    pub fn all(&self) -> impl Iterator<Item = (&Taken, &'static str)> {
        self.files.iter().flat_map(|file| file.taken.iter().map(|taken| (taken, file.name)))
    }

    /// The processes beside the web process.
    pub fn processes(&self) -> BTreeMap<&str, &str> {
        let mut found = BTreeMap::new();
        for (taken, _) in self.all() {
            if let Field::Process(name) = &taken.field {
                found.entry(name.as_str()).or_insert(taken.value.as_str());
            }
        }
        found
    }

    /// Whether unknown paths get the page of the root; `None` where no file says so.
    pub fn single_page(&self) -> Option<bool> {
        self.value(&Field::SinglePage).map(|value| value == "true")
    }
}

/// Reads the files of the application's folder. Reads are remembered by the source: asking again costs no
/// host call.
pub fn read(source: &Source) -> Others {
    source.prefetch(&FILES);
    let file = |name: &&'static str| {
        let text = source.text(name).ok().flatten()?;
        parse(name, &text)
    };
    let mut others = Others { files: FILES.iter().filter_map(file).collect() };
    // A Dockerfile that is not there is not this application's.
    for file in &mut others.files {
        let missing = |taken: &Taken| {
            taken.field == Field::Dockerfile && !source.is_file(taken.value.as_str())
        };
        let (gone, kept) = std::mem::take(&mut file.taken).into_iter().partition(missing);
        file.taken = kept;
        let gone: Vec<Taken> = gone;
        file.ignored
            .extend(gone.iter().map(|one| format!("{} (there is no {})", one.key, one.value)));
    }
    others
}

/// The version of a toolchain, by any of these names, that the first of the files asks for and that can be had;
/// `text` gives the text of a file. **It counts after every pin of the repository's own.**
pub fn version(
    names: &[&str],
    text: impl Fn(&str) -> Option<String>,
) -> Option<(Taken, &'static str)> {
    FILES.into_iter().find_map(|name| {
        let file = parse(name, &text(name)?)?;
        let asks = |taken: &Taken| match &taken.field {
            Field::Version(tool) => {
                names.contains(&tool.as_str()) && offered::has(tool, &taken.value)
            }
            _ => false,
        };
        file.taken.into_iter().find(asks).map(|taken| (taken, name))
    })
}

/// What a file says; `None` if it says nothing, or is another program's of the same name.
pub fn parse(name: &'static str, text: &str) -> Option<File> {
    let mut file = File { name, ..File::default() };
    if name.ends_with("_redirects") {
        sites::redirects(&mut file, text);
    } else if name == "Aptfile" {
        heroku::aptfile(&mut file, text);
    } else {
        match value_of(name, text) {
            Ok(Value::Object(keys)) => read_keys(&mut file, &Value::Object(keys)),
            Ok(_) => return None,
            Err(why) => file.ignored.push(format!("all of it, because it does not read: {why}")),
        }
    }
    (!file.taken.is_empty() || !file.ignored.is_empty()).then_some(file)
}

fn value_of(name: &str, text: &str) -> Result<Value, String> {
    let text = text.trim_start_matches('\u{feff}');
    match name.rsplit('.').next() {
        Some("toml") => toml::from_str(text).map_err(|error| first_line(&error.to_string())),
        Some("json") => serde_json::from_str(text).map_err(|error| error.to_string()),
        _ => yaml::parse(text),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn read_keys(file: &mut File, keys: &Value) {
    match file.name {
        "railway.toml" | "railway.json" => railway::railway(file, keys),
        "railpack.json" => railway::railpack(file, keys),
        "nixpacks.toml" => railway::nixpacks(file, keys),
        "render.yaml" => clouds::render(file, keys),
        "fly.toml" => clouds::fly(file, keys),
        "heroku.yml" => heroku::heroku_yml(file, keys),
        "app.json" => heroku::app_json(file, keys),
        "netlify.toml" => sites::netlify(file, keys),
        "static.json" => sites::static_json(file, keys),
        "firebase.json" => sites::firebase(file, keys),
        _ => sites::vercel(file, keys),
    }
}

impl File {
    /// Takes the value below `key` (`deploy.startCommand`), if it is there and means something here.
    fn take(&mut self, field: Field, keys: &Value, key: &str) {
        if let Some(value) = at(keys, key) {
            self.put(field, key, value);
        }
    }

    /// Takes a value, or says why not.
    fn put(&mut self, field: Field, key: &str, value: &Value) {
        let text = match value {
            Value::Array(lines) => lines.iter().map(yaml::text_of).collect::<Vec<_>>().join(" && "),
            other => yaml::text_of(other),
        };
        match clean::value(&field, text.trim()) {
            Ok(Some(value)) => self.taken.push(Taken { field, value, key: key.to_owned() }),
            Ok(None) => {}
            Err(why) => self.ignored.push(format!("{key} ({why})")),
        }
    }

    /// Lists the keys that are not among `known`. A known `a.b` means that the other keys of `a` are listed
    /// one by one.
    fn list_rest(&mut self, keys: &Value, known: &[&str]) {
        let Some(map) = keys.as_object() else { return };
        self.list_below("", map, known);
    }

    fn list_below(&mut self, above: &str, map: &Map<String, Value>, known: &[&str]) {
        for (key, value) in map {
            let path = if above.is_empty() { key.clone() } else { format!("{above}.{key}") };
            if known.contains(&path.as_str()) || value.is_null() {
                continue;
            }
            let inside = format!("{path}.");
            match value.as_object() {
                Some(map) if known.iter().any(|known| known.starts_with(&inside)) => {
                    self.list_below(&path, map, known);
                }
                _ => self.ignored.push(advice::of(&path, value)),
            }
        }
    }

    /// Versions that are given as variables: `NODE_VERSION`.
    fn take_versions(&mut self, variables: &Map<String, Value>, key: &str) {
        let mut others = Vec::new();
        for (name, value) in variables {
            match clean::toolchain_of(name) {
                Some(tool) => {
                    let field = Field::Version(tool.to_owned());
                    self.put(field, &format!("{key}.{name}"), value);
                }
                None => others.push(name.as_str()),
            }
        }
        self.list_variables(key, &others);
    }

    fn list_variables(&mut self, key: &str, names: &[&str]) {
        if !names.is_empty() {
            let names = names.join(", ");
            self.ignored.push(format!("{key}: {names} (set them with `windlass env set`)"));
        }
    }
}

/// What to do about packages of the system.
const PACKAGES: &str =
    "packages of the system are not installed from it: where one is missing, write a Dockerfile";

/// What becomes of commands at their times.
const SCHEDULES: &str =
    "schedules are [[cron]] in windlass.toml; the stage `cron` registers those of some files";

/// What becomes of rules of requests.
const RULES: &str = "of such rules only the fallback of every path to index.html is taken";

/// The value below a dotted key.
fn at<'a>(keys: &'a Value, key: &str) -> Option<&'a Value> {
    key.split('.').try_fold(keys, |value, part| value.get(part)).filter(|value| !value.is_null())
}

/// The text below a dotted key.
fn text<'a>(keys: &'a Value, key: &str) -> Option<&'a str> {
    at(keys, key)?.as_str()
}

/// The table below a dotted key.
fn table<'a>(keys: &'a Value, key: &str) -> Option<&'a Map<String, Value>> {
    at(keys, key)?.as_object()
}

/// The list below a dotted key.
fn list<'a>(keys: &'a Value, key: &str) -> &'a [Value] {
    at(keys, key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests;
