use std::collections::BTreeMap;

use windlass_sdk::HealthCheck;
use windlass_sdk::images::{ImageConfig, ImageError};
use windlass_sdk::plan::{BuildPlan, Mount, Op, Placed};

use super::copy::is_mode;
use super::*;

/// `base` brings everything that an image can bring; `plain` nothing.
fn image(name: &str, platform: &str) -> Result<ImageConfig, ImageError> {
    assert_eq!(platform, "linux/amd64");
    let plain = ImageConfig {
        digest: format!("sha256:{}", "a".repeat(64)),
        env: Vec::new(),
        entrypoint: Vec::new(),
        cmd: Vec::new(),
        user: String::new(),
        cwd: String::new(),
        shell: Vec::new(),
        onbuild: Vec::new(),
        exposed: Vec::new(),
        volumes: Vec::new(),
        labels: Vec::new(),
        stop_signal: None,
        health: None,
        author: None,
    };
    match name {
        "plain" | "plain:1" => Ok(plain),
        "base" => Ok(ImageConfig {
            env: vec![("PATH".into(), "/bin".into()), ("FROM_BASE".into(), "yes".into())],
            entrypoint: vec!["/entry".into()],
            cmd: vec!["serve".into()],
            user: "app".into(),
            cwd: "/srv".into(),
            shell: vec!["/bin/bash".into(), "-c".into()],
            exposed: vec!["80/tcp".into()],
            volumes: vec!["/data".into()],
            labels: vec![("a".into(), "1".into())],
            stop_signal: Some("SIGINT".into()),
            ..plain
        }),
        "triggers" => {
            Ok(ImageConfig { onbuild: vec!["COPY . /app".into(), "RUN make".into()], ..plain })
        }
        "away" => Err(ImageError::Unreachable),
        _ => Err(ImageError::NotFound),
    }
}

#[derive(Default)]
struct Case<'a> {
    args: &'a [(&'a str, &'a str)],
    target: Option<&'a str>,
    variables: &'a [&'a str],
}

fn run(text: &str, case: &Case<'_>) -> Found<Lowered> {
    let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    let args: BTreeMap<String, String> = case.args.iter().map(own).collect();
    let variables: Vec<String> = case.variables.iter().map(|v| (*v).to_owned()).collect();
    let given = Given {
        args: &args,
        target: case.target,
        platform: "linux/amd64",
        ignore: vec!["*.md".to_owned()],
        variables: &variables,
        images: image,
    };
    lower(&Dockerfile::read(text)?, given)
}

fn good(text: &str) -> Lowered {
    run(text, &Case::default()).unwrap_or_else(|problem| panic!("{text}\n{problem:?}"))
}

/// The operations, a line each.
fn outline(lowered: Lowered) -> Vec<String> {
    let mut plan = BuildPlan::new();
    plan.steps = lowered.steps;
    let text = windlass_plugin_common::outline::outline(&plan);
    let ops = text.lines().map(str::trim);
    let is_op = |line: &&str| ["run ", "place ", "make "].iter().any(|word| line.starts_with(word));
    ops.filter(is_op).map(str::to_owned).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    assert_eq!(outline(good(text)), expected, "{text}");
}

#[track_caller]
fn refused(text: &str, code: &str, line: usize, says: &str) {
    let problem = match run(text, &Case::default()) {
        Ok(_) => panic!("it was taken: {text}"),
        Err(problem) => problem,
    };
    let all = format!("{} {}", problem.what, problem.fix);
    assert_eq!((problem.code, problem.line), (code, line), "{problem:?}");
    assert!(all.contains(says), "{says}: {all}");
}

fn env_of(text: &str, case: &Case<'_>) -> Vec<(String, String)> {
    let lowered = run(text, case).unwrap();
    let run = lowered.steps.iter().rev().find(|s| matches!(s.ops.first(), Some(Op::Run(_))));
    run.unwrap().env.iter().filter(|(name, _)| name != "PATH").cloned().collect()
}

