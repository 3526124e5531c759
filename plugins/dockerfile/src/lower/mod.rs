//! From the instructions to the plan: one step for each that changes files, none for the others.
//!
//! **Invariant: a plan is all of the file or nothing.** Only the stages that the target needs are lowered, each
//! once, before those that use them.

use std::collections::{BTreeMap, BTreeSet};

use windlass_sdk::images::{ImageConfig, ImageError};
use windlass_sdk::plan::{Base, Step};

use crate::instruction::{Instruction, Kind, parse};
use crate::lines;
use crate::problem::{Found, Problem, nearest};
use crate::stages::Dockerfile;
use crate::words::Lexer;

mod apply;
mod copy;
mod mount;
mod run;
mod state;

pub(crate) use state::{Env, State};

/// What is given beside the file.
pub(crate) struct Given<'a> {
    /// Values of arguments.
    pub(crate) args: &'a BTreeMap<String, String>,
    /// The stage that is asked for.
    pub(crate) target: Option<&'a str>,
    /// `linux/amd64`
    pub(crate) platform: &'a str,
    /// Lines of the ignore file.
    pub(crate) ignore: Vec<String>,
    /// Names of the environment's variables.
    pub(crate) variables: &'a [String],
    /// How images are looked up.
    pub(crate) images: fn(&str, &str) -> Result<ImageConfig, ImageError>,
}

/// Names that need no ARG.
const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy"];

/// The work.
pub(crate) struct Lowering<'a> {
    file: &'a Dockerfile,
    given: Given<'a>,
    globals: Env,
    steps: Vec<Step>,
    done: BTreeMap<usize, State>,
    images: BTreeMap<String, (String, ImageConfig)>,
    contexts: BTreeMap<String, String>,
    used: BTreeSet<String>,
    /// What is worth saying.
    pub(crate) warnings: Vec<String>,
}

/// Everything that comes out.
pub(crate) struct Lowered {
    /// The steps.
    pub(crate) steps: Vec<Step>,
    /// The step whose result is the image.
    pub(crate) step: String,
    /// How the image is run, and what it is.
    pub(crate) state: State,
    /// What is worth saying.
    pub(crate) warnings: Vec<String>,
}

/// Lowers the target of a file.
pub(crate) fn lower(file: &Dockerfile, given: Given<'_>) -> Found<Lowered> {
    let target = file.target(given.target)?;
    let mut lowering = Lowering {
        file,
        globals: Env::default(),
        steps: Vec::new(),
        done: BTreeMap::new(),
        images: BTreeMap::new(),
        contexts: BTreeMap::new(),
        used: BTreeSet::new(),
        warnings: Vec::new(),
        given,
    };
    lowering.globals()?;
    lowering.stage(target)?;
    let step = lowering.step_of_stage(target);
    let state = lowering.done.remove(&target).unwrap_or_default();
    lowering.warn_of_unused();
    let Lowering { steps, warnings, .. } = lowering;
    Ok(Lowered { steps, step, state, warnings })
}

