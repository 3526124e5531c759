//! Misspelled file names: worth a word when nothing matches.

use windlass_sdk::{NearMiss, Source};

/// A near miss of `id` for each file of the folder that is nearly one of `known`.
pub fn near_misses(source: &Source, id: &str, known: &[&str]) -> Vec<NearMiss> {
    let Ok(listing) = source.list(&[], 1, 2_000) else {
        return Vec::new();
    };
    let names: Vec<&str> = listing.entries.iter().map(|entry| entry.path.as_str()).collect();
    names
        .iter()
        .filter_map(|name| {
            let meant =
                known.iter().find(|known| nearly(name, known) && !names.contains(*known))?;
            let reason = format!("there is a file {name:?}: did you mean {meant:?}?");
            Some(NearMiss { id: id.to_owned(), reason })
        })
        .collect()
}

/// Whether two different names are at most two slips apart, or differ in case only.
pub fn nearly(name: &str, known: &str) -> bool {
    let (a, b) = (name.to_ascii_lowercase(), known.to_ascii_lowercase());
    if name == known {
        return false;
    }
    a == b || (a.len() >= 6 && a.len().abs_diff(b.len()) <= 2 && distance(&a, &b) <= 2)
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
    use super::nearly;

    #[test]
    fn slips_are_seen_and_other_names_are_not() {
        for (name, known) in [
            ("requirments.txt", "requirements.txt"),
            ("requirement.txt", "requirements.txt"),
            ("packgae.json", "package.json"),
            ("Package.json", "package.json"),
            ("procfile", "Procfile"),
            ("indx.html", "index.html"),
        ] {
            assert!(nearly(name, known), "{name}");
        }
        for (name, known) in [
            ("package.json", "package.json"),
            ("package-lock.json", "package.json"),
            ("readme.txt", "requirements.txt"),
            ("a.py", "app.py"),
        ] {
            assert!(!nearly(name, known), "{name}");
        }
    }
}
