//! Applications that bring a Dockerfile: deployed, built without being deployed, refused with their line, and
//! built as a peer builds them.

use std::path::PathBuf;

use windlass_model::plan::Probe;
use windlass_model::{StepName, StepStatus};
use windlass_test_support::registry::DockerRegistry;
use windlass_test_support::{GitRepo, TestHost, fixture, sample};

mod built;
mod guarded;
mod namespaces;
mod ours;
mod peer;
mod tree;

use ours::Ours;
use peer::{Peer, Wanted, prepared, registry_with_bases, serve_file};
use tree::differences;

/// Fixtures of one ordinary run.
const SAMPLE: usize = 10;

/// Where Windlass and the peer differ, and why: the fixture (`*` for all), the path or key, the reason. A
/// difference that is not listed fails the test, and so does one that is listed and not there.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("*", "ArgsEscaped", "a mark for images of Windows, which the peer sets on others as well"),
    ("add-address", "owned/file.txt", "this version of the peer ignores --chmod of a download"),
    (
        "copy-chmod",
        "setuid",
        "the peer drops the bits above 777 of --chmod, which nothing says it should",
    ),
    ("mount-bind", "ctx", MOUNT_POINT),
    ("mount-bind", "in", MOUNT_POINT),
    ("mount-bind", "t", MOUNT_POINT),
    ("mount-cache", "cache", MOUNT_POINT),
    ("mount-cache", "var/named", MOUNT_POINT),
    ("mount-points-absent", "etc", MOUNT_POINT),
    ("mount-points-absent", "made", MOUNT_POINT),
    ("mount-points-absent", "made/for", MOUNT_POINT),
    ("mount-points-absent", "made/for/it", MOUNT_POINT),
    ("mount-secret", "run", MOUNT_POINT),
    ("mount-secret", "run/secrets", MOUNT_POINT),
    ("mount-tmpfs", "scratch", MOUNT_POINT),
    ("source-modes", "alone", MODES),
    ("source-modes", "src/.git", GIT_FOLDER),
    ("source-modes", "src/.git/HEAD", GIT_FOLDER),
    ("source-modes", "src/closed", MODES),
    ("source-modes", "src/closed/in", MODES),
    ("source-modes", "src/group", MODES),
    ("source-modes", "src/private", MODES),
    ("special-files", "made/pipe", "this version of the peer leaves pipes out of a copy"),
];
const MOUNT_POINT: &str = "a mount's target that was not there goes with the mount, and so do its parents; this \
                           version of the peer leaves directories";
const MODES: &str =
    "a source's modes are 755 and 644, as Git knows them, whatever a checkout's umask was";
const GIT_FOLDER: &str = "the source is a commit's files, and .git is no part of them";

/// Fixtures whose Dockerfile the peer cannot build, and why: it builds `peer.Dockerfile` instead, which says the
/// same in older words.
const OLDER_WORDS: &[(&str, &str)] = &[
    ("add-address-checksum", "ADD --checksum is newer than this version of the peer"),
    ("add-archive-zstd", "it unpacks no zstd, and ADD --unpack is newer than it"),
    (
        "comments-and-continuations",
        "its `# syntax` line would fetch another program to read the rest",
    ),
    ("copy-chmod-symbolic", "it ignores what of --chmod is no number"),
    ("copy-exclude", "COPY --exclude is newer than it"),
    ("copy-link", "COPY --link is newer than it"),
    ("copy-parents", "COPY --parents is newer than it"),
    ("env-forms-newer", "it knows no substitution without a colon"),
    ("heredoc-copy", "here-documents are newer than it"),
    ("heredoc-run", "here-documents are newer than it"),
    ("heredoc-script", "here-documents are newer than it"),
    ("network-none", "RUN --network is newer than it; the test gives its builds no network"),
    ("special-files", "COPY --link is newer than it"),
];

