//! Which steps the outputs need: the others are not carried out.

use std::collections::BTreeSet;

use windlass_model::plan::{Base, BuildPlan, BuildStep, Mount, Op, Origin, OutputKind, Placed};

/// Ids of the steps that some output needs, directly or not.
pub(super) fn needed(plan: &BuildPlan) -> BTreeSet<&str> {
    let mut wanted: BTreeSet<&str> = plan
        .outputs
        .iter()
        .map(|output| match &output.artifact {
            OutputKind::Image { step, .. } | OutputKind::StaticTree { step, .. } => step.as_str(),
        })
        .collect();
    // Steps refer only to earlier ones, so one pass from the end finds all of them.
    for step in plan.steps.iter().rev() {
        if wanted.contains(step.id.as_str()) {
            wanted.extend(references(step));
        }
    }
    wanted
}

/// Ids of the steps that a step needs itself.
pub(super) fn references(step: &BuildStep) -> Vec<&str> {
    let mut found = Vec::new();
    if let Base::Step(id) = &step.base {
        found.push(id.as_str());
    }
    for op in &step.ops {
        match op {
            Op::Copy(copy) => found.extend(origin_step(&copy.origin)),
            Op::Extract { origin, .. } => found.extend(origin_step(origin)),
            Op::Run(run) => found.extend(run.mounts.iter().filter_map(|mount| match mount {
                Mount::Bind { from_step, .. } if !from_step.is_empty() => Some(from_step.as_str()),
                _ => None,
            })),
            Op::Place(place) => found.extend(match &place.origin {
                Placed::Step(id) => Some(id.as_str()),
                _ => None,
            }),
            Op::WriteFile { .. } | Op::Fetch { .. } | Op::MakeDir { .. } => {}
        }
    }
    found
}

fn origin_step(origin: &Origin) -> Option<&str> {
    match origin {
        Origin::Step(id) => Some(id),
        Origin::Source | Origin::Image(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use windlass_model::plan::{Copy, Output, RunConfig};

    use super::*;

    fn step(id: &str, base: Base, from: Option<&str>) -> BuildStep {
        let copy = from.map(|id| {
            Op::Copy(Copy {
                origin: Origin::Step(id.into()),
                sources: vec![".".into()],
                exclude: vec![],
                dest: "/".into(),
                chown: None,
                chmod: None,
                parents: false,
            })
        });
        let (env, ops) = (vec![], copy.into_iter().collect());
        BuildStep {
            id: id.into(),
            name: id.into(),
            base,
            env,
            cwd: "/".into(),
            user: "".into(),
            ops,
        }
    }

    #[test]
    fn a_step_that_nothing_needs_is_left_out() {
        let plan = BuildPlan {
            steps: vec![
                step("deps", Base::Scratch, None),
                step("tests", Base::Step("deps".into()), None),
                step("run", Base::Scratch, Some("deps")),
            ],
            outputs: vec![Output {
                name: "app".into(),
                artifact: OutputKind::Image { step: "run".into(), config: RunConfig::default() },
            }],
            ..BuildPlan::default()
        };
        assert_eq!(needed(&plan).into_iter().collect::<Vec<_>>(), ["deps", "run"]);
    }
}
