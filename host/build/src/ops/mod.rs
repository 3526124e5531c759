//! The operations of a step, each on the step's writable snapshot.

use std::io;
use std::sync::Arc;

use windlass_containers::runtime::Mounted;
use windlass_model::Failure;
use windlass_model::plan::{BuildStep, KeyValues, Op};

use crate::builder::{Session, blocking};
use crate::source::SelectError;

mod allowance;
pub(crate) mod caches;
mod copy;
mod fetch;
mod files;
mod mode;
mod mounts;
mod owner;
mod place;
mod revision;
mod run;
pub(crate) mod secrets;
mod stubs;
mod watch;

pub(crate) use allowance::{Allowance, BLOCK_BYTES};
pub(crate) use copy::{CopyOptions, copy_selected};
pub(crate) use mode::Mode;
pub(crate) use place::{download_input, inputs as place_inputs};

/// Code of the failure of a copy whose sources are not there.
pub(crate) const COPY_MISSING: &str = "build.copy-missing";

/// What to do about a file that the source does not have. How the source came is not known here.
const ABSENT_FROM_SOURCE: &str = "check that it is committed, that its name is spelled as in the \
     repository, that [build] app_dir is right, and that no .gitignore names it: what one names is \
     not sent with a folder";

/// What the operations of one step share.
pub(crate) struct OpContext<'a> {
    /// The step.
    pub(crate) step: &'a BuildStep,
    /// Key of its writable snapshot.
    pub(crate) active: &'a str,
    /// Environment of its commands: the base's, then the step's.
    pub(crate) env: &'a KeyValues,
    /// Name of this operation, for its container.
    pub(crate) id: String,
    /// What the host may write for it.
    pub(crate) allowance: Arc<Allowance>,
}

/// An operation in a few words, for people.
pub(crate) fn shown_op(op: &Op) -> String {
    match op {
        Op::Run(command) => run::shown(&command.argv),
        Op::Copy(copy) => run::shown(&[
            "copy".to_owned(),
            copy.sources.join(" "),
            "to".to_owned(),
            copy.dest.clone(),
        ]),
        Op::WriteFile { path, .. } => format!("write {path}"),
        Op::Fetch { url, .. } => run::shown(&["download".to_owned(), url.clone()]),
        Op::Extract { archive, dest, .. } => format!("unpack {archive} to {dest}"),
        Op::Place(place) => run::shown(&[
            "copy".to_owned(),
            place::shown(place),
            "to".to_owned(),
            place.dest.clone(),
        ]),
        Op::MakeDir { path, .. } => format!("make the directory {path}"),
    }
}

/// Carries one operation out, within what its build may write. A command is watched while it runs.
pub(crate) async fn carry_out(
    session: &mut Session,
    context: &OpContext<'_>,
    op: &Op,
) -> Result<(), Failure> {
    let (shown, is_command) = (shown_op(op), matches!(op, Op::Run(_)));
    if !is_command {
        watch::check_floor(session, context, &shown)?;
    }
    let done = operate(session, context, op).await;
    if let Some(failure) = context.allowance.failure(&shown, &context.step.name) {
        return Err(failure);
    }
    let mounted = done?;
    // What was copied for a command stays, beside the step's files, until the build is over.
    if is_command {
        return Ok(());
    }
    // What these write stands in the plan, which is small.
    if matches!(op, Op::WriteFile { .. } | Op::MakeDir { .. }) {
        return Ok(());
    }
    // It takes its time to let go of many files, and changes none.
    let unmounting = blocking(move || drop(mounted));
    let (checked, unmounted) =
        tokio::join!(watch::check_written(session, context, &shown), unmounting);
    unmounted?;
    checked
}

/// The step's files, if they are still mounted: nothing is written to them any more.
async fn operate(
    session: &mut Session,
    context: &OpContext<'_>,
    op: &Op,
) -> Result<Option<Mounted>, Failure> {
    match op {
        Op::Run(command) => run::run(session, context, command).await,
        Op::Copy(copy) => copy::copy(session, context, copy).await,
        Op::WriteFile { path, content, mode, chown } => {
            let file = files::NewFile { path, mode: *mode, chown: chown.as_deref() };
            files::write(session, context, &file, content).await
        }
        Op::Fetch { url, sha256, dest, chown, chmod } => {
            let wanted = fetch::Wanted { url, sha256: sha256.as_deref() };
            let mode = copy::parse_mode(chmod.as_deref())?.unwrap_or(0o644);
            let file = files::NewFile { path: dest, mode, chown: chown.as_deref() };
            fetch::fetch(session, context, &wanted, &file).await
        }
        Op::Extract { origin, archive, dest } => {
            files::extract(session, context, origin, archive, dest).await
        }
        Op::Place(wanted) => return place::place(session, context, wanted).await.map(Some),
        Op::MakeDir { path, chown } => {
            files::make_dir(session, context, path, chown.as_deref()).await
        }
    }?;
    Ok(None)
}

/// The sources of a copy are not there, or its globs cannot be read.
pub(crate) fn not_there(error: &SelectError) -> Failure {
    if let SelectError::Unlisted(why) = error {
        return unreadable(
            "What the build copies from cannot be listed",
            &io::Error::other(why.clone()),
        );
    }
    Failure::app(
        COPY_MISSING,
        "A file that the build copies is not in the source",
        error.to_string(),
        ABSENT_FROM_SOURCE,
    )
}

/// Files cannot be read or written.
pub(crate) fn unreadable(what: &str, error: &io::Error) -> Failure {
    let fix = "check the file in the repository; if it looks right, check the host's free space";
    Failure::app("build.files", what, error.to_string(), fix)
}
