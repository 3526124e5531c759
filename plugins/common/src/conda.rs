//! `environment.yml`: what an application declares for Conda, as far as pip can install it.

use serde_json::Value;
use windlass_sdk::Source;

use crate::yaml;

/// Names of the file, the first that is there counts.
pub const FILES: [&str; 2] = ["environment.yml", "environment.yaml"];
/// Packages that come with every environment of Python.
const BROUGHT: [&str; 4] = ["python", "pip", "setuptools", "wheel"];
/// Packages that a message names.
const NAMED_MAX: usize = 8;

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conda {
    /// Its name.
    pub file: &'static str,
    /// What is asked of Python: `3.11`, `>=3.10,<3.13`.
    pub python: Option<String>,
    /// What stands below `pip:`, requirements and options of pip, as it is written.
    pub pip: Vec<String>,
    /// Names of the packages that only Conda's channels have.
    pub packages: Vec<String>,
    /// Why it does not read.
    pub unread: Option<String>,
}

impl Conda {
    /// The environment of a folder; `None` without one.
    pub fn read(source: &Source) -> Option<Self> {
        source.prefetch(&FILES);
        let text = |file: &'static str| Some((file, source.text(file).ok().flatten()?));
        let (file, text) = FILES.into_iter().find_map(text)?;
        Self::parse(file, &text)
    }

    /// Reads the text of the file; `None` if it lists no dependencies, and is another program's.
    pub fn parse(file: &'static str, text: &str) -> Option<Self> {
        if !text.lines().any(|line| line.starts_with("dependencies:")) {
            return None;
        }
        let mut found = Self { file, ..Self::default() };
        let value = match yaml::parse(text) {
            Ok(value) => value,
            Err(why) => return Some(Self { unread: Some(why), ..found }),
        };
        let list = value.get("dependencies").and_then(Value::as_array);
        for item in list.into_iter().flatten() {
            if let Some(pip) = item.get("pip") {
                let lines = pip.as_array().into_iter().flatten().map(yaml::text_of);
                found.pip.extend(lines.filter(|line| !line.trim().is_empty()));
            } else {
                found.take(&yaml::text_of(item));
            }
        }
        Some(found)
    }

    /// Takes `conda-forge::numpy=1.26=py311_0`, `python>=3.10`.
    fn take(&mut self, spec: &str) {
        let spec = spec.rsplit("::").next().unwrap_or(spec).trim();
        let end = spec.find(|c: char| " =<>!~[".contains(c)).unwrap_or(spec.len());
        let (name, rest) = (spec[..end].to_ascii_lowercase(), spec[end..].trim());
        if name == "python" {
            self.python = version(rest);
        } else if !name.is_empty() && !BROUGHT.contains(&name.as_str()) {
            self.packages.push(name);
        }
    }

    /// Whether pip can install all of it.
    pub fn is_for_pip(&self) -> bool {
        self.packages.is_empty() && self.unread.is_none()
    }

    /// Why pip cannot install all of it; `None` where it can.
    pub fn refused(&self) -> Option<String> {
        let file = self.file;
        if let Some(why) = &self.unread {
            return Some(format!("{file} does not read: {why}"));
        }
        let named: Vec<&str> = self.packages.iter().take(NAMED_MAX).map(String::as_str).collect();
        let more = match self.packages.len() - named.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let names = named.join(", ");
        (!named.is_empty()).then(|| {
            format!("{file} asks for packages of Conda, which cannot be had here: {names}{more}")
        })
    }

    /// The arguments of `pip install`.
    pub fn arguments(&self) -> Vec<String> {
        let words = |line: &String| -> Vec<String> {
            // An option stands before its value, a requirement is one argument whatever is in it.
            match line.trim().split_once([' ', '=']).filter(|_| line.trim().starts_with('-')) {
                Some((option, value)) => vec![option.to_owned(), value.trim().to_owned()],
                None => vec![line.trim().to_owned()],
            }
        };
        self.pip.iter().flat_map(words).collect()
    }

    /// Whether pip reads files of the source: requirements files, the application itself.
    pub fn reads_files(&self) -> bool {
        let local = |line: &String| {
            let line = line.trim();
            let options = ["-r", "-c", "-e", "-f", "--requirement", "--constraint", "--editable"];
            let first = line.split([' ', '=']).next().unwrap_or_default();
            options.contains(&first)
                || line.starts_with(['.', '/'])
                || line.starts_with("--find-links")
                || line.contains("file:")
        };
        self.pip.iter().any(local)
    }
}

/// A version as pip's world writes it: `=3.11` is `3.11`, and a build of it means nothing.
fn version(text: &str) -> Option<String> {
    let text = text.trim();
    let text = match text.strip_prefix('=') {
        Some(fuzzy) if !fuzzy.starts_with('=') => fuzzy,
        _ => text,
    };
    let end = match text.find(|c: char| c.is_ascii_digit()) {
        Some(0) => text.find('=').unwrap_or(text.len()),
        _ => text.len(),
    };
    let text = text[..end].replace(".*", "").replace(' ', "");
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Conda {
        Conda::parse(FILES[0], text).unwrap()
    }

    #[test]
    fn an_environment_of_pips_packages_alone_can_be_had() {
        let conda = parse(
            "name: x\nchannels: [conda-forge]\ndependencies:\n  - python=3.12\n  - pip\n  - pip:\n    \
             - flask>=3\n    - celery[redis] ; python_version > '3'\n    - -r more.txt\n    - --index-url=https://x.test\n",
        );
        assert!(conda.is_for_pip() && conda.reads_files());
        assert_eq!((conda.python.as_deref(), conda.refused()), (Some("3.12"), None));
        assert_eq!(
            conda.arguments(),
            [
                "flask>=3",
                "celery[redis] ; python_version > '3'",
                "-r",
                "more.txt",
                "--index-url",
                "https://x.test"
            ]
        );
        assert!(!parse("dependencies:\n- pip:\n  - flask\n").reads_files());
        assert!(parse("dependencies:\n- python\n- pip:\n").is_for_pip());
    }

    #[test]
    fn packages_of_conda_are_named() {
        let text = "dependencies:\n- python=3.11.5=h2_0\n- conda-forge::GDAL=3.8\n- numpy >=1.2\n- pip:\n  - flask\n";
        let conda = parse(text);
        assert!(!conda.is_for_pip());
        assert_eq!(
            conda.refused().unwrap(),
            "environment.yml asks for packages of Conda, which cannot be had here: gdal, numpy"
        );
        let many: String = (0..11).map(|n| format!("- p{n}\n")).collect();
        assert!(
            parse(&format!("dependencies:\n{many}")).refused().unwrap().ends_with("p7 and 3 more")
        );
        let broken = parse("dependencies:\n  - 'a\n").refused().unwrap();
        assert!(broken.starts_with("environment.yml does not read: "), "{broken}");
        assert_eq!(Conda::parse(FILES[0], "name: x\n"), None);
    }

    #[test]
    fn versions_of_conda_are_those_of_pip() {
        for (spec, expected) in [
            ("python=3.11", Some("3.11")),
            ("python==3.11.4", Some("==3.11.4")),
            ("python=3.11.5=h955ad1f_0", Some("3.11.5")),
            ("python 3.12.*", Some("3.12")),
            ("python >=3.10, <3.13", Some(">=3.10,<3.13")),
            ("python", None),
        ] {
            let conda = parse(&format!("dependencies:\n- \"{spec}\"\n"));
            assert_eq!(conda.python.as_deref(), expected, "{spec}");
        }
    }
}
