//! Copies by the rules of container build files: from the source, another step, an image, the plan itself or
//! an address.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use windlass_containers::runtime::{Access, Mounted};
use windlass_containers::{Labels, RuntimeError};
use windlass_model::plan::{Base, Place, Placed};
use windlass_model::{Digest, Failure};

use super::copy::mount;
use super::files::open;
use super::{
    ABSENT_FROM_SOURCE, COPY_MISSING, Mode, OpContext, fetch, owner, revision, unreadable,
};
use crate::archive::{ArchiveLimits, unpack_whole};
use crate::builder::{Session, blocking, io_failure};
use crate::content::Body;
use crate::key::{Input, InputFrom, short};
use crate::place::{Pick, PickError, Picker, Putting, Rules, digest_of_taken, lay_over};
use crate::rooted::{Entry, Kind, Owner, Root};
use crate::source::Tree;
use crate::source::named::grouped;

/// Prefix of a label on a step's snapshot: the digest of what a copy takes of it.
const LABEL_TAKEN: &str = "windlass.taken.";
/// Mode of a downloaded file.
const DOWNLOADED: u32 = 0o600;

/// Where files come from.
enum Opened {
    /// The source, and what is picked from it if that is known.
    Source(Arc<Tree>, Option<Vec<Pick>>),
    Mounted(Mounted),
    /// Files made for this copy, by their names.
    Made(tempfile::TempDir, Vec<String>),
}

/// What a copy copies, for people.
pub(super) fn shown(place: &Place) -> String {
    match &place.origin {
        Placed::Source | Placed::Step(_) | Placed::Image(_) => place.paths.join(" "),
        Placed::Inline(files) => {
            files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(" ")
        }
        Placed::Download { url, .. } => url.clone(),
    }
}

/// What a copy reads, as digests and keys.
pub(crate) async fn inputs(session: &mut Session, place: &Place) -> Result<Vec<Input>, Failure> {
    let found = match &place.origin {
        Placed::Step(id) => {
            let digest = step_digest(session, id, place).await?;
            Input { from: InputFrom::Step(session.step_name(id)), digest }
        }
        Placed::Image(reference) => {
            let image = session.resolve(&Base::Image(reference.clone())).await?;
            let shown = format!("{} ({})", image.reference, image.digest.short());
            Input { from: InputFrom::Image(shown), digest: image.snapshot }
        }
        Placed::Source => {
            let (tree, wanted) = (Arc::clone(&session.source), place.clone());
            let found = blocking(move || source_digest(&tree, &wanted)).await??;
            session.keep_picks(place, found.picks);
            Input { from: InputFrom::Source(found.files), digest: found.digest.to_string() }
        }
        Placed::Download { url, sha256: None, .. } => download_input(session, url).await?,
        Placed::Inline(_) | Placed::Download { .. } => return Ok(Vec::new()),
    };
    Ok(vec![found])
}

/// What a copy takes of a step's result, so that the copy is the same when the step is carried out again and that part
/// of its result is as it was. It is read once of each result, and noted at it; where it is very much, the whole result
/// stands for it.
async fn step_digest(session: &Session, id: &str, place: &Place) -> Result<String, Failure> {
    let snapshot = session.step_snapshot(id)?;
    let failed = |e: RuntimeError| e.failure("The result of a step could not be looked at");
    let picked = Digest::of_json(&(&place.paths, &place.exclude, place.parents));
    let label = format!("{LABEL_TAKEN}{}", short(&picked));
    let known = session.runtime.snapshot(&snapshot).await.map_err(failed)?;
    if let Some(digest) = known.and_then(|known| known.labels.get(&label).cloned()) {
        return Ok(digest);
    }
    let mounted = mount(session, &snapshot, Access::ReadOnly).await?;
    let wanted = place.clone();
    let digest = blocking(move || {
        let from = open(mounted.path())?;
        let picks = picks(&from, &wanted, false).map_err(|e| refused(&e, &wanted.origin))?;
        digest_of_taken(&from, &picks)
            .map_err(|e| unreadable("What is copied of a step cannot be read", &e))
    })
    .await??;
    let digest = digest.map_or_else(|| snapshot.clone(), |digest| digest.to_string());
    let noted = Labels::from([(label, digest.clone())]);
    session.runtime.label_snapshot(&snapshot, &noted).await.map_err(failed)?;
    Ok(digest)
}

