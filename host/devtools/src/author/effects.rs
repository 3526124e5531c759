//! What a host does for a custom stage, on the author's machine: nothing.
//!
//! Commands and requests are answered as the context says; what it gives no answer for is denied, as it is where
//! nothing was granted. Everything else is kept, and is part of the stage's answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use windlass_sandbox::contract::annotations::{self, Annotation, AnnotationError, Tone};
use windlass_sandbox::contract::artifacts::{self, Artifact, ArtifactError};
use windlass_sandbox::contract::cache::{self, CacheError};
use windlass_sandbox::contract::exec::{self, Batch, Command, ExecError, Exit, Line, Pipe};
use windlass_sandbox::contract::http::{self, HttpError, Request, Response};
use windlass_sandbox::{Effects, Process};

/// How commands and requests are answered: part of a context.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Granted {
    /// The first whose words a command begins with answers it.
    commands: Vec<ToldCommand>,
    /// The first whose address a request begins with answers it.
    requests: Vec<ToldRequest>,
    /// What the plugin's cache holds, as text.
    cache: BTreeMap<String, String>,
    /// Capabilities that were not granted: `exec`, `http`, ...
    denied: BTreeSet<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldCommand {
    argv: Vec<String>,
    #[serde(default)]
    code: u32,
    #[serde(default)]
    stdout: String,
    #[serde(default)]
    stderr: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToldRequest {
    method: String,
    url: String,
    #[serde(default = "ok")]
    status: u16,
    #[serde(default)]
    body: String,
}

fn ok() -> u16 {
    200
}

/// Answers, and remembers.
#[derive(Debug, Default)]
pub(super) struct Remembering {
    granted: Granted,
    done: Mutex<Done>,
}

#[derive(Debug, Default)]
struct Done {
    commands: Vec<Value>,
    requests: Vec<Value>,
    artifacts: Vec<(Artifact, Vec<u8>)>,
    annotations: Vec<Annotation>,
    cache: BTreeMap<String, Vec<u8>>,
}

impl Remembering {
    pub(super) fn new(granted: Granted) -> Self {
        let bytes = |(key, text): (&String, &String)| (key.clone(), text.clone().into_bytes());
        let cache = granted.cache.iter().map(bytes).collect();
        Self { granted, done: Mutex::new(Done { cache, ..Done::default() }) }
    }

    fn done(&self) -> MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn denied(&self, capability: &str) -> Option<String> {
        let is = self.granted.denied.contains(capability);
        is.then(|| format!("{capability} is not granted"))
    }

    /// What was done, without what was not.
    pub(super) fn told(&self) -> Map<String, Value> {
        let done = self.done();
        let artifact = |(artifact, content): &(Artifact, Vec<u8>)| {
            json!({
                "name": artifact.name,
                "kind": kind(artifact.kind),
                "media_type": artifact.media_type,
                "title": artifact.title,
                "content": content,
            })
        };
        let annotation = |one: &Annotation| json!({ "name": one.name, "value": one.value, "tone": tone(one.tone), "url": one.url });
        let all: [(&str, Vec<Value>); 4] = [
            ("annotations", done.annotations.iter().map(annotation).collect()),
            ("artifacts", done.artifacts.iter().map(artifact).collect()),
            ("commands", done.commands.clone()),
            ("requests", done.requests.clone()),
        ];
        let given = all.into_iter().filter(|(_, values)| !values.is_empty());
        given.map(|(name, values)| (name.to_owned(), Value::Array(values))).collect()
    }

    fn exit(&self, command: &Command) -> Result<Exit, ExecError> {
        let denied = |message| ExecError { reason: exec::Reason::Denied, message };
        if let Some(why) = self.denied("exec") {
            return Err(denied(why));
        }
        self.done().commands.push(json!(command.argv));
        let fits = |told: &&ToldCommand| command.argv.starts_with(&told.argv);
        let Some(told) = self.granted.commands.iter().find(fits) else {
            let what = format!("the context gives no answer for {:?}", command.argv);
            return Err(denied(what));
        };
        let (stdout, stderr) = (told.stdout.as_bytes(), told.stderr.as_bytes());
        Ok(Exit {
            code: told.code,
            timed_out: false,
            out_of_memory: false,
            took_ms: 1,
            stdout_tail: stdout.to_vec(),
            stderr_tail: stderr.to_vec(),
            stdout_bytes: stdout.len() as u64,
            stderr_bytes: stderr.len() as u64,
        })
    }
}

fn tone(tone: Tone) -> &'static str {
    match tone {
        Tone::Neutral => "neutral",
        Tone::Good => "good",
        Tone::Warning => "warning",
        Tone::Bad => "bad",
    }
}

fn kind(kind: artifacts::Kind) -> &'static str {
    match kind {
        artifacts::Kind::Report => "report",
        artifacts::Kind::Table => "table",
        artifacts::Kind::Image => "image",
        artifacts::Kind::File => "file",
    }
}

#[async_trait]
impl Effects for Remembering {
    async fn run(&self, command: Command) -> Result<Exit, ExecError> {
        self.exit(&command)
    }

    async fn spawn(&self, command: Command) -> Result<Box<dyn Process>, ExecError> {
        let exit = self.exit(&command)?;
        let lines = |pipe: Pipe, bytes: &[u8]| -> Vec<Line> {
            let text = String::from_utf8_lossy(bytes).into_owned();
            text.lines().map(|text| Line { pipe, text: text.to_owned() }).collect()
        };
        let mut all = lines(Pipe::Stdout, &exit.stdout_tail);
        all.extend(lines(Pipe::Stderr, &exit.stderr_tail));
        Ok(Box::new(Ended { exit, lines: all }))
    }

