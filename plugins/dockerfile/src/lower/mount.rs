//! `RUN --mount`.

use windlass_sdk::plan::{
    Base, BindMount, CacheMount, Mount, Place, Placed, SecretMount, Sharing, TmpfsMount,
};

use super::apply::absolute;
use super::{Lowering, State};
use crate::ignore::clean;
use crate::instruction::Instruction;
use crate::problem::{Found, Problem, nearest};

/// Most characters of a cache's name.
const ID_MAX: usize = 64;
/// Mode of a cache's folder, which is root's: every user may write to it.
const CACHE_MODE: u32 = 0o777;
/// Where a secret appears.
const SECRETS: &str = "/run/secrets";

/// Its keys, with their values expanded.
struct Keys {
    kind: String,
    pairs: Vec<(String, String)>,
}

impl Keys {
    fn take(&mut self, names: &[&str]) -> Option<String> {
        let at = self.pairs.iter().position(|(name, _)| names.contains(&name.as_str()))?;
        Some(self.pairs.remove(at).1)
    }

    /// A switch: alone it is on.
    fn switch(&mut self, names: &[&str]) -> Found<Option<bool>> {
        match self.take(names).as_deref() {
            None => Ok(None),
            Some("" | "true" | "1") => Ok(Some(true)),
            Some("false" | "0") => Ok(Some(false)),
            Some(other) => {
                let what = format!("{} of --mount is true or false, and not {other:?}", names[0]);
                Err(Problem::syntax(what, "write true or false"))
            }
        }
    }

    fn number(&mut self, name: &str, radix: u32) -> Found<Option<u32>> {
        let Some(text) = self.take(&[name]) else { return Ok(None) };
        let number = u32::from_str_radix(&text, radix).map_err(|_| {
            Problem::syntax(format!("{name}={text} of --mount is no number"), "write a number")
        })?;
        Ok(Some(number))
    }

    fn done(self) -> Found<()> {
        const KNOWN: [&str; 15] = [
            "type",
            "target",
            "source",
            "from",
            "id",
            "sharing",
            "mode",
            "uid",
            "gid",
            "required",
            "env",
            "readonly",
            "readwrite",
            "size",
            "dst",
        ];
        let Some((name, _)) = self.pairs.first() else { return Ok(()) };
        let fix = match nearest(name, KNOWN) {
            Some(meant) => format!("did you mean {meant}?"),
            None => "remove it".to_owned(),
        };
        let what = format!("a mount of type {} has no {name:?}", self.kind);
        Err(Problem::syntax(what, fix))
    }
}

