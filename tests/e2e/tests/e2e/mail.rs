//! Mail of the bundled stage that tells how deployments ended, on a real host: by curl, in an image of a registry, to a
//! server of this machine that the environment is let through to.

use std::time::Duration;

use serde_json::json;
use windlass_model::api::DeploymentView;
use windlass_model::stage::{StageRun, StageStatus};
use windlass_test_support::registry::DockerRegistry;
use windlass_test_support::{GitRepo, SmtpServer, TestHost};

use crate::bundled_stages::{PROJECT, host};
use crate::services::debian_with;

/// For the image to be pulled, and the mail to be sent.
const WITHIN: Duration = Duration::from_secs(240);
/// With what a file of curl's would misread, were it not quoted.
const PASSWORD: &str = "hunter2\"\\mail";

/// An image with curl; its name in the registry.
fn curl(registry: &DockerRegistry) -> String {
    let debian = debian_with("debian-curl", "ca-certificates,curl");
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    let config = json!({ "Env": [path], "User": "nobody", "Cmd": ["curl", "--version"] });
    registry.push_rootfs("curl", &debian, &config);
    format!("{}/curl:1", registry.address)
}

fn grant(host: &TestHost, image: &str) {
    let wanted = json!([
        { "name": "exec", "outputs": [format!("image:{image}")] },
        { "name": "secrets", "names": ["NOTIFY_*"] },
        { "name": "cache", "bytes_max": 65_536 },
    ]);
    host.cli(&["plugin", "grant", "notify", &wanted.to_string()]).ok();
}

/// Commits a build, and a target of mail with these options over the usual ones.
fn set(repo: &GitRepo, build: &str, server: &SmtpServer, image: &str, more: &str) {
    let address = server.address;
    repo.write(
        "windlass.toml",
        &format!(
            "[network]\nallow = ['{address}']\n{build}\n[[stages]]\nplugin = 'notify'\nwhen = 'always'\n\
             [[stages.options.targets]]\nkind = 'mail'\nserver = 'smtp://{address}'\nimage = '{image}'\n\
             from = 'deploys@example.com'\nto = ['ops@example.com', 'dev@example.org']\n\
             user = 'mailer'\npassword_secret = 'NOTIFY_MAIL'\n{more}\n"
        ),
    );
}

fn settled(host: &TestHost, number: u64) -> DeploymentView {
    host.wait_deployment(PROJECT, number, "the stage is over", WITHIN, |view| {
        view.stages.iter().all(|stage| stage.status.is_over())
    })
}

fn tell(view: &DeploymentView) -> &StageRun {
    let [stage] = view.stages.as_slice() else { panic!("{:#?}", view.stages) };
    assert_eq!((stage.plugin.as_str(), stage.stage.as_str()), ("notify", "tell"));
    stage
}

