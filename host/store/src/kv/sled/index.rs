//! sled as an index that is checked: opened, brought up to the journal's end, compared with it key by
//! key, and built anew when it differs.
//!
//! sled 0.34.7 was seen to list 44 of 5087 keys after a kill, without an error. So nothing that it says
//! is believed at opening: its keys are compared both as a range lists them and as a look-up finds them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use windlass_model::Timestamp;

use super::super::dump::sync_dir;
use super::super::{Entry, Revision};
use super::database::Database;
use super::truth::Truth;
use super::{backend, describe, drop_quietly, physical};
use crate::error::{Result, StoreError};

/// Bytes of values in one batch while the index is filled.
const FILL_BYTES: usize = 1024 * 1024;

/// The folder of sled's files.
pub(super) fn path(store: &Path) -> PathBuf {
    store.join("db")
}

/// Opens `<store>/db`. When it is not exactly what the journal says, it is moved aside to
/// `db.damaged-<time>` and built anew, and the reason comes back too.
///
/// # Errors
/// [`StoreError::JournalDamaged`] when the index is *ahead*: then the journal has lost something. What
/// the machine refuses (space, permission, a lock) is no damage, and comes back as it is.
pub(super) fn open(store: &Path, truth: &Truth) -> Result<(Database, Option<String>)> {
    let dir = path(store);
    let opened = if dir.exists() || truth.revision == 0 {
        checked(store, truth)
    } else {
        Err(StoreError::Corrupt { what: "the index".into(), why: "it is not there".into() })
    };
    let why = match opened {
        Ok(database) => return Ok((database, None)),
        Err(error) if is_damage(&error) => describe(&error),
        Err(error) => return Err(error),
    };
    tracing::error!(
        why,
        revision = truth.revision,
        "the database is DAMAGED: it is built anew from the journal; nothing acknowledged is lost"
    );
    set_aside(store, &dir)?;
    let database = build(&dir, truth)?;
    note_synced(store, truth.revision);
    Ok((database, Some(why)))
}

fn checked(store: &Path, truth: &Truth) -> Result<Database> {
    let database = Database::open(&path(store))?;
    let checking = AssertUnwindSafe(|| check(&database.db, truth, synced(store)));
    let checked = catch_unwind(checking).unwrap_or_else(|_| {
        Err(StoreError::Backend { doing: "reading", why: "the database panicked".into() })
    });
    match checked {
        Ok(()) => Ok(database),
        Err(error) => {
            drop_quietly(database);
            Err(error)
        }
    }
}

/// Brings the index up to the journal's end and compares every key and value.
fn check(db: &sled::Db, truth: &Truth, synced: Revision) -> Result<()> {
    let revision = physical::revision(db)?;
    if revision > truth.revision {
        let why = format!(
            "it ends at revision {}, and the database knows revision {revision}",
            truth.revision
        );
        return Err(StoreError::JournalDamaged { path: "store/journal".into(), why });
    }
    if revision < synced {
        return Err(differs(format!("it was synced at revision {synced} and is at {revision}")));
    }
    fill(db, truth.changed_after(revision), truth.revision)?;
    let mut keys = physical::keys(db);
    truth.each(&mut |key, entry| match keys.next().transpose()? {
        Some(found) if found == key => match physical::get(db, key)? {
            Some(found) if found == *entry => Ok(()),
            Some(_) => Err(differs(format!("{key} has another value"))),
            None => Err(differs(format!("{key} is listed and not found"))),
        },
        _ => Err(differs(format!("{key} is not listed"))),
    })?;
    match keys.next().transpose()? {
        None => Ok(()),
        Some(key) => Err(differs(format!("{key} is listed and should not be there"))),
    }
}

fn differs(why: String) -> StoreError {
    StoreError::Corrupt { what: "the index".into(), why }
}

