//! Writing one file, and unpacking an archive.

use std::path::Path;
use std::sync::Arc;

use windlass_containers::runtime::Access;
use windlass_model::Failure;
use windlass_model::plan::Origin;

use super::copy::{mount, open_origin};
use super::{OpContext, owner, unreadable};
use crate::archive::{ArchiveError, ArchiveLimits, unpack_rooted};
use crate::builder::{Session, blocking};
use crate::rooted::{Owner, Root};

/// A file to be.
pub(super) struct NewFile<'a> {
    /// Absolute path in the image.
    pub(super) path: &'a str,
    /// Its mode.
    pub(super) mode: u32,
    /// Its owner.
    pub(super) chown: Option<&'a str>,
}

/// Writes a file.
pub(super) async fn write(
    session: &mut Session,
    context: &OpContext<'_>,
    file: &NewFile<'_>,
    content: &[u8],
) -> Result<(), Failure> {
    let target = mount(session, context.active, Access::ReadWrite).await?;
    let root = open(target.path())?.within(&context.allowance);
    let owner = owner::resolve(file.chown, &root)?;
    let mut body = content;
    root.write_file(Path::new(file.path), &mut body, file.mode, owner)
        .map_err(|e| unreadable(&format!("{} cannot be written", file.path), &e))?;
    Ok(())
}

/// Unpacks an archive.
pub(super) async fn extract(
    session: &mut Session,
    context: &OpContext<'_>,
    origin: &Origin,
    archive: &str,
    dest: &str,
) -> Result<(), Failure> {
    let origin = open_origin(session, origin).await?;
    let target = mount(session, context.active, Access::ReadWrite).await?;
    let limits = ArchiveLimits {
        bytes_max: session.config.limits.source_bytes_max,
        entries_max: session.config.limits.source_files_max,
    };
    let (archive, dest) = (archive.to_owned(), dest.to_owned());
    let allowance = Arc::clone(&context.allowance);
    blocking(move || -> Result<(), Failure> {
        let tree = origin.tree()?;
        let mut file = tree
            .root
            .open_file(Path::new(&archive))
            .map_err(|e| unreadable(&format!("The archive {archive} cannot be read"), &e))?;
        let root = open(target.path())?.within(&allowance);
        let dest = Path::new(&dest);
        root.create_dirs(dest, Owner::default())
            .map_err(|e| unreadable("The archive's directory cannot be made", &e))?;
        unpack_rooted(&mut file, &root, dest, limits, Owner::default())
            .map_err(|e| refused(&archive, &e))?;
        Ok(())
    })
    .await?
}

/// Makes a directory with its parents, as the files of a build file's owner.
pub(super) async fn make_dir(
    session: &mut Session,
    context: &OpContext<'_>,
    path: &str,
    chown: Option<&str>,
) -> Result<(), Failure> {
    let target = mount(session, context.active, Access::ReadWrite).await?;
    let root = open(target.path())?;
    let owner = chown.map(|text| owner::of_file(text, &root)).transpose()?.unwrap_or_default();
    root.create_dirs(Path::new(path), owner)
        .map_err(|e| unreadable(&format!("The directory {path} cannot be made"), &e))?;
    Ok(())
}

pub(super) fn open(path: &Path) -> Result<Root, Failure> {
    Root::open(path).map_err(|e| unreadable("The step's files cannot be opened", &e))
}

pub(super) fn refused(archive: &str, error: &ArchiveError) -> Failure {
    let why = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    let fix = match error {
        ArchiveError::Escapes { .. } | ArchiveError::Forbidden { .. } => {
            "pack it again with relative paths, regular files and links that stay inside"
        }
        ArchiveError::TooLarge { unit: "bytes" | "entries", .. } => {
            "unpack it with a command of the build (RUN tar), or raise `source_bytes_max` or \
             `source_files_max` in the limits file"
        }
        ArchiveError::TooLarge { .. } => "pack it again with shorter names and attributes",
        ArchiveError::UnknownFormat => "pack it again, as a tar (plain, gzip or zstd) or as a zip",
        ArchiveError::Io(_) => {
            "check that it can be unpacked elsewhere; if it can, check the host's free space"
        }
    };
    Failure::app(
        "build.archive-refused",
        format!("The archive {archive} was not unpacked"),
        why,
        fix,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_of_an_archive_is_told_with_the_limit_that_it_is_over() {
        let too_large = |unit| refused("a.tar", &ArchiveError::TooLarge { limit: 7, unit });
        for unit in ["bytes", "entries"] {
            let failure = too_large(unit);
            assert!(failure.why.contains(&format!("more than 7 {unit}")), "{failure:?}");
            assert!(failure.fix.contains("source_files_max"), "{failure:?}");
        }
        let failure = too_large("bytes of names and attributes of one entry");
        assert!(failure.fix.contains("shorter names"), "{failure:?}");
        let (entry, kind) = ("dev/null".to_owned(), "device");
        let failure = refused("a.tar", &ArchiveError::Forbidden { entry, kind });
        assert!(failure.fix.contains("regular files"), "{failure:?}");
    }
}
