//! What is counted, as Prometheus reads it: the text format 0.0.4.
//!
//! **Invariant: a sample is one line.** Names of plugins and projects come from an alphabet without quotes, versions
//! from strangers: every value of a label is escaped.

use std::fmt::{Display, Write as _};

use windlass_model::plugin::CallOutcome;
use windlass_model::plugin::account::{PluginStats, PluginUse};

/// The content type.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The metrics of plugins.
pub(crate) fn of_plugins(stats: &PluginStats) -> String {
    let mut page = Page::default();
    page.family("windlass_plugin_calls_total", "counter", "Calls of plugins by how they ended");
    for row in &stats.plugins {
        for outcome in CallOutcome::ALL {
            let labels = format!("{},outcome=\"{}\"", of(row), outcome.as_str());
            let count = row.totals.outcomes.get(&outcome).copied().unwrap_or_default();
            page.sample(&labels, count);
        }
    }
    page.of_rows(
        ("windlass_plugin_cached_answers_total", "counter", "Answers from the cache"),
        &stats.plugins,
        |row| row.totals.cached.to_string(),
    );
    page.of_rows(
        ("windlass_plugin_call_seconds_total", "counter", "Wall clock of calls"),
        &stats.plugins,
        |row| seconds(row.totals.took_us, 1_000_000),
    );
    page.of_rows(
        ("windlass_plugin_call_seconds_max", "gauge", "Wall clock of the longest call"),
        &stats.plugins,
        |row| seconds(row.totals.took_us_max, 1_000_000),
    );
    page.of_rows(
        ("windlass_plugin_cpu_seconds_total", "counter", "CPU time of calls"),
        &stats.plugins,
        |row| seconds(row.totals.cpu_ms, 1_000),
    );
    page.of_rows(
        ("windlass_plugin_memory_peak_bytes", "gauge", "Most memory that one call held"),
        &stats.plugins,
        |row| row.totals.memory_peak_bytes.to_string(),
    );
    page.of_rows(
        ("windlass_plugin_log_dropped_bytes_total", "counter", "Log bytes over the limit"),
        &stats.plugins,
        |row| row.totals.log_bytes_dropped.to_string(),
    );
    let asked = "Commands and requests that plugins asked the host for";
    page.family("windlass_plugin_host_calls_total", "counter", asked);
    for row in &stats.plugins {
        let calls = row.totals.host_calls;
        for (kind, count) in [("exec", calls.exec), ("http", calls.http)] {
            page.sample(&format!("{},kind=\"{kind}\"", of(row)), count);
        }
    }
    page.of_rows(
        ("windlass_plugin_denied_total", "counter", "Wishes of plugins that were denied"),
        &stats.plugins,
        |row| row.totals.host_calls.denied.to_string(),
    );
    let off = "1 for each plugin that is switched off for a project because it kept failing";
    page.family("windlass_plugin_switched_off", "gauge", off);
    for off in &stats.switched_off {
        let labels = format!(
            "project=\"{}\",plugin=\"{}\",version=\"{}\",stage=\"{}\"",
            escaped(off.project.as_str()),
            escaped(&off.plugin),
            escaped(&off.version),
            off.stage.as_str()
        );
        page.sample(&labels, 1);
    }
    page.text
}

#[derive(Default)]
struct Page {
    text: String,
    name: &'static str,
}

impl Page {
    fn family(&mut self, name: &'static str, kind: &str, help: &str) {
        self.name = name;
        // Writing to a string does not fail.
        let _ = write!(self.text, "# HELP {name} {help}.\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, labels: &str, value: impl Display) {
        let _ = writeln!(self.text, "{}{{{labels}}} {value}", self.name);
    }

    /// A family with one sample for each row.
    fn of_rows(
        &mut self,
        (name, kind, help): (&'static str, &str, &str),
        rows: &[PluginUse],
        value: impl Fn(&PluginUse) -> String,
    ) {
        self.family(name, kind, help);
        for row in rows {
            self.sample(&of(row), value(row));
        }
    }
}

/// The labels that all have: what tells a row from the others.
fn of(row: &PluginUse) -> String {
    format!(
        "plugin=\"{}\",version=\"{}\",digest=\"{}\",stage=\"{}\"",
        escaped(&row.plugin),
        escaped(&row.version),
        row.digest.short(),
        row.stage.as_str()
    )
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// A decimal of a count of parts, exactly: 1 234 thousandths are `1.234`.
fn seconds(count: u64, parts: u64) -> String {
    let digits = parts.to_string().len() - 1;
    format!("{}.{:0digits$}", count / parts, count % parts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_total_is_a_sample_and_no_version_breaks_a_line() {
        let stats = json!({
            "plugins": [{
                "plugin": "scan", "version": "1\"\n2", "digest": format!("sha256:{}", "ab".repeat(32)),
                "stage": "custom", "calls": 3, "cached": 1, "took_us": 1_500_000, "took_us_max": 40,
                "cpu_ms": 15, "memory_peak_bytes": 4096, "log_bytes": 5, "log_bytes_dropped": 7,
                "outcomes": { "answered": 2, "trapped": 1 },
                "host_calls": { "exec": 4, "http": 5, "denied": 6 },
            }],
            "switched_off": [],
        });
        let text = of_plugins(&serde_json::from_value(stats).unwrap());
        let labels = r#"plugin="scan",version="1\"\n2",digest="abababababab",stage="custom""#;
        for sample in [
            format!("windlass_plugin_calls_total{{{labels},outcome=\"answered\"}} 2"),
            format!("windlass_plugin_calls_total{{{labels},outcome=\"trapped\"}} 1"),
            format!("windlass_plugin_calls_total{{{labels},outcome=\"refused\"}} 0"),
            format!("windlass_plugin_cached_answers_total{{{labels}}} 1"),
            format!("windlass_plugin_call_seconds_total{{{labels}}} 1.500000"),
            format!("windlass_plugin_call_seconds_max{{{labels}}} 0.000040"),
            format!("windlass_plugin_cpu_seconds_total{{{labels}}} 0.015"),
            format!("windlass_plugin_memory_peak_bytes{{{labels}}} 4096"),
            format!("windlass_plugin_log_dropped_bytes_total{{{labels}}} 7"),
            format!("windlass_plugin_host_calls_total{{{labels},kind=\"http\"}} 5"),
            format!("windlass_plugin_denied_total{{{labels}}} 6"),
        ] {
            assert!(text.lines().any(|line| line == sample), "{sample}:\n{text}");
        }
        let families = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(families, 10);
    }
}
