//! YAML, as far as settings files need it: the first document as a JSON value.
//!
//! **Invariant: the answer is no larger than the text warrants.** Aliases are counted like what they
//! stand for, and nesting is bounded: a hostile file ends in an error, never in a full memory.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value};

/// Scalars, lists and mappings that a document may have, aliases resolved.
const NODES_MAX: usize = 20_000;
const DEPTH_MAX: usize = 64;

/// The first document of a text; empty text is null.
///
/// Whole numbers, booleans and null are such; a number with a point stays text, because `3.10` is a
/// version more often than a number. Keys are text. A `<<` merges.
///
/// # Errors
/// What is wrong, with its line.
pub fn parse(text: &str) -> Result<Value, String> {
    parse_within(text, NODES_MAX)
}

/// The same of a document that may have so many scalars, lists and mappings: for lock files, which are longer
/// than settings.
///
/// # Errors
/// What is wrong, with its line.
pub fn parse_within(text: &str, nodes_max: usize) -> Result<Value, String> {
    let mut document = Document { nodes_max, ..Document::default() };
    let mut parser = Parser::new_from_str(text.trim_start_matches('\u{feff}')).keep_tags(true);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let done = matches!(event, Event::DocumentEnd | Event::StreamEnd);
        document.take(event).map_err(|why| format!("{why} in line {}", span.start.line()))?;
        if done {
            break;
        }
    }
    Ok(document.root.unwrap_or(Value::Null))
}

/// What is being put together.
#[derive(Default)]
struct Document {
    root: Option<Value>,
    open: Vec<(Open, usize)>,
    /// Value and number of nodes by anchor.
    anchors: Vec<(usize, Value)>,
    nodes: usize,
    nodes_max: usize,
}

enum Open {
    List(Vec<Value>),
    Map(Map<String, Value>, Option<String>),
}

impl Document {
    fn take(&mut self, event: Event<'_>) -> Result<(), &'static str> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let value = if plain { scalar(&text) } else { Value::String(text.into_owned()) };
                self.put(value, anchor)
            }
            Event::Alias(anchor) => {
                let found = self.anchors.iter().rev().find(|(id, _)| *id == anchor);
                let value = found.map(|(_, value)| value.clone()).ok_or("an alias of nothing")?;
                self.count(size(&value))?;
                self.put(value, 0)
            }
            Event::SequenceStart(anchor, _) => self.begin(Open::List(Vec::new()), anchor),
            Event::MappingStart(anchor, _) => self.begin(Open::Map(Map::new(), None), anchor),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some((Open::List(list), anchor)) => self.put(Value::Array(list), anchor),
                Some((Open::Map(map, _), anchor)) => self.put(Value::Object(map), anchor),
                None => Ok(()),
            },
            Event::Nothing
            | Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(_)
            | Event::DocumentEnd => Ok(()),
        }
    }

    fn begin(&mut self, open: Open, anchor: usize) -> Result<(), &'static str> {
        if self.open.len() >= DEPTH_MAX {
            return Err("it is nested too deeply");
        }
        self.open.push((open, anchor));
        Ok(())
    }

    fn count(&mut self, nodes: usize) -> Result<(), &'static str> {
        self.nodes += nodes;
        if self.nodes > self.nodes_max { Err("it is too large") } else { Ok(()) }
    }

    fn put(&mut self, value: Value, anchor: usize) -> Result<(), &'static str> {
        self.count(1)?;
        if anchor != 0 {
            self.count(size(&value))?;
            self.anchors.push((anchor, value.clone()));
        }
        match self.open.last_mut() {
            None => self.root = Some(value),
            Some((Open::List(list), _)) => list.push(value),
            Some((Open::Map(map, key), _)) => match key.take() {
                None => *key = Some(text_of(&value)),
                Some(name) if name == "<<" => merge(map, value),
                Some(name) => {
                    map.insert(name, value);
                }
            },
        }
        Ok(())
    }
}

/// What the mapping has already is kept.
fn merge(map: &mut Map<String, Value>, value: Value) {
    match value {
        Value::Object(other) => {
            for (key, value) in other {
                map.entry(key).or_insert(value);
            }
        }
        Value::Array(list) => list.into_iter().for_each(|one| merge(map, one)),
        _ => {}
    }
}

fn scalar(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        // A leading zero is part of a name, a port mapping or a mode.
        _ if text.starts_with('0') && text.len() > 1 => Value::String(text.to_owned()),
        _ => text.parse::<i64>().map_or_else(|_| Value::String(text.to_owned()), Value::from),
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(list) => 1 + list.iter().map(size).sum::<usize>(),
        Value::Object(map) => 1 + map.values().map(size).sum::<usize>(),
        _ => 1,
    }
}

/// A scalar as it was written; empty for lists and mappings.
pub fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Bool(on) => on.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_are_read_as_people_write_them() {
        let text = "# c\na: 1\nb: 3.10\nc: 'x # y'\nd: [1, \"2\", yes, null]\ne:\n  - f: |\n      one\n      two\n  - {g: h}\n\"k\": &base {x: true}\nm:\n  <<: *base\n  y: >-\n    folded\n    text\nport: 0755\n80: z\n";
        assert_eq!(
            parse(text).unwrap(),
            json!({
                "a": 1, "b": "3.10", "c": "x # y", "d": [1, "2", "yes", null],
                "e": [{"f": "one\ntwo\n"}, {"g": "h"}], "k": {"x": true},
                "m": {"x": true, "y": "folded text"}, "port": "0755", "80": "z"
            })
        );
        assert_eq!(parse("").unwrap(), Value::Null);
        assert_eq!(parse("---\na: b\n---\nc: d\n").unwrap(), json!({"a": "b"}));
        assert_eq!(
            parse("x: !!python/name:a.b.c\ny: !ENV [A, b]\n").unwrap()["y"],
            json!(["A", "b"])
        );
    }

    #[test]
    fn what_does_not_read_is_named_with_its_line() {
        let error = parse("a: b\n  c: d\n").unwrap_err();
        assert!(error.contains("line 2"), "{error}");
        assert!(parse("a: [").is_err());
    }

    #[test]
    fn hostile_documents_end_in_an_error() {
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let list = vec![format!("*a{}", n - 1); 10].join(", ");
            bomb.push_str(&format!("a{n}: &a{n} [{list}]\n"));
        }
        assert!(parse(&bomb).unwrap_err().contains("too large"));
        let nested = format!("{}{}", "[".repeat(100), "]".repeat(100));
        assert!(parse(&nested).unwrap_err().contains("nested"));
        assert!(parse(&"[".repeat(100_000)).is_err());
        assert!(parse("a: *b").is_err());
    }
}
