//! `requirements*.txt`: what is pinned in it.

use crate::python::required_name;
use crate::{Ecosystem, Hash, Locked, Package};

pub(crate) fn read(text: &str) -> Result<Locked, String> {
    let mut locked = Locked::default();
    let mut loose = 0_usize;
    for line in joined(text) {
        let line = line.split(" #").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with(['#', '-']) {
            continue;
        }
        match pinned(line) {
            Some(package) => locked.packages.push(package),
            None => loose += 1,
        }
    }
    if loose > 0 {
        locked.notes.push(format!(
            "requirements without an exact version (==), which are left out: {loose}"
        ));
    }
    Ok(locked)
}

/// Lines, with those that a backslash goes on with.
fn joined(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut open = String::new();
    for line in text.lines() {
        match line.trim_end().strip_suffix('\\') {
            Some(part) => {
                open.push_str(part);
                open.push(' ');
            }
            None => lines.push(std::mem::take(&mut open) + line),
        }
    }
    lines.push(open);
    lines
}

/// `name[extra]==1.2.3 ; marker --hash=sha256:…`
fn pinned(line: &str) -> Option<Package> {
    let name = required_name(line);
    let mut rest = line.get(name.len()..)?.trim_start();
    if rest.starts_with('[') {
        rest = rest.split_once(']')?.1.trim_start();
    }
    let rest = rest.strip_prefix("===").or_else(|| rest.strip_prefix("=="))?.trim_start();
    let end = rest.find([' ', ';', ',']).unwrap_or(rest.len());
    let version = &rest[..end];
    if name.is_empty() || version.is_empty() || version.contains('*') {
        return None;
    }
    let mut package = Package::new(Ecosystem::PyPi, &name, version);
    let hashes: Vec<&str> = rest.split("--hash=").skip(1).map(str::trim).collect();
    // Several are of several files, and which is which is not said.
    if let [hash] = hashes.as_slice() {
        package.hashes.extend(Hash::of_prefixed(hash));
    }
    Some(package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_and_the_rest_is_counted() {
        let digits = "a".repeat(64);
        let text = format!(
            "# by hand\n-r base.txt\nflask==3.0.0  # web\nuvicorn[standard] == 0.24.0 ; python_version >= \"3.8\"\ndjango>=4\nrequests==2.*\nclick==8.1.7 \\\n    --hash=sha256:{digits}\n\n-e .\n"
        );
        let locked = read(&text).unwrap();
        let pins: Vec<(&str, &str)> =
            locked.packages.iter().map(|it| (it.name.as_str(), it.version.as_str())).collect();
        assert_eq!(pins, [("flask", "3.0.0"), ("uvicorn", "0.24.0"), ("click", "8.1.7")]);
        assert_eq!(locked.packages[2].hashes[0].hex, digits);
        assert_eq!(
            locked.notes,
            ["requirements without an exact version (==), which are left out: 2"]
        );
    }
}
