//! Conditional requests, ranges and accepted encodings (RFC 9110).

use std::time::{Duration, SystemTime};

use http::{HeaderMap, header};

/// What tells one version of a file from another.
///
/// Builds often set all modification times alike, so the time of the last change of the inode, which
/// nobody can set, counts too: two deployments never share an entity tag by accident.
#[derive(Debug, Clone)]
pub(super) struct Validators {
    pub(super) etag: String,
    pub(super) last_modified: String,
}

impl Validators {
    /// `mtime` and `ctime` are seconds and nanoseconds.
    pub(super) fn of(inode: u64, bytes: u64, mtime: (i64, i64), ctime: (i64, i64)) -> Self {
        let seconds = u64::try_from(mtime.0.max(ctime.0)).unwrap_or(0);
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        Self {
            etag: format!(
                "\"{inode:x}-{bytes:x}-{:x}.{:x}-{:x}.{:x}\"",
                mtime.0, mtime.1, ctime.0, ctime.1
            ),
            last_modified: httpdate::fmt_http_date(modified),
        }
    }

    /// Whether the visitor has this version already.
    pub(super) fn unchanged(&self, headers: &HeaderMap) -> bool {
        let mut tags = headers.get_all(header::IF_NONE_MATCH).iter().peekable();
        if tags.peek().is_some() {
            return tags
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .map(|tag| tag.trim().trim_start_matches("W/"))
                .any(|tag| tag == "*" || tag == self.etag);
        }
        // Equal, not later: after a rollback an older file is the current one.
        headers
            .get(header::IF_MODIFIED_SINCE)
            .is_some_and(|since| since.as_bytes() == self.last_modified.as_bytes())
    }
}

/// The part of a file that a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Slice {
    Whole,
    Part {
        from: u64,
        /// At least one.
        bytes: u64,
    },
    Outside,
}

/// The one range that a request asks for. Several, or what is no range at all, are the whole file.
pub(super) fn slice(headers: &HeaderMap, validators: &Validators, bytes: u64) -> Slice {
    let Some(range) = headers.get(header::RANGE).and_then(|range| range.to_str().ok()) else {
        return Slice::Whole;
    };
    if let Some(condition) = headers.get(header::IF_RANGE) {
        let same = condition.as_bytes() == validators.etag.as_bytes()
            || condition.as_bytes() == validators.last_modified.as_bytes();
        if !same {
            return Slice::Whole;
        }
    }
    parse_range(range, bytes).unwrap_or(Slice::Whole)
}

fn parse_range(range: &str, bytes: u64) -> Option<Slice> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let suffix = number(last)?.min(bytes);
        return Some(if suffix == 0 {
            Slice::Outside
        } else {
            Slice::Part { from: bytes - suffix, bytes: suffix }
        });
    }
    let from = number(first)?;
    let last = if last.is_empty() { u64::MAX } else { number(last)? };
    if last < from {
        return None;
    }
    if from >= bytes {
        return Some(Slice::Outside);
    }
    let last = last.min(bytes - 1);
    Some(Slice::Part { from, bytes: last - from + 1 })
}

/// Digits only: `parse` alone would take a sign.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

/// The precompressed forms that a request takes, best first: encoding and suffix of the file.
pub(super) fn encodings(headers: &HeaderMap) -> Vec<(&'static str, &'static str)> {
    let accepted: Vec<String> = headers
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter(|coding| !refuses(coding))
        .filter_map(|coding| coding.split(';').next())
        .map(|coding| coding.trim().to_ascii_lowercase())
        .collect();
    [("br", ".br"), ("gzip", ".gz")]
        .into_iter()
        .filter(|(encoding, _)| accepted.iter().any(|a| a == encoding))
        .collect()
}

/// Whether a coding has the weight 0.
fn refuses(coding: &str) -> bool {
    coding.split(';').skip(1).any(|parameter| {
        let weight = parameter.trim().strip_prefix("q=").and_then(|q| q.trim().parse::<f32>().ok());
        weight == Some(0.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn one_range_is_cut_to_the_file() {
        for (range, expected) in [
            ("bytes=0-0", Slice::Part { from: 0, bytes: 1 }),
            ("bytes=2-", Slice::Part { from: 2, bytes: 8 }),
            ("bytes=2-99", Slice::Part { from: 2, bytes: 8 }),
            ("bytes=-3", Slice::Part { from: 7, bytes: 3 }),
            ("bytes=-99", Slice::Part { from: 0, bytes: 10 }),
            ("bytes=10-", Slice::Outside),
            ("bytes=-0", Slice::Outside),
            ("bytes=5-4", Slice::Whole),
            ("bytes=0-1,3-4", Slice::Whole),
            ("bytes=+1-2", Slice::Whole),
            ("lines=1-2", Slice::Whole),
        ] {
            let validators = Validators::of(1, 10, (0, 0), (0, 0));
            assert_eq!(slice(&headers(header::RANGE, range), &validators, 10), expected, "{range}");
        }
    }

    #[test]
    fn equal_times_and_sizes_do_not_make_two_files_one() {
        let (one, two) =
            (Validators::of(5, 10, (1, 0), (100, 1)), Validators::of(5, 10, (1, 0), (100, 2)));
        assert_ne!(one.etag, two.etag);
        assert!(one.unchanged(&headers(header::IF_NONE_MATCH, &format!("\"x\", W/{}", one.etag))));
        assert!(!one.unchanged(&headers(header::IF_NONE_MATCH, &two.etag)));
        assert!(one.unchanged(&headers(header::IF_MODIFIED_SINCE, &one.last_modified)));
    }

    #[test]
    fn encodings_with_weight_zero_are_not_taken() {
        let accepted = headers(header::ACCEPT_ENCODING, "gzip;q=0.5, br;q=0, deflate");
        assert_eq!(encodings(&accepted), [("gzip", ".gz")]);
    }
}
