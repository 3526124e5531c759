use windlass_sdk::plan::{Artifact, ProcessKind};
use windlass_sdk::testing::Harness;
use windlass_sdk::{DetectReport, PluginError};

use super::Docker;

fn detect(file: &str, settings: &str) -> DetectReport {
    detect_in(&[(file, "FROM scratch\n")], settings)
}

fn detect_in(files: &[(&str, &str)], settings: &str) -> DetectReport {
    Harness::with_files(files).settings(settings).detect::<Docker>().unwrap()
}

#[test]
fn a_dockerfile_wins_over_whatever_else_is_recognised() {
    for file in ["Dockerfile", "Containerfile"] {
        let found = &detect(file, "{}").detections[0];
        assert_eq!((found.id.as_str(), found.confidence), ("dockerfile", 100));
        assert_eq!((found.evidence[0].path.as_str(), found.refusal.is_none()), (file, true));
    }
    let found = detect("docker/app.docker", r#"{"build":{"dockerfile":"./docker/app.docker"}}"#);
    assert_eq!(found.detections[0].evidence[0].path, "docker/app.docker");
}

#[test]
fn another_framework_in_the_settings_lets_it_be_built_as_that() {
    let report = detect("Dockerfile", r#"{"build":{"framework":"node"}}"#);
    assert!(report.detections.is_empty());
    assert_eq!(report.near_misses[0].id, "dockerfile");
}

#[test]
fn asking_for_one_that_is_not_there_is_refused() {
    for settings in
        [r#"{"build":{"framework":"dockerfile"}}"#, r#"{"build":{"dockerfile":"Dockerfile.prod"}}"#]
    {
        let report = detect("README.md", settings);
        let refusal = report.detections[0].refusal.as_ref().unwrap();
        assert_eq!(refusal.code, "dockerfile.missing", "{settings}");
    }
}

#[test]
fn other_folders_are_not_its_business_but_a_slip_is_named() {
    assert_eq!(detect("README.md", "{}"), DetectReport::nothing());
    let report = detect("dockerfile", "{}");
    assert!(report.near_misses[0].reason.contains("did you mean \"Dockerfile\""));
}

fn planned(text: &str, settings: &str) -> Result<windlass_sdk::plan::BuildPlan, PluginError> {
    let files = [("Dockerfile", text), (".dockerignore", "# all\n*\n!src\n")];
    let harness = Harness::with_files(&files).settings(settings);
    harness.detect_and_plan::<Docker>().map(|(_, plan)| plan)
}

#[test]
fn the_plan_runs_the_image_on_the_first_port_of_tcp() {
    let text =
        "FROM scratch\nCOPY src /\nEXPOSE 53/udp 8080 9090\nENTRYPOINT [\"/serve\"]\nCMD [\"-v\"]";
    let plan =
        planned(text, r#"{"run":{"processes":{"worker":{"command":"/work now"}}}}"#).unwrap();
    let [web, worker] = plan.processes.as_slice() else { panic!("{:?}", plan.processes) };
    assert_eq!((web.kind, web.argv.len()), (ProcessKind::Web, 0));
    assert_eq!(web.ports, [8080, 9090]);
    assert_eq!((worker.kind, worker.argv.join(" ").as_str()), (ProcessKind::Worker, "/work now"));
    let Artifact::Image(image) = &plan.outputs[0].artifact else { panic!() };
    assert_eq!((image.config.entrypoint.len(), image.config.cmd.len()), (1, 1));
    assert_eq!(image.config.ports, ["53/udp", "8080/tcp", "9090/tcp"]);
    assert!(image.config.whole);
    let plan = planned(text, r#"{"run":{"command":"/other","port":3000}}"#).unwrap();
    assert_eq!(
        (plan.processes[0].argv.join(" ").as_str(), &plan.processes[0].ports[..]),
        ("/other", &[3000][..])
    );
}

#[test]
fn processes_that_are_declared_beside_it_run_from_the_image() {
    let image = ("Dockerfile", "FROM scratch\nCOPY . /\nCMD [\"/serve\"]\n");
    let of = |file: (&str, &str), settings: &str| {
        let harness = Harness::with_files(&[image, file]).settings(settings);
        let (_, plan) = harness.detect_and_plan::<Docker>().unwrap();
        let line = |one: &windlass_sdk::plan::Process| {
            format!("{:?} {}: {}", one.kind, one.name, one.argv.join(" "))
                .replace("ProcessKind::", "")
        };
        plan.processes.iter().map(line).collect::<Vec<_>>()
    };
    let procfile = ("Procfile", "web: /app -v\nworker: /work\nrelease: /migrate\n");
    assert_eq!(of(procfile, "{}"), ["Web web: /app -v", "Worker worker: /work"]);
    assert_eq!(of(("Procfile", "worker: /work\n"), "{}"), ["Web web: ", "Worker worker: /work"]);
    let own = r#"{"run":{"processes":{"web":{"command":"/own"}}}}"#;
    assert_eq!(of(procfile, own), ["Web web: /own", "Worker worker: /work"]);
    let heroku = (
        "heroku.yml",
        "build:\n  docker:\n    web: Dockerfile\nrun:\n  web: app -p 1\n  jobs: q\n",
    );
    assert_eq!(of(heroku, "{}"), ["Web web: app -p 1", "Worker jobs: q"]);
    let fly = ("fly.toml", "[processes]\napp = 'server'\nqueue = 'q'\n");
    assert_eq!(of(fly, "{}"), ["Web web: server", "Worker queue: q"]);
}

#[test]
fn the_port_of_another_platform_stands_in_for_an_expose() {
    let ports = |text: &str, settings: &str| {
        let fly = ("fly.toml", "[http_service]\ninternal_port = 4000\n");
        let harness = Harness::with_files(&[("Dockerfile", text), fly]).settings(settings);
        harness.detect_and_plan::<Docker>().unwrap().1.processes.remove(0).ports
    };
    assert_eq!(ports("FROM scratch\nCMD [\"/a\"]\n", "{}"), [4000]);
    assert_eq!(ports("FROM scratch\nEXPOSE 53/udp\nCMD [\"/a\"]\n", "{}"), [4000]);
    assert_eq!(ports("FROM scratch\nEXPOSE 8080\nCMD [\"/a\"]\n", "{}"), [8080]);
    assert_eq!(ports("FROM scratch\nCMD [\"/a\"]\n", r#"{"run":{"port":3000}}"#), [3000]);
}

#[test]
fn an_image_without_a_command_is_planned_and_says_that_it_has_none() {
    let plan = planned("FROM scratch\nCOPY a /", "{}").unwrap();
    let Artifact::Image(image) = &plan.outputs[0].artifact else { panic!() };
    let commands = [&plan.processes[0].argv, &image.config.entrypoint, &image.config.cmd];
    assert!(commands.iter().all(|words| words.is_empty()), "{plan:?}");
    let plan = planned("FROM scratch\nCOPY a /", r#"{"run":{"command":"/a"}}"#).unwrap();
    assert_eq!(plan.processes[0].argv, ["/a"]);
}

#[test]
fn a_problem_names_file_line_instruction_and_the_way_out() {
    let error = planned("FROM scratch\n\nRUN --mount=type=ssh a\nCMD b", "{}").unwrap_err();
    assert_eq!(error.code, "dockerfile.unsupported");
    assert!(
        error.message.starts_with("Dockerfile line 3: RUN: --mount=type=ssh"),
        "{}",
        error.message
    );
    assert!(error.hint.unwrap().contains("type=secret"));
}

#[test]
fn a_dockerfile_for_another_occasion_is_named_and_not_taken() {
    for path in ["Dockerfile.dev", "docker/Dockerfile", "app.Dockerfile"] {
        let report = detect_in(&[(path, "FROM scratch\n")], "{}");
        assert!(report.detections.is_empty(), "{path}");
        assert!(
            report.near_misses[0].reason.contains(&format!("build.dockerfile = {path:?}")),
            "{path}"
        );
    }
    let ignore = detect_in(&[("Dockerfile.dockerignore", "")], "{}");
    assert_eq!(ignore, DetectReport::nothing());
}

#[test]
fn the_file_that_another_platform_is_told_of_is_taken_if_it_is_there() {
    let fly = ("fly.toml", "[build]\ndockerfile = 'Dockerfile.fly'\n");
    let found = detect_in(&[fly, ("Dockerfile.fly", "FROM scratch\n")], "{}");
    assert_eq!(found.detections[0].evidence[0].path, "Dockerfile.fly");
    assert_eq!(found.detections[0].evidence[1].path, "fly.toml");
    assert!(detect_in(&[fly], "{}").detections.is_empty());
    let own = r#"{"build":{"dockerfile":"Dockerfile"}}"#;
    let both = [fly, ("Dockerfile.fly", ""), ("Dockerfile", "FROM scratch\n")];
    assert_eq!(detect_in(&both, own).detections[0].evidence[0].path, "Dockerfile");
}

#[test]
fn a_compose_file_is_listed_and_alone_it_says_what_to_do() {
    let compose =
        ("compose.yaml", "services:\n  web: {build: .}\n  db: {image: \"postgres:17\"}\n");
    let found = detect_in(&[compose, ("Dockerfile", "FROM scratch\n")], "{}");
    let sign = &found.detections[0].evidence[1];
    assert_eq!(sign.path, "compose.yaml");
    assert!(sign.detail.contains("db (image postgres:17: run it beside"), "{}", sign.detail);
    let images = ("docker-compose.yml", "services:\n  n8n: {image: n8nio/n8n}\n");
    let alone = detect_in(&[images], "{}");
    assert!(alone.detections.is_empty());
    assert!(alone.near_misses[0].reason.contains("windlass deploy --image"), "{alone:?}");
    assert!(alone.near_misses[0].reason.contains("it lists "), "{alone:?}");
    let beside = detect_in(&[images, ("server.js", "")], "{}").near_misses.remove(0).reason;
    assert!(beside.contains(" lists ") && beside.contains(", and is not carried out"), "{beside}");
    assert!(!beside.contains("run it beside"), "the plan says it: {beside}");
}
