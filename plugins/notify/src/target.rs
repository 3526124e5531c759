//! How each chat and webhook wants the message: its request, with everything that people wrote escaped as it asks for.

use serde_json::{Value, json};
use windlass_sdk::http::Request;

use crate::message::{Ending, Message};
use crate::options::{Address, Web};

/// Time of one request, in milliseconds.
const TIMEOUT_MS: u32 = 20_000;
/// Lengths to which texts are cut, the first that fits being taken.
const CHARS_MAX: [usize; 4] = [600, 300, 120, 40];
/// Characters that Discord takes in one message.
const DISCORD_CHARS_MAX: usize = 2_000;

/// The request that tells a target.
pub(crate) fn request(place: &Web, message: &Message<'_>) -> Request {
    let mut request = match place {
        Web::Slack(to) => post(to, &slack(message)),
        Web::Discord(to) => post(to, &discord(message)),
        Web::Mattermost(to) => post(to, &mattermost(message)),
        Web::Webhook { address, token } => {
            let request = post(address, &webhook(message)).header("idempotency-key", id(message));
            match token {
                Some(token) => bearer(request, token),
                None => request,
            }
        }
        Web::Matrix { homeserver, room, token } => {
            let (room, txn) = (percent(room), percent(&id(message)));
            let url =
                format!("{homeserver}/_matrix/client/v3/rooms/{room}/send/m.room.message/{txn}");
            bearer(with_body(Request::new("PUT", url), &matrix(message)), token)
        }
    };
    // A redirect would turn a POST into a GET, and the message would be lost in silence.
    request.redirects_max = 0;
    request.timeout_ms(TIMEOUT_MS)
}

/// The same at every try of telling of a deployment: a target that knows it takes the message once.
pub(crate) fn id(message: &Message<'_>) -> String {
    format!("windlass-{}-after-switch", message.facts.deployment)
}

fn post(to: &Address, body: &Value) -> Request {
    match to {
        Address::Open(url) => with_body(Request::new("POST", url), body),
        Address::Secret(name) => {
            with_body(Request::new("POST", format!("{{{{{name}}}}}")), body).secret(name)
        }
    }
}

fn bearer(request: Request, token: &str) -> Request {
    request.header("authorization", format!("Bearer {{{{{token}}}}}")).secret(token)
}

/// With a JSON body in which nothing can name a secret: the host replaces `{{NAME}}` in bodies, and what people wrote
/// may hold just that. Outside of its texts JSON has no `{{`.
fn with_body(request: Request, body: &Value) -> Request {
    let text = body.to_string().replace("{{", "{\\u007b");
    let mut request = request.header("content-type", "application/json");
    request.body = text.into_bytes();
    request
}

/// The lines as one text: `strong` marks what stands out, `escape` writes what people wrote.
fn text(
    message: &Message<'_>,
    chars_max: usize,
    strong: [&str; 2],
    end: &str,
    escape: impl Fn(&str) -> String,
) -> String {
    let [open, close] = strong;
    let one = |line: crate::message::Line| {
        let (strong, text) = (escape(&line.strong), escape(&line.text));
        match (strong.is_empty(), text.is_empty()) {
            (true, _) => text,
            (false, true) => format!("{open}{strong}{close}"),
            (false, false) => format!("{open}{strong}{close} {text}"),
        }
    };
    message.lines(chars_max).into_iter().map(one).collect::<Vec<_>>().join(end)
}

fn slack(message: &Message<'_>) -> Value {
    let mut said = text(message, CHARS_MAX[0], ["*", "*"], "\n", angles);
    if let Some(url) = message.url() {
        said.push_str(&format!("\n<{}>", angles(url)));
    }
    json!({ "text": said, "unfurl_links": false, "unfurl_media": false })
}

/// As Slack asks for it: these three, and nothing else.
fn angles(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn discord(message: &Message<'_>) -> Value {
    let end = message.url().map(|url| format!("\n<{url}>")).unwrap_or_default();
    let long = |chars_max| text(message, chars_max, ["**", "**"], "\n", markdown) + &end;
    let fits = |said: &String| said.chars().count() <= DISCORD_CHARS_MAX;
    let said = CHARS_MAX.into_iter().map(long).find(fits);
    let said = said.unwrap_or_else(|| markdown(&message.lines(CHARS_MAX[3])[0].strong));
    json!({ "content": said, "allowed_mentions": { "parse": [] } })
}

/// A backslash before every sign that may mean something.
fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\`*_{}[]()<>#+-.!|~:@".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn mattermost(message: &Message<'_>) -> Value {
    let mut said = text(message, CHARS_MAX[0], ["**", "**"], "\n", mattermost_markdown);
    if let Some(url) = message.url() {
        said.push_str(&format!("\n{url}"));
    }
    json!({ "text": said })
}

/// Mattermost also reads Slack's `<!channel>`, and finds names behind an `@` whatever stands before it.
fn mattermost_markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '@' => escaped.push_str("@\u{200b}"),
            c => {
                if "\\`*_{}[]()#+-.!|~".contains(c) {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
        }
    }
    escaped
}

/// The lines without any format, the last one being the address.
pub(crate) fn plain(message: &Message<'_>) -> String {
    let mut plain = text(message, CHARS_MAX[0], ["", ""], "\n", str::to_owned);
    if let Some(url) = message.url() {
        plain.push_str(&format!("\n{url}"));
    }
    plain
}

fn matrix(message: &Message<'_>) -> Value {
    let mut formatted = text(message, CHARS_MAX[0], ["<strong>", "</strong>"], "<br>", html);
    if let Some(url) = message.url() {
        let url = html(url);
        formatted.push_str(&format!("<br><a href=\"{url}\">{url}</a>"));
    }
    json!({
        "msgtype": "m.text",
        "body": plain(message),
        "format": "org.matrix.custom.html",
        "formatted_body": formatted,
        "m.mentions": {},
    })
}

fn html(text: &str) -> String {
    angles(text).replace('"', "&quot;").replace('\'', "&#39;")
}

/// Everything but letters, digits, `-`, `.`, `_` and `~` as `%` with two digits.
fn percent(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// The documented shape, version 1: data and no texts for people.
fn webhook(message: &Message<'_>) -> Value {
    let facts = message.facts;
    let failure = facts.failure.as_ref().map(|it| {
        json!({ "code": it.code, "step": it.step, "what": it.what, "why": it.why, "fix": it.fix })
    });
    let known = facts.commit.is_some() || facts.commit_subject.is_some();
    let commit = known.then(|| {
        json!({ "id": facts.commit, "subject": facts.commit_subject, "author": facts.commit_author })
    });
    let previous = facts
        .previous_number
        .map(|number| json!({ "number": number, "commit": facts.previous_commit }));
    json!({
        "version": 1,
        "event": match message.ending {
            Ending::Live | Ending::Recovered => "deployment.live",
            Ending::Failed => "deployment.failed",
            Ending::Cancelled => "deployment.cancelled",
        },
        "recovered": message.ending == Ending::Recovered,
        "project": facts.project,
        "environment": facts.environment,
        "deployment": facts.deployment,
        "number": facts.number,
        "actor": facts.actor,
        "took_ms": message.took_ms,
        "commit": commit,
        "failure": failure,
        "previous": previous,
        "urls": facts.urls,
    })
}
