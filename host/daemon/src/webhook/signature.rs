//! Whether a delivery is genuine: signature or token, over the raw bytes, in constant time.
//!
//! **Invariant: nothing of the body is read before this has passed.** Several secrets may be in force
//! at once, while one replaces another; each is tried.

use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use windlass_model::webhook::Provider;
use windlass_model::{Failure, Secret, Timestamp};

/// Longest id that a sender may give a delivery.
const SENDER_ID_BYTES_MAX: usize = 200;
/// Prefix of secrets in the form of the Standard Webhooks specification, which GitLab's signing tokens
/// have.
pub(crate) const STANDARD_SECRET: &str = "whsec_";

/// Headers of the generic kind.
pub(crate) const GENERIC_SIGNATURE: &str = "x-windlass-signature";
pub(crate) const GENERIC_TIMESTAMP: &str = "x-windlass-timestamp";
pub(crate) const GENERIC_DELIVERY: &str = "x-windlass-delivery";
pub(crate) const GENERIC_EVENT: &str = "x-windlass-event";

/// What a genuine delivery says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Genuine {
    /// The sender's id of it.
    pub sender_id: String,
    /// The sender's name of the event.
    pub event: String,
    /// What makes its repetition known, beside the id.
    pub marks: Vec<String>,
}

/// The surroundings of a check.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub now: Timestamp,
    pub skew_s_max: u64,
}

/// Checks a delivery, and reads who it says it is.
///
/// # Errors
/// `webhook.signature-missing`, `webhook.signature-wrong`, `webhook.timestamp-off`,
/// `webhook.no-delivery-id`, `webhook.no-event`.
pub(super) fn check(
    provider: Provider,
    headers: &HeaderMap,
    body: &[u8],
    secrets: &[Secret<String>],
    clock: Clock,
) -> Result<Genuine, Failure> {
    let by = Check { headers, body, secrets, clock };
    let (marks, ids, events): (Vec<String>, &[&str], &[&str]) = match provider {
        Provider::Github => {
            let signature = by.hex_signature("x-hub-signature-256", "sha256=", body)?;
            (vec![signature], &["x-github-delivery"], &["x-github-event"])
        }
        Provider::Bitbucket => {
            by.hex_signature("x-hub-signature", "sha256=", body)?;
            (vec![], &["x-request-uuid", "x-request-id"], &["x-event-key"])
        }
        Provider::Gitea => {
            by.gitea()?;
            let ids = &["x-forgejo-delivery", "x-gitea-delivery"];
            (vec![], ids, &["x-forgejo-event", "x-gitea-event"])
        }
        Provider::Gitlab => {
            by.gitlab()?;
            let ids = &["webhook-id", "idempotency-key", "x-gitlab-event-uuid"];
            (vec![], ids, &["x-gitlab-event"])
        }
        Provider::Generic => {
            let signature = by.generic()?;
            (vec![signature], &[GENERIC_DELIVERY], &[GENERIC_EVENT])
        }
    };
    let sender_id = first(headers, ids).ok_or_else(|| missing_id(ids))?;
    let event = first(headers, events).ok_or_else(|| missing_event(events))?;
    Ok(Genuine { sender_id, event, marks })
}

struct Check<'a> {
    headers: &'a HeaderMap,
    body: &'a [u8],
    secrets: &'a [Secret<String>],
    clock: Clock,
}

