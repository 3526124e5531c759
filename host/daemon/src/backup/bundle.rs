//! The file of a backup: a tar archive, compressed with zstd. First `manifest.json`, then the files,
//! last `checksums.json` with the digest of each.
//!
//! **Invariant: nothing of a bundle is believed before its last entry was read and every digest was
//! right.** A file that was cut off has no last entry.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};
use windlass_model::Digest;
use windlass_model::recovery::{BackupManifest, BackupPart};

const MANIFEST: &str = "manifest.json";
const CHECKSUMS: &str = "checksums.json";
/// Fast, and small enough.
const LEVEL: i32 = 3;
/// What a description of a bundle can be long.
const TEXT_BYTES_MAX: u64 = 256 << 20;

/// A bundle that is being written.
pub(super) struct Writer {
    path: PathBuf,
    tar: tar::Builder<zstd::Encoder<'static, BufWriter<File>>>,
    parts: Vec<BackupPart>,
}

impl Writer {
    /// Begins a file that only its owner can read.
    pub(super) fn begin(path: &Path, manifest: &BackupManifest) -> io::Result<Self> {
        let mut options = std::fs::OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
        let encoder = zstd::Encoder::new(BufWriter::new(file), LEVEL)?;
        let mut tar = tar::Builder::new(encoder);
        tar.follow_symlinks(false);
        let mut writer = Self { path: path.to_owned(), tar, parts: Vec::new() };
        writer.bytes(MANIFEST, &serde_json::to_vec_pretty(manifest)?)?;
        Ok(writer)
    }

    /// Adds a file that is in memory.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_mode(0o600);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_entry_type(EntryType::Regular);
        self.regular(name, header, bytes.len() as u64, bytes)
    }

    /// Adds a file or a symbolic link as it is, with its owner, mode and time, or a folder without what
    /// is in it. Anything else is left out.
    pub(super) fn path(&mut self, name: &str, path: &Path) -> io::Result<()> {
        let metadata = std::fs::symlink_metadata(path)?;
        let mut header = Header::new_gnu();
        header.set_metadata(&metadata);
        if metadata.is_file() {
            let file = File::open(path)?;
            return self.regular(name, header, metadata.size(), file);
        }
        header.set_size(0);
        if metadata.is_dir() {
            self.tar.append_data(&mut header, name, io::empty())?;
        } else if metadata.is_symlink() {
            self.tar.append_link(&mut header, name, std::fs::read_link(path)?)?;
        }
        Ok(())
    }

    /// Adds a folder with everything in it; none is no error.
    pub(super) fn tree(&mut self, name: &str, dir: &Path) -> io::Result<()> {
        if !dir.is_dir() {
            return Ok(());
        }
        self.path(name, dir)?;
        let mut entries = std::fs::read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let Some(file) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let (name, path) = (format!("{name}/{file}"), entry.path());
            let added = match entry.file_type()?.is_dir() {
                true => self.tree(&name, &path),
                false => self.path(&name, &path),
            };
            // What an application removes meanwhile is not there any more.
            if let Err(error) = added
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// A file that grows meanwhile is cut at the size that was seen; one that shrinks is filled up.
    fn regular(
        &mut self,
        name: &str,
        mut header: Header,
        bytes: u64,
        from: impl Read,
    ) -> io::Result<()> {
        header.set_size(bytes);
        let mut exact = Exact { inner: from, left: bytes, sha: Sha256::new() };
        self.tar.append_data(&mut header, name, &mut exact)?;
        let digest = Digest::from_sha256(exact.sha.finalize().into());
        self.parts.push(BackupPart { path: name.to_owned(), bytes, digest });
        Ok(())
    }

    /// Writes the checksums and makes the file durable.
    pub(super) fn end(mut self) -> io::Result<()> {
        let parts = serde_json::to_vec(&self.parts)?;
        self.bytes(CHECKSUMS, &parts)?;
        let mut buffer = self.tar.into_inner()?.finish()?;
        buffer.flush()?;
        buffer.get_ref().sync_all()?;
        drop(buffer);
        self.path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
    }
}

