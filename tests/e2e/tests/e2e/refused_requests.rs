//! Requests and starts that are refused, with a typed error each.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use windlass_model::StepName;
use windlass_model::api::ErrorBody;
use windlass_test_support::{
    CliOutput, GitRepo, HostOptions, Request, Response, TestHost, binary, http,
};

fn failure_code(answer: &Response) -> String {
    let failure = answer.json::<ErrorBody>().error;
    assert!(!failure.why.is_empty() && !failure.fix.is_empty(), "{failure:#?}");
    failure.code
}

#[test]
fn the_api_refuses_what_it_cannot_take_with_a_code_for_each() {
    let host = TestHost::start_with(HostOptions::default().limit("upload_bytes_max", 1 << 20));
    host.cli(&["project", "create", "shop"]).ok();
    let production = "/v1/projects/shop/environments/production";
    let deploy = format!("{production}/deployments");
    let archive = format!("{production}/deployments/archive");
    let variables = format!("{production}/variables");
    let large = vec![b'x'; (1 << 20) + 1];
    let too_long = format!("{{\"git_url\": \"{}\"}}", "x".repeat(2 << 20));
    let rows: [(&str, &str, &[u8], u16, &str); 12] = [
        ("POST", &deploy, b"{\"git_url\": ", 400, "request.malformed-json"),
        ("POST", &deploy, b"{\"git_ulr\": \"x\"}", 400, "request.invalid-body"),
        ("POST", &deploy, b"", 409, "deployment.no-source"),
        ("POST", &deploy, too_long.as_bytes(), 413, "request.body-too-large"),
        ("POST", &deploy, b"{\"git_url\": \"nonsense\"}", 400, "source.url-invalid"),
        (
            "POST",
            &deploy,
            b"{\"git_url\": \"https://a:b@c/d.git\"}",
            400,
            "source.url-has-credentials",
        ),
        ("POST", &archive, &large, 413, "request.body-too-large"),
        ("POST", "/v1/projects", b"{\"name\": \"Not A Name\"}", 400, "request.invalid-body"),
        ("POST", "/v1/projects", b"{\"name\": \"shop\"}", 409, "project.exists"),
        (
            "POST",
            "/v1/projects/none/environments/production/deployments",
            b"{\"git_url\": \"file:///x\"}",
            404,
            "project.not-found",
        ),
        (
            "PUT",
            &variables,
            b"{\"variables\": [{\"name\": \"1BAD\", \"value\": \"x\"}]}",
            400,
            "request.invalid-body",
        ),
        ("POST", "/v1/nowhere", b"{}", 404, "request.path-unknown"),
    ];
    for (method, path, body, status, code) in rows {
        let answer = host.api_raw(method, path, "application/json", Some(body));
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(failure_code(&answer), code, "{method} {path}: {}", answer.text());
    }
    assert_eq!(host.api("GET", &variables, None).json::<serde_json::Value>(), json!([]));
    let page: serde_json::Value = host.api("GET", "/v1/deployments", None).json();
    assert_eq!(page["items"], json!([]), "nothing was accepted");
    host.finish();
}

