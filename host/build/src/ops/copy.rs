//! Copying: from the source, another step or an image into the step's snapshot.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use windlass_containers::runtime::{Access, Mounted};
use windlass_model::Failure;
use windlass_model::plan::{Copy, Origin};

use super::{OpContext, not_there, owner, unreadable};
use crate::builder::Session;
use crate::rooted::{Kind, Owner, Root};
use crate::source::{CopySources, Selection, Tree};

/// How files arrive.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CopyOptions {
    /// Given to this owner; else they keep their own.
    pub(crate) owner: Option<Owner>,
    /// With this mode; else see `plain_modes`.
    pub(crate) mode: Option<u32>,
    /// Modes become 755 and 644, as Git knows them, so that the workspace's umask does not matter.
    pub(crate) plain_modes: bool,
}

/// Carries a copy out.
pub(crate) async fn copy(
    session: &mut Session,
    context: &OpContext<'_>,
    copy: &Copy,
) -> Result<(), Failure> {
    let mode = parse_mode(copy.chmod.as_deref())?;
    let origin = match copy.origin {
        Origin::Source => OpenOrigin::Source(Arc::clone(session.source_of(&copy.sources))),
        _ => open_origin(session, &copy.origin).await?,
    };
    let target = mount(session, context.active, Access::ReadWrite).await?;
    let (copy, allowance) = (copy.clone(), Arc::clone(&context.allowance));
    let from_source = matches!(copy.origin, Origin::Source);
    crate::builder::blocking(move || -> Result<(), Failure> {
        let origin = origin.tree()?;
        let to = Root::open(target.path())
            .map_err(|e| unreadable("The step's files cannot be opened", &e))?
            .within(&allowance);
        let sources = CopySources {
            sources: &copy.sources,
            exclude: &copy.exclude,
            dest: &copy.dest,
            parents: copy.parents,
            without_git: from_source,
        };
        let selection = origin.select(&sources).map_err(|e| not_there(&e))?;
        let given =
            copy.chown.as_deref().map(|text| owner::resolve(Some(text), &to)).transpose()?;
        let options = CopyOptions {
            owner: given.or(from_source.then(Owner::default)),
            mode,
            plain_modes: from_source,
        };
        copy_selected(&origin, &selection, &to, Path::new(&copy.dest), options).map_err(|e| {
            unreadable(&format!("{} cannot be copied to {}", copy.sources.join(" "), copy.dest), &e)
        })
    })
    .await?
}

/// Copies what was selected. The destination is a directory if the selection says so or if one is there.
pub(crate) fn copy_selected(
    from: &Tree,
    selection: &Selection,
    to: &Root,
    dest: &Path,
    options: CopyOptions,
) -> io::Result<()> {
    let into_dir = selection.into_dir || to.is_dir(dest);
    if into_dir && !to.is_dir(dest) {
        to.create_dirs(dest, options.owner.unwrap_or_default())?;
    }
    let entries = from.entries()?;
    let mut dirs: Vec<(PathBuf, (i64, i64))> = Vec::new();
    for chosen in &selection.chosen {
        let entry = &entries[chosen.index];
        let path = if into_dir { dest.join(&chosen.to) } else { dest.to_owned() };
        let owner = options.owner.unwrap_or(entry.owner);
        let mode = options.mode.unwrap_or(match (options.plain_modes, &entry.kind) {
            (false, _) => entry.mode,
            (true, Kind::File { .. }) if entry.mode & 0o111 == 0 => 0o644,
            (true, _) => 0o755,
        });
        match &entry.kind {
            Kind::Dir if to.is_dir(&path) => {}
            Kind::Dir => {
                to.write_dir(&path, mode, owner)?;
                dirs.push((path.clone(), entry.mtime));
            }
            Kind::File { .. } => {
                let mut file = from.root.open_file(&entry.path)?;
                to.write_file(&path, &mut file, mode, owner)?;
            }
            Kind::Symlink(target) => to.write_link(&path, Path::new(target.as_os_str()), owner)?,
            Kind::Other => continue,
        }
        if !options.plain_modes && entry.kind != Kind::Dir {
            to.set_mtime(&path, entry.mtime)?;
        }
    }
    // Last, because what is put into a directory changes its time.
    for (path, mtime) in dirs.iter().filter(|_| !options.plain_modes).rev() {
        to.set_mtime(path, *mtime)?;
    }
    Ok(())
}

