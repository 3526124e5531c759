//! The value that a configuration in JavaScript exports, as far as it is written out: objects, lists and text.
//!
//! **Invariant: no code is run.** What is computed is kept as its text, and is no value.

use windlass_plugin_common::yaml;

/// Nesting of a value that is read.
const DEPTH_MAX: usize = 16;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    /// Anything else: a number, or what is computed.
    Code(String),
}

impl Value {
    /// The member of a map.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The text of a member.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A text, a number or a boolean, as text; `None` for what is computed.
    pub(super) fn plain(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Code(code) => {
                let number = code.parse::<f64>().is_ok();
                (number || matches!(code.as_str(), "true" | "false")).then(|| code.clone())
            }
            Self::List(_) | Self::Map(_) => None,
        }
    }

    fn of_json(json: &serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Object(map) => Self::Map(
                map.iter().map(|(key, value)| (key.clone(), Self::of_json(value))).collect(),
            ),
            Json::Array(all) => Self::List(all.iter().map(Self::of_json).collect()),
            Json::String(text) => Self::Text(text.clone()),
            other => Self::Code(other.to_string()),
        }
    }
}

/// What a file of this name and text exports: `module.exports = {…}`, `export default {…}`, a name that is declared
/// before, or JSON and YAML as a whole. `None` where that is nothing that is written out.
pub(super) fn exported(file: &str, text: &str) -> Option<Value> {
    let text = text.trim_start_matches('\u{feff}');
    if file.ends_with(".yml") || file.ends_with(".yaml") {
        return yaml::parse(text).ok().map(|json| Value::of_json(&json));
    }
    if file.ends_with(".json") {
        return of(text);
    }
    let after = |sign: &str| text.split_once(sign).map(|(_, rest)| rest.trim_start());
    let whole = after("export default").or_else(|| {
        let rest = after("module.exports")?;
        rest.strip_prefix(".apps").unwrap_or(rest).trim_start().strip_prefix('=')
    });
    match of(whole?)? {
        Value::Code(code) => {
            let name = code.lines().next().unwrap_or_default().trim();
            let declared = ["const", "let", "var"].iter().find_map(|keyword| {
                let rest = after(&format!("{keyword} {name}"))?;
                rest.strip_prefix('=')
            });
            of(declared?)
        }
        value => Some(value),
    }
    .filter(|value| !matches!(value, Value::Code(_) | Value::Text(_)))
}

fn of(text: &str) -> Option<Value> {
    Reader { rest: text }.value(0)
}

