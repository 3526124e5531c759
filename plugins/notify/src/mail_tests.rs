//! Mail: the message byte for byte, the command that sends it, what its script does in the shell of this machine, and what
//! becomes of what the server says.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::{Value, json};
use windlass_sdk::PluginError;
use windlass_sdk::custom::Facts;
use windlass_sdk::exec::{ExecError, Exit, Place, Reason};
use windlass_sdk::log::Level;
use windlass_sdk::testing::{Harness, Ran, ended};

use crate::account::{Account, Written};
use crate::mail::{SCRIPT, compose, header_text, quoted_printable};
use crate::message::{Ending, Message};
use crate::tests::{HOSTILE, error, failed, harness, live, one, summary, tell};

/// 2024-06-10T02:35:18Z
const NOW_S: u64 = 1_717_986_918;

fn written() -> Written {
    Written {
        server: Some("smtp://mail.example.com".to_owned()),
        from: Some("deploys@example.com".to_owned()),
        to: Some(vec!["ops@example.com".to_owned(), "dev@example.org".to_owned()]),
        ..Written::default()
    }
}

fn account() -> Account {
    written().checked().unwrap()
}

fn composed(facts: &Facts, ending: Ending) -> String {
    let message = Message { facts, ending, took_ms: Some(72_000) };
    compose(&account(), &message, UNIX_EPOCH + Duration::from_secs(NOW_S))
}

/// A target of mail with these options over the usual ones.
fn target(more: Value) -> Value {
    let mut target = json!({
        "kind": "mail", "server": "smtps://mail.example.com", "from": "deploys@example.com",
        "to": ["ops@example.com"], "user": "me\\\"", "password_secret": "NOTIFY_MAIL",
    });
    let Value::Object(more) = more else { panic!("{more}") };
    target.as_object_mut().unwrap().extend(more);
    target
}

fn answering(answer: Result<Exit, ExecError>) -> Harness {
    one(target(json!({}))).command(["/bin/sh", "-c"], answer)
}

fn told(answer: Result<Exit, ExecError>) -> Ran {
    tell(&answering(answer), &live())
}

/// What the script says of a server that ended so.
fn refused(server: &str, curl: &str, code: u32, status: u32) -> PluginError {
    let said =
        format!("< 220 hi\r\n{server}< 221 bye\r\n\ncode {code}\ncurl: {curl}\nended {status}\n");
    error(told(ended(0, &said)))
}

#[test]
fn a_message_has_its_headers_and_a_text_that_every_server_passes_on() {
    let facts = Facts { commit_subject: Some("Größer =) ".to_owned()), ..failed() };
    assert_eq!(
        composed(&facts, Ending::Failed),
        "From: Windlass <deploys@example.com>\r\n\
         To: ops@example.com,\r\n dev@example.org\r\n\
         Subject: =?UTF-8?Q?=E2=9D=8C_shop_production_#42_failed?=\r\n\
         Date: Mon, 10 Jun 2024 02:35:18 +0000\r\n\
         Message-ID: <windlass-01j00000000000000000000000-after-switch@example.com>\r\n\
         Auto-Submitted: auto-generated\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\
         \r\n\
         =E2=9D=8C shop production #42 failed after 1 min 12 s\r\n\
         4f2a9c1 Gr=C3=B6=C3=9Fer =3D), by Ada Lovelace\r\n\
         What failed: build: `npm run build` ended with 1 (build.command-failed)\r\n\
         Why: the type <Cart> is unknown\r\n\
         How to fix it: export it from cart.ts & deploy again\r\n\
         https://shop.example.com\r\n"
    );
}

