//! Builds of Dockerfiles against the peer, docker.io's BuildKit, in the same run and in turns: from the same
//! folder, with the same base from the same registry, command line against command line. Both give each command a
//! network namespace of its own, as `docker build` does when nothing else is asked for; what that costs the peer is
//! told beside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use windlass_model::build::StepWhy;
use windlass_test_support::registry::DockerRegistry;
use windlass_test_support::{CliOutput, GitRepo, PrivateDocker, Request, TestHost, http};

use crate::figure::{Figure, median};
use crate::start::settled_mb;

const ROUNDS: usize = 7;
/// No round of a case has this number: of either network of the peer, warming up or not.
const BUILDS_OF_CASE: usize = 4 * ROUNDS;
/// Files of the application that is measured from its build to its first answer.
const FILES: usize = 20_000;
/// Builds in a row, after which the memory is looked at again.
const BUILDS: usize = 200;
/// The machine's certificates, and what they are called in the bases.
const MACHINE_CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const CERTIFICATES: &str = "machine-certificates.crt";
/// How long a build that has carried out commands goes on behind its end.
const AFTER_COMMANDS: Duration = Duration::from_secs(3);
/// What is not growth but noise, in MB.
const MEMORY_NOISE_MB: f64 = 8.0;

const NODE: &str = "FROM REGISTRY/node:1
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY . .
CMD [\"node\", \"server.js\"]
";
const PYTHON: &str = "FROM REGISTRY/python:1
WORKDIR /app
RUN python3 -m venv /venv
COPY requirements.txt ./
RUN --mount=type=cache,target=/root/.cache/pip /venv/bin/pip install -r requirements.txt
COPY . .
CMD [\"/venv/bin/gunicorn\", \"app:app\"]
";
const MANY: &str = "FROM REGISTRY/node:1
WORKDIR /app
COPY . .
CMD [\"node\", \"server.js\"]
";
const MANY_SERVER: &str = "const {readFileSync} = require('fs');
require('http').createServer((request, response) => {
  response.end(readFileSync('d0/f0.txt'));
}).listen(process.env.PORT, '0.0.0.0');
process.on('SIGTERM', () => process.exit(0));
";

/// What is measured of a sample application, and the most that it may take of the peer's time.
const CASES: [(Case, &str, f64); 4] = [
    (Case::Cold, "cold, bases present", 1.0),
    (Case::Unchanged, "nothing changed", 1.0),
    (Case::Source, "one source line changed", 0.7),
    (Case::Manifest, "dependency file changed, warm cache mount", 0.9),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Cold,
    Unchanged,
    Source,
    Manifest,
}

impl Case {
    /// Whether commands are carried out, by either.
    fn has_commands(self) -> bool {
        matches!(self, Self::Cold | Self::Manifest)
    }
}

/// What network the peer's commands have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PeerNetwork {
    /// One of their own, as ours have.
    Own,
    /// The machine's.
    Shared,
}

struct Sample {
    name: &'static str,
    dir: tempfile::TempDir,
    dockerfile: &'static str,
    source: &'static str,
    manifest: &'static str,
}

struct Both {
    host: TestHost,
    docker: PrivateDocker,
    registry: DockerRegistry,
}

pub(crate) fn measure() -> Result<Vec<Figure>> {
    let both = Both {
        host: TestHost::start(),
        docker: PrivateDocker::start_with_network(),
        registry: DockerRegistry::start(),
    };
    both.push_bases()?;
    let samples = [
        both.sample("npm", "express", NODE, "server.js", "package.json")?,
        both.sample("pip", "flask", PYTHON, "app.py", "requirements.txt")?,
    ];
    let mut figures = Vec::new();
    for sample in &samples {
        figures.extend(both.compare(sample)?);
    }
    figures.extend(both.many_files()?);
    figures.push(both.memory(&samples[0])?);
    let Both { host, docker, registry } = both;
    drop((docker, registry));
    host.finish();
    Ok(figures)
}

impl Both {
    /// The bases that the host assembles for Node and Python, as images for both.
    fn push_bases(&self) -> Result<()> {
        for (name, fixture, program) in
            [("node", "express", "./usr/local/bin/node"), ("python", "flask", "./usr/bin/python3")]
        {
            self.host.deploy_git(name, &GitRepo::of_fixture(fixture), &[]).live();
            let dir = windlass_test_support::scratch("bench-base");
            let layer = dir.path().join("layer.tar");
            run(Command::new("zstd").args(["-dqf", "-o"]).arg(&layer).arg(archive_with(program)?))?;
            // The host gives its certificates to builds; the peer has to find them in the base.
            std::fs::copy(MACHINE_CERTIFICATES, dir.path().join(CERTIFICATES))?;
            let append = ["--append", "--owner=0", "--group=0", "--file"];
            run(Command::new("tar")
                .args(append)
                .arg(&layer)
                .arg("--directory")
                .arg(dir.path())
                .arg(CERTIFICATES))?;
            let certificates = ["NODE_EXTRA_CA_CERTS", "PIP_CERT", "SSL_CERT_FILE"];
            let mut env: Vec<String> =
                certificates.iter().map(|name| format!("{name}=/{CERTIFICATES}")).collect();
            env.push(
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
            );
            let config = serde_json::json!({ "Env": env, "Cmd": ["/bin/sh"] });
            self.registry.push_rootfs(name, &layer, &config);
            let image = format!("{}/{name}:1", self.registry.address);
            run(&mut self.docker.command(&["pull", "--quiet", &image]))?;
        }
        Ok(())
    }

    fn sample(
        &self,
        name: &'static str,
        fixture: &str,
        dockerfile: &'static str,
        source: &'static str,
        manifest: &'static str,
    ) -> Result<Sample> {
        let dir = windlass_test_support::scratch("bench-sample");
        let from = windlass_test_support::fixture(fixture);
        run(Command::new("cp").arg("-r").arg(from.join(".")).arg(dir.path()))?;
        Ok(Sample { name, dir, dockerfile, source, manifest })
    }

    fn write_dockerfile(&self, dir: &Path, text: &str) -> Result<()> {
        let text = text.replace("REGISTRY", &self.registry.address);
        Ok(std::fs::write(dir.join("Dockerfile"), text)?)
    }

    /// How long each takes in each case; in turns, so that what else the machine does hits both.
    fn compare(&self, sample: &Sample) -> Result<Vec<Figure>> {
        let mut figures = Vec::new();
        for (case, what, bar) in CASES {
            let (mut ours, mut theirs, mut theirs_shared) = (Vec::new(), Vec::new(), Vec::new());
            let has_commands = case.has_commands();
            if case != Case::Cold {
                sample.change(case, BUILDS_OF_CASE)?;
                self.choose_cache(sample, case, 0)?;
                self.build(sample, case)?;
                self.build_with_peer(sample, case, PeerNetwork::Own)?;
            }
            let turns = if has_commands { 3 } else { 2 };
            for round in 0..ROUNDS {
                // Each begins a round as often: what one leaves to be done later is in the next one's way.
                for turn in 0..turns {
                    let whose = (round + turn) % turns;
                    // The peer has what it built before; what it builds twice is another build for it.
                    let variant = if whose == 2 { ROUNDS + round } else { round };
                    if has_commands {
                        self.warm_up(sample, case, 2 * ROUNDS + variant, whose)?;
                    }
                    sample.change(case, variant)?;
                    self.choose_cache(sample, case, variant)?;
                    settle_after(case)?;
                    match whose {
                        0 => {
                            let (took_ms, carried_out) = self.build(sample, case)?;
                            let is_unchanged = case == Case::Unchanged;
                            ensure!(!is_unchanged || carried_out == 0, "{carried_out} steps ran");
                            ours.push(took_ms);
                        }
                        1 => theirs.push(self.build_with_peer(sample, case, PeerNetwork::Own)?),
                        _ => {
                            let shared = PeerNetwork::Shared;
                            theirs_shared.push(self.build_with_peer(sample, case, shared)?);
                        }
                    }
                }
            }
            let (ours, theirs) = (median(ours), median(theirs));
            figures.push(Figure {
                what: format!("build, {}: {what}", sample.name),
                measured: ours / theirs,
                unit: "×",
                bar: Some(bar),
                note: format!("{ours:.0} ms to BuildKit's {theirs:.0} ms, medians of {ROUNDS}"),
            });
            if has_commands {
                let theirs = median(theirs_shared);
                figures.push(Figure {
                    what: "the same, to a BuildKit that isolates no network".to_owned(),
                    measured: ours / theirs,
                    unit: "×",
                    bar: None,
                    note: format!(
                        "BuildKit: {theirs:.0} ms with `--network host`, medians of {ROUNDS}; the host's build \
                         still has a network of its own"
                    ),
                });
            }
        }
        Ok(figures)
    }

    /// Another build of the same kind by the same side, which does not count: a machine that takes back what was idle
    /// for a while leaves each with what it read just now, the programs in its base among it.
    fn warm_up(&self, sample: &Sample, case: Case, variant: usize, whose: usize) -> Result<()> {
        sample.change(case, variant)?;
        self.choose_cache(sample, case, variant)?;
        match whose {
            0 => self.build(sample, case).map(drop),
            1 => self.build_with_peer(sample, case, PeerNetwork::Own).map(drop),
            _ => self.build_with_peer(sample, case, PeerNetwork::Shared).map(drop),
        }
    }

    /// How long it takes, and how many steps are carried out.
    fn build(&self, sample: &Sample, case: Case) -> Result<(f64, usize)> {
        let folder = sample.dir.path().to_string_lossy();
        let mut args = vec!["build", &folder, "--project", sample.name];
        args.extend((case == Case::Cold).then_some("--no-cache"));
        let began = Instant::now();
        let built = self.host.cli_json(&args).ok();
        let took_ms = ms_since(began);
        let steps = built.json::<Built>().steps;
        ensure!(!steps.is_empty(), "nothing was built");
        Ok((took_ms, steps.iter().filter(|step| !step.cached).count()))
    }

    /// Each cold build begins with cache mounts of its own. None is emptied for it: while many files are removed,
    /// and for minutes after, others are made more slowly on the same file system, whoever makes them.
    fn choose_cache(&self, sample: &Sample, case: Case, round: usize) -> Result<()> {
        let own = match case {
            Case::Cold => format!("type=cache,id={}-{round},", sample.name),
            _ => "type=cache,".to_owned(),
        };
        self.write_dockerfile(sample.dir.path(), &sample.dockerfile.replace("type=cache,", &own))
    }

    fn build_with_peer(&self, sample: &Sample, case: Case, network: PeerNetwork) -> Result<f64> {
        let mut command = self.docker.command(&["build", "--quiet"]);
        command.args((network == PeerNetwork::Shared).then_some("--network=host"));
        command.args(["--tag", sample.name]).args((case == Case::Cold).then_some("--no-cache"));
        let began = Instant::now();
        run(command.arg(sample.dir.path()))?;
        Ok(ms_since(began))
    }

    /// A commit of an application with many files, to its first answer.
    fn many_files(&self) -> Result<Vec<Figure>> {
        let repository = GitRepo::empty();
        for n in 0..FILES {
            let text = format!("the file {n} of many\n").repeat(8);
            repository.write(&format!("d{}/f{}.txt", n / 100, n % 100), &text);
        }
        repository.write("server.js", MANY_SERVER);
        self.write_dockerfile(repository.path(), MANY)?;
        repository.commit("many files");
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        let mut layers = 0;
        for round in 0..=ROUNDS {
            let text = format!("round {round}");
            repository.write("d0/f0.txt", &text);
            repository.commit(&text);
            settle()?;
            let began = Instant::now();
            self.host.deploy_git("many", &repository, &[]).live();
            let first = self.host.get("many.localhost", "/").text();
            let our_ms = ms_since(began);
            ensure!(first == text, "{first:?} was served instead of {text:?}");
            let their_ms = self.run_with_peer(repository.path(), &text)?;
            let now = self.host.layer_blobs();
            // The first brings the base and fills the caches.
            if round > 0 {
                ensure!(now <= layers, "a layer was written: {layers} layers, then {now}");
                ours.push(our_ms);
                theirs.push(their_ms);
            }
            layers = now;
        }
        let (ours, theirs) = (median(ours), median(theirs));
        Ok(vec![Figure {
            what: format!("{FILES} files, one changed: commit → first answer"),
            measured: ours / theirs,
            unit: "×",
            bar: Some(0.5),
            note: format!(
                "{ours:.0} ms to `docker build` and `docker run`'s {theirs:.0} ms, medians of {ROUNDS}; \
                 no layer is written"
            ),
        }])
    }

    fn run_with_peer(&self, folder: &Path, text: &str) -> Result<f64> {
        let address = windlass_test_support::host::free_address();
        let port = format!("PORT={}", address.port());
        settle()?;
        let began = Instant::now();
        let mut build = self.docker.command(&["build", "--quiet"]);
        run(build.args(["--tag", "many"]).arg(folder))?;
        run(&mut self.docker.command(&[
            "run",
            "--detach",
            "--rm",
            "--name",
            "many",
            "--network",
            "host",
            "--env",
            &port,
            "many",
        ]))?;
        let request = Request::get("localhost", "/");
        let answer = loop {
            if let Ok(answer) = http::send(address, &request) {
                break answer;
            }
            ensure!(began.elapsed() < Duration::from_secs(120), "the peer's container is silent");
            std::thread::park_timeout(Duration::from_millis(1));
        };
        let took_ms = ms_since(began);
        ensure!(answer.text() == text, "the peer serves {:?}", answer.text());
        run(&mut self.docker.command(&["kill", "many"]))?;
        Ok(took_ms)
    }

    /// What many builds add to the memory of the idle host.
    fn memory(&self, sample: &Sample) -> Result<Figure> {
        let mut before = 0.0;
        // The first tenth fills pools that stay.
        for round in 0..BUILDS + BUILDS / 10 {
            if round == BUILDS / 10 {
                before = settled_mb(self.host.serve_pid())?;
            }
            sample.change(Case::Source, 1000 + round)?;
            settle()?;
            self.build(sample, Case::Source)?;
        }
        let after = settled_mb(self.host.serve_pid())?;
        Ok(Figure {
            what: format!("memory that {BUILDS} builds leave in `serve`"),
            measured: after - before,
            unit: "MB",
            bar: Some(MEMORY_NOISE_MB),
            note: format!("resident: {before:.1} MB before, {after:.1} MB after"),
        })
    }
}

/// What `windlass build --json` tells of the steps.
#[derive(Deserialize)]
struct Built {
    steps: Vec<StepWhy>,
}

impl Sample {
    fn change(&self, case: Case, round: usize) -> Result<()> {
        let file = match case {
            Case::Cold | Case::Unchanged => return Ok(()),
            Case::Source => self.source,
            Case::Manifest => self.manifest,
        };
        let path = self.dir.path().join(file);
        let text = std::fs::read_to_string(&path)?;
        let changed = match file.rsplit_once('.') {
            Some((_, "json")) => {
                let at = text.find("\"version\": \"").context("no version")?;
                let (head, rest) = text.split_at(at + "\"version\": \"".len());
                let end = rest.find('"').context("no end of the version")?;
                format!("{head}1.0.{round}{}", &rest[end..])
            }
            Some((_, "js")) => format!("// round {round}\n{}", without_first(&text)),
            _ => format!("# round {round}\n{}", without_first(&text)),
        };
        Ok(std::fs::write(&path, changed)?)
    }
}

/// The text without the comment of an earlier round.
fn without_first(text: &str) -> &str {
    match text.split_once('\n') {
        Some((first, rest)) if first.contains(" round ") => rest,
        _ => text,
    }
}

/// The assembled base that holds this program.
fn archive_with(program: &str) -> Result<PathBuf> {
    for entry in std::fs::read_dir(windlass_test_support::bases_dir())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "zst") {
            let listed = Command::new("tar").arg("--zstd").arg("-tf").arg(&path).output()?;
            if String::from_utf8_lossy(&listed.stdout).lines().any(|line| line == program) {
                return Ok(path);
            }
        }
    }
    bail!("no assembled base holds {program}")
}

fn run(command: &mut Command) -> Result<()> {
    let output = CliOutput::of(command.stdin(Stdio::null()));
    ensure!(output.code == 0, "{command:?}: {}", output.stderr);
    Ok(())
}

/// What one side wrote is on the disk before the other one's time begins: a sync of the one must not wait for
/// what the other has left in memory.
fn settle() -> Result<()> {
    run(&mut Command::new("sync"))
}

/// The same, when a side has done what it does some time after a build: nobody waits for that, and it must not be in the
/// other one's way either.
fn settle_after(case: Case) -> Result<()> {
    if case.has_commands() {
        std::thread::sleep(AFTER_COMMANDS);
    }
    settle()
}

fn ms_since(began: Instant) -> f64 {
    began.elapsed().as_secs_f64() * 1e3
}
