//! Validation of a build plan: nothing of a plan is carried out before all of it has been checked.

use std::collections::HashSet;

use super::{
    Base, BuildPlan, BuildStep, Mount, Op, Origin, Output, OutputKind, Place, Placed, Run,
};
use crate::limits::BuildLimits;

/// Operations of all steps.
const OPS_MAX: usize = 10_000;
/// Outputs, and processes.
const RESULTS_MAX: usize = 100;
/// A step's name, in bytes: it may be a whole instruction.
const NAME_BYTES_MAX: usize = 64 * 1024;
/// A word of a command or a variable, in bytes: the kernel takes no longer one.
const WORD_BYTES_MAX: usize = 128 * 1024 - 1;
/// The bits that a mode has.
const MODE_MAX: u32 = 0o7777;

/// Why a plan is refused. It is the plugin's fault, and says where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct PlanProblem {
    /// Where in the plan: `steps[2].ops[0]`.
    pub place: String,
    /// What is wrong with it.
    pub problem: String,
}

impl BuildPlan {
    /// Checks the whole plan: ids unique, references only backwards, paths absolute and without
    /// `..`, commands not empty, owners and modes that are some, numbers and sizes within limits.
    ///
    /// # Errors
    /// The first problem, in the plan's order.
    pub fn validate(&self, limits: &BuildLimits) -> Result<(), PlanProblem> {
        if self.steps.len() > limits.steps_max {
            let most = limits.steps_max;
            let why = format!(
                "more than {most} steps: `build.steps_max` in the limits file allows no more"
            );
            return problem("steps", why);
        }
        if self.steps.iter().map(|step| step.ops.len()).sum::<usize>() > OPS_MAX {
            return problem("steps", format!("more than {OPS_MAX} operations"));
        }
        let mut known = HashSet::new();
        for (n, step) in self.steps.iter().enumerate() {
            let place = format!("steps[{n}]");
            check_id(&place, &step.id)?;
            check_step(&place, step, &known)?;
            if !known.insert(step.id.as_str()) {
                return problem(&place, format!("the step id {:?} is used twice", step.id));
            }
        }
        let outputs = self.check_outputs(&known)?;
        self.check_processes(&outputs)
    }

    fn check_outputs(&self, steps: &HashSet<&str>) -> Result<HashSet<&str>, PlanProblem> {
        if self.outputs.is_empty() {
            return problem("outputs", "a plan needs at least one output");
        }
        if self.outputs.len() > RESULTS_MAX {
            return problem("outputs", format!("more than {RESULTS_MAX} outputs"));
        }
        let mut names = HashSet::new();
        for (n, Output { name, artifact }) in self.outputs.iter().enumerate() {
            let place = format!("outputs[{n}]");
            check_id(&place, name)?;
            if !names.insert(name.as_str()) {
                return problem(&place, format!("the output {name:?} is named twice"));
            }
            let step = match artifact {
                OutputKind::Image { step, config } => {
                    check_env(&place, &config.env)?;
                    check_owner(&place, Some(&config.user))?;
                    if !config.cwd.is_empty() {
                        check_absolute(&place, &config.cwd)?;
                    }
                    step
                }
                OutputKind::StaticTree { step, root, spa_fallback, not_found } => {
                    check_absolute(&place, root)?;
                    for file in [spa_fallback, not_found].into_iter().flatten() {
                        check_relative(&place, file)?;
                    }
                    step
                }
            };
            check_reference(&place, step, steps)?;
        }
        Ok(names)
    }

    fn check_processes(&self, outputs: &HashSet<&str>) -> Result<(), PlanProblem> {
        if self.processes.len() > RESULTS_MAX {
            return problem("processes", format!("more than {RESULTS_MAX} processes"));
        }
        let mut names = HashSet::new();
        for (n, process) in self.processes.iter().enumerate() {
            let place = format!("processes[{n}]");
            if let Err(e) = process.name.parse::<crate::id::ProcessName>() {
                return problem(&place, e.to_string());
            }
            if !names.insert(process.name.as_str()) {
                return problem(&place, format!("the process {:?} is named twice", process.name));
            }
            if !outputs.contains(process.output.as_str()) {
                return problem(&place, format!("there is no output {:?}", process.output));
            }
            check_words(&place, &process.argv)?;
        }
        Ok(())
    }
}

