//! The maps in the images that were built: listed and read by commands in containers of them.
//!
//! A command gives back the end of what it writes, so files are read in portions, each by a container of its own.
//! Secrets of the environment are taken out of what comes back, so a map may be shorter or longer than its file.

use std::collections::BTreeSet;

use windlass_sdk::annotations::{Annotation, Tone};
use windlass_sdk::artifacts::{Artifact, Kind};
use windlass_sdk::custom::{Facts, Outcome, Output, OutputKind};
use windlass_sdk::exec::{self, Command, ExecError, Exit, Reason};
use windlass_sdk::{PluginError, log};

use crate::archive::Archive;
use crate::map::{Map, points};
use crate::table::{Table, yes};
use crate::{Collected, Options, count, not_granted, release, size};

/// Files that are listed in one output.
const FILES_MAX: usize = 2_000;
/// Files of one portion.
const PORTION_FILES_MAX: usize = 400;
/// Bytes of one portion: less than the two MiB that a host gives back, as there are also lines between the files.
pub(crate) const PORTION_BYTES: u64 = 1_900_000;
/// Bytes that come back of one command.
const TAIL_BYTES: u32 = 2 << 20;
/// Bytes of the archive.
const ARCHIVE_BYTES_MAX: u64 = 48 << 20;
/// Commands of one call, less than the hundred that a host carries out unless its limits say otherwise.
pub(crate) const COMMANDS_MAX: usize = 90;
/// Places that are passed on.
const PLACES_MAX: usize = 200;
/// Status of a command that lacks a program.
const PROGRAM_MISSING: u32 = 69;

/// The first line of the list: without it the beginning did not come back.
const BEGIN: &str = "maps:";
/// Lists maps below the folders that it is given: size, path, bundle, and what the bundle names as its map.
pub(crate) const LIST: &str = r#"
for c in find sort head tail wc grep cat; do
  command -v "$c" >/dev/null 2>&1 || { echo "$c" >&2; exit 69; }
done
t=$(printf '\t')
echo maps:
find "$@" \( -name node_modules -o -name .git \) -prune -o -type f -name '*.map' -print 2>/dev/null |
sort -u | head -n 2001 | while IFS= read -r m; do
  s=$(wc -c <"$m") || continue
  b=${m%.map} p=
  if [ -f "$b" ]; then
    p=$(tail -c 3000 "$b" | grep -o 'sourceMappingURL=[^ *]*' | tail -n 1)
  else
    b=
  fi
  printf '%s\n' "$((s))$t$m$t$b$t$p"
done
"#;
/// Writes files, with a line before and behind each that is in none of them.
pub(crate) const READ: &str = r#"
m=$1
shift
printf '\n%s\n' "$m"
for f; do cat "$f" || exit 1; printf '\n%s\n' "$m"; done
"#;
/// Writes a line and a part of a file: from a byte, counted from 1, and how many.
pub(crate) const PART: &str = r#"printf '\n%s\n' "$1"; tail -c "+$3" "$2" | head -c "$4""#;

/// The commands that may still be run.
#[derive(Debug)]
struct Commands {
    left: usize,
}

impl Commands {
    /// Runs one; `None` where there may be no more of them.
    fn run(&mut self, command: &Command) -> Result<Option<Exit>, ExecError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        match exec::run(command) {
            Err(ExecError { reason: Reason::OverLimit, message }) => {
                log::warn(message);
                self.left = 0;
                Ok(None)
            }
            ran => ran.map(Some),
        }
    }
}

/// A map in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    output: String,
    path: String,
    bytes: u64,
    bundle: Option<String>,
    /// Whether the bundle names it.
    named: bool,
}

/// Source maps in a static tree, by the names that bundlers give them: what else ends in `.map` stays.
const SERVED_MAPS: [&str; 4] = ["**/*.js.map", "**/*.mjs.map", "**/*.cjs.map", "**/*.css.map"];

