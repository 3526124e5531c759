//! The one who asks, known to everything that a request's handler calls.
//!
//! It is bound to the request's task, so that what finds records (`control::find`, lists) leaves out
//! what the caller may not see without being told by each handler: a handler that forgets shows nothing
//! too much. Outside of a request (the runner, webhooks, jobs) there is no caller and nothing is left out.

use std::sync::Arc;

use windlass_model::access::{TokenId, TokenScope};
use windlass_model::{Failure, ProjectName};
use windlass_store::StoreError;

use crate::control::stored;

tokio::task_local! {
    static PRESENT: Caller;
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The token's name: the actor of all that is done.
    pub actor: String,
    /// What it may do.
    pub scope: TokenScope,
    /// The projects it is limited to; all when empty.
    pub projects: Arc<[ProjectName]>,
    /// The token's public part; none for the host's own admin token of an older form.
    pub token: Option<TokenId>,
}

impl Caller {
    /// Whether this project is there for the caller.
    pub fn sees(&self, project: &ProjectName) -> bool {
        self.projects.is_empty() || self.projects.contains(project)
    }

    /// Whether it is limited to some projects.
    pub fn is_limited(&self) -> bool {
        !self.projects.is_empty()
    }

    /// Runs a future as this caller.
    pub(crate) async fn during<F: Future>(self, future: F) -> F::Output {
        PRESENT.scope(self, future).await
    }

    /// Runs a function as this caller.
    pub(crate) fn within<T>(&self, function: impl FnOnce() -> T) -> T {
        PRESENT.sync_scope(self.clone(), function)
    }
}

/// Who asks now, if a request is being handled.
pub fn present() -> Option<Caller> {
    PRESENT.try_with(Clone::clone).ok()
}

/// Whether a project may be seen now.
pub fn sees(project: &ProjectName) -> bool {
    PRESENT.try_with(|caller| caller.sees(project)).unwrap_or(true)
}

/// Refuses a project that may not be seen, in the words for one that is not there.
///
/// # Errors
/// `project.not-found`.
pub fn must_see(project: &ProjectName) -> Result<(), Failure> {
    if sees(project) { Ok(()) } else { Err(no_such_project(project)) }
}

/// As the store says it.
pub(crate) fn no_such_project(project: &ProjectName) -> Failure {
    stored(StoreError::NotFound { what: format!("project {project}") })
}

/// Refuses unless the caller's scope is large enough for a part of a request that needs more than its
/// route does.
///
/// # Errors
/// `auth.scope-too-small`.
pub fn must_have(scope: TokenScope, for_what: &str) -> Result<(), Failure> {
    match present() {
        Some(caller) if caller.scope < scope => Err(scope_too_small(&caller, scope, for_what)),
        _ => Ok(()),
    }
}

pub(crate) fn scope_too_small(caller: &Caller, needed: TokenScope, for_what: &str) -> Failure {
    Failure::app(
        "auth.scope-too-small",
        format!("{for_what} needs a token of the scope {needed}"),
        format!("the token {} has the scope {}", caller.actor, caller.scope),
        format!(
            "use another token: `windlass token create NAME --scope {needed}` makes one, with the \
             host's admin token"
        ),
    )
}

pub(crate) fn limited_to_projects(caller: &Caller) -> Failure {
    let names: Vec<&str> = caller.projects.iter().map(ProjectName::as_str).collect();
    Failure::app(
        "auth.project-limited",
        "this is about the whole host",
        format!("the token {} is limited to {}", caller.actor, names.join(", ")),
        "use a token that is not limited to projects: `windlass token create NAME` without --project",
    )
}
