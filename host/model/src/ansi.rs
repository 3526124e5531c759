//! Text that a program wrote for a terminal, made harmless.
//!
//! **Invariant: nothing that comes out can drive a terminal.** Colours and styles (SGR) may be kept; moving
//! the cursor, titles, the clipboard (OSC 52), links and every other escape are taken out, also when they
//! are cut short.

use std::fmt::Write as _;

use anstyle_parse::{DefaultCharAccumulator, Params, Parser, Perform};

/// What becomes of colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Colours {
    /// Taken out: for programs, files and pipes.
    #[default]
    Strip,
    /// Kept, and reset at the end: for terminals.
    Keep,
}

/// The text without control characters and without escapes, except colours where they are kept. Tabs stay;
/// a carriage return inside the line becomes a space.
pub fn clean(text: &str, colours: Colours) -> String {
    let is_plain = |byte: u8| byte >= 0x20 && byte != 0x7f && byte < 0x80 || byte == b'\t';
    if text.bytes().all(is_plain) {
        return text.to_owned();
    }
    let mut filter = Filter { out: String::with_capacity(text.len()), colours, styled: false };
    let mut parser = Parser::<DefaultCharAccumulator>::new();
    for byte in text.bytes() {
        parser.advance(&mut filter, byte);
    }
    if filter.styled {
        filter.out.push_str("\x1b[0m");
    }
    filter.out
}

struct Filter {
    out: String,
    colours: Colours,
    styled: bool,
}

impl Perform for Filter {
    fn print(&mut self, c: char) {
        // U+0080 to U+009F are the eight-bit forms of escapes.
        if !c.is_control() {
            self.out.push(c);
        }
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\t' => self.out.push('\t'),
            b'\r' | b'\n' => self.out.push(' '),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: u8) {
        let is_colour = action == b'm' && intermediates.is_empty() && !ignore;
        if !is_colour || self.colours == Colours::Strip {
            return;
        }
        self.out.push_str("\x1b[");
        for (n, param) in params.iter().enumerate() {
            if n > 0 {
                self.out.push(';');
            }
            for (n, part) in param.iter().enumerate() {
                let colon = if n > 0 { ":" } else { "" };
                let _ = write!(self.out, "{colon}{part}");
            }
        }
        self.out.push('m');
        self.styled = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_kept_or_stripped_and_always_reset() {
        let red = "\x1b[1;31merror\x1b[39m \x1b[38;2;1;2;3mx";
        assert_eq!(clean(red, Colours::Strip), "error x");
        assert_eq!(clean(red, Colours::Keep), "\x1b[1;31merror\x1b[39m \x1b[38;2;1;2;3mx\x1b[0m");
        assert_eq!(clean("plain ä 漢\tx", Colours::Keep), "plain ä 漢\tx");
    }

    #[test]
    fn nothing_else_passes() {
        let rows = [
            ("clipboard", "a\x1b]52;c;aGFjaw==\x07b", "ab"),
            ("clipboard, ended by ST", "a\x1b]52;c;aGFjaw==\x1b\\b", "ab"),
            ("title", "a\x1b]0;pwned\x07b", "ab"),
            ("link", "\x1b]8;;http://x\x1b\\text\x1b]8;;\x1b\\", "text"),
            ("cursor", "a\x1b[2J\x1b[1;1Hb\x1b[5A", "ab"),
            ("private mode", "a\x1b[?1049hb", "ab"),
            ("device control", "a\x1bP1$r0m\x1b\\b", "ab"),
            ("reset", "a\x1bcb", "ab"),
            ("eight-bit forms", "a\u{9b}31mb\u{9d}0;x\u{9c}c", "a31mb0;xc"),
            ("bell and backspace", "a\x07\x08b", "ab"),
            ("progress", "10%\r20%", "10% 20%"),
            ("cut short", "a\x1b]52;c;aGFj", "a"),
            ("cut short as well", "a\x1b[31", "a"),
        ];
        for (what, text, expected) in rows {
            for colours in [Colours::Strip, Colours::Keep] {
                assert_eq!(clean(text, colours), expected, "{what}");
            }
        }
    }
}
