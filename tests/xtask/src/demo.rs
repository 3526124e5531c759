//! `demo`: the whole of Windlass in one command, on this machine, in a folder of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::build::{self, Profile};
use crate::process::{self, root, target_dir};
use crate::setup;

const PROJECT: &str = "demo";
const GREETING: &str = "Hello from Windlass";

/// Builds, starts, deploys, prints; `once` checks the application and stops everything again.
pub(crate) fn run(once: bool) -> Result<()> {
    setup::for_running()?;
    println!("building Windlass and its plugins (the first time takes some minutes) …");
    let binary = build::all(Profile::Release)?;
    let folder = target_dir().join("demo");
    let interrupted = catch_interrupts()?;
    let demo = Demo::new(binary, folder)?;
    let outcome = demo.play(once, &interrupted);
    let cleared = demo.clear();
    outcome.and(cleared)?;
    println!("\nEverything of the demo is torn down, its data too.");
    Ok(())
}

struct Demo {
    binary: PathBuf,
    data: PathBuf,
    repository: PathBuf,
    api: u16,
    proxy: u16,
}

impl Demo {
    fn new(binary: PathBuf, folder: PathBuf) -> Result<Self> {
        let data = folder.join("data");
        let demo = Self {
            binary,
            repository: folder.join("express"),
            api: free_port(&[7070])?,
            proxy: free_port(&[8080, 8000])?,
            data,
        };
        // An earlier demo that was killed may have left its containers.
        if demo.data.exists() {
            demo.clear()?;
        }
        std::fs::create_dir_all(&demo.data)?;
        Ok(demo)
    }

    fn play(&self, once: bool, interrupted: &AtomicBool) -> Result<()> {
        sample_repository(&self.repository)?;
        let mut serve = self.serve()?;
        let played = self.deploy().and_then(|()| {
            let url = format!("http://127.0.0.1:{}", self.proxy);
            check(self.proxy)?;
            if once {
                println!(
                    "\nThe sample application went live at {url} and was checked; now it ends."
                );
                return Ok(());
            }
            self.say(&url);
            wait_for(interrupted, &mut serve)
        });
        // Ctrl-C reaches `serve` too; it may be gone already.
        let _ = Command::new("kill").arg(serve.id().to_string()).stderr(Stdio::null()).status();
        serve.wait().context("waiting for windlass serve")?;
        played
    }

    fn serve(&self) -> Result<Child> {
        let log = std::fs::File::create(self.data.join("serve.log"))?;
        let mut child = Command::new(&self.binary)
            .arg("serve")
            .args(["--api-listen", &format!("127.0.0.1:{}", self.api)])
            .args(["--proxy-listen", &format!("0.0.0.0:{}", self.proxy)])
            .arg("--base-cache-dir")
            .arg(target_dir().join("bases"))
            .env("WINDLASS_DATA_DIR", &self.data)
            .stderr(log)
            .spawn()
            .context("starting windlass serve")?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while !ready(self.api) {
            if let Some(status) = child.try_wait()? {
                bail!("windlass serve ended: {status}\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("windlass serve was not ready within a minute\n{}", self.log());
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
        Ok(child)
    }

    fn deploy(&self) -> Result<()> {
        let cli = |args: &[&str]| process::run(self.cli().args(args));
        cli(&["project", "create", PROJECT])?;
        cli(&["domain", "add", "*", "--project", PROJECT])?;
        let repository = format!("file://{}", self.repository.display());
        println!("\n$ windlass deploy {repository}");
        cli(&["deploy", &repository, "--project", PROJECT])
    }

    fn cli(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .env("WINDLASS_URL", format!("http://127.0.0.1:{}", self.api))
            .env("WINDLASS_DATA_DIR", &self.data);
        command
    }

    fn say(&self, url: &str) {
        println!("\nThe sample application is live:\n\n  {url}\n");
        println!("Try next, in another terminal:\n");
        println!("  export WINDLASS_URL=http://127.0.0.1:{}", self.api);
        println!("  export WINDLASS_DATA_DIR={}", self.data.display());
        println!("  {} logs -f --project {PROJECT}\n", self.binary.display());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.data.join("serve.log")).unwrap_or_default()
    }

    /// Stops everything of the demo and removes its folder.
    fn clear(&self) -> Result<()> {
        // It would say that the data stays.
        process::output(self.cli().args(["teardown", "--yes"]))?;
        std::fs::remove_dir_all(&self.data).context("removing the demo's data")
    }
}

/// A Git repository with the sample application.
fn sample_repository(folder: &Path) -> Result<()> {
    if folder.exists() {
        std::fs::remove_dir_all(folder)?;
    }
    std::fs::create_dir_all(folder)?;
    let sample = root().join("tests/fixtures/express");
    for file in ["package.json", "package-lock.json", "server.js"] {
        std::fs::copy(sample.join(file), folder.join(file)).context(file)?;
    }
    let git = |args: &[&str]| {
        process::output(
            Command::new("git")
                .args(["-c", "user.name=Windlass demo", "-c", "user.email=demo@localhost"])
                .args(args)
                .current_dir(folder),
        )
    };
    git(&["init", "--quiet", "--initial-branch=main"])?;
    git(&["add", "."])?;
    git(&["commit", "--quiet", "--message", "A sample Express application"])?;
    Ok(())
}

/// Asks the application, through the proxy, for its page.
fn check(port: u16) -> Result<()> {
    let (status, body) = get(port, "/").context("asking the application for its page")?;
    if status != 200 || !body.contains(GREETING) {
        bail!("the application answered {status}: {body}");
    }
    println!("\n200 {}", body.trim());
    Ok(())
}

fn ready(port: u16) -> bool {
    get(port, "/readyz").is_ok_and(|(status, _)| status == 200)
}

fn get(port: u16, path: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    reader.read_line(&mut head)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let rest: Vec<String> = reader.lines().collect::<std::io::Result<_>>()?;
    let body = rest.iter().skip_while(|line| !line.is_empty()).skip(1).cloned();
    Ok((status.context("no HTTP answer")?, body.collect::<Vec<_>>().join("\n")))
}

/// The first of the wanted ports that is free, else any.
fn free_port(wanted: &[u16]) -> Result<u16> {
    let free = |port: u16| TcpListener::bind(("0.0.0.0", port)).ok();
    let listener = wanted.iter().find_map(|port| free(*port)).or_else(|| free(0));
    Ok(listener.context("no port is free")?.local_addr()?.port())
}

/// Interrupts are caught from the first thing that is started on, so that this process outlives them and
/// cleans up. What it has started gets them too, and ends.
fn catch_interrupts() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, interrupted.clone())?;
    }
    Ok(interrupted)
}

/// The demo goes on until Ctrl-C, which the terminal sends to `serve` as well.
fn wait_for(interrupted: &AtomicBool, serve: &mut Child) -> Result<()> {
    println!("Press Ctrl-C to stop and remove the demo.");
    while !interrupted.load(Ordering::Relaxed) && serve.try_wait()?.is_none() {
        std::thread::park_timeout(Duration::from_millis(200));
    }
    Ok(())
}
