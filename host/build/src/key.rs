//! Step keys: what a step's result depends on, and nothing else; and the same part by part, so that it can
//! be said later which of them changed.

use std::collections::BTreeMap;

use serde::Serialize;
use windlass_model::Digest;
use windlass_model::build::{BasePart, InputPart, KeyParts, OpPart};
use windlass_model::plan::{KeyValues, Mount, Op, Origin, Placed};

use crate::ops::shown_op;

/// Raised when the executor's way of carrying out a step changes its result.
pub(crate) const EXECUTOR_VERSION: u32 = 3;

/// All that a step's key is made of. Git ids stand in for contents where they are known.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KeyInput<'a> {
    /// Key of the snapshot it starts from; empty for nothing.
    pub(crate) parent: &'a str,
    /// `linux/amd64`
    pub(crate) platform: &'a str,
    /// Environment that its commands see, without the variables.
    pub(crate) env: &'a KeyValues,
    /// Working directory.
    pub(crate) cwd: &'a str,
    /// User.
    pub(crate) user: &'a str,
    /// Names of variables that its commands see, each with a digest that needs this host's salt.
    pub(crate) variables: &'a [(String, Digest)],
    /// The operations, their mounts included, each as [`keyed`] gives it.
    pub(crate) ops: &'a [Op],
    /// For each operation, what it reads: digests of files, keys of other steps.
    pub(crate) inputs: &'a [Vec<Input>],
}

/// Something that an operation reads. Only its digest is part of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Input {
    /// Where it comes from.
    pub(crate) from: InputFrom,
    /// Of all of it: of files, or the name of a snapshot.
    pub(crate) digest: String,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InputFrom {
    /// The source: files, or folders where there are very many files, or an address, each with a digest.
    Source(BTreeMap<String, String>),
    /// Another step.
    Step(String),
    /// An image, with its digest.
    Image(String),
}

impl Serialize for Input {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.digest)
    }
}

impl KeyInput<'_> {
    /// The key, which is the name of the step's snapshot.
    pub(crate) fn key(&self) -> String {
        let digest = Digest::of_json(&(EXECUTOR_VERSION, self));
        format!("step-{}", digest.hex())
    }

    /// The key's parts, for the record.
    pub(crate) fn parts(&self, base: BasePart) -> KeyParts {
        let op = |(op, inputs): (&Op, &Vec<Input>)| OpPart {
            shown: shown_op(op),
            digest: short(&Digest::of_json(op)),
            inputs: inputs.iter().cloned().map(part).collect(),
        };
        let variable = |(name, digest): &(String, Digest)| (name.clone(), short(digest));
        let value =
            |(name, value): &(String, String)| (name.clone(), short(&Digest::of(value.as_bytes())));
        KeyParts {
            executor: EXECUTOR_VERSION,
            platform: self.platform.to_owned(),
            base,
            env: self.env.iter().map(value).collect(),
            cwd: self.cwd.to_owned(),
            user: self.user.to_owned(),
            variables: self.variables.iter().map(variable).collect(),
            ops: self.ops.iter().zip(self.inputs).map(op).collect(),
        }
    }
}

/// An operation without what only leads to its inputs, whose digests stand for it: the ids of other steps, which may
/// be counted, and the ignore file, of which most has nothing to do with what is copied.
pub(crate) fn keyed(op: &Op) -> Op {
    let mut op = op.clone();
    match &mut op {
        Op::Copy(copy) => forget_step(&mut copy.origin),
        Op::Extract { origin, .. } => forget_step(origin),
        Op::Place(place) => {
            place.ignore.clear();
            if let Placed::Step(id) = &mut place.origin {
                id.clear();
            }
        }
        Op::Run(run) => {
            for mount in &mut run.mounts {
                if let Mount::Bind { from_step, .. } = mount
                    && !from_step.is_empty()
                {
                    "a step".clone_into(from_step);
                }
            }
        }
        Op::WriteFile { .. } | Op::Fetch { .. } | Op::MakeDir { .. } => {}
    }
    op
}

fn forget_step(origin: &mut Origin) {
    if let Origin::Step(id) = origin {
        id.clear();
    }
}

