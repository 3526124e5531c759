//! Tells people how a deployment ended: one message to each target that wants to hear of that end.
//!
//! Reading order: [`options`] and [`account`] (who is told, and when), [`message`] (what is said), [`target`] (how each
//! chat and webhook wants it), [`mail`] (the same as mail), [`delivery`] (what became of it), [`record`] (what was said
//! already).
//!
//! **Invariants**
//! - No secret is ever held here: requests and commands name the variables, and the host fills them in. What people wrote
//!   (subjects, names, reasons) cannot name one: `{{` is written in another way in the body of every request, and what
//!   goes to a command is not filled in.
//! - What people wrote formats nothing and calls nobody, in whatever target.
//! - A target that took the message is not told again at another try, as long as the cache keeps that.

mod account;
mod delivery;
mod mail;
#[cfg(test)]
mod mail_tests;
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
        { name: "http", hosts: ["*"], methods: ["POST", "PUT"], optional: true,
          reason: "posts the message to the chats and webhooks that the options name" },
        { name: "secrets", names: ["NOTIFY_*"], optional: true,
          reason: "addresses of webhooks and tokens of chats, which the host fills into the requests, and passwords of mail" },
        { name: "exec", outputs: ["image:*"], optional: true,
          reason: "sends mail with curl, in a container of the image that is set" },
        { name: "cache", bytes_max: 4194304, optional: true,
          reason: "remembers who was told, and how the deployment before ended" },
    ],
    custom: [
        { name: "tell", hooks: ["after-switch"],
          summary: "Tells chats, webhooks and receivers of mail how the deployment ended" },
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
                        "kind": { "enum": ["slack", "discord", "mattermost", "matrix", "webhook", "mail"] },
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
                            "description": "matrix: id of the room" },
                        "server": { "type": "string", "pattern": "^smtps?://",
                            "description": "mail: address of the server, smtp:// (with STARTTLS) or smtps://" },
                        "starttls": { "type": "boolean",
                            "description": "mail by smtp://: whether nothing is sent unencrypted; true" },
                        "from": { "type": "string", "maxLength": 254, "description": "mail: address of the sender" },
                        "to": { "type": "array", "minItems": 1, "maxItems": 50,
                            "description": "mail: addresses of the receivers",
                            "items": { "type": "string", "maxLength": 254 } },
                        "user": { "type": "string", "minLength": 1, "maxLength": 200,
                            "description": "mail: name for the server's login" },
                        "password_secret": { "type": "string", "pattern": "^NOTIFY_[A-Z0-9_]{1,90}$",
                            "description": "mail: secret variable with the password" },
                        "image": { "type": "string", "minLength": 1, "maxLength": 200,
                            "description": "mail: image with curl; docker.io/curlimages/curl:latest" }
                    }
                }
            }
        }
    }"##,
    failures: "failures.toml",
}
