//! A Dockerfile whose base needs a login, and whose build a secret of the environment.

use std::process::Command;

use windlass_model::{Digest, StepName};
use windlass_test_support::registry::{DockerRegistry, LOGIN};
use windlass_test_support::{CliOutput, GitRepo, TestHost};

use super::peer::with_bases;

const PROJECT: [&str; 2] = ["--project", "shop"];
const SECRET: &str = "s3cret-of-the-build-40817";

/// Serves the digest of the secret, and prints the secret itself.
fn dockerfile(registry: &DockerRegistry, version: &str) -> String {
    format!(
        "FROM {}/base:1\n\
         RUN --mount=type=secret,id=build-token,required mkdir /www && \
         busybox sha256sum < /run/secrets/build-token > /www/index.html && \
         cat /run/secrets/build-token && echo ' was read for {version}'\n\
         EXPOSE 8080\n\
         CMD [\"/bin/httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n",
        registry.address
    )
}

#[test]
fn a_dockerfile_on_a_guarded_base_with_a_secret_of_its_build_goes_live_with_the_login_alone() {
    let (host, registry) = (TestHost::start(), with_bases(DockerRegistry::start_guarded()));
    let run = |args: &[&str]| host.cli(&[args, PROJECT.as_slice()].concat()).ok();
    let log_in = || {
        let args = ["registry", "login", &registry.address, "-u", LOGIN.0, "--password-stdin"];
        host.cli_with_input(&[args.as_slice(), &PROJECT].concat(), LOGIN.1).ok();
    };
    let page = || host.get("shop.localhost", "/").text();
    let repo = GitRepo::of_files(&[("index.html", "before")]);
    host.deploy_git("shop", &repo, &[]).live();
    run(&["env", "set", "--secret", "--scope", "build", &format!("BUILD_TOKEN={SECRET}")]);

    let commit = |version: &str| {
        repo.write("Dockerfile", &dockerfile(&registry, version));
        repo.commit(version);
    };
    repo.remove("index.html");
    commit("one");
    let refused = host.deploy_git("shop", &repo, &[]).failed("registry.unauthorized");
    assert_eq!(refused.step, Some(StepName::Plan), "{refused:#?}");
    assert_eq!(page(), "before");

    log_in();
    let live = host.deploy_git("shop", &repo, &[]).live();
    let digest = format!("{}  -\n", Digest::of(SECRET.as_bytes()).hex());
    assert_eq!(page(), digest);
    secret_is_in_no_log(&host, live.number());

    // The base is here by now; who may not pull it any more may not build on it either.
    run(&["registry", "logout", &registry.address]);
    commit("two");
    host.deploy_git("shop", &repo, &[]).failed("registry.unauthorized");
    assert_eq!(page(), digest);
    log_in();
    host.deploy_git("shop", &repo, &[]).live();
    assert_eq!(page(), digest);
    drop(registry);
    host.finish();
}

/// What the build printed of it is masked; the words behind it are found by the same searches.
fn secret_is_in_no_log(host: &TestHost, number: u64) {
    let number = number.to_string();
    let of =
        |verb: &str| host.cli_json(&[[verb, &number].as_slice(), &PROJECT].concat()).ok().stdout;
    let log = host.cli(&[["logs", &number].as_slice(), &PROJECT].concat()).ok().stdout;
    assert!(log.contains("[secret] was read for one"), "{log}");
    for (what, text) in [
        ("the log", log),
        ("the log as JSON", of("logs")),
        ("the deployment", of("show")),
        ("serve's own log", host.serve_log()),
    ] {
        assert!(!text.contains(SECRET), "{what} holds the secret: {text}");
    }
    let files_with = |text: &str| {
        let mut grep = Command::new("grep");
        CliOutput::of(grep.args(["-rlF", text]).arg(host.data_dir().join("logs"))).stdout
    };
    assert_eq!(files_with(SECRET), "");
    assert_ne!(files_with("was read for one"), "");
}
