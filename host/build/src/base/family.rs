//! The toolchains that there are, as data: a new release is one line here.
//!
//! **The table is of November 2026.** The first line of a toolchain is its default; lines whose upstream has
//! ended their support say so. Tags are Debian 12 variants where there are any: what is compiled in one
//! image runs on the `debian` of the next, because its C library is not newer. The exceptions are Java
//! (Eclipse Temurin has no Debian images) and .NET 10 (Microsoft makes none any more): these are Ubuntu's,
//! with the same package manager, and what they build does not depend on the C library.
//!
//! Where no registry can be reached, a base is assembled from Debian 12 packages, which have one version of
//! everything. Node.js, Deno and Bun come from the npm registry and Zig from PyPI, in any version.

use super::requirement::Version;

mod debian;
mod lines;

/// A line of releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// First version of it.
    pub(super) from: Version,
    /// First version that is not of it.
    pub(super) until: Version,
    /// The version that is taken where the requirement does not say which. One or two numbers stand for the
    /// newest of the line.
    pub(crate) version: &'static str,
    /// Version of the package manager that fits.
    pub(crate) manager: &'static str,
    /// Other names of it.
    pub(super) aliases: &'static [&'static str],
    /// The image's tag, where it is not made of the version.
    pub(super) tag: Option<&'static str>,
    /// Whether it no longer gets security fixes.
    pub(super) ended: bool,
}

/// A toolchain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Family {
    /// Its name in plans.
    pub(crate) name: &'static str,
    /// The official image, where there is a good one.
    pub(super) image: Option<Image>,
    /// The lines: the default first, then the newest first.
    pub(super) lines: &'static [Line],
    /// How a base with it is assembled.
    pub(super) assembly: Assembly,
}

/// An official image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Image {
    /// Its name, without tag.
    pub(super) name: &'static str,
    /// What stands before the version in a tag.
    pub(super) prefix: &'static str,
    /// What stands behind it.
    pub(super) suffix: &'static str,
    /// Whether there are tags of exact versions. Without them an exact version is met by its line.
    pub(super) exact: bool,
}

/// How a base is assembled where no image can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Assembly {
    /// Any version, from the npm registry or PyPI.
    Any(Source),
    /// The one version that Debian 12 has.
    Debian(&'static Debian),
    /// It cannot be.
    Nowhere,
}

/// Where any version of a toolchain comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub(super) enum Source {
    /// Node.js with npm: packages of the npm registry.
    Node,
    /// Deno: the platform's package of the npm registry has the program.
    Deno,
    /// Bun: likewise.
    Bun,
    /// Zig: the wheel has the program.
    Zig,
}

/// What is made of Debian packages.
#[derive(Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Debian {
    /// The version: exact, or the line where Debian's updates move within it.
    pub(super) version: &'static str,
    /// Packages beside `ca-certificates`.
    pub(super) packages: &'static [&'static str],
    /// Shell commands after the packages are in; `$1` is the new root.
    pub(super) setup: &'static [&'static str],
    /// Environment, as the official image has it.
    pub(super) env: &'static [(&'static str, &'static str)],
    /// Folders ahead of the usual search path, each with a colon behind it.
    pub(super) path: &'static str,
}

const fn image(name: &'static str, suffix: &'static str) -> Image {
    Image { name, prefix: "", suffix, exact: true }
}

impl Image {
    const fn prefix(self, prefix: &'static str) -> Self {
        Self { prefix, ..self }
    }

    /// There are tags of lines alone.
    const fn lines_only(self) -> Self {
        Self { exact: false, ..self }
    }
}

const fn family(
    name: &'static str,
    image: Image,
    lines: &'static [Line],
    assembly: Assembly,
) -> Family {
    Family { name, image: Some(image), lines, assembly }
}

/// Without an official image, or with one that lacks half of what is needed: it is assembled, also where a
/// registry can be reached.
const fn assembled(name: &'static str, lines: &'static [Line], assembly: Assembly) -> Family {
    Family { name, image: None, lines, assembly }
}

