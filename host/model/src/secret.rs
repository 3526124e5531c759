//! A value that must never be printed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

/// Wraps a secret. It has no `Serialize` and its `Debug` shows nothing; the value is taken out by
/// name, with [`Secret::expose`].
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret<T>(T);

/// What stands in the place of a secret wherever text is shown.
pub const MASK: &str = "[secret]";

impl<T> Secret<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value itself. Every call site is a place where a secret can leak: keep them few.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself, by ownership.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for Secret<T> {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        T::deserialize(from).map(Self)
    }
}

/// Replaces secret values in text that is about to be stored or shown.
///
/// Values shorter than [`Masker::VALUE_BYTES_MIN`] are left: masking `1` or `on` would make every
/// log unreadable and hide nothing. Of a value of [`Masker::ENCODED_BYTES_MIN`] and more its usual encodings
/// are masked too: hexadecimal, URL, and base64 in both alphabets, on one line wherever in a longer text the
/// value stands, and in lines of [`Masker::BASE64_COLUMNS`] where the value is the whole of what was encoded.
/// What was encoded otherwise, cut otherwise or computed with is not recognised.
#[derive(Clone, Default)]
pub struct Masker {
    values: Vec<String>,
}

impl Masker {
    /// Shorter values are not masked.
    pub const VALUE_BYTES_MIN: usize = 4;
    /// Encoded forms of shorter values are not masked: they are a few letters that mean nothing.
    pub const ENCODED_BYTES_MIN: usize = 8;
    /// Lengths of lines that programs cut base64 into: `base64` and mail; `openssl` and key files.
    pub const BASE64_COLUMNS: [usize; 2] = [76, 64];

    /// A masker for these values; a value of several lines is masked line by line.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all: Vec<String> = Vec::new();
        for value in values {
            // What reads a file in a shell takes the end of its last line off.
            let whole = [value, value.trim_end_matches('\n')];
            all.extend(whole.into_iter().filter(|value| is_long(value)).flat_map(base64_lines));
            let parts = value.lines().chain(whole);
            all.extend(parts.filter(|value| value.len() >= Self::VALUE_BYTES_MIN).flat_map(forms));
        }
        all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        all.dedup();
        Self { values: all }
    }

    /// The text with every known value replaced by [`MASK`].
    pub fn mask(&self, text: &str) -> String {
        let mut masked = text.to_owned();
        for value in &self.values {
            if masked.contains(value.as_str()) {
                masked = masked.replace(value.as_str(), MASK);
            }
        }
        masked
    }

    /// The same of bytes that may be no text; what is none is left as it is.
    pub fn mask_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        if self.is_empty() {
            return bytes.to_vec();
        }
        let mut masked = Vec::with_capacity(bytes.len());
        // A value is text, so it lies within one chunk.
        for chunk in bytes.utf8_chunks() {
            masked.extend_from_slice(self.mask(chunk.valid()).as_bytes());
            masked.extend_from_slice(chunk.invalid());
        }
        masked
    }

    /// Where the text may be cut: a known value that begins behind this place may go on behind the end, and no
    /// value lies on both sides of it. The text's length when none has begun; nothing when there is no such place.
    pub fn cut_at(&self, text: &[u8]) -> Option<usize> {
        let begun = |value: &String| {
            let value = value.as_bytes();
            let longest = value.len().saturating_sub(1).min(text.len());
            (1..=longest).rev().find(|count| text.ends_with(&value[..*count]))
        };
        let mut at = text.len() - self.values.iter().filter_map(begun).max().unwrap_or_default();
        let around = |at| self.values.iter().filter_map(move |value| around(text, value, at)).min();
        while let Some(start) = around(at) {
            at = start;
        }
        (at > 0).then_some(at)
    }

    /// Bytes of the longest text that is masked.
    pub fn longest(&self) -> usize {
        // They are sorted.
        self.values.first().map_or(0, String::len)
    }

    /// Whether there is nothing to mask.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl fmt::Debug for Masker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Masker({} values)", self.values.len())
    }
}

/// Where a value begins that the place lies within.
fn around(text: &[u8], value: &str, at: usize) -> Option<usize> {
    let first = (at + 1).saturating_sub(value.len());
    (first..at)
        .find(|&start| text.get(start..).is_some_and(|text| text.starts_with(value.as_bytes())))
}

/// A value and its usual encodings.
fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned()];
    if !is_long(value) {
        return forms;
    }
    forms.extend([hex::encode(value), hex::encode_upper(value), url(value)]);
    for engine in base64_engines() {
        forms.extend((0..3).map(|offset| within_base64(&engine, value, offset)));
    }
    forms
}

/// Whether the encodings of a value are masked.
fn is_long(value: &str) -> bool {
    value.len() >= Masker::ENCODED_BYTES_MIN
}

fn base64_engines() -> [GeneralPurpose; 2] {
    let alphabets = [base64::alphabet::STANDARD, base64::alphabet::URL_SAFE];
    alphabets.map(|alphabet| GeneralPurpose::new(&alphabet, NO_PAD))
}

/// The lines that base64 of a whole value is cut into when it is too long for one: with a line's end behind
/// the value, as `echo` writes it, and without. A last line that stands for three bytes or less is left.
fn base64_lines(value: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for engine in base64_engines() {
        for encoded in [engine.encode(value), engine.encode(format!("{value}\n"))] {
            for columns in Masker::BASE64_COLUMNS {
                if encoded.len() > columns {
                    lines.extend(cut(&encoded, columns).map(str::to_owned));
                }
            }
        }
    }
    lines.retain(|line| line.len() > Masker::VALUE_BYTES_MIN);
    lines
}