/// Whether building the index anew is the answer.
fn is_damage(error: &StoreError) -> bool {
    use std::io::ErrorKind::{
        AlreadyExists, InvalidInput, IsADirectory, NotADirectory, NotFound, UnexpectedEof,
    };
    let is_of_the_files = |kind| {
        matches!(
            kind,
            AlreadyExists | InvalidInput | IsADirectory | NotADirectory | NotFound | UnexpectedEof
        )
    };
    match error {
        StoreError::JournalDamaged { .. } => false,
        // sled's own complaints carry no error number.
        StoreError::Io { source, .. } if source.raw_os_error().is_none() => !is_locked(error),
        StoreError::Io { source, .. } => is_of_the_files(source.kind()),
        _ => true,
    }
}

/// Whether sled's threads, or another process, still hold its file.
pub(super) fn is_locked(error: &StoreError) -> bool {
    describe(error).contains("acquire lock")
}

fn build(dir: &Path, truth: &Truth) -> Result<Database> {
    let database = Database::open(dir)?;
    let db = &database.db;
    let mut filling = Filling::new(db);
    truth.each(&mut |key, entry| filling.take(key, Some(entry)))?;
    filling.end(truth.revision)?;
    database.commit()?;
    Ok(database)
}

fn fill<'a>(
    db: &sled::Db,
    changed: impl Iterator<Item = (&'a str, Option<&'a Entry>)>,
    revision: Revision,
) -> Result<()> {
    let mut filling = Filling::new(db);
    for (key, entry) in changed {
        filling.take(key, entry)?;
    }
    filling.end(revision)
}

/// Batches of changes. The revision comes last: until then the index counts as behind.
struct Filling<'a> {
    db: &'a sled::Db,
    batch: sled::Batch,
    bytes: usize,
}

impl<'a> Filling<'a> {
    fn new(db: &'a sled::Db) -> Self {
        Self { db, batch: sled::Batch::default(), bytes: 0 }
    }

    fn take(&mut self, key: &str, entry: Option<&Entry>) -> Result<()> {
        physical::change(self.db, &mut self.batch, key, entry)?;
        self.bytes += entry.map_or(0, |entry| entry.value.len()) + key.len();
        if self.bytes < FILL_BYTES {
            return Ok(());
        }
        self.bytes = 0;
        self.apply()
    }

    fn apply(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.db.apply_batch(batch).map_err(backend("writing"))
    }

    fn end(mut self, revision: Revision) -> Result<()> {
        self.apply()?;
        if physical::revision(self.db)? != revision {
            physical::end_at(&mut self.batch, revision);
            self.apply()?;
        }
        Ok(())
    }
}

/// Moves the damaged files aside, for whoever wants to look into them; only the newest are kept.
fn set_aside(store: &Path, dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    for file in std::fs::read_dir(store).map_err(StoreError::io("listing", store))? {
        let path = file.map_err(StoreError::io("listing", store))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("db.damaged-") {
            std::fs::remove_dir_all(&path).map_err(StoreError::io("removing", &path))?;
        }
    }
    let time = Timestamp::now().strftime("%Y%m%dT%H%M%S%.6fZ");
    let aside = store.join(format!("db.damaged-{time}"));
    std::fs::rename(dir, aside).map_err(StoreError::io("renaming", dir))?;
    sync_dir(store)
}

/// Notes the revision up to which sled's files were synced. That a lower one is noted, or none, only
/// makes the check less sharp, so a failure is none.
pub(super) fn note_synced(store: &Path, revision: Revision) {
    let (partial, path) = (store.join("synced.partial"), store.join("synced"));
    let noted = std::fs::write(&partial, revision.to_string())
        .and_then(|()| std::fs::rename(&partial, &path));
    if let Err(error) = noted {
        tracing::debug!(%error, "the synced revision was not noted");
    }
}

fn synced(store: &Path) -> Revision {
    let noted = std::fs::read_to_string(store.join("synced")).unwrap_or_default();
    noted.trim().parse().unwrap_or(0)
}
