//! Whether a push concerns an environment: the path filter of a repository that holds several
//! applications.
//!
//! [`Host::affected`] is the question that automatic deployments ask before they queue one: *given the
//! commit that was deployed last and the one that was pushed, is a path of the environment's filter
//! among those that differ?* Added, modified **and removed** files count; a renamed one counts under
//! both names. The filter is `[deploy] paths` in the pushed commit's own `windlass.toml`; without one,
//! every change counts (`build.app_dir` alone is no filter: a lock file at the root changes the
//! application too). `windlass.toml` itself always counts.
//!
//! **Invariant: when it cannot be told, the answer is yes.** A push that deploys too much costs a build;
//! one that silently deploys nothing costs a person's trust. The reason is always said.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use tokio_util::sync::CancellationToken;
use windlass_model::settings::{self, Settings};
use windlass_model::{EnvironmentName, Failure, Limits, ProjectName};

use super::git::{Opened, Remote};
use super::{Before, Credentials, address, host_failed};
use crate::host::Host;

/// What to compare.
#[derive(Debug, Clone, Copy)]
pub struct ChangeRequest<'a> {
    /// Address of the repository.
    pub url: &'a str,
    /// What the project may show of itself.
    pub credentials: &'a Credentials,
    /// The data directory.
    pub data_dir: &'a std::path::Path,
    /// The project, whose cache is used.
    pub project: &'a ProjectName,
    /// Whose settings hold the filter.
    pub environment: &'a EnvironmentName,
    /// The limits in force.
    pub limits: &'a Limits,
    /// Full id of the commit that was deployed last.
    pub old: &'a str,
    /// Full id of the commit that was pushed.
    pub new: &'a str,
}

/// Whether a push concerns an environment, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// Whether it does.
    pub affected: bool,
    /// One line for people: `apps/web/page.tsx was changed`, `no change in apps/web/**`.
    pub reason: String,
}

impl Affected {
    fn yes(reason: impl Into<String>) -> Self {
        Self { affected: true, reason: reason.into() }
    }
}

impl Host {
    /// Whether what changed from `old` to `new` (full commit ids) concerns the environment, by its path
    /// filter. Reaches the repository and may take as long as a fetch: never call it inside of a
    /// request.
    ///
    /// # Errors
    /// Those of [`super::fetch`] when the new commit cannot be fetched, those of [`Settings::parse`]
    /// when its `windlass.toml` is wrong, `source.path-filter-invalid`.
    pub async fn affected(
        &self,
        project: &ProjectName,
        environment: &EnvironmentName,
        url: &str,
        old: &str,
        new: &str,
    ) -> Result<Affected, Failure> {
        let credentials = self.source_credentials(project)?;
        let request = ChangeRequest {
            url,
            credentials: &credentials,
            data_dir: &self.config.data_dir,
            project,
            environment,
            limits: &self.config.limits,
            old,
            new,
        };
        affected(request, &CancellationToken::new()).await
    }
}

/// The same, from its parts. Dropping the future kills Git.
///
/// # Errors
/// See [`Host::affected`].
pub async fn affected(
    request: ChangeRequest<'_>,
    cancel: &CancellationToken,
) -> Result<Affected, Failure> {
    for commit in [request.old, request.new] {
        address::check_commit(commit)?;
    }
    if request.old == request.new {
        return Ok(Affected { affected: false, reason: "it is the deployed commit".to_owned() });
    }
    let remote = Remote {
        url: request.url,
        credentials: request.credentials,
        before: Before::default(),
        data_dir: request.data_dir,
        project: request.project,
        limits: request.limits,
        log: None,
        cancel,
    };
    let opened = remote.open().await?;
    opened.known_commit(request.new).await?;
    let paths = filter_of(&opened, &request).await?;
    if paths.is_empty() {
        return Ok(Affected::yes("there is no path filter"));
    }
    let filter = PathFilter::new(&paths)?;
    match opened.known_commit(request.old).await {
        Ok(_) => {}
        // It may have been pushed away, and that is no reason not to deploy.
        Err(failure) if failure.code == "source.reference-not-found" => {
            return Ok(Affected::yes("the deployed commit is not in the repository any more"));
        }
        Err(failure) => return Err(failure),
    }
    let changed = changed_paths(&opened, request.old, request.new).await?;
    Ok(match changed.iter().find(|path| filter.matches(path)) {
        Some(path) => Affected::yes(format!("{path} was changed")),
        None => {
            let reason = format!("no change in {}", paths.join(", "));
            Affected { affected: false, reason }
        }
    })
}

/// `[deploy] paths` of the pushed commit.
async fn filter_of(
    opened: &Opened<'_>,
    request: &ChangeRequest<'_>,
) -> Result<Vec<String>, Failure> {
    let file = format!("{}:{}", request.new, settings::FILE);
    let Ok(bytes) = opened.git.quiet(&["cat-file", "blob", &file]).await else {
        return Ok(Vec::new());
    };
    let text = String::from_utf8_lossy(&bytes);
    Ok(Settings::parse(&text, request.environment)?.deploy.paths)
}

/// Every path that differs between two commits, both sides of a rename included.
async fn changed_paths(opened: &Opened<'_>, old: &str, new: &str) -> Result<Vec<String>, Failure> {
    let (old, new) = (format!("{old}^{{tree}}"), format!("{new}^{{tree}}"));
    let args = ["diff-tree", "-r", "-z", "--name-only", "--no-renames", &old, &new];
    let out = opened.git.run_bytes(&args, &[]).await;
    let out = out.map_err(|e| host_failed("compare two commits", &format!("{e:?}")))?;
    let paths = out.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    Ok(paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect())
}

/// Globs of paths from the repository's root: `apps/web/**`, `*.lock`; a folder's name stands for all
/// that is in it, and a leading `!` takes paths out again.
#[derive(Debug)]
pub struct PathFilter {
    within: GlobSet,
    without: GlobSet,
    /// Whether there are only patterns that take out.
    all: bool,
}

impl PathFilter {
    /// Reads the globs.
    ///
    /// # Errors
    /// `source.path-filter-invalid`.
    pub fn new(globs: &[String]) -> Result<Self, Failure> {
        let (mut within, mut without) = (GlobSetBuilder::new(), GlobSetBuilder::new());
        let mut all = true;
        for text in globs {
            let (set, glob) = match text.strip_prefix('!') {
                Some(glob) => (&mut without, glob),
                None => {
                    all = false;
                    (&mut within, text.as_str())
                }
            };
            let glob = glob.trim_start_matches("./").trim_start_matches('/').trim_end_matches('/');
            for pattern in [glob.to_owned(), format!("{glob}/**")] {
                let built = GlobBuilder::new(&pattern).literal_separator(true).build();
                set.add(built.map_err(|e| invalid(text, &e))?);
            }
        }
        let build = |set: GlobSetBuilder| set.build().map_err(|e| invalid(&globs.join(", "), &e));
        Ok(Self { within: build(within)?, without: build(without)?, all })
    }

    /// Whether a changed path counts.
    pub fn matches(&self, path: &str) -> bool {
        path == settings::FILE
            || (self.all || self.within.is_match(path)) && !self.without.is_match(path)
    }
}

fn invalid(glob: &str, error: &globset::Error) -> Failure {
    Failure::app(
        "source.path-filter-invalid",
        format!("windlass.toml: {glob:?} in `deploy.paths` is no glob"),
        error.kind().to_string(),
        "correct it, for instance paths = [\"apps/web/**\", \"package-lock.json\"]",
    )
}