/// What a download without a digest reads: the version that the address has now.
pub(crate) async fn download_input(session: &mut Session, url: &str) -> Result<Input, Failure> {
    let digest = revision::of(session, url).await?;
    let files = BTreeMap::from([(url.to_owned(), short(&digest))]);
    Ok(Input { from: InputFrom::Source(files), digest: digest.to_string() })
}

/// Carries a copy out. The step's files are mounted still.
pub(crate) async fn place(
    session: &mut Session,
    context: &OpContext<'_>,
    wanted: &Place,
) -> Result<Mounted, Failure> {
    let mode = wanted.chmod.as_deref().filter(|text| !text.is_empty()).map(Mode::parse);
    let mode = mode.transpose()?;
    let opened = open_origin(session, wanted).await?;
    let target = mount(session, context.active, Access::ReadWrite).await?;
    let limits = ArchiveLimits {
        bytes_max: session.config.limits.source_bytes_max,
        entries_max: session.config.limits.source_files_max,
    };
    let scratch = session.scratch();
    let (wanted, allowance) = (wanted.clone(), Arc::clone(&context.allowance));
    blocking(move || {
        let to = open(target.path())?.within(&allowance);
        let job = Job { wanted: &wanted, mode: mode.as_ref(), limits };
        if !wanted.link {
            job.copy(opened, &to)?;
            return Ok(target);
        }
        let failed = |e: std::io::Error| io_failure("A copy could not be made", &scratch, &e);
        std::fs::create_dir_all(&scratch).map_err(failed)?;
        let upper = tempfile::tempdir_in(&scratch).map_err(failed)?;
        let root = open(upper.path())?.within(&allowance.apart());
        job.copy(opened, &root)?;
        lay_over(&root, &to)
            .map_err(|e| unreadable(&format!("{} cannot be laid over", wanted.dest), &e))?;
        Ok(target)
    })
    .await?
}

async fn open_origin(session: &mut Session, wanted: &Place) -> Result<Opened, Failure> {
    let snapshot = match &wanted.origin {
        Placed::Source => {
            let picks = session.take_picks(wanted);
            return Ok(Opened::Source(Arc::clone(&session.source), picks));
        }
        Placed::Step(id) => session.step_snapshot(id)?,
        Placed::Image(reference) => session.image_snapshot(reference)?,
        Placed::Inline(files) => {
            let dir = scratch_dir(session)?;
            for file in files {
                write(&dir, &file.name, file.mode, &mut file.content.as_slice())?;
            }
            return Ok(Opened::Made(dir, files.iter().map(|file| file.name.clone()).collect()));
        }
        Placed::Download { url, sha256, name } => {
            let from = fetch::Wanted { url, sha256: sha256.as_deref() };
            let mut body = fetch::body(session, &from).await?;
            let dir = scratch_dir(session)?;
            write(&dir, name, DOWNLOADED, &mut body)?;
            return Ok(Opened::Made(dir, vec![name.clone()]));
        }
    };
    Ok(Opened::Mounted(mount(session, &snapshot, Access::ReadOnly).await?))
}

fn scratch_dir(session: &Session) -> Result<tempfile::TempDir, Failure> {
    let dir = session.scratch();
    let made = std::fs::create_dir_all(&dir).and_then(|()| tempfile::tempdir_in(&dir));
    made.map_err(|e| io_failure("A copy could not be made", &dir, &e))
}

fn write(
    dir: &tempfile::TempDir,
    name: &str,
    mode: u32,
    body: &mut dyn Body,
) -> Result<(), Failure> {
    let written = Root::open(dir.path())
        .and_then(|root| root.write_file(Path::new(name), body, mode, Owner::default()));
    written.map(drop).map_err(|e| io_failure("A copy could not be made", dir.path(), &e))
}

/// One copy, with its destination open.
struct Job<'a> {
    wanted: &'a Place,
    mode: Option<&'a Mode>,
    limits: ArchiveLimits,
}

