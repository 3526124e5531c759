//! Where a new plugin's SDK comes from: the clone that it lies in, a clone that is named, or a copy that this
//! binary brings.
//!
//! The SDKs are in no registry yet; a copy is exactly the one that belongs to this Windlass and its contract.

use std::path::{Component, Path, PathBuf};

use toml::{Table, Value};
use windlass_model::Failure;
use windlass_model::author::Language;

use super::embedded;

/// Where a copy goes, in the plugin's folder.
pub(super) const FOLDER: &str = "windlass";

/// The SDK of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sdk {
    /// Of a clone, by its path from the plugin's folder.
    Clone(String),
    /// A copy in the plugin's folder.
    Copy,
}

impl Sdk {
    /// Finds it. `named` is the root of a clone, or the SDK's folder in it.
    ///
    /// # Errors
    /// `plugin.no-sdk`: there is none where it was named.
    pub(super) fn find(
        folder: &Path,
        named: Option<&Path>,
        language: Language,
    ) -> Result<Self, Failure> {
        let here = absolute(folder);
        let within = inside(language);
        if let Some(named) = named {
            let given = absolute(named);
            let found =
                [given.join(within), given.clone()].into_iter().find(|at| is_sdk(at, within));
            return found.map(|at| Self::Clone(relative(&here, &at))).ok_or_else(|| {
                Failure::app(
                    "plugin.no-sdk",
                    format!("there is no SDK for {} in {}", language.as_str(), named.display()),
                    format!("it is neither a clone of Windlass nor the folder {within} of one"),
                    "name the root of a clone with --sdk-path, or leave it out: the plugin gets a copy",
                )
            });
        }
        let around = here.ancestors().skip(1).map(|folder| folder.join(within));
        let found = around.into_iter().find(|at| is_sdk(at, within));
        Ok(found.map_or(Self::Copy, |at| Self::Clone(relative(&here, &at))))
    }

    /// The SDK's path from the plugin's folder.
    pub(super) fn path(&self, language: Language) -> String {
        match self {
            Self::Clone(path) => path.clone(),
            Self::Copy => format!("./{FOLDER}/{}", inside(language)),
        }
    }

    /// What a person is told about it.
    pub(super) fn note(&self) -> String {
        match self {
            Self::Clone(path) => format!("it uses the SDK of the clone: {path}"),
            Self::Copy => format!(
                "the SDK is in no registry yet: a copy of this Windlass's lies in {FOLDER}/, and belongs \
                 to the plugin's sources"
            ),
        }
    }
}

/// Where the SDK of a language lies in a clone.
pub(super) fn inside(language: Language) -> &'static str {
    match language {
        Language::Rust => "sdk/rust",
        Language::Js => "sdk/javascript",
        Language::Python => "sdk/python",
    }
}

/// The files of a copy: path below [`FOLDER`], bytes.
pub(super) fn copy(language: Language) -> Vec<(String, Vec<u8>)> {
    let within = inside(language);
    let of = |folder: &'static str| {
        let files = embedded::below(folder);
        let own = files.filter(|(path, _)| !path.starts_with("template"));
        own.map(move |(path, file)| (format!("{folder}/{path}"), file.bytes.to_vec()))
    };
    let mut files: Vec<(String, Vec<u8>)> = of(within).collect();
    if language == Language::Rust {
        files.extend(of("sdk/rust-macros"));
        files.extend(of("wit"));
        files.push(("Cargo.toml".to_owned(), workspace().into_bytes()));
    }
    files.push(("LICENSE".to_owned(), embedded::text("LICENSE").as_bytes().to_vec()));
    files
}

