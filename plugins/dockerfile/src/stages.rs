//! The stages of a file.

use crate::instruction::{Instruction, Kind, parse};
use crate::lines;
use crate::problem::{Found, Problem, nearest};

/// A FROM and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    /// Line of its FROM.
    pub(crate) line: usize,
    /// Its name, in small letters.
    pub(crate) name: Option<String>,
    /// What it is based on, as it stands.
    pub(crate) image: String,
    /// `--platform`, as it stands.
    pub(crate) platform: Option<String>,
    /// What follows.
    pub(crate) instructions: Vec<Instruction>,
}

impl Stage {
    /// What people call it.
    pub(crate) fn label(&self, index: usize) -> String {
        self.name.clone().unwrap_or_else(|| format!("stage {index}"))
    }
}

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dockerfile {
    /// Its escape character.
    pub(crate) escape: char,
    /// The ARGs before the first FROM.
    pub(crate) globals: Vec<Instruction>,
    /// Its stages.
    pub(crate) stages: Vec<Stage>,
}

impl Dockerfile {
    /// Reads a file's text.
    pub(crate) fn read(text: &str) -> Found<Self> {
        let file = lines::read(text)?;
        let mut read = Self { escape: file.escape, globals: Vec::new(), stages: Vec::new() };
        for line in &file.lines {
            let one = parse(line, file.escape)?;
            match (one.kind, read.stages.last_mut()) {
                (Kind::From { image, name, platform }, _) => {
                    let (line, instructions) = (one.line, Vec::new());
                    read.stages.push(Stage { line, name, image, platform, instructions });
                }
                (kind, Some(stage)) => stage.instructions.push(Instruction { kind, ..one }),
                (kind @ Kind::Arg(_), None) => read.globals.push(Instruction { kind, ..one }),
                (_, None) => {
                    let problem = Problem::syntax(
                        "only ARG may stand before the first FROM",
                        "begin with FROM and the image to start from",
                    );
                    return Err(problem.at(one.line, &one.name));
                }
            }
        }
        if read.stages.is_empty() {
            return Err(Problem::syntax(
                "it has no FROM",
                "begin with FROM and the image to start from",
            ));
        }
        Ok(read)
    }

    /// The last stage of this name before `before`.
    pub(crate) fn named(&self, name: &str, before: usize) -> Option<usize> {
        let is_it =
            |stage: &Stage| stage.name.as_ref().is_some_and(|n| n.eq_ignore_ascii_case(name));
        self.stages[..before].iter().rposition(is_it)
    }

    /// The stage to build: the one that is asked for, else the last.
    pub(crate) fn target(&self, wanted: Option<&str>) -> Found<usize> {
        let count = self.stages.len();
        let Some(wanted) = wanted else { return Ok(count - 1) };
        let by_number = || wanted.parse().ok().filter(|n: &usize| *n < count);
        self.named(wanted, count).or_else(by_number).ok_or_else(|| {
            let names: Vec<&str> = self.names().collect();
            let fix = match nearest(wanted, names.iter().copied()) {
                Some(meant) => format!("did you mean {meant:?}? Set build.target in windlass.toml"),
                None if names.is_empty() => "no stage has a name: remove build.target".to_owned(),
                None => format!("set build.target to one of {}", names.join(", ")),
            };
            Problem::new("dockerfile.no-such-stage", format!("it has no stage {wanted:?}"), fix)
        })
    }

    /// The names of its stages.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().filter_map(|stage| stage.name.as_deref())
    }
}