#[track_caller]
fn check_env(text: &str, case: &Case<'_>, expected: &[(&str, &str)]) {
    let own = |(k, v): &(&str, &str)| ((*k).to_owned(), (*v).to_owned());
    let expected: Vec<_> = expected.iter().map(own).collect();
    assert_eq!(env_of(text, case), expected, "{text}");
}

#[test]
fn each_instruction_that_changes_files_is_a_step_and_the_others_are_none() {
    let lowered = good(
        "FROM plain:1\nENV a=b\nWORKDIR /app\nCOPY x .\nRUN make\nLABEL c=d\nEXPOSE 80\nUSER 7\nCMD x",
    );
    let names: Vec<&str> = lowered.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["WORKDIR /app (line 3)", "COPY x . (line 4)", "RUN make (line 5)"]);
    let pinned = format!("plain:1@sha256:{}", "a".repeat(64));
    assert_eq!(lowered.steps[0].base, Base::Image(pinned));
    assert_eq!(lowered.steps[1].base, Base::Step(lowered.steps[0].id.clone()));
    assert_eq!(lowered.step, lowered.steps[2].id);
    assert!(lowered.steps[1].env.is_empty(), "a copy does not depend on the environment");
    assert_eq!((lowered.steps[2].cwd.as_str(), lowered.steps[2].user.as_str()), ("/app", ""));
}

#[test]
fn paths_are_those_of_the_working_directory() {
    check("FROM scratch\nCOPY a b/c/ ./x /\nCMD x", &["place a b/c x of source at /"]);
    check(
        "FROM scratch\nWORKDIR a\nWORKDIR ../b/./c\nCOPY x .\nCMD x",
        &["make /a", "make /b/c", "place x of source at /b/c/"],
    );
    check(
        "FROM scratch\nWORKDIR /w\nCOPY x y\nCOPY x y/\nCOPY . ..\nCOPY / /z/.\nCMD x",
        &[
            "make /w",
            "place x of source at /w/y",
            "place x of source at /w/y/",
            "place . of source at /",
            "place . of source at /z/",
        ],
    );
    check("FROM base\nWORKDIR x\nCMD x", &["make /srv/x as app"]);
    check("FROM scratch\nCOPY ../../etc/x /\nCMD x", &["place etc/x of source at /"]);
}

#[test]
fn flags_of_copies_arrive() {
    check(
        "FROM scratch\nARG O=1:2\nCOPY --chown=$O --chmod=u=rwX,go=rX --parents --exclude=**/*.md a/./b/ /x\nCMD x",
        &["place a/./b of source at /x as 1:2 with mode u=rwX,go=rX +parents"],
    );
    check(
        "FROM scratch\nCOPY --link a /x/\nADD b /y/\nADD --unpack=false c /z/\nCMD x",
        &[
            "place a of source at /x/ +link",
            "place b of source at /y/ +unpack",
            "place c of source at /z/",
        ],
    );
    let lowered = good("FROM scratch\nCOPY --exclude=./a/ --exclude=!b . /\nCMD x");
    let Op::Place(place) = &lowered.steps[0].ops[0] else { panic!() };
    assert_eq!(place.exclude, ["a", "!b"]);
    assert_eq!(place.ignore, ["*.md"]);
    refused("FROM scratch\nCOPY --link --chown=app a /\n", "dockerfile.syntax", 2, "numbers");
    refused("FROM scratch\nCOPY --chmod=999 a /\n", "dockerfile.syntax", 2, "--chmod=999");
    refused("FROM scratch\nCOPY --chmod=rwx a /\n", "dockerfile.syntax", 2, "u=rwX");
    refused("FROM plain\nRUN a\nCOPY --chmod=u=rw,r a /\n", "dockerfile.syntax", 3, "u=rw,r");
}

#[test]
fn what_is_no_mode_to_the_host_is_none_here() {
    let cases = include_str!("../../../../tests/fixtures/modes.txt").lines();
    for case in cases.filter(|line| !line.starts_with('#')) {
        let (expected, text) = case.split_once(' ').unwrap();
        let seen = if is_mode(text) { "good" } else { "bad" };
        assert_eq!(seen, expected, "{text}");
    }
}

