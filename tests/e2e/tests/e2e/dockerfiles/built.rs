//! `windlass build` of a folder of this machine: archives that others load, and files.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use windlass_model::build::{BuildWhy, StepWhy};
use windlass_model::{DeploymentStatus, StepName, StepStatus};
use windlass_test_support::registry::DockerRegistry;
use windlass_test_support::{CliOutput, Deployed, TestHost, scratch};

use super::peer::{Peer, registry_with_bases, run, text};
use super::tree::{of_config, of_dir, of_saved};

/// Steps of the Dockerfile below.
const STEPS: usize = 3;

/// A folder with a Dockerfile that names no command, and what is made of it.
struct Library {
    host: TestHost,
    dir: tempfile::TempDir,
}

impl Library {
    fn new(registry: &DockerRegistry) -> Self {
        let library = Self { host: TestHost::start(), dir: scratch("library") };
        std::fs::create_dir(library.at("library")).unwrap();
        library.write("notes.txt", "the first\n");
        let dockerfile = [
            &format!("FROM {}/base:1 AS make", registry.address),
            "RUN mkdir /out && echo made > /out/file",
            "FROM scratch",
            "COPY --from=make /out /made",
            "COPY notes.txt /",
            "LABEL of=\"a library\"",
            "EXPOSE 53/udp",
            "SHELL [\"/bin/bash\", \"-c\"]",
            "ONBUILD COPY . /app",
            "HEALTHCHECK --interval=5s --retries=2 CMD [\"/check\"]",
            "MAINTAINER Somebody",
        ];
        library.write("Dockerfile", &dockerfile.join("\n"));
        library
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.at("library").join(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }

    /// `windlass build --output KIND=NAME`
    fn run(&self, kind: &str, name: &str) -> CliOutput {
        let (folder, output) = (self.at("library"), format!("{kind}={}", text(&self.at(name))));
        let args = ["build", text(&folder), "--project", "library", "--output", &output];
        self.host.cli_json(&args)
    }

    /// What it said, and how many steps it carried out.
    fn build(&self, kind: &str, name: &str) -> (Value, usize) {
        let built: Value = self.run(kind, name).ok().json();
        assert_eq!(built["deployment"]["status"], json!(DeploymentStatus::Built));
        let steps = built["steps"].as_array().unwrap();
        assert_eq!(steps.len(), STEPS, "{built:#}");
        let carried_out = steps.iter().filter(|step| step["cached"] == false).count();
        (built["output"].clone(), carried_out)
    }
}

#[test]
fn a_folder_of_this_machine_becomes_archives_and_files_and_needs_no_command_for_it() {
    let (registry, peer) = (registry_with_bases(), Peer::start());
    let library = Library::new(&registry);

    // For Docker: it loads the archive, and knows everything that the Dockerfile says of the image.
    let (docker, carried_out) = library.build("docker", "docker.tar");
    assert_eq!(carried_out, STEPS);
    let loaded = peer.load(&library.at("docker.tar"));
    let config = &loaded["Config"];
    assert_eq!(config["ExposedPorts"], json!({"53/udp": {}}), "{loaded:#}");
    assert_eq!(config["OnBuild"], json!(["COPY . /app"]));
    assert_eq!(config["Shell"], json!(["/bin/bash", "-c"]));
    assert_eq!(config["Labels"], json!({"of": "a library"}));
    let check = &config["Healthcheck"];
    assert_eq!(check["Test"], json!(["CMD", "/check"]));
    assert_eq!((&check["Interval"], &check["Retries"]), (&json!(5_000_000_000_u64), &json!(2)));
    assert_eq!(loaded["Author"], "Somebody");

    // The same image in the other form, without a step carried out.
    let (oci, carried_out) = library.build("oci", "oci.tar");
    assert_eq!((carried_out, &oci["image"]["digest"]), (0, &docker["image"]["digest"]));
    let file = library.at("oci.tar");
    assert_eq!(oci["image"]["bytes"], json!(file.metadata().unwrap().len()));
    let archive = format!("oci-archive:{}", text(&file));
    let inspect = ["--insecure-policy", "inspect", "--raw", "--config", &archive];
    let inspected = run(Command::new("skopeo").args(inspect));
    let inspected = of_config(&serde_json::from_str(&inspected).unwrap());
    assert_eq!(inspected, of_saved(&library.at("docker.tar")));

    // Its files, also after a change; a folder with something in it is left alone.
    library.build("folder", "files");
    let names: Vec<String> = of_dir(&library.at("files")).into_keys().collect();
    assert_eq!(names, ["made", "made/file", "notes.txt"]);
    assert_eq!(library.read("files/made/file"), "made\n");
    library.write("notes.txt", "the second\n");
    assert_eq!(library.run("folder", "files").failure().code, "cli.not-saved");
    assert_eq!(library.read("files/notes.txt"), "the first\n");
    assert_eq!(
        library.build("folder", "changed").1,
        1,
        "of what did not change nothing is made again"
    );
    assert_eq!(library.read("changed/notes.txt"), "the second\n");

    // Deployed it cannot be, and that is known before anything is built.
    let folder = library.at("library");
    let deployed = library.host.cli_json(&["deploy", text(&folder), "--project", "library"]);
    let deployed = Deployed::of(&deployed);
    assert_eq!(deployed.failed("start.no-command").step, Some(StepName::Plan));
    assert_ne!(deployed.step(StepName::Build), StepStatus::Succeeded);
    drop((registry, peer));
    library.host.finish();
}

/// What a person is told of a step that ended well.
fn told(step: &StepWhy) -> String {
    let outcome = if step.cached { "cached" } else { "built" };
    let (s, ms) = (step.took_ms / 1000, step.took_ms % 1000);
    let took = match s {
        0 => format!("{ms} ms"),
        1..60 => format!("{s}.{} s", ms / 100),
        _ => format!("{} min {} s", s / 60, s % 60),
    };
    format!("    {outcome:<6}  {took:>9}  {}", step.name)
}

#[test]
fn a_person_is_told_each_step_with_its_time_and_those_that_were_cached() {
    let registry = registry_with_bases();
    let library = Library::new(&registry);
    let folder = library.at("library");
    // Says what it told, and how many steps were cached.
    let build = |number: u64| {
        let args = ["build", text(&folder), "--project", "library"];
        let said = library.host.cli(&args).ok().stdout;
        let number = number.to_string();
        let why = ["why", number.as_str(), "--project", "library"];
        let why: BuildWhy = library.host.cli_json(&why).ok().json();
        assert_eq!(why.steps.len(), STEPS, "{why:#?}");
        // Steps that run side by side end in any order.
        let mut ended: Vec<String> = why.steps.iter().map(told).collect();
        let mut lines: Vec<&str> = said.lines().filter(|line| line.starts_with("    ")).collect();
        ended.sort();
        lines.sort_unstable();
        assert_eq!(lines, ended, "{said}");
        let cached = why.steps.iter().filter(|step| step.cached).count();
        (said, cached)
    };
    let (first, cached) = build(1);
    assert_eq!(cached, 0);
    assert!(first.contains("\nbuild      succeeded"), "{first}");
    assert!(first.contains("RUN mkdir /out") && first.contains("COPY notes.txt"), "{first}");
    let (again, cached) = build(2);
    assert_eq!(cached, STEPS, "{again}");
    assert!(again.contains("\nbuild      cached"), "{again}");
    // Of a step that is made again it is not said that it was cached.
    library.write("notes.txt", "the second\n");
    let (changed, cached) = build(3);
    assert_eq!(cached, STEPS - 1, "{changed}");
    assert!(changed.contains("\nbuild      succeeded"), "{changed}");
    drop(registry);
    library.host.finish();
}

/// A folder with an application of two stages: the second copies of the first what is made of a part of `main.txt`.
const IN_STAGES: &str = "FROM BASE AS plan
COPY main.txt /src/
RUN grep ^needs /src/main.txt > /recipe
FROM BASE
COPY --from=plan /recipe /recipe
RUN cat /recipe > /installed
COPY main.txt /app/
";

/// The names of the steps that are carried out, each with why, without the lines of the Dockerfile.
fn carried_out(host: &TestHost, dir: &tempfile::TempDir, number: u64) -> Vec<(String, String)> {
    let args = ["build", text(dir.path()), "--project", "stages"];
    host.cli_json(&args).ok();
    let number = number.to_string();
    let why: BuildWhy = host.cli_json(&["why", &number, "--project", "stages"]).ok().json();
    assert!(why.steps.iter().all(|step| step.succeeded), "{why:#?}");
    let of = |step: &StepWhy| {
        let name = step.name.split_once(" (line").map_or(&*step.name, |(name, _)| name);
        let name = name.split_once(": ").map_or(name, |(_, name)| name);
        (name.to_owned(), step.said.join(", "))
    };
    why.steps.iter().filter(|step| !step.cached).map(of).collect()
}

#[test]
fn a_stage_that_is_made_again_is_copied_again_only_where_what_is_copied_is_another() {
    let registry = registry_with_bases();
    let host = TestHost::start();
    let dir = scratch("stages");
    let write = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).unwrap();
    let dockerfile = IN_STAGES.replace("BASE", &format!("{}/base:1", registry.address));
    write("Dockerfile", &dockerfile);
    write("main.txt", "needs a\nsays one\n");
    assert_eq!(carried_out(&host, &dir, 1).len(), 5);
    assert_eq!(carried_out(&host, &dir, 2), []);

