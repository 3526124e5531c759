//! What is wrong with a Dockerfile: always with the line, the instruction and the way out.

use windlass_sdk::PluginError;

/// A result with a place in it.
pub(crate) type Found<T> = Result<T, Problem>;

/// Something that keeps the file from being built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    /// `dockerfile.syntax`
    pub(crate) code: &'static str,
    /// Line in the file, from 1; 0 for the file as a whole.
    pub(crate) line: usize,
    /// `RUN`, `COPY --link`; empty for none.
    pub(crate) instruction: String,
    /// What is wrong.
    pub(crate) what: String,
    /// What the person can do.
    pub(crate) fix: String,
    /// Whether another try may help.
    pub(crate) passing: bool,
}

impl Problem {
    /// A problem whose place is filled in by whoever knows it.
    pub(crate) fn new(code: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        let (instruction, what, fix) = (String::new(), what.into(), fix.into());
        Self { code, line: 0, instruction, what, fix, passing: false }
    }

    /// Text that cannot be read.
    pub(crate) fn syntax(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new("dockerfile.syntax", what, fix)
    }

    /// Something that is well written and not done here.
    pub(crate) fn unsupported(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::new("dockerfile.unsupported", what, fix)
    }

    /// In this line, unless a nearer place is known.
    #[must_use]
    pub(crate) fn at(mut self, line: usize, instruction: &str) -> Self {
        if self.line == 0 {
            self.line = line;
            instruction.clone_into(&mut self.instruction);
        }
        self
    }

    /// As the contract's error, for the file of this name.
    pub(crate) fn error(self, file: &str) -> PluginError {
        let place = match self.line {
            0 => file.to_owned(),
            line => format!("{file} line {line}"),
        };
        let instruction = if self.instruction.is_empty() {
            String::new()
        } else {
            format!("{}: ", self.instruction)
        };
        let error = PluginError::new(self.code, format!("{place}: {instruction}{}", self.what))
            .hint(self.fix);
        if self.passing { error.retryable() } else { error }
    }
}

/// The nearest of some names, where one is near.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_lowercase();
    let scored = known.into_iter().map(|one| (distance(&name, &one.to_ascii_lowercase()), one));
    let (slips, one) = scored.min_by_key(|(slips, _)| *slips)?;
    let allowed = if name.chars().count() < 4 { 1 } else { 2 };
    (slips > 0 && slips <= allowed).then_some(one)
}

/// Insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut least =
                (rows[i - 1][j] + 1).min(rows[i][j - 1] + 1).min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = least;
        }
    }
    rows[a.len()][b.len()]
}