#[derive(Clone, Copy)]
struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    /// Past blanks and comments.
    fn blanks(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            let end = if self.rest.starts_with("//") {
                self.rest.find('\n').unwrap_or(self.rest.len())
            } else if self.rest.starts_with("/*") {
                self.rest.find("*/").map_or(self.rest.len(), |end| end + 2)
            } else {
                return;
            };
            self.rest = &self.rest[end..];
        }
    }

    fn take(&mut self, sign: char) -> bool {
        self.blanks();
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        self.blanks();
        let begun = *self;
        let value = match self.rest.chars().next()? {
            _ if depth > DEPTH_MAX => return None,
            '{' => self.map(depth),
            '[' => self.list(depth),
            '"' | '\'' | '`' => self.text().map(Value::Text),
            _ => None,
        };
        // `"a" + b` and `{}.c` are computed.
        self.blanks();
        let ends = self.rest.is_empty() || self.rest.starts_with([',', '}', ']', ')', ';']);
        let plain = ends || depth == 0 && !matches!(value, Some(Value::Text(_)));
        match value {
            Some(value) if plain => Some(value),
            _ => {
                *self = begun;
                Some(Value::Code(self.code()))
            }
        }
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        let mut all = Vec::new();
        self.take('[');
        while !self.take(']') {
            all.push(self.value(depth + 1)?);
            if !self.take(',') {
                return self.take(']').then_some(Value::List(all));
            }
        }
        Some(Value::List(all))
    }

    fn map(&mut self, depth: usize) -> Option<Value> {
        let mut all = Vec::new();
        self.take('{');
        while !self.take('}') {
            if self.rest.starts_with("...") {
                self.code();
            } else {
                let key = self.key()?;
                if self.take(':') {
                    all.push((key, self.value(depth + 1)?));
                } else {
                    // `{ name }`, a method: nothing that is written out.
                    self.code();
                    all.push((key.clone(), Value::Code(key)));
                }
            }
            if !self.take(',') {
                return self.take('}').then_some(Value::Map(all));
            }
        }
        Some(Value::Map(all))
    }

    fn key(&mut self) -> Option<String> {
        self.blanks();
        if self.rest.starts_with(['"', '\'']) {
            return self.text();
        }
        let letters = |c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$' | '-'));
        let end = self.rest.find(letters).unwrap_or(self.rest.len());
        let (key, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!key.is_empty()).then(|| key.to_owned())
    }

    /// A text in quotes; `None` for a template with something in it.
    fn text(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'u' | 'x' => return None,
                    '\n' => {}
                    other => text.push(other),
                },
                '$' if quote == '`' && self.rest[at..].starts_with("${") => return None,
                c if c == quote => {
                    self.rest = &self.rest[at + c.len_utf8()..];
                    return Some(text);
                }
                c => text.push(c),
            }
        }
        None
    }

    /// What is computed, as far as the end of its member.
    fn code(&mut self) -> String {
        let (mut depth, mut quote, mut escaped) = (0_usize, None, false);
        let end = self.rest.char_indices().find_map(|(at, c)| {
            match (quote, c) {
                _ if escaped => escaped = false,
                (Some(_), '\\') => escaped = true,
                (Some(open), c) if c == open => quote = None,
                (Some(_), _) => {}
                (None, '"' | '\'' | '`') => quote = Some(c),
                (None, '(' | '[' | '{') => depth += 1,
                (None, ')' | ']' | '}') if depth > 0 => depth -= 1,
                (None, ',' | ';' | ')' | ']' | '}') if depth == 0 => return Some(at),
                _ => {}
            }
            None
        });
        let (code, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        code.split("//").next().unwrap_or(code).trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_out_is_read_and_what_is_computed_is_kept_as_code() {
        let text = "const path = require('path') // a\nmodule.exports = {\n  apps: [{\n    name: 'api', // b\n    \
                    \"script\": `dist/main.js`, instances: os.cpus().length, args: ['--a', \"it's\"],\n    \
                    cwd: path.join(__dirname, 'x'), env: { ...process.env, A: 1, B: 'x' + y, on: true },\n    \
                    log() { return {} },\n  },],\n}\n";
        let value = exported("ecosystem.config.js", text).unwrap();
        let Some(Value::List(apps)) = value.get("apps") else { panic!("{value:?}") };
        let app = &apps[0];
        assert_eq!((app.text("name"), app.text("script")), (Some("api"), Some("dist/main.js")));
        assert_eq!(app.get("instances"), Some(&Value::Code("os.cpus().length".to_owned())));
        assert_eq!(app.get("cwd").unwrap().plain(), None);
        let env = app.get("env").unwrap();
        let plain = |key: &str| env.get(key).unwrap().plain();
        assert_eq!(
            (plain("A"), plain("B"), plain("on")),
            (Some("1".into()), None, Some("true".into()))
        );
        let Some(Value::List(args)) = app.get("args") else { panic!("{app:?}") };
        assert_eq!(args[1], Value::Text("it's".to_owned()));
    }

    #[test]
    fn every_form_of_the_file_is_read() {
        for (file, text) in [
            ("ecosystem.config.js", "export default { apps: [{ script: 'a.js' }] };"),
            (
                "ecosystem.config.cjs",
                "const config = {apps: [{script: 'a.js'}]}\nmodule.exports = config",
            ),
            ("ecosystem.config.js", "module.exports.apps = [{script: \"a.js\"}]"),
            ("ecosystem.json", "{ /* a */ \"apps\": [{\"script\": \"a.js\"}] }"),
            ("processes.yml", "apps:\n  - script: a.js\n"),
        ] {
            let value = exported(file, text).unwrap();
            let apps = value.get("apps").unwrap_or(&value);
            let Value::List(apps) = apps else { panic!("{file}: {value:?}") };
            assert_eq!(apps[0].text("script"), Some("a.js"), "{file}");
        }
        for text in
            ["module.exports = load()", "module.exports = {", "x", "module.exports = { apps: ["]
        {
            assert_eq!(exported("ecosystem.config.js", text), None, "{text}");
        }
    }
}
