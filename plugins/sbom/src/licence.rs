//! Licences as CycloneDX wants them: an identifier of SPDX, an expression of such, or just a name.

use serde_json::{Value, json};

/// Identifiers of SPDX that packages use; others are written as names, which is never wrong.
const IDS: [&str; 62] = [
    "0BSD",
    "AFL-2.1",
    "AFL-3.0",
    "AGPL-3.0",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-1.1",
    "Apache-2.0",
    "Artistic-1.0",
    "Artistic-2.0",
    "BSD-2-Clause",
    "BSD-2-Clause-Patent",
    "BSD-3-Clause",
    "BSD-3-Clause-Clear",
    "BSD-4-Clause",
    "BSL-1.0",
    "BlueOak-1.0.0",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDDL-1.0",
    "CDDL-1.1",
    "ECL-2.0",
    "EPL-1.0",
    "EPL-2.0",
    "EUPL-1.1",
    "EUPL-1.2",
    "GPL-2.0",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "HPND",
    "ISC",
    "LGPL-2.0-only",
    "LGPL-2.0-or-later",
    "LGPL-2.1",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "LGPL-3.0",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "MIT",
    "MIT-0",
    "MPL-1.1",
    "MPL-2.0",
    "MS-PL",
    "NCSA",
    "OFL-1.1",
    "OpenSSL",
    "PHP-3.01",
    "PostgreSQL",
    "PSF-2.0",
    "Python-2.0",
    "Ruby",
    "Unicode-3.0",
    "Unlicense",
    "WTFPL",
    "Zlib",
];

/// The member `licenses` of a component. Where an expression stands alone it is one; beside others it can only
/// be a name.
pub(crate) fn choices<'t>(texts: impl Iterator<Item = &'t str>) -> Vec<Value> {
    let texts: Vec<&str> = texts.map(str::trim).filter(|text| !text.is_empty()).collect();
    if let [text] = texts.as_slice()
        && !IDS.contains(text)
        && is_expression(text)
    {
        return vec![json!({ "expression": text })];
    }
    let one = |text: &&str| match IDS.contains(text) {
        true => json!({ "license": { "id": text } }),
        false => json!({ "license": { "name": text } }),
    };
    texts.iter().map(one).collect()
}

/// Known identifiers with operators between them.
fn is_expression(text: &str) -> bool {
    let plain = text.replace(['(', ')'], " ");
    let words: Vec<&str> = plain.split_whitespace().collect();
    let balanced = text.matches('(').count() == text.matches(')').count();
    balanced
        && words.len() % 2 == 1
        && words.iter().enumerate().all(|(at, word)| match at % 2 {
            0 => IDS.contains(word),
            _ => matches!(*word, "AND" | "OR"),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(texts: &[&str]) -> Value {
        Value::Array(choices(texts.iter().copied()))
    }

    #[test]
    fn identifiers_expressions_and_names_are_told_apart() {
        assert_eq!(of(&["MIT"]), json!([{"license": {"id": "MIT"}}]));
        assert_eq!(of(&["(MIT OR Apache-2.0)"]), json!([{"expression": "(MIT OR Apache-2.0)"}]));
        assert_eq!(
            of(&["SEE LICENSE IN LICENSE"]),
            json!([{"license": {"name": "SEE LICENSE IN LICENSE"}}])
        );
        assert_eq!(
            of(&["MIT", "proprietary"]),
            json!([{"license": {"id": "MIT"}}, {"license": {"name": "proprietary"}}])
        );
        assert_eq!(of(&[" ", ""]), json!([]));
    }

    #[test]
    fn identifiers_are_sorted_and_there_once() {
        let mut sorted = IDS.to_vec();
        sorted.sort_by_key(|id| id.to_lowercase());
        sorted.dedup();
        assert_eq!(sorted.len(), IDS.len());
    }
}