/// The table.
pub(crate) const FAMILIES: &[Family] = &[
    family(
        "node",
        image("docker.io/library/node", "-slim"),
        &lines::NODE,
        Assembly::Any(Source::Node),
    ),
    family(
        "python",
        image("docker.io/library/python", "-slim"),
        &lines::PYTHON,
        Assembly::Debian(&debian::PYTHON),
    ),
    // The run stage of compiled programs. Debian's own slim image has no certificate authorities, without
    // which no program reaches HTTPS; this official one is the same with those and curl.
    family(
        "debian",
        image("docker.io/library/buildpack-deps", "").lines_only(),
        lines::DEBIAN,
        Assembly::Debian(&debian::BARE),
    ),
    family(
        "go",
        image("docker.io/library/golang", "-bookworm"),
        lines::GO,
        Assembly::Debian(&debian::GO),
    ),
    family(
        "rust",
        image("docker.io/library/rust", "-slim-bookworm"),
        lines::RUST,
        Assembly::Debian(&debian::RUST),
    ),
    family(
        "ruby",
        image("docker.io/library/ruby", "-slim-bookworm"),
        lines::RUBY,
        Assembly::Debian(&debian::RUBY),
    ),
    family(
        "php",
        image("docker.io/library/php", "-apache-bookworm"),
        lines::PHP,
        Assembly::Debian(&debian::PHP),
    ),
    family(
        "java",
        image("docker.io/library/eclipse-temurin", "-jdk").lines_only(),
        lines::JAVA,
        Assembly::Debian(&debian::JAVA),
    ),
    family(
        "jre",
        image("docker.io/library/eclipse-temurin", "-jre").lines_only(),
        lines::JAVA,
        Assembly::Debian(&debian::JRE),
    ),
    // A requirement of these four names the Java version: build files pin that one.
    family(
        "maven",
        image("docker.io/library/maven", "").prefix("3-eclipse-temurin-").lines_only(),
        lines::JAVA,
        Assembly::Debian(&debian::MAVEN),
    ),
    family(
        "gradle",
        image("docker.io/library/gradle", "").prefix("8-jdk").lines_only(),
        lines::GRADLE,
        Assembly::Debian(&debian::GRADLE),
    ),
    family(
        "sbt",
        image("docker.io/sbtscala/scala-sbt", "").lines_only(),
        lines::SBT,
        Assembly::Nowhere,
    ),
    family(
        "clojure",
        image("docker.io/library/clojure", "-lein-bookworm-slim").prefix("temurin-").lines_only(),
        lines::CLOJURE,
        Assembly::Debian(&debian::CLOJURE),
    ),
    // No image has both `lein` and `clojure`, so `deps.edn` has a toolchain of its own. Debian has the language
    // and no `clojure` program that reads `deps.edn`.
    family(
        "clojure-tools",
        image("docker.io/library/clojure", "-tools-deps-bookworm-slim")
            .prefix("temurin-")
            .lines_only(),
        lines::CLOJURE,
        Assembly::Nowhere,
    ),
    family(
        "dotnet-sdk",
        image("mcr.microsoft.com/dotnet/sdk", "-bookworm-slim").lines_only(),
        lines::DOTNET,
        Assembly::Nowhere,
    ),
    family(
        "dotnet",
        image("mcr.microsoft.com/dotnet/aspnet", "-bookworm-slim").lines_only(),
        lines::DOTNET,
        Assembly::Nowhere,
    ),
    // Not the slim variant: dependencies of applications are fetched with Git and compiled with a C compiler.
    family(
        "elixir",
        image("docker.io/library/elixir", "-otp-27"),
        lines::ELIXIR,
        Assembly::Debian(&debian::ELIXIR),
    ),
    family(
        "erlang",
        image("docker.io/library/erlang", "-slim"),
        lines::ERLANG,
        Assembly::Debian(&debian::ERLANG),
    ),
    family(
        "gleam",
        image("ghcr.io/gleam-lang/gleam", "-erlang").prefix("v"),
        lines::GLEAM,
        Assembly::Nowhere,
    ),
    family(
        "deno",
        image("docker.io/denoland/deno", "").prefix("debian-"),
        lines::DENO,
        Assembly::Any(Source::Deno),
    ),
    family("bun", image("docker.io/oven/bun", "-slim"), lines::BUN, Assembly::Any(Source::Bun)),
    family("dart", image("docker.io/library/dart", ""), lines::DART, Assembly::Nowhere),
    family("swift", image("docker.io/library/swift", "-bookworm"), lines::SWIFT, Assembly::Nowhere),
    family(
        "crystal",
        image("docker.io/crystallang/crystal", ""),
        lines::CRYSTAL,
        Assembly::Debian(&debian::CRYSTAL),
    ),
    family(
        "haskell",
        image("docker.io/library/haskell", "-slim-bookworm"),
        lines::HASKELL,
        Assembly::Debian(&debian::HASKELL),
    ),
    // There is no official image with Zig.
    assembled("zig", lines::ZIG, Assembly::Any(Source::Zig)),
    // The official `gcc` has the compiler alone, built newer than Debian's run-time library.
    assembled("gcc", lines::GCC, Assembly::Debian(&debian::GCC)),
    assembled("cobol", lines::COBOL, Assembly::Debian(&debian::COBOL)),
    assembled("scheme", lines::SCHEME, Assembly::Debian(&debian::SCHEME)),
];

