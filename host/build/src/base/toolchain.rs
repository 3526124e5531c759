//! Which version of a toolchain a requirement means, by the table of [`super::family`].

use windlass_model::Failure;
use windlass_model::plan::Toolchain;

use super::family::{Assembly, Debian, FAMILIES, Family, Line};
use super::requirement::{Requirement, Version, version};

/// A toolchain with the version that was settled on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    /// Which.
    pub(crate) family: &'static Family,
    /// Version of three numbers for exact ones, of two for a line.
    pub(crate) version: SettledVersion,
    /// Package manager's version that fits.
    pub(crate) manager: &'static str,
}

/// A version that can be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SettledVersion {
    /// From the table.
    Listed(&'static str),
    /// Named by the requirement.
    Exact(Version),
}

impl std::fmt::Display for SettledVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listed(text) => f.write_str(text),
            Self::Exact((a, b, c)) => write!(f, "{a}.{b}.{c}"),
        }
    }
}

impl Settled {
    /// Reference of the official image, if there is one.
    pub(crate) fn image(&self) -> Option<String> {
        let image = self.family.image?;
        let own = match self.version {
            SettledVersion::Listed(version) => {
                self.family.lines.iter().find(|line| line.version == version).and_then(|l| l.tag)
            }
            SettledVersion::Exact(_) => None,
        };
        let tag = match own {
            Some(tag) => tag.to_owned(),
            None => format!("{}{}{}", image.prefix, self.version, image.suffix),
        };
        Some(format!("{}:{tag}", image.name))
    }

    /// As it is recorded.
    pub(crate) fn toolchain(&self) -> Toolchain {
        Toolchain { name: self.family.name.to_owned(), requirement: self.version.to_string() }
    }

    /// A warning, if its line no longer gets security fixes. Debian keeps what it has.
    pub(crate) fn warning(&self) -> Option<String> {
        let Family { name, lines, .. } = self.family;
        let of = |line: &&Line| match self.version {
            SettledVersion::Listed(version) => line.version == version,
            SettledVersion::Exact(version) => line.from <= version && version < line.until,
        };
        let ended = lines.iter().find(of).is_some_and(|line| line.ended);
        let better = lines[0].version;
        let version = &self.version;
        ended.then(|| {
            format!("{name} {version} no longer gets security fixes; {name} {better} does")
        })
    }
}

/// Whether there is an official image with this toolchain.
pub(crate) fn has_image(wanted: &Toolchain) -> bool {
    FAMILIES.iter().any(|family| family.name == wanted.name && family.image.is_some())
}

/// The failure where bases come from registries only and there is no image with this one.
pub(crate) fn no_image(wanted: &Toolchain) -> Failure {
    let why = "there is no official image with it, and this host takes bases from registries only";
    match FAMILIES.iter().find(|family| family.name == wanted.name) {
        Some(family) => unsupported(wanted, why, family.lines[0].version),
        None => unknown(wanted),
    }
}

/// Where the toolchain is to come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An official image.
    Registry,
    /// Assembled from Debian packages.
    Assembled,
}

/// Settles on one version, without asking anyone: the default line where it fits, else the newest that
/// fits, else the very version that the requirement names.
pub(crate) fn settle(wanted: &Toolchain, origin: Origin) -> Result<Settled, Failure> {
    let Some(family) = FAMILIES.iter().find(|family| family.name == wanted.name) else {
        return Err(unknown(wanted));
    };
    match (origin, family.assembly) {
        (Origin::Assembled, Assembly::Debian(debian)) => settle_debian(wanted, family, debian),
        (Origin::Assembled, Assembly::Nowhere) => {
            let why =
                format!("no image registry can be used here, and Debian 12 has no {}", family.name);
            Err(unsupported(wanted, &why, family.lines[0].version))
        }
        _ => settle_line(wanted, family),
    }
}

