//! Telling a target, and what the answer to a request means.

use serde_json::Value;
use windlass_sdk::PluginError;
use windlass_sdk::http::{HttpError, Reason, Response};

use crate::message::{Message, one_line};
use crate::options::{Place, Target};
use crate::{mail, target};

/// Characters of an answer that are repeated.
const SAID_CHARS_MAX: usize = 160;

/// Why a target was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    what: String,
    fix: String,
    /// Whether another try may help.
    passing: bool,
}

impl Problem {
    pub(crate) fn new(what: String, fix: impl Into<String>) -> Self {
        Self { what, fix: fix.into(), passing: false }
    }

    pub(crate) fn passing(what: String) -> Self {
        let fix = "it is tried again; look at the target if it does not help".to_owned();
        Self { what, fix, passing: true }
    }

    /// The same, with something better to do about it.
    pub(crate) fn with_fix(self, fix: &str) -> Self {
        Self { fix: fix.to_owned(), ..self }
    }

    /// All of them as one failure: worth another try if one of them is.
    pub(crate) fn all(problems: Vec<Self>) -> Option<PluginError> {
        let passing = problems.iter().any(|problem| problem.passing);
        // What stays is what somebody has to do something about.
        let fix = problems.iter().min_by_key(|problem| problem.passing)?.fix.clone();
        let what: Vec<String> = problems.into_iter().map(|problem| problem.what).collect();
        let what = what.join("; ");
        Some(match passing {
            true => PluginError::new("notify.unavailable", what).hint(fix).retryable(),
            false => PluginError::new("notify.refused", what).hint(fix),
        })
    }
}

/// Tells a target.
///
/// # Errors
/// Why it was not told.
pub(crate) fn send(to: &Target, message: &Message<'_>) -> Result<(), Problem> {
    let place = match &to.place {
        Place::Mail(account) => return mail::send(to, account, message),
        Place::Web(place) => place,
    };
    match target::request(place, message).send() {
        Ok(answer) => taken(to, &answer),
        Err(error) => Err(not_sent(to, &error)),
    }
}

fn not_sent(to: &Target, error: &HttpError) -> Problem {
    let what = format!("{to} was not told: {}", error.message);
    match error.reason {
        Reason::Denied => Problem::new(
            what,
            "set the secret with `windlass env set NOTIFY_NAME=VALUE --secret`, and grant the host and the \
             secret: `windlass plugin grant notify`",
        ),
        Reason::Invalid => {
            Problem::new(what, "the secret must hold the whole address, beginning with https://")
        }
        Reason::TooLarge => Problem::new(what, "look whether the address is that of a webhook"),
        _ => Problem::passing(what),
    }
}

fn taken(to: &Target, answer: &Response) -> Result<(), Problem> {
    let status = answer.status;
    let said = said(answer);
    let refused = |fix| Err(Problem::new(format!("{to} answered {status}{said}"), fix));
    match status {
        200..=299 => Ok(()),
        300..=399 => refused("it redirects to another address: set that one"),
        401 | 403 => refused(
            "make a new webhook or token, and set its secret anew; a bot must be in the room",
        ),
        404 | 410 => refused("the target does not know the webhook or the room: make a new one"),
        429 => {
            let wait = wait_s(answer).map(|s| format!(", and asks to wait {s} s"));
            let wait = wait.unwrap_or_default();
            Err(Problem::passing(format!("{to} takes no more messages for now (429){wait}")))
        }
        408 | 425 | 500.. => Err(Problem::passing(format!("{to} answered {status}{said}"))),
        _ => refused("the target does not take the message: look whether its kind is right"),
    }
}

/// What the answer says, in short.
fn said(answer: &Response) -> String {
    let text = match answer.json::<Value>() {
        Ok(json) => {
            ["error", "message"].iter().find_map(|key| Some(json.get(key)?.as_str()?.to_owned()))
        }
        Err(_) => Some(answer.text()).filter(|text| !text.trim_start().starts_with('<')),
    };
    let text = one_line(&text.unwrap_or_default(), SAID_CHARS_MAX);
    if text.is_empty() { text } else { format!(": {text}") }
}

/// How long a target asks to wait, in whole seconds: `retry-after`, else what Matrix and Discord write.
fn wait_s(answer: &Response) -> Option<u64> {
    if let Some(s) = answer.header("retry-after").and_then(|value| value.trim().parse::<f64>().ok())
    {
        return seconds(s);
    }
    let json = answer.json::<Value>().ok()?;
    match json.get("retry_after_ms").and_then(Value::as_u64) {
        Some(ms) => Some(ms.div_ceil(1_000)),
        None => seconds(json.get("retry_after")?.as_f64()?),
    }
}

fn seconds(s: f64) -> Option<u64> {
    std::time::Duration::try_from_secs_f64(s)
        .ok()
        .map(|time| time.as_secs() + u64::from(time.subsec_nanos() > 0))
}