fn part(input: Input) -> InputPart {
    let (step, image, files) = match input.from {
        InputFrom::Source(files) => (None, None, files),
        InputFrom::Step(step) => (Some(step), None, BTreeMap::new()),
        InputFrom::Image(image) => (None, Some(image), BTreeMap::new()),
    };
    InputPart { step, image, digest: input.digest, files }
}

/// Enough of a digest to tell two apart.
pub(crate) fn short(digest: &Digest) -> String {
    digest.hex().chars().take(16).collect()
}

/// The platform of this host's images.
pub(crate) fn platform() -> String {
    format!("linux/{}", architecture())
}

/// This machine's architecture by the name that images use.
pub(crate) const fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

#[cfg(test)]
mod tests {
    use windlass_model::plan::{Place, Run};

    use super::*;

    fn plain() -> KeyInput<'static> {
        KeyInput {
            parent: "base",
            platform: "linux/amd64",
            env: const { &KeyValues::new() },
            cwd: "/app",
            user: "root",
            variables: &[],
            ops: &[],
            inputs: &[],
        }
    }

    fn source(digest: &str, files: &[(&str, &str)]) -> Vec<Input> {
        let files = files.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        vec![Input { from: InputFrom::Source(files), digest: digest.to_owned() }]
    }

    #[test]
    fn everything_that_matters_changes_the_key() {
        let variables = [("A".to_owned(), Digest::of(b"1"))];
        let inputs = [source("sha256:1", &[])];
        let env = vec![("NODE_ENV".to_owned(), "production".to_owned())];
        let run = |timeout_ms| {
            [Op::Run(Run {
                argv: vec!["make".to_owned()],
                env: vec![],
                cwd: None,
                user: None,
                network: false,
                mounts: vec![],
                timeout_ms,
            })]
        };
        let (one, two) = (run(None), run(Some(1)));
        let keys = std::collections::BTreeSet::from([
            plain().key(),
            KeyInput { parent: "other", ..plain() }.key(),
            KeyInput { platform: "linux/arm64", ..plain() }.key(),
            KeyInput { cwd: "/", ..plain() }.key(),
            KeyInput { user: "app", ..plain() }.key(),
            KeyInput { env: &env, ..plain() }.key(),
            KeyInput { variables: &variables, ..plain() }.key(),
            KeyInput { inputs: &inputs, ..plain() }.key(),
            KeyInput { ops: &one, ..plain() }.key(),
            KeyInput { ops: &two, ..plain() }.key(),
        ]);
        assert_eq!(keys.len(), 10);
        assert_eq!(plain().key(), plain().key());
    }

    #[test]
    fn what_a_step_is_called_and_what_is_ignored_is_no_part_of_the_key() {
        let place = |origin: Placed, ignore: &[&str]| {
            Op::Place(Place {
                origin,
                paths: vec!["a".to_owned()],
                ignore: ignore.iter().map(|line| (*line).to_owned()).collect(),
                exclude: Vec::new(),
                dest: "/".to_owned(),
                chown: None,
                chmod: None,
                parents: false,
                link: false,
                unpack: false,
            })
        };
        let bind = |from_step: &str| {
            Op::Run(Run {
                argv: vec!["make".to_owned()],
                env: vec![],
                cwd: None,
                user: None,
                network: false,
                mounts: vec![Mount::Bind {
                    from_step: from_step.to_owned(),
                    path: "/".to_owned(),
                    target: "/t".to_owned(),
                    writable: false,
                }],
                timeout_ms: None,
            })
        };
        let key = |op: Op| KeyInput { ops: &[keyed(&op)], ..plain() }.key();
        let step = |id: &str| place(Placed::Step(id.to_owned()), &[]);
        assert_eq!(key(step("s0-1")), key(step("s0-2")));
        assert_eq!(key(place(Placed::Source, &["*.log"])), key(place(Placed::Source, &[])));
        assert_eq!(key(bind("s0-1")), key(bind("s0-2")));
        let apart = [step("a"), place(Placed::Source, &[]), bind("a"), bind("")].map(key);
        assert_eq!(std::collections::BTreeSet::from(apart).len(), 4);
    }

    #[test]
    fn what_is_recorded_of_an_input_is_no_part_of_the_key() {
        let (few, many) = ([source("d", &[])], [source("d", &[("a", "1")])]);
        let key = |inputs: &[Vec<Input>]| KeyInput { inputs, ..plain() }.key();
        assert_eq!(key(&few), key(&many));
    }
}