#[test]
fn what_people_wrote_adds_no_header_and_ends_no_message() {
    let evil = "x\r\nBcc: evil@example.com\r\n\r\n.\r\nQUIT\n";
    let facts = Facts {
        project: evil.to_owned(),
        environment: evil.to_owned(),
        commit_subject: Some(format!("{evil}{HOSTILE}")),
        commit_author: Some(evil.to_owned()),
        urls: vec![evil.to_owned()],
        ..live()
    };
    let message = composed(&facts, Ending::Live);
    let (head, body) = message.split_once("\r\n\r\n").unwrap();
    let names = head.split("\r\n").filter(|line| !line.starts_with(' '));
    let names: Vec<&str> = names.map(|line| line.split(':').next().unwrap()).collect();
    let expected = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"];
    assert_eq!(names[..6], expected, "{head}");
    assert_eq!(names[6..], ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"], "{head}");
    for line in message.split("\r\n") {
        assert!(!line.contains(['\r', '\n']) && line.len() <= 76, "{line:?}");
        assert!(line.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()), "{line:?}");
    }
    let text = body.replace("=\r\n", "");
    let subject = "\r\n4f2a9c1 x Bcc: evil@example.com . QUIT Fix <!channel> <@U1> @everyone **bold** `x` & \
                   [a](https://b) {{NOTIFY_SLACK}} <b>, by x Bcc: evil@example.com . QUIT\r\n";
    assert!(text.contains(subject), "{text}");
}

#[test]
fn headers_and_lines_are_encoded_where_they_must_be_and_no_character_is_torn() {
    assert_eq!(header_text("shop #1 is live"), "shop #1 is live");
    assert_eq!(header_text("a=?b"), "=?UTF-8?Q?a=3D=3Fb?=");
    assert_eq!(header_text("ä_b\r\n"), "=?UTF-8?Q?=C3=A4=5Fb=0D=0A?=");
    let long = header_text(&"€".repeat(20));
    let word = |count: usize| format!("=?UTF-8?Q?{}?=", "=E2=82=AC".repeat(count));
    assert_eq!(long, format!("{}\r\n {}\r\n {}\r\n {}", word(5), word(5), word(5), word(5)));

    assert_eq!(quoted_printable("a b \n.\n"), "a b=20\r\n.\r\n");
    assert_eq!(quoted_printable("a\rb\t="), "a=0Db=09=3D\r\n");
    let folded = format!("{}=\r\n{}\r\n", "x".repeat(75), "x".repeat(5));
    assert_eq!(quoted_printable(&"x".repeat(80)), folded);
    let folded = format!("{}=\r\n=C3=BC\r\n", "x".repeat(73));
    assert_eq!(quoted_printable(&format!("{}ü", "x".repeat(73))), folded);
}

#[test]
fn curl_gets_the_message_and_the_password_but_not_as_an_argument() {
    let ran = told(ended(0, "< 220 hi\r\n< 250 queued\r\n\ncode 250\nended 0\n"));
    assert_eq!(summary(&ran), "#42 is live: told mail (ops@example.com)");
    assert!(!ran.log.iter().any(|(level, _)| *level == Level::Warn), "{:?}", ran.log);
    let [command] = ran.commands.as_slice() else { panic!("{:?}", ran.commands) };
    assert!(matches!(&command.place, Place::Image(name) if name.ends_with("/curl:latest")));
    assert!(command.quiet, "nothing that it writes goes to the log by itself");
    assert_eq!(command.variable_names, ["NOTIFY_MAIL"]);
    let words: Vec<&str> = command.argv[4..].iter().map(String::as_str).collect();
    assert_eq!(
        words,
        [
            "NOTIFY_MAIL",
            "me\\\\\\\"",
            "--url",
            "smtps://mail.example.com:465/example.com",
            "--ssl-reqd",
            "--mail-from",
            "deploys@example.com",
            "--mail-rcpt",
            "ops@example.com",
        ]
    );
    let message = String::from_utf8(command.stdin.clone()).unwrap();
    assert!(message.starts_with("From: Windlass <deploys@example.com>\r\nTo: ops@"), "{message}");
    assert!(message.ends_with("\r\nhttps://shop.example.com\r\n"), "{message}");

    let open = json!({
        "kind": "mail", "server": "smtp://10.0.0.5:25", "starttls": false, "from": "a@b.example",
        "to": ["c@d.example", "e@f.example"], "image": "registry.internal/curl:1", "when": "failure",
    });
    let open = one(open).command(["/bin/sh"], ended(0, "code 250\nended 0\n"));
    let command = tell(&open, &failed()).commands.remove(0);
    assert!(matches!(&command.place, Place::Image(name) if name == "registry.internal/curl:1"));
    assert!(command.variable_names.is_empty());
    let rest =
        ["--mail-from", "a@b.example", "--mail-rcpt", "c@d.example", "--mail-rcpt", "e@f.example"];
    assert_eq!(command.argv[4..8], ["", "", "--url", "smtp://10.0.0.5:25/b.example"]);
    assert_eq!(command.argv[8..], rest);
    let readable = target(json!({ "server": "smtp://a", "starttls": false }));
    let ran = tell(&one(readable).command(["/bin/sh"], ended(0, "ended 0\n")), &live());
    let warned =
        ran.log.iter().any(|(level, line)| *level == Level::Warn && line.contains("unencrypted"));
    assert!(warned, "{:?}", ran.log);
}

