//! Paths with `/`, relative to a folder of the source.

/// Two paths, one below the other; either may be empty.
pub fn join(base: &str, path: &str) -> String {
    match (base.trim_end_matches('/'), path) {
        ("", path) => path.to_owned(),
        (base, "") => base.to_owned(),
        (base, path) => format!("{base}/{path}"),
    }
}

/// A path without `.`, `..` and slashes at its ends; what leads out of the folder stays in it.
pub fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_their_folder() {
        assert_eq!(normal("client/../dist/"), "dist");
        assert_eq!(normal("../../etc"), "etc");
        assert_eq!(normal("./a//b"), "a/b");
        assert_eq!(join("/app/", "a"), "/app/a");
        assert_eq!((join("", "a"), join("a", "")), ("a".to_owned(), "a".to_owned()));
    }
}
