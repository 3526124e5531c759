//! `go.mod` and `go.work`, as far as a build needs them.

/// What a `go.mod` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Module {
    /// Path of the module.
    pub(crate) path: String,
    /// The directive `go`.
    pub(crate) go: Option<String>,
    /// The directive `toolchain`.
    pub(crate) toolchain: Option<String>,
    /// Modules that it requires itself, each with its line number.
    pub(crate) requires: Vec<(String, usize)>,
    /// All modules that it names, each with its version.
    pub(crate) versions: Vec<(String, String)>,
    /// Folders that stand in for modules.
    pub(crate) local: Vec<String>,
}

impl Module {
    /// Reads a `go.mod`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut module = Self::default();
        for (n, directive, rest, indirect) in directives(text) {
            let mut words = rest.split_whitespace();
            if let ("require", Some(path), Some(version)) = (directive, words.next(), words.next())
            {
                module.versions.push((path.trim_matches('"').to_owned(), version.to_owned()));
            }
            let first = || rest.split_whitespace().next().unwrap_or_default().trim_matches('"');
            match directive {
                "module" => first().clone_into(&mut module.path),
                "go" => module.go = Some(first().to_owned()),
                "toolchain" => module.toolchain = Some(first().to_owned()),
                "require" if !indirect => module.requires.push((first().to_owned(), n)),
                "replace" => {
                    let target = rest.split("=>").nth(1).unwrap_or_default();
                    let target = target.split_whitespace().next().unwrap_or_default();
                    if target.starts_with(['.', '/']) {
                        module.local.push(target.to_owned());
                    }
                }
                _ => {}
            }
        }
        module
    }

    /// Name that a program of its root has: `example.com/shop/v2` is `shop`.
    pub(crate) fn name(&self) -> &str {
        let version =
            |part: &&str| part.strip_prefix('v').is_some_and(|rest| rest.parse::<u32>().is_ok());
        let parts = self.path.rsplit('/').find(|part| !version(part) && !part.is_empty());
        parts.map_or("app", |name| name.split('.').next().unwrap_or(name))
    }

    /// The version of a module that it names, directly or as what another one needs.
    pub(crate) fn version(&self, path: &str) -> Option<&str> {
        let found = self.versions.iter().find(|(required, _)| required == path);
        found.map(|(_, version)| version.as_str())
    }

    /// Line of the requirement of a module, whatever its major version.
    pub(crate) fn requires(&self, path: &str) -> Option<usize> {
        let is = |required: &str| {
            required.strip_prefix(path).is_some_and(|rest| {
                rest.is_empty() || rest.starts_with("/v") && !rest[2..].contains('/')
            })
        };
        self.requires.iter().find(|(required, _)| is(required)).map(|(_, line)| *line)
    }
}

/// The folders that a `go.work` uses, without `./`; `""` is the root.
pub(crate) fn used(text: &str) -> Vec<String> {
    let used = directives(text).into_iter().filter(|(_, directive, ..)| *directive == "use");
    let folder = |rest: &str| {
        let path = rest.trim().trim_matches('"').trim_start_matches("./").trim_end_matches('/');
        if path == "." { String::new() } else { path.to_owned() }
    };
    used.map(|(_, _, rest, _)| folder(rest)).collect()
}

/// The directives, blocks taken apart: line, name, rest, and whether `// indirect` follows.
fn directives(text: &str) -> Vec<(usize, &str, &str, bool)> {
    let mut block = None;
    let mut found = Vec::new();
    for (n, line) in text.lines().enumerate() {
        let (code, comment) = line.split_once("//").unwrap_or((line, ""));
        let code = code.trim();
        let indirect = comment.trim().starts_with("indirect");
        match (block, code) {
            (_, "") => {}
            (Some(_), ")") => block = None,
            (Some(name), rest) => found.push((n + 1, name, rest, indirect)),
            (None, _) => {
                let (name, rest) = code.split_once(char::is_whitespace).unwrap_or((code, ""));
                if rest.trim() == "(" {
                    block = Some(name);
                } else if let Some(name) = name.strip_suffix('(') {
                    block = Some(name);
                } else {
                    found.push((n + 1, name, rest.trim(), indirect));
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_file_is_read() {
        let module = Module::parse(
            "module example.com/shop/v2 // x\n\ngo 1.22.3\ntoolchain go1.23.1\n\nrequire (\n\
             \tgithub.com/labstack/echo/v4 v4.1.0\n\tgolang.org/x/sys v0.1.0 // indirect\n)\n\
             require github.com/go-chi/chi v1.0.0\nreplace example.com/lib => ../lib\n",
        );
        assert_eq!((module.name(), module.go.as_deref()), ("shop", Some("1.22.3")));
        assert_eq!(module.toolchain.as_deref(), Some("go1.23.1"));
        assert_eq!(module.requires("github.com/labstack/echo"), Some(7));
        assert_eq!(module.requires("github.com/go-chi/chi"), Some(10));
        assert_eq!(module.requires("golang.org/x/sys"), None);
        assert_eq!(module.version("golang.org/x/sys"), Some("v0.1.0"));
        assert_eq!(module.version("github.com/go-chi/chi"), Some("v1.0.0"));
        assert_eq!(module.requires("github.com/labstack"), None);
        assert_eq!(module.local, ["../lib"]);
    }

    #[test]
    fn a_workspace_names_its_folders() {
        assert_eq!(used("go 1.22\nuse (\n\t./api\n\t./lib/ // x\n)\nuse .\n"), ["api", "lib", ""]);
    }
}
