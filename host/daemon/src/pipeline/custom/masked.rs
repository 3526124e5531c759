//! Secrets in bytes that go back to a plugin.

/// What stands in their place.
const MASK: &[u8] = b"[secret]";
/// A value shorter than this is no secret that could be kept: it is anywhere by chance.
const SECRET_BYTES_MIN: usize = 4;

/// The bytes without these values.
pub(crate) fn mask_bytes<'a>(bytes: &[u8], secrets: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let mut secrets: Vec<&[u8]> =
        secrets.map(str::as_bytes).filter(|value| value.len() >= SECRET_BYTES_MIN).collect();
    // The longest first: one may be the beginning of another.
    secrets.sort_by_key(|value| std::cmp::Reverse(value.len()));
    if secrets.is_empty() {
        return bytes.to_vec();
    }
    let mut masked = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(first) = rest.first() {
        match secrets.iter().find(|value| rest.starts_with(value)) {
            Some(value) => {
                masked.extend_from_slice(MASK);
                rest = &rest[value.len()..];
            }
            None => {
                masked.push(*first);
                rest = &rest[1..];
            }
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_and_nothing_else_is_touched() {
        let mask = |text: &[u8], secrets: &[&str]| mask_bytes(text, secrets.iter().copied());
        assert_eq!(mask(b"a hunter2 b", &["hunter2"]), b"a [secret] b");
        assert_eq!(mask(b"hunter2hunter22", &["hunter2", "hunter22"]), b"[secret][secret]");
        assert_eq!(mask(&[0, 255, 1], &["hunter2"]), [0, 255, 1]);
        assert_eq!(mask(b"yes", &["e", ""]), b"yes");
    }
}