    // The first stage is made again, and what the second takes of it is the same.
    write("main.txt", "needs a\nsays two\n");
    let again = carried_out(&host, &dir, 3);
    let names: Vec<&str> = again.iter().map(|(name, _)| name.as_str()).collect();
    let first = ["COPY main.txt /src/", "RUN grep ^needs /src/main.txt > /recipe"];
    assert_eq!(names.len(), 3, "{again:?}");
    for name in first.iter().chain(&["COPY main.txt /app/"]) {
        assert!(names.contains(name), "{again:?}");
    }

    // Now it is another one.
    write("main.txt", "needs b\nsays two\n");
    let again = carried_out(&host, &dir, 4);
    let installs = again.iter().find(|(name, _)| name == "RUN cat /recipe > /installed");
    let copies = again.iter().find(|(name, _)| name == "COPY --from=plan /recipe /recipe");
    assert!(installs.is_some(), "{again:?}");
    let expected = "RUN grep ^needs /src/main.txt > /recipe (line 3)\" has another result";
    assert!(copies.is_some_and(|(_, why)| why.contains(expected)), "{again:?}");

    // What is ignored and copied by nobody builds nothing again; nor does a stage that nobody needs.
    write(".dockerignore", "*.log\n");
    assert_eq!(carried_out(&host, &dir, 5), []);
    write("Dockerfile", &format!("FROM scratch AS unused\nCOPY none /\n{dockerfile}"));
    assert_eq!(carried_out(&host, &dir, 6), []);

    // What is put in above names itself, and nothing below it is told to have changed.
    let above = dockerfile.replace("COPY --from", "WORKDIR /app\nCOPY --from");
    write("Dockerfile", &above);
    let again = carried_out(&host, &dir, 7);
    assert_eq!(again.len(), 4, "{again:?}");
    assert_eq!(again[0], ("WORKDIR /app".to_owned(), "no earlier build of it is known".to_owned()));
    for (name, why) in &again[1..] {
        assert!(!why.contains("changed") || why.contains("working directory"), "{name}: {why}");
        assert!(!why.contains("no earlier build"), "{name}: {why}");
    }
    drop(registry);
    host.finish();
}
