//! Misspelled file names, and manifests that lie in a folder: worth a word when nothing matches. A misspelled
//! manifest is worth one beside a detection too: without it, the application is another one.

use windlass_sdk::{DetectReport, NearMiss, Source};

/// Names that are taken: whoever writes one of them means it.
const TAKEN: [&str; 40] = [
    "appfile",
    "appraisals",
    "aptfile",
    "berksfile",
    "brewfile",
    "buckfile",
    "caddyfile",
    "cakefile",
    "capfile",
    "cartfile",
    "cheffile",
    "config.yml",
    "containerfile",
    "dangerfile",
    "dockerfile",
    "doxyfile",
    "earthfile",
    "fastfile",
    "gemfile",
    "guardfile",
    "jakefile",
    "jenkinsfile",
    "justfile",
    "logfile",
    "makefile",
    "mintfile",
    "pipfile",
    "podfile",
    "procfile",
    "project.toml",
    "puppetfile",
    "rakefile",
    "rantfile",
    "snakefile",
    "staticfile",
    "steepfile",
    "taskfile",
    "thorfile",
    "tiltfile",
    "vagrantfile",
];
/// Extensions of files that are what they say.
const KINDS: [&str; 20] = [
    "c", "cc", "cpp", "go", "h", "htm", "html", "js", "json", "jsx", "kts", "lock", "md", "py",
    "toml", "ts", "txt", "xml", "yaml", "yml",
];
/// Folders below which a manifest is another's: installed, made for a test, an example, or a shell for phones.
const ASIDE: [&str; 24] = [
    "android",
    "ios",
    "node_modules",
    "vendor",
    "venv",
    "env",
    "test",
    "tests",
    "spec",
    "fixtures",
    "testdata",
    "example",
    "examples",
    "samples",
    "demo",
    "docs",
    "doc",
    "scripts",
    "tools",
    "benchmarks",
    "target",
    "dist",
    "build",
    "third_party",
];
/// So many folders are named.
const FOLDERS_MAX: usize = 4;

/// A near miss of `id` for each file of the folder that is nearly one of `known`.
pub fn near_misses(source: &Source, id: &str, known: &[&str]) -> Vec<NearMiss> {
    let Ok(listing) = source.list(&[], 1, 2_000) else {
        return Vec::new();
    };
    let names: Vec<&str> = listing.entries.iter().map(|entry| entry.path.as_str()).collect();
    names
        .iter()
        .filter_map(|name| {
            let meant = known.iter().filter(|known| nearly(name, known) && !names.contains(*known));
            let meant = meant.min_by_key(|known| slips(name, known))?;
            let reason = format!("there is a file {name:?}: did you mean {meant:?}?");
            Some(NearMiss { id: id.to_owned(), reason })
        })
        .collect()
}

/// The report with the misspelled ones among the manifests `known`, if anything was detected.
pub fn beside(mut report: DetectReport, source: &Source, id: &str, known: &[&str]) -> DetectReport {
    if !report.detections.is_empty() {
        report.near_misses.extend(near_misses(source, id, known));
    }
    report
}

/// Folders, at most two levels down, that have one of these manifests; each with the first that it has.
pub fn folders_with(source: &Source, manifests: &[&str]) -> Vec<(String, String)> {
    let globs: Vec<String> =
        manifests.iter().flat_map(|name| [format!("*/{name}"), format!("*/*/{name}")]).collect();
    let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
    let listing = source.list(&globs, 3, 200).map(|listing| listing.entries).unwrap_or_default();
    let mut found: Vec<(String, String)> = Vec::new();
    for entry in listing {
        let Some((folder, file)) = entry.path.rsplit_once('/') else { continue };
        let aside = |part: &str| part.starts_with('.') || ASIDE.contains(&part);
        if !folder.split('/').any(aside) && found.iter().all(|(other, _)| other != folder) {
            found.push((folder.to_owned(), file.to_owned()));
        }
    }
    found.sort_by_key(|(folder, _)| folder.matches('/').count());
    found.truncate(FOLDERS_MAX);
    found
}

/// A near miss of `id` that names the folders with one of these manifests, where there is none here.
pub fn below(source: &Source, id: &str, manifests: &[&str]) -> Option<NearMiss> {
    let folders = folders_with(source, manifests);
    let (first, _) = folders.first()?;
    let paths: Vec<String> =
        folders.iter().map(|(folder, file)| format!("{folder}/{file}")).collect();
    let reason = format!(
        "there is {}, and no such file here: to deploy that folder, set build.app_dir = {first:?} in \
         windlass.toml",
        paths.join(", ")
    );
    Some(NearMiss { id: id.to_owned(), reason })
}

