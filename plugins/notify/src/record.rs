//! What is kept between two calls: how deployments ended, and who was told.
//!
//! Without the cache nothing is known of before: nobody is told that something recovered, and another try tells
//! all targets again.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use windlass_sdk::custom::{Facts, State};
use windlass_sdk::{cache, log};

/// A time above this says that the clock or the id is not what it should be.
const TOOK_MS_MAX: u64 = 7 * 24 * 3_600 * 1_000;
/// A ULID's time: its first characters, with five bits each.
const ULID_TIME_CHARS: usize = 10;

/// What is known of telling about one deployment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// From when it was asked for to the first try, in milliseconds.
    pub(crate) took_ms: Option<u64>,
    /// Whether the one before it had failed.
    pub(crate) recovered: bool,
    /// Who was told.
    pub(crate) delivered: Vec<String>,
}

/// How the last deployment of an environment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    number: u64,
    failed: bool,
    /// Whether the one before it had failed.
    after_failure: bool,
}

impl Record {
    /// What was kept, else a new one, which is kept.
    pub(crate) fn of(facts: &Facts) -> Self {
        if let Some(kept) = cache::get_json(&key(facts)) {
            return kept;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(now.as_millis()).unwrap_or_default();
        // At another try without a record the pause before it would be counted in.
        let took_ms = took_ms(&facts.deployment, now_ms).filter(|_| facts.attempt <= 1);
        let record = Self { took_ms, recovered: ended(facts), delivered: Vec::new() };
        record.keep(facts);
        record
    }

    /// Keeps it; where that is not possible, the log says so.
    pub(crate) fn keep(&self, facts: &Facts) {
        write(&key(facts), self);
    }
}

fn key(facts: &Facts) -> String {
    format!("told/{}", facts.deployment)
}

/// Notes how a deployment ended. Whether it is live, and the one before it in this environment had failed: the same
/// answer if a crash makes it be asked twice.
fn ended(facts: &Facts) -> bool {
    let key = format!("last/{}", facts.environment);
    let before: Option<Last> = cache::get_json(&key);
    let after_failure = match &before {
        // An older one that is told of late says nothing of how things are.
        Some(before) if before.number > facts.number => return false,
        Some(before) if before.number == facts.number => before.after_failure,
        before => before.as_ref().is_some_and(|before| before.failed),
    };
    let failed = facts.state == State::Failed;
    // Nor does one that was cancelled.
    if matches!(facts.state, State::Live | State::Failed) {
        write(&key, &Last { number: facts.number, failed, after_failure });
    }
    after_failure && facts.state == State::Live
}

fn write<T: Serialize>(key: &str, value: &T) {
    if let Err(error) = cache::put_json(key, value) {
        log::debug(format!("who was told is not kept: {}", error.message));
    }
}

/// The time since a deployment was asked for: its id is a ULID, which begins with that. `None` where either is not
/// as it should be.
pub(crate) fn took_ms(deployment: &str, now_ms: u64) -> Option<u64> {
    const DIGITS: &str = "0123456789abcdefghjkmnpqrstvwxyz";
    if deployment.len() != 26 {
        return None;
    }
    let mut begun_ms = 0_u64;
    for c in deployment.to_ascii_lowercase().chars().take(ULID_TIME_CHARS) {
        begun_ms = begun_ms * 32 + u64::try_from(DIGITS.find(c)?).ok()?;
    }
    now_ms.checked_sub(begun_ms).filter(|ms| *ms <= TOOK_MS_MAX)
}
