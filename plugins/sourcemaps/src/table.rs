//! The table that is attached: CSV as RFC 4180 writes it.

use windlass_sdk::PluginError;
use windlass_sdk::artifacts::{Artifact, Kind};

/// A table with its head.
#[derive(Debug)]
pub(crate) struct Table(String);

impl Table {
    pub(crate) fn new<const N: usize>(head: [&str; N]) -> Self {
        let mut table = Self(String::new());
        table.row(head);
        table
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        let cells = cells.map(|cell| match cell.contains([',', '"', '\n', '\r']) {
            true => format!("\"{}\"", cell.replace('"', "\"\"")),
            false => cell.to_owned(),
        });
        self.0.push_str(&cells.join(","));
        self.0.push_str("\r\n");
    }

    pub(crate) fn attach(&self, name: &str, title: &str) -> Result<(), PluginError> {
        Artifact::new(name, Kind::Table, "text/csv").title(title).attach(self.0.as_bytes())?;
        Ok(())
    }
}

/// `yes` or `no`.
pub(crate) fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "no" }
}