fn check_step(place: &str, step: &BuildStep, known: &HashSet<&str>) -> Result<(), PlanProblem> {
    match &step.base {
        Base::Step(id) => check_reference(place, id, known)?,
        Base::Image(reference) if reference.trim().is_empty() => {
            return problem(place, "the image reference is empty");
        }
        Base::Toolchains(list) if list.is_empty() => {
            return problem(place, "a base of toolchains names none");
        }
        Base::Image(_) | Base::Toolchains(_) | Base::Scratch => {}
    }
    if step.name.len() > NAME_BYTES_MAX {
        return problem(place, format!("its name is longer than {NAME_BYTES_MAX} bytes"));
    }
    check_env(place, &step.env)?;
    check_owner(place, Some(&step.user))?;
    if !step.cwd.is_empty() {
        check_absolute(place, &step.cwd)?;
    }
    for (n, op) in step.ops.iter().enumerate() {
        check_op(&format!("{place}.ops[{n}]"), op, known)?;
    }
    Ok(())
}

fn check_op(place: &str, op: &Op, known: &HashSet<&str>) -> Result<(), PlanProblem> {
    match op {
        Op::Run(run) => check_run(place, run, known),
        Op::Copy(copy) => {
            check_origin(place, &copy.origin, known)?;
            if copy.sources.is_empty() {
                return problem(place, "a copy names no sources");
            }
            for glob in copy.sources.iter().chain(&copy.exclude) {
                check_relative(place, glob.trim_start_matches('/'))?;
            }
            check_owner(place, copy.chown.as_deref())?;
            check_absolute(place, &copy.dest)
        }
        Op::WriteFile { path, mode, chown, .. } => {
            check_mode(place, *mode)?;
            check_owner(place, chown.as_deref())?;
            check_absolute(place, path)
        }
        Op::Fetch { url, sha256, dest, chown, .. } => {
            check_owner(place, chown.as_deref())?;
            check_download(place, url, sha256.as_deref())?;
            check_absolute(place, dest)
        }
        Op::Extract { origin, archive, dest } => {
            check_origin(place, origin, known)?;
            check_relative(place, archive.trim_start_matches('/'))?;
            check_absolute(place, dest)
        }
        Op::Place(wanted) => check_place(place, wanted, known),
        Op::MakeDir { path, chown } => {
            check_owner(place, chown.as_deref())?;
            check_absolute(place, path)
        }
    }
}

fn check_place(place: &str, wanted: &Place, known: &HashSet<&str>) -> Result<(), PlanProblem> {
    let file_name = |name: &str| match name {
        "" | "." | ".." => problem(place, format!("{name:?} is no name of a file")),
        name if name.contains(['/', '\0']) => {
            problem(place, format!("{name:?} is no name of a file"))
        }
        _ => Ok(()),
    };
    match &wanted.origin {
        Placed::Source | Placed::Image(_) => {}
        Placed::Step(id) => check_reference(place, id, known)?,
        Placed::Inline(files) if files.is_empty() => {
            return problem(place, "it places no files");
        }
        Placed::Inline(files) => files.iter().try_for_each(|file| {
            check_mode(place, file.mode)?;
            file_name(&file.name)
        })?,
        Placed::Download { url, sha256, name } => {
            check_download(place, url, sha256.as_deref())?;
            file_name(name)?;
        }
    }
    let named = matches!(wanted.origin, Placed::Source | Placed::Step(_) | Placed::Image(_));
    if named && wanted.paths.is_empty() {
        return problem(place, "it names no files to place");
    }
    for path in &wanted.paths {
        check_relative(place, path.trim_start_matches('/'))?;
    }
    check_owner(place, wanted.chown.as_deref())?;
    check_absolute(place, &wanted.dest)
}

fn check_download(place: &str, url: &str, sha256: Option<&str>) -> Result<(), PlanProblem> {
    if !url.starts_with("https://") && !url.starts_with("http://") {
        return problem(place, format!("{url:?} is not an http or https address"));
    }
    let hex = |s: &str| s.len() == 64 && s.bytes().all(|b| b.is_ascii_hexdigit());
    if sha256.is_some_and(|s| !hex(s)) {
        return problem(place, "sha256 is not 64 hexadecimal digits");
    }
    Ok(())
}