#[test]
fn what_the_server_says_is_repeated_with_what_to_do_and_tried_again_where_that_may_help() {
    let login =
        refused("< 535-5.7.8 no\r\n< 535 5.7.8 see https://a\r\n", "(67) Login denied", 535, 67);
    assert_eq!((login.code.as_str(), login.retryable), ("notify.refused", false));
    let said = "mail (ops@example.com) was not told: the server answered 535 5.7.8 see https://a";
    assert_eq!(login.message, said);
    assert!(login.hint.unwrap().contains("windlass env set NOTIFY_NAME=VALUE --secret"));
    let busy = refused("< 451 4.7.1 greylisted\r\n", "(55) RCPT failed: 451", 451, 55);
    assert_eq!((busy.code.as_str(), busy.retryable), ("notify.unavailable", true));
    assert!(busy.message.ends_with("the server answered 451 4.7.1 greylisted"), "{busy:?}");

    for (curl, code, status, retryable, fix) in [
        ("(55) MAIL failed: 550", 550, 55, false, "send as `from`"),
        ("(67) Login denied", 550, 67, false, "windlass env set"),
        ("(64) STARTTLS denied, code 502", 502, 64, false, "`smtps://`"),
        ("(67) Login denied", 250, 67, false, "windlass env set"),
        ("(64) STARTTLS not supported.", 250, 64, false, "`smtps://`"),
        ("(35) wrong version number", 0, 35, false, "`smtp://` for 587"),
        ("(60) self-signed certificate", 0, 60, false, "`ca-certificates`"),
        ("(1) Protocol \"smtp\" not supported", 0, 1, false, "set `image`"),
        ("(99) new", 0, 99, false, "curl's"),
        ("(7) Failed to connect to mail.example.com port 465", 0, 7, true, "`network.allow`"),
        ("(6) Could not resolve host: mail.example.com", 0, 6, true, "`server` and its port"),
        ("(52) Empty reply from server", 220, 52, true, "tried again"),
    ] {
        let error = refused("", curl, code, status);
        let expected = if retryable { "notify.unavailable" } else { "notify.refused" };
        assert_eq!((error.code.as_str(), error.retryable), (expected, retryable), "{error:?}");
        let answered = format!("the server answered {code}");
        let said = if code >= 500 { answered.as_str() } else { curl };
        assert!(error.message.contains(said), "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains(fix), "{error:?}");
    }
    let bare = error(told(ended(0, "ended 127\n")));
    assert!(bare.message.ends_with("curl:latest cannot be used: it has no curl"), "{bare:?}");
    let stopped = |change: &dyn Fn(&mut Exit)| {
        let mut exit = ended(127, "").unwrap();
        exit.stderr_tail = b"sh: sed: not found\n".to_vec();
        change(&mut exit);
        error(told(Ok(exit)))
    };
    assert!(stopped(&|_| ()).message.ends_with("sh: sed: not found"));
    assert!(stopped(&|exit| exit.timed_out = true).retryable);
    let lost = error(told(ended(137, "")));
    assert!(lost.retryable && lost.message.contains("ended before it said anything"), "{lost:?}");
    let open = target(json!({ "server": "smtp://a:25", "starttls": false }));
    let said = "< 530 5.7.0 Must issue a STARTTLS command first\r\ncode 530\nended 55\n";
    let encrypts = error(tell(&one(open).command(["/bin/sh"], ended(0, said)), &live()));
    assert!(encrypts.hint.unwrap().contains("`starttls = false`"));
    assert!(stopped(&|exit| exit.out_of_memory = true).hint.unwrap().contains("run.memory"));
}

#[test]
fn a_command_that_cannot_be_run_is_said_with_the_grant_or_the_image_that_is_missing() {
    let refused = |reason| error(told(Err(ExecError { reason, message: "m".to_owned() })));
    let denied = refused(Reason::Denied);
    assert_eq!((denied.code.as_str(), denied.retryable), ("notify.refused", false));
    let hint = denied.hint.unwrap();
    let grant = &hint[hint.find('[').unwrap()..hint.rfind(']').unwrap() + 1];
    let grant: Value = serde_json::from_str(grant).unwrap();
    assert_eq!(
        grant[0],
        json!({"name": "exec", "outputs": ["image:docker.io/curlimages/curl:latest"]})
    );
    assert!(hint.contains("windlass env set NOTIFY_NAME=VALUE --secret"), "{hint}");
    for (reason, retryable, fix) in [
        (Reason::NotFound, false, "`image`"),
        (Reason::NotStarted, false, "`image`"),
        (Reason::OverLimit, true, "tried again"),
        (Reason::HostFailed, true, "registry"),
    ] {
        let error = refused(reason);
        assert_eq!(error.retryable, retryable, "{error:?}");
        assert!(error.message.contains("curl in docker.io/curlimages/curl:latest: m"), "{error:?}");
        assert!(error.hint.as_ref().unwrap().contains(fix), "{error:?}");
    }
}

#[test]
fn another_try_sends_no_second_mail_to_those_who_have_one() {
    let options =
        json!({ "targets": [target(json!({})), { "kind": "webhook", "url": "https://a/" }] });
    let first = harness(options).command(["/bin/sh"], ended(0, "code 250\nended 0\n"));
    let ran = tell(&first, &live());
    assert!(ran.result.is_err(), "nothing answers the webhook");
    assert_eq!(ran.commands.len(), 1);
    let again = ran.cache.iter().fold(first, |it, (key, value)| it.cached(key, value.clone()));
    assert!(tell(&again, &Facts { attempt: 2, ..live() }).commands.is_empty());
}

#[test]
fn options_of_mail_that_cannot_work_are_refused() {
    let long = format!("{}@example.com", "a".repeat(65));
    for (more, said) in [
        (json!({ "server": null }), "`server` is missing"),
        (json!({ "from": null }), "`from` is missing"),
        (json!({ "to": null }), "`to` is missing"),
        (json!({ "to": [] }), "`to` names 0"),
        (json!({ "server": "mail.example.com" }), "no address of a mail server"),
        (json!({ "server": "https://mail.example.com" }), "no address of a mail server"),
        (json!({ "server": "smtp://a:0" }), "no address of a mail server"),
        (json!({ "server": "smtp://a:70000" }), "no address of a mail server"),
        (json!({ "server": "smtp://u:p@a" }), "no address of a mail server"),
        (json!({ "server": "smtp://a/b" }), "no address of a mail server"),
        (json!({ "starttls": true }), "`starttls` is of `smtp://`"),
        (json!({ "from": "Ops <ops@example.com>" }), "no address of mail"),
        (json!({ "to": ["a@b.example\r\nBcc: c@d.example"] }), "no address of mail"),
        (json!({ "to": ["a..b@example.com"] }), "no address of mail"),
        (json!({ "to": ["@example.com"] }), "no address of mail"),
        (json!({ "to": ["a@"] }), "no address of mail"),
        (json!({ "to": [long] }), "no address of mail"),
        (json!({ "user": null }), "both `user` and `password_secret`"),
        (json!({ "user": "a:b" }), "no name for a login"),
        (json!({ "user": "a\nurl = \"http://b\"" }), "no name for a login"),
        (json!({ "password_secret": "PASSWORD" }), "does not begin with NOTIFY_"),
        (json!({ "password_secret": "NOTIFY_A;x" }), "does not begin with NOTIFY_"),
        (json!({ "image": "a b" }), "no name of an image"),
        (json!({ "url": "https://a" }), "mail has no webhook"),
        (json!({ "kind": "slack", "url_secret": "NOTIFY_A" }), "are of mail alone"),
    ] {
        let failure = error(tell(&one(target(more.clone())), &live()));
        assert_eq!(failure.code, "notify.option-invalid", "{more}: {failure:?}");
        assert!(failure.message.contains(said), "{more}: {failure:?}");
        assert!(failure.hint.is_some() && !failure.retryable, "{failure:?}");
    }
    let server =
        |url: &str| Written { server: Some(url.to_owned()), ..written() }.checked().unwrap().server;
    assert_eq!(server("smtp://a.example/"), "smtp://a.example:587");
    assert_eq!(server("smtps://10.0.0.5"), "smtps://10.0.0.5:465");
    assert_eq!(server("smtp://a:25"), "smtp://a:25");
}

/// Runs the script where these programs are, each a script; what it says.
fn script(programs: &[(&str, &str)], variables: &BTreeMap<&str, &str>, words: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<_> = std::env::split_paths(&std::env::var_os("PATH").unwrap()).collect();
    for program in ["cat", "sed", "tr"] {
        let found = all.iter().map(|dir| dir.join(program)).find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(found, dir.path().join(program)).unwrap();
    }
    for (name, text) in programs {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let input = dir.path().join("message");
    std::fs::write(&input, "Subject: x\r\n\r\nthe message\r\n").unwrap();
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", SCRIPT, "sh"]).args(words).env_clear().envs(variables);
    shell.env("PATH", dir.path()).stdin(Stdio::from(std::fs::File::open(&input).unwrap()));
    let output = shell.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Says what it was told, read from its file and got, as a server's lines, and then what nobody is to see.
const CURL: &str = "for word; do echo \"< word $word\"; done\nsed 's/^/< file /' /proc/self/fd/4\n\
                    tr -d '\\r' | sed 's/^/< stdin /'\necho '> AUTH hunter2'\necho '* trying' >&2\n\
                    echo 'curl: (67) Login denied' >&2\necho 'code 535'\nexit 67\n";

#[test]
fn the_script_hands_over_the_password_in_a_file_and_says_what_the_server_said() {
    let said = |password: &str| {
        let variables = BTreeMap::from([("NOTIFY_MAIL", password)]);
        script(&[("curl", CURL)], &variables, &["NOTIFY_MAIL", "me", "--url", "smtp://a b"])
    };
    let plain = said("hunter2");
    let lines: Vec<&str> = plain.lines().collect();
    assert_eq!(lines[0], "< word --disable", "it reads no file that the image may have");
    let at = lines.iter().position(|line| *line == "< word --url").unwrap();
    let rest = [
        "< word --url",
        "< word smtp://a b",
        "< file user = \"me:hunter2\"",
        "< stdin Subject: x",
        "< stdin ",
        "< stdin the message",
        "curl: (67) Login denied",
        "code 535",
        "ended 67",
    ];
    assert_eq!(lines[at..], rest, "{plain}");
    assert!(!lines[..at].iter().any(|line| line.contains("hunter2")), "{plain}");
    for (password, quoted) in [
        (r#"a"b\c"#, r#"a\"b\\c"#),
        ("$(id) `id` ${PATH} 'x", "$(id) `id` ${PATH} 'x"),
        ("first\nurl = second", "first"),
    ] {
        let said = said(password);
        assert!(said.contains(&format!("< file user = \"me:{quoted}\"\n")), "{said}");
        assert_eq!(said.matches("< file ").count(), 1, "{said}");
    }
    let none = script(&[("curl", CURL)], &BTreeMap::new(), &["", "", "--url", "smtp://a"]);
    assert!(none.contains("< file \n") && none.ends_with("ended 67\n"), "{none}");
}

#[test]
fn the_script_says_that_there_is_no_curl() {
    assert_eq!(script(&[], &BTreeMap::new(), &["", "", "--url", "smtp://a"]), "ended 127\n");
}
