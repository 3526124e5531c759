//! Which Node.js: the first of these that says anything, in this order. `windlass.toml`, `.nvmrc`,
//! `.node-version`, `.tool-versions`, `mise.toml`, `volta.node`, `devEngines.runtime`, `engines.node`; first
//! of the application, then of the folders that stand behind it; what another platform's file names; the
//! version that the application ran with before; the default. For applications of Node.js and for the assets
//! of others alike.

use windlass_sdk::{Evidence, PluginError, Toolchain};

use crate::assets::Files;
use crate::package_json::{self, PackageJson};
use crate::paths::join;
use crate::version::{Interval, npm};
use crate::wanted::{self, Pin};
use crate::{others, pins};

/// Files that pin a version, worth a prefetch.
pub const FILES: [&str; 5] =
    [".nvmrc", ".node-version", pins::TOOL_VERSIONS, pins::MISE[0], pins::MISE[1]];
const NAMES: [&str; 2] = ["nodejs", "node"];
/// Release lines that can be had.
const MAJORS: [u64; 4] = [20, 22, 24, 26];
/// The line that is taken where nothing asks for another.
const DEFAULT: u64 = 22;
/// Lines that get no corrections any more, with their last version: given to those who ask for no other.
const ENDED: [(u64, &str); 3] = [(18, "18.20.8"), (16, "16.20.2"), (14, "14.21.3")];
/// The last line that is offered although its support has ended.
const ENDED_MAX: u64 = 20;
const CODENAMES: [(&str, u64); 7] = [
    ("fermium", 14),
    ("gallium", 16),
    ("hydrogen", 18),
    ("iron", 20),
    ("jod", 22),
    ("krypton", 24),
    ("lithium", 26),
];

/// The version that was settled on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// For the resolver: `22`, `22.11.0`, `>=20.9.0 <20.10.0`.
    pub toolchain: Toolchain,
    /// Where it was asked for.
    pub evidence: Option<Evidence>,
    /// Something to look at.
    pub warnings: Vec<String>,
}

/// A folder whose files may ask for a version.
#[derive(Clone, Copy)]
pub struct Folder<'a> {
    /// Its path for people; empty for the application's own.
    pub path: &'a str,
    /// Its files.
    pub files: &'a dyn Files,
    /// Its package.json, if there is one that reads.
    pub package: Option<&'a PackageJson>,
}

impl std::fmt::Debug for Folder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Folder").field(&self.path).finish()
    }
}

/// A folder of the application as one of its own.
#[derive(Clone, Copy)]
struct Below<'a> {
    files: &'a dyn Files,
    folder: &'a str,
}

impl Files for Below<'_> {
    fn has(&self, path: &str) -> bool {
        self.files.has(&join(self.folder, path))
    }

    fn text(&self, path: &str) -> Option<String> {
        self.files.text(&join(self.folder, path))
    }
}

impl Below<'_> {
    /// The package.json of the folder, if there is one that reads.
    fn package(&self) -> Option<PackageJson> {
        PackageJson::parse(&self.text(package_json::FILE)?).ok()
    }
}

/// Every pin, in order: the setting `build.toolchain.node`, then those of each folder with its package.json, then
/// what other platforms' files of the application's own folder say. Each names its file with its folder's path.
pub fn pins(setting: Option<&str>, folders: &[Folder<'_>], app: Folder<'_>) -> Vec<Pin> {
    let setting = Pin::new("windlass.toml", "build.toolchain.node", setting.unwrap_or_default());
    let mut all: Vec<Pin> = setting.into_iter().collect();
    all.extend(folders.iter().flat_map(Folder::pins));
    let elsewhere = others::version(&["node", "nodejs"], |file| app.files.text(file));
    all.extend(
        elsewhere.and_then(|(taken, file)| Pin::new(&app.at(file), &taken.key, &taken.value)),
    );
    all
}

impl Folder<'_> {
    /// A file of it, for people.
    fn at(&self, file: &str) -> String {
        join(self.path, file)
    }

    /// What its files ask for.
    fn pins(&self) -> Vec<Pin> {
        let mut all = in_files(self.files);
        for (key, range) in self.package.iter().flat_map(|package| {
            [
                ("volta.node", package.volta_node()),
                ("devEngines.runtime", package.dev_engine("node")),
                ("engines.node", package.engine("node")),
            ]
        }) {
            all.extend(Pin::new(package_json::FILE, key, range.unwrap_or_default()));
        }
        for pin in &mut all {
            pin.file = self.at(&pin.file);
        }
        all
    }
}

/// The pins of an application in another language whose build runs Node.js in these folders of it, the nearest
/// first. The application's own folder is heard last.
pub fn pins_below(setting: Option<&str>, app: &dyn Files, folders: &[&str]) -> Vec<Pin> {
    let folders = folders.iter().copied().filter(|folder| !folder.is_empty()).chain([""]);
    let folders: Vec<Below<'_>> = folders.map(|folder| Below { files: app, folder }).collect();
    let packages: Vec<_> = folders.iter().map(Below::package).collect();
    let both = folders.iter().zip(&packages);
    let both = both.map(|(files, package)| Folder {
        path: files.folder,
        files,
        package: package.as_ref(),
    });
    let own = Folder { path: "", files: app, package: None };
    pins(setting, &both.collect::<Vec<_>>(), own)
}

