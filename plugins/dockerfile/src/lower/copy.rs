//! COPY and ADD.

use windlass_sdk::plan::{Download, InlineFile, Place, Placed};

use super::apply::absolute;
use super::{Lowering, State};
use crate::ignore::clean;
use crate::instruction::{Copy, Instruction};
use crate::problem::{Found, Problem};
use crate::words::Lexer;

/// Mode of a file whose text stands in the Dockerfile.
const INLINE: u32 = 0o644;

impl Lowering<'_> {
    pub(super) fn copy(
        &mut self,
        index: usize,
        state: &mut State,
        one: &Instruction,
        copy: &Copy,
    ) -> Found<()> {
        let origin = self.copy_origin(index, copy)?;
        let common = self.common(state, copy, &origin)?;
        let mut step = self.new_step(index, self.shown(index, one), state.base.clone());
        let mut paths = Vec::new();
        let flush = |paths: &mut Vec<String>, ops: &mut Vec<_>| {
            if !paths.is_empty() {
                let paths = std::mem::take(paths);
                ops.push(Place { origin: origin.clone(), paths, ..common.clone() }.into());
            }
        };
        for source in &copy.sources {
            let source = self.expand(state, source)?;
            if let Some(url) = self.address(copy, &source)? {
                flush(&mut paths, &mut step.ops);
                let download = self.download(state, copy, url)?;
                let place = Place { origin: Placed::Download(download), ..without_source(&common) };
                step.ops.push(place.into());
            } else {
                if copy.checksum.is_some() {
                    let fix = "remove it: local files are known by their contents";
                    return Err(Problem::syntax("--checksum is for addresses", fix));
                }
                paths.push(source_path(&source, copy.parents));
            }
        }
        flush(&mut paths, &mut step.ops);
        for heredoc in &copy.heredocs {
            let mut content = heredoc.content();
            if heredoc.expand {
                let lookup = |name: &str| state.env.get(name).map(str::to_owned);
                content = Lexer::of_text().word(&content, &lookup).map_err(|why| {
                    let what = format!("the here-document {}: {why}", heredoc.name);
                    let fix = format!(
                        "quote its name, as <<\"{}\", to keep its text as it is",
                        heredoc.name
                    );
                    Problem::new("dockerfile.variable", what, fix)
                })?;
            }
            let name = heredoc.name.rsplit('/').next().unwrap_or_default().to_owned();
            let file = InlineFile { name, content: content.into_bytes(), mode: INLINE };
            let place = Place { origin: Placed::Inline(vec![file]), ..without_source(&common) };
            step.ops.push(place.into());
        }
        self.push(state, step);
        Ok(())
    }

    fn copy_origin(&mut self, index: usize, copy: &Copy) -> Found<Placed> {
        let Some(from) = &copy.from else { return Ok(Placed::Source) };
        match self.stage_of(from, index)? {
            Some(stage) => {
                self.stage(stage)?;
                Ok(Placed::Step(self.step_of_stage(stage)))
            }
            None => Ok(Placed::Image(self.image(from, index)?.0)),
        }
    }

    /// What all operations of one instruction share.
    fn common(&self, state: &State, copy: &Copy, origin: &Placed) -> Found<Place> {
        let given = |text: &Option<String>| -> Found<Option<String>> {
            let text = text.as_ref().map(|text| self.expand(state, text)).transpose()?;
            Ok(text.filter(|text| !text.is_empty()))
        };
        let (chown, chmod) = (given(&copy.chown)?, given(&copy.chmod)?);
        if let Some(chmod) = &chmod {
            check_mode(chmod)?;
        }
        if let Some(owner) = chown.as_ref().filter(|_| copy.link) {
            let numbers = owner.split(':').all(|part| part.parse::<u32>().is_ok());
            if !numbers {
                return Err(Problem::syntax(
                    format!("--link lays files over nothing, which has no user {owner:?}"),
                    "give numbers, as --chown=1000:1000, or remove --link",
                ));
            }
        }
        let exclude: Found<Vec<String>> =
            copy.exclude.iter().map(|text| Ok(clean_rule(&self.expand(state, text)?))).collect();
        let source = matches!(origin, Placed::Source);
        Ok(Place {
            origin: origin.clone(),
            paths: Vec::new(),
            ignore: if source { self.given.ignore.clone() } else { Vec::new() },
            exclude: exclude?,
            dest: destination(state.folder(), &self.expand(state, &copy.dest)?),
            chown,
            chmod,
            parents: copy.parents,
            link: copy.link,
            unpack: copy.unpack.unwrap_or(copy.add),
        })
    }

    /// The source, if it is an address to download from.
    fn address<'b>(&self, copy: &Copy, source: &'b str) -> Found<Option<&'b str>> {
        let http = source.starts_with("http://") || source.starts_with("https://");
        let path = source.split('#').next().unwrap_or_default();
        let git = ["git@", "git://", "ssh://"].iter().any(|scheme| source.starts_with(scheme))
            || http && path.ends_with(".git");
        if git {
            return Err(Problem::unsupported(
                "repositories are not cloned by ADD here",
                "make it a submodule of the repository, or clone it in a RUN",
            ));
        }
        if http && !copy.add {
            return Err(Problem::syntax("COPY takes no addresses", "use ADD for it"));
        }
        Ok(http.then_some(source))
    }

    fn download(&self, state: &State, copy: &Copy, url: &str) -> Found<Download> {
        if copy.unpack == Some(true) {
            return Err(Problem::unsupported(
                "downloads are not unpacked here",
                "download and unpack it in a RUN",
            ));
        }
        if copy.checksum.is_some() && copy.sources.len() + copy.heredocs.len() > 1 {
            return Err(Problem::syntax("--checksum is for one address", "use one ADD for each"));
        }
        let sha256 = match &copy.checksum {
            None => None,
            Some(text) => {
                let text = self.expand(state, text)?;
                let hex = text
                    .strip_prefix("sha256:")
                    .filter(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()));
                let fix = "write --checksum=sha256: and 64 hexadecimal digits";
                let what = format!("{text:?} is no SHA-256 digest");
                Some(hex.ok_or_else(|| Problem::syntax(what, fix))?.to_owned())
            }
        };
        let path = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let name = match path.split_once('/').map(|(_, path)| path.trim_end_matches('/')) {
            None | Some("") => "__unnamed__",
            Some(path) => path.rsplit('/').next().unwrap_or_default(),
        };
        Ok(Download { url: url.to_owned(), sha256, name: decoded(name) })
    }
}

