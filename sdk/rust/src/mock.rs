//! What a host grants to custom stages, natively: commands and requests are answered as the test says,
//! everything else is kept to be looked at. What the test gives no answer for is denied, as it is where
//! nothing was granted.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use crate::annotations::{Annotation, AnnotationError};
use crate::artifacts::{Artifact, ArtifactError};
use crate::cache::CacheError;
use crate::exec::{Batch, Command, ExecError, Exit, Line, Pipe};
use crate::http::{HttpError, Request, Response};
use crate::{annotations, artifacts, cache, exec, http};

/// What the test says before a call.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    /// Beginning of the command line, and its answer; the first that fits is taken.
    pub(crate) commands: Vec<(Vec<String>, Result<Exit, ExecError>)>,
    /// Method and beginning of the URL, and its answer; the first that fits is taken.
    pub(crate) requests: Vec<(String, String, Result<Response, HttpError>)>,
    pub(crate) cache: BTreeMap<String, Vec<u8>>,
    /// Capabilities that were not granted.
    pub(crate) denied: BTreeSet<String>,
}

/// What a call has done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Done {
    pub(crate) artifacts: Vec<(Artifact, Vec<u8>)>,
    pub(crate) annotations: Vec<Annotation>,
    pub(crate) commands: Vec<Command>,
    pub(crate) requests: Vec<Request>,
    pub(crate) cache: BTreeMap<String, Vec<u8>>,
}

thread_local! {
    static ANSWERS: RefCell<Answers> = RefCell::default();
    static DONE: RefCell<Done> = RefCell::default();
}

/// Runs `f` with these answers; what it has done comes back with its value.
pub(crate) fn with<T>(answers: Answers, f: impl FnOnce() -> T) -> (T, Done) {
    DONE.set(Done { cache: answers.cache.clone(), ..Done::default() });
    ANSWERS.set(answers);
    let value = f();
    ANSWERS.take();
    (value, DONE.take())
}

/// Why a capability is denied, if it is.
fn denied(capability: &str) -> Option<String> {
    let is = ANSWERS.with_borrow(|answers| answers.denied.contains(capability));
    is.then(|| format!("{capability} is not granted"))
}

pub(crate) fn run(command: &Command) -> Result<Exit, ExecError> {
    let denied = |message| ExecError { reason: exec::Reason::Denied, message };
    if let Some(why) = self::denied("exec") {
        return Err(denied(why));
    }
    DONE.with_borrow_mut(|done| done.commands.push(command.clone()));
    let found = ANSWERS.with_borrow(|answers| {
        let fits = |(begin, _): &&(Vec<String>, _)| command.argv.starts_with(begin);
        answers.commands.iter().find(fits).map(|(_, answer)| answer.clone())
    });
    found.unwrap_or_else(|| Err(denied(format!("no answer was given for {:?}", command.argv))))
}

pub(crate) fn spawn(command: &Command) -> Result<Process, ExecError> {
    let exit = run(command)?;
    let mut lines = Vec::new();
    for (pipe, bytes) in [(Pipe::Stdout, &exit.stdout_tail), (Pipe::Stderr, &exit.stderr_tail)] {
        let text = String::from_utf8_lossy(bytes).into_owned();
        lines.extend(text.lines().map(|text| Line { pipe, text: text.to_owned() }));
    }
    Ok(Process { exit, lines, taken: Cell::new(0) })
}

/// A command that has ended, whose lines are taken one after another.
#[derive(Debug)]
pub(crate) struct Process {
    exit: Exit,
    lines: Vec<Line>,
    taken: Cell<usize>,
}

impl Process {
    pub(crate) fn next_lines(&self, lines_max: u32, _wait_ms: u32) -> Batch {
        let left = &self.lines[self.taken.get()..];
        let count = if lines_max == 0 { left.len() } else { left.len().min(lines_max as usize) };
        self.taken.set(self.taken.get() + count);
        let ended = self.taken.get() == self.lines.len();
        Batch { lines: left[..count].to_vec(), ended, dropped: 0 }
    }

    pub(crate) fn wait(&self) -> Exit {
        self.exit.clone()
    }

    pub(crate) fn kill(&self) {
        self.taken.set(self.lines.len());
    }
}

pub(crate) fn fetch(request: &Request) -> Result<Response, HttpError> {
    let denied = |message| HttpError { reason: http::Reason::Denied, message };
    if let Some(why) = self::denied("http") {
        return Err(denied(why));
    }
    DONE.with_borrow_mut(|done| done.requests.push(request.clone()));
    let found = ANSWERS.with_borrow(|answers| {
        let fits = |(method, url, _): &&(String, String, _)| {
            *method == request.method && request.url.starts_with(url)
        };
        answers.requests.iter().find(fits).map(|(_, _, answer)| answer.clone())
    });
    let (method, url) = (&request.method, &request.url);
    found.unwrap_or_else(|| Err(denied(format!("no answer was given for {method} {url}"))))
}

pub(crate) fn attach(artifact: &Artifact, content: &[u8]) -> Result<(), ArtifactError> {
    if let Some(message) = denied("artifacts") {
        return Err(ArtifactError { reason: artifacts::Reason::Denied, message });
    }
    DONE.with_borrow_mut(|done| {
        done.artifacts.retain(|(known, _)| known.name != artifact.name);
        done.artifacts.push((artifact.clone(), content.to_vec()));
    });
    Ok(())
}

pub(crate) fn append(name: &str, content: &[u8]) -> Result<(), ArtifactError> {
    DONE.with_borrow_mut(|done| {
        let found = done.artifacts.iter_mut().find(|(known, _)| known.name == name);
        let (_, bytes) = found.ok_or_else(|| ArtifactError {
            reason: artifacts::Reason::NotFound,
            message: format!("{name} was not attached by this call"),
        })?;
        bytes.extend_from_slice(content);
        Ok(())
    })
}

pub(crate) fn get(key: &str) -> Option<Vec<u8>> {
    if denied("cache").is_some() {
        return None;
    }
    DONE.with_borrow(|done| done.cache.get(key).cloned())
}

pub(crate) fn put(key: &str, value: &[u8]) -> Result<(), CacheError> {
    if let Some(message) = denied("cache") {
        return Err(CacheError { reason: cache::Reason::Denied, message });
    }
    DONE.with_borrow_mut(|done| done.cache.insert(key.to_owned(), value.to_vec()));
    Ok(())
}

pub(crate) fn delete(key: &str) -> Result<(), CacheError> {
    if let Some(message) = denied("cache") {
        return Err(CacheError { reason: cache::Reason::Denied, message });
    }
    DONE.with_borrow_mut(|done| done.cache.remove(key));
    Ok(())
}

pub(crate) fn set(annotation: &Annotation) -> Result<(), AnnotationError> {
    if let Some(message) = denied("annotations") {
        return Err(AnnotationError { reason: annotations::Reason::Denied, message });
    }
    DONE.with_borrow_mut(|done| {
        done.annotations.retain(|known| known.name != annotation.name);
        done.annotations.push(annotation.clone());
    });
    Ok(())
}