impl Lowering<'_> {
    pub(super) fn mount(
        &mut self,
        index: usize,
        state: &State,
        one: &Instruction,
        text: &str,
    ) -> Found<Mount> {
        let mut keys = self.keys(state, text)?;
        let mount = match keys.kind.as_str() {
            "bind" => self.bind(index, state, &mut keys)?,
            "cache" => self.cache(state, one, &mut keys)?,
            "tmpfs" => Mount::Tmpfs(TmpfsMount {
                target: target(state, &mut keys)?,
                bytes_max: keys.take(&["size"]).map(|text| bytes(&text)).transpose()?,
            }),
            "secret" => self.secret(state, &mut keys)?,
            "ssh" => {
                return Err(Problem::unsupported(
                    "--mount=type=ssh: a build gets no agent for SSH",
                    "use --mount=type=secret with a token or a deploy key",
                ));
            }
            other => {
                let known = ["bind", "cache", "tmpfs", "secret"];
                let fix = match nearest(other, known) {
                    Some(meant) => format!("did you mean {meant}?"),
                    None => format!("there are {}", known.join(", ")),
                };
                return Err(Problem::syntax(format!("there is no mount of type {other:?}"), fix));
            }
        };
        keys.done()?;
        Ok(mount)
    }

    fn keys(&self, state: &State, text: &str) -> Found<Keys> {
        let mut pairs = Vec::new();
        for field in fields(text) {
            let (name, value) = field.split_once('=').unwrap_or((&field, ""));
            let name = name.trim().to_ascii_lowercase();
            let value = if name == "from" { value.to_owned() } else { self.expand(state, value)? };
            pairs.push((name, value));
        }
        let mut keys = Keys { kind: "bind".to_owned(), pairs };
        if let Some(kind) = keys.take(&["type"]) {
            keys.kind = kind.to_ascii_lowercase();
        }
        Ok(keys)
    }

    fn bind(&mut self, index: usize, state: &State, keys: &mut Keys) -> Found<Mount> {
        let target = target(state, keys)?;
        let source = clean(&keys.take(&["source", "src"]).unwrap_or_default());
        let read_only = keys.switch(&["readonly", "ro"])?;
        let writable = keys.switch(&["readwrite", "rw"])?;
        let writable = writable.unwrap_or(read_only == Some(false));
        let step = match keys.take(&["from"]) {
            None => self.context(index, &source),
            Some(from) => match self.stage_of(&from, index)? {
                Some(stage) => {
                    self.stage(stage)?;
                    self.step_of_stage(stage)
                }
                None => self.image_step(index, &from)?,
            },
        };
        let path = if source.is_empty() { "/".to_owned() } else { format!("/{source}") };
        Ok(bind(step, path, target, writable))
    }

    /// A step that holds what a mount may see of the source.
    fn context(&mut self, index: usize, source: &str) -> String {
        if let Some(known) = self.contexts.get(source) {
            return known.clone();
        }
        let name = match source {
            "" => "take the source".to_owned(),
            source => format!("take {source} of the source"),
        };
        let mut step = self.new_step(index, name, Base::Scratch);
        let path = if source.is_empty() { "." } else { source };
        step.ops.push(
            Place {
                origin: Placed::Source,
                paths: vec![escaped(path)],
                ignore: self.given.ignore.clone(),
                exclude: Vec::new(),
                dest: "/".to_owned(),
                chown: None,
                chmod: None,
                parents: !source.is_empty(),
                link: false,
                unpack: false,
            }
            .into(),
        );
        let id = step.id.clone();
        self.steps.push(step);
        self.contexts.insert(source.to_owned(), id.clone());
        id
    }

    /// A step that is an image.
    fn image_step(&mut self, index: usize, name: &str) -> Found<String> {
        let key = format!("image {name}");
        if let Some(known) = self.contexts.get(&key) {
            return Ok(known.clone());
        }
        let (pinned, _) = self.image(name, index)?;
        let step = self.new_step(index, format!("take the image {name}"), Base::Image(pinned));
        let id = step.id.clone();
        self.steps.push(step);
        self.contexts.insert(key, id.clone());
        Ok(id)
    }

    /// A cache. The contract has no place for its mode and owner: what is asked for is told as not done.
    fn cache(&mut self, state: &State, one: &Instruction, keys: &mut Keys) -> Found<Mount> {
        let given = keys.take(&["id"]).filter(|id| !id.is_empty());
        let target = target(state, keys)?;
        if target.split('/').any(|part| part == "node_modules") {
            return Err(Problem::unsupported(
                format!(
                    "the cache {target} lies in a node_modules: what is installed there would be missing from the image"
                ),
                "cache the package manager's own store, for instance target=/root/.npm",
            ));
        }
        for name in ["from", "source"] {
            if keys.take(&[name]).is_some_and(|value| !value.is_empty()) {
                return Err(Problem::unsupported(
                    format!("a cache with {name}= begins with files, and caches begin empty here"),
                    format!("remove {name}=, and copy the files in the command if they are absent"),
                ));
            }
        }
        if keys.switch(&["readonly", "ro"])? == Some(true) {
            let fix = "remove it, or use a mount of type bind";
            return Err(Problem::unsupported("a cache cannot be read-only here", fix));
        }
        let _rw = keys.switch(&["readwrite", "rw"])?;
        let mode = keys.number("mode", 8)?.filter(|mode| *mode != CACHE_MODE);
        let mode = mode.map(|mode| format!("mode={mode:04o}"));
        let id_of =
            |name: &str, id: Option<u32>| id.filter(|id| *id != 0).map(|id| format!("{name}={id}"));
        let (uid, gid) = (keys.number("uid", 10)?, keys.number("gid", 10)?);
        let ignored = [mode, id_of("uid", uid), id_of("gid", gid)];
        let ignored: Vec<String> = ignored.into_iter().flatten().collect();
        if !ignored.is_empty() {
            self.warnings.push(format!(
                "line {}: {}: the cache {target} does not get {}: its folder is root's, and every user may \
                 write to it (mode {CACHE_MODE:04o})",
                one.line,
                one.name,
                ignored.join(", ")
            ));
        }
        let sharing = match keys.take(&["sharing"]).as_deref() {
            None | Some("" | "shared") => Sharing::Shared,
            Some("private") => Sharing::Private,
            Some("locked") => Sharing::Locked,
            Some(other) => {
                let what = format!("sharing={other} is not known");
                return Err(Problem::syntax(what, "use shared, private or locked"));
            }
        };
        let id = cache_id(&given.unwrap_or_else(|| target.clone()));
        Ok(Mount::Cache(CacheMount { id, target, sharing }))
    }

    fn secret(&self, state: &State, keys: &mut Keys) -> Found<Mount> {
        let given = keys.take(&["target", "dst", "destination"]);
        let env = keys.take(&["env"]).filter(|env| !env.is_empty());
        let id = keys.take(&["id"]).or_else(|| {
            given.as_ref().and_then(|target| target.rsplit('/').next()).map(str::to_owned)
        });
        let id = id.filter(|id| !id.is_empty()).ok_or_else(|| {
            Problem::syntax("a secret has neither an id nor a target", "give id=NAME")
        })?;
        let required = keys.switch(&["required"])?.unwrap_or(false);
        let mode = keys.number("mode", 8)?.unwrap_or(0o400);
        let owner = (keys.number("uid", 10)?, keys.number("gid", 10)?);
        let owner = (owner.0.unwrap_or_default(), owner.1.unwrap_or_default());
        let owner = Some(owner).filter(|owner| *owner != (0, 0));
        let name = self.variable(&id, required)?;
        let target = match (given, &env) {
            (Some(target), _) => Some(absolute(state.folder(), &target)),
            (None, None) => Some(format!("{SECRETS}/{id}")),
            (None, Some(_)) => None,
        };
        Ok(Mount::Secret(SecretMount { name, target, env, mode, owner, required }))
    }

    /// The environment's variable that a secret is: of this name, or of this name in capitals.
    fn variable(&self, id: &str, required: bool) -> Found<String> {
        let capitals: String = id
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect();
        let known = |name: &str| self.given.variables.iter().any(|known| known == name);
        if known(id) {
            return Ok(id.to_owned());
        }
        if known(&capitals) || !required {
            return Ok(capitals);
        }
        Err(Problem::new(
            "dockerfile.secret-missing",
            format!("the secret {id:?} is required, and no variable {capitals} is set"),
            format!("windlass env set --secret --scope build {capitals}=..."),
        ))
    }
}