fn settle_line(wanted: &Toolchain, family: &'static Family) -> Result<Settled, Failure> {
    let text = wanted.requirement.trim();
    let default = family.lines[0].version;
    let settled = |line: &Line, version| Settled { family, version, manager: line.manager };
    let lower = text.to_ascii_lowercase();
    if let Some(line) = family.lines.iter().find(|line| line.aliases.contains(&lower.as_str())) {
        return Ok(settled(line, SettledVersion::Listed(line.version)));
    }
    let Some(requirement) = Requirement::parse(text) else {
        return Err(unsupported(wanted, "it is not a version or a range of versions", default));
    };
    let exact = is_exact(text) && has_exact(family);
    let listed = |line: &&Line| match version(line.version) {
        // A line of one or two numbers stands for all of its versions, unless the requirement is exact.
        Some(_) if line.version.matches('.').count() < 2 => {
            requirement.meets(line.from, line.until) && !exact
        }
        Some(version) => requirement.allows(version),
        None => false,
    };
    if let Some(line) = family.lines.iter().find(listed) {
        return Ok(settled(line, SettledVersion::Listed(line.version)));
    }
    let named = if has_exact(family) { requirement.lowest() } else { Vec::new() };
    for version in named {
        if let Some(line) = family.lines.iter().find(|l| l.from <= version && version < l.until) {
            return Ok(settled(line, SettledVersion::Exact(version)));
        }
    }
    let lines: Vec<_> = family.lines.iter().map(|line| line.version).collect();
    Err(unsupported(wanted, &format!("available are {}", lines.join(", ")), default))
}

/// Whether any exact version of it can be had.
fn has_exact(family: &Family) -> bool {
    family.image.is_none_or(|image| image.exact)
}

fn settle_debian(
    wanted: &Toolchain,
    family: &'static Family,
    debian: &'static Debian,
) -> Result<Settled, Failure> {
    let text = wanted.requirement.trim();
    let only = debian.version;
    let alias = family.lines[0].aliases.contains(&text.to_ascii_lowercase().as_str());
    let requirement = Requirement::parse(text);
    let low = version(only).unwrap_or_default();
    let fits = requirement.is_some_and(|requirement| match only.matches('.').count() {
        // Which one of its line Debian has moves with its updates.
        0 => requirement.meets(low, (low.0 + 1, 0, 0)) && !(is_exact(text) && has_exact(family)),
        1 => requirement.meets(low, (low.0, low.1 + 1, 0)) && !is_exact(text),
        _ => requirement.allows(low),
    });
    if alias || fits {
        return Ok(Settled { family, version: SettledVersion::Listed(only), manager: "" });
    }
    let reason = if family.image.is_some() {
        "no image registry can be used here"
    } else {
        "it is assembled"
    };
    let why = format!("{reason}, and Debian 12 has {only} alone");
    Err(unsupported(wanted, &why, only))
}

fn is_exact(text: &str) -> bool {
    let core = text.trim_start_matches(['v', '=']);
    core.split('.').count() == 3 && core.split('.').all(|part| part.parse::<u64>().is_ok())
}

fn unknown(wanted: &Toolchain) -> Failure {
    let known: Vec<_> = FAMILIES.iter().map(|family| family.name).collect();
    unsupported(wanted, &format!("the toolchains are {}", known.join(", ")), "...")
}

