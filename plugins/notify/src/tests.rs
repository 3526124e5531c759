//! What each chat and webhook is sent, byte for byte where it matters, and what becomes of its answers.

use serde_json::{Value, json};
use windlass_sdk::PluginError;
use windlass_sdk::custom::{Facts, Failure, Hook, State};
use windlass_sdk::http::{HttpError, Reason, Response};
use windlass_sdk::testing::{Harness, Ran, answered};

use super::Notify;
use crate::message::{duration, one_line};
use crate::record::took_ms;

/// A subject that tries everything that a chat may read something into.
pub(crate) const HOSTILE: &str =
    "Fix <!channel> <@U1> @everyone **bold** `x` & [a](https://b) {{NOTIFY_SLACK}}\u{202e}\n<b>";

pub(crate) fn live() -> Facts {
    Facts {
        hook: Hook::AfterSwitch,
        state: State::Live,
        project: "shop".to_owned(),
        number: 42,
        actor: "ada".to_owned(),
        commit: Some("4f2a9c1d00112233445566778899aabbccddeeff".to_owned()),
        commit_subject: Some("Fix the cart".to_owned()),
        commit_author: Some("Ada Lovelace".to_owned()),
        urls: vec!["https://shop.example.com".to_owned()],
        previous_number: Some(41),
        previous_commit: Some("aaaa".to_owned()),
        ..Facts::empty()
    }
}

pub(crate) fn failed() -> Facts {
    let failure = Failure {
        code: "build.command-failed".to_owned(),
        step: Some("build".to_owned()),
        what: "`npm run build` ended with 1".to_owned(),
        why: "the type <Cart> is unknown".to_owned(),
        fix: "export it from cart.ts & deploy again".to_owned(),
    };
    Facts { state: State::Failed, failure: Some(failure), ..live() }
}

pub(crate) fn harness(options: Value) -> Harness {
    Harness::with_files(&[]).options(&options.to_string())
}

pub(crate) fn one(target: Value) -> Harness {
    harness(json!({ "targets": [target] }))
}

pub(crate) fn tell(harness: &Harness, facts: &Facts) -> Ran {
    harness.custom::<Notify>("tell", facts, &[])
}

/// The body of the only request.
fn body(ran: &Ran) -> Value {
    assert_eq!(ran.requests.len(), 1, "{:?}", ran.result);
    serde_json::from_slice(&ran.requests[0].body).unwrap()
}

pub(crate) fn summary(ran: &Ran) -> &str {
    &ran.result.as_ref().unwrap().summary
}

pub(crate) fn error(ran: Ran) -> PluginError {
    ran.result.unwrap_err()
}

fn webhook_of(kind: &str) -> Harness {
    let name = format!("NOTIFY_{}", kind.to_ascii_uppercase());
    let target = json!({ "kind": kind, "url_secret": name });
    one(target).request("POST", &format!("{{{{{name}}}}}"), answered(200, "ok"))
}

fn matrix() -> Value {
    json!({
        "kind": "matrix", "homeserver": "https://matrix.example.com/",
        "room": "!abc/d:example.com", "token_secret": "NOTIFY_MATRIX",
    })
}

#[test]
fn slack_is_told_of_a_success_and_of_a_failure_with_what_to_do() {
    let slack = webhook_of("slack");
    let ran = tell(&slack, &live());
    assert_eq!(summary(&ran), "#42 is live: told Slack (NOTIFY_SLACK)");
    assert_eq!(
        body(&ran),
        json!({
            "text": "*\u{2705} shop production #42 is live*\n4f2a9c1 Fix the cart, by Ada Lovelace\n\
                     <https://shop.example.com>",
            "unfurl_links": false,
            "unfurl_media": false,
        })
    );
    let request = &ran.requests[0];
    assert_eq!((request.url.as_str(), request.redirects_max), ("{{NOTIFY_SLACK}}", 0));
    assert_eq!(request.secret_names, ["NOTIFY_SLACK"]);
    assert_eq!(
        body(&tell(&slack, &failed()))["text"],
        "*\u{274c} shop production #42 failed*\n4f2a9c1 Fix the cart, by Ada Lovelace\n\
         *What failed:* build: `npm run build` ended with 1 (build.command-failed)\n\
         *Why:* the type &lt;Cart&gt; is unknown\n\
         *How to fix it:* export it from cart.ts &amp; deploy again\n<https://shop.example.com>"
    );
}

