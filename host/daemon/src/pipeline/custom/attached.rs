//! Files and facts that plugins leave with a deployment.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};
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

/// SHA-256 of the files that a call adds to, as far as they are written: adding to one costs what is added, however
/// long it is.
#[derive(Default)]
pub(crate) struct Sums(Mutex<HashMap<String, Sha256>>);

impl Sums {
    /// Takes that of a file, if it is the one that was noted: another call may have replaced it.
    fn take(&self, name: &str, noted: &Digest) -> Option<Sha256> {
        let sum = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        sum.filter(|sum| digest(sum) == *noted)
    }

    fn forget(&self, name: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn put(&self, name: &str, sum: Sha256) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), sum);
    }
}

/// Digest of what a sum has been told so far.
fn digest(sum: &Sha256) -> Digest {
    Digest::from_sha256(sum.clone().finalize().into())
}

/// The files of one plugin with a deployment. Whoever changes them is alone with them.
#[derive(Clone, Copy)]
pub(crate) struct Own<'a> {
    pub folder: &'a Folder,
    pub plugin: &'a str,
    /// Those of the call.
    pub sums: &'a Sums,
    /// What all files of the plugin may have together, in bytes.
    pub bytes_max: u64,
}

impl Own<'_> {
    /// Attaches a file, in place of the plugin's earlier one of this name.
    pub(crate) fn attach(self, artifact: &Artifact, content: &[u8]) -> Result<(), ArtifactError> {
        if !is_file_name(&artifact.name) {
            let rule = "1 to 100 letters, digits, `.`, `-` and `_`, not beginning with a dot";
            let why = format!("the name {:?} is not {rule}", artifact.name);
            return Err(refused(artifacts::Reason::Invalid, why));
        }
        if !is_media_type(&artifact.media_type) {
            let why = format!("{:?} is no media type such as text/html", artifact.media_type);
            return Err(refused(artifacts::Reason::Invalid, why));
        }
        let Self { folder, plugin, .. } = self;
        let mut all = folder.attached();
        all.retain(|one| one.plugin != plugin || one.name != artifact.name);
        let own = || all.iter().filter(|one| one.plugin == plugin);
        if own().count() >= FILES_MAX {
            let why = format!("a plugin attaches at most {FILES_MAX} files to a deployment");
            return Err(refused(artifacts::Reason::OverLimit, why));
        }
        let bytes = content.len() as u64;
        let others: u64 = own().map(|one| one.bytes).sum();
        room(others + bytes, self.bytes_max)?;
        self.sums.forget(&artifact.name);
        self.replace(&artifact.name, content).map_err(|e| failed(&e))?;
        let sum = Sha256::new_with_prefix(content);
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
            digest: digest(&sum),
            attached_at: Timestamp::now(),
        });
        if let Err(error) = folder.keep_attached(&all) {
            // What is noted is the earlier one, which is gone: nobody, of whatever call, may add to this.
            let _gone = fs::remove_file(self.path(&artifact.name));
            return Err(failed(&error));
        }
        self.sums.put(&artifact.name, sum);
        Ok(())
    }

    /// Adds to a file that was attached, in its place: what a crash leaves behind the length that is noted is not
    /// of the file, and nobody is shown it.
    pub(crate) fn append(self, name: &str, content: &[u8]) -> Result<(), ArtifactError> {
        let mut all = self.folder.attached();
        let own = all.iter().filter(|one| one.plugin == self.plugin);
        let used: u64 = own.map(|one| one.bytes).sum();
        let found = all.iter_mut().find(|one| one.plugin == self.plugin && one.name == name);
        let Some(one) = found.filter(|one| is_file_name(&one.name)) else {
            return Err(refused(artifacts::Reason::NotFound, format!("{name:?} is not attached")));
        };
        room(used + content.len() as u64, self.bytes_max)?;
        let sum = self.sums.take(name, &one.digest).map_or_else(|| self.read(one), Ok);
        let mut sum = sum.map_err(|e| failed(&e))?;
        self.extend(name, one.bytes, content).map_err(|e| failed(&e))?;
        sum.update(content);
        one.bytes += content.len() as u64;
        one.digest = digest(&sum);
        self.folder.keep_attached(&all).map_err(|e| failed(&e))?;
        self.sums.put(name, sum);
        Ok(())
    }

    /// Where a file of the plugin lies. No attached file has the name `.new`.
    fn path(self, name: &str) -> PathBuf {
        self.folder.at(&format!("attached/{}/{name}", self.plugin))
    }

    /// Writes a file that is whole or as before.
    fn replace(self, name: &str, content: &[u8]) -> io::Result<()> {
        let (path, draft) = (self.path(name), self.path(".new"));
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        let mut file = File::create(&draft)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(draft, path)
    }

    /// Writes behind the first bytes of a file, and nothing else behind them; on the disk when it returns.
    fn extend(self, name: &str, bytes: u64, content: &[u8]) -> io::Result<()> {
        let file = File::options().write(true).open(self.path(name))?;
        file.set_len(bytes)?;
        file.write_all_at(content, bytes)?;
        file.sync_data()
    }

    /// The sum of what was noted of a file.
    fn read(self, noted: &Attached) -> io::Result<Sha256> {
        let mut file = File::open(self.path(&noted.name))?.take(noted.bytes);
        let mut sum = Sha256::new();
        io::copy(&mut file, &mut sum)?;
        if digest(&sum) == noted.digest {
            return Ok(sum);
        }
        Err(io::Error::other("its content is not what was noted of it; attach it again"))
    }
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
    use std::os::unix::fs::MetadataExt as _;

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

    fn own<'a>(folder: &'a Folder, plugin: &'a str, sums: &'a Sums) -> Own<'a> {
        Own { folder, plugin, sums, bytes_max: 10 }
    }

    #[test]
    fn a_file_is_attached_added_to_replaced_and_bounded_for_each_plugin() {
        let (_dir, folder) = folder();
        let (sums, others) = (Sums::default(), Sums::default());
        let (a, b) = (own(&folder, "a", &sums), own(&folder, "b", &others));
        a.attach(&artifact("r.txt"), b"12345").unwrap();
        a.append("r.txt", b"678").unwrap();
        let all = folder.attached();
        assert_eq!((all[0].bytes, all[0].title.as_str()), (8, "A[31m title"));
        assert_eq!(all[0].digest, Digest::of(b"12345678"));
        assert_eq!(fs::read(folder.at("attached/a/r.txt")).unwrap(), b"12345678");
        let over = a.append("r.txt", b"901").unwrap_err();
        assert_eq!(over.reason, artifacts::Reason::OverLimit);
        let over = a.attach(&artifact("s.txt"), b"123").unwrap_err();
        assert!(over.message.contains("11 bytes"), "{over:?}");
        b.attach(&artifact("r.txt"), b"1234567890").unwrap();
        a.attach(&artifact("r.txt"), b"1").unwrap();
        a.append("r.txt", b"2").unwrap();
        let all = folder.attached();
        assert_eq!(all.len(), 2);
        assert_eq!(all[1].digest, Digest::of(b"12"), "of the one that took its place");
        let absent = b.append("s.txt", b"1").unwrap_err();
        assert_eq!(absent.reason, artifacts::Reason::NotFound);
    }

    #[test]
    fn what_is_added_is_written_behind_and_what_is_there_is_read_once() {
        let (_dir, folder) = folder();
        let sums = Sums::default();
        let call = own(&folder, "a", &sums);
        call.attach(&artifact("r.txt"), b"12").unwrap();
        let path = folder.at("attached/a/r.txt");
        let inode = fs::metadata(&path).unwrap().ino();
        // Of what its sum knows, nothing is read.
        fs::write(&path, "xx").unwrap();
        call.append("r.txt", b"34").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "in its place");
        assert_eq!(folder.attached()[0].digest, Digest::of(b"1234"));
        assert_eq!(fs::read(&path).unwrap(), b"xx34");

        // Another call has to read it, and sees what it is.
        let sums = Sums::default();
        let next = own(&folder, "a", &sums);
        let odd = next.append("r.txt", b"5").unwrap_err();
        assert_eq!(odd.reason, artifacts::Reason::HostFailed);
        fs::write(&path, "1234").unwrap();
        next.append("r.txt", b"5").unwrap();
        assert_eq!(folder.attached()[0].digest, Digest::of(b"12345"));
    }

    #[test]
    fn what_a_crash_left_behind_a_file_is_not_of_it_and_goes() {
        let (_dir, folder) = folder();
        let sums = Sums::default();
        own(&folder, "a", &sums).attach(&artifact("r.txt"), b"12").unwrap();
        // Written, and not noted any more.
        fs::write(folder.at("attached/a/r.txt"), "12 and more").unwrap();
        for sums in [sums, Sums::default()] {
            let noted = folder.attached()[0].bytes;
            own(&folder, "a", &sums).append("r.txt", b"3").unwrap();
            let all = folder.attached();
            assert_eq!(all[0].bytes, noted + 1);
            let whole = fs::read(folder.at("attached/a/r.txt")).unwrap();
            assert_eq!((whole.len() as u64, &all[0].digest), (noted + 1, &Digest::of(&whole)));
        }
        assert_eq!(fs::read(folder.at("attached/a/r.txt")).unwrap(), b"1233");
    }

    #[test]
    fn a_file_that_took_a_place_and_was_not_noted_is_added_to_by_nobody() {
        let (_dir, folder) = folder();
        let (sums, others) = (Sums::default(), Sums::default());
        let (call, beside) = (own(&folder, "a", &sums), own(&folder, "a", &others));
        call.attach(&artifact("r.txt"), b"12").unwrap();
        beside.append("r.txt", b"3").unwrap();
        // The note cannot be written: a folder is in its way.
        let note = folder.at("attached.json");
        let noted = fs::read(&note).unwrap();
        fs::remove_file(&note).unwrap();
        fs::create_dir(&note).unwrap();
        call.attach(&artifact("r.txt"), b"45").unwrap_err();
        fs::remove_dir(&note).unwrap();
        fs::write(&note, noted).unwrap();
        for own in [call, beside] {
            let refused = own.append("r.txt", b"6").unwrap_err();
            assert_eq!(refused.reason, artifacts::Reason::HostFailed);
        }
        call.attach(&artifact("r.txt"), b"78").unwrap();
        call.append("r.txt", b"9").unwrap();
        assert_eq!(folder.attached()[0].digest, Digest::of(b"789"));
    }

    #[test]
    fn a_name_that_is_no_file_name_reaches_no_file() {
        let (dir, folder) = folder();
        let sums = Sums::default();
        let call = own(&folder, "a", &sums);
        for bad in ["", ".", "..", "../x", "a/b", "/etc/x", ".hidden", "a b", "a\0", "ä"] {
            let refused = call.attach(&artifact(bad), b"1").unwrap_err();
            assert_eq!(refused.reason, artifacts::Reason::Invalid, "{bad:?}");
        }
        let odd = Artifact { media_type: "text".to_owned(), ..artifact("x") };
        assert_eq!(call.attach(&odd, b"1").unwrap_err().reason, artifacts::Reason::Invalid);
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
