//! What is written down of a step's key, and why it was not found.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use windlass_model::Failure;
use windlass_model::build::{BuildRecord, KeyParts, Reason, StepRecord, reasons};

use super::session::io_failure;

const SALT_BYTES: usize = 32;

/// What keeps digests of variables, in keys and records, from being tried out elsewhere: made once, kept beside
/// the caches. When it is lost, every variable counts as changed.
pub(super) fn salt(data_dir: &Path) -> Result<Vec<u8>, Failure> {
    let path = data_dir.join("cache/salt");
    let found = read_or_make(&path);
    found.map_err(|e| io_failure("The salt of the build records cannot be kept", &path, &e))
}

fn read_or_make(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Ok(salt) if salt.len() == SALT_BYTES => return Ok(salt),
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir)?;
    let mut salt = vec![0; SALT_BYTES];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut salt)?;
    let draft = tempfile::Builder::new().prefix(".salt-").make_in(dir, |path| {
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)
    })?;
    draft.as_file().write_all(&salt)?;
    // Another build may have been quicker; then its salt counts, unless it is damaged.
    match draft.persist_noclobber(path) {
        Ok(_) => Ok(salt),
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
            let there = std::fs::read(path)?;
            if there.len() == SALT_BYTES {
                return Ok(there);
            }
            e.file.persist(path).map_err(|e| e.error)?;
            Ok(salt)
        }
        Err(e) => Err(e.error),
    }
}

/// A step of a plan, as it is looked for in the records of earlier builds.
pub(super) struct LookedFor<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    /// Of all steps of the plan.
    pub(super) names: &'a BTreeSet<String>,
}

impl LookedFor<'_> {
    /// The same step in an earlier build. Ids may be counted, and what a step is called may say where it stands: what
    /// was put in above it changes both. One of another name is the same step if that name is nobody's now.
    fn in_record<'r>(&self, record: &'r BuildRecord) -> Option<&'r StepRecord> {
        let by_id = record.step(self.id);
        let same_name = |step: &&StepRecord| without_line(&step.name) == without_line(self.name);
        let by_name = || record.steps.iter().find(same_name);
        let of_another_name = || {
            let mut names = self.names.iter().map(|name| without_line(name));
            by_id.filter(|step| names.all(|name| name != without_line(&step.name)))
        };
        by_id.filter(same_name).or_else(by_name).or_else(of_another_name)
    }
}

/// The name without the line of a build file that may stand behind it.
fn without_line(name: &str) -> &str {
    let is_line = |rest: &str| rest.strip_suffix(')').is_some_and(|n| n.parse::<u32>().is_ok());
    name.rsplit_once(" (line ").filter(|(_, rest)| is_line(rest)).map_or(name, |(name, _)| name)
}

/// Why a step with this key is carried out, against the newest earlier build that had it.
pub(super) fn why(
    bypass: bool,
    earlier: &[BuildRecord],
    step: &LookedFor<'_>,
    key: &str,
    parts: &KeyParts,
) -> Vec<Reason> {
    if bypass {
        return vec![Reason::NoCache];
    }
    match earlier.iter().find_map(|record| step.in_record(record)) {
        None => vec![Reason::NoEarlierBuild],
        Some(old) if old.key == key && old.succeeded => vec![Reason::Pruned],
        Some(old) if old.key == key => vec![Reason::Failed],
        Some(old) => reasons(&old.parts, parts),
    }
}

#[cfg(test)]
mod tests {
    use windlass_model::build::StepRecord;

    use super::*;

    #[test]
    fn the_salt_is_made_once_and_only_the_owner_reads_it() {
        use std::os::unix::fs::PermissionsExt;
        let data = tempfile::tempdir().unwrap();
        let first = salt(data.path()).unwrap();
        assert_eq!(salt(data.path()).unwrap(), first);
        let path = data.path().join("cache/salt");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&path, "damaged").unwrap();
        assert_eq!(salt(data.path()).unwrap().len(), SALT_BYTES);
        assert_ne!(salt(tempfile::tempdir().unwrap().path()).unwrap(), first);
    }

    #[test]
    fn it_is_compared_with_the_newest_build_that_had_the_step() {
        let parts = |cwd: &str| KeyParts { cwd: cwd.into(), ..KeyParts::default() };
        let record = |id: &str, key: &str, cwd: &str, succeeded| BuildRecord {
            steps: vec![StepRecord {
                place: 0,
                id: id.into(),
                name: id.into(),
                key: key.into(),
                cached: false,
                succeeded,
                took_ms: 0,
                reasons: vec![],
                parts: parts(cwd),
            }],
        };
        let earlier = [
            record("other", "1", "/", true),
            record("app", "1", "/app", true),
            record("app", "2", "/", true),
        ];
        let names = BTreeSet::new();
        let app = LookedFor { id: "app", name: "app", names: &names };
        let why = |key: &str, cwd: &str| why(false, &earlier, &app, key, &parts(cwd));
        assert_eq!(why("1", "/app"), [Reason::Pruned]);
        assert_eq!(why("2", "/"), [Reason::Cwd]);
        let failed = [record("app", "1", "/app", false)];
        assert_eq!(super::why(false, &failed, &app, "1", &parts("/app")), [Reason::Failed]);
        assert_eq!(super::why(false, &[], &app, "1", &parts("/")), [Reason::NoEarlierBuild]);
        assert_eq!(super::why(true, &earlier, &app, "1", &parts("/")), [Reason::NoCache]);
    }

    #[test]
    fn a_step_is_found_again_when_others_were_put_in_above_it() {
        let record = |steps: &[(&str, &str)]| BuildRecord {
            steps: (0..)
                .zip(steps)
                .map(|(place, (id, name))| StepRecord {
                    place,
                    id: (*id).to_owned(),
                    name: (*name).to_owned(),
                    key: (*name).to_owned(),
                    cached: false,
                    succeeded: true,
                    took_ms: 0,
                    reasons: vec![],
                    parts: KeyParts::default(),
                })
                .collect(),
        };
        let old = record(&[("s0-0", "COPY a b (line 2)"), ("s0-1", "RUN npm ci (line 3)")]);
        let new = ["WORKDIR /app (line 2)", "COPY a b (line 3)", "RUN npm ci (line 4)"];
        let names = BTreeSet::from(new.map(str::to_owned));
        let found = |id: &str, name: &str, names: &BTreeSet<String>| {
            let step = LookedFor { id, name, names }.in_record(&old);
            step.map(|step| step.name.clone())
        };
        assert_eq!(found("s0-0", new[0], &names), None, "it is new");
        assert_eq!(found("s0-1", new[1], &names).as_deref(), Some("COPY a b (line 2)"));
        assert_eq!(found("s0-2", new[2], &names).as_deref(), Some("RUN npm ci (line 3)"));
        let edited = "RUN npm ci --omit=dev (line 3)";
        let names = BTreeSet::from(["COPY a b (line 2)", edited].map(str::to_owned));
        assert_eq!(found("s0-1", edited, &names).as_deref(), Some("RUN npm ci (line 3)"));
    }
}
