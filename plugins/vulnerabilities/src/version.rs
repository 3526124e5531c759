//! Which of two versions is newer, by the rules of each ecosystem.
//!
//! **Invariant: what does not read as a version is not compared.** [`Version::parse`] answers `None`, and an
//! advisory then counts only where it names that version.

mod composer;
mod maven;
mod ruby;

use std::cmp::Ordering;

use windlass_plugin_locked::Ecosystem;

/// A version of one ecosystem.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Version {
    /// npm, crates.io, Go, Hex; and every range of the type SEMVER.
    Semver(semver::Version),
    /// PEP 440
    Python(Box<pep440_rs::Version>),
    Ruby(ruby::Version),
    Composer(composer::Version),
    Maven(maven::Version),
    /// Semantic versions with up to four numbers.
    NuGet(Vec<u64>, semver::Version),
}

impl Version {
    /// Reads a version as its ecosystem writes it.
    pub(crate) fn parse(ecosystem: Ecosystem, text: &str) -> Option<Self> {
        let text = text.trim();
        match ecosystem {
            Ecosystem::Npm | Ecosystem::Cargo | Ecosystem::Go | Ecosystem::Hex => {
                Self::semantic(text)
            }
            Ecosystem::PyPi => text.parse().ok().map(Box::new).map(Self::Python),
            Ecosystem::RubyGems => ruby::Version::parse(text).map(Self::Ruby),
            Ecosystem::Packagist => composer::Version::parse(text).map(Self::Composer),
            Ecosystem::Maven => Some(Self::Maven(maven::Version::parse(text))),
            Ecosystem::NuGet => nuget(text),
        }
    }

    /// Reads a semantic version; a leading `v` and missing numbers are forgiven.
    pub(crate) fn semantic(text: &str) -> Option<Self> {
        let text = text.trim().trim_start_matches(['v', '=']);
        let end = text.find(['-', '+']).unwrap_or(text.len());
        let (numbers, rest) = text.split_at(end);
        let padding = ".0".repeat(2_usize.saturating_sub(numbers.matches('.').count()));
        semver::Version::parse(&format!("{numbers}{padding}{rest}")).ok().map(Self::Semver)
    }

    /// Which is newer. Builds of one semantic version are equal.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Semver(a), Self::Semver(b)) => a.cmp_precedence(b),
            (Self::Python(a), Self::Python(b)) => a.cmp(b),
            (Self::Ruby(a), Self::Ruby(b)) => a.order(b),
            (Self::Composer(a), Self::Composer(b)) => a.cmp(b),
            (Self::Maven(a), Self::Maven(b)) => a.order(b),
            (Self::NuGet(a, left), Self::NuGet(b, right)) => {
                a.cmp(b).then_with(|| left.cmp_precedence(right))
            }
            // Two ecosystems have nothing to compare; nobody asks.
            _ => Ordering::Equal,
        }
    }
}