impl Lowering<'_> {
    /// The platform's arguments, then the ARGs before the first FROM.
    fn globals(&mut self) -> Found<()> {
        let platform = self.given.platform.to_owned();
        let mut parts = platform.splitn(3, '/');
        let (os, arch) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let variant = parts.next().unwrap_or_default();
        for side in ["BUILD", "TARGET"] {
            for (name, value) in
                [("PLATFORM", platform.as_str()), ("OS", os), ("ARCH", arch), ("VARIANT", variant)]
            {
                self.globals.set(&format!("{side}{name}"), value);
            }
        }
        let target = self.given.target.unwrap_or("default").to_owned();
        self.globals.set("TARGETSTAGE", &target);
        let file = self.file;
        for instruction in &file.globals {
            let Kind::Arg(list) = &instruction.kind else { continue };
            for (name, default) in list {
                self.used.insert(name.clone());
                let value = match (self.given.args.get(name), default) {
                    (Some(given), _) => Some(given.clone()),
                    (None, Some(text)) => {
                        let expanded = expand(file.escape, &self.globals, text);
                        Some(expanded.map_err(|p| p.at(instruction.line, "ARG"))?)
                    }
                    (None, None) => None,
                };
                value.iter().for_each(|value| self.globals.set(name, value));
            }
        }
        Ok(())
    }

    /// Lowers a stage, unless it was lowered before.
    fn stage(&mut self, index: usize) -> Found<()> {
        if self.done.contains_key(&index) {
            return Ok(());
        }
        let file = self.file;
        let stage = &file.stages[index];
        let at = |p: Problem| p.at(stage.line, "FROM");
        let (mut state, triggers) = self.base(index).map_err(at)?;
        for trigger in triggers {
            let line = lines::read_one(&trigger, '\\').map_err(at)?;
            let mut one = parse(&line, '\\').map_err(|p| Problem { line: 0, ..p }).map_err(at)?;
            one.line = stage.line;
            one.name = format!("ONBUILD {}", one.name);
            self.apply(index, &mut state, &one)?;
        }
        for instruction in &stage.instructions {
            self.apply(index, &mut state, instruction)?;
        }
        self.done.insert(index, state);
        Ok(())
    }

    /// What a stage begins with, and the triggers of what it is based on.
    fn base(&mut self, index: usize) -> Found<(State, Vec<String>)> {
        let file = self.file;
        let stage = &file.stages[index];
        let name = expand(file.escape, &self.globals, &stage.image)?;
        if name.is_empty() {
            let fix = "give the ARG before it a default, or set it in build.args of windlass.toml";
            let what = format!("the name of its image, {}, is empty", stage.image);
            return Err(Problem::new("dockerfile.variable", what, fix));
        }
        self.check_platform(stage.platform.as_deref())?;
        if let Some(base) = file.named(&name, index) {
            self.stage(base)?;
            let mut state = self.done.get(&base).cloned().unwrap_or_default();
            let triggers =
                file.stages[base].instructions.iter().filter_map(|one| match &one.kind {
                    Kind::OnBuild(text) => Some(text.clone()),
                    _ => None,
                });
            state.begin_stage();
            return Ok((state, triggers.collect()));
        }
        if name == "scratch" {
            return Ok((State::scratch(), Vec::new()));
        }
        let (pinned, config) = self.image(&name, index)?;
        let triggers = config.onbuild.clone();
        Ok((State::of_image(Base::Image(pinned), config), triggers))
    }

    fn check_platform(&self, text: Option<&str>) -> Found<()> {
        let Some(text) = text else { return Ok(()) };
        let wanted = expand(self.file.escape, &self.globals, text)?;
        let same = |one: &str| {
            let one = one.to_ascii_lowercase();
            let one = if one.contains('/') { one } else { format!("linux/{one}") };
            one.replace("x86_64", "amd64")
                .replace("aarch64", "arm64")
                .trim_end_matches("/v8")
                .to_owned()
        };
        if same(&wanted) == same(self.given.platform) {
            return Ok(());
        }
        Err(Problem::unsupported(
            format!(
                "--platform={wanted} is not this host's, which builds for {}",
                self.given.platform
            ),
            "remove --platform, or write --platform=$TARGETPLATFORM",
        ))
    }

    /// An image: its name with its digest, and what it brings.
    fn image(&mut self, name: &str, before: usize) -> Found<(String, ImageConfig)> {
        if let Some(known) = self.images.get(name) {
            return Ok(known.clone());
        }
        let config = (self.given.images)(name, self.given.platform).map_err(|error| {
            let stages: Vec<&str> =
                self.file.stages[..before].iter().filter_map(|one| one.name.as_deref()).collect();
            let meant = nearest(name, stages.iter().copied());
            let meant = meant.map(|meant| format!("did you mean the stage {meant:?}?"));
            let (what, fix) = match error {
                ImageError::NotFound => ("is not there", "check its name and tag"),
                ImageError::Denied => ("wants a login", "store one with `windlass registry login`"),
                ImageError::Unreachable => {
                    ("cannot be looked up: its registry does not answer", "try again later")
                }
                ImageError::UnsupportedPlatform => {
                    ("is not made for this machine", "choose an image that is")
                }
            };
            let passing = matches!(error, ImageError::Unreachable);
            let what = format!("the image {name} {what}");
            let fix = meant.unwrap_or_else(|| format!("{fix}{}", instead(name, &stages)));
            Problem { passing, ..Problem::new("dockerfile.image", what, fix) }
        })?;
        let tagged = match name.rsplit('/').next().unwrap_or_default() {
            last if last.contains(':') || name.contains('@') => name.to_owned(),
            _ => format!("{name}:latest"),
        };
        let pinned = match name.contains('@') || config.digest.is_empty() {
            true => name.to_owned(),
            false => format!("{tagged}@{}", config.digest),
        };
        self.images.insert(name.to_owned(), (pinned.clone(), config.clone()));
        Ok((pinned, config))
    }

    /// The stage that a `--from` means, if it is one.
    fn stage_of(&self, from: &str, index: usize) -> Found<Option<usize>> {
        if from.contains('$') {
            return Err(Problem::syntax(
                "--from takes no variables",
                "write FROM with the variable AS a stage, and name the stage here",
            ));
        }
        let later = |place: usize| {
            let stage = self.file.stages[place].label(place);
            Problem::new(
                "dockerfile.no-such-stage",
                format!("the stage {stage:?} does not come before this one"),
                "move it up",
            )
        };
        if let Ok(number) = from.parse::<usize>() {
            return match number {
                number if number < index => Ok(Some(number)),
                number if number < self.file.stages.len() => Err(later(number)),
                number => Err(Problem::new(
                    "dockerfile.no-such-stage",
                    format!("there is no stage {number}"),
                    format!("there are {} stages, counted from 0", self.file.stages.len()),
                )),
            };
        }
        match (self.file.named(from, index), self.file.named(from, self.file.stages.len())) {
            (Some(found), _) => Ok(Some(found)),
            (None, Some(place)) => Err(later(place)),
            (None, None) => Ok(None),
        }
    }

    /// The step whose result a lowered stage is; one without steps of its own gets an empty one.
    fn step_of_stage(&mut self, index: usize) -> String {
        let base = self.done.get(&index).map(|state| state.base.clone());
        if let Some(Base::Step(id)) = base {
            return id;
        }
        let label = self.file.stages[index].label(index);
        let step = self.new_step(index, format!("begin {label}"), base.unwrap_or(Base::Scratch));
        let id = step.id.clone();
        self.steps.push(step);
        if let Some(state) = self.done.get_mut(&index) {
            state.base = Base::Step(id.clone());
        }
        id
    }

    /// A step of a stage, without operations, environment and user.
    fn new_step(&self, index: usize, name: String, base: Base) -> Step {
        let mut step = Step::new(format!("s{index}-{}", self.steps.len()), name, base);
        "/".clone_into(&mut step.cwd);
        step
    }

    /// Adds a step on top of a state.
    fn push(&mut self, state: &mut State, step: Step) {
        state.base = Base::Step(step.id.clone());
        self.steps.push(step);
    }

    /// `RUN npm ci (line 4)`, with the stage in front where there are several. The line is there for what fails only
    /// when it is carried out; no key of the cache has it.
    fn shown(&self, index: usize, one: &Instruction) -> String {
        const CHARS_MAX: usize = 100;
        let text = one.text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = if text.chars().count() > CHARS_MAX {
            format!("{}...", text.chars().take(CHARS_MAX).collect::<String>())
        } else {
            text
        };
        let trigger = if one.name.starts_with("ONBUILD") { "ONBUILD " } else { "" };
        match self.file.stages.len() {
            1 => format!("{trigger}{text} (line {})", one.line),
            _ => {
                let stage = self.file.stages[index].label(index);
                format!("{stage}: {trigger}{text} (line {})", one.line)
            }
        }
    }

    fn expand(&self, state: &State, text: &str) -> Found<String> {
        expand(self.file.escape, &state.env, text)
    }

    fn warn_of_unused(&mut self) {
        for name in self.given.args.keys() {
            let proxy = PROXIES.contains(&name.to_ascii_lowercase().as_str());
            if !proxy && !self.used.contains(name) && self.globals.get(name).is_none() {
                let known = self.used.iter().map(String::as_str);
                let meant = nearest(name, known).map(|meant| format!("; did you mean {meant}?"));
                self.warnings.push(format!(
                    "build.args has {name}, and no ARG of the stages that are built declares it{}",
                    meant.unwrap_or_default()
                ));
            }
        }
    }
}

/// The stages that may have been meant by what looks like the name of one, behind another way out.
fn instead(name: &str, stages: &[&str]) -> String {
    if name.contains(['/', ':', '@']) {
        return String::new();
    }
    match stages {
        [] => String::new(),
        [only] => format!("; the stage before it is {only}"),
        [first @ .., last] => {
            format!("; the stages before it are {} and {last}", first.join(", "))
        }
    }
}

fn expand(escape: char, env: &Env, text: &str) -> Found<String> {
    Lexer::new(escape).word(text, &|name| env.get(name).map(str::to_owned)).map_err(|why| {
        Problem::new(
            "dockerfile.variable",
            format!("{text}: {why}"),
            "correct the substitution, or set the variable",
        )
    })
}

#[cfg(test)]
mod tests;