#[test]
fn additions_from_addresses_are_downloads() {
    let sum = "b".repeat(64);
    let text = format!(
        "FROM scratch\nADD --checksum=sha256:{sum} https://example.org/a%20b.tgz?x=1 /x/\nCMD x"
    );
    let lowered = good(&text);
    let Op::Place(place) = &lowered.steps[0].ops[0] else { panic!() };
    let Placed::Download(from) = &place.origin else { panic!() };
    assert_eq!((from.name.as_str(), from.sha256.as_deref()), ("a b.tgz", Some(sum.as_str())));
    assert!(!place.unpack);
    check(
        "FROM scratch\nADD a https://example.org/ b /x/\nCMD x",
        &[
            "place a of source at /x/ +unpack",
            "place https://example.org/ at /x/",
            "place b of source at /x/ +unpack",
        ],
    );
    refused("FROM scratch\nCOPY https://a/b /", "dockerfile.syntax", 2, "ADD");
    refused("FROM scratch\nADD https://a/b.git /", "dockerfile.unsupported", 2, "cloned");
    refused("FROM scratch\nADD https://a/b.git#main:x /", "dockerfile.unsupported", 2, "cloned");
    refused("FROM scratch\nADD git@a:b /", "dockerfile.unsupported", 2, "cloned");
    refused("FROM scratch\nADD --unpack https://a/b.tgz /", "dockerfile.unsupported", 2, "RUN");
    refused("FROM scratch\nADD --checksum=md5:1 https://a/b /", "dockerfile.syntax", 2, "sha256");
    refused("FROM scratch\nADD --checksum=sha256:1 a /", "dockerfile.syntax", 2, "addresses");
}

#[test]
fn stages_are_lowered_once_before_those_that_use_them_and_only_if_they_are_used() {
    let text = "FROM plain AS build\nRUN b\nFROM plain AS unused\nRUN never\nFROM build AS test\nRUN t\n\
                FROM scratch\nCOPY --from=build /a /\nCOPY --from=0 /b /\nCOPY --from=TEST /c /\nCMD x";
    check(
        text,
        &[
            "run /bin/sh -c b +network",
            "place a of s0-0 at /",
            "place b of s0-0 at /",
            "run /bin/sh -c t +network",
            "place c of s2-3 at /",
        ],
    );
    let lowered = run(text, &Case { target: Some("test"), ..Case::default() }).unwrap();
    assert_eq!(outline(lowered), ["run /bin/sh -c b +network", "run /bin/sh -c t +network"]);
    let lowered = run(text, &Case { target: Some("0"), ..Case::default() }).unwrap();
    assert_eq!(outline(lowered), ["run /bin/sh -c b +network"]);
    let problem = run(text, &Case { target: Some("tset"), ..Case::default() }).err().unwrap();
    assert_eq!(problem.code, "dockerfile.no-such-stage");
    assert!(problem.fix.contains("\"test\""), "{problem:?}");
}

#[test]
fn copies_from_images_are_pinned_and_slips_are_told() {
    check(
        "FROM scratch\nCOPY --from=plain /a /\nCMD x",
        &[&format!("place a of plain:latest@sha256:{} at /", "a".repeat(64))],
    );
    refused(
        "FROM plain AS build\nFROM scratch\nCOPY --from=biuld a /",
        "dockerfile.image",
        3,
        "\"build\"",
    );
    refused(
        "FROM scratch\nCOPY --from=later a /\nFROM plain AS later\nFROM scratch\nCOPY --from=0 a /",
        "dockerfile.no-such-stage",
        2,
        "move it up",
    );
    refused("FROM scratch\nCOPY --from=7 a /", "dockerfile.no-such-stage", 2, "counted from 0");
    refused("FROM scratch\nARG X=1\nCOPY --from=$X a /", "dockerfile.syntax", 3, "no variables");
    refused("FROM nowhere\nCMD x", "dockerfile.image", 1, "nowhere");
    assert!(run("FROM away\nCMD x", &Case::default()).err().unwrap().passing);
}