/// Collects the maps of the images; with `remove`, those of static trees are kept from visitors. Images are not
/// changed, and that is said where it was asked for.
pub(crate) fn run(options: &Options, facts: &Facts) -> Result<Outcome, PluginError> {
    let mut outcome = of_images(options, facts)?;
    if !options.remove {
        return Ok(outcome);
    }
    let is_tree = |output: &&Output| output.kind == OutputKind::StaticTree;
    let trees: Vec<&str> =
        facts.outputs.iter().filter(is_tree).map(|output| output.name.as_str()).collect();
    let images = outputs(facts);
    if !trees.is_empty() {
        let mut summary = format!("source maps of {} are not served", trees.join(", "));
        if !images.is_empty() {
            summary.push_str(&format!("; {}", outcome.summary));
        }
        outcome = Outcome { skipped: false, summary, ..outcome };
    }
    if !images.is_empty() {
        let stay = format!(
            "`remove` changes no image: source maps in {} stay where they are",
            images.join(", ")
        );
        log::warn(format!("{stay}, and may be served; take them out in the build"));
        outcome.summary.push_str(&format!("; {stay}"));
    }
    Ok(trees.into_iter().fold(outcome, |outcome, tree| outcome.withholding(tree, SERVED_MAPS)))
}

fn of_images(options: &Options, facts: &Facts) -> Result<Outcome, PluginError> {
    let mut collected = Collected { release: release(facts), ..Collected::default() };
    let outputs = outputs(facts);
    let mut commands = Commands { left: COMMANDS_MAX };
    let mut found = Vec::new();
    let mut unread = Vec::new();
    for output in &outputs {
        match list(options, output, &mut commands)? {
            Ok(files) => found.extend(files),
            Err(why) => {
                log::warn(format!("source maps of the output {output} are not collected: {why}"));
                unread.push(why);
            }
        }
    }
    let skipped = |why: &str| Ok(Outcome::skipped(why).with_outputs(&collected));
    match (outputs.is_empty(), found.is_empty(), unread.first()) {
        (true, ..) => {
            return skipped(
                "no output of the build is an image: `remove` keeps the maps of static sites, the stage `public` those \
                 of them that visitors can read",
            );
        }
        (_, true, Some(why)) => return skipped(why),
        (_, true, None) => {
            return skipped("the build left no source map in the folders that are looked through");
        }
        _ => {}
    }
    let kept = Kept::read(&found, facts, &mut commands)?;
    if kept.maps + kept.left_out == 0 {
        return skipped("no file with the ending .map is a source map");
    }
    collected.maps = kept.maps;
    collected.places.clone_from(&kept.places);
    let note = kept.attach(&collected.release)?;
    Ok(Outcome::done(note).with_outputs(&collected))
}

/// The images that processes run from; all of them where nothing runs.
fn outputs(facts: &Facts) -> Vec<&str> {
    let run: BTreeSet<&str> =
        facts.processes.iter().map(|process| process.output.as_str()).collect();
    let images = facts.outputs.iter().filter(|output| output.kind == OutputKind::Image);
    let names = images.map(|output| output.name.as_str());
    names.filter(|name| run.is_empty() || run.contains(name)).collect()
}

fn shell(output: &str, script: &str, words: impl IntoIterator<Item = String>) -> Command {
    let begin = ["/bin/sh", "-c", script, "sh"].map(str::to_owned);
    Command::in_output(output, begin.into_iter().chain(words)).tail_bytes_max(TAIL_BYTES).quiet()
}

