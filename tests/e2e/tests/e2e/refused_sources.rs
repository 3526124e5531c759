//! Sources that cannot go live: each ends with a code of its own, a cause and a fix, and nothing of what
//! served before is lost.

use std::time::Duration;

use windlass_model::StepName;
use windlass_model::api::DeploymentView;
use windlass_test_support::git_server::GitServer;
use windlass_test_support::{Deployed, GitRepo, TestHost};

const TOKEN: &str = "a-token-of-the-test";

#[test]
fn a_wrong_repository_reference_and_token_have_codes_of_their_own() {
    let host = TestHost::start();
    let repo = GitRepo::of_fixture("html");
    let server = GitServer::start(&repo, TOKEN);
    let absent = format!("file://{}/absent", repo.path().display());
    let failed = |deployed: Deployed, code: &str| {
        let failure = deployed.failed(code);
        assert_eq!(failure.step, Some(StepName::Fetch));
        assert!(!format!("{failure:?}").contains(TOKEN), "{failure:#?}");
    };
    failed(host.deploy_url("one", &absent, &[]), "source.repository-not-found");
    failed(
        host.deploy_git("one", &repo, &["--ref", "no-such-branch"]),
        "source.reference-not-found",
    );
    let shop = server.url("shop.git");
    failed(host.deploy_url("one", &shop, &[]), "source.authentication-required");

    let with_token = |url: &str, token: &str| {
        let args = ["--json", "deploy", url, "--project", "one", "--git-token-stdin"];
        Deployed::of(&host.cli_with_input(&args, token))
    };
    failed(with_token(&shop, "not-the-token"), "source.token-rejected");
    failed(with_token(&server.url("other.git"), TOKEN), "source.repository-not-found");
    with_token(&shop, TOKEN).live();
    assert!(host.get("one.localhost", "/").text().contains("Hello from plain HTML"));
    host.finish();
}

/// A repository that is refused.
struct Refused {
    files: &'static [(&'static str, &'static str)],
    step: StepName,
    code: &'static str,
    /// What its message must name.
    names: &'static str,
}

const SERVER_JS: &str =
    "require('http').createServer((q, s) => s.end('hi')).listen(process.env.PORT);";

const REFUSED: [Refused; 12] = [
    Refused {
        files: &[("notes.txt", "nothing to run")],
        step: StepName::Detect,
        code: "detect.no-match",
        names: "build.framework",
    },
    Refused {
        files: &[("server.js", SERVER_JS), ("app.py", "print('hi')")],
        step: StepName::Detect,
        code: "detect.tie",
        names: "build.framework",
    },
    Refused {
        files: &[("package.json", "{ \"name\": "), ("server.js", SERVER_JS)],
        step: StepName::Detect,
        code: "node.package-json-invalid",
        names: "package.json",
    },
    Refused {
        files: &[("pyproject.toml", "[project\nname ="), ("app.py", "import flask")],
        step: StepName::Detect,
        code: "python.pyproject-invalid",
        names: "pyproject.toml",
    },
    Refused {
        files: &[
            (
                "package.json",
                "{\"name\":\"old\",\"engines\":{\"node\":\"4\"},\"scripts\":{\"start\":\"node server.js\"}}",
            ),
            ("server.js", SERVER_JS),
        ],
        step: StepName::Detect,
        code: "node.version-unsupported",
        names: "4",
    },
    Refused {
        files: &[("Dockerfile", "FROM scratch\n"), ("index.html", "<p>hi</p>")],
        step: StepName::Plan,
        code: "start.no-command",
        names: "CMD",
    },
    Refused {
        files: &[
            ("index.html", "<p>hi</p>"),
            ("windlass.toml", "[build]\nfrmework = \"static\"\n"),
        ],
        step: StepName::Preflight,
        code: "settings.unknown-key",
        names: "framework",
    },
    Refused {
        files: &[
            ("index.html", "<p>hi</p>"),
            ("windlass.toml", "[[cron]]\nschedule = \"0 25 * * *\"\ncommand = \"true\"\n"),
        ],
        step: StepName::Preflight,
        code: "settings.wrong-value",
        names: "cron.schedule",
    },
    Refused {
        files: &[("index.html", "<p>hi</p>"), ("windlass.toml", "[run]\nport = \"many\"\n")],
        step: StepName::Preflight,
        code: "settings.wrong-value",
        names: "run.port",
    },
    Refused {
        files: &[("index.html", "<p>hi</p>"), ("windlass.toml", "= 1\n")],
        step: StepName::Preflight,
        code: "settings.syntax",
        names: "line 1",
    },
    Refused {
        files: &[
            ("index.html", "<p>hi</p>"),
            ("windlass.toml", "[build]\nframework = \"cobol\"\n"),
        ],
        step: StepName::Detect,
        code: "detect.unknown-framework",
        names: "cobol",
    },
    Refused {
        files: &[
            ("index.html", "<p>hi</p>"),
            ("windlass.toml", "[build]\napp_dir = \"apps/web\"\n"),
        ],
        step: StepName::Preflight,
        code: "preflight.app-dir-missing",
        names: "apps/web",
    },
];