    async fn fetch(&self, request: Request) -> Result<Response, HttpError> {
        let denied = |message| HttpError { reason: http::Reason::Denied, message };
        if let Some(why) = self.denied("http") {
            return Err(denied(why));
        }
        let Request { method, url, body, .. } = &request;
        let sent = String::from_utf8_lossy(body);
        self.done().requests.push(json!({ "method": method, "url": url, "body": sent }));
        let fits = |told: &&ToldRequest| told.method == *method && url.starts_with(&told.url);
        let told = self.granted.requests.iter().find(fits);
        let told =
            told.ok_or_else(|| denied(format!("the context gives no answer for {method} {url}")))?;
        let (status, body) = (told.status, told.body.clone().into_bytes());
        Ok(Response { status, url: request.url, headers: Vec::new(), body })
    }

    async fn attach(&self, artifact: Artifact, content: Vec<u8>) -> Result<(), ArtifactError> {
        if let Some(message) = self.denied("artifacts") {
            return Err(ArtifactError { reason: artifacts::Reason::Denied, message });
        }
        let mut done = self.done();
        done.artifacts.retain(|(earlier, _)| earlier.name != artifact.name);
        done.artifacts.push((artifact, content));
        Ok(())
    }

    async fn append(&self, name: String, content: Vec<u8>) -> Result<(), ArtifactError> {
        let mut done = self.done();
        match done.artifacts.iter_mut().find(|(artifact, _)| artifact.name == name) {
            Some((_, whole)) => {
                whole.extend(content);
                Ok(())
            }
            None => Err(ArtifactError {
                reason: artifacts::Reason::NotFound,
                message: format!("nothing of the name {name} was attached"),
            }),
        }
    }

    async fn cached(&self, key: String) -> Option<Vec<u8>> {
        self.done().cache.get(&key).cloned()
    }

    async fn cache(&self, key: String, value: Option<Vec<u8>>) -> Result<(), CacheError> {
        if let Some(message) = self.denied("cache") {
            return Err(CacheError { reason: cache::Reason::Denied, message });
        }
        let mut done = self.done();
        match value {
            Some(value) => done.cache.insert(key, value),
            None => done.cache.remove(&key),
        };
        Ok(())
    }

    async fn annotate(&self, annotation: Annotation) -> Result<(), AnnotationError> {
        if let Some(message) = self.denied("annotations") {
            return Err(AnnotationError { reason: annotations::Reason::Denied, message });
        }
        let mut done = self.done();
        done.annotations.retain(|earlier| earlier.name != annotation.name);
        done.annotations.push(annotation);
        Ok(())
    }
}

/// A command that has ended, whose lines are taken one after another.
struct Ended {
    exit: Exit,
    lines: Vec<Line>,
}

#[async_trait]
impl Process for Ended {
    async fn next_lines(&mut self, lines_max: u32, _wait_ms: u32) -> Batch {
        let wanted = usize::try_from(lines_max).ok().filter(|max| *max > 0);
        let count = wanted.unwrap_or(usize::MAX).min(self.lines.len());
        let lines = self.lines.drain(..count).collect();
        Batch { lines, ended: self.lines.is_empty(), dropped: 0 }
    }

    async fn wait(&mut self) -> Exit {
        self.exit.clone()
    }

    async fn kill(&mut self) {
        self.lines.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembering(text: &str) -> Remembering {
        Remembering::new(toml::from_str(text).unwrap())
    }

    fn command(argv: &[&str]) -> Command {
        Command {
            place: exec::Place::Output("app".into()),
            argv: argv.iter().map(|word| (*word).to_owned()).collect(),
            cwd: None,
            env: vec![],
            variable_names: vec![],
            stdin: vec![],
            timeout_ms: 0,
            tail_bytes_max: 0,
            quiet: false,
        }
    }

    #[tokio::test]
    async fn a_command_is_answered_by_its_beginning_and_others_are_denied() {
        let text = "commands = [{ argv = [\"npm\", \"audit\"], code = 1, stdout = \"one\\ntwo\" }]";
        let effects = remembering(text);
        let exit = effects.run(command(&["npm", "audit", "--json"])).await.unwrap();
        assert_eq!((exit.code, exit.stdout_bytes), (1, 7));
        let mut process = effects.spawn(command(&["npm", "audit"])).await.unwrap();
        assert!(!process.next_lines(1, 0).await.ended);
        let batch = process.next_lines(0, 0).await;
        assert!(batch.ended && batch.lines[0].text == "two");
        let denied = effects.run(command(&["rm"])).await.unwrap_err();
        assert!(denied.message.contains("no answer for [\"rm\"]"), "{}", denied.message);
        assert_eq!(effects.told()["commands"].as_array().unwrap().len(), 3);
    }

    #[tokio::test]
    async fn what_was_done_is_told_and_what_is_denied_is_not_done() {
        let effects = remembering("denied = [\"artifacts\"]\ncache = { seen = \"yes\" }");
        assert!(effects.told().is_empty());
        assert_eq!(effects.cached("seen".into()).await.unwrap(), b"yes");
        let fact = |value: &str| Annotation {
            name: "keys".into(),
            value: value.into(),
            tone: Tone::Good,
            url: None,
        };
        effects.annotate(fact("one")).await.unwrap();
        effects.annotate(fact("none")).await.unwrap();
        let artifact = Artifact {
            name: "a".into(),
            kind: artifacts::Kind::File,
            media_type: "text/plain".into(),
            title: "A".into(),
        };
        effects.attach(artifact, vec![]).await.unwrap_err();
        let told = Value::Object(effects.told());
        let fact = json!([{ "name": "keys", "value": "none", "tone": "good", "url": null }]);
        assert_eq!(told, json!({ "annotations": fact }));
    }
}
