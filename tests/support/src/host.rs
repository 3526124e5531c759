//! A real Windlass host for one test: its own data directory, containerd, proxy and ports.
//!
//! **Invariant: dropping it leaves nothing on the machine**, also when the test panics. A test ends with
//! [`TestHost::finish`], which stops everything and asserts that nothing is left.
//!
//! ```no_run
//! use windlass_test_support::{GitRepo, TestHost};
//!
//! let host = TestHost::start();
//! let repo = GitRepo::of_fixture("express");
//! host.deploy_git("shop", &repo, &[]).live();
//! assert_eq!(host.get("shop.localhost", "/").status, 200);
//! host.finish();
//! ```

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use windlass_model::api::{DeploymentView, ErrorBody, HostStatus};
use windlass_model::{Failure, HostId};

use crate::cli::{CliOutput, Deployed};
use crate::http::{self, Request, Response};
use crate::leaks::{self, Machine};
use crate::repo::GitRepo;
use crate::wait::wait_for;

mod holdings;
mod options;

pub use options::HostOptions;

/// How long `serve` may take until it is ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// A host.
pub struct TestHost {
    dir: tempfile::TempDir,
    options: HostOptions,
    serve: Option<Child>,
    api: SocketAddr,
    proxy: SocketAddr,
    id: Option<HostId>,
    before: Machine,
    finished: bool,
}

impl TestHost {
    /// A running host with the limits that suit tests.
    pub fn start() -> Self {
        Self::start_with(HostOptions::default())
    }

    /// A running host.
    ///
    /// # Panics
    /// When it is not ready in time; its log is part of the message.
    pub fn start_with(options: HostOptions) -> Self {
        let mut host = Self::prepare(options);
        host.restart();
        host
    }

    /// A host that is not started: for what `serve` refuses.
    pub fn prepare(options: HostOptions) -> Self {
        let before = Machine::now();
        let host = Self {
            dir: crate::scratch("host"),
            options,
            serve: None,
            api: free_address(),
            proxy: free_address(),
            id: None,
            before,
            finished: false,
        };
        std::fs::create_dir_all(host.data_dir()).unwrap();
        crate::code::seed(&host.data_dir());
        host
    }

    /// The data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    /// Where the API listens.
    pub fn api_address(&self) -> SocketAddr {
        self.api
    }

    /// Where the proxy listens.
    pub fn proxy_address(&self) -> SocketAddr {
        self.proxy
    }

    /// This host's id.
    ///
    /// # Panics
    /// Before it was ready for the first time.
    pub fn id(&self) -> &HostId {
        self.id.as_ref().expect("the host was never ready")
    }

