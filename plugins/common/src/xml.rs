//! A small reader of XML for build files such as `pom.xml` and `*.csproj`: elements, attributes and text.
//!
//! **Invariant: lenient and bounded.** Namespaces are dropped from names, unknown entities stay as they
//! are, and nothing is fetched or expanded; a file that is not XML gives `None`.

/// Nesting beyond this is no build file.
const DEPTH_MAX: usize = 64;

/// An element with what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Element {
    /// Its name without the namespace's prefix.
    pub name: String,
    /// Names and values.
    pub attributes: Vec<(String, String)>,
    /// Text directly in it, trimmed.
    pub text: String,
    /// Elements in it, in order.
    pub children: Vec<Element>,
    /// Line of its start, from 1.
    pub line: usize,
}

impl Element {
    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The element at the end of a path of names, the first of each.
    pub fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |element, name| element.child(name))
    }

    /// The children of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// Text at the end of a path, if there is any.
    pub fn text_at(&self, path: &[&str]) -> Option<&str> {
        self.at(path).map(|element| element.text.as_str()).filter(|text| !text.is_empty())
    }

    /// Value of an attribute; the case of its name does not matter.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The element itself and all below it, in the order of the file.
    pub fn walk(&self) -> Vec<&Self> {
        let mut found = vec![self];
        for child in &self.children {
            found.extend(child.walk());
        }
        found
    }

    /// The elements of that name, at any depth.
    pub fn find(&self, name: &str) -> Vec<&Self> {
        self.walk().into_iter().filter(|element| element.name == name).collect()
    }
}

/// Reads a document; gives its root element.
pub fn parse(text: &str) -> Option<Element> {
    let mut open: Vec<Element> = Vec::new();
    let mut at = 0;
    let mut line = 1;
    while let Some(start) = text.get(at..)?.find('<') {
        let before = &text[at..at + start];
        if let Some(element) = open.last_mut() {
            element.text.push_str(&unescaped(before));
        }
        line += lines(before);
        at += start;
        let rest = &text[at..];
        let length = markup(rest)?;
        let tag = &rest[..length];
        if let Some(data) = tag.strip_prefix("<![CDATA[") {
            if let Some(element) = open.last_mut() {
                element.text.push_str(data.trim_end_matches("]]>"));
            }
        } else if let Some(name) = tag.strip_prefix("</") {
            let element = closed(&mut open, name)?;
            match open.last_mut() {
                Some(parent) => parent.children.push(element),
                None => return Some(element),
            }
        } else if !tag.starts_with("<!") && !tag.starts_with("<?") {
            let empty = tag.ends_with("/>");
            let element = opened(tag, line);
            let depth = open.len();
            match (empty, open.last_mut()) {
                (true, Some(parent)) => parent.children.push(element),
                (true, None) => return Some(element),
                (false, _) if depth >= DEPTH_MAX => return None,
                (false, _) => open.push(element),
            }
        }
        line += lines(tag);
        at += length;
    }
    None
}

/// Bytes of the markup that the text starts with.
fn markup(rest: &str) -> Option<usize> {
    for (start, end) in [("<!--", "-->"), ("<![CDATA[", "]]>"), ("<?", "?>")] {
        if rest.starts_with(start) {
            return rest.find(end).map(|at| at + end.len());
        }
    }
    let mut quote = None;
    for (at, c) in rest.char_indices() {
        match (quote, c) {
            (None, '>') => return Some(at + 1),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn opened(tag: &str, line: usize) -> Element {
    let inner = tag.trim_start_matches('<').trim_end_matches('>').trim_end_matches('/');
    let end = inner.find(char::is_whitespace).unwrap_or(inner.len());
    let mut element = Element { name: local(&inner[..end]), line, ..Element::default() };
    let mut rest = inner[end..].trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let Some(quote) = after.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            break;
        };
        let Some((value, next)) = after[1..].split_once(quote) else {
            break;
        };
        element.attributes.push((local(name.trim()), unescaped(value)));
        rest = next.trim_start();
    }
    element
}

fn closed(open: &mut Vec<Element>, name: &str) -> Option<Element> {
    let mut element = open.pop()?;
    if element.name != local(name.trim_end_matches('>').trim()) {
        return None;
    }
    element.text = element.text.trim().to_owned();
    Some(element)
}

fn local(name: &str) -> String {
    name.rsplit(':').next().unwrap_or(name).to_owned()
}

fn unescaped(text: &str) -> String {
    if !text.contains('&') {
        return text.to_owned();
    }
    let pairs = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    pairs.iter().fold(text.to_owned(), |text, (name, c)| text.replace(name, c))
}

fn lines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_attributes_and_text_are_read() {
        let text = "\u{feff}<?xml version='1.0'?>\n<!-- a > b -->\n<m:project xmlns:m='x>y'>\n\
                    <a k=\"1 &amp; 2\" l='3'/>\n<b> t&lt; <c>x</c><![CDATA[<d>]]></b></m:project>";
        let root = parse(text).unwrap();
        assert_eq!((root.name.as_str(), root.line), ("project", 3));
        let a = root.child("a").unwrap();
        assert_eq!((a.attribute("K"), a.attribute("l"), a.line), (Some("1 & 2"), Some("3"), 4));
        assert_eq!(root.text_at(&["b", "c"]), Some("x"));
        assert_eq!(root.child("b").unwrap().text, "t< <d>");
        assert_eq!(root.find("c").len(), 1);
    }

    #[test]
    fn what_is_not_xml_is_nothing() {
        for text in ["", "name: x", "<a>", "<a><b></a></b>", "<a", "<!-- <a/>"] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&"<a>".repeat(1_000)), None);
    }
}
