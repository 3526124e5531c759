//! Package URLs, as <https://github.com/package-url/purl-spec> writes them.

use crate::Ecosystem;

/// The package URL of a version: `pkg:npm/%40scope/name@1.0.0`. Names are written as the type's rules ask.
pub fn purl(ecosystem: Ecosystem, name: &str, version: &str) -> String {
    let name = match ecosystem {
        Ecosystem::PyPi => name.to_lowercase().replace('_', "-"),
        Ecosystem::Go | Ecosystem::Packagist | Ecosystem::Hex => name.to_lowercase(),
        Ecosystem::Maven => name.replacen(':', "/", 1),
        Ecosystem::Npm | Ecosystem::Cargo | Ecosystem::RubyGems | Ecosystem::NuGet => {
            name.to_owned()
        }
    };
    let segments: Vec<String> =
        name.split('/').filter(|part| !part.is_empty()).map(encoded).collect();
    let (kind, path) = (ecosystem.purl_type(), segments.join("/"));
    match version {
        "" => format!("pkg:{kind}/{path}"),
        _ => format!("pkg:{kind}/{path}@{}", encoded(version)),
    }
}

fn encoded(segment: &str) -> String {
    let mut text = String::with_capacity(segment.len());
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_ecosystem_has_its_own_rules() {
        use Ecosystem::*;
        let cases = [
            (Npm, "@angular/core", "16.0.0", "pkg:npm/%40angular/core@16.0.0"),
            (Npm, "lodash", "4.17.21", "pkg:npm/lodash@4.17.21"),
            (PyPi, "Django_Rest", "1.0+local.1", "pkg:pypi/django-rest@1.0%2Blocal.1"),
            (PyPi, "zope.interface", "6.0", "pkg:pypi/zope.interface@6.0"),
            (Cargo, "serde_json", "1.0.1", "pkg:cargo/serde_json@1.0.1"),
            (
                Go,
                "github.com/BurntSushi/toml",
                "v1.3.2",
                "pkg:golang/github.com/burntsushi/toml@v1.3.2",
            ),
            (
                Go,
                "k8s.io/api",
                "v2.0.0+incompatible",
                "pkg:golang/k8s.io/api@v2.0.0%2Bincompatible",
            ),
            (RubyGems, "rails", "7.1.2", "pkg:gem/rails@7.1.2"),
            (Packagist, "Symfony/Console", "v6.4.0", "pkg:composer/symfony/console@v6.4.0"),
            (Hex, "phoenix", "1.7.10", "pkg:hex/phoenix@1.7.10"),
            (Maven, "org.slf4j:slf4j-api", "2.0.9", "pkg:maven/org.slf4j/slf4j-api@2.0.9"),
            (NuGet, "Newtonsoft.Json", "13.0.3", "pkg:nuget/Newtonsoft.Json@13.0.3"),
        ];
        for (ecosystem, name, version, expected) in cases {
            assert_eq!(purl(ecosystem, name, version), expected);
        }
    }

    proptest! {
        #[test]
        fn a_package_url_is_of_safe_letters_and_can_be_taken_apart(
            name in ".{1,30}", version in ".{1,20}", which in 0_usize..9,
        ) {
            let text = purl(Ecosystem::ALL[which], &name, &version);
            let start = format!("pkg:{}/", Ecosystem::ALL[which].purl_type());
            let rest = text.strip_prefix(&start).unwrap();
            let safe = |c: char| c.is_ascii_alphanumeric() || "-._~:/@%".contains(c);
            prop_assert!(rest.chars().all(safe), "{text}");
            prop_assert_eq!(rest.matches('@').count(), 1);
        }
    }
}
