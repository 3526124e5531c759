//! A measured figure and its bar.

use std::fmt::Write as _;

/// Something that was measured.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub what: String,
    pub measured: f64,
    pub unit: &'static str,
    /// The most that it may be; `None` is told for information.
    pub bar: Option<f64>,
    /// How often it was measured, and what else belongs to it.
    pub note: String,
}

impl Figure {
    pub(crate) fn holds(&self) -> bool {
        self.bar.is_none_or(|bar| self.measured <= bar)
    }
}

/// The figures as a table in Markdown.
pub(crate) fn table(figures: &[Figure]) -> String {
    let mut text = String::from("| figure | measured | bar | | notes |\n|---|---|---|---|---|\n");
    for figure in figures {
        let bar = figure.bar.map_or_else(String::new, |bar| match bar < 10.0 {
            true => format!("≤ {bar:.1} {}", figure.unit),
            false => format!("≤ {bar:.0} {}", figure.unit),
        });
        let digits = if figure.unit == "×" { 2 } else { 1 };
        let holds = match figure.bar {
            None => "",
            Some(_) if figure.holds() => "holds",
            Some(_) => "MISSED",
        };
        let _ = writeln!(
            text,
            "| {} | {:.*} {} | {bar} | {holds} | {} |",
            figure.what, digits, figure.measured, figure.unit, figure.note
        );
    }
    text
}

/// The median; of an even number, the lower of the two in the middle.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which 99 of 100 lie.
pub(crate) fn p99(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(f64::NAN)
}