/// A mount of a step's result.
pub(super) fn bind(from_step: String, path: String, target: String, writable: bool) -> Mount {
    Mount::Bind(BindMount { from_step, path, target, writable })
}

fn target(state: &State, keys: &mut Keys) -> Found<String> {
    let target = keys.take(&["target", "dst", "destination"]).filter(|target| !target.is_empty());
    let target = target.ok_or_else(|| {
        Problem::syntax(format!("a mount of type {} has no target", keys.kind), "give target=/path")
    })?;
    let target = absolute(state.folder(), &target);
    if target == "/" {
        return Err(Problem::syntax("nothing can be mounted over /", "mount it at a folder"));
    }
    Ok(target)
}

/// A name for a folder: other characters become `-`, with a digest behind so that names stay apart.
fn cache_id(name: &str) -> String {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let plain = name.trim_start_matches('/');
    if name == plain && plain.chars().all(good) && plain.len() <= ID_MAX && !plain.starts_with('.')
    {
        return name.to_owned();
    }
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in name.bytes() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let kept: String = plain.chars().map(|c| if good(c) { c } else { '-' }).take(40).collect();
    format!("{}-{hash:016x}", kept.trim_start_matches('.'))
}

/// `64m`, `1g`, `1048576`
fn bytes(text: &str) -> Found<u64> {
    let lower = text.to_ascii_lowercase();
    let number = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match &lower[number.len()..] {
        "" | "b" => Some(1),
        "k" | "kb" | "kib" => Some(1 << 10),
        "m" | "mb" | "mib" => Some(1 << 20),
        "g" | "gb" | "gib" => Some(1_u64 << 30),
        _ => None,
    };
    let size = number.trim().parse::<u64>().ok().zip(factor);
    size.and_then(|(number, factor)| number.checked_mul(factor)).ok_or_else(|| {
        Problem::syntax(format!("size={text} of --mount is no size"), "write it as 64m")
    })
}

/// Fields between commas; one in double quotes may hold commas.
fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.iter_mut().last().into_iter().for_each(|field| field.push(c)),
        }
    }
    fields.retain(|field| !field.is_empty());
    fields
}

/// A name whose wildcards are plain characters.
fn escaped(path: &str) -> String {
    let mut name = String::with_capacity(path.len());
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | '\\') {
            name.push('\\');
        }
        name.push(c);
    }
    name
}
