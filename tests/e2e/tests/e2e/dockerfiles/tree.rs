//! Trees of files and configurations of images, in a form that can be compared.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde_json::Value;
use windlass_model::Digest;

/// Paths with what they are: kind, mode, owner, content, extended attributes, and the names of the same file.
pub(crate) type Tree = BTreeMap<String, String>;

fn described(kind: char, mode: u32, owner: (u64, u64), body: &str) -> String {
    // The mode of a link means nothing.
    let mode = if kind == 'l' { 0o777 } else { mode & 0o7777 };
    format!("{kind} {mode:o} {}:{} {body}", owner.0, owner.1)
}

/// A pipe or a device, with its number.
fn special(what: &str, major: u32, minor: u32) -> String {
    format!("{what} {major}:{minor}")
}

fn hashed(bytes: &[u8]) -> String {
    format!("{} bytes {}", bytes.len(), Digest::of(bytes).short())
}

/// Extended attributes by name.
type Attributes = BTreeMap<String, Vec<u8>>;

/// How a tar calls an extended attribute.
const IN_TAR: &str = "SCHILY.xattr.";

/// Whether an extended attribute belongs to the file: its capabilities, and what programs note at it. All others are
/// the machine's or the file system's.
fn is_compared(name: &str) -> bool {
    name == "security.capability" || name.starts_with("user.")
}

/// The attributes that are compared of a file, a folder or a link.
fn attributes_of(path: &Path) -> Attributes {
    const BYTES_MAX: usize = 64 << 10;
    let mut list = vec![0_u8; BYTES_MAX];
    let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap();
    let names = list[..length].split(|byte| *byte == 0).map(String::from_utf8_lossy);
    let value_of = |name: &str| {
        let mut value = vec![0_u8; BYTES_MAX];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
        value.truncate(length);
        value
    };
    let compared = names.filter(|name| is_compared(name));
    compared.map(|name| (name.to_string(), value_of(&name))).collect()
}

fn with_attributes(mut text: String, attributes: &Attributes) -> String {
    for (name, value) in attributes {
        text.push_str(&format!(" {name}={value:02x?}"));
    }
    text
}

/// What is in a folder.
pub(crate) fn of_dir(root: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut links: BTreeMap<(u64, u64), Vec<String>> = BTreeMap::new();
    walk(root, root, &mut tree, &mut links);
    note_links(&mut tree, links.into_values());
    tree
}

fn walk(root: &Path, dir: &Path, tree: &mut Tree, links: &mut BTreeMap<(u64, u64), Vec<String>>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = path.symlink_metadata().unwrap();
        let name = name_of(path.strip_prefix(root).unwrap());
        let owner = (u64::from(meta.uid()), u64::from(meta.gid()));
        let mode = meta.permissions().mode();
        let text = if meta.is_dir() {
            walk(root, &path, tree, links);
            described('d', mode, owner, "")
        } else if meta.is_symlink() {
            let target = std::fs::read_link(&path).unwrap();
            described('l', mode, owner, &target.display().to_string())
        } else if meta.is_file() {
            if meta.nlink() > 1 {
                links.entry((meta.dev(), meta.ino())).or_default().push(name.clone());
            }
            described('f', mode, owner, &hashed(&std::fs::read(&path).unwrap()))
        } else {
            let (kind, device) = (meta.file_type(), meta.rdev());
            let what = match kind.is_char_device() {
                true => "character device",
                false if kind.is_block_device() => "block device",
                false => "pipe",
            };
            let body = special(what, rustix::fs::major(device), rustix::fs::minor(device));
            described('o', mode, owner, &body)
        };
        tree.insert(name, with_attributes(text, &attributes_of(&path)));
    }
}

/// What is in a tar.
pub(crate) fn of_tar(path: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut links: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut archive = tar::Archive::new(std::fs::File::open(path).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = name_of(&entry.path().unwrap());
        let extensions = entry.pax_extensions().unwrap().into_iter().flatten();
        let attribute = |one: std::io::Result<tar::PaxExtension<'_>>| {
            let one = one.unwrap();
            let name = one.key().unwrap().strip_prefix(IN_TAR).filter(|name| is_compared(name))?;
            Some((name.to_owned(), one.value_bytes().to_vec()))
        };
        let attributes: Attributes = extensions.filter_map(attribute).collect();
        let header = entry.header();
        let (mode, kind) = (header.mode().unwrap(), header.entry_type());
        let owner = (header.uid().unwrap(), header.gid().unwrap());
        let target = entry.link_name().unwrap().map(|target| target.into_owned());
        let text = match kind {
            tar::EntryType::Directory => {
                with_attributes(described('d', mode, owner, ""), &attributes)
            }
            tar::EntryType::Symlink => {
                described('l', mode, owner, &target.unwrap().display().to_string())
            }
            tar::EntryType::Link => {
                let first = name_of(&target.unwrap());
                let text = tree[&first].clone();
                links.entry(first.clone()).or_insert_with(|| vec![first]).push(name.clone());
                text
            }
            tar::EntryType::Regular => {
                let mut body = Vec::new();
                entry.read_to_end(&mut body).unwrap();
                with_attributes(described('f', mode, owner, &hashed(&body)), &attributes)
            }
            tar::EntryType::Char | tar::EntryType::Block => {
                let what = if kind.is_character_special() { "character" } else { "block" };
                let number = |half: std::io::Result<Option<u32>>| half.unwrap().unwrap();
                let (major, minor) = (number(header.device_major()), number(header.device_minor()));
                described('o', mode, owner, &special(&format!("{what} device"), major, minor))
            }
            _ => described('o', mode, owner, &special("pipe", 0, 0)),
        };
        if !name.is_empty() {
            tree.insert(name, text);
        }
    }
    note_links(&mut tree, links.into_values());
    tree
}

