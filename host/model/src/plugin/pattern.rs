//! The patterns in requests and grants: when one covers another, and what two lists have in common.
//!
//! A pattern is exact or has one `*` at one end, so any two of them are either apart or one lies in the
//! other: what they have in common is one of the two.

/// What a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// `NAME`, `SMTP_*`, `*`; `image:NAME` is apart from all that does not begin so.
    Word,
    /// `GET`, `*`.
    Method,
    /// `api.osv.dev`, `*.example.com`, `registry.local:5000`, `*`.
    Host,
    /// `package.json`, `src/**`, `**/*.lock`, `**`.
    Path,
}

/// Entries of one list.
const ENTRIES_MAX: usize = 100;
/// Characters of one entry.
const CHARS_MAX: usize = 255;

impl Shape {
    /// Whether all that `narrow` stands for is in `wide`. Of two globs of paths with more than a `/**` at
    /// their ends only equal ones are known to.
    pub(super) fn covers(self, wide: &str, narrow: &str) -> bool {
        if wide == narrow {
            return true;
        }
        match self {
            // `*` is any output, and no image.
            Self::Word => wide.strip_suffix('*').is_some_and(|start| {
                let is_image = |entry: &str| entry.starts_with("image:");
                narrow.starts_with(start) && is_image(narrow) == is_image(start)
            }),
            Self::Method => wide == "*",
            Self::Host => match wide.strip_prefix('*') {
                Some("") => true,
                Some(domain) => narrow.len() > domain.len() && narrow.ends_with(domain),
                None => false,
            },
            Self::Path => match wide.strip_suffix("**") {
                Some("") => true,
                Some(folder) => {
                    folder.ends_with('/') && !is_glob(folder) && narrow.starts_with(folder)
                }
                None => false,
            },
        }
    }

    fn is_valid(self, entry: &str) -> bool {
        let name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        match self {
            Self::Word => {
                let stem = entry.strip_suffix('*').unwrap_or(entry);
                let named = stem.strip_prefix("image:");
                let reference = |c: char| name(c) || ":/@".contains(c);
                let fits =
                    named.map_or(stem.chars().all(name), |image| image.chars().all(reference));
                fits && !entry.is_empty()
            }
            Self::Method => {
                entry == "*" || (!entry.is_empty() && entry.chars().all(|c| c.is_ascii_uppercase()))
            }
            Self::Host => entry == "*" || is_host(entry),
            Self::Path => {
                let relative = !entry.is_empty() && !entry.starts_with('/');
                relative && entry.split('/').all(|part| part != ".." && !part.is_empty())
            }
        }
    }

    fn rule(self) -> &'static str {
        match self {
            Self::Word => "letters, digits, `_`, `-` and `.`, with a `*` only at the end",
            Self::Method => "a method in capitals, or `*`",
            Self::Host => {
                "a host name in lower case, `*.` before one, or `*`; with a port where it is not the usual one"
            }
            Self::Path => "a glob relative to the source's root, without `..`",
        }
    }
}

fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

fn is_host(entry: &str) -> bool {
    let (host, port) = match entry.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (entry, None),
    };
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty() && label.chars().all(inner) && !label.starts_with('-')
    };
    let host = host.strip_prefix("*.").unwrap_or(host);
    let port_fits = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    port_fits && host.split('.').all(label)
}

/// Says which entry of a list is no pattern.
pub(super) fn check(list: &str, shape: Shape, entries: &[String]) -> Result<(), String> {
    if !(1..=ENTRIES_MAX).contains(&entries.len()) {
        return Err(format!("{list} has 1 to {ENTRIES_MAX} entries"));
    }
    match entries.iter().find(|entry| entry.len() > CHARS_MAX || !shape.is_valid(entry)) {
        Some(entry) => Err(format!("{entry:?} in {list} is not valid: use {}", shape.rule())),
        None => Ok(()),
    }
}

/// Says what is wrong with an entry that lets private addresses be reached: it names one host, one address or
/// one network exactly.
pub(super) fn check_private(entry: &str) -> Result<(), String> {
    let is_network = |(address, bits): (&str, &str)| {
        let width = match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u32>().is_ok_and(|bits| (1..=width).contains(&bits))
    };
    let is_address = entry.parse::<std::net::IpAddr>().is_ok();
    let is_name = is_host(entry) && !entry.contains(['*', ':']);
    match is_name || is_address || entry.split_once('/').is_some_and(is_network) {
        true => Ok(()),
        false => Err(format!(
            "{entry:?} in private is not valid: use one host name in lower case, one address, or a network as \
             10.1.0.0/16"
        )),
    }
}

