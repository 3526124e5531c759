use super::*;
use crate::lines;

fn read(text: &str) -> Found<Kind> {
    let file = lines::read(text)?;
    parse(&file.lines[0], file.escape).map(|one| one.kind)
}

#[track_caller]
fn refused(text: &str, code: &str, says: &str) {
    let problem = read(text).unwrap_err();
    let all = format!("{} {}", problem.what, problem.fix);
    assert_eq!((problem.code, problem.line), (code, 1), "{problem:?}");
    assert!(all.contains(says), "{all}");
}

fn own(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_command_is_a_list_in_json_or_a_line() {
    let cmd = |text: &str| match read(text).unwrap() {
        Kind::Cmd(command) => command,
        other => panic!("{other:?}"),
    };
    assert_eq!(cmd(r#"CMD ["a", "b c"]"#), Command::Exec(own(&["a", "b c"])));
    assert_eq!(cmd("CMD []"), Command::Exec(vec![]));
    assert_eq!(cmd("cmd a b"), Command::Shell("a b".into()));
    assert_eq!(cmd("CMD ['a', 'b']"), Command::Shell("['a', 'b']".into()));
    assert_eq!(cmd(r#"CMD ["a", "b"] c"#), Command::Shell(r#"["a", "b"] c"#.into()));
    assert_eq!(cmd("CMD [ -f x ] && y"), Command::Shell("[ -f x ] && y".into()));
    refused("CMD [1, 2]", "dockerfile.syntax", "texts only");
    refused("SHELL bash -c", "dockerfile.syntax", "JSON");
    refused("SHELL []", "dockerfile.syntax", "JSON");
}

#[test]
fn pairs_come_in_both_forms_with_their_quotes() {
    let env = |text: &str| match read(text).unwrap() {
        Kind::Env(pairs) => pairs,
        other => panic!("{other:?}"),
    };
    let pair = |k: &str, v: &str| (k.to_owned(), v.to_owned());
    assert_eq!(env("ENV a=b c=\"d e\""), [pair("a", "b"), pair("c", "\"d e\"")]);
    assert_eq!(env("ENV a  b c"), [pair("a", "b c")]);
    assert_eq!(env("ENV a=b\\ c"), [pair("a", "b\\ c")]);
    assert_eq!(env("ENV a='x y'z b="), [pair("a", "'x y'z"), pair("b", "")]);
    refused("ENV a", "dockerfile.syntax", "without a value");
    refused("ENV a=b c", "dockerfile.syntax", "name=value");
    refused("ENV =b", "dockerfile.syntax", "name=value");
}

#[test]
fn stages_have_names_of_letters() {
    let Kind::From { image, name, platform } =
        read("FROM --platform=$BUILDPLATFORM node:22 as Build.1").unwrap()
    else {
        panic!()
    };
    assert_eq!((image.as_str(), name.as_deref()), ("node:22", Some("build.1")));
    assert_eq!(platform.as_deref(), Some("$BUILDPLATFORM"));
    refused("FROM a AS 1st", "dockerfile.syntax", "no name");
    refused("FROM a b", "dockerfile.syntax", "AS");
    refused("FROM", "dockerfile.syntax", "no arguments");
}

#[test]
fn flags_stand_before_the_arguments() {
    let Kind::Copy(copy) = read(
        "COPY --from=build --chown=\"a b:c\" --link --parents=true --exclude=*.md --exclude=x a b c/",
    )
    .unwrap() else {
        panic!()
    };
    assert_eq!(copy.from.as_deref(), Some("build"));
    assert_eq!(copy.chown.as_deref(), Some("a b:c"));
    assert!(copy.link && copy.parents);
    assert_eq!(copy.exclude, ["*.md", "x"]);
    assert_eq!((copy.sources, copy.dest.as_str()), (own(&["a", "b"]), "c/"));
    let Kind::Run(run) =
        read("RUN --mount=type=cache,target=/x --mount=type=tmpfs,target=/y --network=none a --b")
            .unwrap()
    else {
        panic!()
    };
    assert_eq!((run.mounts.len(), run.network.as_deref()), (2, Some("none")));
    assert_eq!(run.command, Command::Shell("a --b".into()));
    refused("COPY --form=x a b", "dockerfile.syntax", "did you mean --from");
    refused("ADD --from=x a b", "dockerfile.syntax", "no flag");
    refused("COPY --link=maybe a b", "dockerfile.syntax", "true or false");
    refused("COPY a", "dockerfile.syntax", "no destination");
    refused("RUN --device=x a", "dockerfile.unsupported", "devices");
    refused("RUN --network=none", "dockerfile.syntax", "no arguments");
}

#[test]
fn lists_in_json_keep_spaces() {
    let Kind::Copy(copy) = read(r#"COPY ["a b", "c d/"]"#).unwrap() else { panic!() };
    assert_eq!((copy.sources, copy.dest.as_str()), (own(&["a b"]), "c d/"));
    assert_eq!(read("VOLUME /a /b").unwrap(), Kind::Volume(own(&["/a", "/b"])));
    assert_eq!(read(r#"VOLUME ["/a b"]"#).unwrap(), Kind::Volume(own(&["/a b"])));
}

#[test]
fn a_health_check_has_times() {
    let Kind::Health(health) =
        read("HEALTHCHECK --interval=1m30s --timeout=500ms --retries=2 CMD curl localhost")
            .unwrap()
    else {
        panic!()
    };
    assert_eq!((health.interval_ms, health.timeout_ms, health.retries), (90_000, 500, 2));
    assert_eq!(health.command, Some(Command::Shell("curl localhost".into())));
    assert!(matches!(read("HEALTHCHECK NONE").unwrap(), Kind::Health(h) if h.command.is_none()));
    refused("HEALTHCHECK --interval=5 CMD x", "dockerfile.syntax", "no duration");
    refused("HEALTHCHECK --retries=x CMD x", "dockerfile.syntax", "no number");
    refused("HEALTHCHECK curl", "dockerfile.syntax", "neither CMD nor NONE");
    refused("HEALTHCHECK NONE x", "dockerfile.syntax", "no arguments");
}

#[test]
fn triggers_and_slips_are_told() {
    assert_eq!(read("ONBUILD RUN a").unwrap(), Kind::OnBuild("RUN a".into()));
    assert_eq!(
        read("ONBUILD COPY <<E /x\n1\nE\n").unwrap(),
        Kind::OnBuild("COPY <<E /x\n1\nE".into())
    );
    refused("ONBUILD FROM x", "dockerfile.syntax", "cannot be a trigger");
    refused("ONBUILD RNU x", "dockerfile.unknown-instruction", "did you mean RUN");
    refused("RUNN x", "dockerfile.unknown-instruction", "did you mean RUN");
    refused("ENTRYPONT x", "dockerfile.unknown-instruction", "did you mean ENTRYPOINT");
    refused("INCLUDE x", "dockerfile.unknown-instruction", "there are ADD");
}