/// Exactly so many bytes, and their digest.
struct Exact<R> {
    inner: R,
    left: u64,
    sha: Sha256,
}

impl<R: Read> Read for Exact<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        if room == 0 {
            return Ok(0);
        }
        let read = match self.inner.read(&mut into[..room])? {
            0 => {
                into[..room].fill(0);
                room
            }
            read => read,
        };
        self.left -= read as u64;
        self.sha.update(&into[..read]);
        Ok(read)
    }
}

type Archive = tar::Archive<zstd::Decoder<'static, BufReader<File>>>;

fn open(path: &Path) -> io::Result<Archive> {
    Ok(tar::Archive::new(zstd::Decoder::new(File::open(path)?)?))
}

fn damaged(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

/// What a bundle says of itself, without a look at the rest.
pub(super) fn manifest(path: &Path) -> io::Result<BackupManifest> {
    let mut archive = open(path)?;
    let mut entries = archive.entries()?;
    let mut first = entries.next().ok_or_else(|| damaged("it is empty"))??;
    if first.path()?.as_ref() != Path::new(MANIFEST) {
        return Err(damaged("it does not begin with a manifest"));
    }
    let mut text = Vec::new();
    (&mut first).take(TEXT_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// What is to be done with an entry of a bundle.
pub(super) enum Keep {
    /// Only its digest counts.
    Nothing,
    /// It is written to this path, with its mode.
    At(PathBuf),
    /// The same with its owner.
    AsItWas(PathBuf),
}

/// Reads a whole bundle, checks every digest, and unpacks what `keep` names. Returns the number of files.
/// **What was unpacked counts only when this succeeds.**
pub(super) fn read(path: &Path, keep: &dyn Fn(&str) -> Keep) -> io::Result<u64> {
    let mut seen: BTreeMap<String, BackupPart> = BTreeMap::new();
    let mut checksums = None;
    let mut archive = open(path)?;
    for entry in archive.entries()? {
        let mut entry = entry?;
        if checksums.is_some() {
            return Err(damaged("something follows its checksums"));
        }
        let name = safe_name(&entry.path()?)?;
        if name == CHECKSUMS {
            let mut text = Vec::new();
            (&mut entry).take(TEXT_BYTES_MAX).read_to_end(&mut text)?;
            checksums = Some(serde_json::from_slice::<Vec<BackupPart>>(&text)?);
            continue;
        }
        let is_file = entry.header().entry_type() == EntryType::Regular;
        let digest = unpack(&mut entry, keep(&name))?;
        if is_file {
            let bytes = entry.size();
            seen.insert(name.clone(), BackupPart { path: name, bytes, digest });
        }
    }
    let checksums =
        checksums.ok_or_else(|| damaged("it was cut off: its checksums are missing"))?;
    let count = checksums.len() as u64;
    for part in checksums {
        match seen.remove(&part.path) {
            Some(found) if found == part => {}
            Some(_) => return Err(damaged(format!("{} is not what was written", part.path))),
            None => return Err(damaged(format!("{} is missing", part.path))),
        }
    }
    match seen.into_keys().next() {
        Some(more) => Err(damaged(format!("{more} has no checksum"))),
        None => Ok(count),
    }
}

/// A name that leads nowhere else.
fn safe_name(path: &Path) -> io::Result<String> {
    use std::path::Component;
    let is_normal = path.components().all(|part| matches!(part, Component::Normal(_)));
    match path.to_str() {
        Some(name) if is_normal && !name.is_empty() => Ok(name.trim_end_matches('/').to_owned()),
        _ => Err(damaged(format!("the name {} is not allowed in it", path.display()))),
    }
}

fn unpack<R: Read>(entry: &mut tar::Entry<'_, R>, keep: Keep) -> io::Result<Digest> {
    let header = entry.header().clone();
    let (to, owner) = match keep {
        Keep::Nothing => return hash(entry, &mut io::sink()),
        Keep::At(to) => (to, false),
        Keep::AsItWas(to) => (to, true),
    };
    if let Some(dir) = to.parent() {
        std::fs::create_dir_all(dir)?;
    }
    let mode = header.mode()? & 0o7777;
    let none = Digest::of(b"");
    let digest = match header.entry_type() {
        EntryType::Directory => {
            std::fs::create_dir_all(&to)?;
            none
        }
        EntryType::Symlink => {
            let link = entry.link_name()?.ok_or_else(|| damaged("a link in it leads nowhere"))?;
            let _ = std::fs::remove_file(&to);
            std::os::unix::fs::symlink(link, &to)?;
            none
        }
        EntryType::Regular => {
            let _ = std::fs::remove_file(&to);
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.write(true).create_new(true).mode(0o600).open(&to)?;
            let digest = hash(entry, &mut file)?;
            file.sync_all()?;
            digest
        }
        _ => return Err(damaged("it holds something that is no file, folder or link")),
    };
    if owner {
        let (uid, gid) = (u32::try_from(header.uid()?).ok(), u32::try_from(header.gid()?).ok());
        std::os::unix::fs::lchown(&to, uid, gid)?;
    }
    if header.entry_type() != EntryType::Symlink {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(mode))?;
    }
    Ok(digest)
}

fn hash(from: &mut impl Read, to: &mut impl Write) -> io::Result<Digest> {
    let mut sha = Sha256::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok(Digest::from_sha256(sha.finalize().into()));
        }
        sha.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
    }
}