#[test]
fn without_the_token_nothing_is_said_and_the_command_line_says_what_is_unknown() {
    let host = TestHost::start();
    let ask = |headers: Vec<(&str, String)>| {
        let request = Request { headers, ..Request::get("localhost", "/v1/projects") };
        http::send(host.api_address(), &request).unwrap()
    };
    let missing = ask(Vec::new());
    assert_eq!((missing.status, failure_code(&missing).as_str()), (401, "auth.token-missing"));
    let wrong = ask(vec![("authorization", "Bearer nonsense".to_owned())]);
    assert_eq!((wrong.status, failure_code(&wrong).as_str()), (401, "auth.token-wrong"));
    assert_eq!(ask(vec![("authorization", format!("Bearer {}", host.token()))]).status, 200);
    let mode = std::fs::metadata(host.data_dir().join("token")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the token's file");

    let rows: [(&[&str], i32, &str); 5] = [
        (&["--token", "nonsense", "project", "list"], 4, "auth.token-wrong"),
        (&["show", "1", "--project", "none"], 5, "project.not-found"),
        (&["rollback", "--project", "none"], 5, "project.not-found"),
        (&["cancel", "1", "--project", "none"], 5, "project.not-found"),
        (&["deploy", "/no/such/folder"], 7, "cli.no-such-folder"),
    ];
    for (args, exit, code) in rows {
        let output = host.cli_json(args);
        assert_eq!((output.code, output.failure().code.as_str()), (exit, code), "{args:?}");
    }
    let mut unreachable = host.cli_command(&["--json", "project", "list"]);
    let output = CliOutput::of(unreachable.env("WINDLASS_URL", "http://127.0.0.1:1"));
    assert_eq!((output.code, output.failure().code.as_str()), (3, "cli.host-unreachable"));
    host.finish();
}

#[test]
fn a_second_host_on_a_data_directory_in_use_is_refused() {
    let host = TestHost::start();
    let mut second = host.serve_command();
    let port = windlass_test_support::host::free_address();
    second.args(["--json", "--api-listen", &port.to_string()]);
    let output = CliOutput::of(&mut replaced(&second, &host));
    assert_ne!(output.code, 0);
    assert_eq!(output.failure().code, "store.in-use");
    assert_eq!(host.api("GET", "/v1/status", None).status, 200, "the first one goes on");
    host.finish();
}

/// `serve` of this host again, on another port.
fn replaced(command: &Command, host: &TestHost) -> Command {
    let mut again = Command::new(command.get_program());
    let old = host.api_address().to_string();
    let mut args: Vec<_> = command.get_args().map(std::ffi::OsStr::to_owned).collect();
    if let Some(place) = args.iter().position(|arg| arg.to_str() == Some(&old)) {
        args.drain(place - 1..=place);
    }
    again.args(args).env("WINDLASS_DATA_DIR", host.data_dir()).stdin(Stdio::null());
    again
}

#[test]
fn nothing_is_deployed_below_the_floor_of_free_disk() {
    let host = TestHost::start_with(HostOptions::default().limit("disk_free_bytes_min", 1 << 60));
    let repo = GitRepo::of_fixture("html");
    let failure = host.deploy_git("site", &repo, &[]).failed("preflight.disk-floor");
    assert!(failure.fix.contains("prune") || failure.fix.contains("free"), "{failure:#?}");
    assert_eq!(failure.step, Some(StepName::Fetch), "before anything is fetched: {failure:#?}");
    // Large enough to be refused while it is being sent.
    let archive = "/v1/projects/site/environments/production/deployments/archive";
    let large = vec![b'x'; 32 << 20];
    let answer = host.api_raw("POST", archive, "application/octet-stream", Some(&large));
    assert_eq!(failure_code(&answer), "preflight.disk-floor", "{}", answer.text());
    let uploads = std::fs::read_dir(host.data_dir().join("uploads"));
    assert_eq!(uploads.map_or(0, Iterator::count), 0);
    host.finish();
}

#[test]
fn a_host_that_is_not_started_by_root_says_so() {
    // A folder and a binary that everyone may reach, wherever the checkout lies.
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let program = dir.path().join("windlass");
    std::fs::copy(binary(), &program).unwrap();
    let address = windlass_test_support::host::free_address().to_string();
    let output = CliOutput::of(
        Command::new("setpriv")
            .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
            .arg(&program)
            .args(["--json", "serve", "--api-listen", &address, "--proxy-listen", "127.0.0.1:0"])
            .env("WINDLASS_DATA_DIR", dir.path().join("data")),
    );
    let failure = output.failure();
    assert_eq!(failure.code, "host.not-root", "{failure:#?}");
    assert!(failure.fix.contains("root"), "{failure:#?}");
    let data = dir.path().join("data").display().to_string();
    windlass_test_support::until("nothing of it runs", std::time::Duration::from_secs(10), || {
        windlass_test_support::leaks::pids_naming(&data).is_empty()
    });
}

#[test]
fn a_missing_part_is_named_with_its_package() {
    for (part, package) in
        [("containerd", "containerd"), ("runc", "runc"), ("netavark", "netavark")]
    {
        let mut host = TestHost::prepare(HostOptions::default());
        let output = without(part, host.serve_command());
        let failure = output.failure();
        assert_eq!(failure.code, "host.missing-part", "{failure:#?}");
        assert!(failure.what.contains(part) || failure.why.contains(part), "{failure:#?}");
        let install = format!("apt-get install {package}");
        assert!(failure.fix.contains(&install), "{failure:#?}");
        // With the part there again, the same data directory works.
        host.restart();
        host.finish();
    }
}

/// Runs a command in a mount namespace in which every copy of a program is hidden by a device.
fn without(part: &str, command: Command) -> CliOutput {
    let path = std::env::var("PATH").unwrap_or_default();
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/podman:\
                 /usr/libexec/podman:/usr/lib/cni";
    let copies = path.split(':').chain(usual.split(':')).map(|dir| Path::new(dir).join(part));
    let mut hide = String::from("set -e\n");
    for copy in copies.filter(|copy| copy.is_file()) {
        hide += &format!("mount --bind /dev/null {}\n", copy.display());
    }
    hide += "exec \"$@\"";
    let mut hidden = Command::new("unshare");
    hidden.args(["--mount", "sh", "-c", &hide, "sh"]).arg(command.get_program()).arg("--json");
    hidden.args(command.get_args()).stdin(Stdio::null());
    hidden.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    CliOutput::of(&mut hidden)
}
