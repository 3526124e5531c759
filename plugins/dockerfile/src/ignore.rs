//! Ignore files: which one counts, and its lines as the host's copies take them.

use windlass_sdk::{PluginError, Source};

/// The lines of the Dockerfile's own ignore file, else of `.dockerignore`.
pub(crate) fn rules(source: &Source, dockerfile: &str) -> Result<Vec<String>, PluginError> {
    let own = format!("{dockerfile}.dockerignore");
    source.prefetch(&[&own, ".dockerignore"]);
    let text = match source.text(&own)? {
        Some(text) => Some(text),
        None => source.text(".dockerignore")?,
    };
    Ok(text.map(|text| lines(&text)).unwrap_or_default())
}

/// Comments and empty lines go; paths are cleaned; `!` stays in front. A line that leads out of the context
/// matches nothing, unless it begins at the root: above that there is nothing.
fn lines(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let line = line.trim();
        let (taken_back, body) = match line.strip_prefix('!') {
            Some(rest) => ("!", rest.trim()),
            None => ("", line),
        };
        if !body.is_empty() && (body.starts_with('/') || !leads_out(body)) {
            let body = clean(body);
            // The context itself cannot be left out.
            if !body.is_empty() && body != "." {
                lines.push(format!("{taken_back}{body}"));
            }
        }
    }
    lines
}

/// Whether a path has more `..` than folders to leave.
fn leads_out(path: &str) -> bool {
    let mut depth = 0_usize;
    for part in path.split('/') {
        depth = match part {
            "" | "." => depth,
            ".." if depth == 0 => return true,
            ".." => depth - 1,
            _ => depth + 1,
        };
    }
    false
}

/// Without `.`, `..`, doubled slashes and slashes at both ends.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cleaned_and_comments_go() {
        let text = "# a comment\n\n  node_modules/  \n/dist\n!  /dist/keep/./x \n # no comment\n\
                    a//b/../c\n**/*.md\n!\n.\n../x\na/../../x\n!../x\n..\n/../y\na/../z\n";
        assert_eq!(
            lines(text),
            ["node_modules", "dist", "!dist/keep/x", "# no comment", "a/c", "**/*.md", "y", "z"]
        );
    }
}
