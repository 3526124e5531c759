//! Tells people how a deployment ended: one message to each target that wants to hear of that end.
//!
//! Reading order: [`options`] (who is told, and when), [`message`] (what is said), [`target`] (how each target
//! wants it), [`delivery`] (what became of it), [`record`] (what was said already).
//!
//! **Invariants**
//! - No secret is ever held here: requests name the variables, and the host fills them in. What people wrote
//!   (subjects, names, reasons) cannot name one: `{{` is written in another way in every body.
//! - What people wrote formats nothing and calls nobody, in whatever target.
//! - A target that took the message is not told again at another try, as long as the cache keeps that.

mod delivery;
mod message;
mod options;
mod record;
mod target;
#[cfg(test)]
mod tests;

use windlass_sdk::custom::{Facts, Input, Outcome};
use windlass_sdk::{Context, Custom, PluginError, Source, log};

use self::delivery::Problem;
use self::message::{Ending, Message};
use self::options::{Options, Target};
use self::record::Record;

/// The plugin.
#[derive(Debug)]
pub struct Notify;

impl Custom for Notify {
    fn run(
        _stage: &str,
        ctx: &Context,
        _: &Source,
        facts: &Facts,
        _: &[Input],
    ) -> Result<Outcome, PluginError> {
        let targets = Options::of(ctx)?.targets;
        let mut record = Record::of(facts);
        let Some(ending) = Ending::of(facts.state, record.recovered) else {
            return Ok(Outcome::skipped("the deployment is not over"));
        };
        let wanted: Vec<Target> = targets.into_iter().filter(|it| it.wants(ending)).collect();
        if wanted.is_empty() {
            return Ok(Outcome::skipped(format!("no target is told when a deployment {ending}")));
        }
        let message = Message { facts, ending, took_ms: record.took_ms };
        let mut problems = Vec::new();
        for target in &wanted {
            let name = target.to_string();
            if record.delivered.contains(&name) {
                continue;
            }
            match delivery::send(target, &message) {
                Ok(()) => {
                    log::info(format!("{name} was told"));
                    record.delivered.push(name);
                    record.keep(facts);
                }
                Err(problem) => problems.push(problem),
            }
        }
        match Problem::all(problems) {
            Some(error) => Err(error),
            None => Ok(Outcome::done(format!(
                "#{} {ending}: told {}",
                facts.number,
                wanted.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            ))),
        }
    }
}

windlass_sdk::export! {
    Notify: [custom],
    name: "notify",
    capabilities: [
        { name: "http", hosts: ["*"], methods: ["POST", "PUT"],
          reason: "posts the message to the chats and webhooks that the options name" },
        { name: "secrets", names: ["NOTIFY_*"], optional: true,
          reason: "addresses of webhooks and tokens of chats, which the host fills into the requests" },
        { name: "cache", bytes_max: 4194304, optional: true,
          reason: "remembers who was told, and how the deployment before ended" },
    ],
    custom: [
        { name: "tell", hooks: ["after-switch"],
          summary: "Tells chats and webhooks how the deployment ended" },
    ],
    options_schema: r##"{
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "targets": {
                "type": "array", "minItems": 1, "maxItems": 20,
                "description": "Who is told",
                "items": {
                    "type": "object",
                    "additionalProperties": false,
                    "required": ["kind"],
                    "properties": {
                        "kind": { "enum": ["slack", "discord", "mattermost", "matrix", "webhook"] },
                        "when": {
                            "description": "After which ends: one, or a list; always if it is left out",
                            "anyOf": [
                                { "enum": ["always", "success", "failure", "recovered"] },
                                { "type": "array", "minItems": 1,
                                  "items": { "enum": ["always", "success", "failure", "recovered"] } }
                            ]
                        },
                        "url_secret": { "type": "string", "pattern": "^NOTIFY_[A-Z0-9_]{1,90}$",
                            "description": "Secret variable that holds the webhook's address" },
                        "url": { "type": "string", "pattern": "^https?://",
                            "description": "webhook: its address, where that is no secret" },
                        "token_secret": { "type": "string", "pattern": "^NOTIFY_[A-Z0-9_]{1,90}$",
                            "description": "matrix: secret variable with the access token; webhook: with a bearer token" },
                        "homeserver": { "type": "string", "pattern": "^https?://",
                            "description": "matrix: address of the homeserver" },
                        "room": { "type": "string", "pattern": "^!",
                            "description": "matrix: id of the room" }
                    }
                }
            }
        }
    }"##,
    failures: "failures.toml",
}
