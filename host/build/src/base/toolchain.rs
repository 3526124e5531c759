//! Which toolchains there are, and which version a requirement means. A table, not code: a new release is
//! one line here.

use windlass_model::Failure;
use windlass_model::plan::Toolchain;

use super::requirement::{Requirement, Version, version};

/// A line of releases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// First version of it.
    from: Version,
    /// First version that is not of it.
    until: Version,
    /// The version that is taken where the requirement does not say which; also the image's tag.
    pub(crate) version: &'static str,
    /// Version of the package manager that fits.
    pub(crate) manager: &'static str,
    /// Other names of it.
    aliases: &'static [&'static str],
}

/// A toolchain.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Family {
    /// Its name in plans.
    pub(crate) name: &'static str,
    /// Official image, without tag.
    pub(crate) image: &'static str,
    /// End of the tags that are used.
    tag_suffix: &'static str,
    /// The lines: the default first, then the newest first.
    lines: &'static [Line],
    /// The version in Debian 12, where it is the only one that can be assembled.
    debian_version: Option<&'static str>,
}

const fn line(
    from: Version,
    until: Version,
    version: &'static str,
    manager: &'static str,
    aliases: &'static [&'static str],
) -> Line {
    Line { from, until, version, manager, aliases }
}

const NODE_LINES: [Line; 4] = [
    line((22, 0, 0), (23, 0, 0), "22.23.3", "10.9.9", &["", "lts", "lts/*", "lts/jod", "node"]),
    line((26, 0, 0), (27, 0, 0), "26.10.0", "11.21.2", &["latest", "current", "stable"]),
    line((24, 0, 0), (25, 0, 0), "24.21.0", "11.21.2", &["lts/krypton"]),
    line((20, 0, 0), (21, 0, 0), "20.20.2", "10.9.9", &["lts/iron"]),
];

const PYTHON_LINES: [Line; 5] = [
    line((3, 11, 0), (3, 12, 0), "3.11", "", &["", "python3"]),
    line((3, 14, 0), (3, 15, 0), "3.14", "", &["latest"]),
    line((3, 13, 0), (3, 14, 0), "3.13", "", &[]),
    line((3, 12, 0), (3, 13, 0), "3.12", "", &[]),
    line((3, 10, 0), (3, 11, 0), "3.10", "", &[]),
];

/// The table.
pub(crate) const FAMILIES: [Family; 2] = [
    Family {
        name: "node",
        image: "docker.io/library/node",
        tag_suffix: "-slim",
        lines: &NODE_LINES,
        debian_version: None,
    },
    Family {
        name: "python",
        image: "docker.io/library/python",
        tag_suffix: "-slim",
        lines: &PYTHON_LINES,
        debian_version: Some("3.11.2"),
    },
];

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
    /// Reference of the official image.
    pub(crate) fn image(&self) -> String {
        format!("{}:{}{}", self.family.image, self.version, self.family.tag_suffix)
    }

    /// As it is recorded.
    pub(crate) fn toolchain(&self) -> Toolchain {
        Toolchain { name: self.family.name.to_owned(), requirement: self.version.to_string() }
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
        let known: Vec<_> = FAMILIES.iter().map(|family| family.name).collect();
        return Err(unsupported(wanted, &format!("the toolchains are {}", known.join(", "))));
    };
    let text = wanted.requirement.trim();
    if let (Origin::Assembled, Some(only)) = (origin, family.debian_version) {
        return settle_debian(wanted, family, only);
    }
    let settled = |line: &Line, version| Settled { family, version, manager: line.manager };
    let lower = text.to_ascii_lowercase();
    if let Some(line) = family.lines.iter().find(|line| line.aliases.contains(&lower.as_str())) {
        return Ok(settled(line, SettledVersion::Listed(line.version)));
    }
    let Some(requirement) = Requirement::parse(text) else {
        return Err(unsupported(wanted, "it is not a version or a range of versions"));
    };
    let listed = |line: &&Line| match version(line.version) {
        // A line of two numbers stands for all of its versions, unless the requirement is exact.
        Some(_) if line.version.matches('.').count() == 1 => {
            requirement.meets(line.from, line.until) && !is_exact(text)
        }
        Some(version) => requirement.allows(version),
        None => false,
    };
    if let Some(line) = family.lines.iter().find(listed) {
        return Ok(settled(line, SettledVersion::Listed(line.version)));
    }
    for version in requirement.lowest() {
        if let Some(line) = family.lines.iter().find(|l| l.from <= version && version < l.until) {
            return Ok(settled(line, SettledVersion::Exact(version)));
        }
    }
    let lines: Vec<_> = family.lines.iter().map(|line| line.version).collect();
    Err(unsupported(wanted, &format!("available are {}", lines.join(", "))))
}

fn settle_debian(
    wanted: &Toolchain,
    family: &'static Family,
    only: &'static str,
) -> Result<Settled, Failure> {
    let requirement = Requirement::parse(wanted.requirement.trim());
    let alias = family.lines[0].aliases.contains(&wanted.requirement.trim());
    let fits = version(only)
        .is_some_and(|version| alias || requirement.is_some_and(|r| r.allows(version)));
    if fits {
        return Ok(Settled { family, version: SettledVersion::Listed(only), manager: "" });
    }
    let why = format!("no image registry can be used here, and Debian 12 has {only} alone");
    Err(unsupported(wanted, &why))
}

fn is_exact(text: &str) -> bool {
    let core = text.trim_start_matches(['v', '=']);
    core.split('.').count() == 3 && core.split('.').all(|part| part.parse::<u64>().is_ok())
}

fn unsupported(wanted: &Toolchain, why: &str) -> Failure {
    let Toolchain { name, requirement } = wanted;
    let asked = format!("{name} {requirement}");
    Failure::app(
        "build.toolchain-unsupported",
        format!("There is no base with {}", asked.trim()),
        why,
        format!(
            "ask for another version where the project names it, or in windlass.toml: \
             [build] toolchain = {{ {name} = \"{}\" }}",
            FAMILIES.iter().find(|f| f.name == name).map_or("...", |f| f.lines[0].version)
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
        settle(&wanted, origin).map(|settled| settled.image())
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
        for text in ["16", "18.20.0", "<20", "99", "nonsense"] {
            let failure = node(text).unwrap_err();
            assert_eq!(failure.code, "build.toolchain-unsupported", "{text}");
        }
        assert!(node("16").unwrap_err().why.contains("22.23.3"));
        let other = Toolchain { name: "cobol".into(), requirement: String::new() };
        assert!(settle(&other, Origin::Registry).unwrap_err().why.contains("node, python"));
    }

    #[test]
    fn python_lines_become_tags_and_debian_has_one() {
        use Origin::{Assembled, Registry};
        assert_eq!(python("", Registry).unwrap(), "docker.io/library/python:3.11-slim");
        assert_eq!(python(">=3.12", Registry).unwrap(), "docker.io/library/python:3.14-slim");
        assert_eq!(python("3.12.4", Registry).unwrap(), "docker.io/library/python:3.12.4-slim");
        assert!(python(">=3.9", Assembled).unwrap().ends_with(":3.11.2-slim"));
        assert!(python("3.12", Assembled).unwrap_err().why.contains("3.11.2"));
    }
}
