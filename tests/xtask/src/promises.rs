//! `host/PROMISES.md` names a test for every promise; here it is checked that they exist.

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use crate::process::root;

    /// Names of all tests in the Rust files below a folder.
    fn tests(folder: &Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                tests(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.extend(tests_in(&std::fs::read_to_string(&path).unwrap()));
            }
        }
    }

    /// Names of the functions that stand behind an attribute `#[test]` or `#[….::test…]`.
    fn tests_in(text: &str) -> Vec<String> {
        let mut is_test = false;
        let mut found = Vec::new();
        for line in text.lines().map(str::trim) {
            let attribute = line.strip_prefix("#[").unwrap_or_default();
            is_test |= attribute.starts_with("test]") || attribute.contains("::test");
            if let Some((before, rest)) = line.split_once("fn ") {
                let name = rest.split('(').next().unwrap_or_default();
                if is_test && matches!(before.trim(), "" | "async" | "pub" | "pub async") {
                    found.push(name.to_owned());
                }
                is_test = false;
            }
        }
        found
    }

    #[test]
    fn only_what_is_run_as_a_test_counts() {
        let text = "#[test]\nfn one() {}\nfn helper() {}\n#[tokio::test(flavor = \"x\")]\nasync fn two() {}";
        assert_eq!(tests_in(text), ["one", "two"]);
    }

    /// What stands between backquotes and looks like the name of a test.
    fn promised(text: &str) -> Vec<&str> {
        let is_name = |word: &&str| {
            word.contains('_')
                && word.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
        };
        text.split('`').skip(1).step_by(2).filter(is_name).collect()
    }

    #[test]
    fn every_promise_names_a_test_that_exists() {
        let text = std::fs::read_to_string(root().join("host/PROMISES.md")).unwrap();
        let mut found = BTreeSet::new();
        for folder in ["host", "sdk", "plugins", "tests"] {
            tests(&root().join(folder), &mut found);
        }
        let promised = promised(&text);
        assert!(promised.len() > 40, "only {} tests are named", promised.len());
        let missing: Vec<&str> =
            promised.into_iter().filter(|name| !found.contains(*name)).collect();
        assert!(missing.is_empty(), "no such test: {missing:#?}");
    }

    #[test]
    fn every_numbered_promise_names_one() {
        let text = std::fs::read_to_string(root().join("host/PROMISES.md")).unwrap();
        let mut promises = Vec::new();
        for line in text.lines() {
            match line.split_once(". **") {
                Some((number, _)) if number.parse::<u32>().is_ok() => {
                    promises.push(line.to_owned());
                }
                _ if line.starts_with(' ') => {
                    promises.last_mut().unwrap().push_str(line);
                }
                _ => {}
            }
        }
        assert!(promises.len() > 30);
        for promise in promises {
            assert!(!promised(&promise).is_empty(), "no test is named: {promise}");
        }
    }
}