/// The maps in an output; or why they cannot be known, where that is no failure.
fn list(
    options: &Options,
    output: &str,
    commands: &mut Commands,
) -> Result<Result<Vec<Found>, String>, PluginError> {
    let exit = match commands.run(&shell(output, LIST, options.folders.iter().cloned())) {
        Ok(None) => return Ok(Err("no more commands may be run".to_owned())),
        Ok(Some(exit)) if exit.code == PROGRAM_MISSING => {
            let program = exit.stderr();
            return Ok(Err(format!("the image of {output} has no program {}", program.trim())));
        }
        Ok(Some(exit)) => ended(exit, output)?,
        Err(ExecError { reason: Reason::NotStarted, .. }) => {
            return Ok(Err(format!("the image of {output} has no /bin/sh")));
        }
        Err(error) => return Err(failed(output, error)),
    };
    let text = exit.stdout();
    let mut lines = text.lines();
    if lines.next() != Some(BEGIN) {
        return Err(cut(output));
    }
    let mut found: Vec<Found> = lines.filter_map(|line| Found::of(output, line)).collect();
    if found.len() > FILES_MAX {
        found.truncate(FILES_MAX);
        log::warn(format!(
            "the output {output} has more than {FILES_MAX} source maps: the first ones are collected; name \
             fewer `folders` in the stage's options"
        ));
    }
    Ok(Ok(found))
}

impl Found {
    fn of(output: &str, line: &str) -> Option<Self> {
        let mut fields = line.splitn(4, '\t');
        let bytes = fields.next()?.parse().ok()?;
        let path = fields.next()?.to_owned();
        let bundle = fields.next().filter(|bundle| !bundle.is_empty());
        let pointer = fields.next().unwrap_or_default().strip_prefix("sourceMappingURL=");
        let named = bundle.zip(pointer).is_some_and(|(bundle, it)| points(it, bundle, &path));
        let bundle = bundle.map(str::to_owned);
        Some(Self { output: output.to_owned(), path, bytes, bundle, named })
    }
}

/// A command that ended well.
fn ended(exit: Exit, output: &str) -> Result<Exit, PluginError> {
    if !exit.is_success() {
        let how = if exit.timed_out {
            "took too long".to_owned()
        } else {
            format!("ended with {}", exit.code)
        };
        let said = exit.stderr().lines().last().map(|line| format!(": {line}")).unwrap_or_default();
        let what = format!("a command that reads source maps in the output {output} {how}{said}");
        return Err(PluginError::new("sourcemaps.unreadable", what)
            .hint("look whether the image is whole; `on_failure = \"warn\"` lets it pass"));
    }
    Ok(exit)
}

fn failed(output: &str, error: ExecError) -> PluginError {
    let what = format!("no command could be run in the output {output}: {}", error.message);
    match error.reason {
        Reason::Denied => not_granted(
            what,
            "`windlass plugin grant sourcemaps all`, or JSON with `{\"name\": \"exec\", \"outputs\": [\"*\"]}`".to_owned(),
        ),
        Reason::HostFailed => PluginError::new("sourcemaps.unreadable", what).retryable(),
        _ => PluginError::new("sourcemaps.unreadable", what),
    }
}

/// What was read.
#[derive(Debug)]
struct Kept {
    archive: Archive,
    table: Table,
    /// Maps in the archive.
    maps: usize,
    bytes: u64,
    /// Files that were not read: the archive has no room for them, or no more commands may be run.
    left_out: usize,
    /// Maps that their bundle names, in folders that are usually served.
    open: usize,
    places: Vec<String>,
}

impl Kept {
    fn read(found: &[Found], facts: &Facts, commands: &mut Commands) -> Result<Self, PluginError> {
        let head = [
            "output",
            "map",
            "bundle",
            "bytes",
            "named_by_bundle",
            "sources",
            "has_sources",
            "kept",
        ];
        let mut kept = Self {
            archive: Archive::default(),
            table: Table::new(head),
            maps: 0,
            bytes: 0,
            left_out: 0,
            open: 0,
            places: Vec::new(),
        };
        let mut rest = found;
        while let Some(first) = rest.first() {
            let room = ARCHIVE_BYTES_MAX.saturating_sub(kept.archive.len() as u64);
            let (files, after) = rest.split_at(portion(rest, room));
            rest = after;
            let contents = match first.bytes {
                bytes if bytes > room => None,
                0..=PORTION_BYTES => read(files, facts, commands)?,
                _ => read_long(first, facts, commands)?.map(|content| vec![content]),
            };
            let Some(contents) = contents else {
                for file in files {
                    kept.without(file);
                }
                continue;
            };
            for (file, content) in files.iter().zip(contents) {
                kept.add(file, &content);
            }
        }
        Ok(kept)
    }