#[test]
fn where_a_stage_may_have_been_meant_those_that_exist_are_named() {
    let one = "FROM plain AS base\nFROM scratch\nCOPY --from=nope a /";
    refused(one, "dockerfile.image", 3, "; the stage before it is base");
    let two = "FROM plain AS base\nFROM plain AS assets\nFROM scratch\nCOPY --from=nope a /";
    refused(two, "dockerfile.image", 4, "; the stages before it are base and assets");
    for image in ["example.org/nope", "nope:1"] {
        let text = format!("FROM plain AS base\nFROM scratch\nCOPY --from={image} a /");
        let problem = run(&text, &Case::default()).err().unwrap();
        assert_eq!(problem.fix, "check its name and tag");
    }
}

#[test]
fn a_stage_that_nothing_was_done_in_can_still_be_copied_from() {
    let lowered = good("FROM plain AS a\nFROM scratch\nCOPY --from=a /x /\nCMD x");
    assert!(matches!(&lowered.steps[0].base, Base::Image(_)) && lowered.steps[0].ops.is_empty());
    let lowered = good("FROM scratch\nCMD x");
    assert_eq!((lowered.steps.len(), lowered.step.as_str()), (1, "s0-0"));
}

#[test]
fn arguments_and_variables_have_the_scope_of_their_stage() {
    let none = Case::default();
    check_env("ARG G=1\nFROM plain\nRUN x\nCMD x", &none, &[]);
    check_env("ARG G=1\nFROM plain\nARG G\nRUN x\nCMD x", &none, &[("G", "1")]);
    check_env("ARG G=1\nFROM plain\nARG G=2\nRUN x\nCMD x", &none, &[("G", "2")]);
    let given = Case { args: &[("G", "9")], ..Case::default() };
    check_env("ARG G=1\nFROM plain\nARG G=2\nRUN x\nCMD x", &given, &[("G", "9")]);
    check_env("FROM plain\nRUN x\nCMD x", &given, &[]);
    check_env("FROM plain\nARG G\nRUN x\nCMD x", &none, &[]);
    check_env("FROM plain\nARG A=1\nENV A=2\nRUN x\nCMD x", &none, &[("A", "2")]);
    check_env(
        "FROM plain\nARG A=1 B=${A}2\nENV C=$B\nRUN x\nCMD x",
        &none,
        &[("A", "1"), ("B", "12"), ("C", "12")],
    );
    check_env(
        "FROM plain AS a\nARG A=1\nENV B=2\nFROM a\nRUN x\nCMD x",
        &none,
        &[("A", "1"), ("B", "2")],
    );
    check_env("FROM plain AS a\nARG A=1\nFROM plain\nRUN x\nCMD x", &none, &[]);
    check_env("FROM plain\nENV A=1\nENV A=2 B=$A\nRUN x\nCMD x", &none, &[("A", "2"), ("B", "1")]);
    check_env(
        "FROM plain\nARG TARGETARCH TARGETPLATFORM BUILDOS TARGETVARIANT\nRUN x\nCMD x",
        &none,
        &[
            ("TARGETARCH", "amd64"),
            ("TARGETPLATFORM", "linux/amd64"),
            ("BUILDOS", "linux"),
            ("TARGETVARIANT", ""),
        ],
    );
    check_env("FROM base\nRUN x\nCMD x", &none, &[("FROM_BASE", "yes")]);
    let proxy = Case { args: &[("HTTP_PROXY", "http://p")], ..Case::default() };
    check_env("FROM plain\nRUN x\nCMD x", &proxy, &[("HTTP_PROXY", "http://p")]);
    let lowered = good("FROM plain\nARG A=1\nENV B=2\nCMD x");
    assert_eq!(lowered.state.kept.get("A"), None);
    assert_eq!(lowered.state.kept.get("B"), Some("2"));
}

