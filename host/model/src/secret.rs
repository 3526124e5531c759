//! A value that must never be printed.

use std::fmt;

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
/// log unreadable and hide nothing. Encoded forms (URL, base64) are not recognised.
#[derive(Clone, Default)]
pub struct Masker {
    values: Vec<String>,
}

impl Masker {
    /// Shorter values are not masked.
    pub const VALUE_BYTES_MIN: usize = 4;

    /// A masker for these values; a value of several lines is masked line by line.
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut values: Vec<String> = values
            .into_iter()
            .flat_map(|value| value.lines().chain(std::iter::once(value)))
            .filter(|value| value.len() >= Self::VALUE_BYTES_MIN)
            .map(str::to_owned)
            .collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values }
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
    fn lines_of_a_long_secret_are_masked_one_by_one() {
        let masker = Masker::new(["first line\nsecond line"]);
        assert_eq!(masker.mask("> second line"), "> [secret]");
    }
}
