//! Whom images are read from and pushed to: registries, their mirrors, and the logins for each.

use std::time::Duration;

use super::{Bases, Inner};
use crate::registry::{Access, Client, Reference, Target};

/// For a manifest or a configuration of an image, from the request to the last byte.
const DOCUMENT_TIME_MAX: Duration = Duration::from_secs(120);

impl Bases {
    /// What images are reached with.
    pub(crate) fn access(&self) -> &Access {
        &self.access
    }

    /// Reads an image, or a layer of one.
    pub(crate) fn client(&self, reference: &Reference, access: &Access) -> Client {
        self.inner.client(reference, access)
    }

    /// Pushes an image.
    pub(crate) fn target(&self, reference: &Reference, access: &Access) -> Target {
        let certificates = self.inner.certificates.as_deref();
        Target::new(reference.clone(), certificates, access.login(reference))
    }
}

impl Inner {
    /// A client for an image: its mirrors first, each with a login of its own.
    pub(super) fn client(&self, reference: &Reference, access: &Access) -> Client {
        let of_it = self.mirrors.iter().filter(|mirror| mirror.registry == reference.registry);
        let mirrors = of_it.map(|mirror| (mirror.base.clone(), access.login_for(mirror.host())));
        let certificates = self.certificates.as_deref();
        let login = access.login(reference);
        Client::new(reference.clone(), certificates, login, mirrors.collect())
            .within(DOCUMENT_TIME_MAX)
    }
}