#[cfg(test)]
mod tests {
    use super::super::requirement::Requirement;
    use super::*;

    /// The plugins' own table. They cannot see this one, and follow another platform's file only to versions
    /// that theirs has.
    const OFFERED: &str = include_str!("../../../../plugins/common/src/others/offered.rs");

    /// Toolchain and range of each of its rows.
    fn offered() -> Vec<(&'static str, Requirement)> {
        let table = OFFERED.split("const OFFERED").nth(1).unwrap().split("];").next().unwrap();
        let row = |line: &'static str| match line.split('"').collect::<Vec<_>>()[..] {
            [_, name, _, range, _] => (name, Requirement::parse(range).unwrap()),
            _ => panic!("this is no row: {line}"),
        };
        table.lines().filter(|line| line.trim().starts_with("(\"")).map(row).collect()
    }

    /// The line right below this one, where its number says which that is.
    fn below(line: &Line) -> Option<Version> {
        let (major, minor, _) = line.from;
        if line.until == (major + 1, 0, 0) {
            return major.checked_sub(1).map(|major| (major, 0, 0));
        }
        minor.checked_sub(1).map(|minor| (major, minor, 0))
    }

    /// What `build.toolchain` can name and no base has: another name of Java's.
    const BESIDE: [&str; 1] = ["jdk"];

    #[test]
    fn the_settings_know_the_toolchains_that_there_are() {
        let here = FAMILIES.iter().map(|family| family.name).chain(BESIDE);
        let here: std::collections::BTreeSet<&str> = here.collect();
        assert!(here.iter().eq(windlass_model::settings::TOOLCHAINS.iter()), "{here:?}");
    }

    #[test]
    fn the_plugins_know_the_versions_that_there_are() {
        let rows = offered();
        assert!(rows.len() > 10, "the table of the plugins does not read");
        for (name, range) in rows {
            let family = FAMILIES.iter().find(|family| family.name == name);
            let lines = family.unwrap_or_else(|| panic!("there is no toolchain {name}")).lines;
            for line in lines {
                assert!(range.meets(line.from, line.until), "{name} lacks {}", line.version);
            }
            let has = |version: &Version| {
                lines.iter().any(|line| line.from <= *version && *version < line.until)
            };
            let newest = lines.iter().map(|line| line.until).max().unwrap();
            // A line of Java that is not there gets the next one above it.
            let replaced = |version: &Version| name == "java" && *version < newest;
            let beside = lines.iter().flat_map(|line| below(line).into_iter().chain([line.until]));
            for version in beside.filter(|version| !has(version) && !replaced(version)) {
                assert!(!range.allows(version), "{name} {version:?} is not there");
            }
        }
    }
}
