//! The log of a build: masked, passed on, its last lines kept for the failure.
//!
//! **Invariant: a step's lines come in their order, and stand together.** Of steps that are carried out at
//! the same time one is passed on as it comes; what the others say waits for its end. One that says very
//! much meanwhile takes its place, with a line that says so: nothing is dropped and little is held.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use windlass_model::secret::Masker;
use windlass_model::{LogLine, Stream};

use crate::request::LogSink;

/// What is held of a step that waits for its turn.
const HELD_BYTES_MAX: usize = 1 << 20;

/// Where every line of a build goes through. A clone made with [`BuildLog::of_step`] is one step's.
#[derive(Clone)]
pub(crate) struct BuildLog {
    all: Arc<All>,
    tail: Arc<Mutex<VecDeque<LogLine>>>,
    step: Option<usize>,
}

struct All {
    sink: LogSink,
    masker: Masker,
    tail_lines_max: usize,
    turns: Mutex<Turns>,
}

/// Whose turn it is, and what the others have said.
#[derive(Default)]
struct Turns {
    front: Option<usize>,
    steps: BTreeMap<usize, Held>,
}

#[derive(Default)]
struct Held {
    name: String,
    lines: Vec<LogLine>,
    bytes: usize,
    /// Whether it was in front before.
    was_shown: bool,
    ended: bool,
}

impl BuildLog {
    /// A log into this sink that masks these values.
    pub(crate) fn new(sink: LogSink, masker: Masker, tail_lines_max: usize) -> Self {
        let all = All { sink, masker, tail_lines_max, turns: Mutex::default() };
        Self { all: Arc::new(all), tail: Arc::default(), step: None }
    }

    /// The log of one step, which begins.
    pub(crate) fn of_step(&self, place: usize, name: &str) -> Self {
        let mut turns = self.all.turns();
        turns.steps.insert(place, Held { name: name.to_owned(), ..Held::default() });
        if turns.front.is_none() {
            self.all.to_front(&mut turns, place);
        }
        drop(turns);
        Self { all: Arc::clone(&self.all), tail: Arc::default(), step: Some(place) }
    }

    /// The step has ended: its turn goes to another one.
    pub(crate) fn end_step(&self) {
        let Some(place) = self.step else { return };
        let mut turns = self.all.turns();
        if let Some(held) = turns.steps.get_mut(&place) {
            held.ended = true;
        }
        if turns.front == Some(place) {
            turns.steps.remove(&place);
            turns.front = None;
            self.all.next(&mut turns);
        }
    }

    /// A line of Windlass itself.
    pub(crate) fn host(&self, text: impl Into<String>) {
        self.pass(LogLine::now(Stream::Host, text));
    }

    /// A line of a command.
    pub(crate) fn pass(&self, line: LogLine) {
        let masker = &self.all.masker;
        let text = if masker.is_empty() { line.text } else { masker.mask(&line.text) };
        let line = LogLine { text, ..line };
        if line.stream != Stream::Host {
            let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            if tail.len() >= self.all.tail_lines_max {
                tail.pop_front();
            }
            tail.push_back(line.clone());
        }
        self.all.pass(self.step, line);
    }

