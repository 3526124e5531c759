//! The stage with a host that answers as a test says, and its script in the shell of the machine with a browser that
//! says what a real one said.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use windlass_sdk::PluginError;
use windlass_sdk::artifacts::Kind;
use windlass_sdk::custom::{Facts, Hook, Process, State};
use windlass_sdk::exec::{ExecError, Exit, Place, Reason};
use windlass_sdk::testing::{Harness, Ran, ended};

use super::Screenshot;
use crate::browser::SCRIPT;

const PNG: &[u8] = b"\x89PNG\r\n\x1a\nand so on";
const JPEG: &[u8] = b"\xff\xd8\xff\xe0and so on";
const ADDRESS: &str = "10.89.1.7:3000";

fn facts() -> Facts {
    let process = |name: &str, web: bool, addresses: &[&str]| Process {
        name: name.to_owned(),
        output: "app".to_owned(),
        web,
        addresses: addresses.iter().map(|&it| it.to_owned()).collect(),
    };
    Facts {
        hook: Hook::AfterSwitch,
        state: State::Live,
        processes: vec![
            process("jobs", false, &["10.89.1.6:1"]),
            process("web", true, &[ADDRESS, "10.89.1.8:3000"]),
        ],
        urls: vec!["https://shop.example.com".to_owned()],
        ..Facts::empty()
    }
}

/// A command that wrote this picture, and these lines beside it.
fn picture(bytes: &[u8], said: &str) -> Result<Exit, ExecError> {
    Ok(Exit {
        stdout_tail: bytes.to_vec(),
        stdout_bytes: bytes.len() as u64,
        ..failed(0, said).unwrap()
    })
}

fn failed(code: u32, said: &str) -> Result<Exit, ExecError> {
    Ok(Exit { stderr_tail: said.as_bytes().to_vec(), ..ended(code, "").unwrap() })
}

fn answering(answer: Result<Exit, ExecError>) -> Harness {
    Harness::with_files(&[]).command(["/bin/sh", "-c"], answer)
}

fn taken(harness: &Harness) -> Ran {
    harness.custom::<Screenshot>("picture", &facts(), &[])
}

fn error(answer: Result<Exit, ExecError>) -> PluginError {
    taken(&answering(answer)).result.unwrap_err()
}

#[test]
fn the_first_instance_is_asked_by_its_public_name_and_what_is_seen_is_attached() {
    let ran = taken(&answering(picture(PNG, "status 200\n")));
    assert_eq!(ran.result.unwrap().summary, "1 picture: home.png");
    let [(artifact, bytes)] = ran.artifacts.as_slice() else { panic!("{:?}", ran.artifacts) };
    assert_eq!((artifact.kind, artifact.media_type.as_str()), (Kind::Image, "image/png"));
    assert_eq!((artifact.title.as_str(), bytes.as_slice()), ("/", PNG));
    let [command] = ran.commands.as_slice() else { panic!("{:?}", ran.commands) };
    assert!(matches!(&command.place, Place::Image(name) if name.contains("headless-shell")));
    assert!(command.quiet && command.variable_names.is_empty());
    let words: Vec<&str> = command.argv[4..].iter().map(String::as_str).collect();
    assert_eq!(words[..3], ["2097152", "0.500", "0"]);
    let said: Vec<serde_json::Value> =
        words[3..6].iter().map(|word| serde_json::from_str(word).unwrap()).collect();
    assert_eq!(said[0], json!({"headers": {"X-Forwarded-Proto": "https"}}));
    assert_eq!((&said[1]["width"], &said[1]["height"]), (&json!(1280), &json!(800)));
    assert_eq!(said[2], json!({"url": "http://shop.example.com/"}));
    assert!(words.contains(&"--no-sandbox"));
    let leads = format!("--host-resolver-rules=MAP shop.example.com:80 {ADDRESS}");
    assert!(words.contains(&leads.as_str()), "{words:?}");
}

