//! How a host of a test is started.

use std::net::Ipv4Addr;
use std::path::PathBuf;

/// How a host is started.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// `windlass serve --limits`: laid over the limits that suit tests.
    pub limits: toml::Table,
    /// Further arguments of `windlass serve`.
    pub args: Vec<String>,
    /// Environment of `windlass serve`; `PATH` may be replaced here.
    pub env: Vec<(String, String)>,
    /// The bundled plugins; those beside the binary when absent.
    pub plugins_dir: Option<PathBuf>,
    /// A name server that `windlass serve` asks before those of the machine. It runs in a mount namespace of its own
    /// then: what it mounts is not seen from outside, so such a host is for sites without containers.
    pub name_server: Option<Ipv4Addr>,
}

impl HostOptions {
    /// Sets a limit, for instance `limit("stop_grace_s", 1)` or `limit("access.tokens_max", 1)`.
    #[must_use]
    pub fn limit(mut self, name: &str, value: i64) -> Self {
        let (group, name) = name.split_once('.').map_or((None, name), |(g, n)| (Some(g), n));
        let table = match group {
            Some(group) => {
                let group = self.limits.entry(group).or_insert_with(|| toml::Table::new().into());
                group.as_table_mut().expect("a group of limits")
            }
            None => &mut self.limits,
        };
        table.insert(name.to_owned(), value.into());
        self
    }

    /// Sets a variable of `windlass serve`.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Arms a failpoint, for instance `during:build`: `serve` kills itself there, once.
    #[must_use]
    pub fn failpoint(self, place: &str) -> Self {
        self.env("WINDLASS_FAILPOINT", place)
    }
}