/// The workspace that the manifests of the Rust SDK refer to, with what they take from it and no more.
fn workspace() -> String {
    const MEMBERS: [&str; 2] = ["sdk/rust", "sdk/rust-macros"];
    let read = |path: &str| embedded::text(path).parse::<Table>().unwrap_or_default();
    let all = read("Cargo.toml");
    let of = |key: &str| all.get("workspace").and_then(|table| table.get(key)).cloned();
    let wanted: Vec<Table> =
        MEMBERS.iter().map(|member| read(&format!("{member}/Cargo.toml"))).collect();
    let known = of("dependencies").and_then(|table| table.as_table().cloned()).unwrap_or_default();
    let used = |name: &str| wanted.iter().any(|manifest| names(manifest, name));
    let dependencies: Table = known.into_iter().filter(|(name, _)| used(name)).collect();
    let members = MEMBERS.map(|member| Value::String(member.to_owned())).to_vec();
    let mut workspace = Table::new();
    workspace.insert("members".to_owned(), Value::Array(members));
    for key in ["resolver", "package", "lints"] {
        if let Some(value) = of(key) {
            workspace.insert(key.to_owned(), value);
        }
    }
    workspace.insert("dependencies".to_owned(), Value::Table(dependencies));
    let mut root = Table::new();
    root.insert("workspace".to_owned(), Value::Table(workspace));
    root.to_string()
}

/// Whether a table of dependencies anywhere in a manifest names a package.
fn names(manifest: &Table, package: &str) -> bool {
    manifest.iter().any(|(key, value)| match value {
        Value::Table(table) if key.ends_with("dependencies") => table.contains_key(package),
        Value::Table(table) => names(table, package),
        _ => false,
    })
}

/// Whether a folder is the SDK of a clone: the contract lies beside it.
fn is_sdk(at: &Path, within: &str) -> bool {
    let root = at.ancestors().nth(within.split('/').count());
    at.is_dir()
        && at.ends_with(within)
        && root.is_some_and(|root| root.join("wit/README.md").is_file())
}

/// An absolute path without `.` and `..`, links as they are named.
fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The way from one folder to another.
fn relative(from: &Path, to: &Path) -> String {
    let (from, to): (Vec<_>, Vec<_>) = (from.components().collect(), to.components().collect());
    let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..".to_owned(), from.len() - shared);
    let down = to[shared..].iter().map(|part| part.as_os_str().to_string_lossy().into_owned());
    up.chain(down).collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_sdk_of_a_clone_goes_up_and_down() {
        assert_eq!(relative(Path::new("/a/plugins/x"), Path::new("/a/sdk/rust")), "../../sdk/rust");
        assert_eq!(relative(Path::new("/a/x"), Path::new("/b/sdk")), "../../b/sdk");
    }

    #[test]
    fn a_clone_around_the_plugin_or_a_named_one_is_used_and_else_a_copy() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["clone/sdk/rust", "clone/wit", "clone/mine", "other"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::fs::write(root.path().join("clone/wit/README.md"), "").unwrap();
        let find = |folder: &str, named: Option<&str>| {
            let named = named.map(|named| root.path().join(named));
            Sdk::find(&root.path().join(folder), named.as_deref(), Language::Rust)
        };
        let clone = |path: &str| Sdk::Clone(path.to_owned());
        assert_eq!(find("clone/mine/a", None).unwrap(), clone("../../sdk/rust"));
        assert_eq!(find("other/a", None).unwrap(), Sdk::Copy);
        assert_eq!(find("other/a", Some("clone")).unwrap(), clone("../../clone/sdk/rust"));
        assert_eq!(find("other/a", Some("clone/sdk/rust")).unwrap(), clone("../../clone/sdk/rust"));
        assert_eq!(find("other/a", Some("other")).unwrap_err().code, "plugin.no-sdk");
    }

    #[test]
    fn a_copy_for_rust_is_a_workspace_with_what_its_members_need() {
        let files = copy(Language::Rust);
        let has = |path: &str| files.iter().any(|(known, _)| known == path);
        for path in [
            "Cargo.toml",
            "LICENSE",
            "wit/1.0.0/plugin.wit",
            "sdk/rust/Cargo.toml",
            "sdk/rust/src/lib.rs",
            "sdk/rust-macros/src/lib.rs",
        ] {
            assert!(has(path), "{path}");
        }
        assert!(!files.iter().any(|(path, _)| path.contains("template")));
        let root: Table = workspace().parse().unwrap();
        let dependencies = root["workspace"]["dependencies"].as_table().unwrap();
        assert!(dependencies.contains_key("wit-bindgen") && dependencies.contains_key("globset"));
        assert!(!dependencies.contains_key("wasmtime"), "only what is used");
        assert!(root["workspace"]["lints"].is_table() && root["workspace"]["package"].is_table());
    }
}