    /// Forgets the last lines: another command begins.
    pub(crate) fn begin_command(&self) {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The last lines of the present command.
    pub(crate) fn tail(&self) -> Vec<LogLine> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl All {
    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, step: Option<usize>, line: LogLine) {
        let mut turns = self.turns();
        let (Some(place), front) = (step, turns.front) else {
            return (self.sink)(line);
        };
        if front == Some(place) {
            return (self.sink)(line);
        }
        let Some(held) = turns.steps.get_mut(&place) else {
            return (self.sink)(line);
        };
        held.bytes += line.text.len() + size_of::<LogLine>();
        held.lines.push(line);
        if held.bytes > HELD_BYTES_MAX {
            self.to_front(&mut turns, place);
        }
    }

    /// Passes on what a step has said, and from now on what it says.
    fn to_front(&self, turns: &mut Turns, place: usize) {
        if let Some(held) = turns.steps.get_mut(&place) {
            if held.was_shown {
                let text = format!("{} goes on", held.name);
                (self.sink)(LogLine::now(Stream::Host, text));
            }
            held.was_shown = true;
            held.bytes = 0;
            std::mem::take(&mut held.lines).into_iter().for_each(|line| (self.sink)(line));
            turns.front = Some(place);
        }
    }

    /// Those that have ended are told whole; then it is the first one's turn that has not.
    fn next(&self, turns: &mut Turns) {
        let ended: Vec<usize> =
            turns.steps.iter().filter(|(_, held)| held.ended).map(|(place, _)| *place).collect();
        for place in ended {
            self.to_front(turns, place);
            turns.steps.remove(&place);
        }
        turns.front = None;
        if let Some(place) = turns.steps.keys().next().copied() {
            self.to_front(turns, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(secrets: &[&'static str]) -> (BuildLog, impl Fn() -> Vec<String>) {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let copy = Arc::clone(&seen);
        let sink: LogSink = Arc::new(move |line| copy.lock().unwrap().push(line.text));
        let log = BuildLog::new(sink, Masker::new(secrets.iter().copied()), 2);
        (log, move || std::mem::take(&mut *seen.lock().unwrap()))
    }

    #[test]
    fn secrets_are_masked_and_only_the_last_lines_of_the_command_are_kept() {
        let (log, seen) = log(&["hunter2"]);
        log.pass(LogLine::now(Stream::Stdout, "of the command before"));
        log.begin_command();
        for text in ["one", "two", "token hunter2"] {
            log.pass(LogLine::now(Stream::Stderr, text));
        }
        log.host("step 1");
        let tail: Vec<String> = log.tail().into_iter().map(|line| line.text).collect();
        assert_eq!(tail, ["two", "token [secret]"]);
        assert_eq!(seen().len(), 5);
    }

    #[test]
    fn lines_of_steps_at_the_same_time_stand_together() {
        let (log, seen) = log(&[]);
        let (a, b, c) = (log.of_step(0, "a"), log.of_step(1, "b"), log.of_step(2, "c"));
        for n in 1..=2 {
            for (step, name) in [(&c, "c"), (&a, "a"), (&b, "b")] {
                step.pass(LogLine::now(Stream::Stdout, format!("{name}{n}")));
            }
        }
        assert_eq!(seen(), ["a1", "a2"], "the first is passed on as it comes");
        c.end_step();
        assert_eq!(seen(), [] as [&str; 0]);
        a.end_step();
        assert_eq!(seen(), ["c1", "c2", "b1", "b2"], "those that ended first, then as it comes");
        b.host("b3");
        log.host("of no step");
        assert_eq!(seen(), ["b3", "of no step"]);
        b.end_step();
        let d = log.of_step(3, "d");
        d.host("d1");
        assert_eq!(seen(), ["d1"]);
    }

    #[test]
    fn who_says_much_gets_its_turn_and_nothing_is_dropped() {
        let (log, seen) = log(&[]);
        let (a, b) = (log.of_step(0, "step 1/2 a"), log.of_step(1, "step 2/2 b"));
        a.host("a1");
        let text = "x".repeat(HELD_BYTES_MAX / 2);
        for _ in 0..3 {
            b.host(text.clone());
        }
        let lines = seen();
        assert_eq!((lines.len(), lines[0].as_str()), (4, "a1"), "all of b was passed on");
        a.host("a2");
        b.end_step();
        assert_eq!(seen(), ["step 1/2 a goes on", "a2"]);
        a.end_step();
        assert_eq!(seen(), [] as [&str; 0]);
    }

    #[test]
    fn the_last_lines_of_one_step_are_not_anothers() {
        let (log, _) = log(&[]);
        let (a, b) = (log.of_step(0, "a"), log.of_step(1, "b"));
        a.pass(LogLine::now(Stream::Stderr, "of a"));
        b.pass(LogLine::now(Stream::Stderr, "of b"));
        assert_eq!(a.tail().len(), 1);
        assert_eq!(b.tail()[0].text, "of b");
    }
}