/// What is in both lists, without what another entry covers.
pub(super) fn meet(shape: Shape, a: &[String], b: &[String]) -> Vec<String> {
    let mut common: Vec<String> = Vec::new();
    for one in a {
        for other in b {
            let narrower = match () {
                () if shape.covers(one, other) => other,
                () if shape.covers(other, one) => one,
                () => continue,
            };
            if common.iter().any(|had| shape.covers(had, narrower)) {
                continue;
            }
            common.retain(|had| !shape.covers(narrower, had));
            common.push(narrower.clone());
        }
    }
    common
}

/// Whether a list allows something exact.
pub(super) fn allows(shape: Shape, list: &[String], exact: &str) -> bool {
    // What is asked about is no pattern: a `*` in it would be covered by more than it names.
    !exact.contains('*') && list.iter().any(|entry| shape.covers(entry, exact))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_it_names_and_nothing_beside_it() {
        let rows = [
            (Shape::Host, "*", "example.com", true),
            (Shape::Host, "*.example.com", "api.example.com", true),
            (Shape::Host, "*.example.com", "*.api.example.com", true),
            (Shape::Host, "*.example.com", "example.com", false),
            (Shape::Host, "*.example.com", "evil-example.com", false),
            (Shape::Host, "*.example.com", "example.com.evil.net", false),
            (Shape::Host, "api.example.com", "api.example.com:8443", false),
            (Shape::Host, "*.example.com", "api.example.com:8443", false),
            (Shape::Host, "*.example.com", "*", false),
            (Shape::Word, "SMTP_*", "SMTP_HOST", true),
            (Shape::Word, "SMTP_*", "SMTP", false),
            (Shape::Word, "SMTP_HOST", "SMTP_*", false),
            (Shape::Method, "*", "DELETE", true),
            (Shape::Method, "GET", "POST", false),
            (Shape::Path, "**", "src/a.rs", true),
            (Shape::Path, "src/**", "src/a/**", true),
            (Shape::Path, "src/**", "srcs/a", false),
            (Shape::Path, "**/*.lock", "a/b.lock", false),
            (Shape::Word, "*", "image:alpine:3.20", false),
            (Shape::Word, "image:alpine:*", "image:alpine:3.20", true),
            (Shape::Word, "image:alpine:3.20", "image:alpine:3.2", false),
        ];
        for (shape, wide, narrow, covers) in rows {
            assert_eq!(shape.covers(wide, narrow), covers, "{wide} {narrow}");
        }
    }

    #[test]
    fn what_two_lists_have_in_common_is_the_narrower_of_each_pair_once() {
        let list = |entries: &[&str]| entries.iter().map(|e| (*e).to_owned()).collect::<Vec<_>>();
        let met =
            meet(Shape::Host, &list(&["*", "a.org"]), &list(&["a.org", "*.b.org", "x.b.org"]));
        assert_eq!(met, ["a.org", "*.b.org"]);
        assert!(meet(Shape::Host, &list(&["a.org"]), &list(&["b.org"])).is_empty());
    }

    #[test]
    fn a_private_entry_names_one_host_one_address_or_one_network() {
        for good in ["chat.internal", "10.0.0.5", "10.1.0.0/16", "fd00::1", "fd00::/8", "localhost"]
        {
            check_private(good).unwrap();
        }
        for bad in ["*", "*.internal", "", "10.0.0.0/0", "10.0.0.0/33", "a.b/8", "chat.internal:80"]
        {
            assert!(check_private(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn nothing_is_allowed_by_asking_with_a_star() {
        assert!(!allows(Shape::Word, &["*".to_owned()], "*"));
        assert!(!allows(Shape::Host, &["*.a.org".to_owned()], "*.a.org"));
        assert!(allows(Shape::Host, &["*.a.org".to_owned()], "x.a.org"));
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_the_rule() {
        for (shape, bad) in [
            (Shape::Host, "https://a.org"),
            (Shape::Host, "A.org"),
            (Shape::Host, "a.*.org"),
            (Shape::Host, "a.org:0"),
            (Shape::Host, ""),
            (Shape::Word, "A B"),
            (Shape::Word, "*A"),
            (Shape::Method, "get"),
            (Shape::Path, "/etc"),
            (Shape::Path, "a/../b"),
        ] {
            let said = check("list", shape, &[bad.to_owned()]).unwrap_err();
            assert!(said.contains("is not valid: use "), "{bad}: {said}");
        }
        assert!(check("list", Shape::Word, &[]).is_err());
        check("list", Shape::Host, &["*.a-1.org:8443".to_owned(), "*".to_owned()]).unwrap();
    }
}