fn check_run(place: &str, run: &Run, known: &HashSet<&str>) -> Result<(), PlanProblem> {
    if run.argv.first().is_none_or(String::is_empty) {
        return problem(place, "the command is empty");
    }
    check_words(place, &run.argv)?;
    check_env(place, &run.env)?;
    check_owner(place, run.user.as_deref())?;
    if let Some(cwd) = &run.cwd {
        check_absolute(place, cwd)?;
    }
    for mount in &run.mounts {
        match mount {
            Mount::Cache { id, target, .. } => {
                check_id(place, id)?;
                check_absolute(place, target)?;
                check_cache_target(place, target)?;
            }
            Mount::Bind { from_step, path, target, .. } => {
                if !from_step.is_empty() {
                    check_reference(place, from_step, known)?;
                }
                check_relative(place, path.trim_start_matches('/'))?;
                check_absolute(place, target)?;
            }
            Mount::Secret { target, mode, .. } => {
                check_mode(place, *mode)?;
                if let Some(target) = target {
                    check_absolute(place, target)?;
                }
            }
            Mount::Tmpfs { target, .. } => check_absolute(place, target)?,
        }
    }
    Ok(())
}

/// What is installed belongs to the step's result: a cache in its place would be missing from the image.
fn check_cache_target(place: &str, target: &str) -> Result<(), PlanProblem> {
    if !target.split('/').any(|part| part == "node_modules") {
        return Ok(());
    }
    problem(
        place,
        format!(
            "the cache mount {target:?} lies in a node_modules: what is installed there would be \
             missing from the image, and one build would get what another left; cache the package \
             manager's own store instead"
        ),
    )
}

fn check_origin(place: &str, origin: &Origin, known: &HashSet<&str>) -> Result<(), PlanProblem> {
    match origin {
        Origin::Step(id) => check_reference(place, id, known),
        Origin::Source | Origin::Image(_) => Ok(()),
    }
}

fn check_reference(place: &str, id: &str, known: &HashSet<&str>) -> Result<(), PlanProblem> {
    if known.contains(id) {
        return Ok(());
    }
    problem(place, format!("it refers to the step {id:?}, which does not come before it"))
}

fn check_id(place: &str, id: &str) -> Result<(), PlanProblem> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=64).contains(&id.len()) && id.chars().all(good) && !id.starts_with('.') {
        return Ok(());
    }
    problem(place, format!("{id:?} is no id: use up to 64 letters, digits, '-', '_' and '.'"))
}

fn check_absolute(place: &str, path: &str) -> Result<(), PlanProblem> {
    match path.strip_prefix('/') {
        Some(rest) => check_relative(place, rest),
        None => problem(place, format!("the path {path:?} is not absolute")),
    }
}

fn check_relative(place: &str, path: &str) -> Result<(), PlanProblem> {
    if path.split('/').any(|part| part == "..") || path.contains('\0') || path.starts_with('/') {
        return problem(place, format!("the path {path:?} leaves its root"));
    }
    Ok(())
}

fn check_env(place: &str, env: &[(String, String)]) -> Result<(), PlanProblem> {
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return problem(place, format!("{name:?} is not a usable environment variable"));
        }
        if name.len() + value.len() + 1 > WORD_BYTES_MAX {
            return problem(place, format!("{name:?} is longer than {WORD_BYTES_MAX} bytes"));
        }
    }
    Ok(())
}

/// Users and groups are looked up in files of lines.
fn check_owner(place: &str, owner: Option<&str>) -> Result<(), PlanProblem> {
    match owner.filter(|owner| owner.contains(char::is_control)) {
        Some(owner) => problem(place, format!("{owner:?} is no user and no owner")),
        None => Ok(()),
    }
}

fn check_mode(place: &str, mode: u32) -> Result<(), PlanProblem> {
    if mode > MODE_MAX {
        return problem(place, format!("{mode:#o} is no mode: it has bits beyond {MODE_MAX:#o}"));
    }
    Ok(())
}

fn check_words(place: &str, argv: &[String]) -> Result<(), PlanProblem> {
    if argv.iter().any(|word| word.contains('\0')) {
        return problem(place, "a command contains a zero byte");
    }
    if argv.iter().any(|word| word.len() > WORD_BYTES_MAX) {
        return problem(
            place,
            format!("a word of a command is longer than {WORD_BYTES_MAX} bytes"),
        );
    }
    Ok(())
}

