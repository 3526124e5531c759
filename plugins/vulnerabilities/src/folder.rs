//! A database as files of the source: entries in the format of OSV, as JSON.

use std::collections::BTreeMap;

use serde_json::Value;
use windlass_plugin_locked::{Component, Ecosystem};
use windlass_sdk::{Kind, PluginError, Source, log};

use crate::osv::{Entry, Matches, normal_name};

/// Files of one database; one of more is refused, as a part of it may not stand for the whole.
const FILES_MAX: usize = 20_000;

/// Compares all components with all entries in a file, or below a folder, of the source.
///
/// # Errors
/// `vulnerabilities.no-database` where there is no such file; `vulnerabilities.database-too-large`;
/// `source.unreadable`.
pub(crate) fn look_up(path: &str, components: &[&Component]) -> Result<Matches, PluginError> {
    let source = Source::root();
    let path = path.trim_start_matches("./").trim_matches('/');
    let is_file = [".json", ".jsonl", ".ndjson"].iter().any(|end| path.ends_with(end));
    let files = match is_file {
        true => vec![path.to_owned()],
        false => {
            let below =
                |end: &str| format!("{path}/**/*.{end}").trim_start_matches("./").to_owned();
            let globs = [below("json"), below("jsonl"), below("ndjson")];
            let listing = source.list(&globs.each_ref().map(String::as_str), 0, 0)?;
            let is_file = |entry: &windlass_sdk::Entry| entry.kind == Kind::File;
            let files: Vec<String> =
                listing.entries.into_iter().filter(is_file).map(|entry| entry.path).collect();
            if listing.truncated || files.len() > FILES_MAX {
                return Err(too_large(path));
            }
            files
        }
    };
    let named = by_name(components);
    let mut matches = Matches::default();
    let mut read = 0_usize;
    for file in &files {
        let Some(text) = source.text(file)? else {
            continue;
        };
        for entry in entries(file, &text) {
            match entry {
                Ok(entry) => {
                    read += 1;
                    keep(entry, &named, &mut matches);
                }
                Err(why) => matches.notes.push(format!("{file} was not read whole: {why}")),
            }
        }
    }
    if read == 0 {
        return Err(no_database(path, files.len()));
    }
    log::info(format!("entries of {path} that were looked at: {read}"));
    Ok(matches)
}

fn too_large(path: &str) -> PluginError {
    let what = format!(
        "there are more than {FILES_MAX} files of entries in {path}: a part of a database would pass what the rest \
         knows to be vulnerable, so none of it was looked at"
    );
    PluginError::new("vulnerabilities.database-too-large", what).hint(
        "keep the entries of the packages in use alone, or put many entries into one file, one a line, as .jsonl",
    )
}

fn no_database(path: &str, files: usize) -> PluginError {
    let what = format!("there is no entry of an OSV database in {path}; files looked at: {files}");
    PluginError::new("vulnerabilities.no-database", what).hint(format!(
        "put files of entries (https://ossf.github.io/osv-schema/) there and grant the plugin to read them: \
         `source` with \"{path}/**\"; or leave the option `database` out to ask osv.dev"
    ))
}

/// The entries of a file: one, a list, `{"vulns": […]}`, or one a line.
fn entries(file: &str, text: &str) -> Vec<Result<Entry, String>> {
    let by_line = !file.ends_with(".json");
    let parsed =
        |text: &str| serde_json::from_str::<Value>(text).map_err(|error| error.to_string());
    let texts: Vec<&str> = match by_line {
        true => text.lines().filter(|line| !line.trim().is_empty()).collect(),
        false => vec![text],
    };
    let mut found = Vec::new();
    for value in texts.into_iter().map(parsed) {
        match value {
            Ok(Value::Array(list)) => found.extend(list.into_iter().map(Entry::read)),
            Ok(mut value) => match value.get_mut("vulns").map(Value::take) {
                Some(Value::Array(list)) => found.extend(list.into_iter().map(Entry::read)),
                _ => found.push(Entry::read(value)),
            },
            Err(why) => found.push(Err(why)),
        }
    }
    found
}

/// Components by ecosystem and name: a database has many more entries than one of them asks for.
pub(crate) type Named<'c> = BTreeMap<(Ecosystem, String), Vec<&'c Component>>;

pub(crate) fn by_name<'c>(components: &[&'c Component]) -> Named<'c> {
    let mut named = Named::new();
    for component in components {
        let name = normal_name(component.ecosystem, &component.name);
        named.entry((component.ecosystem, name)).or_default().push(component);
    }
    named
}

/// Keeps an entry if it is of a version that is in use.
pub(crate) fn keep(entry: Entry, named: &Named<'_>, matches: &mut Matches) {
    let mut is_used = false;
    for affected in &entry.affected {
        let Some(ecosystem) = Ecosystem::of_osv(&affected.package.ecosystem) else {
            continue;
        };
        let key = (ecosystem, normal_name(ecosystem, &affected.package.name));
        let components = named.get(&key).into_iter().flatten();
        for component in components.filter(|component| entry.affects(component)) {
            is_used = true;
            let ids = matches.found.entry(component.purl.clone()).or_default();
            if !ids.contains(&entry.id) {
                ids.push(entry.id.clone());
            }
        }
    }
    if is_used {
        matches.entries.insert(entry.id.clone(), entry);
    }
}
