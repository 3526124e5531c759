//! A plan as a few lines of text: what tests compare and people read.

use windlass_sdk::KeyValues;
use windlass_sdk::plan::{
    Artifact, Base, BuildPlan, Copy, Mount, Op, Origin, Place, Placed, Run, Step,
};

/// The plan, a line for each operation.
pub fn outline(plan: &BuildPlan) -> String {
    let mut lines = Vec::new();
    for step in &plan.steps {
        lines.push(format!("step {} ({}) on {}", step.id, step.name, base(step)));
        lines.extend(step.ops.iter().map(|op| format!("  {}", operation(op))));
    }
    for output in &plan.outputs {
        lines.push(match &output.artifact {
            Artifact::Image(image) => {
                let config = &image.config;
                let env = pairs(&config.env);
                format!(
                    "output {}: image of {} as {} in {} {env}",
                    output.name, image.step, config.user, config.cwd
                )
            }
            Artifact::StaticTree(tree) => format!(
                "output {}: files of {} in {} spa={:?} not-found={:?}",
                output.name, tree.step, tree.root, tree.spa_fallback, tree.not_found
            ),
        });
    }
    for process in &plan.processes {
        let (name, kind, argv) = (&process.name, process.kind, &process.argv);
        lines.push(format!("process {name}: {kind:?} {argv:?} ports={:?}", process.ports));
    }
    lines.join("\n")
}

fn base(step: &Step) -> String {
    match &step.base {
        Base::Step(id) => id.clone(),
        Base::Image(reference) => format!("image {reference}"),
        Base::Scratch => "nothing".to_owned(),
        Base::Toolchains(list) => {
            let shown = |one: &windlass_sdk::Toolchain| format!("{} {}", one.name, one.requirement);
            list.iter().map(shown).collect::<Vec<_>>().join(", ")
        }
    }
}

fn operation(op: &Op) -> String {
    match op {
        Op::Run(run) => command(run),
        Op::Copy(copy) => copied(copy),
        Op::WriteFile(file) => {
            format!("write {}: {}", file.path, String::from_utf8_lossy(&file.content))
        }
        Op::Fetch(fetch) => format!("fetch {} to {}", fetch.url, fetch.dest),
        Op::Extract(extract) => format!("extract {} to {}", extract.archive, extract.dest),
        Op::Place(place) => placed(place),
        Op::MakeDir(dir) => {
            let owner = dir.chown.as_ref().map_or_else(String::new, |owner| format!(" as {owner}"));
            format!("make {}{owner}", dir.path)
        }
    }
}

fn placed(place: &Place) -> String {
    let from = match &place.origin {
        Placed::Source => format!("{} of source", place.paths.join(" ")),
        Placed::Step(step) => format!("{} of {step}", place.paths.join(" ")),
        Placed::Image(image) => format!("{} of {image}", place.paths.join(" ")),
        Placed::Inline(files) => {
            files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(" ")
        }
        Placed::Download(from) => from.url.clone(),
    };
    let mut text = format!("place {from} at {}", place.dest);
    for (name, value) in [(" as ", &place.chown), (" with mode ", &place.chmod)] {
        text.extend(value.iter().map(|value| format!("{name}{value}")));
    }
    for (name, set) in
        [(" +parents", place.parents), (" +link", place.link), (" +unpack", place.unpack)]
    {
        text.push_str(if set { name } else { "" });
    }
    text
}

fn command(run: &Run) -> String {
    let mut text = format!("run {}", run.argv.join(" "));
    if run.network {
        text.push_str(" +network");
    }
    for mount in &run.mounts {
        if let Mount::Cache(cache) = mount {
            text.push_str(&format!(" +cache {} at {}", cache.id, cache.target));
        }
    }
    text
}

fn copied(copy: &Copy) -> String {
    let from = match &copy.origin {
        Origin::Source => "source".to_owned(),
        Origin::Step(step) => step.clone(),
        Origin::Image(image) => image.clone(),
    };
    let owner = copy.chown.as_ref().map_or_else(String::new, |owner| format!(" as {owner}"));
    format!("copy {} of {from} to {}{owner}", copy.sources.join(" "), copy.dest)
}

fn pairs(env: &KeyValues) -> String {
    env.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
}