impl Job<'_> {
    fn copy(&self, mut opened: Opened, to: &Root) -> Result<(), Failure> {
        let wanted = self.wanted;
        let given = wanted.chown.as_deref().map(|text| owner::of_file(text, to)).transpose()?;
        let failed = |e: std::io::Error| {
            unreadable(&format!("{} cannot be copied to {}", self.what(), wanted.dest), &e)
        };
        let known = match &mut opened {
            Opened::Source(_, picks) => picks.take(),
            _ => None,
        };
        let mounted;
        let (from, source) = match &opened {
            Opened::Source(tree, _) => (&tree.root, true),
            Opened::Mounted(at) => {
                mounted = Root::open(at.path()).map_err(failed)?;
                (&mounted, false)
            }
            Opened::Made(dir, _) => {
                mounted = Root::open(dir.path()).map_err(failed)?;
                (&mounted, false)
            }
        };
        let owner = given.or(source.then(Owner::default));
        let putting = Putting { from, to, owner, mode: self.mode, plain: source };
        let picks = match (known, &opened) {
            (Some(picks), _) => Ok(picks),
            (None, Opened::Made(_, names)) => {
                names.iter().map(|name| made(from, name)).collect::<Result<_, _>>()
            }
            (None, _) => picks(from, wanted, source),
        };
        for pick in picks.map_err(|e| refused(&e, &wanted.origin))? {
            if let (true, Pick::File(entry, _)) = (wanted.unpack, &pick)
                && self.unpack(&putting, entry, given)?
            {
                continue;
            }
            putting.put(&pick, &wanted.dest).map_err(failed)?;
        }
        Ok(())
    }

    /// Unpacks a file if it is an archive.
    fn unpack(
        &self,
        putting: &Putting<'_>,
        entry: &Entry,
        owner: Option<Owner>,
    ) -> Result<bool, Failure> {
        let Kind::File { .. } = entry.kind else { return Ok(false) };
        let dest = Path::new(&self.wanted.dest);
        let mut file = putting
            .from
            .open_file(&entry.path)
            .map_err(|e| unreadable("An archive cannot be read", &e))?;
        // What is in an archive keeps its owners.
        unpack_whole(&mut file, putting.to, dest, self.limits, (owner.unwrap_or_default(), None))
            .map_err(|e| super::files::refused(&entry.path.display().to_string(), &e))
    }

    fn what(&self) -> String {
        match &self.wanted.origin {
            Placed::Inline(files) => {
                files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>().join(" ")
            }
            Placed::Download { url, .. } => url.clone(),
            _ => self.wanted.paths.join(" "),
        }
    }
}

fn made(from: &Root, name: &str) -> Result<Pick, PickError> {
    let entry = from
        .entry(Path::new(name))
        .map_err(|source| PickError::Io { path: name.to_owned(), source })?;
    Ok(Pick::File(entry, name.into()))
}

/// What all names of a copy pick, in their order.
fn picks(from: &Root, wanted: &Place, source: bool) -> Result<Vec<Pick>, PickError> {
    let picker = Picker {
        root: from,
        ignore: Rules::new(if source { &wanted.ignore } else { &[] })?,
        exclude: Rules::new(&wanted.exclude)?,
        without_git: source,
        parents: wanted.parents,
    };
    let mut all = Vec::new();
    for name in &wanted.paths {
        all.extend(picker.pick(name)?);
    }
    Ok(all)
}

/// What a copy from the source reads.
struct Found {
    /// Of all of it.
    digest: Digest,
    /// Of each file, for people.
    files: BTreeMap<String, String>,
    picks: Vec<Pick>,
}