/// For files that come from elsewhere.
fn without_source(common: &Place) -> Place {
    let common = common.clone();
    Place { ignore: Vec::new(), exclude: Vec::new(), parents: false, unpack: false, ..common }
}

/// A name of an address, with `%20` as a space.
fn decoded(name: &str) -> String {
    let bytes = name.as_bytes();
    let mut plain = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.filter(|_| bytes[at] == b'%').and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).replace(['/', '\0'], "_")
}

/// From the root of where it comes from; `.` for all of it. The pivot of `--parents` stays.
fn source_path(source: &str, parents: bool) -> String {
    let cleaned = match source.split_once("/./").filter(|_| parents) {
        Some((base, rest)) if !clean(base).is_empty() => {
            format!("{}/./{}", clean(base), clean(rest))
        }
        _ => clean(source),
    };
    if cleaned.is_empty() { ".".to_owned() } else { cleaned }
}

fn clean_rule(rule: &str) -> String {
    match rule.strip_prefix('!') {
        Some(rest) => format!("!{}", clean(rest)),
        None => clean(rule),
    }
}

/// Absolute, with a slash behind it where it must be a directory.
fn destination(folder: &str, dest: &str) -> String {
    let path = absolute(folder, dest);
    let is_dir = dest.is_empty() || dest == "." || dest.ends_with('/') || dest.ends_with("/.");
    if is_dir && path != "/" { format!("{path}/") } else { path }
}

fn check_mode(mode: &str) -> Found<()> {
    if is_mode(mode) {
        return Ok(());
    }
    let what = format!("--chmod={mode} is no mode");
    Err(Problem::syntax(what, "use octal digits, as 755, or for instance u=rwX,go=rX"))
}

/// Whether the host takes it as a mode: octal digits, or clauses as `chmod` has them.
pub(super) fn is_mode(mode: &str) -> bool {
    if mode.bytes().all(|b| b.is_ascii_digit()) {
        return u32::from_str_radix(mode, 8).is_ok_and(|mode| mode <= 0o7777);
    }
    mode.split(',').all(|clause| {
        let mut parts = clause.split(['+', '-', '=']);
        let classes = parts.next().unwrap_or_default();
        let mut operations = parts.peekable();
        operations.peek().is_some()
            && classes.chars().all(|class| "ugoa".contains(class))
            && operations.all(|what| {
                matches!(what, "u" | "g" | "o") || what.chars().all(|c| "rwxXst".contains(c))
            })
    })
}
