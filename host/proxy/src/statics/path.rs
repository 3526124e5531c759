//! Paths within a tree, and what their names say about the content.

use http::{HeaderMap, HeaderValue, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// What stays as it is in a path segment: RFC 3986's unreserved characters.
const SEGMENT: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path beneath a root: decoded segments, none of them empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TreePath {
    segments: Vec<Vec<u8>>,
    directory: bool,
}

impl TreePath {
    /// Of a request's target; `None` for one that no file can have, or that tries to leave.
    pub(super) fn of_request(path: &str) -> Option<Self> {
        let mut segments = Vec::new();
        for segment in path.split('/').filter(|segment| !segment.is_empty()) {
            let segment: Vec<u8> = percent_decode_str(segment).collect();
            let dots = segment == b"." || segment == b"..";
            if dots || segment.iter().any(|byte| matches!(byte, 0 | b'/' | b'\\')) {
                return None;
            }
            segments.push(segment);
        }
        path.starts_with('/').then(|| Self { segments, directory: path.ends_with('/') })
    }

    /// Of a file that a setting names, relative to the root.
    pub(super) fn inside(name: &str) -> Option<Self> {
        let segments: Vec<Vec<u8>> = name.split('/').map(|s| s.as_bytes().to_vec()).collect();
        let fits = |s: &Vec<u8>| {
            !s.is_empty() && s != b"." && s != b".." && !s.iter().any(|b| matches!(b, 0 | b'\\'))
        };
        segments.iter().all(fits).then_some(Self { segments, directory: false })
    }

    pub(super) fn is_directory(&self) -> bool {
        self.directory || self.segments.is_empty()
    }

    /// Whether a name on the way is hidden. `.well-known` is public by its standard.
    pub(super) fn is_hidden(&self) -> bool {
        let hidden =
            |(i, s): (usize, &Vec<u8>)| s.starts_with(b".") && !(i == 0 && s == b".well-known");
        self.segments.iter().enumerate().any(hidden)
    }

    /// Whether a request for this path asks for a page rather than for something a page needs.
    pub(super) fn is_page(&self, headers: &HeaderMap) -> bool {
        let named = self.segments.last().is_some_and(|name| name.contains(&b'.'));
        let html = headers
            .get(header::ACCEPT)
            .and_then(|accept| accept.to_str().ok())
            .is_some_and(|accept| accept.contains("text/html"));
        html || !named
    }

    pub(super) fn join(&self, name: &str) -> Self {
        let mut segments = self.segments.clone();
        segments.push(name.as_bytes().to_vec());
        Self { segments, directory: false }
    }

    pub(super) fn with_suffix(&self, suffix: &str) -> Self {
        let mut path = Self { segments: self.segments.clone(), directory: false };
        if let Some(last) = path.segments.last_mut() {
            last.extend_from_slice(suffix.as_bytes());
        }
        path
    }

    /// For the kernel: relative to the root.
    pub(super) fn relative(&self) -> Vec<u8> {
        if self.segments.is_empty() { b".".to_vec() } else { self.segments.join(&b'/') }
    }

    /// For a Location header. It starts with exactly one slash, so it never leads to another host.
    pub(super) fn encoded(&self) -> String {
        self.segments.iter().map(|s| format!("/{}", percent_encode(s, &SEGMENT))).collect()
    }

    pub(super) fn name(&self) -> &[u8] {
        self.segments.last().map_or(&[], Vec::as_slice)
    }
}

/// The media type that a file's name says, with the charset that text is written in today.
pub(super) fn media_type(name: &[u8]) -> HeaderValue {
    let name = String::from_utf8_lossy(name);
    let guess = mime_guess::from_path(name.as_ref()).first_or_octet_stream();
    let mut text = match guess.essence_str() {
        "application/javascript" => "text/javascript".to_owned(),
        essence => essence.to_owned(),
    };
    if is_text(&text) {
        text.push_str("; charset=utf-8");
    }
    HeaderValue::from_str(&text)
        .unwrap_or_else(|_| HeaderValue::from_static("application/octet-stream"))
}

fn is_text(essence: &str) -> bool {
    essence.starts_with("text/")
        || ["+xml", "+json"].iter().any(|suffix| essence.ends_with(suffix))
        || ["application/json", "application/javascript", "application/xml"].contains(&essence)
}

/// Whether a precompressed form of such a file is worth looking for.
pub(super) fn is_compressible(media_type: &HeaderValue) -> bool {
    media_type.to_str().is_ok_and(|text| {
        text.contains("charset") || ["application/wasm", "font/ttf", "font/otf"].contains(&text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_tries_to_leave_is_none() {
        for bad in [
            "/../etc/passwd",
            "/a/../../b",
            "/%2e%2e/etc",
            "/.%2E/x",
            "/a/./b",
            "/a%2fb",
            "/a%00b",
            "/a\\b",
            "/..%5c..%5cx",
            "*",
            "",
        ] {
            assert_eq!(TreePath::of_request(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_path_keeps_its_decoded_names() {
        let path = TreePath::of_request("//evil.example//a%20b").unwrap();
        assert_eq!(path.relative(), b"evil.example/a b");
        assert_eq!(path.encoded(), "/evil.example/a%20b");
        assert!(TreePath::of_request("/").unwrap().is_directory());
        assert!(!TreePath::of_request("/a").unwrap().is_directory());
        assert!(TreePath::of_request("/a/").unwrap().is_directory());
    }

    #[test]
    fn hidden_names_are_hidden_but_for_well_known() {
        for (path, hidden) in [
            ("/.env", true),
            ("/.git/config", true),
            ("/a/.well-known/x", true),
            ("/.well-known/acme", false),
            ("/.well-known/.x", true),
            ("/a.b", false),
        ] {
            assert_eq!(TreePath::of_request(path).unwrap().is_hidden(), hidden, "{path}");
        }
    }

    #[test]
    fn names_say_their_media_type() {
        for (name, expected) in [
            ("index.html", "text/html; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("app.mjs", "text/javascript; charset=utf-8"),
            ("app.css", "text/css; charset=utf-8"),
            ("data.json", "application/json; charset=utf-8"),
            ("logo.svg", "image/svg+xml; charset=utf-8"),
            ("logo.png", "image/png"),
            ("font.woff2", "font/woff2"),
            ("mod.wasm", "application/wasm"),
            ("site.webmanifest", "application/manifest+json; charset=utf-8"),
            ("LICENSE", "application/octet-stream"),
        ] {
            assert_eq!(media_type(name.as_bytes()), expected, "{name}");
        }
    }
}
