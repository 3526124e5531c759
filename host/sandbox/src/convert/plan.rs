//! Build plans.

use windlass_model::plan::{
    Base, BuildPlan, BuildStep, Copy, HealthCheck, ImageDetails, InlineFile, Mount, Op, Origin,
    Output, OutputKind, Place, Placed, ProcessKind, ProcessPlan, Run, RunConfig, Sharing,
};

use super::facts::toolchains;
use crate::bindings::{builder, types};
use crate::text::plain_line;

/// The plan as the model has it; [`BuildPlan::validate`] says whether it makes sense.
pub(crate) fn plan(plan: builder::BuildPlan) -> BuildPlan {
    BuildPlan {
        steps: plan.steps.into_iter().map(step).collect(),
        outputs: plan.outputs.into_iter().map(output).collect(),
        processes: plan.processes.into_iter().map(process).collect(),
        toolchains: toolchains(plan.toolchains),
    }
}

fn step(step: builder::Step) -> BuildStep {
    BuildStep {
        id: step.id,
        name: plain_line(&step.name),
        base: match step.base {
            builder::Base::Step(id) => Base::Step(id),
            builder::Base::Image(reference) => Base::Image(reference),
            builder::Base::Toolchains(all) => Base::Toolchains(toolchains(all)),
            builder::Base::Scratch => Base::Scratch,
        },
        env: step.env,
        cwd: step.cwd,
        user: step.user,
        ops: step.ops.into_iter().map(op).collect(),
    }
}

fn op(op: builder::Op) -> Op {
    match op {
        builder::Op::Run(run) => Op::Run(Run {
            argv: run.argv,
            env: run.env,
            cwd: run.cwd,
            user: run.user,
            network: run.network,
            mounts: run.mounts.into_iter().map(mount).collect(),
            timeout_ms: run.timeout_ms,
        }),
        builder::Op::Copy(copy) => Op::Copy(Copy {
            origin: origin(copy.origin),
            sources: copy.sources,
            exclude: copy.exclude,
            dest: copy.dest,
            chown: copy.chown,
            chmod: copy.chmod,
            parents: copy.parents,
        }),
        builder::Op::WriteFile(write) => Op::WriteFile {
            path: write.path,
            content: write.content,
            mode: write.mode,
            chown: write.chown,
        },
        builder::Op::Fetch(fetch) => Op::Fetch {
            url: fetch.url,
            sha256: fetch.sha256,
            dest: fetch.dest,
            chown: fetch.chown,
            chmod: fetch.chmod,
        },
        builder::Op::Extract(extract) => Op::Extract {
            origin: origin(extract.origin),
            archive: extract.archive,
            dest: extract.dest,
        },
        builder::Op::Place(wanted) => Op::Place(place(wanted)),
        builder::Op::MakeDir(dir) => Op::MakeDir { path: dir.path, chown: dir.chown },
    }
}

fn place(place: builder::Place) -> Place {
    let inline = |file: builder::InlineFile| InlineFile {
        name: file.name,
        content: file.content,
        mode: file.mode,
    };
    Place {
        origin: match place.origin {
            builder::Placed::Source => Placed::Source,
            builder::Placed::Step(id) => Placed::Step(id),
            builder::Placed::Image(reference) => Placed::Image(reference),
            builder::Placed::Inline(files) => {
                Placed::Inline(files.into_iter().map(inline).collect())
            }
            builder::Placed::Download(from) => {
                Placed::Download { url: from.url, sha256: from.sha256, name: from.name }
            }
        },
        paths: place.paths,
        ignore: place.ignore,
        exclude: place.exclude,
        dest: place.dest,
        chown: place.chown,
        chmod: place.chmod,
        parents: place.parents,
        link: place.link,
        unpack: place.unpack,
    }
}

/// How an image says that its process is asked whether it is well.
pub(crate) fn health_check(check: types::HealthCheck) -> HealthCheck {
    HealthCheck {
        test: check.test,
        interval_ms: check.interval_ms,
        timeout_ms: check.timeout_ms,
        start_period_ms: check.start_period_ms,
        start_interval_ms: check.start_interval_ms,
        retries: check.retries,
    }
}

/// The same for a guest.
pub(crate) fn health_check_to_guest(check: &HealthCheck) -> types::HealthCheck {
    types::HealthCheck {
        test: check.test.clone(),
        interval_ms: check.interval_ms,
        timeout_ms: check.timeout_ms,
        start_period_ms: check.start_period_ms,
        start_interval_ms: check.start_interval_ms,
        retries: check.retries,
    }
}

fn origin(origin: builder::Origin) -> Origin {
    match origin {
        builder::Origin::Source => Origin::Source,
        builder::Origin::Step(id) => Origin::Step(id),
        builder::Origin::Image(reference) => Origin::Image(reference),
    }
}

fn mount(mount: builder::Mount) -> Mount {
    match mount {
        builder::Mount::Cache(cache) => Mount::Cache {
            id: cache.id,
            target: cache.target,
            sharing: match cache.sharing {
                builder::Sharing::Shared => Sharing::Shared,
                builder::Sharing::Locked => Sharing::Locked,
                builder::Sharing::Private => Sharing::Private,
            },
        },
        builder::Mount::Bind(bind) => Mount::Bind {
            from_step: bind.from_step,
            path: bind.path,
            target: bind.target,
            writable: bind.writable,
        },
        builder::Mount::Secret(secret) => Mount::Secret {
            name: secret.name,
            target: secret.target,
            env: secret.env,
            mode: secret.mode,
            owner: secret.owner,
            required: secret.required,
        },
        builder::Mount::Tmpfs(tmpfs) => {
            Mount::Tmpfs { target: tmpfs.target, bytes_max: tmpfs.bytes_max }
        }
    }
}

fn output(output: builder::Output) -> Output {
    let artifact = match output.artifact {
        builder::Artifact::Image(image) => {
            OutputKind::Image { step: image.step, config: config(image.config) }
        }
        builder::Artifact::StaticTree(tree) => OutputKind::StaticTree {
            step: tree.step,
            root: tree.root,
            spa_fallback: tree.spa_fallback,
            not_found: tree.not_found,
        },
    };
    Output { name: output.name, artifact }
}

fn config(config: builder::RunConfig) -> RunConfig {
    RunConfig {
        entrypoint: config.entrypoint,
        cmd: config.cmd,
        env: config.env,
        user: config.user,
        cwd: config.cwd,
        exposed: config.exposed,
        volumes: config.volumes,
        labels: config.labels,
        stop_signal: config.stop_signal,
        details: Box::new(ImageDetails {
            ports: config.ports,
            shell: config.shell,
            onbuild: config.onbuild,
            health: config.health.map(health_check),
            author: config.author,
            whole: config.whole,
        }),
    }
}

fn process(process: builder::Process) -> ProcessPlan {
    ProcessPlan {
        name: process.name,
        output: process.output,
        kind: match process.kind {
            builder::ProcessKind::Web => ProcessKind::Web,
            builder::ProcessKind::Worker => ProcessKind::Worker,
        },
        argv: process.argv,
        ports: process.ports,
    }
}