#[cfg(test)]
mod tests {
    use windlass_model::recovery::BackupKey;
    use windlass_model::{HostId, Timestamp};

    use super::*;

    fn written(dir: &Path) -> PathBuf {
        let manifest = BackupManifest {
            format: 1,
            windlass: "0".to_owned(),
            host: HostId::generate(),
            made_at: Timestamp::now(),
            revision: 1,
            keys: 0,
            key: BackupKey::Absent,
            volumes: true,
        };
        let volume = dir.join("volume");
        std::fs::create_dir_all(volume.join("deep")).unwrap();
        std::fs::write(volume.join("deep/file"), vec![7; 300_000]).unwrap();
        std::os::unix::fs::symlink("deep/file", volume.join("link")).unwrap();
        let path = dir.join("a.tar.zst");
        let mut writer = Writer::begin(&path, &manifest).unwrap();
        writer.bytes("state.backup", b"state").unwrap();
        writer.tree("volumes", &volume).unwrap();
        writer.end().unwrap();
        assert_eq!(super::manifest(&path).unwrap(), manifest);
        path
    }

    #[test]
    fn what_was_written_comes_out_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let out = dir.path().join("out");
        let files = read(&path, &|name| Keep::AsItWas(out.join(name))).unwrap();
        assert_eq!(files, 3);
        assert_eq!(std::fs::read(out.join("state.backup")).unwrap(), b"state");
        assert_eq!(std::fs::read(out.join("volumes/link")).unwrap(), vec![7; 300_000]);
    }

    #[test]
    fn a_bundle_that_was_cut_off_or_changed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = written(dir.path());
        let whole = std::fs::read(&path).unwrap();
        for bytes in 0..whole.len() {
            std::fs::write(&path, &whole[..bytes]).unwrap();
            assert!(read(&path, &|_| Keep::Nothing).is_err(), "{bytes} of {}", whole.len());
        }
        for place in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            std::fs::write(&path, &bytes).unwrap();
            let out = dir.path().join("out");
            if read(&path, &|name| Keep::At(out.join(name))).is_ok() {
                // Bits of the compression's own frame may mean nothing; contents never differ.
                assert_eq!(std::fs::read(out.join("state.backup")).unwrap(), b"state");
            }
        }
    }

    #[test]
    fn a_file_that_changes_meanwhile_does_not_break_the_bundle() {
        let mut out = Vec::new();
        let mut short = Exact { inner: &b"ab"[..], left: 4, sha: Sha256::new() };
        short.read_to_end(&mut out).unwrap();
        assert_eq!(out, b"ab\0\0");
        let mut long = Exact { inner: &b"abcdef"[..], left: 4, sha: Sha256::new() };
        out.clear();
        long.read_to_end(&mut out).unwrap();
        assert_eq!(out, b"abcd");
    }
}