/// The pins of version managers.
fn in_files(files: &dyn Files) -> Vec<Pin> {
    let text = |file: &str| files.text(file).unwrap_or_default();
    let line = |file: &str| {
        let text = text(file);
        let line = pins::first_line(&text)?;
        Pin::new(file, "", line.split_whitespace().next().unwrap_or(line))
    };
    let [own @ .., _, _, _] = FILES;
    let asdf = || {
        let text = text(pins::TOOL_VERSIONS);
        Pin::new(pins::TOOL_VERSIONS, NAMES[0], pins::tool_versions(&text, &NAMES)?)
    };
    let mise = |file: &str| {
        let key = format!("tools.{}", NAMES[0]);
        Pin::new(file, &key, &pins::mise(&text(file), &NAMES)?)
    };
    let mise = pins::MISE.into_iter().filter_map(mise);
    own.into_iter().filter_map(line).chain(asdf()).chain(mise).collect()
}

/// Settles on a version; `previous` is the one that the application ran with before.
///
/// # Errors
/// Code `node.version-unsupported`: what was asked for, where, and what there is.
pub fn choose(pins: &[Pin], previous: Option<&str>) -> Result<Chosen, PluginError> {
    let mut warnings = Vec::new();
    for Pin { file, key, requirement: asked } in pins {
        let sign = if key.is_empty() { asked.clone() } else { format!("{key}: {asked}") };
        let evidence = Some(Evidence::new(file, sign));
        let range = alias(asked);
        let Some(sets) = npm(&range) else {
            warnings.push(wanted::unreadable(file, "Node.js", &range, &DEFAULT.to_string()));
            continue;
        };
        let found = settle(&sets, previous).or_else(|| old(&sets, &range));
        let requirement = found.ok_or_else(|| unsupported(file, &range))?;
        warnings.extend(ended(&requirement, file));
        return Ok(Chosen { toolchain: Toolchain::new("node", requirement), evidence, warnings });
    }
    let sticky = previous.filter(|version| supported(version));
    let requirement = sticky.map_or_else(|| DEFAULT.to_string(), str::to_owned);
    warnings.extend(ended(&requirement, "the last deployment"));
    Ok(Chosen { toolchain: Toolchain::new("node", requirement), evidence: None, warnings })
}

/// The same for what only builds: a version that cannot be had as an image is asked for all the same, because
/// an assembled base has any, and the host says where there is none.
pub fn for_builds(pins: &[Pin], previous: Option<&str>) -> Chosen {
    choose(pins, previous).unwrap_or_else(|error| {
        let asked = pins.iter().map(|pin| alias(&pin.requirement));
        let asked = asked.filter(|range| npm(range).is_some()).find(|range| !range.is_empty());
        Chosen {
            toolchain: Toolchain::new("node", asked.unwrap_or_default()),
            evidence: None,
            warnings: vec![format!(
                "{}; it is asked for all the same, and only an assembled base may have it: ask for {DEFAULT} in \
                 windlass.toml, [build.toolchain] node",
                error.message
            )],
        }
    })
}

/// `lts/*`, `lts/jod`, `node`: names that version managers know.
fn alias(range: &str) -> String {
    let lower = range.to_ascii_lowercase();
    let name = lower.strip_prefix("lts/").or_else(|| lower.strip_prefix("lts-")).unwrap_or(&lower);
    let named = CODENAMES.iter().find(|(codename, _)| *codename == name).map(|(_, major)| *major);
    match name {
        "*" | "lts" | "node" | "latest" | "stable" | "current" => "*".to_owned(),
        _ => named.map_or_else(|| range.to_owned(), |major| major.to_string()),
    }
}

/// The line that ran before, else the default, else the newest: the first that the range allows.
fn settle(sets: &[Interval], previous: Option<&str>) -> Option<String> {
    let previous = previous.and_then(|version| version.split('.').next()?.parse().ok());
    let newest_first = MAJORS.iter().rev().copied();
    let wanted = previous.filter(|major| MAJORS.contains(major)).into_iter();
    wanted.chain([DEFAULT]).chain(newest_first).find_map(|major| {
        let line = Interval::line(&major.to_string())?;
        let set = sets.iter().find(|set| set.meets(line))?;
        if set.holds(line) { Some(major.to_string()) } else { Some(set.requirement(line)) }
    })
}

/// The last version of a line that gets no corrections any more, or the very one that is asked for.
fn old(sets: &[Interval], range: &str) -> Option<String> {
    ENDED.iter().find_map(|(major, last)| {
        let line = Interval::line(&major.to_string())?;
        sets.iter().find(|set| set.meets(line))?;
        let exact = Interval::line(last)?;
        let allowed = sets.iter().any(|set| set.meets(exact));
        let asked = range.trim_start_matches(['v', '=']);
        Some(if allowed { (*last).to_owned() } else { asked.to_owned() })
    })
}