#[test]
fn discord_gets_markdown_in_which_nobody_is_mentioned() {
    let ran = tell(&webhook_of("discord"), &failed());
    assert_eq!(
        body(&ran),
        json!({
            "content": "**\u{274c} shop production \\#42 failed**\n4f2a9c1 Fix the cart, by Ada Lovelace\n\
                        **What failed\\:** build\\: \\`npm run build\\` ended with 1 \\(build\\.command\\-failed\\)\n\
                        **Why\\:** the type \\<Cart\\> is unknown\n\
                        **How to fix it\\:** export it from cart\\.ts & deploy again\n<https://shop.example.com>",
            "allowed_mentions": { "parse": [] },
        })
    );
    let mut long = failed();
    if let Some(failure) = &mut long.failure {
        failure.why = "*".repeat(5_000);
        failure.fix = "_".repeat(5_000);
    }
    let content =
        body(&tell(&webhook_of("discord"), &long))["content"].as_str().unwrap().to_owned();
    assert!(content.chars().count() <= 2_000, "{}", content.chars().count());
    assert!(
        content.contains('\u{2026}') && content.ends_with("<https://shop.example.com>"),
        "{content}"
    );
}

#[test]
fn matrix_gets_html_and_text_under_an_id_that_stays_the_same() {
    let url = "https://matrix.example.com/_matrix/client/v3/rooms/%21abc%2Fd%3Aexample.com/send/m.room.message/\
               windlass-01j00000000000000000000000-after-switch";
    let told = one(matrix()).request("PUT", url, answered(200, r#"{"event_id":"$1"}"#));
    let ran = tell(&told, &failed());
    assert_eq!(summary(&ran), "#42 failed: told Matrix (!abc/d:example.com)");
    assert_eq!(
        body(&ran),
        json!({
            "msgtype": "m.text",
            "body": "\u{274c} shop production #42 failed\n4f2a9c1 Fix the cart, by Ada Lovelace\n\
                     What failed: build: `npm run build` ended with 1 (build.command-failed)\n\
                     Why: the type <Cart> is unknown\nHow to fix it: export it from cart.ts & deploy again\n\
                     https://shop.example.com",
            "format": "org.matrix.custom.html",
            "formatted_body":
                "<strong>\u{274c} shop production #42 failed</strong><br>4f2a9c1 Fix the cart, by Ada Lovelace<br>\
                 <strong>What failed:</strong> build: `npm run build` ended with 1 (build.command-failed)<br>\
                 <strong>Why:</strong> the type &lt;Cart&gt; is unknown<br>\
                 <strong>How to fix it:</strong> export it from cart.ts &amp; deploy again<br>\
                 <a href=\"https://shop.example.com\">https://shop.example.com</a>",
            "m.mentions": {},
        })
    );
    let request = &ran.requests[0];
    assert!(
        request
            .headers
            .contains(&("authorization".to_owned(), "Bearer {{NOTIFY_MATRIX}}".to_owned()))
    );
    assert_eq!(request.secret_names, ["NOTIFY_MATRIX"]);
    // Another try, of which the cache knows nothing, asks for the same.
    let again = Facts { attempt: 2, ..failed() };
    assert_eq!(tell(&told.deny("cache"), &again).requests[0].url, request.url);
}

#[test]
fn mattermost_gets_its_own_markdown() {
    let facts = Facts { commit_subject: Some("Ask @all_hands <!here>".to_owned()), ..live() };
    assert_eq!(
        body(&tell(&webhook_of("mattermost"), &facts)),
        json!({
            "text": "**\u{2705} shop production \\#42 is live**\n4f2a9c1 Ask @\u{200b}all\\_hands &lt;\\!here&gt;, \
                     by Ada Lovelace\nhttps://shop.example.com"
        })
    );
}

#[test]
fn a_webhook_gets_the_documented_data() {
    let target = json!({
        "kind": "webhook", "url": "https://ci.example.com/hook?a=1", "token_secret": "NOTIFY_CI",
    });
    let told = one(target).request("POST", "https://ci.example.com/hook?a=1", answered(204, ""));
    let ran = tell(&told, &failed());
    assert_eq!(summary(&ran), "#42 failed: told webhook (https://ci.example.com/hook)");
    assert_eq!(
        body(&ran),
        json!({
            "version": 1,
            "event": "deployment.failed",
            "recovered": false,
            "project": "shop",
            "environment": "production",
            "deployment": "01j00000000000000000000000",
            "number": 42,
            "actor": "ada",
            "took_ms": null,
            "commit": {
                "id": "4f2a9c1d00112233445566778899aabbccddeeff",
                "subject": "Fix the cart", "author": "Ada Lovelace",
            },
            "failure": {
                "code": "build.command-failed", "step": "build",
                "what": "`npm run build` ended with 1", "why": "the type <Cart> is unknown",
                "fix": "export it from cart.ts & deploy again",
            },
            "previous": { "number": 41, "commit": "aaaa" },
            "urls": ["https://shop.example.com"],
        })
    );
    let mut headers = ran.requests[0].headers.clone();
    headers.sort();
    let expected = [
        ("authorization", "Bearer {{NOTIFY_CI}}"),
        ("content-type", "application/json"),
        ("idempotency-key", "windlass-01j00000000000000000000000-after-switch"),
    ];
    assert_eq!(headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let bare = body(&tell(
        &told,
        &Facts { hook: Hook::AfterSwitch, state: State::Cancelled, ..Facts::empty() },
    ));
    assert_eq!(bare["event"], "deployment.cancelled");
    for absent in ["commit", "failure", "previous", "took_ms"] {
        assert!(bare[absent].is_null(), "{bare}");
    }
}

#[test]
fn what_people_wrote_formats_nothing_calls_nobody_and_names_no_secret() {
    let facts = Facts { commit_subject: Some(HOSTILE.to_owned()), ..live() };
    let line = |kind: &str, key: &str| {
        let ran = tell(&webhook_of(kind), &facts);
        let raw = String::from_utf8(ran.requests[0].body.clone()).unwrap();
        assert!(!raw.contains("{{"), "the host would fill it in: {raw}");
        body(&ran)[key].as_str().unwrap().lines().nth(1).unwrap().to_owned()
    };
    assert_eq!(
        line("slack", "text"),
        "4f2a9c1 Fix &lt;!channel&gt; &lt;@U1&gt; @everyone **bold** `x` &amp; [a](https://b) {{NOTIFY_SLACK}} \
         &lt;b&gt;, by Ada Lovelace"
    );
    assert_eq!(
        line("discord", "content"),
        "4f2a9c1 Fix \\<\\!channel\\> \\<\\@U1\\> \\@everyone \\*\\*bold\\*\\* \\`x\\` & \\[a\\]\\(https\\://b\\) \
         \\{\\{NOTIFY\\_SLACK\\}\\} \\<b\\>, by Ada Lovelace"
    );
    let ran = tell(&one(matrix()).request("PUT", "https://", answered(200, "{}")), &facts);
    assert!(!ran.requests[0].body.windows(2).any(|pair| pair == b"{{"));
    let html = body(&ran)["formatted_body"].as_str().unwrap().to_owned();
    assert!(html.contains("&lt;!channel&gt;") && html.contains("&lt;b&gt;, by"), "{html}");
    // An address that is none is not said.
    let odd = Facts { urls: vec!["https://a b|<!here>".to_owned()], ..live() };
    assert_eq!(
        body(&tell(&webhook_of("slack"), &odd))["text"].as_str().unwrap().lines().count(),
        2
    );
}

#[test]
fn each_target_hears_of_the_ends_that_it_asked_for() {
    let target = |n: u8, when: Value| json!({ "kind": "webhook", "url": format!("https://h/{n}"), "when": when });
    let targets = [
        target(1, json!("always")),
        target(2, json!("success")),
        target(3, json!("failure")),
        target(4, json!("recovered")),
        target(5, json!(["failure", "recovered"])),
    ];
    let mut told =
        harness(json!({ "targets": targets })).request("POST", "https://h/", answered(200, ""));
    let mut after = |state: State, number: u64| {
        let deployment = format!("01j000000000000000000000{number:02}");
        let ran = tell(&told, &Facts { state, number, deployment, ..live() });
        for (key, value) in &ran.cache {
            told = told.clone().cached(key, value.clone());
        }
        ran.requests
            .iter()
            .map(|it| it.url.trim_start_matches("https://h/").to_owned())
            .collect::<String>()
    };
    assert_eq!(after(State::Live, 1), "12", "nothing is known of before");
    assert_eq!(after(State::Failed, 3), "135");
    assert_eq!(after(State::Cancelled, 4), "1", "it says nothing of how things are");
    assert_eq!(after(State::Live, 2), "12", "an older one that is told of late");
    assert_eq!(after(State::Live, 5), "1245");
    assert_eq!(after(State::Live, 6), "12");
    // A crash came between noting the end and keeping that it was.
    let last = json!({ "number": 42, "failed": false, "after_failure": true }).to_string();
    let slack = webhook_of("slack").cached("last/production", last);
    assert!(summary(&tell(&slack, &live())).starts_with("#42 is live again"));
    let ran = tell(&one(target(3, json!("failure"))), &live());
    assert_eq!(summary(&ran), "no target is told when a deployment is live");
    assert!(ran.result.unwrap().skipped && ran.requests.is_empty());
}

#[test]
fn another_try_tells_only_those_that_were_not_told() {
    let options = json!({ "targets": [
        { "kind": "webhook", "url": "https://up/" },
        { "kind": "slack", "url_secret": "NOTIFY_SLACK" },
    ]});
    let first = harness(options).request("POST", "https://up/", answered(200, ""));
    let mut busy = answered(429, "").unwrap();
    busy.headers.push(("retry-after".to_owned(), "30".to_owned()));
    let ran = tell(&first.clone().request("POST", "{{NOTIFY_SLACK}}", Ok(busy)), &live());
    let failure = ran.result.unwrap_err();
    assert_eq!(failure.code, "notify.unavailable");
    assert!(failure.retryable);
    assert_eq!(
        failure.message,
        "Slack (NOTIFY_SLACK) takes no more messages for now (429), and asks to wait 30 s"
    );
    let second = ran.cache.iter().fold(first, |it, (key, value)| it.cached(key, value.clone()));
    let second = second.request("POST", "{{NOTIFY_SLACK}}", answered(200, "ok"));
    let ran = tell(&second, &Facts { attempt: 2, ..live() });
    let urls: Vec<&str> = ran.requests.iter().map(|it| it.url.as_str()).collect();
    assert_eq!(urls, ["{{NOTIFY_SLACK}}"]);
    assert_eq!(summary(&ran), "#42 is live: told webhook (https://up/), Slack (NOTIFY_SLACK)");
}

#[test]
fn what_passes_is_tried_again_and_what_does_not_is_said() {
    let asked = |answer: Result<Response, HttpError>| {
        let slack = one(json!({ "kind": "slack", "url_secret": "NOTIFY_SLACK" }));
        error(tell(&slack.request("POST", "{{NOTIFY_SLACK}}", answer), &live()))
    };
    for (status, text, said) in [
        (503, "<html>busy</html>", "Slack (NOTIFY_SLACK) answered 503"),
        (408, "", "Slack (NOTIFY_SLACK) answered 408"),
        (
            429,
            r#"{"retry_after_ms":1500}"#,
            "takes no more messages for now (429), and asks to wait 2 s",
        ),
        (429, r#"{"retry_after":0.6}"#, "asks to wait 1 s"),
    ] {
        let failure = asked(answered(status, text));
        assert!(failure.retryable && failure.code == "notify.unavailable", "{failure:?}");
        assert!(failure.message.ends_with(said), "{failure:?}");
    }
    for (status, text, said, fix) in [
        (404, "no_service", "answered 404: no_service", "make a new one"),
        (
            403,
            r#"{"errcode":"M_FORBIDDEN","error":"You are not in\nthe room"}"#,
            "answered 403: You are not in the room",
            "in the room",
        ),
        (400, "", "answered 400", "kind"),
        (302, "", "answered 302", "redirects"),
    ] {
        let failure = asked(answered(status, text));
        assert!(!failure.retryable && failure.code == "notify.refused", "{failure:?}");
        assert!(failure.message.ends_with(said), "{failure:?}");
        assert!(failure.hint.as_ref().unwrap().contains(fix), "{failure:?}");
    }
    let unsent = |reason| asked(Err(HttpError { reason, message: "m".to_owned() }));
    assert!(unsent(Reason::TimedOut).retryable && unsent(Reason::NotConnected).retryable);
    let denied = unsent(Reason::Denied);
    assert!(!denied.retryable, "{denied:?}");
    assert_eq!(denied.message, "Slack (NOTIFY_SLACK) was not told: m");
    assert!(denied.hint.unwrap().contains("windlass plugin grant notify"));
    // One that is to be mended and one that passes: tried again, with what is to be done.
    let both = harness(json!({ "targets": [
        { "kind": "webhook", "url": "https://a/" }, { "kind": "webhook", "url": "https://b/" },
    ]}));
    let both = both.request("POST", "https://a/", answered(500, "")).request(
        "POST",
        "https://b/",
        answered(404, ""),
    );
    let failure = error(tell(&both, &live()));
    assert_eq!(
        failure.message,
        "webhook (https://a/) answered 500; webhook (https://b/) answered 404"
    );
    assert!(failure.retryable && failure.hint.unwrap().contains("make a new one"));
}

#[test]
fn options_that_cannot_work_are_refused_with_the_target_and_the_fix() {
    for (target, said) in [
        (json!({ "kind": "slack" }), "it has no address"),
        (json!({ "kind": "slack", "url": "https://hooks.slack.com/x" }), "can write to the chat"),
        (json!({ "kind": "slack", "url_secret": "SLACK" }), "does not begin with NOTIFY_"),
        (json!({ "kind": "slack", "url_secret": "NOTIFY_}}" }), "does not begin with NOTIFY_"),
        (
            json!({ "kind": "slack", "url_secret": "NOTIFY_A", "token_secret": "NOTIFY_B" }),
            "`token_secret` is of",
        ),
        (json!({ "kind": "discord", "url_secret": "NOTIFY_A", "room": "!a" }), "of Matrix alone"),
        (json!({ "kind": "webhook", "url": "ftp://a" }), "no address with http"),
        (json!({ "kind": "webhook", "url": "https://u@a/" }), "no address with http"),
        (json!({ "kind": "webhook", "url": "https://a/{{NOTIFY_A}}" }), "no address with http"),
        (json!({ "kind": "webhook", "url": "https://a", "url_secret": "NOTIFY_A" }), "has both"),
        (
            json!({ "kind": "matrix", "homeserver": "https://a", "room": "!r:a" }),
            "`token_secret` is missing",
        ),
        (
            json!({ "kind": "matrix", "homeserver": "https://a", "room": "#r:a", "token_secret": "NOTIFY_A" }),
            "is not the id of a room",
        ),
        (json!({ "kind": "webhook", "url": "https://a", "when": [] }), "never be told"),
    ] {
        let failure = error(tell(&one(target.clone()), &live()));
        assert_eq!(failure.code, "notify.option-invalid", "{target}: {failure:?}");
        assert!(failure.message.starts_with("target 1 of the notification: "), "{failure:?}");
        assert!(failure.message.contains(said), "{target}: {failure:?}");
        assert!(failure.hint.is_some() && !failure.retryable, "{failure:?}");
    }
    let twice = json!({ "kind": "webhook", "url": "https://a" });
    let failure = error(tell(&harness(json!({ "targets": [twice, twice] })), &live()));
    assert!(
        failure.message.starts_with("target 2") && failure.message.contains("twice"),
        "{failure:?}"
    );
    assert_eq!(error(tell(&harness(json!({})), &live())).code, "notify.option-invalid");
    for wrong in [json!({ "target": [] }), json!({ "targets": [{ "kind": "teams" }] })] {
        assert_eq!(error(tell(&harness(wrong), &live())).code, "options.invalid");
    }
}

#[test]
fn the_time_is_that_since_the_deployment_was_asked_for() {
    // 2024-06-10T02:35:18.400Z
    let id = "01J00000000000000000000000";
    let begun_ms = 1_717_986_918_400;
    assert_eq!(took_ms(&id.to_lowercase(), begun_ms + 72_000), Some(72_000));
    assert_eq!(took_ms(id, begun_ms), Some(0));
    assert_eq!(took_ms(id, begun_ms - 1), None, "the clock was set back");
    assert_eq!(took_ms(id, begun_ms + 30 * 86_400_000), None, "nothing takes a month");
    assert_eq!(took_ms("d-17", begun_ms), None);
    assert_eq!(took_ms("01u00000000000000000000000", begun_ms), None);
    let shown = [1, 59_001, 72_000, 3_840_000].map(duration);
    assert_eq!(shown, ["1 s", "1 min 0 s", "1 min 12 s", "1 h 4 min"]);
    let kept = json!({ "took_ms": 72_000, "recovered": true, "delivered": [] }).to_string();
    let slack = webhook_of("slack").cached("told/01j00000000000000000000000", kept);
    let text = body(&tell(&slack, &live()))["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("*\u{2705} shop production #42 is live again* after 1 min 12 s\n"),
        "{text}"
    );
}

#[test]
fn a_line_is_one_line_of_visible_characters() {
    assert_eq!(one_line(" a\n\tb \u{1b}[31m\u{202e}c\u{2069} ", 50), "a b [31mc");
    assert_eq!(one_line("abcdef", 4), "abc\u{2026}");
    assert_eq!(one_line("\u{202e}", 4), "");
}
