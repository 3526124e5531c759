//! Files and facts that plugins leave with a deployment.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

use windlass_model::stage::{Annotation, Attached, AttachedKind, Tone};
use windlass_model::{Digest, Timestamp};
use windlass_sandbox::contract::annotations::{self, AnnotationError};
use windlass_sandbox::contract::artifacts::{self, Artifact, ArtifactError};

use super::record::Folder;

/// Files of one plugin.
const FILES_MAX: usize = 100;
/// Characters of a title.
const TITLE_CHARS_MAX: usize = 200;
/// Facts of one plugin.
const ANNOTATIONS_MAX: usize = 30;
/// Characters of a fact, and of its address.
const VALUE_CHARS_MAX: usize = 500;

fn refused(reason: artifacts::Reason, message: impl Into<String>) -> ArtifactError {
    ArtifactError { reason, message: message.into() }
}

fn failed(error: &io::Error) -> ArtifactError {
    refused(artifacts::Reason::HostFailed, format!("it could not be written: {error}"))
}

/// Whether a text is a plain file name.
pub(crate) fn is_file_name(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=100).contains(&name.len()) && name.chars().all(letter) && !name.starts_with('.')
}

fn is_media_type(text: &str) -> bool {
    let letter = |c: char| c.is_ascii_graphic() || c == ' ';
    (3..=100).contains(&text.len()) && text.contains('/') && text.chars().all(letter)
}

/// One line without control characters, cut to a length.
fn line(text: &str, chars_max: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(chars_max).collect()
}

/// Attaches a file, in place of the plugin's earlier one of this name. `bytes_max` is for all of its files.
pub(crate) fn attach(
    folder: &Folder,
    plugin: &str,
    artifact: &Artifact,
    content: &[u8],
    bytes_max: u64,
) -> Result<(), ArtifactError> {
    if !is_file_name(&artifact.name) {
        let rule = "1 to 100 letters, digits, `.`, `-` and `_`, not beginning with a dot";
        let why = format!("the name {:?} is not {rule}", artifact.name);
        return Err(refused(artifacts::Reason::Invalid, why));
    }
    if !is_media_type(&artifact.media_type) {
        let why = format!("{:?} is no media type such as text/html", artifact.media_type);
        return Err(refused(artifacts::Reason::Invalid, why));
    }
    let mut all = folder.attached();
    all.retain(|one| one.plugin != plugin || one.name != artifact.name);
    let own = || all.iter().filter(|one| one.plugin == plugin);
    if own().count() >= FILES_MAX {
        let why = format!("a plugin attaches at most {FILES_MAX} files to a deployment");
        return Err(refused(artifacts::Reason::OverLimit, why));
    }
    let bytes = content.len() as u64;
    let others: u64 = own().map(|one| one.bytes).sum();
    room(others + bytes, bytes_max)?;
    write(folder, plugin, &artifact.name, content).map_err(|e| failed(&e))?;
    all.push(Attached {
        plugin: plugin.to_owned(),
        name: artifact.name.clone(),
        kind: match artifact.kind {
            artifacts::Kind::Report => AttachedKind::Report,
            artifacts::Kind::Table => AttachedKind::Table,
            artifacts::Kind::Image => AttachedKind::Image,
            artifacts::Kind::File => AttachedKind::File,
        },
        media_type: artifact.media_type.clone(),
        title: line(&artifact.title, TITLE_CHARS_MAX),
        bytes,
        digest: Digest::of(content),
        attached_at: Timestamp::now(),
    });
    folder.keep_attached(&all).map_err(|e| failed(&e))
}

/// Adds to a file that was attached.
pub(crate) fn append(
    folder: &Folder,
    plugin: &str,
    name: &str,
    content: &[u8],
    bytes_max: u64,
) -> Result<(), ArtifactError> {
    let mut all = folder.attached();
    let used: u64 = all.iter().filter(|one| one.plugin == plugin).map(|one| one.bytes).sum();
    let found = all.iter_mut().find(|one| one.plugin == plugin && one.name == name);
    let Some(one) = found.filter(|one| is_file_name(&one.name)) else {
        return Err(refused(artifacts::Reason::NotFound, format!("{name:?} is not attached")));
    };
    room(used + content.len() as u64, bytes_max)?;
    let mut whole = fs::read(path(folder, plugin, name)).map_err(|e| failed(&e))?;
    // What a crash left behind the length that was noted is not of the file.
    whole.truncate(usize::try_from(one.bytes).unwrap_or(usize::MAX));
    whole.extend_from_slice(content);
    write(folder, plugin, name, &whole).map_err(|e| failed(&e))?;
    one.bytes = whole.len() as u64;
    one.digest = Digest::of(&whole);
    folder.keep_attached(&all).map_err(|e| failed(&e))
}

/// Where a file of a plugin lies. No attached file has the name `.new`.
fn path(folder: &Folder, plugin: &str, name: &str) -> PathBuf {
    folder.at(&format!("attached/{plugin}/{name}"))
}