    fn add(&mut self, file: &Found, content: &[u8]) {
        let Some(map) = Map::of(content) else {
            log::debug(format!("{} in {} is no source map", file.path, file.output));
            return;
        };
        self.archive.add(&format!("{}{}", file.output, file.path), content);
        self.maps += 1;
        self.bytes += content.len() as u64;
        self.row(file, &map.sources.to_string(), yes(map.has_sources), true);
    }

    fn without(&mut self, file: &Found) {
        self.left_out += 1;
        self.row(file, "", "", false);
    }

    fn row(&mut self, file: &Found, sources: &str, has_sources: &str, is_kept: bool) {
        if let Some(place) = place(&file.path) {
            self.open += usize::from(file.named);
            if self.places.len() < PLACES_MAX {
                self.places.push(place);
            }
        }
        let bundle = file.bundle.as_deref().unwrap_or_default();
        let (bytes, named, is_kept) = (file.bytes.to_string(), yes(file.named), yes(is_kept));
        let Found { output, path, .. } = file;
        self.table.row([output, path, bundle, &bytes, named, sources, has_sources, is_kept]);
    }

    /// Attaches archive and table, and notes what is in them; one line for people.
    fn attach(self, release: &str) -> Result<String, PluginError> {
        self.table.attach("source-maps.csv", "Source maps of the build")?;
        Artifact::new(format!("source-maps-{release}.tar"), Kind::File, "application/x-tar")
            .title(format!("Source maps of {release}"))
            .attach(&self.archive.finish())?;
        let mut note = format!("{} of {release} with {}", count(self.maps), size(self.bytes));
        if self.left_out > 0 {
            let left_out = count(self.left_out);
            note.push_str(&format!("; {left_out} left out: they are too many, or too large"));
        }
        let mut annotation = Annotation::new("source-maps", "");
        if self.open > 0 {
            note.push_str(&format!(
                "; {} where browsers are sent to them: the stage `public` says whether visitors can read them",
                self.open
            ));
            annotation = annotation.tone(Tone::Warning);
        }
        note.clone_into(&mut annotation.value);
        if let Err(error) = annotation.set() {
            log::debug(format!("the number of source maps was not noted: {}", error.message));
        }
        Ok(note)
    }
}

/// How many of these files are read at once, into an archive with so much room.
fn portion(files: &[Found], room: u64) -> usize {
    let bytes_max = PORTION_BYTES.min(room);
    let mut bytes = 0;
    let fits = |file: &&Found| {
        bytes += file.bytes;
        bytes <= bytes_max && file.output == files[0].output
    };
    files.iter().take(PORTION_FILES_MAX).take_while(fits).count().max(1)
}

/// The contents of files of one output, in order; `None` where no more commands may be run.
fn read(
    files: &[Found],
    facts: &Facts,
    commands: &mut Commands,
) -> Result<Option<Vec<Vec<u8>>>, PluginError> {
    let output = files.first().map_or("", |file| file.output.as_str());
    let mark = mark(facts);
    let words = std::iter::once(mark.clone()).chain(files.iter().map(|file| file.path.clone()));
    let ran = commands.run(&shell(output, READ, words)).map_err(|error| failed(output, error))?;
    let Some(exit) = ran else { return Ok(None) };
    let exit = ended(exit, output)?;
    let mark = format!("\n{mark}\n");
    let mut contents = Vec::with_capacity(files.len());
    let mut rest = exit.stdout_tail.strip_prefix(mark.as_bytes()).ok_or_else(|| cut(output))?;
    while let Some(at) = rest.windows(mark.len()).position(|part| part == mark.as_bytes()) {
        contents.push(rest[..at].to_vec());
        rest = &rest[at + mark.len()..];
    }
    // More of them: a file holds the mark.
    match contents.len() == files.len() && rest.is_empty() {
        true => Ok(Some(contents)),
        false => Err(cut(output)),
    }
}

