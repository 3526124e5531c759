//! The list of failure codes: every code that a [`Failure`](super::Failure) or a warning of the host can
//! carry, with its title, its usual cause, its usual fix and whose doing it is.
//!
//! `windlass explain`, `GET /v1/failures` and `host/FAILURES.md` are made of this list. A test
//! (`tests/failure_codes.rs` of this crate) fails when the source uses a code that is not here, and when a
//! code here is used nowhere. Codes of plugins are in their manifests, not here.
//!
//! **To add a code, add one line** to the block of its first word:
//! `App "area.what-happened": "Title", "why it happens", "what to do";`

pub use super::explain::Code;
use super::explain::Whose;

macro_rules! codes {
    ($($whose:ident $code:literal: $title:literal, $cause:literal, $fix:literal;)*) => {
        &[$(Code { code: $code, whose: Whose::$whose, title: $title, cause: $cause, fix: $fix }),*]
    };
}

/// The code of this name.
pub fn find(code: &str) -> Option<&'static Code> {
    CODES.iter().find(|known| known.code == code)
}

/// Every code of the host, in the order of its blocks.
#[rustfmt::skip]
pub const CODES: &[Code] = codes! {
    // Requests: who asks, and for what.
    App "auth.token-missing": "The request carries no token", "every request but /healthz, /readyz and the description of the API needs one", "use the token of the data directory's file `token`, with --token or WINDLASS_TOKEN";
    App "auth.token-wrong": "The token is not one of this host", "it was mistyped, replaced or revoked", "take the token of the data directory's file `token`, or make a new one";
    Host "audit.unreadable": "The audit log cannot be read", "the system refused", "check the data directory's disk and permissions";
    App "auth.project-limited": "The token is for other projects", "it was made for certain projects alone", "use a token of this project, or one without that limit";
    App "auth.scope-too-small": "The token may not do this", "its scope is too small", "use a token with the scope that the message names";
    App "auth.token-expired": "The token has expired", "its time is over", "make a new one: `windlass token create`";
    App "auth.token-mistyped": "That is no token of Windlass", "its check digits do not fit", "copy the whole token again";
    App "auth.token-revoked": "The token was revoked", "somebody took it back", "make a new one: `windlass token create`";
    App "auth.too-many-failures": "Too many wrong tokens came from this address", "guessing is slowed down", "wait as long as the message says, then use the right token";
    App "token.cannot-revoke": "The token cannot be revoked", "see the message", "see `windlass token list`";
    App "token.exists": "A token of this name exists already", "names are unique", "choose another name, or revoke the other one first";
    App "token.expiry-invalid": "The expiry of the token is not valid", "see the message", "give a time in the future";
    App "token.name-reserved": "The name of the token is reserved", "Windlass uses it itself", "choose another name";
    App "token.not-found": "There is no such token", "it was mistyped, or was deleted", "`windlass token list` shows them";
    App "token.revoked": "The token was revoked already", "it can be used no more", "make a new one: `windlass token create`";
    App "token.too-many-projects": "The token names too many projects", "it is over the limit", "make several tokens, or one without a limit to projects";
    App "request.no-websocket": "A path answers to websockets alone", "the request is none", "use `windlass exec` or `windlass run`; POST to `runs` runs a command in the background";
    App "request.body-broken": "The body of a request broke off", "the connection ended before all of it had come", "send it again";
    App "request.body-empty": "The body of a request is empty", "an archive was expected", "send the archive as the body";
    App "request.body-too-large": "The body of a request is too large", "it is over `upload_bytes_max`, `request_body_bytes_max` or, of a plugin, `plugin.component_bytes_max`", "send less (a .gitignore keeps files out of an archive), or raise the limit in the limits file";
    App "request.invalid-body": "The body of a request does not fit", "a field is missing, unknown or of the wrong type", "compare it with the route in /v1/openapi.json";
    App "request.invalid-name": "A name in the path of a request is not valid", "names follow the rule that the message gives", "correct the name";
    App "request.invalid-query": "A query parameter is not valid", "its value cannot be read", "compare it with the route in /v1/openapi.json";
    App "request.malformed-json": "The body of a request is no JSON", "it cannot be read at the place that the message names", "send JSON with the content type application/json";
    App "request.method-not-allowed": "The path exists with other methods", "the method is wrong", "GET /v1/openapi.json lists the methods of every path";
    App "request.path-unknown": "There is no such path", "it was mistyped, or belongs to a newer version", "GET /v1/openapi.json lists every path";

    // What is asked about.
    App "archive.name-invalid": "The name of an uploaded archive is not valid", "it is shown to people and must be short text", "give another `name`";
    App "code.not-found": "There is no such failure code", "it was mistyped, or is one of a plugin that is not here", "`windlass explain` lists all";
    App "deployment.two-sources": "A deployment has one source", "the request names an image and a repository", "leave one of them out";
    App "registry-login.not-found": "The project has no such login", "none was stored for this registry", "windlass registry list shows those that are";
    App "registry-login.invalid": "This cannot be a login", "the registry, the name or the password is not usable", "windlass registry login REGISTRY --username NAME --password-stdin";
    App "deploy-key.not-found": "The project has no deploy key", "none was made for it", "make one: windlass project deploy-key create";
    App "known-host.not-found": "No key of this host is known", "the project has not met it, or its name has another form", "take the name from the failure that told of it";
    App "deployment.ambiguous": "Several deployments begin like this", "the beginning of an id must be unique", "give more characters of the id";
    App "deployment.live": "A live deployment cannot be cancelled", "it serves already", "use `windlass rollback` to go back to the version before";
    App "deployment.not-built": "There is no record of a build of the deployment", "it took over another one's artifact, or ended before the step `build`, or its logs were pruned", "look at `windlass show` for how far it came";
    App "deployment.no-plan": "The deployment has no plan", "it ended before the step `plan`", "look at `windlass show` for why it ended";
    App "deployment.no-source": "There is nothing to deploy again", "the environment was never deployed from a source", "name a folder or Git address: `windlass deploy PATH`";
    App "deployment.not-found": "There is no such deployment", "the number or id was mistyped, or its record was pruned", "`windlass deployments` lists those that are kept";
    App "deployment.number-needs-project": "A number alone does not name a deployment", "numbers count within a project", "add --project, or use the id";
    App "deployment.over": "The deployment is over", "only queued and running ones can be cancelled", "see `windlass deployments`";
    App "deployment.past-switch": "It is too late to cancel", "traffic is being switched", "wait for its end, then use `windlass rollback`";
    App "deployment.upload-gone": "The uploaded archive is gone", "archives are removed with the last deployment that needs them", "upload the folder again: `windlass deploy PATH`";
    App "domain.invalid": "The domain is not valid", "a domain is a host name in ASCII with dots and without scheme, port or path, or `*`", "write it like shop.example.com";
    App "domain.not-found": "The environment has no such domain", "it was mistyped, or belongs to another environment", "`windlass domain list` shows them";
    Host "domain.not-published": "The domain is stored, and the proxy does not know it yet", "the proxy does not answer", "look at `windlass doctor` and proxy.log in the data directory; it is told again when it answers";
    App "domain.taken": "The domain leads elsewhere already", "a host name leads to one environment", "remove it there first: `windlass domain remove HOST`";
    App "environment.exists": "The environment exists already", "names are unique in a project", "use it, or choose another name";
    App "environment.has-live": "The environment cannot be deleted", "something in it is live, queued or running", "cancel what runs first, or name another environment";
    App "environment.not-found": "There is no such environment", "it was mistyped, or was deleted", "`windlass environment list` shows them";
    App "environment.deploying": "A deployment of the environment waits or runs", "its end would undo what was asked", "wait for its end, or end it with `windlass cancel`";
    App "environment.no-instances": "The environment has no instances", "the proxy serves a static site itself, or every process is scaled to 0", "`windlass redeploy` for another version, `windlass scale` for another number";
    App "environment.nothing-live": "Nothing runs in the environment", "no deployment has gone live there yet", "`windlass deploy`";
    App "environment.serving": "The environment is not stopped", "its instances run, or are started again by themselves", "`windlass restart` for fresh instances";
    App "environment.stopped": "The environment is stopped", "a person stopped it", "`windlass start`";
    App "environment.stopping": "The environment is being stopped", "its last requests are being finished", "wait until it is stopped, then `windlass start`";
    App "maintenance.invalid": "Maintenance cannot be set so", "the message is too long or no text of one line, or the time is too long", "shorten the message or the time";
    App "run.crash-loop": "An instance ends again and again", "it ended several times within a short time", "read its last lines; correct the cause and deploy again, or go back with `windlass rollback`";
    App "run.exited": "An instance ended", "its process ended by itself or was killed", "it is started again by itself; `windlass logs` shows why it ended";
    App "run.not-found": "There is no such one-off command", "its name is wrong, or its log was pruned with its deployment", "`windlass run --list` shows them";
    App "run.oom": "An instance was killed for its memory", "it used more than its limit", "raise `run.memory` in windlass.toml and deploy again, or make the application use less";
    App "run.unhealthy": "An instance does not answer any more", "its health probe failed several times in a row", "it is started again by itself; `windlass logs` shows what it was doing";
    App "cron.failed": "A run of a schedule failed", "its command ended with a status that is not 0", "read what it wrote: `windlass cron logs NAME`";
    Host "cron.lost": "It is not known how a run of a schedule ended", "the host or the machine went down while it was started or ran, and its container is gone", "look at what it did; `windlass cron run NAME` runs it again, which does not happen by itself";
    App "cron.name-taken": "Two stages register a schedule of one name", "both are of one plugin, and names are unique in it", "leave one of the two [[stages]] out, or report it to the plugin's author";
    App "cron.not-found": "There is no such schedule", "its name is wrong, or the version that is live does not have it", "`windlass cron list` shows them";
    App "cron.not-started": "A run of a schedule could not be started", "the image has no such program, or the process has no image", "name a program that the image has, and a process that has an image";
    App "cron.out-of-memory": "A run of a schedule was killed for its memory", "it used more memory than an instance may have", "raise `run.memory` in windlass.toml and deploy, or make the command use less";
    App "cron.still-running": "The schedule is not run now", "another run of it goes on or waits", "wait for its end, or set `overlap = \"queue\"` or `\"replace\"`";
    App "cron.suspended": "Schedules do not run now", "the environment is stopped, in maintenance or being replaced", "`windlass start`, or `windlass maintenance off`";
    App "cron.timed-out": "A run of a schedule was ended", "it went on for longer than it may", "find out what it waits for, or set a longer `timeout`; `cron.run_s` in the limits file is the longest";
    App "cron.unknown-process": "A schedule names a process that the application does not have", "`process` of its [[cron]] table is misspelled", "correct it, or leave it out for the web process";
    App "cron.unusable": "A schedule that a custom stage registers cannot be used", "its expression is none or never comes, or its time zone or its process does not exist", "correct it in the file, or in the options of [[stages]], that the stage takes it from";
    App "session.bad-start": "A session was not begun", "the client's first frame is not one that the host knows", "send {\"type\":\"start\",\"argv\":[...]} as text first; `windlass exec` does";
    Host "session.lost": "It is not known how a command ended", "see the message", "look at what it did; `windlass logs` shows whether the instance was restarted";
    App "session.no-command": "There is no command to run", "none was named", "name one: `windlass run --detach -- COMMAND`";
    App "session.no-image": "A deployment has no image to run a command in", "it is a static site, or has no such process", "`windlass show` lists its processes";
    App "session.no-instance": "The instance does not run", "its name is wrong, it is being started again, or it is a static site", "`windlass stats` shows what runs; `windlass run` needs no running instance";
    App "session.not-started": "A command could not be started", "the image has no such program", "name a program that the image has: `windlass exec -- PROGRAM`";
    App "session.nothing-live": "There is no live deployment to work with", "nothing was deployed there yet, or it was removed", "deploy first: `windlass deploy`";
    App "session.too-long": "A session was ended", "it was open for the longest time", "raise `session_s` in the limits of `windlass serve`, or use `windlass run --detach`";
    App "session.too-many": "Too many sessions are open", "each open shell and one-off command counts", "end one, or raise the limit of `windlass serve`";
    Host "scale.memory": "The memory is too little for so many instances", "the further instances are taken to need what the present ones use", "scale to fewer, stop something else, or add memory";
    App "scale.out-of-range": "The number of instances is out of range", "a web process has at least one instance, and every process has a limit", "`windlass stop` ends the last one; `replicas_max` in the limits file raises the limit";
    App "scale.unknown-process": "The deployment has no such process", "it was mistyped, or the deployment runs none of this name", "`windlass show` lists the instances";
    App "scale.volume-not-shared": "A volume may be mounted by one instance at a time", "it is not shared", "set shared = true for it in windlass.toml if the application can share it, and deploy";
    App "volume.in-use": "The volume is mounted", "the live deployment's instances write to it", "end them first: `windlass stop`";
    Host "volume.io": "A volume's folder could not be read, made or removed", "the data directory's disk or permissions", "check the data directory's disk and permissions";
    App "volume.not-found": "The environment has no such volume", "it was mistyped, or was removed", "`windlass volume list` shows them";
    App "git-token.invalid": "The Git token is not valid", "it is empty or holds spaces or line ends", "copy the token again, without anything around it";
    App "project.exists": "The project exists already", "names are unique on a host", "use it, or choose another name";
    App "project.has-live": "The project cannot be deleted", "something in it is live, queued or running", "cancel what runs first";
    App "project.not-found": "There is no such project", "it was mistyped, or was deleted", "`windlass project list` shows them";
    App "deployment.already-paused": "The deployment is paused already", "it was paused before", "go on with `windlass resume`";
    App "deployment.not-begun": "The deployment has not begun", "it waits in the queue", "cancel it, or wait until it runs";
    App "deployment.not-paused": "The deployment is not paused", "only a paused one can go on", "see `windlass show`";
    App "idempotency.deployment-gone": "The deployment that the key stands for is gone", "its record was pruned", "ask again with another Idempotency-Key";
    App "idempotency.key-invalid": "The Idempotency-Key is not valid", "see the message for the rule", "send a short text, for instance a UUID";
    App "idempotency.key-reused": "The Idempotency-Key was used for something else", "the same key came with another request", "use a new key for each request that differs";
    App "pin.artifact-pruned": "The deployment cannot be pinned", "its artifact is not kept any more", "deploy its commit again, and pin that";
    App "promote.artifact-damaged": "The artifact to promote is not complete", "its record or a snapshot of it is gone", "deploy it again in its own environment, then promote";
    App "promote.artifact-pruned": "The artifact to promote is not kept any more", "only a few artifacts are kept", "deploy its commit again";
    App "promote.build-settings-differ": "The environments build differently", "settings of `[build]` differ between the two", "make them the same, or deploy the commit instead of promoting";
    App "promote.build-variables-differ": "The environments build with different variables", "variables of scope build differ between the two", "make them the same, or deploy the commit instead of promoting";
    App "promote.nothing-live": "There is nothing to promote", "nothing is live in the other environment", "deploy there first, or name a deployment";
    App "promote.same-environment": "A deployment cannot be promoted to its own environment", "it is there already", "use `windlass rollback`, or name another environment";
    App "promote.source-differs": "The source is not the one that was built", "it was changed meanwhile", "deploy the commit instead of promoting";
    App "rollback.artifact-damaged": "The artifact to go back to is not complete", "its record or a snapshot of it is gone", "build the same version again: `windlass rollback --rebuild`";
    App "rollback.asked-twice": "A rollback names its target twice", "only one of a deployment and a commit can be meant", "name one";
    App "rollback.commit-unknown": "No deployment of the environment was made of that commit", "it was mistyped, or left the history", "name one of `windlass deployments`, or deploy the commit";
    App "rollback.env-unknown": "The variables of that deployment are not known any more", "it left the history", "roll back without --with-its-env";
    Warning "rollback.migrations-between": "Migrations lie between the two versions", "a rollback never runs migrations", "see that the old version works with the present database";
    App "rollback.already-live": "That deployment is live already", "a rollback goes to another one", "name another one of `windlass deployments`";
    App "rollback.artifact-pruned": "The deployment's artifact is not kept any more", "only `deploy.keep_artifacts` artifacts are kept beside the live one", "deploy its commit again: `windlass deploy URL --ref COMMIT`";
    App "rollback.never-live": "That deployment was never live", "it failed or was cancelled before its switch", "name one of `windlass deployments` that was live";
    App "rollback.nothing-before": "There is nothing to go back to", "no earlier deployment of the environment is retained", "name one with --to, or deploy the commit again";
    App "rollback.other-environment": "That deployment belongs to another environment", "a rollback stays in its environment", "name a deployment of this environment";
    App "rollback.target-gone": "The deployment to go back to is gone", "its artifact was pruned while the rollback waited", "choose another one of `windlass deployments`, or deploy its commit again";
    App "service.not-found": "The environment has no such service", "it was mistyped, or was removed", "`windlass service list` shows them";
    App "variable.not-found": "The environment has no such variable", "it was mistyped, or was removed", "`windlass env list` shows them";
    App "variable.repeated": "A variable is named twice", "one request sets each variable once", "remove one of the two";

    App "variable.port-invalid": "The variable PORT is no port", "the proxy dials it, so it is a number from 1 to 65535", "set such a number, or remove the variable";

    // Webhooks and previews.
    App "cli.which-webhook": "It is not clear which webhook is meant", "the project has none, or several", "name one of `windlass webhook list`";
    App "preview.being-removed": "The preview is still being removed", "its removal has not ended", "nothing need be done: it is tried again by itself";
    App "preview.domain-invalid": "The domain of previews is not valid", "it is no host name", "write it like preview.example.com";
    App "preview.limits-invalid": "The limits of previews are not valid", "see the message for the rule", "correct them";
    App "preview.not-found": "There is no such preview", "it was removed, or never made", "`windlass environment list` shows what there is";
    App "webhook.api-base-invalid": "That is not the address of an API", "it must begin with https:// or http:// and name a host", "give it like --api-base https://github.example.com/api/v3";
    App "webhook.delivery-not-found": "There is no such delivery", "it was mistyped, or is not kept any more", "`windlass webhook deliveries` shows those that are kept";
    App "webhook.event-unknown": "The event means nothing here", "only pushes, pull requests and pings are used", "choose only these events at the sender";
    App "webhook.keep-too-long": "The old secret cannot be kept that long", "it is over the limit", "choose a shorter time";
    App "webhook.malformed": "The delivery's payload is not what its event has", "it is no JSON, or of another provider", "send it as application/json, and choose the right provider";
    App "webhook.no-delivery-id": "The delivery has no id", "without one its repetition cannot be told", "send an id with each delivery";
    App "webhook.no-event": "The delivery does not say which event it is", "a header is missing", "choose the right provider at `windlass webhook create --provider`";
    Host "webhook.no-randomness": "No secret could be made", "/dev/urandom is missing", "check the machine";
    App "webhook.no-repository": "It is not known which repository the project is deployed from", "neither the webhook names one, nor was one deployed", "deploy it once, or make the webhook with --repository";
    App "webhook.no-statuses": "Commit statuses are not reported to this provider", "they are reported to github and gitlab", "leave --status out";
    App "webhook.not-found": "There is no such webhook", "it was deleted, or belongs to another project", "`windlass webhook list` shows the project's webhooks";
    App "webhook.not-repeatable": "The delivery cannot be repeated", "its payload is not kept", "let the sender send it again";
    App "webhook.other-repository": "The delivery is about another repository", "the project is deployed from another one", "correct the webhook at the sender, or make it with --repository";
    App "webhook.pattern-invalid": "That is not a pattern", "see the message", "use a name such as main, or a pattern such as release/*";
    App "webhook.replayed": "The delivery came before", "its id or signature was already taken", "nothing need be done; `windlass webhook redeliver` repeats one on purpose";
    App "webhook.signature-missing": "The delivery is not signed", "its header is missing", "enter the webhook's secret at the sender";
    App "webhook.signature-wrong": "The delivery's signature is wrong", "it does not fit the body and any secret of this webhook", "enter the secret at the sender; `windlass webhook rotate` gives a new one";
    App "webhook.timestamp-off": "The delivery is too old, or comes from the future", "the clocks differ, or it was held back", "set the clocks of both machines";
    App "webhook.too-slow": "The delivery's body did not come in time", "the sender or the network is slow", "send it again";

    // windlass.toml.
    App "settings.app-dir-missing": "The application's folder is not there", "`build.app_dir` names a folder that the source does not have", "correct `build.app_dir` in windlass.toml";
    Warning "settings.ignored": "A setting has no effect", "what was built has no use for it: a static site runs nothing, workers have no port, finished files need no installation", "remove it, or set `build.framework` to what is to run";
    App "settings.only-in-file": "A setting can be set in windlass.toml alone", "it is read of each commit, before there is a deployment that an environment's settings could be in force for", "set it in windlass.toml, for one environment under [environments.NAME]";
    App "settings.secret-in-file": "A secret is written into windlass.toml", "the file is part of the source, which others can read", "remove it, and set it with `windlass env set --secret NAME=value`";
    App "settings.syntax": "windlass.toml is no valid TOML", "the line that the message names cannot be read", "correct the line; https://toml.io shows the syntax";
    App "settings.unknown-key": "windlass.toml has an unknown key", "no key is ever ignored, so that a typing error is noticed", "use the nearest key, which the message names";
    App "settings.unreadable": "windlass.toml cannot be read", "it is no regular UTF-8 file", "make it a text file";
    App "settings.wrong-value": "A setting has a value that cannot be used", "the message says what is expected", "correct the key in windlass.toml";

    // fetch.
    App "fetch.deadline": "Fetching took too long", "the step's time was over", "check the network to the repository, or raise `fetch_s` in the limits file";
    Host "disk.interrupted": "Measuring the disk was cut off", "Windlass was shutting down, or a defect", "try again; if it happens again, report it with the host's log";
    App "export.no-such-output": "The build has no such output", "its plan has outputs of other names, or several", "name one of those that the message lists: `windlass build --from OUTPUT`";
    Host "fetch.workspace": "The workspace could not be removed", "the disk refused", "check the data directory's disk and permissions";
    App "source.archive-invalid": "The archive cannot be read", "it is damaged, or of a kind that is not supported", "send a tar, tar.gz, tar.zst or zip";
    App "source.archive-unsafe-entry": "The archive has an unsafe entry", "an entry or link leads outside, or is a device", "pack it again without that entry";
    App "source.authentication-required": "The repository wants to know who is asking", "it is private, or does not exist", "check the address, or set a token with --git-token-env";
    App "source.branch-deleted": "The branch does not exist any more", "an earlier deployment was made of it; since then it was deleted or renamed", "deploy another one with --ref; what is live goes on serving";
    App "source.path-filter-invalid": "A glob of `deploy.paths` is not valid", "it cannot be read", "correct it, for instance paths = [\"apps/web/**\"]";
    App "source.repository-private": "The repository is not public any more", "an earlier deployment fetched it without a token; now it asks for credentials", "make a token that may read it and store it: `windlass project token`";
    App "source.cancelled": "Fetching was cancelled", "the deployment was cancelled", "deploy again";
    Host "source.fetch-failed": "Git could not fetch the repository", "git's own words are in the log", "run `git ls-remote` with the same address on this machine";
    Host "source.git-missing": "Git is not installed on this machine", "repositories are fetched with the program `git`", "run `apt-get install git`";
    Host "source.host-failed": "The source could not be stored", "the disk refused", "check space and permissions of the data directory";
    Warning "source.lfs-pointers": "Files of Git LFS are pointers only", "large files are not fetched", "see the message for the files";
    App "source.reference-invalid": "That is no name of a branch, tag or commit", "it has characters that Git does not allow", "correct --ref";
    App "source.reference-not-found": "There is no such branch, tag or commit", "it was not pushed, or was deleted", "push it, or name another with --ref";
    App "source.repository-not-found": "There is no repository at the address", "the address is wrong, or the repository is private", "check the address, or set a token with --git-token-env";
    App "source.submodule-refused": "A submodule cannot be fetched", "its address in .gitmodules is missing or not allowed, or there are too many", "correct it with `git submodule set-url`, commit and push";
    App "source.lfs-missing": "Files are only pointers of Git LFS", "their contents lie on an LFS server, from which Windlass does not fetch", "put them into the repository, or say `lfs = false` under [build] in windlass.toml";
    App "source.token-in-clear": "The Git token is not sent over http", "everyone on the way could read it", "use the repository's https address, or remove the token";
    Host "source.ssh-missing": "ssh-keygen could not be run", "it is not installed", "install openssh-client";
    App "source.host-key-changed": "The repository's host shows another SSH key", "its key was replaced, or someone else answers in its place", "compare it with the one that the service publishes, then `windlass project deploy-key forget-host HOST`";
    App "source.deploy-key-rejected": "The project's deploy key was rejected", "it is not known there, or may not read the repository", "add the line of `windlass project deploy-key show` to the repository's deploy keys";
    App "source.timed-out": "Fetching took too long", "nothing came for too long", "check the network between this machine and the repository, then redeploy";
    App "source.token-rejected": "The Git token was rejected", "it is wrong, has expired, or may not read this repository", "make a token that may read it, and set it with --git-token-env";
    Warning "source.token-transport": "The token was not used", "tokens are for https addresses only", "use the https address";
    App "source.too-large": "The source is too large", "it is over `source_bytes_max` or `source_files_max`", "remove what is not needed, or raise the limit in the limits file";
    App "source.unreachable": "The repository's host could not be reached", "its name is not found, it refuses, or its certificate is not trusted", "check the host name and this machine's network";
    App "source.unreadable": "A plugin cannot read a file of the source", "it is no regular file, is larger than a plugin may read, or leads out of the source; the message says which", "correct the file that the message names";
    Host "source.upload-missing": "The uploaded archive is gone", "its file is not in the data directory any more", "upload it again";
    App "source.url-has-credentials": "The Git address holds credentials", "addresses are shown and logged", "remove them, and give the token with --git-token-env";
    App "source.url-invalid": "That is no Git address", "it has no form that Git knows", "write https://HOST/PATH.git or user@host:path";

    // image. and static.
    Host "layer.io": "A layer of an image could not be read", "the system refused", "check the disk of the data directory, then try again";
    App "layer.unsupported": "An image has something that a layer cannot hold", "a file whose name begins with .wh., or one whose content the kernel keeps elsewhere", "remove or rename it in the build; turn off the kernel's overlay options redirect_dir and metacopy";
    App "artifact.not-found": "There is no such file", "no plugin attached a file of this name to the deployment, or it was pruned with it", "`windlass artifact list` shows what there is";
    Host "artifact.file-unreadable": "An attached file cannot be read", "the system refused", "check the disk and the permissions of `stages` in the data directory";
    App "image.no-artifact": "The deployment has no image", "it was not built to its end, or what it was built into was removed to save space", "choose another, or build it again with `windlass redeploy`";
    App "image.no-such-output": "The deployment has no such output", "another name was given, or it has several and none is the web process's", "name one of its outputs with --image, or with --from of `windlass build`";
    App "image.unknown-format": "There is no such form of an image archive", "the forms are oci and docker", "windlass save <deployment> --output image.tar --format oci";
    Host "image.io": "An image could not be written", "the disk is full, or the system refused", "check the free space, then try again";
    App "image.archive-invalid": "The upload is no archive of an image", "it is neither an OCI layout nor what `docker save` writes, or it is damaged", "make it with `docker save -o image.tar NAME`";
    App "static.no-index": "The bundle has no index.html", "there is none at its root, or in more than one folder", "deploy the folder that holds the built site: windlass deploy --static dist";
    Host "static.unreadable": "The unpacked files cannot be read", "the data directory's disk or permissions", "check them, then deploy again";
    Warning "static.folder-taken": "A folder of the bundle is served as its root", "the bundle has its index.html there", "pack what is in the folder";

    // preflight.
    App "preflight.app-dir-missing": "The application's folder is not in the source", "`build.app_dir` in windlass.toml names it", "correct `build.app_dir`, or push the folder";
    App "preflight.deadline": "Preflight took too long", "the step's time was over", "deploy again; raise `preflight_s` in the limits file if it happens often";
    Host "preflight.disk-floor": "Too little disk space is free", "no deployment starts below `disk_free_bytes_min`, so that what runs is safe", "free disk space, or lower `disk_free_bytes_min` in the limits file";
    Host "preflight.inode-floor": "Too few inodes are free", "no deployment starts below `disk_free_inodes_min`: each file takes one", "remove small files, `windlass disk` says who has them, or lower `disk_free_inodes_min` in the limits file";
    Host "preflight.disk-unknown": "The free disk space could not be read", "the data directory is not readable", "check that it is there and readable";
    Host "preflight.memory-floor": "Too little memory is available", "no deployment starts below `memory_free_bytes_min`, so that what runs is safe", "stop something, add memory, or lower `memory_free_bytes_min` in the limits file";
    Host "preflight.memory-two-versions": "The memory is too little for two versions side by side", "the new version needs about as much as the running one, and a floor must stay free", "set strategy = \"recreate\" under [deploy], add memory, or run fewer instances with `windlass scale`";
    Warning "preflight.settings-of-then": "The environment's settings are not in force", "an older Windlass made the version that is gone back to, and did not note which of its settings stand in windlass.toml", "deploy its commit: `windlass deploy --commit COMMIT`";
    Warning "preflight.settings-without-effect": "Settings have no effect on this kind of source", "nothing is built of an image or of finished files, so that what a build decides cannot be set", "`windlass settings unset KEY`, or leave it: it changes nothing";
    Warning "preflight.domain-elsewhere": "A domain leads to another machine", "its address is none of this machine", "correct its DNS record, unless something in front passes visitors on";
    Warning "preflight.domain-unknown": "A domain has no address", "its name does not resolve", "add a DNS record that leads here";
    App "preflight.incomplete": "Several things are missing", "the message names each", "do what the message says for each; then deploy again";
    Warning "preflight.memory-tight": "Little memory is available", "less than one instance may use", "stop something, or lower `run.memory`";
    App "preflight.service-unreachable": "A service does not answer", "it does not run, or its address is wrong", "start it, or correct its address with `windlass service add`";
    App "preflight.variable-missing": "A required variable is not set", "windlass.toml names it in `required_variables`", "set it: `windlass env set NAME=…`";
    Warning "preflight.variables-unset": "Variables of the example file are not set", "`.env.example` names them", "set those that are needed: `windlass env set NAME=…`";
    Warning "preflight.other-project": "windlass.toml names another project", "the source is deployed as a project of another name", "correct `name` in windlass.toml, or name the project with --project";

    // detect and plan.
    App "detect.deadline": "Detecting took too long", "the step's time was over", "deploy again; raise `detect_s` in the limits file if it happens often";
    Plugin "detect.no-builder": "The plugin that recognised the application cannot build it", "it fills no builder stage", "set `build.framework` in windlass.toml to what another plugin detects";
    App "detect.no-match": "Nothing recognised the application", "no plugin found signs that it knows", "set `build.framework` in windlass.toml, or see the near misses in the message";
    Host "detect.sandbox": "Plugins cannot be run on this machine", "the sandbox did not start", "look at `windlass doctor`";
    App "detect.source-too-large": "The folder is too large to look at", "it has more files or bytes than plugins are shown", "name the application's own folder";
    App "detect.source-unreadable": "The folder cannot be read", "the system refused", "check its permissions";
    App "detect.tie": "Two things were recognised with the same confidence", "Windlass never guesses", "set `build.framework` in windlass.toml to one of them; where two plugins recognise the same, `windlass plugin disable` one of them for the project";
    App "detect.unknown-framework": "`build.framework` names something that no plugin detects", "it was mistyped, or the plugin is not installed", "use one of the ids that the message names";
    Host "detect.workspace": "The source cannot be opened", "the workspace is damaged or gone", "check the data directory's disk, then deploy again";
    App "plan.deadline": "Planning took too long", "the step's time was over", "deploy again; raise `plan_s` in the limits file if it happens often";
    Plugin "plan.invalid": "A plugin gave a plan that cannot be carried out", "it breaks a rule of the contract", "report it to the plugin's author, or set `build.framework` to choose another";
    Plugin "plan.process-without-image": "A plan lets a process run from a static tree", "static trees cannot run commands", "report it to the plugin's author, or set `build.framework` to choose another";

    // Plugins.
    Host "host.plugin-call-failed": "A plugin could not be called", "the host could not make the call", "look at `windlass doctor`; if it finds nothing, report it with the log";
    App "plugin.build-failed": "A plugin does not build", "a tool of its language failed", "mend what it names, and build again";
    App "plugin.context-invalid": "What a plugin is to be told does not read", "a context.toml or the source's settings are not as they should be", "correct it; plugins/README.md lists the keys of a context";
    App "plugin.fixture-invalid": "A fixture cannot be played", "its source is missing, or what is expected of it does not read", "correct the file that is named";
    App "plugin.folder-exists": "The folder of a new plugin is there already", "nothing is written over", "choose another name, or another folder with --folder";
    App "plugin.name-invalid": "It is no name for a plugin", "it has 1 to 40 lower-case letters, digits and hyphens, and begins with a letter", "choose another";
    App "plugin.no-fixtures": "There are no fixtures to test a plugin with", "the folder is missing or empty", "make a folder for each case, with the source in it";
    App "plugin.no-project": "It is no folder of a plugin", "no file in it says what it is built with", "begin one with `windlass plugin new`, or name its folder";
    App "plugin.no-sdk": "There is no SDK where it was named", "the folder is no clone of Windlass", "name the root of a clone with --sdk-path, or leave it out";
    App "plugin.no-such-fixture": "There is no such fixture", "no folder of the fixtures has this name", "name one of those that are listed";
    App "plugin.no-template": "There is no such template", "the SDK of that language has none of that stage", "choose another stage or another language";
    App "plugin.not-built": "There is no component of a plugin", "it was not built", "build it with `windlass plugin build`, or name a .wasm file";
    App "plugin.not-written": "A file of a plugin cannot be written", "the system refused", "check that the folder is yours and that the disk has room";
    App "plugin.several-components": "It is not clear which component is meant", "there are several", "name one of the files, or remove the others";
    App "plugin.stage-not-filled": "A plugin does not fill that stage", "it exports others", "ask one of those that are named, or another plugin; `[[stages]]` of windlass.toml is for plugins with a custom stage";
    App "plugin.tool-missing": "A tool is missing that a plugin is built with", "it is not installed", "install it as the message says";
    App "plugin.ambiguous": "Several indexes have a plugin of this name", "which one is trusted is not for the host to guess", "name the index: INDEX/NAME";
    App "plugin.asks-more": "A new version of a plugin asks for more than the one in use", "what it asks for more is in the message, with its reasons", "upgrade with `--grant` if you want it to do that, or stay with the version in use";
    App "plugin.digest-wrong": "A plugin's file is another one than expected", "its digest is not the one that was asked for", "check which version you want, and where its digest was published";
    App "plugin.exists": "The name of a plugin is taken", "one of this name is installed, or came with Windlass", "upgrade the installed one, or build it under another name";
    App "plugin.fetch-failed": "A plugin could not be fetched", "the server did not answer, or the file is too large", "check the address, or install a file that you downloaded";
    Host "plugin.file-changed": "The file of an installed plugin is another one", "it was changed or exchanged by hand: its digest is not that of plugins.lock", "install it again: `windlass plugin upgrade NAME FILE`";
    Host "plugin.file-gone": "The file of a plugin's version cannot be used", "it could not be loaded when the host was started", "install that version again: `windlass plugin upgrade NAME FILE`";
    Host "plugin.folder": "The folder of plugins cannot be read or written", "the system refused", "check the space and the permissions of `plugins` in the data directory";
    App "plugin.grant-too-large": "A plugin is granted more than this host grants to anyone", "the message names each limit of a call, and its ceiling", "grant less of `limits`, or raise the ceiling in the limits file";
    App "plugin.index-full": "An index has no room for another plugin or version", "an index is bounded in plugins, versions and bytes", "begin another index, or take old versions out";
    App "plugin.index-invalid": "That cannot be an index of plugins", "its name, its address, its key or an entry is not as it should be", "see the message; OPERATIONS.md describes the file";
    App "plugin.index-signature": "The file of an index was not signed by its key", "the file or its signature is another one, or there is no signature", "check with whoever publishes it; `windlass plugin index add` takes another key";
    App "plugin.index-unknown": "There is no such index of plugins", "it was mistyped, or removed before", "`windlass plugin index list` shows them";
    App "plugin.index-unreadable": "An index of plugins cannot be read", "its server did not answer, or the file is no index", "check the address; whoever publishes it mends the file";
    App "plugin.key-invalid": "A key cannot be trusted", "it is neither a public key of minisign nor an ECDSA P-256 key as PEM", "give the text of `minisign.pub` or `cosign.pub`";
    App "plugin.key-unknown": "No such key is trusted", "it was mistyped, or removed before", "`windlass plugin trust` lists them";
    Host "plugin.lock-corrupt": "plugins.lock could not be read", "it was damaged, or changed by hand; it was moved aside, and nothing is granted", "mend the file and move it back while `windlass serve` is stopped, or install the plugins again";
    Host "plugin.lock-newer": "plugins.lock was written by a newer Windlass", "Windlass was replaced by an older version", "upgrade Windlass again, or move the file away and install the plugins again";
    Host "plugin.lock-unreadable": "plugins.lock cannot be read", "the system refused", "check the permissions of `plugins` in the data directory, then restart `windlass serve`";
    Host "plugin.name-taken": "A file for a plugin is not used", "a plugin of its name is installed", "remove the file, or install it with `windlass plugin upgrade`";
    App "plugin.not-found": "There is no such plugin", "none of this name is loaded or installed", "`windlass plugin list` shows them";
    App "plugin.not-granted": "A plugin requires what it is not granted", "nothing is granted by itself", "install it with `--grant`, or `windlass plugin grant`, if you want it to do what the message says";
    App "plugin.not-in-index": "No index has what was named", "the name or the version is in none, or no version fits this Windlass", "`windlass plugin search` shows what there is";
    App "plugin.not-installed": "A plugin was not installed", "it came with Windlass, or its file was put into the folder by hand", "see the message";
    App "plugin.nothing-before": "A plugin has no version before this one", "it was not upgraded since it was installed", "`windlass plugin show NAME` lists its versions";
    App "plugin.options-invalid": "The options of a plugin do not fit", "its schema does not take them; the message names each", "`windlass plugin show NAME` gives its schema";
    App "plugin.options-schema": "The options of a plugin cannot be checked", "the schema in its manifest is no JSON Schema", "report it to its author";
    App "plugin.other-name": "A file is no version of a plugin", "it is another plugin", "install it beside the other one: `windlass plugin install`";
    App "plugin.signature-missing": "A plugin has no signature", "this host installs only what a trusted key signed", "give its signature with `--signature`, or change the policy with `windlass plugin trust`";
    App "plugin.signature-of-another": "The signature of a plugin is of another artifact", "a trusted key made it, and what it names is not what is installed", "ask its author; have the artifact itself signed with `cosign sign --key`";
    App "plugin.signature-unreadable": "The signature of a plugin cannot be read", "what came with the file is no signature, or what lies in the registry under the tag of its signatures is none of `cosign sign --key`", "sign the artifact again, or give the signature of the file with `--signature`";
    App "plugin.signature-wrong": "The signature of a plugin was not made by a trusted key", "it belongs to another file, or nobody trusts its key", "check the file; trust its author's key with `windlass plugin trust --add` if you trust its author";
    App "plugin.url-invalid": "That is no address of a plugin", "only https is fetched, and http with a digest", "give an address that begins with https://";
    App "plugin.version-unknown": "There is no such version of a plugin", "it was not installed here, or is kept no more", "name one that the message lists, or install it";
    Plugin "plugin.invalid-answer": "A plugin's answer is not valid", "the contract does not allow it", "report it to its author; until then set in windlass.toml what it should have decided";
    Host "plugin.missing": "A plugin is not loaded", "its file is gone, or could not be loaded", "see `windlass plugin list`; install it, put its file back, or enable it for the project";
    Host "plugin.none": "There are no plugins", "the folder of bundled plugins is empty or missing", "put them beside the binary, or name their folder with --plugins-dir";
    Plugin "plugin.not-loadable": "A plugin cannot be loaded", "it is damaged, or made for another version of the contract", "install a version that fits this Windlass";
    Plugin "plugin.out-of-memory": "A plugin asked for too much memory", "it is over its limit", "report it to its author, or raise `plugin.memory_bytes_max` in the limits file";
    Plugin "plugin.over-limit": "A plugin used more than it may", "the message names the limit", "report it to its author, or raise the limit that the failure names in the limits file";
    Plugin "plugin.switched-off": "A plugin is switched off for a project", "it failed several times in a row there; the message says when and how", "`windlass plugin enable NAME --project PROJECT` tries it again; another version is asked by itself";
    Plugin "plugin.timed-out": "A plugin had no answer in time", "it computed or waited too long", "report it to its author, or raise `plugin.wall_ms` and `plugin.cpu_ms` in the limits file";
    Plugin "plugin.trapped": "A plugin trapped", "it has a defect; the message carries what it said last", "report it to its author; until then set in windlass.toml what it should have decided, or leave its custom stage out";

    // Bases and images.
    Host "base.assembly-failed": "A base could not be assembled", "the package source is not reached, or misses something", "check that this machine reaches its Debian mirror, then deploy again";
    Host "base.disk-floor": "There is no room on the disk for an image", "less than half of `disk_free_bytes_min` or of `disk_free_inodes_min` would be free, and what runs needs it", "free space: `windlass prune`; or lower `disk_free_bytes_min` or `disk_free_inodes_min` in the limits file";
    Host "base.interrupted": "Making a base was interrupted", "the host was stopped meanwhile", "deploy again";
    Host "base.io": "A base could not be stored", "the disk refused", "check free space and permissions of the data directory";
    Host "base.missing-part": "No base can be assembled", "a program is missing, and no image registry can be used", "run `apt-get install mmdebstrap`, or give this machine access to a registry";
    Host "base.none": "There is no base to resolve", "a defect of Windlass", "report it";
    Host "base.several-toolchains": "There is no image with these toolchains together", "official images have one toolchain each", "let the host assemble bases";
    App "build.name-invalid": "The name for an image is not valid", "it has other characters than small letters, digits and . _ - / :", "give one like shop:1.2, or none: `windlass build --output image`";
    App "build.toolchain-unsupported": "There is no base with that toolchain", "the version that was asked for is not offered", "ask for another one: [build] toolchain in windlass.toml";
    Host "registry.digest-mismatch": "An image is not what its digest says", "something between here and the registry alters data", "try again";
    App "registry.invalid-mirror": "A mirror of a registry is not valid", "it has not the form REGISTRY=ADDRESS", "windlass serve --registry-mirror docker.io=https://mirror.example.org";
    App "registry.invalid-reference": "The name of an image is not valid", "it cannot be read", "write it like registry.example.com/name:tag";
    App "registry.not-found": "There is no such image", "the name or the tag is wrong", "check both";
    Host "registry.protocol": "The registry answered something unexpected", "it is no registry, or a proxy answers for it", "try again; check the address";
    Host "registry.rate-limited": "The registry limits this machine", "too many images were fetched from it", "wait, then try again";
    App "registry.redirect-refused": "A registry leads to a server that is not asked", "its redirect or its token service is inside (this machine, networks behind its bridges, metadata of its cloud), or without TLS", "name another registry; one of your own on this machine has to answer, and to give tokens and layers, under one host name";
    Host "registry.too-slow": "The registry sends a layer too slowly", "it is overloaded, or the line to it is", "try again later, or have the host ask a faster mirror first: `windlass serve --registry-mirror`";
    App "registry.unauthorized": "The registry wants a login", "the image is private, or does not exist", "check the name, or store a login with `windlass registry login`";
    Host "registry.unreachable": "The registry could not be reached", "its name is not found, it does not answer, or it answers that it cannot for now (5xx)", "check this machine's connection and DNS, then try again";
    App "registry.unsupported-platform": "The image is not made for this machine", "it has no variant for the processor", "choose an image that has one";

    // build.
    App "build.app-dir": "The application's folder is not in the source", "`build.app_dir` names it", "correct `build.app_dir`";
    App "build.archive-refused": "An archive was not unpacked", "an entry is unsafe", "pack it again with relative paths, regular files and links that stay inside";
    App "build.cancelled": "The build was cancelled", "the deployment was cancelled", "deploy again";
    App "build.command-failed": "A command of the build failed", "it ended with a status that is not 0; its last lines say why", "run the same command in a clean checkout, correct what it reports, and deploy again";
    App "build.copy-missing": "A file that the build copies is not in the source", "it is not committed, or lies elsewhere", "commit it, and check `build.app_dir`";
    App "build.deadline": "The build took too long", "the step's time was over", "see where it hangs in `windlass logs --step build`, or raise `build_s` in the limits file";
    Host "build.disk-floor": "A build was stopped because the disk is nearly full", "less than half of `disk_free_bytes_min` or of `disk_free_inodes_min` was free, and what runs needs it", "free space: `windlass cache clear`; or lower `disk_free_bytes_min` or `disk_free_inodes_min` in the limits file";
    App "build.disk-full": "A command of the build found no space to write to", "the disk, or a memory file system of the command, is full", "free space on the host (`df -h`, `windlass cache clear`), or write less to memory";
    App "build.disk-limit": "A build was stopped because it wrote too much to the disk", "its steps and cache mounts wrote more than `build.disk_bytes_max`", "let it write less, or raise `build.disk_bytes_max` in the limits file";
    App "build.fetch-digest": "A downloaded file has another digest", "it was changed at its source", "correct the digest, or the address";
    App "build.fetch-failed": "A file could not be downloaded", "its server did not give it", "check the address";
    Warning "build.fetch-unpinned": "A download has no digest", "it may change without notice", "give its sha256";
    App "build.files": "Files of the build cannot be read or written", "the system refused", "see the message for the file";
    Host "build.internal": "A build step ended by a defect of Windlass", "see the message", "report it with the host's log";
    App "build.invalid-mode": "The mode of a copy is not valid", "it is no octal number", "write it like 0644";
    Host "build.io": "The build could not be stored", "the disk refused", "check free space and permissions of the data directory";
    App "build.no-output": "The build left no static tree", "the folder that should hold it is empty or missing", "set `build.output` in windlass.toml to the folder that the build writes";
    Host "build.no-secret-storage": "A secret could not be given to the build", "no tmpfs is mounted to hold it", "mount a tmpfs at /run";
    App "build.no-such-user": "A user or group is not in the base", "/etc/passwd or /etc/group does not list it", "name one that exists, or give its number";
    App "build.out-of-memory": "A command of the build was killed for want of memory", "it used more than `build.memory_bytes_max`", "make the build need less, or raise `build.memory_bytes_max` in the limits file";
    App "build.output-limit": "A command of the build was stopped because it wrote too much output", "it and the commands before it wrote more than `build.output_bytes_max`", "let it say less, or raise `build.output_bytes_max` in the limits file";
    Plugin "build.plan-invalid": "The plan cannot be carried out", "it breaks a rule of the contract", "report it to the plugin's author";
    App "build.process-limit": "A command of the build wanted too many processes", "it was refused processes or threads beyond `build.pids_max`, and failed", "let it start fewer at once, or raise `build.pids_max` in the limits file";
    App "build.secret-missing": "The build needs a variable that is not set", "the plan mounts it as a secret and requires it", "set it: `windlass env set --secret --scope build NAME=value`";
    Warning "build.static-skipped": "Files of the static tree were left out", "only regular files are served", "replace links and devices by files";
    App "build.static-too-large": "The static tree is too large", "it is over the limit", "leave out what need not be served";
    App "build.timed-out": "A command or a download of the build was stopped", "it took longer than `build.command_wall_ms`", "find out what it waits for; a build must not ask questions";

    // Artifacts and containers.
    Host "artifact.missing": "A retained artifact is not complete", "its record or a snapshot of it is gone", "deploy its commit again";
    Host "artifact.unreadable": "An artifact's record cannot be read", "its content is damaged", "deploy its commit again";
    Host "containerd.refused": "containerd refused a call", "its own words are in the message", "run `windlass doctor`, then try again";
    Host "containerd.unavailable": "containerd does not answer", "it does not run, or its socket is elsewhere", "run `windlass doctor`; its own log is containerd/containerd.log in the data directory";
    Host "containerd.unreachable": "containerd is not well", "it does not answer the host", "run `windlass doctor`; it is started again by itself";
    Host "containers.invalid": "A container's description is not valid", "a value breaks a rule", "see the message for the rule";
    App "containers.no-such-user": "A user or group is not in the image", "/etc/passwd or /etc/group does not list it", "name one that exists, or give its number";
    Host "containers.not-found": "A container is not there", "it was removed by someone else", "run `windlass doctor`, then try again";
    App "containers.start-failed": "A command could not be started", "it does not exist in the image, or is not executable", "check the command, and that its file is executable";
    Host "containers.timeout": "A container took too long", "the machine is overloaded, or containerd hangs", "check the load of the machine, then try again";
    Host "content.digest-mismatch": "Content differs from its digest", "the source altered it", "fetch it again";
    Host "content.too-large": "A blob is too large", "it is over what is read", "make it smaller";
    App "network.allow-unresolved": "A host that may be reached has no address", "`network.allow` in windlass.toml names a host that does not resolve on this machine", "correct the name, or give the address";
    Host "network.failed": "A network could not be set up", "netavark or nftables refused", "run `windlass doctor`, then try again";
    Host "network.no-address": "There is no free address", "the environment's subnet is used up", "remove environments that are not needed, or wait for old instances to retire";

    // provision and validate.
    App "provision.deadline": "Provisioning took too long", "the step's time was over", "deploy again; raise `provision_s` in the limits file if it happens often";
    App "validate.deadline": "Validating took too long", "the step's time was over", "raise `validate_s` in the limits file if it needs longer";
    App "validate.boot-failed": "The boot command failed", "`validate.command` ended with a status that is not 0 in the new artifact", "correct what its last lines show, and deploy again; nothing was migrated or started";
    App "validate.boot-timeout": "The boot command took too long", "`validate.timeout` was over", "find out what it waits for, or raise `validate.timeout`";
    App "validate.service-unreachable": "A service does not answer", "it does not run, or its address is wrong", "start it, or correct its address: `windlass service remove NAME`, then `windlass service add NAME`";

    // migrate.
    Warning "migrate.cut": "A running migration was cut off", "the deployment was cancelled or its time was over", "check what it did to the database before the next deployment";
    App "migrate.deadline": "The migration took too long", "the step's time was over", "raise `migrate_s` in the limits file if it needs longer; check what it did to the database";
    App "migrate.failed": "The migration failed", "it ended with a status that is not 0; the running version was not touched", "correct the migration or the database, and deploy again";
    Plugin "migrate.no-such-output": "The migration wants to run in an output that is not there", "the build has no output of that name", "set `migrate.command` in windlass.toml, or report it to the plugin's author";
    App "migrate.out-of-memory": "The migration was killed for want of memory", "it used more than an instance may have", "raise `run.memory` in windlass.toml and deploy again";
    Host "migrate.outcome-unknown": "It is not known whether the migration ran", "the host went down while it was started, and its container is gone", "look into the database, then deploy again; a migration is never run twice by itself";
    Warning "migrate.several": "Several migration tools were found, and none was run", "Windlass does not guess which", "set `migrate.command` in windlass.toml to the one to run, or to false";

    // start and check.
    App "app.certificate-untrusted": "A certificate is not trusted", "the other end's certificate is not signed by an authority that is trusted here", "install the authority's certificate on this machine, or give the application its file in SSL_CERT_FILE or NODE_EXTRA_CA_CERTS";
    App "app.command-not-found": "A command is not in the image", "the package that brings it is not installed, or its name is wrong", "add the package to the dependencies, or correct the command in windlass.toml";
    App "app.connection-refused": "A connection was refused", "nothing listens at the address that the application dials", "start what should answer there, or correct the address in the variables";
    App "app.database-login": "The database refused the login", "the user or the password is wrong", "correct the variable that holds the address: `windlass env set --secret DATABASE_URL=…`";
    App "app.database-missing": "The database is not there", "the server has no database of that name", "create it, or correct the name at the end of the address";
    App "app.disk-full": "A file system is full", "the command wrote more than there is space", "look at `df -h` on this machine; /dev/shm and /tmp of a container are small";
    App "app.exec-format": "A program cannot be executed", "the file is made for another processor or system, or is no program at all", "build it for this machine, and do not commit binaries of another one";
    App "app.library-missing": "A shared library is missing", "the image does not have a library that the program is linked with", "use a package that brings its own binary for this system, or a base that has the library";
    App "app.name-not-found": "A host name is not found", "it does not resolve from inside the environment", "correct the address in the variables (`windlass env list`), or make the service known with `windlass service add`";
    App "app.permission-denied": "The application may not use a file", "its user may not read, write or execute it", "make programs executable in the repository (`git update-index --chmod=+x FILE`); write below the application's own folder or /tmp";
    App "app.port-forbidden": "The application may not listen on its port", "ports below 1024 need root", "let it listen on the port in the variable PORT";
    App "app.port-in-use": "The port is taken already", "something in the same container listens on it", "start one server only";
    App "app.variable-missing": "A variable is not set", "the program asks for it and ends without it", "set it: `windlass env set NAME=…`, and name it in `run.required_variables`";
    App "check.finished": "An instance ended with status 0 instead of serving", "its command did its work and ended", "let `run.command` be the server itself, in the foreground";
    App "check.not-found": "The health check was answered with 404", "the path that is asked is none of the application's", "set `health.path` in windlass.toml to a path that answers 200";
    App "check.too-slow": "The application accepts connections and does not answer", "its first answer takes longer than a try may", "find out what it waits for, or raise `health.timeout`";
    App "check.deadline": "The health check took too long", "the step's time was over", "raise `check_s` in the limits file, above `health.timeout`";
    App "check.exited": "An instance ended instead of serving", "its process ended by itself", "correct the cause that its last lines show, and deploy again";
    App "check.failed": "An instance is not healthy", "the health check says so", "see `windlass logs --step check`";
    App "check.loopback-only": "The application listens on 127.0.0.1 only", "it cannot be reached from outside its container", "let it listen on 0.0.0.0 (often a setting called host or bind)";
    App "check.never-listened": "The application never answered on its port", "nothing listens there, or it starts too slowly", "let it listen on 0.0.0.0 and the port in PORT, or raise `health.timeout`";
    App "check.out-of-memory": "An instance was killed for its memory", "it used more than its limit while starting", "raise `run.memory` in windlass.toml, or make the application use less";
    App "check.unhealthy": "The health check was answered with the wrong status", "the application answers, and says it is not well", "set `health.path` to a path that answers 200 when it is well, or `health.status`";
    App "check.wrong-port": "The application listens on another port", "it does not read the variable PORT", "let it read PORT, or set `run.port` in windlass.toml";
    // Custom stages.
    App "stages.unknown-stage": "A plugin has no such custom stage", "`stage` in `[[stages]]` names one that the plugin does not declare, or the plugin has none at all", "`windlass plugin show` lists its stages";
    App "stages.wrong-hook": "A stage does not run at that hook", "`at` in `[[stages]]` names a hook that the plugin does not declare for it", "choose one of those that the message names, or leave `at` out";
    App "stages.hook-missing": "It is not said where a stage runs", "it can run at several hooks", "add `at` to it in `[[stages]]`";
    App "stages.deadline": "Custom stages took too long", "all stages at one hook have a limit together, and each try of one in the background has its own", "find out what they wait for, or raise `stages.hook_s`, or `stages.background_s`, in the limits file";
    App "stages.twice": "A stage would run twice at a hook", "two entries of `[[stages]]` mean it", "name stages one by one with `stage`, or remove an entry";
    App "stages.need-unmet": "A stage needs what no stage provides", "the one that provides it is not switched on", "add it to `[[stages]]`";
    App "stages.need-too-late": "A stage needs what comes later", "the one that provides it runs at a later hook", "run the one later or the other earlier, with `at`";
    App "stages.circle": "Stages wait for each other", "each of them needs what another of them provides", "remove one of them, or run it at another hook";
    Host "stages.record-unreadable": "What is known of a deployment's stages cannot be read", "the disk refused, or the file was changed", "check the disk and the permissions of `stages` in the data directory";
    Host "stages.record-not-written": "What became of a stage cannot be written down", "the disk refused or is full", "check the disk and the permissions of `stages` in the data directory";
    App "start.deadline": "Starting took too long", "the step's time was over", "deploy again; raise `start_s` in the limits file if it happens often";
    App "start.before-switch-failed": "A command before the switch failed", "a command of `deploy.before_switch` ended with a status that is not 0; the running version was not touched", "correct what its last lines show, and deploy again";
    Host "start.no-address": "An instance got no address", "its network could not be set up", "run `windlass doctor`, then deploy again";
    App "start.no-command": "There is no command to start", "neither the plan nor the image names one", "set `run.command` in windlass.toml, or give the image a `CMD`";
    Host "start.no-such-output": "A process runs from an output that is not there", "the artifact has no output of that name", "deploy again; if it happens again, report it";

    // switch and finish.
    App "switch.deadline": "Switching took too long", "the step's time was over", "look at proxy.log in the data directory";
    App "switch.instance-ended": "An instance ended before the switch", "it was healthy, then its process ended", "correct the cause that its last lines show, and deploy again";
    Host "switch.proxy-refused": "The proxy refused the new routes", "see the message", "look at proxy.log in the data directory";
    Host "switch.proxy-unreachable": "The proxy does not answer", "it does not run, or hangs", "look at `windlass doctor` and proxy.log; it is started again by itself";
    App "finish.deadline": "Finishing took too long", "the step's time was over", "look at the host's log";
    Host "undo.failed": "Cleaning up did not succeed", "something that the deployment made could not be removed", "follow the message, then restart `windlass serve`, which tries again";

    // The host.
    Host "host.io": "The operating system refused something", "see the message", "check free space and load of the machine";
    Host "host.missing-part": "A program that the host needs is not installed", "see the message", "install it: `windlass doctor` names the package";
    Host "host.no-binary": "The path of this binary is not known", "/proc is not mounted, or the file is gone", "mount /proc, and start windlass from a file that still exists";
    Host "host.no-threads": "The runtime could not be started", "the system gives no threads", "raise the limit of processes";
    Host "host.not-root": "Containers need root", "the process lacks the rights", "run `windlass serve` as root";
    Host "internal.no-caller": "A request has no caller", "a defect of Windlass", "report it";
    Host "internal.randomness": "The system gave no randomness", "/dev/urandom is missing", "check the machine";
    Host "serve.audit-log": "The audit log cannot be opened", "the system refused", "check the data directory's disk and permissions";
    Host "internal.missing-output": "A deployment's record misses something", "a defect of Windlass", "deploy again; if it happens again, report it with `windlass show --json`";
    Host "internal.panic": "Something ended by a defect of Windlass", "see the message", "try again; if it happens again, report it with the host's log";
    Host "internal.stopping": "The host is stopping", "`windlass serve` was told to end", "ask again when it has started";
    Host "events.unreadable": "The events could not be read", "the system refused", "check the data directory's disk and permissions";
    App "logs.bad-pattern": "The search pattern cannot be used", "it is no regular expression, or too large", "correct it, or leave out --regex to search for the text as it is";
    App "logs.bad-place": "A place in the logs is none", "the header Last-Event-ID is no id of an event of these logs", "send back the `id` of the last event as it came, or leave the header out";
    App "logs.bad-time": "A time cannot be read", "it is neither how long ago nor a moment", "write how long ago, as 10m, 1h30m or 2d, or a moment, as 2026-01-31T12:00:00Z";
    Host "logs.unreadable": "The logs could not be read", "the system refused", "ask again; if it stays so, check the disk of the data directory";
    Host "logs.not-writable": "A log could not be written", "the disk refused", "check the data directory's disk and permissions";
    Host "proxy.already-running": "The proxy runs already", "another one holds its control socket", "stop it first";
    Host "proxy.bind": "The proxy cannot listen", "the address is taken or not permitted", "name another with --proxy-listen";
    Host "proxy.control-socket": "The proxy's control socket cannot be made", "the system refused", "check the permissions of its folder";
    Host "proxy.table-file": "The proxy's table cannot be read or written", "the system refused, or the file is damaged", "check the file's disk and permissions";
    Host "proxy.table-version": "The proxy's table is of a newer version", "an older proxy would misread it", "start the newer version";
    Host "proxy.unreachable": "The proxy does not answer", "it does not run, or hangs", "look at proxy.log in the data directory; it is started again by itself";
    Host "prune.stages": "What earlier stages left could not be removed", "the disk refused", "check the permissions of `stages` and `cache/stages` in the data directory";
    Host "prune.logs": "Old logs could not be looked for", "the disk refused", "check the data directory's disk and permissions";
    Host "prune.uploads": "Old uploads could not be removed", "the disk refused", "check the data directory's disk and permissions";
    Host "serve.api-address": "The API cannot listen", "the address is taken or not permitted", "name another with --api-listen";
    Host "serve.api-failed": "The API ended", "the system refused a connection for good", "restart `windlass serve`";
    Host "serve.no-proxy": "The proxy could not be started", "see the message", "look at proxy.log in the data directory";
    Host "serve.sandbox": "Plugins cannot be run on this machine", "the sandbox did not start", "look at `windlass doctor`";
    Host "serve.signals": "Signals cannot be waited for", "the system refused", "restart `windlass serve`";
    Host "serve.token-file": "The file of the API token cannot be read or written", "the system refused", "check the data directory's permissions";
    Host "serve.token-permissions": "Others may read the API token", "its file has the wrong mode", "chmod 600 the file `token`";
    App "teardown.no-host": "There is no host to tear down", "the data directory is not one of Windlass", "name the right one with --data-dir";
    Host "teardown.proxy": "The proxy could not be ended", "see the message", "end it by hand, then run it again";

    // Backups and recovery.
    App "backup.damaged": "A backup is not whole", "a checksum in it does not fit", "use another one (`windlass backup list`), and make a new one";
    Host "backup.failed": "The backup could not be made", "see the message", "check the space and the permissions of `backups` in the data directory, then run `windlass backup create`";
    App "backup.not-found": "There is no such backup", "nothing in the folder of backups has this name", "see `windlass backup list`";
    Host "backup.passphrase-file": "The passphrase for the backups at intervals cannot be read", "the file that `backup_passphrase_file` of the limits names is missing, not readable or empty", "put the passphrase into its first line, or take `backup_passphrase_file` out of the limits file and start `windlass serve` again";
    Host "backup.too-old": "The newest backup is too old", "it is older than twice `backup_every_s` of the limits", "run `windlass backup create`, and see the log of `windlass serve` for why none was made";
    Host "recover.failed": "The recovered state could not be opened", "see the message", "run `windlass recover` again; if it happens again, report it with the log";
    Warning "recover.from-labels": "The deployment was rebuilt from the labels of its containers", "its record was lost, and its settings and plan with it", "deploy again to have them";
    App "recover.no-host": "No host was ever started in the folder", "its file host-id is missing", "name the folder that `windlass serve` uses with --data-dir, or the host with --host";
    App "recover.not-lost": "There is nothing to recover", "the state can be read and holds projects", "start `windlass serve`; to go back to a backup use `windlass restore FILE`";
    Host "recover.set-aside": "The lost state could not be moved aside", "the system refused", "check the permissions of the data directory, then run `windlass recover` again";
    App "restore.interrupted": "The deployment was at work when the backup was made", "how it went on is not known any more", "deploy again: `windlass redeploy`";
    App "restore.no-key": "The backup holds no key, and there is none here", "every variable in it is encrypted with the file secret.key of its host", "put that file into the data directory, and run it again";
    App "restore.other-host": "The data directory is another host's", "the backup is of a host of another id", "restore into an empty folder with --data-dir";
    App "restore.passphrase": "The key in the backup cannot be opened", "the passphrase is missing or wrong", "give the passphrase that the backup was made with: --passphrase-file FILE";

    // The store.
    Host "store.backend": "The state's database failed", "see the message", "check the disk; if it persists, restore the newest verified backup";
    App "store.busy": "Something depends on it", "see the message", "end or delete what depends on it first";
    Host "store.closed": "The store is closed", "the host is shutting down", "start windlass again";
    App "store.conflict": "It was changed by someone else meanwhile", "the record's revision is not the one that was read", "read it again and repeat the change";
    Host "store.corrupt": "A record is damaged", "its bytes are not what was written", "restore the newest verified backup (host/OPERATIONS.md)";
    App "store.domain-taken": "The domain leads elsewhere already", "a host name leads to one environment", "remove it there first";
    App "store.exists": "It exists already", "names are unique", "choose another name, or use the one that is there";
    Host "store.fenced": "A newer deployment has taken over", "an older one can never take an environment back", "nothing need be done";
    Host "store.in-use": "The data directory is in use", "another host holds it", "stop that host first, or use another --data-dir";
    App "store.invalid": "Something is not written as it must be", "see the message for the rule", "correct it";
    Host "store.io": "A file of the state could not be read or written", "the system refused", "check that it exists, is writable and has space";
    Host "store.journal-damaged": "The journal of the state is damaged", "it has lost something that was acknowledged", "put its files back from a copy of the disk, or restore the newest verified backup";
    Host "store.key-file": "The key file cannot be used", "it is no key file", "put the right key file back from its copy";
    Host "store.key-lost": "A value cannot be decrypted", "it was encrypted with another key", "put the key file that encrypted it back, or set the value again";
    Host "store.key-permissions": "Others may read the key file", "its mode is wrong", "chmod 600 the key file";
    App "store.not-found": "It is not stored", "it was mistyped, or was deleted", "check the name; `windlass project list` shows projects";
    Host "store.lost": "The state is gone", "the store is not there, and a new one would not know what runs on this machine", "run `windlass recover`";
    Host "store.open-failed": "The state could not be opened", "see the message", "follow the message";
    Host "store.read-only": "The state takes no changes", "the disk is full, or refused a write", "free space on the data directory's disk; it takes changes again by itself within seconds";
    Host "store.schema-newer": "The state was written by a newer version", "an older program would misread it", "start the newer windlass again, or restore a backup of this version";
    App "store.too-large": "A value is too large", "it is over its limit", "shorten it; large contents belong in files";
    App "store.too-many": "There are too many of something", "it is over its limit", "delete what is no longer needed, or raise the limit";

    // The command line.
    App "cli.archive": "The folder cannot be packed", "a file is not readable, or there is no space for the archive", "make the files readable, or name what is not needed in .gitignore";
    App "cli.no-value": "A variable has no value", "it was not given, and without a terminal nobody can be asked", "give it as NAME=VALUE, or on standard input";
    App "cli.no-address": "An environment has no address", "no domain leads to it", "add one: `windlass domain add HOST`";
    Host "cli.session-lost": "The connection to a command broke off", "the host stopped, or the network failed", "start it again; what it had started was ended with it";
    App "cli.bad-request": "No request can be made", "the address or the token has characters that are not allowed", "check --url and --token";
    App "cli.bad-url": "That is not the address of a host", "an address starts with http:// or https:// and names a host", "give it like `--url http://127.0.0.1:7070`";
    App "cli.dotenv": "The file of variables is not read", "a line is not NAME=VALUE", "write NAME=VALUE, with quotes around values that have spaces or line ends";
    App "cli.bad-time": "A time is not understood", "it has no form that is known", "write it like 2026-01-31T12:00:00Z, or 2h for two hours ago";
    Host "cli.encode": "The request cannot be written as JSON", "a defect of windlass", "report it";
    App "cli.host-unreachable": "No host answers at the address", "it does not run, or listens elsewhere", "start it with `windlass serve`, or name another with --url";
    App "cli.limits": "The limits file cannot be used", "a name is unknown, or a value is no whole number", "use the names of host/OPERATIONS.md";
    Host "cli.not-saved": "An image could not be saved to a file", "the disk is full, the system refused, or the connection was cut", "check the folder and its free space, then run it again";
    App "cli.no-artifact": "The deployment has no file of this name", "another name was given, or it is attached to another deployment", "list them: `windlass artifact list`";
    App "cli.ambiguous-artifact": "Several plugins attached a file of this name", "names are each plugin's own", "say which with --plugin";
    App "cli.no-cron-log": "There is no log of the run", "it was never started, or is not kept any more", "`windlass cron runs NAME` lists the runs";
    App "cli.no-deployment": "The environment has no deployment", "nothing was deployed there yet", "deploy something with `windlass deploy`";
    App "cli.no-project": "It is not clear which project is meant", "neither windlass.toml nor the folder names one", "name it with --project";
    App "cli.no-such-folder": "That is not a folder", "there is nothing, or a file", "name a folder, or a Git address";
    App "cli.not-confirmed": "Nothing was done", "it was not confirmed", "type the name when asked, or give --yes";
    App "cli.nothing-to-cancel": "Nothing runs or waits", "only queued and running deployments can be cancelled", "see `windlass deployments`";
    App "cli.nothing-to-do": "There is nothing to do it with", "no deployment is in the state that it needs", "see `windlass deployments`";
    App "cli.nothing-to-deploy": "There is no file to deploy", "the folder is empty, or everything in it is ignored", "name the project's folder: `windlass deploy PATH`";
    App "cli.setting-not-set": "The setting is not set for the environment", "there is nothing to take back: windlass.toml says it, or nobody", "`windlass settings show` lists what is set";
    App "cli.settings-exist": "windlass.toml exists already", "it may hold settings that are not to be lost", "edit it, or write over it with --force";
    App "cli.settings-unreadable": "windlass.toml cannot be read", "see the message", "correct the file, or name the project with --project";
    Host "cli.stream-broken": "The log broke off", "the connection to the host ended", "ask again with `windlass logs -f`";
    App "cli.token-unreadable": "The host's token may not be read", "it belongs to the user that runs `windlass serve`", "run as that user (for root: sudo), or set WINDLASS_TOKEN";
    Host "cli.unexpected-answer": "The host's answer is not understood", "another program answers, or the versions differ", "check --url, and that `windlass --version` is the host's";
    App "cli.unreadable": "Something cannot be read", "it is not there, not readable, or no UTF-8 text", "check the file";
    App "cli.usage": "The command line is not understood", "see the message", "see `windlass --help`, or `windlass VERB --help`";
    App "cli.variable-name": "The name of a variable is not valid", "programs could not read it under this name", "use letters, digits and underscores";
    App "cli.waited-too-long": "It is not done yet", "requests in flight are finished first, and a new instance must be healthy", "it goes on there: see `windlass status`, or give --wait-s";
    Host "cli.watch-silent": "The host says nothing about the deployment any more", "its stream of changes ended again and again", "ask with `windlass show`; the deployment itself goes on";
    Host "cli.write": "A file cannot be written", "the system refused", "check the folder's permissions and space";
};
