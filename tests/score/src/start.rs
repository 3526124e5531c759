//! Start commands, normalised so that two ways to write one command are equal.
//!
//! **Invariant: both sides go through the same rules, and no rule knows a tree.** A rule takes away what
//! does not decide *what* is started: who runs it, where it listens, how it is tuned.

mod decidable;
mod package;
mod rules;
mod words;

pub(crate) use decidable::undecidable;

use crate::corpus::Tree;
use crate::plugins::Planned;

/// A normalised start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// Files that the platform serves, with its own web server.
    Served,
    /// A command, in a folder below the application's.
    Command { folder: String, text: String },
}

impl std::fmt::Display for Start {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Served => write!(f, "(served by the platform)"),
            Self::Command { folder, text } if folder.is_empty() => write!(f, "{text}"),
            Self::Command { folder, text } => write!(f, "{text} (in {folder})"),
        }
    }
}

/// A line on its way to its normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    folder: String,
    text: String,
    served: bool,
}

/// A label's line.
pub(crate) fn of_line(text: &str, tree: &Tree) -> Start {
    normal(Line { folder: String::new(), text: text.trim().to_owned(), served: false }, tree)
}

/// What a plan runs.
pub(crate) fn of_plan(planned: &Planned, tree: &Tree) -> Start {
    match planned {
        Planned::Served => Start::Served,
        Planned::Command { argv, folder } => {
            normal(Line { folder: folder.clone(), text: words::join(argv), served: false }, tree)
        }
    }
}

/// The rules, until none of them changes anything.
fn normal(mut line: Line, tree: &Tree) -> Start {
    for _ in 0..10 {
        let before = line.clone();
        for rule in rules::RULES {
            (rule.apply)(&mut line, tree);
            if line.served {
                return Start::Served;
            }
        }
        if line == before {
            break;
        }
    }
    Start::Command { folder: line.folder, text: line.text }
}

/// Names that say nothing of what a compiled program is: the label's builder, or ours, chose them.
const GENERIC: [&str; 4] = ["out", "app", "server", "main"];
/// Ecosystems whose programs are compiled to a file with a name that the builder may choose.
const COMPILED: [&str; 12] = [
    "go", "rust", "cpp", "c", "swift", "dart", "crystal", "haskell", "zig", "dotnet", "scala",
    "cobol",
];

/// Whether both start the same.
pub(crate) fn same(wanted: &Start, said: &Start, ecosystem: &str) -> bool {
    if wanted == said {
        return true;
    }
    let (Start::Command { text: a, .. }, Start::Command { text: b, .. }) = (wanted, said) else {
        return false;
    };
    let program = |text: &str| {
        let plain = !text.contains(char::is_whitespace) && !text.contains(['$', '|', ';']);
        plain.then(|| text.to_owned())
    };
    let (Some(a), Some(b)) = (program(a), program(b)) else {
        return false;
    };
    let generic = |name: &str| GENERIC.contains(&name);
    COMPILED.contains(&ecosystem) && (a == b || generic(&a) || generic(&b))
}

#[cfg(test)]
mod tests;
