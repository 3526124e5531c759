//! What a build may use to get at images: logins of registries, and an image that was uploaded.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine as _;
use windlass_model::{ProjectName, Secret};

use super::layout::Layout;
use super::reference::Reference;

/// A name and a password, or token, for one registry.
#[derive(Debug, Clone)]
pub struct Login {
    /// `docker.io`, `ghcr.io`, `localhost:5000`
    pub registry: String,
    /// Name.
    pub user: String,
    /// Password or token.
    pub password: Secret<String>,
}

impl Login {
    /// Value of the header that shows it.
    pub(super) fn basic(&self) -> String {
        let pair = format!("{}:{}", self.user, self.password.expose());
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    }
}

/// What images may be reached with. The default reaches public ones.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Whose logins these are: an image that was pulled with one is remembered for its project alone.
    pub project: Option<ProjectName>,
    /// The logins.
    pub logins: Arc<Vec<Login>>,
    /// Folder of an uploaded image, see [`Layout`].
    pub layout: Option<PathBuf>,
}

impl Access {
    pub(crate) fn login(&self, reference: &Reference) -> Option<Login> {
        self.login_for(&reference.registry)
    }

    pub(crate) fn login_for(&self, registry: &str) -> Option<Login> {
        self.logins.iter().find(|login| login.registry == registry).cloned()
    }

    /// The name that an image is remembered under.
    pub(crate) fn remembered(&self, reference: &Reference) -> String {
        match (&self.project, self.login(reference)) {
            (Some(project), Some(_)) => format!("{reference} of project {project}"),
            _ => reference.to_string(),
        }
    }

    /// The uploaded image, if this is its name.
    pub(crate) fn uploaded(&self, reference: &Reference) -> Option<&PathBuf> {
        self.layout.as_ref().filter(|_| reference.registry == Layout::REGISTRY)
    }
}
