//! What a stage has come to: its files, its environment, how its image is run.

use windlass_sdk::HealthCheck;
use windlass_sdk::images::ImageConfig;
use windlass_sdk::plan::{Base, RunConfig};

/// Where commands are looked for if an image does not say.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables, in the order in which they were first set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Env(pub(crate) Vec<(String, String)>);

impl Env {
    /// The value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Sets a variable, in its place if it has one.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.0.push((name.to_owned(), value.to_owned())),
        }
    }
}

/// A stage, as far as it has been lowered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    /// Its files.
    pub(crate) base: Base,
    /// What commands and substitutions see: ENV and ARG.
    pub(crate) env: Env,
    /// What the image keeps of it.
    pub(crate) kept: Env,
    /// ENTRYPOINT
    pub(crate) entrypoint: Vec<String>,
    /// CMD
    pub(crate) cmd: Vec<String>,
    /// Whether CMD was set in this stage.
    pub(crate) cmd_set: bool,
    /// USER
    pub(crate) user: String,
    /// WORKDIR
    pub(crate) cwd: String,
    /// SHELL
    pub(crate) shell: Vec<String>,
    /// EXPOSE
    pub(crate) ports: Vec<String>,
    /// VOLUME
    pub(crate) volumes: Vec<String>,
    /// LABEL
    pub(crate) labels: Env,
    /// STOPSIGNAL
    pub(crate) stop_signal: Option<String>,
    /// ONBUILD
    pub(crate) onbuild: Vec<String>,
    /// HEALTHCHECK
    pub(crate) health: Option<HealthCheck>,
    /// MAINTAINER
    pub(crate) author: Option<String>,
}

impl Default for State {
    fn default() -> Self {
        Self::scratch()
    }
}

impl State {
    /// Nothing.
    pub(crate) fn scratch() -> Self {
        let env = Env(vec![("PATH".to_owned(), PATH.to_owned())]);
        Self {
            base: Base::Scratch,
            env: env.clone(),
            kept: env,
            entrypoint: Vec::new(),
            cmd: Vec::new(),
            cmd_set: false,
            user: String::new(),
            cwd: "/".to_owned(),
            shell: Vec::new(),
            ports: Vec::new(),
            volumes: Vec::new(),
            labels: Env::default(),
            stop_signal: None,
            onbuild: Vec::new(),
            health: None,
            author: None,
        }
    }

    /// An image. Its triggers are run by whoever is based on it, and are not inherited.
    pub(crate) fn of_image(base: Base, config: ImageConfig) -> Self {
        let mut env = Env::default();
        config.env.iter().for_each(|(name, value)| env.set(name, value));
        if env.get("PATH").is_none() {
            env.set("PATH", PATH);
        }
        Self {
            base,
            env: env.clone(),
            kept: env,
            entrypoint: config.entrypoint,
            cmd: config.cmd,
            user: config.user,
            cwd: config.cwd,
            shell: config.shell,
            ports: config.exposed,
            volumes: config.volumes,
            labels: Env(config.labels),
            stop_signal: config.stop_signal,
            health: config.health,
            author: config.author,
            ..Self::scratch()
        }
    }

    /// What a stage on top of this one does not inherit.
    pub(crate) fn begin_stage(&mut self) {
        self.cmd_set = false;
        self.onbuild.clear();
    }

    /// Where commands run, and what relative paths begin at.
    pub(crate) fn folder(&self) -> &str {
        if self.cwd.is_empty() { "/" } else { &self.cwd }
    }

    /// A line for the shell of the stage.
    pub(crate) fn shell(&self, line: String) -> Vec<String> {
        let usual = || ["/bin/sh", "-c"].map(str::to_owned).to_vec();
        let mut argv = if self.shell.is_empty() { usual() } else { self.shell.clone() };
        argv.push(line);
        argv
    }

    /// The ports of TCP, in their order.
    pub(crate) fn tcp_ports(&self) -> Vec<u16> {
        let tcp = |port: &String| {
            let (number, protocol) = port.split_once('/').unwrap_or((port, "tcp"));
            number.parse().ok().filter(|_| protocol == "tcp")
        };
        self.ports.iter().filter_map(tcp).collect()
    }

    /// As the plan has it.
    pub(crate) fn config(self) -> RunConfig {
        RunConfig {
            exposed: self.tcp_ports(),
            entrypoint: self.entrypoint,
            cmd: self.cmd,
            env: self.kept.0,
            user: self.user,
            cwd: self.cwd,
            volumes: self.volumes,
            labels: self.labels.0,
            stop_signal: self.stop_signal,
            ports: self.ports,
            shell: self.shell,
            onbuild: self.onbuild,
            health: self.health,
            author: self.author,
            whole: true,
        }
    }
}