impl Check<'_> {
    /// A header that holds a prefix and the hexadecimal HMAC-SHA256 of `signed`.
    fn hex_signature(&self, name: &str, prefix: &str, signed: &[u8]) -> Result<String, Failure> {
        let given = text(self.headers, name).ok_or_else(|| missing_signature(name))?;
        let digits = given.strip_prefix(prefix).ok_or_else(|| wrong(name))?;
        let mac = hex::decode(digits).map_err(|_| wrong(name))?;
        if self.any(|secret| is_mac(secret.as_bytes(), &[signed], &mac)) {
            return Ok(given.to_ascii_lowercase());
        }
        Err(wrong(name))
    }

    /// When Forgejo's own header is there it counts alone: a wrong one is not made good by another.
    fn gitea(&self) -> Result<String, Failure> {
        let names = ["x-forgejo-signature", "x-gitea-signature"];
        let name = names.into_iter().find(|name| self.headers.contains_key(*name));
        match name {
            Some(name) => self.hex_signature(name, "", self.body),
            None => self.hex_signature("x-hub-signature-256", "sha256=", self.body),
        }
    }

    /// A signing token where one is set, else the secret token.
    fn gitlab(&self) -> Result<(), Failure> {
        if self.headers.contains_key("webhook-signature") {
            return self.standard();
        }
        let name = "x-gitlab-token";
        let given = text(self.headers, name).ok_or_else(|| missing_signature(name))?;
        let same = |secret: &str| bool::from(secret.as_bytes().ct_eq(given.as_bytes()));
        if self.any(same) { Ok(()) } else { Err(wrong(name)) }
    }

    /// By the Standard Webhooks specification: `v1,<base64>` over id, time and body, several signatures
    /// separated by spaces.
    fn standard(&self) -> Result<(), Failure> {
        let name = "webhook-signature";
        let header = |name| text(self.headers, name).ok_or_else(|| missing_signature(name));
        let (id, at, given) = (header("webhook-id")?, header("webhook-timestamp")?, header(name)?);
        let signed = |secret: &str, mac: &[u8]| {
            let key =
                secret.strip_prefix(STANDARD_SECRET).and_then(|key| STANDARD.decode(key).ok());
            let parts: [&[u8]; 5] = [id.as_bytes(), b".", at.as_bytes(), b".", self.body];
            key.is_some_and(|key| is_mac(&key, &parts, mac))
        };
        let macs =
            given.split(' ').filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
        let genuine = macs.fold(false, |any, mac| self.any(|secret| signed(secret, &mac)) | any);
        if genuine { self.in_time(at) } else { Err(wrong(name)) }
    }

    fn generic(&self) -> Result<String, Failure> {
        let at = text(self.headers, GENERIC_TIMESTAMP)
            .ok_or_else(|| missing_signature(GENERIC_TIMESTAMP))?;
        let signed = [at.as_bytes(), b".", self.body].concat();
        let signature = self.hex_signature(GENERIC_SIGNATURE, "sha256=", &signed)?;
        self.in_time(at)?;
        Ok(signature)
    }

    fn in_time(&self, at: &str) -> Result<(), Failure> {
        let at_s: Option<i64> = at.parse().ok();
        let off = at_s.map(|at| self.clock.now.as_second().abs_diff(at));
        if off.is_some_and(|off| off <= self.clock.skew_s_max) {
            return Ok(());
        }
        Err(Failure::app(
            "webhook.timestamp-off",
            "the delivery is too old, or comes from the future",
            format!(
                "its time stamp is off by {}, and at most {} s are allowed",
                off.map_or_else(|| "an unknown time".to_owned(), |off| format!("{off} s")),
                self.clock.skew_s_max
            ),
            "set the clocks of both machines (NTP); sign each delivery when it is sent",
        ))
    }

    /// Every secret is tried, whichever fits.
    fn any(&self, fits: impl Fn(&str) -> bool) -> bool {
        self.secrets.iter().fold(false, |any, secret| fits(secret.expose()) | any)
    }
}

/// The HMAC-SHA256 of some parts, as senders make it.
fn mac(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac)
}

/// Compares in constant time.
fn is_mac(key: &[u8], parts: &[&[u8]], given: &[u8]) -> bool {
    mac(key, parts).is_some_and(|mac| mac.verify_slice(given).is_ok())
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty())
}

fn first(headers: &HeaderMap, names: &[&str]) -> Option<String> {
    let found = names.iter().find_map(|name| text(headers, name))?;
    (found.len() <= SENDER_ID_BYTES_MAX).then(|| found.to_owned())
}

fn missing_signature(name: &str) -> Failure {
    Failure::app(
        "webhook.signature-missing",
        "the delivery is not signed",
        format!("the header {name} is missing"),
        "enter the webhook's secret at the sender; `windlass webhook rotate` gives a new one",
    )
}

fn wrong(name: &str) -> Failure {
    Failure::app(
        "webhook.signature-wrong",
        "the delivery's signature is wrong",
        format!("{name} does not fit the body and any secret of this webhook"),
        "enter the secret that `windlass webhook create` showed at the sender; \
         `windlass webhook rotate` gives a new one",
    )
}

fn missing_id(names: &[&str]) -> Failure {
    Failure::app(
        "webhook.no-delivery-id",
        "the delivery has no id",
        format!(
            "none of these headers is there, in at most {SENDER_ID_BYTES_MAX} bytes: {}",
            names.join(", ")
        ),
        "send an id with each delivery: without one its repetition cannot be told",
    )
}

fn missing_event(names: &[&str]) -> Failure {
    Failure::app(
        "webhook.no-event",
        "the delivery does not say which event it is",
        format!("none of these headers is there: {}", names.join(", ")),
        "choose the right provider at `windlass webhook create --provider`",
    )
}

#[cfg(test)]
#[path = "signature_tests.rs"]
mod tests;
