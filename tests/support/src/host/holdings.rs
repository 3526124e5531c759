//! What a host holds while it runs, and what it has left on the machine.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use windlass_model::api::DeploymentView;
use windlass_model::{DeploymentId, DeploymentStatus};

use super::TestHost;
use crate::cli::CliOutput;
use crate::http::{self, Request};
use crate::leaks::{self, Standing};
use crate::wait::wait_for;

/// How long leftovers may take to vanish, of a deployment after its end and of a host after the teardown.
const CLEAN_WITHIN: Duration = Duration::from_secs(20);

impl TestHost {
    /// Runs `ctr` on the host's containerd and returns what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn ctr_lines(&self, args: &[&str]) -> Vec<String> {
        let output = CliOutput::of(
            Command::new("ctr")
                .args(["--address", &format!("/run/windlass/{}/containerd.sock", self.id())])
                .args(["--namespace", &format!("windlass-{}", self.id())])
                .args(args),
        )
        .ok();
        output.stdout.lines().map(|line| line.trim_end().to_owned()).collect()
    }

    /// How many layers lie in containerd as blobs: those that were pulled, and those that the host wrote from its
    /// snapshots.
    pub fn layer_blobs(&self) -> usize {
        let blobs = self.ctr_lines(&["content", "list"]);
        blobs.iter().filter(|line| line.contains("containerd.io/uncompressed=")).count()
    }

    /// The same, its words: the first column.
    pub fn ctr(&self, args: &[&str]) -> Vec<String> {
        let first = |line: &String| line.split_whitespace().next().map(str::to_owned);
        let mut words: Vec<String> = self.ctr_lines(args).iter().filter_map(first).collect();
        words.sort();
        words
    }

    /// Names of the snapshots that are written to: one for each container, and those of builds.
    pub fn writable_snapshots(&self) -> Vec<String> {
        let lines = self.ctr_lines(&["snapshots", "list"]);
        let writable = lines.iter().filter(|line| line.ends_with("Active"));
        writable.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
    }

    /// What the running host holds in containerd and on the network, by kind: to be compared before and
    /// after a deployment that must leave nothing.
    pub fn holdings(&self) -> Vec<(&'static str, Vec<String>)> {
        let mut holdings = vec![
            ("containers", self.ctr(&["containers", "list", "-q"])),
            ("tasks", self.ctr(&["tasks", "list", "-q"])),
            ("leases", self.ctr(&["leases", "list", "-q"])),
        ];
        let mut machine = windlass_containers::leak::machine(self.id());
        windlass_containers::leak::leave_out_spare(&mut machine);
        for kind in ["cgroups", "mounts", "network namespaces", "network attachments"] {
            holdings.push((kind, machine.get(kind).cloned().unwrap_or_default()));
        }
        holdings
    }

    /// Everything that the running host may hold for one deployment, by kind.
    pub fn held(&self) -> Vec<(&'static str, Vec<String>)> {
        let mut held = self.holdings();
        held.push(("snapshots", self.ctr(&["snapshots", "list"])));
        let names = |dir: PathBuf| leaks::names_in(dir).into_iter().collect::<Vec<_>>();
        let run = Path::new("/run/windlass").join(self.id().as_str());
        held.push(("files of containers", names(run.join("containers"))));
        held.push(("workspaces", names(self.data_dir().join("work"))));
        for dir in ["build", "cache/changes"] {
            held.push(("scratch files of builds", names(self.data_dir().join(dir))));
        }
        held
    }

    /// What the running host holds for deployments that are over, see [`leaks::kept_for_nobody`]. What is
    /// just being removed may be among it.
    pub fn kept_for_nobody(&self) -> Vec<String> {
        let mut known = BTreeMap::new();
        leaks::kept_for_nobody(&self.held(), |id| {
            *known.entry(id.clone()).or_insert_with(|| self.standing(id))
        })
    }

    fn standing(&self, id: &DeploymentId) -> Standing {
        use DeploymentStatus as S;
        let answer = self.api("GET", &format!("/v1/deployments/{id}"), None);
        match answer.status {
            200 => match answer.json::<DeploymentView>().deployment.status {
                S::Retired | S::Built | S::Failed | S::Cancelled => Standing::Over,
                _ => Standing::MayHold,
            },
            404 => Standing::Unknown,
            _ => Standing::MayHold,
        }
    }

    /// Whether the host is ready, and its containerd answers: some tests end without either.
    fn can_be_looked_into(&mut self) -> bool {
        let is_ready = || {
            let answer = http::send(self.api, &Request::get("localhost", "/readyz"));
            answer.is_ok_and(|answer| answer.status == 200)
        };
        if self.id.is_none() || !is_ready() || !self.serve_is_alive() {
            return false;
        }
        let socket = format!("/run/windlass/{}/containerd.sock", self.id());
        let mut ctr = Command::new("ctr");
        ctr.args(["--connect-timeout", "5s", "--timeout", "10s", "--address", &socket, "version"]);
        ctr.output().is_ok_and(|output| output.status.success())
    }

    /// Before a teardown takes everything away: nothing is held for deployments that are over.
    pub(super) fn assert_nothing_kept_for_nobody(&mut self) {
        if !self.can_be_looked_into() {
            return;
        }
        wait_for("nothing is held for deployments that are over", CLEAN_WITHIN, || {
            let kept = self.kept_for_nobody();
            if kept.is_empty() { Ok(()) } else { Err(format!("{kept:#?}")) }
        });
    }

    pub(super) fn assert_clean(&self) {
        let end = Instant::now() + CLEAN_WITHIN;
        loop {
            let left = self.leftovers();
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "left on the machine: {left:#?}");
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// What this host has left on the machine: nothing, after its teardown.
    pub fn leftovers(&self) -> Vec<String> {
        leaks::leftovers(&self.before, self.id.as_ref(), &self.data_dir())
    }
}