#[test]
fn a_source_that_cannot_be_understood_is_refused_with_its_reason_and_changes_nothing() {
    let host = TestHost::start();
    let good = GitRepo::of_fixture("html");
    host.deploy_git("site", &good, &[]).live();
    let before = host.holdings();
    for refused in &REFUSED {
        let repo = GitRepo::of_files(refused.files);
        let deployed = host.deploy_git("site", &repo, &[]);
        let failure = deployed.failed(refused.code);
        assert_eq!(failure.step, Some(refused.step), "{}", refused.code);
        let text = format!("{} {} {}", failure.what, failure.why, failure.fix);
        assert!(text.contains(refused.names), "{} names {}: {text}", refused.code, refused.names);
        assert!(host.get("site.localhost", "/").text().contains("Hello from plain HTML"));
    }
    assert_eq!(host.holdings(), before, "nothing is left of the refused ones");
    host.finish();
}

#[test]
fn an_application_that_listens_elsewhere_is_told_where() {
    let host = TestHost::start();
    let package = "{\"name\":\"where\",\"version\":\"1.0.0\",\"engines\":{\"node\":\"22\"},\"scripts\":{\"start\":\"node server.js\"},\"dependencies\":{}}";
    let server = |listen: &str| {
        format!("require('http').createServer((q, s) => s.end('here')).listen({listen});")
    };
    let toml = "[health]\ntimeout = \"8s\"\n";
    let rows = [
        ("Number('43' + '21'), '0.0.0.0'", "check.wrong-port", "4321"),
        ("process.env.PORT, '127.0.0.1'", "check.loopback-only", "0.0.0.0"),
    ];
    for (listen, code, names) in rows {
        let text = server(listen);
        let repo = GitRepo::of_files(&[
            ("package.json", package),
            ("server.js", &text),
            ("windlass.toml", toml),
        ]);
        let failure = host.deploy_git("where", &repo, &[]).failed(code);
        assert!(format!("{} {}", failure.what, failure.fix).contains(names), "{failure:#?}");
    }
    // Without a lock file it works, with a warning.
    let with_dependency = package.replace("{}", "{\"ms\":\"2.1.3\"}");
    let text = server("process.env.PORT, '0.0.0.0'");
    let repo = GitRepo::of_files(&[("package.json", &with_dependency), ("server.js", &text)]);
    let deployed = host.deploy_git("where", &repo, &[]).live();
    let warnings = &deployed.view.deployment.warnings;
    assert!(
        warnings.iter().any(|warning| warning.message.contains("no lock file")),
        "{warnings:#?}"
    );
    assert_eq!(host.get("where.localhost", "/").text(), "here");
    host.finish();
}

/// Adds an entry to an archive exactly as named: the library would refuse.
fn entry(tar: &mut tar::Builder<Vec<u8>>, path: &str, kind: tar::EntryType, link: &str) {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    let body: &[u8] = if kind == tar::EntryType::Regular { b"<p>archived</p>" } else { b"" };
    header.set_size(body.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, body).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn an_archive_with_entries_that_leave_it_is_refused_and_writes_nothing_outside() {
    use tar::EntryType::{Block, Char, Fifo, Link, Regular, Symlink};
    let host = TestHost::start();
    let rows = [
        ("../escaped", Regular, ""),
        ("a/../../escaped", Regular, ""),
        ("/tmp/windlass-escaped", Regular, ""),
        ("etc", Symlink, "/etc"),
        ("up", Symlink, "../../.."),
        ("hard", Link, "/etc/passwd"),
        ("null", Char, ""),
        ("disk", Block, ""),
        ("pipe", Fifo, ""),
    ];
    for (path, kind, link) in rows {
        let mut tar = tar::Builder::new(Vec::new());
        entry(&mut tar, "index.html", Regular, "");
        entry(&mut tar, path, kind, link);
        let deployed = upload(&host, &gzip(&tar.into_inner().unwrap()));
        let failure = deployed.deployment.failure.unwrap_or_else(|| panic!("{path} is accepted"));
        let named = if kind == Link { link } else { path };
        assert_eq!(failure.code, "source.archive-unsafe-entry", "{path}: {failure:#?}");
        assert!(format!("{} {}", failure.what, failure.why).contains(named), "{failure:#?}");
    }
    assert!(!std::path::Path::new("/tmp/windlass-escaped").exists());
    assert!(!host.data_dir().join("escaped").exists(), "nothing beside the workspaces");
    let junk = upload(&host, b"this is no archive");
    assert_eq!(junk.deployment.failure.unwrap().code, "source.archive-invalid");

    let mut tar = tar::Builder::new(Vec::new());
    entry(&mut tar, "index.html", Regular, "");
    let good = upload(&host, &gzip(&tar.into_inner().unwrap()));
    assert_eq!(good.deployment.failure, None, "the same archive without such an entry");
    assert_eq!(host.get("upload.localhost", "/").text(), "<p>archived</p>");
    host.finish();
}

/// Uploads an archive and waits for the deployment's end.
fn upload(host: &TestHost, archive: &[u8]) -> DeploymentView {
    let path = "/v1/projects/upload/environments/production/deployments/archive?create=true";
    let answer = host.api_raw("POST", path, "application/gzip", Some(archive));
    assert_eq!(answer.status, 202, "{}", answer.text());
    let accepted: DeploymentView = answer.json();
    let number = accepted.deployment.number;
    host.wait_deployment("upload", number, "the upload settles", Duration::from_secs(60), |view| {
        view.deployment.status.is_settled()
    })
}
