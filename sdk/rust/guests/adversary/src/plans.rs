//! Plans that must not be carried out.

use windlass_sdk::plan::{
    Artifact, Base, BindMount, BuildPlan, CacheMount, Copy, Fetch, MakeDir, Mount, Op, Output,
    Process, ProcessKind, Run, SecretMount, Sharing, Step, TmpfsMount, WriteFile,
};

/// Makes the good plan a bad one; what is no name of one leaves it as it is.
pub(crate) fn spoil(how: &str, mut plan: BuildPlan) -> BuildPlan {
    match how {
        "no-steps" => plan.steps.clear(),
        "no-outputs" => plan.outputs.clear(),
        "cycle" => cycle(&mut plan),
        "own-base" => plan.steps[0].base = Base::Step("site".into()),
        "own-files" => add(&mut plan, Copy::step("site", ["**"], "/again/")),
        "forward" => plan.steps[0].base = Base::Step("later".into()),
        "same-ids" => plan.steps.push(Step::new("site", "again", Base::Scratch)),
        "many-steps" => plan.steps = (0..5_000).map(numbered).collect(),
        "many-ops" => {
            let dir = MakeDir { path: "/d".into(), chown: None };
            plan.steps[0].ops = vec![Op::MakeDir(dir); 12_000];
        }
        "many-outputs" => many_outputs(&mut plan),
        "many-processes" => many_processes(&mut plan),
        "long-word" => add(&mut plan, Run::new(["/bin/echo".to_owned(), "x".repeat(1 << 20)])),
        "long-name" => plan.steps[0].name = "x".repeat(1 << 20),
        "huge-plan" => add(&mut plan, Op::WriteFile(written("/big", vec![0; 16 << 20]))),
        "spoken-name" => plan.steps[0].name = "\u{1b}]0;owned\u{7}\u{1b}[2Jcopy\r\nfiles".into(),
        _ => out_of_place(how, &mut plan),
    }
    plan
}

/// Paths of the host, and rights that no plan has.
fn out_of_place(how: &str, plan: &mut BuildPlan) {
    match how {
        "copy-from-above" => add(plan, Copy::source(["../../etc/passwd"], "/site/")),
        "copy-to-above" => add(plan, Copy::source(["**"], "/site/../../etc/")),
        "copy-to-relative" => add(plan, Copy::source(["**"], "etc/cron.d/")),
        "write-above" => {
            add(plan, Op::WriteFile(written("/site/../../etc/cron.d/x", b"x".to_vec())));
        }
        "fetch-a-file" => add(plan, Op::Fetch(fetched("file:///etc/shadow"))),
        "bind-above" => {
            let (path, target) = ("../../".into(), "/host".into());
            mount(
                plan,
                Mount::Bind(BindMount { from_step: String::new(), path, target, writable: true }),
            );
        }
        "mount-over-above" => {
            let target = "/../../proc".into();
            mount(plan, Mount::Tmpfs(TmpfsMount { target, bytes_max: Some(u64::MAX) }));
        }
        "cache-of-others" => {
            let (id, target) = ("../other/cache".into(), "/cache".into());
            mount(plan, Mount::Cache(CacheMount { id, target, sharing: Sharing::Shared }));
        }
        "secret-above" => mount(plan, secret(Some("/run/../../etc/shadow".into()), 0o600)),
        "secret-with-odd-mode" => mount(plan, secret(Some("/run/secret".into()), u32::MAX)),
        "odd-mode" => {
            let file = WriteFile { mode: u32::MAX, ..written("/bin/x", Vec::new()) };
            add(plan, Op::WriteFile(file));
        }
        "lines-in-a-user" => plan.steps[0].user = "0:0\nroot::0:0::/:/bin/sh".into(),
        "lines-in-an-owner" => {
            let copy = Copy::source(["**"], "/site/");
            add(plan, Copy { chown: Some("0:0\n0:0".into()), ..copy });
        }
        "cwd-above" => plan.steps[0].cwd = "/app/../../..".into(),
        "zero-in-a-word" => add(plan, Run::new(["/bin/sh", "-c\0--privileged"])),
        "zero-in-a-variable" => plan.steps[0].env.push(("A=B\0C".into(), "x".into())),
        "root-above" => {
            if let Some(Artifact::StaticTree(site)) =
                plan.outputs.first_mut().map(|it| &mut it.artifact)
            {
                site.root = "/site/../../../etc".into();
            }
        }
        _ => {}
    }
}

fn add(plan: &mut BuildPlan, op: impl Into<Op>) {
    if let Some(step) = plan.steps.first_mut() {
        step.ops.push(op.into());
    }
}

fn mount(plan: &mut BuildPlan, mount: Mount) {
    add(plan, Run::new(["/bin/true"]).mount(mount));
}

fn secret(target: Option<String>, mode: u32) -> Mount {
    let name = "SECRET".into();
    Mount::Secret(SecretMount { name, target, env: None, mode, owner: None, required: false })
}

fn written(path: &str, content: Vec<u8>) -> WriteFile {
    WriteFile { path: path.into(), content, mode: 0o644, chown: None }
}

fn fetched(url: &str) -> Fetch {
    Fetch { url: url.into(), sha256: None, dest: "/x".into(), chown: None, chmod: None }
}

/// Each of two steps is made of the other.
fn cycle(plan: &mut BuildPlan) {
    plan.steps[0].base = Base::Step("other".into());
    plan.steps.push(Step::new("other", "made of the first", Base::Step("site".into())));
}

fn numbered(n: usize) -> Step {
    Step::new(format!("s{n}"), "one of many", Base::Scratch)
}

fn many_outputs(plan: &mut BuildPlan) {
    let Some(first) = plan.outputs.first().cloned() else { return };
    plan.outputs = (0..2_000).map(|n| Output { name: format!("o{n}"), ..first.clone() }).collect();
}

fn many_processes(plan: &mut BuildPlan) {
    let process = |n: usize| Process {
        name: format!("p{n}"),
        output: "site".into(),
        kind: ProcessKind::Worker,
        argv: vec!["/bin/true".into()],
        ports: Vec::new(),
    };
    plan.processes = (0..5_000).map(process).collect();
}