/// Writes a file of a plugin that is whole or as before.
fn write(folder: &Folder, plugin: &str, name: &str, content: &[u8]) -> io::Result<()> {
    let (path, draft) = (path(folder, plugin, name), path(folder, plugin, ".new"));
    fs::create_dir_all(path.parent().unwrap_or(&path))?;
    let mut file = File::create(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(draft, path)
}

fn room(bytes: u64, bytes_max: u64) -> Result<(), ArtifactError> {
    if bytes <= bytes_max {
        return Ok(());
    }
    let why =
        format!("all files of the plugin would have {bytes} bytes, and {bytes_max} are granted");
    Err(refused(artifacts::Reason::OverLimit, why))
}

/// Notes a fact, in place of the plugin's earlier one of this name.
pub(crate) fn annotate(
    folder: &Folder,
    plugin: &str,
    annotation: annotations::Annotation,
) -> Result<(), AnnotationError> {
    let refused = |reason, message: String| Err(AnnotationError { reason, message });
    let annotations::Annotation { name, value, tone, url } = annotation;
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    if !(1..=60).contains(&name.len()) || !name.chars().all(letter) {
        let why = format!("the name {name:?} is not 1 to 60 of a-z, 0-9, dot and hyphen");
        return refused(annotations::Reason::Invalid, why);
    }
    let fits =
        |text: &str| text.chars().count() <= VALUE_CHARS_MAX && !text.chars().any(char::is_control);
    if !fits(&value) {
        let why = format!("a value has at most {VALUE_CHARS_MAX} characters in one line");
        return refused(annotations::Reason::Invalid, why);
    }
    let leads = |url: &str| url.starts_with("https://") || url.starts_with("http://");
    if let Some(url) = url.as_deref().filter(|url| !fits(url) || !leads(url)) {
        return refused(
            annotations::Reason::Invalid,
            format!("{url:?} is no http or https address"),
        );
    }
    let mut all = folder.annotations();
    all.retain(|one| one.plugin != plugin || one.name != name);
    if all.iter().filter(|one| one.plugin == plugin).count() >= ANNOTATIONS_MAX {
        let why = format!("a plugin notes at most {ANNOTATIONS_MAX} facts on a deployment");
        return refused(annotations::Reason::OverLimit, why);
    }
    all.push(Annotation {
        plugin: plugin.to_owned(),
        name,
        value,
        tone: match tone {
            annotations::Tone::Neutral => Tone::Neutral,
            annotations::Tone::Good => Tone::Good,
            annotations::Tone::Warning => Tone::Warning,
            annotations::Tone::Bad => Tone::Bad,
        },
        url,
    });
    let kept = folder.keep_annotations(&all);
    kept.or_else(|e| refused(annotations::Reason::HostFailed, format!("it was not written: {e}")))
}

#[cfg(test)]
mod tests {
    use windlass_model::DeploymentId;

    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::of(dir.path(), &DeploymentId::generate());
        (dir, folder)
    }

    fn artifact(name: &str) -> Artifact {
        Artifact {
            name: name.to_owned(),
            kind: artifacts::Kind::Report,
            media_type: "text/plain".to_owned(),
            title: "A\u{1b}[31m title".to_owned(),
        }
    }

    #[test]
    fn a_file_is_attached_added_to_replaced_and_bounded_for_each_plugin() {
        let (_dir, folder) = folder();
        attach(&folder, "a", &artifact("r.txt"), b"12345", 10).unwrap();
        append(&folder, "a", "r.txt", b"678", 10).unwrap();
        let all = folder.attached();
        assert_eq!((all[0].bytes, all[0].title.as_str()), (8, "A[31m title"));
        assert_eq!(all[0].digest, Digest::of(b"12345678"));
        assert_eq!(fs::read(folder.at("attached/a/r.txt")).unwrap(), b"12345678");
        let over = append(&folder, "a", "r.txt", b"901", 10).unwrap_err();
        assert_eq!(over.reason, artifacts::Reason::OverLimit);
        let over = attach(&folder, "a", &artifact("s.txt"), b"123", 10).unwrap_err();
        assert!(over.message.contains("11 bytes"), "{over:?}");
        attach(&folder, "b", &artifact("r.txt"), b"1234567890", 10).unwrap();
        attach(&folder, "a", &artifact("r.txt"), b"1", 10).unwrap();
        assert_eq!(folder.attached().len(), 2);
        let absent = append(&folder, "b", "s.txt", b"1", 10).unwrap_err();
        assert_eq!(absent.reason, artifacts::Reason::NotFound);
    }

    #[test]
    fn a_name_that_is_no_file_name_reaches_no_file() {
        let (dir, folder) = folder();
        for bad in ["", ".", "..", "../x", "a/b", "/etc/x", ".hidden", "a b", "a\0", "ä"] {
            let refused = attach(&folder, "a", &artifact(bad), b"1", 10).unwrap_err();
            assert_eq!(refused.reason, artifacts::Reason::Invalid, "{bad:?}");
        }
        let odd = Artifact { media_type: "text".to_owned(), ..artifact("x") };
        assert_eq!(
            attach(&folder, "a", &odd, b"1", 10).unwrap_err().reason,
            artifacts::Reason::Invalid
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn facts_are_replaced_by_name_and_bounded() {
        let (_dir, folder) = folder();
        let note = |name: &str, value: &str, url: Option<&str>| {
            let (name, value) = (name.to_owned(), value.to_owned());
            let tone = annotations::Tone::Good;
            let url = url.map(str::to_owned);
            annotate(&folder, "a", annotations::Annotation { name, value, tone, url })
        };
        note("x", "1", None).unwrap();
        note("x", "2", Some("https://example.com")).unwrap();
        assert_eq!(folder.annotations().len(), 1);
        assert_eq!(folder.annotations()[0].value, "2");
        for (name, value, url) in [
            ("X", "1", None),
            ("y", "1\n2", None),
            ("y", "\u{1b}[2J", None),
            ("y", "1", Some("javascript:alert(1)")),
            ("", "1", None),
        ] {
            let refused = note(name, value, url).unwrap_err();
            assert_eq!(refused.reason, annotations::Reason::Invalid, "{name} {value}");
        }
        for n in 1..ANNOTATIONS_MAX {
            note(&format!("n{n}"), "1", None).unwrap();
        }
        assert_eq!(note("more", "1", None).unwrap_err().reason, annotations::Reason::OverLimit);
    }
}