/// The content of a file that does not come back at once; `None` where no more commands may be run.
fn read_long(
    file: &Found,
    facts: &Facts,
    commands: &mut Commands,
) -> Result<Option<Vec<u8>>, PluginError> {
    let mark = mark(facts);
    let begin = format!("\n{mark}\n");
    let mut content = Vec::with_capacity(usize::try_from(file.bytes).unwrap_or_default());
    let mut from = 0;
    while from < file.bytes {
        let bytes = PORTION_BYTES.min(file.bytes - from);
        let words = [mark.clone(), file.path.clone(), (from + 1).to_string(), bytes.to_string()];
        let ran = commands.run(&shell(&file.output, PART, words));
        let ran = ran.map_err(|error| failed(&file.output, error))?;
        let Some(exit) = ran else { return Ok(None) };
        let exit = ended(exit, &file.output)?;
        let part = exit.stdout_tail.strip_prefix(begin.as_bytes());
        match part.filter(|_| exit.stdout_bytes == bytes + begin.len() as u64) {
            Some(part) => content.extend_from_slice(part),
            None => return Err(cut(&file.output)),
        }
        from += bytes;
    }
    Ok(Some(content))
}

/// A line that is in no source map.
fn mark(facts: &Facts) -> String {
    format!("--windlass-{}--", facts.deployment)
}

fn cut(output: &str) -> PluginError {
    let what = format!("source maps of the output {output} did not come back whole");
    PluginError::new("sourcemaps.unreadable", what)
        .hint("set `stages.exec_tail_bytes_max` in the limits file to 2097152 or more, as it is by default")
}

/// Where a file of an image lies on the application's address, if it is in a folder that is usually served.
fn place(path: &str) -> Option<String> {
    const SERVED: [&str; 6] = ["/public/", "/client/", "/wwwroot/", "/htdocs/", "/www/", "/html/"];
    if let Some((_, below)) = path.split_once("/.next/static/") {
        return Some(format!("/_next/static/{below}"));
    }
    let served = SERVED.iter().filter_map(|folder| path.split_once(folder));
    let nearest = served.map(|(_, below)| below).min_by_key(|below| below.len());
    match nearest {
        Some(below) => Some(format!("/{below}")),
        None => path.split_once("/static/").map(|(_, below)| format!("/static/{below}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_served_folder_says_where_a_map_would_lie() {
        for (path, at) in [
            ("/app/.next/static/chunks/a.js.map", Some("/_next/static/chunks/a.js.map")),
            ("/app/public/assets/a.js.map", Some("/assets/a.js.map")),
            ("/var/www/shop/public/a.js.map", Some("/a.js.map")),
            ("/usr/share/nginx/html/a.js.map", Some("/a.js.map")),
            ("/app/build/client/assets/a.js.map", Some("/assets/a.js.map")),
            ("/app/static/js/a.js.map", Some("/static/js/a.js.map")),
            ("/app/dist/server.js.map", None),
            ("/app/.next/server/app/page.js.map", None),
        ] {
            assert_eq!(place(path).as_deref(), at, "{path}");
        }
    }

    #[test]
    fn a_portion_ends_where_it_would_not_come_back() {
        let file = |output: &str, bytes| Found {
            output: output.to_owned(),
            path: "/a.map".to_owned(),
            bytes,
            bundle: None,
            named: false,
        };
        let files =
            [file("web", 900_000), file("web", 900_000), file("web", 200_000), file("job", 1)];
        let room = ARCHIVE_BYTES_MAX;
        assert_eq!(portion(&files, room), 2);
        assert_eq!(portion(&files[2..], room), 1, "another output is another container");
        assert_eq!(portion(&files, 900_000), 1);
        assert_eq!(portion(&files, 0), 1, "the first one is left out");
        assert_eq!(portion(&vec![file("web", 1); 1_000], room), PORTION_FILES_MAX);
    }
}