fn problem<T>(place: &str, problem: impl Into<String>) -> Result<T, PlanProblem> {
    Err(PlanProblem { place: place.to_owned(), problem: problem.into() })
}

#[cfg(test)]
mod tests {
    use super::super::{Copy, ProcessKind, ProcessPlan, RunConfig};
    use super::*;

    fn step(id: &str, base: Base, ops: Vec<Op>) -> BuildStep {
        BuildStep {
            id: id.into(),
            name: id.into(),
            base,
            env: vec![],
            cwd: "/app".into(),
            user: "root".into(),
            ops,
        }
    }

    fn good() -> BuildPlan {
        let copy = Op::Copy(Copy {
            origin: Origin::Source,
            sources: vec!["**".into()],
            exclude: vec![],
            dest: "/app/".into(),
            chown: None,
            chmod: None,
            parents: false,
        });
        BuildPlan {
            steps: vec![
                step("a", Base::Scratch, vec![copy]),
                step("b", Base::Step("a".into()), vec![]),
            ],
            outputs: vec![Output {
                name: "app".into(),
                artifact: OutputKind::Image { step: "b".into(), config: RunConfig::default() },
            }],
            processes: vec![ProcessPlan {
                name: "web".into(),
                output: "app".into(),
                kind: ProcessKind::Web,
                argv: vec!["x".into()],
                ports: vec![],
            }],
            toolchains: vec![],
        }
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut BuildPlan), expected: &str) {
        let mut plan = good();
        change(&mut plan);
        let problem = plan.validate(&BuildLimits::default()).unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem}");
    }

    #[test]
    fn a_good_plan_passes() {
        good().validate(&BuildLimits::default()).unwrap();
    }

    #[test]
    fn bad_plans_are_refused_by_place() {
        check(|p| p.steps[0].base = Base::Step("b".into()), "does not come before");
        check(|p| p.steps[1].base = Base::Step("b".into()), "does not come before");
        check(|p| p.steps[1] = step("a", Base::Scratch, vec![]), "used twice");
        check(|p| p.outputs.clear(), "at least one output");
        check(|p| p.processes[0].output = "x".into(), "no output");
        check(|p| p.processes[0].name = "Web!".into(), "process name");
        check(|p| p.steps[0].cwd = "app".into(), "not absolute");
        check(|p| p.steps[0].cwd = "/a/../b".into(), "leaves its root");
        check(|p| p.steps = vec![p.steps[0].clone(); 500], "more than 200");
        check(|p| p.steps[0].ops = vec![p.steps[0].ops[0].clone(); 20_000], "10000 operations");
        check(|p| p.outputs = vec![p.outputs[0].clone(); 101], "100 outputs");
        check(|p| p.processes = vec![p.processes[0].clone(); 101], "100 processes");
        check(|p| p.processes[0].argv.push("x".repeat(200_000)), "a word of a command");
        check(|p| p.steps[0].env.push(("A".into(), "x".repeat(200_000))), "longer than");
        check(|p| p.steps[0].name = "x".repeat(100_000), "its name is longer");
        check(|p| p.steps[0].user = "0\n0".into(), "no user");
        let file = |mode, chown: Option<&str>| {
            let chown = chown.map(str::to_owned);
            vec![Op::WriteFile { path: "/x".into(), content: vec![], mode, chown }]
        };
        check(|p| p.steps[0].ops = file(0o1_0000, None), "no mode");
        check(|p| p.steps[0].ops = file(0o644, Some("0:0\n")), "no owner");
    }

    #[test]
    fn a_cache_mount_in_a_node_modules_is_refused_with_the_reason() {
        let cached = |target: &str| {
            let mount = Mount::Cache {
                id: "c".into(),
                target: target.into(),
                sharing: super::super::Sharing::Locked,
            };
            let run = Run {
                argv: vec!["x".into()],
                env: vec![],
                cwd: None,
                user: None,
                network: false,
                mounts: vec![mount],
                timeout_ms: None,
            };
            let mut plan = good();
            plan.steps[1].ops = vec![Op::Run(run)];
            plan.validate(&BuildLimits::default())
        };
        for target in ["/app/node_modules", "/app/node_modules/.cache", "/node_modules/"] {
            let problem = cached(target).unwrap_err().to_string();
            assert!(problem.contains("missing from the image"), "{problem}");
        }
        cached("/app/node_modules_cache").unwrap();
    }
}
