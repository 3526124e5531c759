//! Files that pin the versions of toolchains, as text: a version in one line, `.tool-versions`,
//! `mise.toml`, `.sdkmanrc` and other properties.

/// The file of asdf, which mise reads too.
pub const TOOL_VERSIONS: &str = ".tool-versions";
/// The names of mise's own file, the first one first.
pub const MISE: [&str; 2] = ["mise.toml", ".mise.toml"];
/// Files that pin several toolchains, worth a prefetch.
pub const FILES: [&str; 3] = [TOOL_VERSIONS, MISE[0], MISE[1]];

/// The first line that says something: of `.nvmrc`, `.ruby-version`, `.java-version`.
pub fn first_line(text: &str) -> Option<&str> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    lines.into_iter().find(|line| !line.is_empty() && !line.starts_with('#'))
}

/// The version in `.tool-versions` of the first of these names that it has.
pub fn tool_versions<'a>(text: &'a str, names: &[&str]) -> Option<&'a str> {
    names.iter().find_map(|name| {
        text.lines().find_map(|line| {
            let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
            (words.next() == Some(name)).then(|| words.next()).flatten()
        })
    })
}

/// The version in the table `tools` of `mise.toml` of the first of these names that it has.
pub fn mise(text: &str, names: &[&str]) -> Option<String> {
    let table: toml::Table = toml::from_str(text).ok()?;
    let tools = table.get("tools")?.as_table()?;
    names.iter().find_map(|name| {
        let is = |key: &str| key == *name || key.ends_with(&format!(":{name}"));
        let (_, value) = tools.iter().find(|(key, _)| is(key))?;
        let value = value.as_array().and_then(|list| list.first()).unwrap_or(value);
        let value = value.get("version").unwrap_or(value);
        match value {
            toml::Value::String(text) => Some(text.clone()),
            toml::Value::Integer(_) | toml::Value::Float(_) => Some(value.to_string()),
            _ => None,
        }
    })
}

/// The value of a key of a properties file: `java=21.0.2-tem`, `distributionUrl=https\://…`.
pub fn property<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().map(str::trim).filter(|line| !line.starts_with(['#', '!'])).find_map(|line| {
        let (name, value) = line.split_once(['=', ':'])?;
        (name.trim() == key).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_in_each_form() {
        assert_eq!(first_line("\n# x\n 3.2.1 \n"), Some("3.2.1"));
        assert_eq!(
            tool_versions("ruby 3.2.1 # x\nnodejs 22 20\n", &["node", "nodejs"]),
            Some("22")
        );
        assert_eq!(tool_versions("rubyx 3\n", &["ruby"]), None);
        for text in [
            "[tools]\nruby = '3.2'",
            "[tools]\n\"core:ruby\" = ['3.2', '3.1']",
            "[tools.ruby]\nversion = '3.2'",
            "[tools]\nruby = 3.2",
        ] {
            assert_eq!(mise(text, &["ruby"]).as_deref(), Some("3.2"), "{text}");
        }
        assert_eq!(mise("[tools]\nnode = '22'", &["ruby"]), None);
        assert_eq!(property("# java=8\njava = 21.0.2-tem\n", "java"), Some("21.0.2-tem"));
    }
}
