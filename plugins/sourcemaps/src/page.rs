//! Addresses, and the scripts and styles that a page loads.

use crate::map::joined;

/// An address: its scheme with host and port, and its path with what follows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    /// `https://shop.example.com:8443`
    origin: String,
    /// Begins with `/`.
    pub(crate) path: String,
}

impl Address {
    /// `None` for what is no address with http or https.
    pub(crate) fn of(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim().split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return None;
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or_default();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let origin = format!("{scheme}://{}", host.to_ascii_lowercase());
        (!host.is_empty()).then_some(Self { origin, path })
    }

    /// What a reference in the file at this address means; `None` where it leads to another origin, or nowhere.
    pub(crate) fn to(&self, reference: &str) -> Option<Self> {
        let reference = reference.trim().split('#').next().unwrap_or_default();
        if let Some(rest) = reference.strip_prefix("//") {
            let scheme = self.origin.split_once("://")?.0;
            return Self::of(&format!("{scheme}://{rest}")).filter(|it| it.origin == self.origin);
        }
        let scheme = reference.split_once(':').map(|(scheme, _)| scheme);
        if scheme
            .is_some_and(|it| it.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)))
        {
            return Self::of(reference).filter(|it| it.origin == self.origin);
        }
        let (path, query) = match reference.split_once('?') {
            Some((path, query)) => (path, format!("?{query}")),
            None => (reference, String::new()),
        };
        if path.is_empty() {
            return None;
        }
        let here = self.path.split('?').next().unwrap_or_default();
        let path = joined(here, path);
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        Some(Self { origin: self.origin.clone(), path: path + &query })
    }

    /// The same with `.map` behind its path.
    pub(crate) fn with_map(&self) -> Self {
        let path = self.path.split('?').next().unwrap_or_default();
        Self { origin: self.origin.clone(), path: format!("{path}.map") }
    }

    /// The whole of it.
    pub(crate) fn text(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }
}

/// What a page names in `src` and `href` that ends like a script or a style, in its order.
pub(crate) fn assets(html: &str) -> Vec<String> {
    let lower = html.to_ascii_lowercase();
    let mut found: Vec<String> = Vec::new();
    for (at, _) in lower.match_indices('=') {
        let before = lower[..at].trim_end();
        if !before.ends_with("src") && !before.ends_with("href") {
            continue;
        }
        let value = html[at + 1..].trim_start();
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split(quote).next(),
            _ => value.split(|c: char| c.is_whitespace() || c == '>').next(),
        };
        let value = value.unwrap_or_default().replace("&amp;", "&");
        let path = value.split(['?', '#']).next().unwrap_or_default();
        let is_asset = [".js", ".mjs", ".css"].iter().any(|ending| path.ends_with(ending));
        if is_asset && !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_followed_within_their_origin() {
        let page = Address::of("HTTPS://Shop.example.com/a/b.html?x#y").unwrap();
        assert_eq!(page.text(), "https://shop.example.com/a/b.html?x");
        let to = |reference: &str| page.to(reference).map(|it| it.text());
        let at = |path: &str| Some(format!("https://shop.example.com{path}"));
        assert_eq!(to("c.js?v=1#z"), at("/a/c.js?v=1"));
        assert_eq!(to("../c.js"), at("/c.js"));
        assert_eq!(to("/d/./c.js"), at("/d/c.js"));
        assert_eq!(to("//shop.example.com/e.js"), at("/e.js"));
        assert_eq!(to("https://shop.example.com/e.js"), at("/e.js"));
        for other in ["https://cdn.example.com/e.js", "//cdn/e.js", "data:text/plain,x", "", "#x"] {
            assert_eq!(to(other), None, "{other}");
        }
        assert_eq!(page.to("c.js?v=1").unwrap().with_map().path, "/a/c.js.map");
        assert_eq!(Address::of("ftp://a/"), None);
        assert_eq!(Address::of("http://h:8080").unwrap().text(), "http://h:8080/");
    }

    #[test]
    fn a_page_names_its_scripts_and_styles() {
        let html = "<link rel=stylesheet href=/a.css><LINK HREF = '/b.css?x=1&amp;y=2'>\
                    <script src=\"./c.js\"></script><script src=c.mjs></script><img src=\"d.png\">\
                    <a href=\"/e\">\u{e4}</a><script src=\"./c.js\"></script>";
        assert_eq!(assets(html), ["/a.css", "/b.css?x=1&y=2", "./c.js", "c.mjs"]);
        assert!(assets("").is_empty());
    }
}