/// Whether two different names differ in case only, or by one or two slips in the name of one kind of file; a
/// `.txt` behind a name without an extension is a slip too.
pub fn nearly(name: &str, known: &str) -> bool {
    if name == known {
        return false;
    }
    let (name, known) = (name.to_ascii_lowercase(), known.to_ascii_lowercase());
    if name == known || name.strip_suffix(".txt") == Some(known.as_str()) {
        return true;
    }
    if TAKEN.contains(&name.as_str()) {
        return false;
    }
    // `Profile` is nearer to `Procfile` than to `Pipfile`.
    let slips = distance(&name, &known);
    if TAKEN.iter().any(|other| distance(&name, other) < slips) {
        return false;
    }
    let ((a, kind), (b, known_kind)) = (split(&name), split(&known));
    if let (Some(kind), Some(known_kind)) = (kind, known_kind)
        && kind != known_kind
    {
        return a == b && !KINDS.contains(&kind) && distance(kind, known_kind) == 1;
    }
    // In a short name another letter is another word: `demo.json` is not `deno.json`.
    let short = kind == known_kind && a.len().min(b.len()) <= 4;
    let (a, b) = if kind == known_kind { (a, b) } else { (name.as_str(), known.as_str()) };
    match short {
        true => distance(a, b) == 1 && (a.len() != b.len() || same_letters(a, b)),
        false => name.len() >= 6 && a.len().abs_diff(b.len()) <= 2 && distance(a, b) <= 2,
    }
}

/// How many slips make the one name of the other, letter case aside.
fn slips(name: &str, known: &str) -> usize {
    distance(&name.to_ascii_lowercase(), &known.to_ascii_lowercase())
}

/// The name, and its extension.
fn split(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once('.') {
        Some((stem, kind)) if !stem.is_empty() => (stem, Some(kind)),
        _ => (name, None),
    }
}

fn same_letters(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut letters: Vec<char> = text.chars().collect();
        letters.sort_unstable();
        letters
    };
    sorted(a) == sorted(b)
}

/// Insertions, deletions, substitutions and swaps of neighbours.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0_usize; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    rows[0] = (0..=b.len()).collect();
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let substituted = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = substituted.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::{below, nearly};

    #[test]
    fn slips_are_seen_and_other_names_are_not() {
        for (name, known) in [
            ("requirments.txt", "requirements.txt"),
            ("requirement.txt", "requirements.txt"),
            ("packgae.json", "package.json"),
            ("Package.json", "package.json"),
            ("procfile", "Procfile"),
            ("indx.html", "index.html"),
            ("Procfile.txt", "Procfile"),
            ("Profile", "Procfile"),
            ("Dockerfle", "Dockerfile"),
            ("requirementstxt", "requirements.txt"),
            ("pmo.xml", "pom.xml"),
            ("goo.mod", "go.mod"),
            ("Cargo.tml", "Cargo.toml"),
        ] {
            assert!(nearly(name, known), "{name}");
        }
        for (name, known) in [
            ("package.json", "package.json"),
            ("package-lock.json", "package.json"),
            ("readme.txt", "requirements.txt"),
            ("a.py", "app.py"),
            ("main.tf", "main.go"),
            ("mail.go", "main.go"),
            ("demo.json", "deno.json"),
            ("Makefile", "Rakefile"),
            ("Gemfile", "Pipfile"),
            ("Dockerfile", "Procfile"),
            ("Podfile", "Pipfile"),
            ("Profile", "Pipfile"),
            ("Project.toml", "pyproject.toml"),
            ("_config.yaml", "_config.yml"),
            ("config.yml", "_config.yml"),
        ] {
            assert!(!nearly(name, known), "{name}");
        }
    }

    #[test]
    fn folders_are_named_with_what_they_have() {
        let files = [
            "backend/requirements.txt",
            "backend/pyproject.toml",
            "services/api/requirements.txt",
            "docs/requirements.txt",
            ".github/x/requirements.txt",
        ];
        let known = ["requirements.txt", "pyproject.toml"];
        let harness = windlass_sdk::testing::Harness::with_files(&files.map(|path| (path, "")));
        let (miss, _) = harness.run(|source| below(source, "python", &known));
        let reason = miss.unwrap().reason;
        assert!(
            reason.contains("backend/pyproject.toml, services/api/requirements.txt"),
            "{reason}"
        );
        assert!(reason.contains("build.app_dir = \"backend\""), "{reason}");
        let (none, _) = harness.run(|source| below(source, "go", &["go.mod"]));
        assert_eq!(none, None);
    }
}