#[test]
fn the_base_may_come_from_an_argument() {
    let text = "ARG TAG=1\nARG IMAGE=plain:${TAG}\nFROM --platform=$BUILDPLATFORM ${IMAGE} AS a\nRUN x\nCMD x";
    assert!(matches!(&good(text).steps[0].base, Base::Image(name) if name.starts_with("plain:1@")));
    refused("ARG X\nFROM $X\nCMD x", "dockerfile.variable", 2, "is empty");
    refused("FROM --platform=linux/s390x plain\nCMD x", "dockerfile.unsupported", 1, "linux/amd64");
    refused("RUN x\nFROM plain", "dockerfile.syntax", 1, "only ARG");
    refused("ARG A=1", "dockerfile.syntax", 0, "no FROM");
    refused("ARG A=\"${B:?must be given}\"\nFROM plain", "dockerfile.variable", 1, "must be given");
}

#[test]
fn an_argument_that_only_a_variable_is_named_like_is_told() {
    let case = Case { variables: &["API_URL"], ..Case::default() };
    let told = |text: &str| run(text, &case).unwrap().warnings;
    let warnings = told("FROM plain\nARG API_URL\nCMD x");
    assert!(warnings[0].contains("id=API_URL,env=API_URL"), "{warnings:?}");
    assert_eq!(told("FROM plain\nARG API_URL=x OTHER\nCMD x"), [] as [&str; 0]);
}

#[test]
fn a_mode_and_an_owner_that_a_cache_does_not_get_are_told_with_their_line() {
    let told = |flags: &str| {
        let text = format!("FROM plain\n\nRUN --mount=type=cache,target=/c{flags} x\nCMD x");
        run(&text, &Case::default()).unwrap().warnings
    };
    let line = "line 3: RUN: the cache /c does not get mode=0755, uid=1000: its folder is root's, and every user \
                may write to it (mode 0777)";
    assert_eq!(told(",mode=0755,uid=1000,gid=0"), [line]);
    assert!(told(",gid=50")[0].contains("does not get gid=50:"));
    for same in ["", ",mode=0777", ",uid=0,gid=0"] {
        assert_eq!(told(same), [] as [&str; 0], "{same}");
    }
}

#[test]
fn unused_arguments_are_told() {
    let case = Case { args: &[("VERSOIN", "1")], ..Case::default() };
    let lowered = run("FROM plain\nARG VERSION\nCMD x", &case).unwrap();
    assert!(lowered.warnings[0].contains("did you mean VERSION"), "{:?}", lowered.warnings);
}

#[test]
fn commands_run_in_the_shell_of_the_stage_or_in_none() {
    check(
        "FROM plain\nRUN a && \\\n b\nRUN [\"a\", \"$b\"]\nSHELL [\"/x\", \"-e\"]\nRUN c\nCMD x",
        &["run /bin/sh -c a &&  b +network", "run a $b +network", "run /x -e c +network"],
    );
    check("FROM base\nRUN a\nCMD x", &["run /bin/bash -c a +network"]);
    check(
        "FROM plain\nRUN --network=none a\nRUN --security=sandbox --network=default b\nCMD x",
        &["run /bin/sh -c a", "run /bin/sh -c b +network"],
    );
    refused("FROM plain\nRUN --network=host a", "dockerfile.unsupported", 2, "host's network");
    refused("FROM plain\nRUN --security=insecure a", "dockerfile.unsupported", 2, "privileges");
    refused("FROM plain\nRUN []", "dockerfile.syntax", 2, "no command");
    refused("FROM plain\nRUN --mount=type=ssh a", "dockerfile.unsupported", 2, "type=secret");
}

fn argv(text: &str) -> Vec<String> {
    let lowered = good(text);
    let Some(Op::Run(run)) = lowered.steps.last().unwrap().ops.first() else { panic!() };
    run.argv.clone()
}