#[test]
fn mail_says_how_deployments_ended_and_goes_to_no_server_that_would_have_it_in_the_clear() {
    let (host, registry) = (host(), DockerRegistry::start());
    let image = curl(&registry);
    let server = SmtpServer::start(&["AUTH PLAIN"], |command, number| {
        (number == 0 && command.starts_with("RCPT")).then_some("451 4.7.1 greylisted")
    });
    host.cli(&["project", "create", PROJECT]).ok();
    let secret = format!("NOTIFY_MAIL={PASSWORD}");
    host.cli(&["env", "set", &secret, "--secret", "--project", PROJECT]).ok();
    let repo = GitRepo::of_fixture("plain-node");

    // The image is not granted yet.
    set(&repo, "", &server, &image, "starttls = false");
    repo.commit("Begin");
    host.cli(&["plugin", "grant", "notify", r#"[{"name": "cache", "bytes_max": 65536}]"#]).ok();
    host.deploy_git(PROJECT, &repo, &[]).live();
    let view = settled(&host, 1);
    let failure = tell(&view).failure.as_ref().unwrap();
    assert_eq!(failure.code, "notify.refused", "{failure:#?}");
    assert!(failure.fix.contains(&format!("image:{image}")), "{failure:#?}");
    assert!(server.commands().is_empty(), "{:?}", server.commands());

    grant(&host, &image);
    repo.commit("Größer, {{NOTIFY_MAIL}}");
    host.deploy_git(PROJECT, &repo, &[]).live();
    let view = settled(&host, 2);
    let stage = tell(&view);
    assert_eq!((stage.status, stage.attempt), (StageStatus::Succeeded, 2), "{stage:#?}");
    let told = "told mail (ops@example.com, dev@example.org)";
    assert_eq!(stage.summary, format!("#2 is live: {told}"));
    told_of_the_success(&server, &view);

    set(&repo, "[build]\ncommand = 'echo no; exit 3'", &server, &image, "starttls = false");
    repo.commit("Break it");
    host.deploy_git(PROJECT, &repo, &[]).failed("build.command-failed");
    let view = settled(&host, 3);
    assert_eq!(tell(&view).summary, format!("#3 failed: {told}"));
    let body = server.next(WITHIN).body().replace("=\r\n", "");
    for part in ["bundled production #3 failed", "(build.command-failed)\r\n", "How to fix it:"] {
        assert!(body.contains(part), "{part}: {body}");
    }

    set(&repo, "", &server, &image, "");
    repo.commit("Encrypt it");
    nothing_goes_unencrypted(&host, &repo, &server);
    for number in ["1", "2", "3", "4"] {
        let log = host.cli(&["logs", "--step", "finish", number, "--project", PROJECT]).ok().stdout;
        assert!(log.contains("stage notify.tell at after-switch"), "{log}");
        assert!(!log.contains("hunter2") && !log.contains("AUTH"), "{log}");
    }
    host.finish();
}

fn told_of_the_success(server: &SmtpServer, view: &DeploymentView) {
    let mail = server.next(WITHIN);
    assert_eq!(mail.login, Some(("mailer".to_owned(), PASSWORD.to_owned())));
    assert_eq!(mail.client, "example.com");
    assert_eq!(mail.from, "deploys@example.com");
    assert_eq!(mail.to, ["ops@example.com", "dev@example.org"]);
    let header = |name: &str| mail.header(name).unwrap_or_else(|| panic!("{name}: {mail:?}"));
    assert_eq!(header("From"), "Windlass <deploys@example.com>");
    assert_eq!(header("To"), "ops@example.com, dev@example.org");
    assert_eq!(header("Subject"), "=?UTF-8?Q?=E2=9C=85_bundled_production_#2_is_live?=");
    let id = format!("<windlass-{}-after-switch@example.com>", view.deployment.id);
    assert_eq!(header("Message-ID"), id);
    assert!(header("Date").ends_with(" +0000"), "{mail:?}");
    assert_eq!(header("Content-Type"), "text/plain; charset=utf-8");
    let body = mail.body().replace("=\r\n", "");
    assert!(body.contains("bundled production #2 is live after "), "{body}");
    assert!(body.contains(" Gr=C3=B6=C3=9Fer, {{NOTIFY_MAIL}}, by Windlass test\r\n"), "{body}");
    assert!(server.taken().is_empty(), "one mail for all, and none of the try that was refused");
}

/// As it is unless something else is said: the server has no STARTTLS, so it hears neither of the password nor of the
/// deployment.
fn nothing_goes_unencrypted(host: &TestHost, repo: &GitRepo, server: &SmtpServer) {
    let before = server.commands().len();
    host.deploy_git(PROJECT, repo, &[]).live();
    let view = settled(host, 4);
    let stage = tell(&view);
    assert_eq!((stage.status, stage.attempt), (StageStatus::Failed, 1), "{stage:#?}");
    let failure = stage.failure.as_ref().unwrap();
    assert_eq!(failure.code, "notify.refused", "{failure:#?}");
    assert!(format!("{failure:?}").contains("STARTTLS"), "{failure:#?}");
    assert!(failure.fix.contains("smtps://"), "{failure:#?}");
    let heard = server.commands().split_off(before);
    assert!(heard.iter().all(|it| it.starts_with("EHLO") || it == "QUIT"), "{heard:?}");
    assert!(server.taken().is_empty(), "{:?}", server.taken());
}