/// `0755` as a number.
pub(super) fn parse_mode(text: Option<&str>) -> Result<Option<u32>, Failure> {
    let Some(text) = text.filter(|t| !t.is_empty()) else { return Ok(None) };
    let parsed = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    parsed.map(Some).ok_or_else(|| {
        let why = format!("{text:?} is not an octal mode");
        let fix = "use up to four octal digits, for instance 755";
        Failure::app("build.invalid-mode", "The mode of a copy is not valid", why, fix)
    })
}

/// Where a copy comes from.
pub(super) enum OpenOrigin {
    /// The source.
    Source(Arc<Tree>),
    /// A mounted snapshot.
    Mounted(Mounted),
}

impl OpenOrigin {
    /// What is in it. The mount lives as long as the answer.
    pub(super) fn tree(&self) -> Result<Arc<Tree>, Failure> {
        match self {
            Self::Source(tree) => Ok(Arc::clone(tree)),
            Self::Mounted(mounted) => Tree::dir(mounted.path()).map(Arc::new).map_err(|e| {
                unreadable("The files of the step it copies from cannot be listed", &e)
            }),
        }
    }
}

/// Opens where files come from.
pub(super) async fn open_origin(session: &Session, origin: &Origin) -> Result<OpenOrigin, Failure> {
    let snapshot = match origin {
        Origin::Source => return Ok(OpenOrigin::Source(Arc::clone(&session.source))),
        Origin::Step(id) => session.step_snapshot(id)?,
        Origin::Image(reference) => session.image_snapshot(reference)?,
    };
    Ok(OpenOrigin::Mounted(mount(session, &snapshot, Access::ReadOnly).await?))
}

/// Mounts a snapshot.
pub(super) async fn mount(
    session: &Session,
    key: &str,
    access: Access,
) -> Result<Mounted, Failure> {
    let mounted = session.runtime.mount_snapshot(key, access).await;
    mounted.map_err(|e| e.failure("The files of a step could not be opened"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> CopyOptions {
        let uid = rustix::process::getuid().as_raw();
        let gid = rustix::process::getgid().as_raw();
        CopyOptions { owner: Some(Owner { uid, gid }), mode: None, plain_modes: true }
    }

    fn copy(sources: &[&str], dest: &str, prepare: impl Fn(&Path)) -> tempfile::TempDir {
        let from = tempfile::tempdir().unwrap();
        std::fs::create_dir(from.path().join("src")).unwrap();
        std::fs::write(from.path().join("src/a"), "a").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", from.path().join("src/link")).unwrap();
        std::fs::write(from.path().join("one"), "1").unwrap();
        let to = tempfile::tempdir().unwrap();
        prepare(to.path());
        let tree = Tree::dir(from.path()).unwrap();
        let sources: Vec<String> = sources.iter().map(|s| (*s).to_owned()).collect();
        let selection = tree
            .select(&CopySources {
                sources: &sources,
                exclude: &[],
                dest,
                parents: false,
                without_git: true,
            })
            .unwrap();
        let root = Root::open(to.path()).unwrap();
        copy_selected(&tree, &selection, &root, Path::new(dest), options()).unwrap();
        to
    }

    #[test]
    fn one_file_takes_the_name_of_the_destination() {
        let to = copy(&["one"], "/app/two", |_| {});
        assert_eq!(std::fs::read_to_string(to.path().join("app/two")).unwrap(), "1");
    }

    #[test]
    fn one_file_goes_into_a_directory_that_is_there() {
        let to = copy(&["one"], "/app", |to| std::fs::create_dir(to.join("app")).unwrap());
        assert_eq!(std::fs::read_to_string(to.path().join("app/one")).unwrap(), "1");
    }

    #[test]
    fn links_arrive_as_links_and_are_never_followed() {
        let to = copy(&["src"], "/app", |_| {});
        let target = std::fs::read_link(to.path().join("app/link")).unwrap();
        assert_eq!(target, Path::new("/etc/passwd"));
        assert_eq!(std::fs::read_to_string(to.path().join("app/a")).unwrap(), "a");
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(parse_mode(Some("0755")).unwrap(), Some(0o755));
        assert_eq!(parse_mode(Some("rwx")).unwrap_err().code, "build.invalid-mode");
    }
}