/// The warning about a line that gets no corrections any more.
fn ended(requirement: &str, file: &str) -> Option<String> {
    let digits = requirement.trim_start_matches(|c: char| !c.is_ascii_digit());
    let major: u64 = digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    (major <= ENDED_MAX).then(|| {
        format!(
            "Node.js {major} has reached its end of life and gets no security fixes any more: ask for \
             {DEFAULT} or later (now: {file})"
        )
    })
}

fn supported(version: &str) -> bool {
    let line = |major: u64| Interval::line(&major.to_string());
    let known = MAJORS.into_iter().chain(ENDED.map(|(major, _)| major));
    npm(version).is_some_and(|sets| {
        known.filter_map(line).any(|line| sets.iter().any(|set| set.meets(line)))
    })
}

fn unsupported(file: &str, range: &str) -> PluginError {
    let mut majors: Vec<u64> = ENDED.iter().map(|(major, _)| *major).chain(MAJORS).collect();
    majors.sort_unstable();
    let majors: Vec<String> = majors.iter().map(u64::to_string).collect();
    let there_is = majors.join(", ");
    PluginError::new(
        "node.version-unsupported",
        format!("{file} asks for Node.js {range}, and Windlass provides {there_is}"),
    )
    .hint(format!(
        "ask for a supported version in {file}, or set it in windlass.toml:\n\
         [build.toolchain]\n\
         node = \"{DEFAULT}\""
    ))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::assets::Tree;

    fn asked(setting: Option<&str>, files: &[(&'static str, &'static str)]) -> Vec<Pin> {
        let tree = Tree(files.iter().copied().collect());
        let package = tree.text("package.json").map(|text| PackageJson::parse(&text).unwrap());
        let own = Folder { path: "", files: &tree, package: package.as_ref() };
        pins(setting, &[own], own)
    }

    #[test]
    fn every_place_is_heard_in_its_order() {
        let package = r#"{"volta":{"node":"20.1.0"},"engines":{"node":">=18"},
            "devEngines":{"runtime":{"name":"node","version":"24"}}}"#;
        let files = [
            ("package.json", package),
            ("netlify.toml", "[build.environment]\nNODE_VERSION = '18'\n"),
            (".mise.toml", "[tools]\nnode = '22.1'"),
            ("mise.toml", "[tools]\nnode = '22.2'"),
            (".tool-versions", "nodejs 22.3.0"),
            (".node-version", "# a comment\n22.4.0 # another\n"),
            (".nvmrc", "lts/jod"),
        ];
        let found = asked(Some("26"), &files);
        let said: Vec<_> = found.iter().map(|pin| pin.requirement.as_str()).collect();
        assert_eq!(
            said,
            ["26", "lts/jod", "22.4.0", "22.3.0", "22.2", "22.1", "20.1.0", "24", ">=18", "18"]
        );
        assert_eq!(found[6].key, "volta.node");
        assert_eq!(asked(None, &[]), []);
    }

    #[test]
    fn folders_are_heard_one_after_another_and_other_platforms_last() {
        let app = Tree(BTreeMap::from([
            ("web/package.json", r#"{"engines":{"node":"24"}}"#),
            ("web/netlify.toml", "[build.environment]\nNODE_VERSION = '16'\n"),
            (".tool-versions", "nodejs 20"),
            ("netlify.toml", "[build.environment]\nNODE_VERSION = '18'\n"),
        ]));
        let found = pins_below(None, &app, &["web", ""]);
        let said: Vec<_> = found.iter().map(|pin| pin.requirement.as_str()).collect();
        assert_eq!(said, ["24", "20", "18"]);
        let files: Vec<_> = found.iter().map(|pin| pin.file.as_str()).collect();
        assert_eq!(files, ["web/package.json", ".tool-versions", "netlify.toml"]);
    }

    #[test]
    fn what_builds_gets_what_it_asks_for() {
        let version = |requirement: &str, previous: Option<&str>| {
            let pin = Pin::new(".nvmrc", "", requirement);
            for_builds(&pin.into_iter().collect::<Vec<_>>(), previous)
        };
        assert_eq!(version("lts/iron", None).toolchain.requirement, "20");
        assert_eq!(version("", None).toolchain.requirement, "22");
        assert_eq!(version("", Some("24")).toolchain.requirement, "24");
        assert_eq!(version(">=18", Some("20")).toolchain.requirement, "20");
        let old = version("12.22.1", None);
        assert_eq!(old.toolchain.requirement, "12.22.1");
        assert_eq!(
            old.warnings,
            [
                ".nvmrc asks for Node.js 12.22.1, and Windlass provides 14, 16, 18, 20, 22, 24, 26; it is asked for \
                 all the same, and only an assembled base may have it: ask for 22 in windlass.toml, [build.toolchain] node"
            ]
        );
        let ended = version("18", None);
        assert!(ended.warnings[0].contains("end of life"), "{ended:?}");
    }
}