fn source_digest(tree: &Tree, place: &Place) -> Result<Found, Failure> {
    let picks = picks(&tree.root, place, true).map_err(|e| refused(&e, &place.origin))?;
    let (mut sha, mut files) = (Sha256::new(), Vec::new());
    for pick in &picks {
        // A file and a folder with such a file in it may arrive at different places.
        let (kind, entries): (&str, Vec<(&Entry, &Path)>) = match pick {
            Pick::File(entry, name) => ("file", vec![(entry, Path::new(name))]),
            Pick::Inside(below) => {
                ("inside", below.iter().map(|one| (&one.entry, one.to.as_path())).collect())
            }
        };
        sha.update(format!("{kind} {}\0", entries.len()));
        for (entry, to) in entries {
            let id = tree.content_id(entry);
            let id = id.map_err(|e| unreadable("The source cannot be read", &e))?;
            sha.update(to.as_os_str().as_bytes());
            sha.update([0]);
            sha.update(id.as_bytes());
            sha.update([0]);
            if entry.kind != Kind::Dir {
                files.push((entry.path.clone(), id));
            }
        }
    }
    let (digest, files) = (Digest::from_sha256(sha.finalize().into()), grouped(&files));
    Ok(Found { digest, files, picks })
}

fn refused(error: &PickError, origin: &Placed) -> Failure {
    let what = "A file that the build copies is not there";
    let fix = match error {
        PickError::Ignored(_) => {
            "take it out of the ignore file, or add a line with `!` for it".to_owned()
        }
        PickError::Pattern(_) => {
            "correct the pattern: `[` needs a `]`, and `\\` something to escape".to_owned()
        }
        PickError::Missing(_) | PickError::Io { .. } => absent_from(origin),
    };
    Failure::app(COPY_MISSING, what, error.to_string(), fix)
}

/// What to do about a file that is not where a copy takes it from.
fn absent_from(origin: &Placed) -> String {
    match origin {
        Placed::Step(_) => {
            "it is copied from another stage of the build, not from the source: check \
                            that a command there makes it, and under this very path"
                .to_owned()
        }
        Placed::Image(reference) => {
            let image = reference.split('@').next().unwrap_or(reference);
            format!(
                "it is copied from the image {image}, not from the source: check that this version \
                 of it has the file, and under this very path"
            )
        }
        Placed::Source | Placed::Inline(_) | Placed::Download { .. } => {
            ABSENT_FROM_SOURCE.to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    /// The digest of `COPY NAME /to` of a source that is made anew.
    fn digest_of(name: &str, make: impl Fn(&Path)) -> (Digest, BTreeMap<String, String>) {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path());
        let place = Place {
            origin: Placed::Source,
            paths: vec![name.to_owned()],
            ignore: Vec::new(),
            exclude: Vec::new(),
            dest: "/to".to_owned(),
            chown: None,
            chmod: None,
            parents: false,
            link: false,
            unpack: false,
        };
        let found = source_digest(&Tree::dir(dir.path()).unwrap(), &place).unwrap();
        (found.digest, found.files)
    }

    #[test]
    fn what_is_not_there_is_looked_for_where_the_copy_takes_it_from() {
        let missing = PickError::Missing("/nope".to_owned());
        let fix = |origin: &Placed| refused(&missing, origin).fix;
        let source = fix(&Placed::Source);
        assert!(source.contains("committed") && source.contains(".gitignore"), "{source}");
        let step = fix(&Placed::Step("s0-1".to_owned()));
        assert!(step.contains("another stage"), "{step}");
        let image = fix(&Placed::Image("node:22@sha256:aaaa".to_owned()));
        assert!(image.contains("the image node:22,"), "{image}");
        for fix in [step, image] {
            assert!(!fix.contains("committed") && !fix.contains("app_dir"), "{fix}");
        }
    }

    #[test]
    fn names_that_are_no_text_are_told_apart() {
        let named = |last: u8| {
            let name = OsString::from_vec(vec![b'a', last]);
            digest_of(".", |dir| std::fs::write(dir.join(&name), "same").unwrap())
        };
        assert_eq!(named(0xff), named(0xff));
        let (old, new) = (named(0xff), named(0xfe));
        assert_ne!(old.0, new.0);
        assert_ne!(old.1, new.1, "the record names them differently too");
    }

    #[test]
    fn a_file_that_becomes_a_folder_with_that_file_is_another_copy() {
        let file = digest_of("x", |dir| std::fs::write(dir.join("x"), "same").unwrap());
        let folder = digest_of("x", |dir| {
            std::fs::create_dir(dir.join("x")).unwrap();
            std::fs::write(dir.join("x/x"), "same").unwrap();
        });
        assert_ne!(file.0, folder.0);
    }
}
