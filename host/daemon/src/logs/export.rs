//! Past logs as a body: one JSON document, JSON lines, or OTLP log records in JSON.
//!
//! **Invariant: a body is made batch by batch**, as it is read by the client.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};
use windlass_model::Stream as LogStream;

use super::merge::{Item, Merge};
use super::query::Format;
use super::sources::Known;

/// A body that is being made.
pub(crate) struct Export {
    merge: Merge,
    known: BTreeMap<u64, Known>,
    format: Format,
    /// Whether each line names its deployment.
    with_number: bool,
    is_begun: bool,
    is_over: bool,
}

impl Export {
    pub(crate) fn new(
        merge: Merge,
        known: BTreeMap<u64, Known>,
        format: Format,
        with_number: bool,
    ) -> Self {
        Self { merge, known, format, with_number, is_begun: false, is_over: false }
    }

    /// The media type of the body.
    pub(crate) fn content_type(&self) -> &'static str {
        match self.format {
            Format::Json => "application/json",
            Format::Jsonl | Format::Otlp => "application/x-ndjson",
        }
    }

    /// The body, piece by piece.
    pub(crate) fn pieces(self) -> impl Stream<Item = std::io::Result<Bytes>> + Send {
        futures::stream::try_unfold(self, |mut export| async move {
            if export.is_over {
                return Ok(None);
            }
            let made = tokio::task::spawn_blocking(move || {
                let piece = export.piece();
                (export, piece)
            });
            let (export, piece) = made.await.map_err(std::io::Error::other)?;
            Ok(Some((Bytes::from(piece), export)))
        })
    }

    fn piece(&mut self) -> String {
        let batch = self.merge.batch();
        self.is_over = !batch.more;
        let mut piece = String::new();
        match self.format {
            Format::Json => {
                piece += if self.is_begun { "" } else { "{\"items\":[" };
                for item in batch.items {
                    piece += if std::mem::replace(&mut self.is_begun, true) { ",\n" } else { "\n" };
                    piece += &self.entry(item);
                }
                // A first batch may find nothing: the head is written then all the same.
                if self.is_over {
                    piece += "]}\n";
                } else if !self.is_begun {
                    piece.clear();
                }
            }
            Format::Jsonl => {
                for item in batch.items {
                    piece += &self.entry(item);
                    piece.push('\n');
                }
            }
            Format::Otlp => {
                if !batch.items.is_empty() {
                    piece = otlp(&batch.items, &self.known).to_string() + "\n";
                }
            }
        }
        piece
    }

    fn entry(&self, mut item: Item) -> String {
        item.entry.number = self.with_number.then_some(item.number);
        serde_json::to_string(&item.entry).unwrap_or_default()
    }
}

/// One `LogsData` message of OTLP in JSON: records by resource, a resource being what wrote them.
pub(crate) fn otlp(items: &[Item], known: &BTreeMap<u64, Known>) -> Value {
    let mut resources: BTreeMap<(u64, String), Vec<Value>> = BTreeMap::new();
    for item in items {
        let writer = item.entry.instance.clone().unwrap_or_default();
        resources.entry((item.number, writer)).or_default().push(record(item));
    }
    let resource = |((number, writer), records): ((u64, String), Vec<Value>)| {
        json!({
            "resource": { "attributes": attributes(known.get(&number), &writer) },
            "scopeLogs": [{
                "scope": { "name": "windlass", "version": env!("CARGO_PKG_VERSION") },
                "logRecords": records,
            }],
        })
    };
    json!({ "resourceLogs": resources.into_iter().map(resource).collect::<Vec<_>>() })
}

fn attribute(key: &str, value: impl Into<String>) -> Value {
    json!({ "key": key, "value": { "stringValue": value.into() } })
}

fn attributes(known: Option<&Known>, writer: &str) -> Vec<Value> {
    let Some(known) = known else { return Vec::new() };
    let process = writer.rsplit_once('.').map_or(writer, |(process, _)| process);
    let service = match process {
        "" | "web" => known.project.to_string(),
        process => format!("{}-{process}", known.project),
    };
    let mut attributes = vec![
        attribute("service.name", service),
        attribute("service.namespace", known.project.as_str()),
        attribute("deployment.environment.name", known.environment.as_str()),
        attribute("deployment.id", known.id.as_str()),
        json!({
            "key": "windlass.deployment.number",
            "value": { "intValue": known.number.to_string() },
        }),
    ];
    if !writer.is_empty() {
        attributes.push(attribute("service.instance.id", format!("{}.{writer}", known.id)));
    }
    attributes.extend(known.commit.as_ref().map(|commit| attribute("service.version", commit)));
    attributes
}

fn record(item: &Item) -> Value {
    let line = &item.entry.line;
    let at = line.at.as_nanosecond().to_string();
    let (stream, severity) = match line.stream {
        LogStream::Stdout => ("stdout", None),
        LogStream::Stderr => ("stderr", None),
        LogStream::Host => ("host", Some((9, "INFO"))),
        LogStream::Plugin => ("plugin", Some((9, "INFO"))),
    };
    let mut attributes = vec![attribute("log.iostream", stream)];
    attributes.extend(item.entry.step.map(|step| attribute("windlass.step", step.as_str())));
    if let Some(dropped) = item.entry.dropped {
        let count =
            |key: &str, n: u64| json!({ "key": key, "value": { "intValue": n.to_string() } });
        attributes.push(count("windlass.dropped.lines", dropped.lines));
        attributes.push(count("windlass.dropped.bytes", dropped.bytes));
    }
    let mut record = json!({
        "timeUnixNano": at,
        "observedTimeUnixNano": at,
        "body": { "stringValue": line.text },
        "attributes": attributes,
    });
    if let Some((number, text)) = severity {
        record["severityNumber"] = number.into();
        record["severityText"] = text.into();
    }
    record
}