/// A text of letters of one byte in lines of this length.
fn cut(text: &str, columns: usize) -> impl Iterator<Item = &str> {
    let starts = (0..text.len()).step_by(columns);
    starts.filter_map(move |start| text.get(start..text.len().min(start + columns)))
}

/// What base64 makes of a value that stands behind `offset` other bytes (of three): the characters that
/// depend on nothing but the value.
fn within_base64(engine: &GeneralPurpose, value: &str, offset: usize) -> String {
    let text = engine.encode([&[0; 2][..offset], value.as_bytes()].concat());
    let first = (offset * 8).div_ceil(6);
    let last = (offset + value.len()) * 8 / 6;
    text.get(first..last).unwrap_or_default().to_owned()
}

/// Every byte that is no unreserved character of a URL as `%XX`.
fn url(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        other => format!("%{other:02X}"),
    };
    value.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), MASK);
    }

    #[test]
    fn the_longest_value_is_masked_first() {
        let masker = Masker::new(["pass", "password"]);
        assert_eq!(masker.mask("my password, my pass"), "my [secret], my [secret]");
    }

    #[test]
    fn secrets_are_taken_out_of_bytes_and_nothing_else_is_touched() {
        let mask =
            |bytes: &[u8], values: &[&str]| Masker::new(values.iter().copied()).mask_bytes(bytes);
        assert_eq!(mask(b"a hunter2 b", &["hunter2"]), b"a [secret] b");
        assert_eq!(mask(b"hunter2hunter22", &["hunter2", "hunter22"]), b"[secret][secret]");
        assert_eq!(mask(&[0, 255, 1], &["hunter2"]), [0, 255, 1]);
        assert_eq!(mask(b"\xe2\x82hunter2\xff", &["hunter2"]), b"\xe2\x82[secret]\xff");
        assert_eq!(mask(b"yes", &["e", ""]), b"yes");
        assert_eq!(mask(b"\xff s3cret%2Fof", &["s3cret/of"]), b"\xff [secret]");
    }

    #[test]
    fn lines_of_a_long_secret_are_masked_one_by_one() {
        let masker = Masker::new(["first line\nsecond line"]);
        assert_eq!(masker.mask("> second line"), "> [secret]");
    }

    #[test]
    fn usual_encodings_are_masked_wherever_they_stand() {
        let masker = Masker::new(["s3cret/of the+test"]);
        let standard = &base64::engine::general_purpose::STANDARD;
        let url_safe = &base64::engine::general_purpose::URL_SAFE;
        for around in ["", "a", "ab", "abc", "abcd"] {
            let text = format!("{around}s3cret/of the+test{around}");
            for encoded in [standard.encode(&text), url_safe.encode(&text)] {
                let masked = masker.mask(&format!("it is {encoded}."));
                assert!(masked.contains(MASK), "{around:?}: {masked}");
                // At most the two characters at each end are left, which depend on what is around.
                assert!(masked.len() < 16 + MASK.len() + 4 * around.len(), "{around:?}: {masked}");
            }
            let hexed = masker.mask(&hex::encode(&text));
            assert_eq!(hexed, format!("{0}{MASK}{0}", hex::encode(around)));
        }
        assert_eq!(masker.mask("?q=s3cret%2Fof%20the%2Btest&x"), format!("?q={MASK}&x"));
        assert_eq!(Masker::new(["short"]).mask("c2hvcnQ="), "c2hvcnQ=");
    }

    /// Of the form of a key file.
    fn key_file() -> String {
        let standard = &base64::engine::general_purpose::STANDARD;
        let line = |n: u8| {
            let bytes: Vec<u8> =
                (0..48_u8).map(|k| n.wrapping_mul(37) ^ k.wrapping_mul(11)).collect();
            format!("{}\n", standard.encode(bytes))
        };
        let lines: String = (1..25).map(line).collect();
        format!("-----BEGIN TEST KEY-----\n{lines}-----END TEST KEY-----\n")
    }

    #[test]
    fn a_key_file_is_masked_in_every_line_that_base64_is_cut_into() {
        let file = key_file();
        let masker = Masker::new([file.as_str()]);
        let standard = &base64::engine::general_purpose::STANDARD;
        let url_safe = &base64::engine::general_purpose::URL_SAFE;
        for text in [file.trim_end().to_owned(), file.clone(), format!("{file}\n")] {
            for encoded in [standard.encode(&text), url_safe.encode(&text)] {
                for columns in [64, 76, encoded.len()] {
                    for line in cut(&encoded, columns) {
                        let left = masker.mask(line).replace(MASK, "");
                        // What stands for the last three bytes, or what pads them.
                        assert!(left.len() <= 4, "of {columns} columns, {left} of {line}");
                    }
                }
            }
        }
        assert_eq!(masker.mask("an ordinary line"), "an ordinary line");
    }

    #[test]
    fn a_token_longer_than_a_line_of_base64_is_masked_in_both() {
        let token = "a-token-of-more-bytes-than-one-line-of-base64-has-letters-for-0123456789";
        let masker = Masker::new([token]);
        let encoded = base64::engine::general_purpose::STANDARD.encode(format!("{token}\n"));
        let lines: Vec<String> = cut(&encoded, 76).map(|line| masker.mask(line)).collect();
        assert_eq!(lines.len(), 2);
        assert!(lines.iter().all(|line| line.starts_with(MASK)), "{lines:?}");
    }
}