#[test]
fn here_documents_of_commands() {
    assert_eq!(argv("FROM plain\nRUN <<EOF\na\n\tb\nEOF\nCMD x"), ["/bin/sh", "-c", "a\n\tb\n"]);
    assert_eq!(argv("FROM plain\nRUN <<-EOF\n\ta\nEOF\nCMD x"), ["/bin/sh", "-c", "a\n"]);
    assert_eq!(
        argv("FROM plain\nRUN cat <<A <<\"B\" > /x\n1\nA\n2\nB\nCMD x"),
        ["/bin/sh", "-c", "cat <<A <<\"B\" > /x\n1\nA\n2\nB"]
    );
    let lowered = good("FROM plain\nRUN <<EOF\n#!/usr/bin/python3\nprint(1)\nEOF\nCMD x");
    let [script, run] = lowered.steps.as_slice() else { panic!() };
    assert_eq!(script.base, Base::Scratch);
    let Some(Op::Run(run)) = run.ops.first() else { panic!() };
    assert_eq!(run.argv, ["/bin/sh", "-c", "/dev/pipes/EOF"]);
    assert!(
        matches!(&run.mounts[..], [Mount::Bind(b)] if b.target == "/dev/pipes/EOF" && !b.writable)
    );
}

#[test]
fn here_documents_of_copies_are_files_of_the_plan() {
    let lowered = good(
        "FROM scratch\nENV N=you\nCOPY <<one <<\"two\" a /x/\nhi $N, it's\none\nhi $N\ntwo\nCMD x",
    );
    let ops = &lowered.steps[0].ops;
    let content = |op: &Op| match op {
        Op::Place(place) => match &place.origin {
            Placed::Inline(files) => {
                (files[0].name.clone(), String::from_utf8_lossy(&files[0].content).into_owned())
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    assert_eq!(content(&ops[1]), ("one".to_owned(), "hi you, it's\n".to_owned()));
    assert_eq!(content(&ops[2]), ("two".to_owned(), "hi $N\n".to_owned()));
    refused("FROM scratch\nCOPY <<E /x\n${A?}\nE", "dockerfile.variable", 2, "quote its name");
}

fn mounts(flags: &str) -> Vec<Mount> {
    let text =
        format!("FROM plain AS one\nRUN y\nFROM plain\nWORKDIR /w\nARG D=/d\nRUN {flags} x\nCMD x");
    let case = Case { variables: &["NPM_TOKEN", "exact"], ..Case::default() };
    let lowered = run(&text, &case).unwrap_or_else(|problem| panic!("{flags}: {problem:?}"));
    let Some(Op::Run(run)) = lowered.steps.last().unwrap().ops.first() else { panic!() };
    run.mounts.clone()
}

#[test]
fn mounts_of_every_type() {
    let cache = |flags: &str| match mounts(flags).remove(0) {
        Mount::Cache(cache) => cache,
        other => panic!("{other:?}"),
    };
    let one =
        cache("--mount=type=cache,id=npm,target=/root/.npm,sharing=locked,uid=1000,mode=0755");
    assert_eq!((one.id.as_str(), one.target.as_str()), ("npm", "/root/.npm"));
    let (a, b) = (cache("--mount=type=cache,target=$D/c"), cache("--mount=type=cache,dst=/d/c"));
    assert_eq!((a.id.as_str(), a.target.as_str()), (b.id.as_str(), "/d/c"));
    assert!(a.id.starts_with("d-c-") && a.id.len() <= 64, "{}", a.id);
    let secret = |flags: &str| match mounts(flags).remove(0) {
        Mount::Secret(secret) => secret,
        other => panic!("{other:?}"),
    };
    let one = secret("--mount=type=secret,id=npm-token");
    assert_eq!(
        (one.name.as_str(), one.target.as_deref()),
        ("NPM_TOKEN", Some("/run/secrets/npm-token"))
    );
    assert_eq!((one.mode, one.required), (0o400, false));
    let one = secret("--mount=type=secret,id=exact,env=TOKEN,required");
    assert_eq!((one.name.as_str(), one.target, one.env.as_deref()), ("exact", None, Some("TOKEN")));
    let one = secret("--mount=type=secret,target=/a/exact,mode=0440,uid=1000");
    assert_eq!(
        (one.name.as_str(), one.target.as_deref(), one.mode),
        ("exact", Some("/a/exact"), 0o440)
    );
    assert_eq!(one.owner, Some((1000, 0)));
    assert_eq!(secret("--mount=type=secret,id=exact,uid=0,gid=0").owner, None);
    let tmpfs = mounts("--mount=type=tmpfs,target=t,size=64m").remove(0);
    assert!(
        matches!(tmpfs, Mount::Tmpfs(t) if t.target == "/w/t" && t.bytes_max == Some(64 << 20))
    );
    let bind = |flags: &str| match mounts(flags).remove(0) {
        Mount::Bind(bind) => bind,
        other => panic!("{other:?}"),
    };
    let one = bind("--mount=target=/src,rw");
    assert_eq!((one.path.as_str(), one.target.as_str(), one.writable), ("/", "/src", true));
    let one = bind("--mount=type=bind,from=one,source=/out,target=/in,readonly");
    assert_eq!((one.from_step.as_str(), one.path.as_str(), one.writable), ("s0-1", "/out", false));
    let one = bind("--mount=from=plain,source=/bin,target=/tools");
    assert!(one.from_step.starts_with("s1-"), "{}", one.from_step);
}

#[test]
fn mounts_that_cannot_be_are_refused() {
    let no = |flags: &str, code: &str, says: &str| {
        refused(&format!("FROM plain\nRUN {flags} x"), code, 2, says);
    };
    no("--mount=type=cach,target=/x", "dockerfile.syntax", "did you mean cache");
    no("--mount=type=cache", "dockerfile.syntax", "no target");
    no("--mount=type=cache,traget=/x", "dockerfile.syntax", "no target");
    no("--mount=type=cache,target=/x,shering=locked", "dockerfile.syntax", "did you mean sharing");
    no("--mount=type=cache,target=/x,from=a", "dockerfile.unsupported", "begin empty");
    no("--mount=type=cache,target=/x,ro", "dockerfile.unsupported", "read-only");
    let modules = "--mount=type=cache,target=/app/node_modules/.cache";
    no(modules, "dockerfile.unsupported", "lies in a node_modules");
    no("--mount=type=cache,target=/x,sharing=some", "dockerfile.syntax", "locked");
    no("--mount=type=tmpfs,target=/x,size=much", "dockerfile.syntax", "64m");
    no("--mount=type=secret", "dockerfile.syntax", "id=NAME");
    no("--mount=type=secret,id=a,required=true", "dockerfile.secret-missing", "windlass env set");
    no("--mount=type=bind,target=/", "dockerfile.syntax", "over /");
}

#[test]
fn entrypoint_and_command_play_together() {
    let state = |text: &str| good(text).state;
    let words = |list: &[String]| list.join(" ");
    let both = |text: &str| {
        let state = state(text);
        (words(&state.entrypoint), words(&state.cmd))
    };
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(both("FROM base"), pair("/entry", "serve"));
    assert_eq!(both("FROM base\nCMD [\"a\"]"), pair("/entry", "a"));
    assert_eq!(both("FROM base\nENTRYPOINT [\"b\"]"), pair("b", ""));
    assert_eq!(both("FROM base\nENTRYPOINT []"), pair("", ""));
    assert_eq!(both("FROM base\nCMD [\"a\"]\nENTRYPOINT [\"b\"]"), pair("b", "a"));
    assert_eq!(both("FROM base AS x\nCMD [\"a\"]\nFROM x\nENTRYPOINT [\"b\"]"), pair("b", ""));
    assert_eq!(both("FROM plain\nCMD a b"), pair("", "/bin/sh -c a b"));
    assert_eq!(both("FROM base\nCMD a"), pair("/entry", "/bin/bash -c a"));
    assert_eq!(both("FROM plain\nCMD $X"), pair("", "/bin/sh -c $X"));
}

#[test]
fn what_the_image_says_of_itself() {
    let state = good(
        "FROM base\nARG P=8080\nEXPOSE $P 53/UDP 9000-9002 127.0.0.1:99:98\nVOLUME /v \"/w\"\n\
         LABEL b=\"2 3\" 'c d'=e\nUSER 1000:1000\nSTOPSIGNAL SIGQUIT\nMAINTAINER me\n\
         HEALTHCHECK --interval=5s CMD curl localhost\nONBUILD RUN x",
    )
    .state;
    assert_eq!(
        state.ports,
        ["80/tcp", "8080/tcp", "53/udp", "9000/tcp", "9001/tcp", "9002/tcp", "98/tcp"]
    );
    assert_eq!(state.tcp_ports()[..2], [80, 8080]);
    assert_eq!(state.volumes, ["/data", "/v", "/w"]);
    let labels: Vec<String> = state.labels.0.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["a=1", "b=2 3", "c d=e"]);
    assert_eq!((state.user.as_str(), state.stop_signal.as_deref()), ("1000:1000", Some("SIGQUIT")));
    assert_eq!(
        (state.author.as_deref(), &state.onbuild[..]),
        (Some("me"), &["RUN x".to_owned()][..])
    );
    let HealthCheck { test, interval_ms, .. } = state.health.unwrap();
    assert_eq!((test.join(" ").as_str(), interval_ms), ("CMD-SHELL curl localhost", 5_000));
    let none = good("FROM plain\nHEALTHCHECK NONE").state.health.unwrap();
    assert_eq!(none.test, ["NONE"]);
    refused("FROM plain\nEXPOSE http", "dockerfile.syntax", 2, "no port");
    refused("FROM plain\nEXPOSE 80/icmp", "dockerfile.syntax", 2, "no port");
    refused("FROM plain\nEXPOSE 90000", "dockerfile.syntax", 2, "no port");
    refused("FROM plain\nEXPOSE 9-8", "dockerfile.syntax", 2, "no port");
    refused("FROM plain\nSTOPSIGNAL SIGNOPE", "dockerfile.syntax", 2, "no signal");
}

#[test]
fn a_range_of_ports_may_be_all_that_there_are() {
    let ports = |text: &str| good(&format!("FROM base\nEXPOSE {text}\nCMD x")).state.ports;
    let dynamic = ports("49152-65535/udp 50000/UDP 80");
    assert_eq!(dynamic.len(), 1 + 16_384, "the base names 80/tcp");
    assert_eq!(dynamic[..2], ["80/tcp", "49152/udp"]);
    assert_eq!(dynamic.last().map(String::as_str), Some("65535/udp"));
    assert_eq!(ports("1-65535").len(), 65_535);
    let too_many = "FROM plain\nEXPOSE 1-65535\nEXPOSE 1-65535/udp\nCMD x";
    refused(too_many, "dockerfile.unsupported", 3, "more than 70000 ports");
}

#[test]
fn triggers_run_at_the_beginning_of_the_stage_on_top_and_only_there() {
    check(
        "FROM triggers\nRUN after\nCMD x",
        &[
            "place . of source at /app",
            "run /bin/sh -c make +network",
            "run /bin/sh -c after +network",
        ],
    );
    check(
        "FROM plain AS a\nONBUILD RUN trigger\nFROM a AS b\nFROM b\nCMD x",
        &["run /bin/sh -c trigger +network"],
    );
    assert!(good("FROM triggers\nCMD x").state.onbuild.is_empty());
    let lowered = good("FROM plain AS a\nONBUILD COPY <<E /x\n1\nE\nFROM a\nCMD x");
    assert!(matches!(&lowered.steps[0].ops[0], Op::Place(p) if p.dest == "/x"));
}

#[test]
fn identical_stages_have_identical_steps_and_ids_are_unique() {
    let lowered = good(
        "FROM plain AS a\nRUN 1\nFROM plain AS b\nRUN 2\nFROM scratch\nCOPY --from=a x /\nCOPY --from=b y /\nCMD x",
    );
    let mut ids: Vec<&str> = lowered.steps.iter().map(|step| step.id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), lowered.steps.len());
    assert_eq!(lowered.steps[0].name, "a: RUN 1 (line 2)");
}
