//! Step keys: what a step's result depends on, and nothing else.

use serde::Serialize;
use windlass_model::Digest;
use windlass_model::plan::{KeyValues, Op};

/// Raised when the executor's way of carrying out a step changes its result.
pub(crate) const EXECUTOR_VERSION: u32 = 1;

/// All that a step's key is made of. Git ids stand in for contents where they are known.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct KeyInput<'a> {
    /// Key of the snapshot it starts from; empty for nothing.
    pub(crate) parent: &'a str,
    /// `linux/amd64`
    pub(crate) platform: &'a str,
    /// Environment that its commands see, without the variables.
    pub(crate) env: &'a KeyValues,
    /// Working directory.
    pub(crate) cwd: &'a str,
    /// User.
    pub(crate) user: &'a str,
    /// Names of variables that its commands see, each with a digest of its value.
    pub(crate) variables: &'a [(String, Digest)],
    /// The operations.
    pub(crate) ops: &'a [Op],
    /// For each operation, what it reads: digests of files, keys of other steps.
    pub(crate) inputs: &'a [Vec<String>],
}

impl KeyInput<'_> {
    /// The key, which is the name of the step's snapshot.
    pub(crate) fn key(&self) -> String {
        let digest = Digest::of_json(&(EXECUTOR_VERSION, self));
        format!("step-{}", digest.hex())
    }
}

/// The platform of this host's images.
pub(crate) fn platform() -> String {
    format!("linux/{}", architecture())
}

/// This machine's architecture by the name that images use.
pub(crate) const fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain() -> KeyInput<'static> {
        KeyInput {
            parent: "base",
            platform: "linux/amd64",
            env: const { &KeyValues::new() },
            cwd: "/app",
            user: "root",
            variables: &[],
            ops: &[],
            inputs: &[],
        }
    }

    #[test]
    fn everything_that_matters_changes_the_key() {
        let variables = [("A".to_owned(), Digest::of(b"1"))];
        let inputs = [vec!["sha256:1".to_owned()]];
        let keys = std::collections::BTreeSet::from([
            plain().key(),
            KeyInput { parent: "other", ..plain() }.key(),
            KeyInput { platform: "linux/arm64", ..plain() }.key(),
            KeyInput { cwd: "/", ..plain() }.key(),
            KeyInput { user: "node", ..plain() }.key(),
            KeyInput { variables: &variables, ..plain() }.key(),
            KeyInput { inputs: &inputs, ..plain() }.key(),
        ]);
        assert_eq!(keys.len(), 7);
        assert_eq!(plain().key(), plain().key());
    }
}