    /// What `serve` has logged so far, over all its starts.
    pub fn serve_log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("serve.log")).unwrap_or_default()
    }

    /// The command `windlass serve` of this host.
    pub fn serve_command(&self) -> Command {
        let limits = self.dir.path().join("limits.toml");
        std::fs::write(&limits, self.limits().to_string()).unwrap();
        let mut command = Command::new(crate::binary());
        command
            .arg("serve")
            .args(["--api-listen", &self.api.to_string()])
            .args(["--proxy-listen", &self.proxy.to_string()])
            .arg("--base-cache-dir")
            .arg(crate::bases_dir())
            .arg("--limits")
            .arg(limits);
        if let Some(plugins) = &self.options.plugins_dir {
            command.arg("--plugins-dir").arg(plugins);
        }
        command.args(&self.options.args).env("WINDLASS_DATA_DIR", self.data_dir());
        command.envs(self.options.env.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        match self.options.name_server {
            Some(server) => self.asking(server, &command),
            None => command,
        }
    }

    /// The command where names are asked of `server` first. The process is the same that the shell was.
    fn asking(&self, server: Ipv4Addr, command: &Command) -> Command {
        const SCRIPT: &str = r#"
            set -e
            for file in resolv.conf nsswitch.conf; do
                [ ! -e "/etc/$file" ] || mount --bind "$1/$file" "/etc/$file"
            done
            shift
            exec "$@""#;
        let own = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
        let others = own.lines().filter(|line| line.starts_with("nameserver"));
        let servers: Vec<String> = std::iter::once(format!("nameserver {server}"))
            .chain(others.map(ToOwned::to_owned))
            .collect();
        let dir = self.dir.path();
        std::fs::write(dir.join("resolv.conf"), servers.join("\n") + "\n").unwrap();
        std::fs::write(dir.join("nsswitch.conf"), "hosts: files dns\n").unwrap();
        let mut asking = Command::new("unshare");
        asking.args(["--mount", "sh", "-c", SCRIPT, "sh"]).arg(dir);
        asking.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        asking.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        asking
    }

    fn limits(&self) -> toml::Table {
        let mut limits = toml::Table::new();
        // Tests share their disk with a build directory, and stop many applications.
        limits.insert("disk_free_bytes_min".to_owned(), (64_i64 << 20).into());
        limits.insert("memory_free_bytes_min".to_owned(), (64_i64 << 20).into());
        limits.insert("disk_free_inodes_min".to_owned(), 1000.into());
        limits.insert("stop_grace_s".to_owned(), 5.into());
        limits.extend(self.options.limits.clone());
        let disk = limits.entry("disk").or_insert_with(|| toml::Table::new().into());
        let disk = disk.as_table_mut().expect("a group of limits");
        disk.entry("reclaim_below_bytes").or_insert_with(|| (96_i64 << 20).into());
        limits
    }

    /// Starts `serve` again after it was stopped or killed, and waits until it is ready.
    ///
    /// # Panics
    /// When it runs already, or is not ready in time.
    pub fn restart(&mut self) {
        self.spawn_serve();
        wait_for("windlass serve is ready", READY_WITHIN, || {
            if let Ok(Some(status)) = self.serve.as_mut().unwrap().try_wait() {
                panic!("windlass serve ended with {status}:\n{}", self.serve_log());
            }
            match http::send(self.api, &Request::get("localhost", "/readyz")) {
                Ok(answer) if answer.status == 200 => Ok(()),
                Ok(answer) => Err(answer.text()),
                Err(error) => Err(format!("{error}; its log:\n{}", self.serve_log())),
            }
        });
        let status: HostStatus = self.api("GET", "/v1/status", None).json();
        self.id = Some(status.host);
    }

    /// Starts `serve` and does not wait for it: for a start that a failpoint may cut off.
    ///
    /// # Panics
    /// When it runs already.
    pub fn spawn_serve(&mut self) {
        assert!(!self.serve_is_alive(), "serve runs already");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("serve.log"))
            .unwrap();
        let mut command = self.serve_command();
        command.stdout(log.try_clone().unwrap()).stderr(log);
        self.serve = Some(command.spawn().unwrap());
    }

    /// Replaces the environment of the next start, and with it the armed failpoint.
    pub fn set_env(&mut self, env: &[(&str, &str)]) {
        self.options.env =
            env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    }

    /// Sets a limit of the next start, see [`HostOptions::limit`].
    pub fn set_limit(&mut self, name: &str, value: i64) {
        self.options = std::mem::take(&mut self.options).limit(name, value);
    }

    /// Replaces the further arguments of the next start.
    pub fn set_args(&mut self, args: &[&str]) {
        self.options.args = args.iter().map(|arg| (*arg).to_owned()).collect();
    }

    /// The failpoint that was reached, if one was; the proof is removed, so that it can be armed again.
    pub fn take_failpoint_hit(&self) -> Option<String> {
        let file = self.data_dir().join("failpoint.hit");
        let place = std::fs::read_to_string(&file).ok()?;
        std::fs::remove_file(file).unwrap();
        Some(place)
    }

    /// Waits until `serve` is held at a place that was armed with `pause@`; it goes on when the proof
    /// is taken.
    ///
    /// # Panics
    /// When it is not held there within the deadline.
    pub fn wait_held_at(&self, place: &str, deadline: Duration) {
        wait_for("serve is held", deadline, || {
            let hit = std::fs::read_to_string(self.data_dir().join("failpoint.hit"));
            match hit {
                Ok(hit) if hit == place => Ok(()),
                other => Err(format!("{other:?} instead of {place}")),
            }
        });
    }

    /// Whether `serve` runs.
    pub fn serve_is_alive(&mut self) -> bool {
        self.serve.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Waits until `serve` has ended by itself.
    ///
    /// # Panics
    /// When it has not within the deadline.
    pub fn wait_serve_ended(&mut self, deadline: Duration) {
        wait_for("windlass serve ends", deadline, || match self.serve_is_alive() {
            true => Err(format!("it still runs; its log:\n{}", self.serve_log())),
            false => Ok(()),
        });
    }

    /// Process id of `serve`.
    ///
    /// # Panics
    /// When it was never started.
    pub fn serve_pid(&self) -> u32 {
        self.serve.as_ref().unwrap().id()
    }

    /// `kill -9` of `serve`.
    pub fn kill9_serve(&mut self) {
        let mut child = self.serve.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM to `serve`, and waits for its end.
    ///
    /// # Panics
    /// When it does not end well within 20 s.
    pub fn stop_serve(&mut self) {
        let Some(mut child) = self.serve.take() else { return };
        kill(child.id(), Signal::TERM);
        let status = wait_for("windlass serve ends on SIGTERM", Duration::from_secs(20), || {
            child.try_wait().unwrap().ok_or_else(|| "it still runs".to_owned())
        });
        assert!(status.success(), "serve ended with {status}:\n{}", self.serve_log());
    }

    /// Process id of the host's own containerd.
    ///
    /// # Panics
    /// When none runs.
    pub fn containerd_pid(&self) -> u32 {
        let config = format!("/run/windlass/{}/containerd.toml", self.id());
        let pids = leaks::pids_naming(&config);
        assert_eq!(pids.len(), 1, "one containerd runs with {config}: {pids:?}");
        pids[0]
    }

    /// `kill -9` of the host's own containerd.
    pub fn kill9_containerd(&self) {
        kill(self.containerd_pid(), Signal::KILL);
    }

    /// The command line, told where this host is.
    pub fn cli_command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(crate::binary());
        command
            .args(args)
            .env("WINDLASS_URL", format!("http://{}", self.api))
            .env("WINDLASS_DATA_DIR", self.data_dir())
            .env_remove("WINDLASS_TOKEN")
            .stdin(Stdio::null());
        command
    }

    /// Runs the command line, text for people.
    pub fn cli(&self, args: &[&str]) -> CliOutput {
        CliOutput::of(&mut self.cli_command(args))
    }

    /// Runs the command line with `--json`.
    pub fn cli_json(&self, args: &[&str]) -> CliOutput {
        let mut all = vec!["--json"];
        all.extend(args);
        self.cli(&all)
    }

    /// The same, with this text on standard input.
    pub fn cli_with_input(&self, args: &[&str], input: &str) -> CliOutput {
        let mut command = self.cli_command(args);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    /// Deploys a repository and waits for the end. `args` are further arguments of `windlass deploy`.
    pub fn deploy_git(&self, project: &str, repo: &GitRepo, args: &[&str]) -> Deployed {
        self.deploy_url(project, &repo.url(), args)
    }

    /// Deploys from a Git address and waits for the end.
    pub fn deploy_url(&self, project: &str, url: &str, args: &[&str]) -> Deployed {
        let mut all = vec!["deploy", url, "--project", project];
        all.extend(args);
        Deployed::of(&self.cli_json(&all))
    }

    /// A deployment as it is now: `number` within the project.
    pub fn show(&self, project: &str, number: u64) -> DeploymentView {
        let path = format!("/v1/deployments/{number}?project={project}");
        self.api("GET", &path, None).json()
    }

    /// Waits until a deployment is as wanted.
    ///
    /// # Panics
    /// When it is not, within the deadline.
    pub fn wait_deployment(
        &self,
        project: &str,
        number: u64,
        what: &str,
        deadline: Duration,
        wanted: impl Fn(&DeploymentView) -> bool,
    ) -> DeploymentView {
        wait_for(what, deadline, || {
            let view = self.show(project, number);
            if wanted(&view) { Ok(view) } else { Err(format!("{:#?}", view.deployment)) }
        })
    }

    /// Waits until every custom stage of a deployment is over, those that run in the background, too.
    ///
    /// # Panics
    /// When one is not, within a minute.
    pub fn wait_stages(&self, project: &str, number: u64) -> DeploymentView {
        let deadline = Duration::from_secs(60);
        self.wait_deployment(project, number, "every stage is over", deadline, |view| {
            view.stages.iter().all(|stage| stage.status.is_over())
        })
    }

    /// What is attached to a deployment under this name.
    ///
    /// # Panics
    /// When there is nothing of the name.
    pub fn attached(&self, project: &str, number: u64, name: &str) -> Vec<u8> {
        let number = number.to_string();
        let to = self.data_dir().join(format!("{number}-{name}"));
        let path = to.to_str().unwrap();
        self.cli(&["artifact", "get", name, &number, "--project", project, "-o", path]).ok();
        std::fs::read(to).unwrap()
    }

    /// The API token.
    pub fn token(&self) -> String {
        std::fs::read_to_string(self.data_dir().join("token")).unwrap().trim().to_owned()
    }

    /// Calls the API with the token; the body is JSON.
    pub fn api(&self, method: &str, path: &str, body: Option<&serde_json::Value>) -> Response {
        let text = body.map(serde_json::Value::to_string);
        self.api_raw(method, path, "application/json", text.as_deref().map(str::as_bytes))
    }

    /// Calls the API with the token and any body.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn api_raw(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: Option<&[u8]>,
    ) -> Response {
        let headers = vec![
            ("authorization", format!("Bearer {}", self.token())),
            ("content-type", content_type.to_owned()),
        ];
        let request = Request { method, target: path, host: "localhost", headers, body };
        http::send(self.api, &request).unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    /// Calls the API and returns the failure that it must answer with.
    ///
    /// # Panics
    /// When the status is another one.
    pub fn api_failure(
        &self,
        method: &str,
        path: &str,
        body: Option<&serde_json::Value>,
        status: u16,
    ) -> Failure {
        let answer = self.api(method, path, body);
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        answer.json::<ErrorBody>().error
    }

    /// Asks the proxy.
    ///
    /// # Panics
    /// When it does not answer.
    pub fn get(&self, host: &str, target: &str) -> Response {
        http::send(self.proxy, &Request::get(host, target))
            .unwrap_or_else(|e| panic!("GET {target} of {host} through the proxy: {e}"))
    }

    /// Stops everything of this host, and asserts that nothing is left on the machine: before the
    /// teardown nothing for deployments that are over, and nothing at all after it.
    ///
    /// # Panics
    /// When something is left, or the teardown fails.
    pub fn finish(mut self) {
        self.assert_nothing_kept_for_nobody();
        self.stop_serve();
        self.teardown().ok();
        self.finished = true;
        self.assert_clean();
    }

    /// Runs `windlass teardown`.
    pub fn teardown(&self) -> CliOutput {
        let mut command = self.cli_command(&["teardown", "--yes"]);
        let env = self.options.env.iter().map(|(name, value)| (name, value));
        command.envs(env).env_remove("WINDLASS_FAILPOINT");
        CliOutput::of(&mut command)
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if let Some(mut child) = self.serve.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let proxy = std::fs::read_to_string(self.data_dir().join("proxy.log"));
            for (whose, log) in
                [("serve", self.serve_log()), ("the proxy", proxy.unwrap_or_default())]
            {
                let lines: Vec<&str> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(60)..].join("\n");
                eprintln!("the end of the log of {whose}:\n{tail}");
            }
        }
        let torn = self.cli_command(&["teardown", "--yes"]).output();
        if !torn.is_ok_and(|output| output.status.success()) {
            leaks::force_clean(self.id.as_ref(), &self.data_dir());
        }
    }
}

/// An address of this machine with a port that is free now.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Sends a signal to a process.
///
/// # Panics
/// When there is no such process.
pub fn kill(pid: u32, signal: Signal) {
    let raw = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(raw, signal).unwrap_or_else(|e| panic!("signal to {pid}: {e}"));
}

/// Whether a process of this id runs.
pub fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}
