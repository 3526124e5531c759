//! The only place that writes to the terminal.

use std::io::{IsTerminal, Read, Write};

/// Width and height of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: usize,
    /// Rows.
    pub rows: usize,
}

/// A style for a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Headings, names.
    Bold,
    /// Side notes.
    Dim,
    /// Good.
    Green,
    /// Bad.
    Red,
    /// Worth a look.
    Yellow,
    /// In progress.
    Cyan,
}

/// Standard input, output and error, or what a test puts in their place.
pub struct Console<'a> {
    out: Box<dyn Write + 'a>,
    err: Box<dyn Write + 'a>,
    stdin: Box<dyn Read + 'a>,
    terminal: Option<Size>,
    stdin_is_terminal: bool,
    color: bool,
    closed: bool,
}

impl Console<'static> {
    /// The process's own. Colour is used on terminals, unless `NO_COLOR` is set or `TERM` is `dumb`.
    pub fn of_process() -> Self {
        let stdout = std::io::stdout();
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let terminal = if stdout.is_terminal() && !dumb { size(&stdout) } else { None };
        Self {
            color: terminal.is_some() && !set("NO_COLOR"),
            terminal,
            out: Box::new(stdout),
            err: Box::new(std::io::stderr()),
            stdin: Box::new(std::io::stdin()),
            stdin_is_terminal: std::io::stdin().is_terminal(),
            closed: false,
        }
    }
}

impl<'a> Console<'a> {
    /// A console without a terminal, on the given streams.
    pub fn plain(out: impl Write + 'a, err: impl Write + 'a, stdin: impl Read + 'a) -> Self {
        Self {
            out: Box::new(out),
            err: Box::new(err),
            stdin: Box::new(stdin),
            terminal: None,
            stdin_is_terminal: false,
            color: false,
            closed: false,
        }
    }

    /// Writes to standard output. An output that is gone (a closed pipe) is nothing to report, but
    /// see [`Self::closed`].
    pub fn out(&mut self, text: &str) {
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        self.closed |= written.is_err();
    }

    /// Writes bytes to standard output as they are.
    pub fn out_bytes(&mut self, bytes: &[u8]) {
        let written = self.out.write_all(bytes).and_then(|()| self.out.flush());
        self.closed |= written.is_err();
    }

    /// Writes bytes to standard error as they are.
    pub fn err_bytes(&mut self, bytes: &[u8]) {
        let _ = self.err.write_all(bytes).and_then(|()| self.err.flush());
    }

    /// Whether nobody reads the output any more: what would go on for ever should end.
    pub fn closed(&self) -> bool {
        self.closed
    }

    /// Writes a line to standard output.
    pub fn line(&mut self, text: &str) {
        self.out(&format!("{text}\n"));
    }

    /// Writes to standard error.
    pub fn err(&mut self, text: &str) {
        let _ = self.err.write_all(text.as_bytes()).and_then(|()| self.err.flush());
    }

    /// Writes a line to standard error.
    pub fn note(&mut self, text: &str) {
        self.err(&format!("{text}\n"));
    }

    /// Everything that standard input still holds.
    ///
    /// # Errors
    /// When it cannot be read, or is not UTF-8.
    pub fn read_stdin(&mut self) -> std::io::Result<String> {
        let mut text = String::new();
        self.stdin.read_to_string(&mut text)?;
        Ok(text)
    }

    /// One line from standard input, without its end.
    ///
    /// # Errors
    /// When it cannot be read, or is not UTF-8.
    pub fn read_line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        let mut byte = [0_u8; 1];
        while self.stdin.read(&mut byte)? == 1 && byte[0] != b'\n' {
            line.push(byte[0]);
        }
        let text = String::from_utf8(line).map_err(std::io::Error::other)?;
        Ok(text.trim_end_matches('\r').to_owned())
    }

    /// One line typed by a person, not shown while typed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read_secret(&mut self, prompt: &str) -> std::io::Result<String> {
        self.err(prompt);
        let hidden = self.stdin_is_terminal.then(EchoOff::new).flatten();
        let line = self.read_line();
        drop(hidden);
        self.err("\n");
        line
    }

    /// Whether a person can answer.
    pub fn stdin_is_terminal(&self) -> bool {
        self.stdin_is_terminal
    }

    /// Size of the terminal that standard output is, if it is one.
    pub fn terminal(&self) -> Option<Size> {
        self.terminal
    }

    /// Whether colour is used.
    pub fn color(&self) -> bool {
        self.color
    }

    /// The text in a style, where colour is used.
    pub fn paint(&self, style: Style, text: &str) -> String {
        paint(self.color, style, text)
    }
}

/// The text in a style, if `color`.
pub fn paint(color: bool, style: Style, text: &str) -> String {
    let code = match style {
        Style::Bold => "1",
        Style::Dim => "2",
        Style::Green => "32",
        Style::Red => "31",
        Style::Yellow => "33",
        Style::Cyan => "36",
    };
    if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

fn size(stdout: &std::io::Stdout) -> Option<Size> {
    let size = rustix::termios::tcgetwinsize(stdout).ok()?;
    let or = |value: u16, default: usize| {
        if value == 0 { default } else { usize::from(value) }
    };
    Some(Size { columns: or(size.ws_col, 80), rows: or(size.ws_row, 24) })
}

/// Terminal echo, off while this lives.
struct EchoOff {
    before: rustix::termios::Termios,
}

impl EchoOff {
    fn new() -> Option<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        tcsetattr(&stdin, OptionalActions::Now, &quiet).ok()?;
        Some(Self { before })
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(
            std::io::stdin(),
            rustix::termios::OptionalActions::Now,
            &self.before,
        );
    }
}