fn case_settings(fixture: &std::path::Path) -> toml::Table {
    let text = std::fs::read_to_string(fixture.join("case.toml")).unwrap_or_default();
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dockerfile_gives_the_files_and_the_configuration_that_the_peer_gives() {
    let mut fixtures: Vec<PathBuf> = std::fs::read_dir(fixture("dockerfiles"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    fixtures.sort();
    assert!(fixtures.len() >= 40, "{} fixtures", fixtures.len());
    let in_older_words = fixtures.iter().filter(|path| path.join("peer.Dockerfile").exists());
    let in_older_words: Vec<&str> =
        in_older_words.map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    let listed: Vec<&str> = OLDER_WORDS.iter().map(|(fixture, _)| *fixture).collect();
    assert_eq!(in_older_words, listed, "every peer.Dockerfile is listed, with its reason");
    if let Ok(only) = std::env::var("WINDLASS_TEST_DOCKERFILE") {
        fixtures.retain(|path| path.ends_with(&only));
    }
    let (registry, server) = (registry_with_bases(), serve_file());
    let (ours, peer) = (Ours::start().await, Peer::start());
    let mut wrong = Vec::new();
    for path in sample::of(fixtures, SAMPLE) {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        eprintln!("{name}");
        wrong.extend(compare(&name, &path, &registry, &server.url, &ours, &peer).await);
    }
    drop(peer);
    ours.finish().await;
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Builds one fixture on both sides and says what is not as it should be.
async fn compare(
    name: &str,
    path: &std::path::Path,
    registry: &DockerRegistry,
    server: &str,
    ours: &Ours,
    peer: &Peer,
) -> Vec<String> {
    let settings = case_settings(path);
    let (_dir, context) = prepared(path, registry);
    let mut args: Vec<(String, String)> = Vec::new();
    if let Some(table) = settings.get("args").and_then(toml::Value::as_table) {
        args.extend(table.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())));
    }
    let dockerfile = settings.get("dockerfile").map_or("Dockerfile", |v| v.as_str().unwrap());
    let text = std::fs::read_to_string(context.join(dockerfile)).unwrap();
    if text.contains("ARG SERVER") {
        args.push(("SERVER".to_owned(), server.to_owned()));
    }
    let wanted = Wanted {
        context: &context,
        dockerfile,
        target: settings.get("target").map(|v| v.as_str().unwrap()),
        args: args.clone(),
        secret: text.contains("type=secret").then_some("0123456789"),
    };
    let built = match ours.build(&wanted).await {
        Ok(built) => built,
        Err(failure) => return vec![format!("{name}: {failure}")],
    };
    let mut wrong = Vec::new();
    if !ours.build(&wanted).await.is_ok_and(|again| again.cached) {
        wrong.push(format!("{name}: building it again was no look-up"));
    }
    let own = context.join("peer.Dockerfile");
    let theirs = if own.exists() { "peer.Dockerfile" } else { dockerfile };
    let (tree, config) = match peer.build(&Wanted { dockerfile: theirs, args, ..wanted }) {
        Ok(built) => built,
        Err(failure) => return vec![format!("{name}: {failure}")],
    };
    let mut seen = differences(&built.tree, &tree);
    seen.extend(differences(&built.config, &config));
    let listed = |path: &str| {
        DIFFERENCES.iter().any(|(case, at, _)| (*case == "*" || *case == name) && *at == path)
    };
    wrong.extend(
        seen.iter().filter(|(at, _)| !listed(at)).map(|(at, what)| format!("{name}: {at}: {what}")),
    );
    for (_, at, _) in DIFFERENCES.iter().filter(|(case, ..)| *case == name) {
        if !seen.iter().any(|(path, _)| path == at) {
            wrong.push(format!("{name}: {at} is listed as different, and is not"));
        }
    }
    wrong
}

#[test]
fn an_application_with_a_dockerfile_goes_live_and_only_what_changed_is_built_again() {
    let (host, registry) = (TestHost::start(), registry_with_bases());
    let repo = GitRepo::empty();
    repo.write(
        "Dockerfile",
        &format!(
            "ARG TAG=1\nFROM {base}:${{TAG}} AS build\nARG GREETING=nobody\nWORKDIR /out\n\
             RUN echo \"built for $GREETING\" > index.html\n\
             FROM {base}:1\nCOPY --from=build /out /www/\nCOPY version /www/version\n\
             EXPOSE 53/udp 8080\nUSER app\nWORKDIR /www\n\
             HEALTHCHECK --start-period=5s CMD wget -q -O /dev/null http://127.0.0.1:8080/\n\
             ENTRYPOINT [\"/bin/httpd\", \"-f\"]\nCMD [\"-p\", \"8080\"]\n",
            base = format!("{}/base", registry.address),
        ),
    );
    repo.write("version", "one\n");
    repo.write("windlass.toml", "[build.args]\nGREETING = \"everyone\"\n");
    repo.commit("An application with a Dockerfile");
    let first = host.deploy_git("shop", &repo, &[]).live();
    assert_eq!(host.get("shop.localhost", "/").text(), "built for everyone\n");
    assert_eq!(host.get("shop.localhost", "/version").text(), "one\n");
    let health = first.view.deployment.outputs.health.clone().unwrap();
    assert!(matches!(&health.policy.probes[..], [Probe::Command { .. }]), "{health:?}");
    assert_eq!(first.view.deployment.outputs.instances[0].port, Some(8080));

    let again = host.deploy_git("shop", &repo, &[]).live();
    assert_eq!(again.step(StepName::Build), StepStatus::Cached);

    repo.write("version", "two\n");
    repo.commit("The second version");
    let changed = host.deploy_git("shop", &repo, &[]).live();
    assert_eq!(host.get("shop.localhost", "/version").text(), "two\n");
    let number = changed.number().to_string();
    let log = host.cli(&["logs", &number, "--step", "build", "--project", "shop"]).ok().stdout;
    let step = |text: &str| log.lines().find(|line| line.contains(text)).unwrap_or_default();
    assert!(step("build: RUN echo").contains("cached"), "{log}");
    assert!(step("COPY --from=build").contains("cached"), "{log}");
    let copied = step("COPY version /www/version");
    assert!(!copied.is_empty() && !copied.contains("cached"), "{log}");

    // The target and another file by setting; the path of the settings goes before the image's check.
    repo.write("docker/other", &format!("FROM {}/base:1 AS one\nRUN mkdir /w && echo other > /w/index.html\nCMD [\"/bin/httpd\", \"-f\", \"-p\", \"3000\", \"-h\", \"/w\"]\nFROM one\nRUN exit 1\n", registry.address));
    repo.write("windlass.toml", "[build]\ndockerfile = \"docker/other\"\ntarget = \"one\"\n[run]\nport = 3000\n[health]\npath = \"/\"\n");
    repo.commit("Another file");
    host.deploy_git("shop", &repo, &[]).live();
    assert_eq!(host.get("shop.localhost", "/").text(), "other\n");
    drop(registry);
    host.finish();
}

#[test]
fn what_a_dockerfile_cannot_have_fails_before_anything_runs_with_its_line() {
    let host = TestHost::start();
    let repo = GitRepo::empty();
    for (text, code, says) in [
        (
            "FROM scratch\nRUN --security=insecure x\nCMD x\n",
            "dockerfile.unsupported",
            "line 2: RUN",
        ),
        ("FROM scratch\nRUN --mount=type=ssh x\n", "dockerfile.unsupported", "line 2: RUN"),
        ("FROM scratch\n\nCOYP a b\n", "dockerfile.unknown-instruction", "line 3: COYP"),
        ("FROM 127.0.0.1:1/nothing\nCMD x\n", "registry.unreachable", "line 1: FROM"),
        ("FROM scratch\nCOPY a /\n", "start.no-command", "CMD"),
    ] {
        repo.write("Dockerfile", text);
        repo.commit("A Dockerfile");
        let failed = host.deploy_git("shop", &repo, &[]);
        let failure = failed.failed(code);
        assert!(failure.what.contains(says) || failure.why.contains(says), "{failure:#?}");
        assert_eq!(failure.step, Some(StepName::Plan), "{text}");
        assert_ne!(failed.step(StepName::Build), StepStatus::Succeeded, "{text}");
    }
    // What is not in the source is known when the build looks there.
    repo.write("Dockerfile", "FROM scratch\n\nCOPY absent.txt /\nCMD [\"/absent\"]\n");
    repo.commit("A file is missing");
    let failed = host.deploy_git("shop", &repo, &[]);
    let failure = failed.failed("build.copy-missing");
    assert_eq!(failure.step, Some(StepName::Build), "{failure:#?}");
    assert!(failure.what.contains("COPY absent.txt / (line 3)"), "{failure:#?}");
    host.finish();
}