fn name_of(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let text = String::from_utf8_lossy(bytes).into_owned();
    text.trim_start_matches("./").trim_matches('/').to_owned()
}

fn note_links(tree: &mut Tree, groups: impl Iterator<Item = Vec<String>>) {
    for mut group in groups.filter(|group| group.len() > 1) {
        group.sort();
        for name in &group {
            tree.get_mut(name).unwrap().push_str(&format!(" linked with {}", group.join(" ")));
        }
    }
}

/// The parts of the configuration of a saved image (`docker save`) that say something.
pub(crate) fn of_saved(archive: &Path) -> Tree {
    let json = |name: &str| -> Value { serde_json::from_slice(&entry(archive, name)).unwrap() };
    let manifest = json("manifest.json");
    of_config(&json(manifest[0]["Config"].as_str().unwrap()))
}

fn entry(archive: &Path, name: &str) -> Vec<u8> {
    let mut archive = tar::Archive::new(std::fs::File::open(archive).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if name_of(&entry.path().unwrap()) == name {
            let mut body = Vec::new();
            entry.read_to_end(&mut body).unwrap();
            return body;
        }
    }
    panic!("{name} is not in the archive")
}

/// What a configuration says of how the image is run.
const KNOWN: [&str; 12] = [
    "Env",
    "Entrypoint",
    "Cmd",
    "User",
    "WorkingDir",
    "ExposedPorts",
    "Volumes",
    "Labels",
    "StopSignal",
    "Shell",
    "OnBuild",
    "Healthcheck",
];

/// Of an image's configuration, as images carry it; whatever else is in it counts as it is.
pub(crate) fn of_config(image: &Value) -> Tree {
    let config = &image["config"];
    let list = |name: &str| -> Vec<String> {
        let list = config[name].as_array().cloned().unwrap_or_default();
        list.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    let keys = |name: &str| -> Vec<String> {
        sorted(
            config[name].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default(),
        )
    };
    let labels: BTreeMap<String, String> = config["Labels"]
        .as_object()
        .map(|map| map.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect())
        .unwrap_or_default();
    let health = config["Healthcheck"].as_object().map(|check| {
        let number = |name: &str| check.get(name).and_then(Value::as_u64).unwrap_or(0);
        let times = ["Interval", "Timeout", "StartPeriod", "StartInterval"].map(number);
        let test: Vec<String> = serde_json::from_value(check["Test"].clone()).unwrap();
        format!("{test:?} {times:?} {}", number("Retries"))
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut tree = said([
        ("Env", format!("{:?}", sorted(list("Env")))),
        ("Entrypoint", format!("{:?}", list("Entrypoint"))),
        ("Cmd", format!("{:?}", list("Cmd"))),
        ("User", text(&config["User"])),
        ("WorkingDir", text(&config["WorkingDir"])),
        ("ExposedPorts", format!("{:?}", keys("ExposedPorts"))),
        ("Volumes", format!("{:?}", keys("Volumes"))),
        ("Labels", format!("{labels:?}")),
        ("StopSignal", text(&config["StopSignal"])),
        ("Shell", format!("{:?}", list("Shell"))),
        ("OnBuild", format!("{:?}", list("OnBuild"))),
        ("Healthcheck", health.unwrap_or_default()),
        ("Author", text(&image["author"])),
        ("Platform", format!("{}/{}", text(&image["os"]), text(&image["architecture"]))),
    ]);
    for (name, value) in config.as_object().into_iter().flatten() {
        if !KNOWN.contains(&name.as_str()) && !value.is_null() {
            tree.insert(name.clone(), value.to_string());
        }
    }
    tree
}

fn said<const N: usize>(parts: [(&str, String); N]) -> Tree {
    let silent = |text: &str| matches!(text, "" | "[]" | "{}");
    parts.into_iter().filter(|(_, t)| !silent(t)).map(|(k, t)| (k.to_owned(), t)).collect()
}

/// What is not the same, by its path.
pub(crate) fn differences(ours: &Tree, theirs: &Tree) -> Vec<(String, String)> {
    let names: std::collections::BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
    let absent = "absent".to_owned();
    names
        .into_iter()
        .filter(|name| ours.get(*name) != theirs.get(*name))
        .map(|name| {
            let (a, b) = (ours.get(name).unwrap_or(&absent), theirs.get(name).unwrap_or(&absent));
            (name.clone(), format!("Windlass: {a}; peer: {b}"))
        })
        .collect()
}
