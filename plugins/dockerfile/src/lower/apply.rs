//! One instruction onto a stage.

use std::collections::BTreeSet;

use windlass_sdk::HealthCheck;
use windlass_sdk::plan::{MakeDir, Op};

use super::{Lowering, State};
use crate::ignore::clean;
use crate::instruction::{Command, Health, Instruction, Kind};
use crate::problem::{Found, Problem};
use crate::words::Lexer;

/// Ports that an image names, at most: all that one protocol has, and some more. All of two would be over what a plan
/// may hold (`plugin.hostcall_bytes_max` of the host).
const PORTS_MAX: usize = 70_000;

impl Lowering<'_> {
    pub(super) fn apply(
        &mut self,
        index: usize,
        state: &mut State,
        one: &Instruction,
    ) -> Found<()> {
        self.dispatch(index, state, one).map_err(|problem| problem.at(one.line, &one.name))
    }

    fn dispatch(&mut self, index: usize, state: &mut State, one: &Instruction) -> Found<()> {
        match &one.kind {
            // The reader makes stages of them.
            Kind::From { .. } => {}
            Kind::Arg(list) => self.arguments(state, list)?,
            Kind::Env(pairs) => {
                for (name, value) in self.expanded(state, pairs)? {
                    state.env.set(&name, &value);
                    state.kept.set(&name, &value);
                }
            }
            Kind::Label(pairs) => {
                for (name, value) in self.expanded(state, pairs)? {
                    state.labels.set(&name, &value);
                }
            }
            Kind::Run(run) => self.run(index, state, one, run)?,
            Kind::Copy(copy) => self.copy(index, state, one, copy)?,
            Kind::Workdir(path) => self.workdir(index, state, one, path)?,
            Kind::User(user) => state.user = self.expand(state, user)?,
            Kind::Cmd(command) => {
                state.cmd = argv(state, command);
                state.cmd_set = true;
            }
            Kind::Entrypoint(command) => {
                state.entrypoint = argv(state, command);
                if !state.cmd_set {
                    state.cmd.clear();
                }
            }
            Kind::Shell(shell) => state.shell.clone_from(shell),
            Kind::Expose(ports) => self.expose(state, ports)?,
            Kind::Volume(paths) => self.volumes(state, paths)?,
            Kind::StopSignal(signal) => state.stop_signal = Some(self.signal(state, signal)?),
            Kind::Maintainer(author) => state.author = Some(author.clone()),
            Kind::Health(health) => state.health = Some(check(health)),
            Kind::OnBuild(trigger) => state.onbuild.push(trigger.clone()),
        }
        Ok(())
    }

    /// The given value, else the default, else the one before the first FROM.
    fn arguments(&mut self, state: &mut State, list: &[(String, Option<String>)]) -> Found<()> {
        for (name, default) in list {
            self.used.insert(name.clone());
            let value = match (self.given.args.get(name), default) {
                (Some(given), _) => Some(given.clone()),
                (None, Some(text)) => Some(self.expand(state, text)?),
                (None, None) => self.globals.get(name).map(str::to_owned),
            };
            if value.is_none() && self.given.variables.contains(name) {
                self.warnings.push(format!(
                    "ARG {name} has no value: values of ARG are set in build.args, and a RUN gets the \
                     variable {name} with --mount=type=secret,id={name},env={name}"
                ));
            }
            value.iter().for_each(|value| state.env.set(name, value));
        }
        Ok(())
    }

    /// All of an instruction see what was set before it.
    fn expanded(&self, state: &State, pairs: &[(String, String)]) -> Found<Vec<(String, String)>> {
        let one = |(name, value): &(String, String)| {
            let name = self.expand(state, name)?;
            if name.is_empty() {
                return Err(Problem::syntax("a name is empty", "write name=value"));
            }
            Ok((name, self.expand(state, value)?))
        };
        pairs.iter().map(one).collect()
    }

    fn workdir(
        &mut self,
        index: usize,
        state: &mut State,
        one: &Instruction,
        path: &str,
    ) -> Found<()> {
        let path = self.expand(state, path)?;
        state.cwd = absolute(state.folder(), &path);
        if state.cwd == "/" {
            return Ok(());
        }
        let mut step = self.new_step(index, self.shown(index, one), state.base.clone());
        let chown = Some(state.user.clone()).filter(|user| !user.is_empty());
        step.ops.push(Op::MakeDir(MakeDir { path: state.cwd.clone(), chown }));
        self.push(state, step);
        Ok(())
    }

    fn expose(&self, state: &mut State, ports: &[String]) -> Found<()> {
        let mut known: BTreeSet<String> = state.ports.iter().cloned().collect();
        for port in ports {
            let lookup = |name: &str| state.env.get(name).map(str::to_owned);
            let words = Lexer::new(self.file.escape).words(port, &lookup);
            let words = words.map_err(|why| {
                let fix = "correct the substitution, or set the variable";
                Problem::new("dockerfile.variable", format!("{port}: {why}"), fix)
            })?;
            for word in words {
                let named = ports_of(&word)?.into_iter();
                state.ports.extend(named.filter(|port| known.insert(port.clone())));
                if state.ports.len() > PORTS_MAX {
                    let what = format!("with {word} the image names more than {PORTS_MAX} ports");
                    let fix = "name fewer: EXPOSE opens none, and a program may listen on ports that \
                               are not named";
                    return Err(Problem::unsupported(what, fix));
                }
            }
        }
        Ok(())
    }

    fn volumes(&mut self, state: &mut State, paths: &[String]) -> Found<()> {
        for path in paths {
            let path = self.expand(state, path)?;
            if path.is_empty() {
                return Err(Problem::syntax("a path is empty", "name the folder"));
            }
            self.warnings.push(format!(
                "VOLUME {path}: what is written there ends with each deployment, unless run.volumes in \
                 windlass.toml has a volume for it"
            ));
            if !state.volumes.contains(&path) {
                state.volumes.push(path);
            }
        }
        Ok(())
    }

    fn signal(&self, state: &State, text: &str) -> Found<String> {
        let signal = self.expand(state, text)?;
        let number = signal.parse::<u8>().is_ok_and(|n| (1..=64).contains(&n));
        let name = signal.to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        let known =
            ["RTMIN", "RTMAX"].iter().any(|rt| name.starts_with(rt)) || SIGNALS.contains(&name);
        if number || known {
            return Ok(signal);
        }
        let what = format!("{signal:?} is no signal");
        Err(Problem::syntax(what, "use a name such as SIGTERM, or a number"))
    }
}