fn unsupported(wanted: &Toolchain, why: &str, instead: &str) -> Failure {
    let Toolchain { name, requirement } = wanted;
    let asked = format!("{name} {requirement}");
    Failure::app(
        "build.toolchain-unsupported",
        format!("There is no base with {}", asked.trim()),
        why,
        format!(
            "ask for another version where the project names it, or in windlass.toml: \
             [build] toolchain = {{ {name} = \"{instead}\" }}"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(requirement: &str) -> Result<String, Failure> {
        let wanted = Toolchain { name: "node".into(), requirement: requirement.into() };
        settle(&wanted, Origin::Registry).map(|settled| settled.version.to_string())
    }

    fn python(requirement: &str, origin: Origin) -> Result<String, Failure> {
        let wanted = Toolchain { name: "python".into(), requirement: requirement.into() };
        settle(&wanted, origin).map(|settled| settled.image().unwrap_or_default())
    }

    fn image(name: &str, requirement: &str) -> String {
        let wanted = Toolchain { name: name.into(), requirement: requirement.into() };
        settle(&wanted, Origin::Registry).unwrap().image().unwrap()
    }

    fn assembled(name: &str, requirement: &str) -> Result<String, Failure> {
        let wanted = Toolchain { name: name.into(), requirement: requirement.into() };
        settle(&wanted, Origin::Assembled).map(|settled| settled.version.to_string())
    }

    #[test]
    fn the_default_is_taken_where_it_fits() {
        for text in ["", "*", "22", ">=20 <23", ">=18", "lts/*", "22.x || 24.x"] {
            assert_eq!(node(text).unwrap(), "22.23.3", "{text}");
        }
    }

    #[test]
    fn else_the_newest_that_fits_or_the_one_that_is_named() {
        assert_eq!(node(">22").unwrap(), "26.10.0");
        assert_eq!(node("24").unwrap(), "24.21.0");
        assert_eq!(node("20 || 24").unwrap(), "24.21.0");
        assert_eq!(node("22.11.0").unwrap(), "22.11.0");
        assert_eq!(node(">=22.3.0 <22.5").unwrap(), "22.3.0");
    }

    #[test]
    fn an_unsupported_version_names_what_there_is() {
        for text in ["12", "13.1.0", "<14", "99", "nonsense"] {
            let failure = node(text).unwrap_err();
            assert_eq!(failure.code, "build.toolchain-unsupported", "{text}");
        }
        assert!(node("12").unwrap_err().why.contains("22.23.3"));
        let other = Toolchain { name: "abacus".into(), requirement: String::new() };
        assert!(settle(&other, Origin::Registry).unwrap_err().why.contains("node, python"));
    }

    #[test]
    fn requirements_become_tags() {
        for (name, requirement, reference) in [
            ("go", "", "docker.io/library/golang:1.27-bookworm"),
            ("go", ">=1.24", "docker.io/library/golang:1.27-bookworm"),
            ("go", "1.24", "docker.io/library/golang:1.24-bookworm"),
            ("go", "1.24.3", "docker.io/library/golang:1.24.3-bookworm"),
            ("rust", "stable", "docker.io/library/rust:1.96-slim-bookworm"),
            ("rust", "1.78.0", "docker.io/library/rust:1.78.0-slim-bookworm"),
            ("ruby", "~> 3.2.0", "docker.io/library/ruby:3.2-slim-bookworm"),
            ("ruby", "~> 3.2", "docker.io/library/ruby:3.4-slim-bookworm"),
            ("php", "^8.1", "docker.io/library/php:8.4-apache-bookworm"),
            ("php", "8.2.*|8.3.*", "docker.io/library/php:8.3-apache-bookworm"),
            ("debian", "", "docker.io/library/buildpack-deps:bookworm-curl"),
            ("java", "17.0.9", "docker.io/library/eclipse-temurin:17-jdk"),
            ("jre", "", "docker.io/library/eclipse-temurin:21-jre"),
            ("maven", "17", "docker.io/library/maven:3-eclipse-temurin-17"),
            ("gradle", "25", "docker.io/library/gradle:9-jdk25"),
            ("sbt", "", "docker.io/sbtscala/scala-sbt:eclipse-temurin-21.0.8_9_1.12.0_3.7.4"),
            ("clojure", "", "docker.io/library/clojure:temurin-21-lein-bookworm-slim"),
            ("dotnet-sdk", "9.0.100", "mcr.microsoft.com/dotnet/sdk:9.0-bookworm-slim"),
            ("dotnet", "", "mcr.microsoft.com/dotnet/aspnet:10.0-noble"),
            ("elixir", "~> 1.16", "docker.io/library/elixir:1.18-otp-27"),
            ("elixir", "1.16", "docker.io/library/elixir:1.16-otp-26"),
            ("erlang", "27", "docker.io/library/erlang:27-slim"),
            ("gleam", ">= 1.0.0", "ghcr.io/gleam-lang/gleam:v1.18.1-erlang"),
            ("deno", "2", "docker.io/denoland/deno:debian-2.9.5"),
            ("bun", "1.2.3", "docker.io/oven/bun:1.2.3-slim"),
            ("dart", ">=3.0.0 <4.0.0", "docker.io/library/dart:3"),
            ("dart", "^3.5.0", "docker.io/library/dart:3"),
            ("swift", "5.10", "docker.io/library/swift:5.10-bookworm"),
            ("crystal", ">= 1.9", "docker.io/crystallang/crystal:1.20"),
            ("haskell", "9.6", "docker.io/library/haskell:9.6-slim"),
        ] {
            assert_eq!(image(name, requirement), reference, "{name} {requirement}");
        }
    }

    #[test]
    fn debian_has_one_version_and_says_which() {
        for (name, requirement, version) in [
            ("go", "", "1.19.8"),
            ("go", ">=1.18", "1.19.8"),
            ("rust", "stable", "1.96.0"),
            ("php", "^8.1", "8.2"),
            ("java", "17.0.9", "17"),
            ("jre", "", "17"),
            ("maven", ">=11", "17"),
            ("ruby", "~> 3.0", "3.1.2"),
            ("debian", "12", "12"),
            ("gcc", "", "12"),
            ("scheme", "", "3"),
            ("zig", "0.15", "0.15.2"),
            ("zig", "0.14.0", "0.14.0"),
            ("deno", "", "2.9.5"),
        ] {
            assert_eq!(assembled(name, requirement).unwrap(), version, "{name} {requirement}");
        }
        for (name, requirement, why) in [
            ("go", "1.24", "Debian 12 has 1.19.8 alone"),
            ("php", "8.4", "Debian 12 has 8.2 alone"),
            ("php", "8.2.1", "Debian 12 has 8.2 alone"),
            ("java", "21", "Debian 12 has 17 alone"),
            ("swift", "", "Debian 12 has no swift"),
            ("gcc", "14", "it is assembled, and Debian 12 has 12 alone"),
        ] {
            let failure = assembled(name, requirement).unwrap_err();
            assert_eq!(failure.code, "build.toolchain-unsupported");
            assert!(failure.why.contains(why), "{name} {requirement}: {}", failure.why);
        }
        assert!(assembled("go", "1.24").unwrap_err().fix.contains("go = \"1.19.8\""));
    }

    #[test]
    fn a_line_without_fixes_is_warned_of() {
        let warning = |name: &str, requirement: &str| {
            let wanted = Toolchain { name: name.into(), requirement: requirement.into() };
            settle(&wanted, Origin::Registry).unwrap().warning()
        };
        assert!(warning("ruby", "3.2.4").unwrap().contains("ruby 3.2.4 no longer gets"));
        assert!(warning("dotnet", "9.0").unwrap().contains("dotnet 10.0 does"));
        assert_eq!(warning("ruby", ""), None);
        assert_eq!(warning("node", "22"), None);
    }

    #[test]
    fn the_table_is_consistent() {
        for family in FAMILIES {
            let names = FAMILIES.iter().filter(|other| other.name == family.name).count();
            assert_eq!(names, 1, "{}", family.name);
            assert!(family.lines[0].aliases.contains(&""), "{} has a default", family.name);
            for line in family.lines {
                let own = version(line.version).unwrap();
                assert!(line.from <= own && own < line.until, "{} {}", family.name, line.version);
            }
            assert!(family.image.is_some() || family.assembly != Assembly::Nowhere);
            if let Assembly::Debian(debian) = family.assembly {
                assert!(version(debian.version).is_some(), "{}", family.name);
            }
        }
    }

    #[test]
    fn python_lines_become_tags_and_debian_has_one() {
        use Origin::{Assembled, Registry};
        assert_eq!(python("", Registry).unwrap(), "docker.io/library/python:3.11-slim-bookworm");
        assert_eq!(
            python(">=3.12", Registry).unwrap(),
            "docker.io/library/python:3.14-slim-bookworm"
        );
        assert_eq!(python("3.12.4", Registry).unwrap(), "docker.io/library/python:3.12.4-slim");
        assert!(python(">=3.9", Assembled).unwrap().ends_with(":3.11.2-slim"));
        assert!(python("3.12", Assembled).unwrap_err().why.contains("3.11.2"));
    }
}