#[test]
fn what_is_set_is_what_is_taken_and_every_page_has_a_name_of_its_own() {
    let options = json!({
        "image": "registry.internal/chromium:1", "paths": ["/", "/About?x=1", "/about/x/1"],
        "width": 390, "height": 844, "wait_ms": 1250, "full_page": true, "host": "",
    });
    let harness = answering(picture(JPEG, "status 404\nnote it is long\n"));
    let ran = taken(&harness.options(&options.to_string()));
    let said = "3 pictures: home.jpg (/ answered 404), about-x-1.jpg (/About?x=1 answered 404), \
                about-x-1-2.jpg (/about/x/1 answered 404)";
    assert_eq!(ran.result.unwrap().summary, said);
    assert_eq!(ran.artifacts[1].0.title, "/About?x=1 (status 404)");
    assert_eq!(ran.artifacts[1].0.media_type, "image/jpeg");
    assert!(ran.log.iter().any(|(_, line)| line == "/: it is long"), "{:?}", ran.log);
    let command = &ran.commands[1];
    assert!(matches!(&command.place, Place::Image(name) if name == "registry.internal/chromium:1"));
    assert_eq!(command.argv[5..7], ["1.250", "10000"]);
    assert_eq!(command.argv[9], json!({"url": format!("http://{ADDRESS}/About?x=1")}).to_string());
    assert!(!command.argv.iter().any(|word| word.starts_with("--host-resolver-rules")));

    let elsewhere = answering(picture(PNG, "")).options(r#"{"url":"https://www.example.com/"}"#);
    let site = Facts { processes: Vec::new(), ..facts() };
    let ran = elsewhere.custom::<Screenshot>("picture", &site, &[]);
    assert_eq!(ran.commands[0].argv[7], r#"{"headers":{}}"#);
    assert_eq!(ran.commands[0].argv[9], r#"{"url":"https://www.example.com/"}"#);
}

#[test]
fn without_an_instance_there_is_nothing_to_see() {
    let skipped = |facts: &Facts| {
        let ran = answering(picture(PNG, "")).custom::<Screenshot>("picture", facts, &[]);
        assert!(ran.commands.is_empty());
        let outcome = ran.result.unwrap();
        assert!(outcome.skipped);
        outcome.summary
    };
    let site = Facts { processes: Vec::new(), ..facts() };
    assert!(skipped(&site).contains("a static site is asked at `url`"));
    assert!(skipped(&Facts { state: State::Failed, ..facts() }).contains("not live"));
}

#[test]
fn what_goes_wrong_is_named_with_what_to_do_and_tried_again_where_that_may_help() {
    let refused = |reason| error(Err(ExecError { reason, message: "m".to_owned() }));
    let denied = refused(Reason::Denied);
    assert_eq!((denied.code.as_str(), denied.retryable), ("screenshot.not-granted", false));
    let grant =
        r#"{"name": "exec", "outputs": ["image:docker.io/chromedp/headless-shell:stable"]}"#;
    assert!(denied.hint.unwrap().contains(grant));
    for (reason, code, retryable) in [
        (Reason::NotFound, "screenshot.no-image", false),
        (Reason::HostFailed, "screenshot.no-image", true),
        (Reason::NotStarted, "screenshot.image-unfit", false),
    ] {
        let error = refused(reason);
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable));
        assert!(error.hint.is_some(), "{error:?}");
    }
    for (status, said, code, retryable) in [
        (69, "the image has no Chromium\n", "screenshot.image-unfit", false),
        (70, "a\nb\nchromium ended\n", "screenshot.browser-failed", true),
        (137, "", "screenshot.browser-failed", true),
        (71, "status\nnet::ERR_CONNECTION_REFUSED\n", "screenshot.page-unreachable", true),
        (72, "the picture has 9 bytes\n", "screenshot.too-large", false),
    ] {
        let error = error(failed(status, said));
        assert_eq!((error.code.as_str(), error.retryable), (code, retryable), "{error:?}");
        let last = said.lines().last().unwrap_or_default();
        assert!(error.message.contains(last) && error.hint.is_some(), "{error:?}");
    }
    let tls = error(failed(71, "net::ERR_SSL_PROTOCOL_ERROR\n"));
    assert!(tls.hint.unwrap().contains("host = \"\""));
    let of = |change: &dyn Fn(&mut Exit)| {
        let mut exit = picture(PNG, "status 200\n").unwrap();
        change(&mut exit);
        error(Ok(exit))
    };
    let memory = of(&|exit| exit.out_of_memory = true);
    assert!(memory.hint.unwrap().contains("run.memory"));
    assert!(of(&|exit| exit.timed_out = true).retryable);
    assert_eq!(of(&|exit| exit.stdout_bytes += 1).code, "screenshot.too-large");
    assert_eq!(of(&|exit| exit.stdout_tail[0] = b'x').code, "screenshot.browser-failed");
    let kept = taken(&answering(picture(PNG, "")).deny("artifacts")).result.unwrap_err();
    assert_eq!(kept.code, "screenshot.not-granted");
}

#[test]
fn options_that_cannot_work_are_refused() {
    for bad in [
        r#"{"paths":["about"]}"#,
        r#"{"paths":["//elsewhere"]}"#,
        r#"{"paths":["/a b"]}"#,
        r#"{"paths":[]}"#,
        r#"{"width":100}"#,
        r#"{"wait_ms":30001}"#,
        r#"{"host":"a,MAP b c"}"#,
        r#"{"url":"shop.example.com"}"#,
        r#"{"image":""}"#,
    ] {
        let error = taken(&Harness::with_files(&[]).options(bad)).result.unwrap_err();
        assert_eq!(error.code, "screenshot.option-invalid", "{bad}");
    }
    let error = taken(&Harness::with_files(&[]).options(r#"{"pages":[]}"#)).result.unwrap_err();
    assert_eq!(error.code, "options.invalid");
}

/// Programs of the machine that the script uses, and that a browser which is a script uses.
const PROGRAMS: [&str; 11] =
    ["sh", "mktemp", "mkfifo", "tr", "grep", "sed", "tail", "sleep", "base64", "wc", "cat"];

/// Runs the script where there is this browser and nothing else.
fn script(browser: Option<&str>, words: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<_> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    for program in PROGRAMS {
        let found = all.iter().map(|dir| dir.join(program)).find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(found, dir.path().join(program)).unwrap();
    }
    if let Some(text) = browser {
        let path = dir.path().join("chromium");
        std::fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    run(dir.path(), words)
}

fn run(path: &Path, words: &[&str]) -> Output {
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", SCRIPT, "sh"]).args(words).env_clear();
    shell.env("PATH", path).env("TMPDIR", path).output().unwrap()
}

/// A browser that says all of this at once, which came from a real one, and ends when nobody speaks to it any more.
fn saying(navigated: &str, height: u32, pictures: [&[u8]; 2]) -> String {
    let [png, jpeg] = pictures.map(|bytes| STANDARD.encode(bytes));
    let messages = [
        r#"{"id":1,"result":{"targetId":"57056760945F"}}"#.to_owned(),
        r#"{"id":2,"result":{"sessionId":"623658AC7CBD"}}"#.to_owned(),
        r#"{"id":3,"result":{},"sessionId":"623658AC7CBD"}"#.to_owned(),
        r#"{"id":4,"result":{},"sessionId":"623658AC7CBD"}"#.to_owned(),
        r#"{"id":5,"result":{},"sessionId":"623658AC7CBD"}"#.to_owned(),
        r#"{"id":6,"result":{},"sessionId":"623658AC7CBD"}"#.to_owned(),
        r#"{"method":"Network.responseReceived","params":{"type":"Document","response":{"url":"http://a/","status":500,"statusText":"No"}}}"#.to_owned(),
        format!(r#"{{"id":7,"result":{{"frameId":"5705"{navigated}}},"sessionId":"623658AC7CBD"}}"#),
        r#"{"method":"Page.loadEventFired","params":{"timestamp":1.5},"sessionId":"623658AC7CBD"}"#.to_owned(),
        format!(r#"{{"id":8,"result":{{"contentSize":{{"x":0,"y":0,"width":1,"height":1}},"cssContentSize":{{"x":0,"y":0,"width":800,"height":{height}}}}}}}"#),
        format!(r#"{{"id":9,"result":{{"data":"{png}"}},"sessionId":"623658AC7CBD"}}"#),
        format!(r#"{{"id":10,"result":{{"data":"{jpeg}"}},"sessionId":"623658AC7CBD"}}"#),
    ];
    let all: String = messages.iter().map(|message| format!("{message}\\0")).collect();
    format!("printf '{}' >&4\ncat <&3 >\"$HOME/heard\"\n", all.replace('%', "%%"))
}

const PAGE: [&str; 3] = [r#"{"headers":{}}"#, r#"{"width":800}"#, r#"{"url":"http://a/"}"#];

fn words<'a>(bytes: &'a str, whole: &'a str) -> Vec<&'a str> {
    [&[bytes, "0", whole], PAGE.as_slice(), &["--headless"]].concat()
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_script_gives_the_picture_that_the_browser_took_and_says_what_it_saw() {
    let browser = saying("", 3021, [PNG, JPEG]);
    let whole = script(Some(&browser), &words("100", "2000"));
    assert_eq!(whole.stdout, PNG, "{}", said(&whole));
    assert_eq!(whole.status.code(), Some(0));
    let expected = "status 500\nnote the page is 3021 high: the first 2000 are in the picture\n";
    assert_eq!(said(&whole), expected);

    let long = [PNG, &[b'x'; 100]].concat();
    let smaller = script(Some(&saying("", 600, [&long, JPEG])), &words("100", "2000"));
    assert_eq!((smaller.stdout.as_slice(), said(&smaller).as_str()), (JPEG, "status 500\n"));
    let none = script(Some(&saying("", 600, [&long, &long])), &words("100", "2000"));
    assert_eq!(none.status.code(), Some(72));
    assert!(none.stdout.is_empty());
    assert!(said(&none).ends_with("the picture has 117 bytes, and 100 come back\n"));
}

#[test]
fn the_script_says_what_is_missing_and_what_the_browser_died_of() {
    let missing = script(None, &words("100", "0"));
    assert_eq!(missing.status.code(), Some(69));
    assert_eq!(said(&missing), "the image has no Chromium\n");
    let bare = tempfile::tempdir().unwrap();
    let bare = run(bare.path(), &words("100", "0"));
    assert_eq!(
        (bare.status.code(), said(&bare).as_str()),
        (Some(69), "the image has no program mktemp\n")
    );

    let died = script(Some("echo no such library >&2\nexit 127\n"), &words("100", "0"));
    assert_eq!(died.status.code(), Some(70));
    assert_eq!(said(&died), "no such library\nchromium ended before there was a picture\n");
    let refused = saying(r#","errorText":"net::ERR_CONNECTION_REFUSED""#, 0, [PNG, PNG]);
    let refused = script(Some(&refused), &words("100", "0"));
    assert_eq!(refused.status.code(), Some(71));
    assert_eq!(said(&refused), "the page could not be loaded: net::ERR_CONNECTION_REFUSED\n");
    let odd = "printf '{\"id\":1,\"error\":{\"code\":-32601,\"message\":\"not found\"}}\\0' >&4\ncat <&3\n";
    let odd = script(Some(odd), &words("100", "0"));
    assert_eq!(odd.status.code(), Some(70));
    assert!(
        said(&odd).ends_with("chromium refused Target.createTarget: not found\n"),
        "{}",
        said(&odd)
    );
}