const SIGNALS: [&str; 35] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP",
    "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ", "UNUSED",
];

/// A path from a folder, without `.` and `..`.
pub(super) fn absolute(folder: &str, path: &str) -> String {
    match path.starts_with('/') {
        true => format!("/{}", clean(path)),
        false => format!("/{}", clean(&format!("{folder}/{path}"))),
    }
}

fn argv(state: &State, command: &Command) -> Vec<String> {
    match command {
        Command::Exec(words) => words.clone(),
        Command::Shell(line) => state.shell(line.clone()),
    }
}

/// `80`, `80/udp`, `8000-8002`, and with an address and a port of the host in front, which mean nothing here.
fn ports_of(text: &str) -> Found<Vec<String>> {
    let bad = || {
        let what = format!("{text:?} is no port");
        Problem::syntax(what, "write 8080, 8080/udp or 8000-8002")
    };
    let (numbers, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let protocol = protocol.to_ascii_lowercase();
    if !matches!(protocol.as_str(), "tcp" | "udp" | "sctp") {
        return Err(bad());
    }
    let numbers = numbers.rsplit(':').next().unwrap_or_default();
    let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
    let number = |text: &str| text.parse::<u16>().map_err(|_| bad());
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(bad());
    }
    Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
}

/// In the form of images. The command is not expanded: the shell does that when it is run.
fn check(health: &Health) -> HealthCheck {
    let test = match &health.command {
        None => vec!["NONE".to_owned()],
        Some(Command::Exec(words)) => {
            std::iter::once("CMD".to_owned()).chain(words.iter().cloned()).collect()
        }
        Some(Command::Shell(line)) => vec!["CMD-SHELL".to_owned(), line.clone()],
    };
    HealthCheck {
        test,
        interval_ms: health.interval_ms,
        timeout_ms: health.timeout_ms,
        start_period_ms: health.start_period_ms,
        start_interval_ms: health.start_interval_ms,
        retries: health.retries,
    }
}