/// `1.2.3.4-Beta.1`: letters are the same in both cases.
fn nuget(text: &str) -> Option<Version> {
    let text = text.trim_start_matches('v').to_lowercase();
    let end = text.find(['-', '+']).unwrap_or(text.len());
    let numbers: Option<Vec<u64>> = text[..end].split('.').map(|it| it.parse().ok()).collect();
    let mut numbers = numbers.filter(|all| all.len() <= 4)?;
    numbers.resize(4, 0);
    let rest = semver::Version::parse(&format!("0.0.0{}", &text[end..])).ok()?;
    Some(Version::NuGet(numbers, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each is older than the next.
    #[track_caller]
    fn ascending(ecosystem: Ecosystem, versions: &[&str]) {
        let parsed: Vec<Version> = versions
            .iter()
            .map(|text| Version::parse(ecosystem, text).unwrap_or_else(|| panic!("{text}")))
            .collect();
        for (i, a) in parsed.iter().enumerate() {
            for (j, b) in parsed.iter().enumerate() {
                assert_eq!(a.order(b), i.cmp(&j), "{} and {}", versions[i], versions[j]);
            }
        }
    }

    #[track_caller]
    fn equal(ecosystem: Ecosystem, a: &str, b: &str) {
        let order =
            Version::parse(ecosystem, a).unwrap().order(&Version::parse(ecosystem, b).unwrap());
        assert_eq!(order, Ordering::Equal, "{a} and {b}");
    }

    #[test]
    fn semantic_versions_follow_their_specification() {
        let versions = [
            "0.9.0",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.2.0",
            "1.10.0",
            "2.0.0",
        ];
        for ecosystem in [Ecosystem::Npm, Ecosystem::Cargo, Ecosystem::Hex] {
            ascending(ecosystem, &versions);
        }
        equal(Ecosystem::Npm, "1.0.0+a", "1.0.0+b");
        equal(Ecosystem::Npm, "1.2", "1.2.0");
        assert_eq!(Version::parse(Ecosystem::Npm, "github:a/b#01"), None);
    }

    #[test]
    fn go_has_pseudo_versions() {
        ascending(
            Ecosystem::Go,
            &[
                "v0.0.0-20190308221718-c2843e01d9a2",
                "v0.0.0-20210921155107-089bfa567519",
                "v0.1.0",
                "v1.0.0",
            ],
        );
        equal(Ecosystem::Go, "v2.0.0+incompatible", "2.0.0");
    }

    #[test]
    fn python_follows_pep_440() {
        ascending(
            Ecosystem::PyPi,
            &[
                "1.0.dev456",
                "1.0a1",
                "1.0a2.dev456",
                "1.0a12.dev456",
                "1.0a12",
                "1.0b1.dev456",
                "1.0b2",
                "1.0b2.post345.dev456",
                "1.0b2.post345",
                "1.0rc1.dev456",
                "1.0rc1",
                "1.0",
                "1.0+abc.5",
                "1.0+abc.7",
                "1.0+5",
                "1.0.post456.dev34",
                "1.0.post456",
                "1.0.15",
                "1.1.dev1",
                "1!0.1",
            ],
        );
        equal(Ecosystem::PyPi, "1.0", "1.0.0");
        equal(Ecosystem::PyPi, "1.0-RC1", "1.0rc1");
    }

    #[test]
    fn gems_follow_rubygems() {
        ascending(
            Ecosystem::RubyGems,
            &[
                "1.0.a1",
                "1.0.a2",
                "1.0.b1",
                "1.0.0.pre",
                "1.0",
                "1.0.0.1",
                "1.0.2",
                "1.0.10",
                "1.1.a",
                "1.1",
                "5.2.4.rc1",
                "5.2.4",
                "5.2.4.1",
            ],
        );
        equal(Ecosystem::RubyGems, "1.0", "1.0.0");
        equal(Ecosystem::RubyGems, "1.0-1", "1.0.pre.1");
    }

    #[test]
    fn packages_of_php_follow_composer() {
        ascending(
            Ecosystem::Packagist,
            &[
                "1.0.0-dev",
                "1.0.0-alpha1",
                "1.0.0-alpha2",
                "1.0.0-beta1",
                "1.0.0-RC1",
                "1.0.0",
                "1.0.0-patch1",
                "1.0.1",
                "v1.2.0",
                "1.2.0.1",
                "1.10.0",
                "v5.4.31",
            ],
        );
        equal(Ecosystem::Packagist, "v1.0", "1.0.0.0");
        equal(Ecosystem::Packagist, "1.0.0b2", "1.0.0-beta.2");
        assert_eq!(Version::parse(Ecosystem::Packagist, "dev-main"), None);
    }

    #[test]
    fn artifacts_of_java_follow_maven() {
        ascending(
            Ecosystem::Maven,
            &[
                "1-alpha-1",
                "1-beta-1",
                "1-milestone-1",
                "1-rc-1",
                "1-SNAPSHOT",
                "1",
                "1-sp",
                "1-abc",
                "1-1",
                "1.0.1",
                "1.1",
                "1.10",
                "2.15.0-rc1",
                "2.15.0",
                "2.15.1",
            ],
        );
        equal(Ecosystem::Maven, "1", "1.0.0");
        equal(Ecosystem::Maven, "1.0.Final", "1.0");
        equal(Ecosystem::Maven, "1-a1", "1-alpha-1");
        equal(Ecosystem::Maven, "1.0-CR2", "1.0-rc2");
        ascending(Ecosystem::Maven, &["31.1-android", "31.1-jre", "32.0.0-android", "32.0.0-jre"]);
    }

    #[test]
    fn packages_of_dotnet_have_four_numbers() {
        ascending(
            Ecosystem::NuGet,
            &["1.0.0-alpha", "1.0.0-Beta", "1.0.0", "1.0.0.1", "1.0.1", "13.0.1", "13.0.3"],
        );
        equal(Ecosystem::NuGet, "1.0", "1.0.0.0");
        equal(Ecosystem::NuGet, "1.0.0-RC.1", "1.0.0-rc.1");
    }

    mod total {
        use proptest::prelude::*;

        use super::*;

        proptest! {
            #[test]
            fn two_versions_compare_alike_from_both_sides(
                a in "[0-9]{1,3}([.-][0-9a-c]{1,3}){0,4}", b in "[0-9]{1,3}([.-][0-9a-c]{1,3}){0,4}",
            ) {
                for ecosystem in Ecosystem::ALL {
                    let parsed = (Version::parse(ecosystem, &a), Version::parse(ecosystem, &b));
                    if let (Some(a), Some(b)) = parsed {
                        prop_assert_eq!(a.order(&b), b.order(&a).reverse());
                        prop_assert_eq!(a.order(&a), Ordering::Equal);
                    }
                }
            }
        }
    }
}
