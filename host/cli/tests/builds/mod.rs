//! `windlass build`: what it refuses, and what it says of what it sends.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use windlass_cli::exit::Exit;

use crate::common::{Server, run};
use crate::error;

/// A folder with an application of one file, and its path.
fn app() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("shop");
    std::fs::create_dir(&app).unwrap();
    std::fs::write(app.join("index.html"), "hello").unwrap();
    (folder, app)
}

#[test]
fn a_reference_is_refused_for_a_folder_by_build_as_by_deploy() {
    let (_folder, app) = app();
    let file = app.join("index.html");
    for path in [&app, &file] {
        for verb in ["build", "deploy"] {
            let path = path.to_str().unwrap();
            // Nobody listens there: a request would end as unreachable.
            let args = ["--url", "http://127.0.0.1:9", "-p", "shop", verb, path, "--ref", "v2"];
            let ran = run(&args, "");
            assert_eq!(ran.exit, Exit::Usage, "{verb}: {}", ran.err);
            for said in ["--ref", "for Git addresses", "as it is", "code: cli.usage"] {
                assert!(ran.err.contains(said), "{verb}: {}", ran.err);
            }
        }
    }
}

/// What a build of this says until the host refuses it, and what it asked for.
fn refused_build(path: &Path, more: &[&str]) -> (String, String) {
    let server = Server::json(vec![("409 Conflict", error("build.refused"))]);
    let args = ["--url", &server.url, "-p", "shop", "build", path.to_str().unwrap()];
    let ran = run(&[&args[..], more].concat(), "");
    assert_eq!(ran.exit, Exit::Refused, "{}", ran.err);
    (ran.err, server.finish().remove(0).line)
}

#[test]
fn what_is_sent_and_what_is_left_out_is_said() {
    let (_folder, app) = app();
    let _socket = UnixListener::bind(app.join("sock")).unwrap();
    let (said, line) = refused_build(&app, &[]);
    assert!(said.starts_with("left out, not a file: sock\nsending 1 file ("), "{said}");
    assert!(line.starts_with("POST /v1/projects/shop/environments/production/builds/archive?"));
    let (said, _) = refused_build(&app, &["--json"]);
    assert_eq!(said, "left out, not a file: sock\n");

    let archive = app.join("index.html");
    let (said, _) = refused_build(&archive, &[]);
    let sending = format!("sending {} to http://127.0.0.1:", archive.display());
    assert!(said.starts_with(&sending), "{said}");
}

#[test]
fn an_archive_that_cannot_be_written_is_refused_before_anything_is_sent() {
    let (folder, app) = app();
    let file = app.join("index.html");
    let wrong = [
        (folder.path().join("absent/shop.tar"), "there is no folder"),
        (file.join("shop.tar"), "there is no folder"),
        (app.clone(), "it is a folder"),
    ];
    for (to, why) in wrong {
        let to = to.to_str().unwrap();
        for output in [format!("oci={to}"), format!("docker={to}")] {
            let path = app.to_str().unwrap();
            // Nobody listens there: a request would end as unreachable.
            let args = ["--url", "http://127.0.0.1:9", "-p", "shop", "build", path, "-o", &output];
            let ran = run(&args, "");
            assert_eq!(ran.exit, Exit::Usage, "{output}: {}", ran.err);
            assert!(ran.err.contains(why) && ran.err.contains("cli.not-saved"), "{}", ran.err);
        }
        let args = ["--url", "http://127.0.0.1:9", "-p", "shop", "save", "1", "--output", to];
        assert_eq!(run(&args, "").exit, Exit::Usage, "{to}");
    }
    // What was tried leaves nothing behind.
    let (_, line) =
        refused_build(&app, &["-o", &format!("oci={}/to.tar", folder.path().display())]);
    assert!(line.starts_with("POST "), "{line}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
