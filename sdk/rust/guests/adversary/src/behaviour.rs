//! The behaviours, by name.

use std::time::{Duration, Instant, SystemTime};

use windlass_sdk::{DetectReport, Detection, PluginError, Source, log};

use crate::{bombs, reaching};

/// What the source asks of a call, if it has the file at all.
pub(crate) fn of(source: &Source, call: &str) -> Result<Option<String>, PluginError> {
    let Some(text) = source.text("behave")? else {
        return Ok(None);
    };
    let line = text.lines().find_map(|line| match line.trim().split_once('=') {
        Some((name, how)) => (name.trim() == call).then(|| how.trim().to_owned()),
        None => (call == "detect").then(|| line.trim().to_owned()),
    });
    Ok(Some(line.unwrap_or_default()))
}

/// Those that any call can show.
pub(crate) fn act(how: &str) -> Result<(), PluginError> {
    match how {
        "loop" => endless(),
        "eat-memory" => eat_memory(),
        "trap" => std::process::abort(),
        "panic" => std::panic::panic_any("as asked"),
        "sleep-in-hostcall" => {
            std::thread::sleep(Duration::from_secs(3_600));
            Ok(())
        }
        "log-flood" => {
            for line in 0..100_000 {
                log::info(format!("line {line} of a flood that nobody asked for"));
            }
            Ok(())
        }
        "huge-log-line" => {
            log::info("x".repeat(64 << 20));
            Ok(())
        }
        "stdout-flood" => stdout_flood(),
        "refuse" => {
            Err(PluginError::new("test.refused", "refused as asked").hint("ask for something else"))
        }
        "refuse-for-now" => Err(PluginError::new("test.busy", "not now, as asked").retryable()),
        "refuse-with-escapes" => {
            let message = format!("{ESCAPES}refused");
            Err(PluginError::new("test.refused", message).hint(format!("{ESCAPES}ask again")))
        }
        "refuse-at-length" => {
            let long = "x".repeat(1 << 20);
            Err(PluginError::new("test.refused", &long).hint(&long))
        }
        "refuse-with-a-long-code" => Err(PluginError::new("x".repeat(1 << 20), "refused")),
        other => bombs::act(other).unwrap_or(Ok(())),
    }
}

/// Clears the screen, sets the title and the clipboard, and goes back to the line's start.
const ESCAPES: &str = "\u{1b}[2J\u{1b}]0;owned\u{7}\u{1b}]52;c;b3duZWQ=\u{7}\u{9b}31m\r";

fn endless() -> ! {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

fn eat_memory() -> ! {
    let mut eaten: Vec<Vec<u8>> = Vec::new();
    loop {
        eaten.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}

fn stdout_flood() -> Result<(), PluginError> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout();
    for line in 0..50_000 {
        let written = writeln!(stdout, "line {line} on standard output");
        if written.is_err() {
            break;
        }
    }
    Ok(())
}

/// Those of `detect` alone; everything else is [`act`]'s.
pub(crate) fn detect(
    how: &str,
    found: Detection,
    source: &Source,
) -> Result<DetectReport, PluginError> {
    let found = match how {
        "huge-answer" => found.with_notes(&"x".repeat(64 << 20)),
        "too-sure" => Detection { confidence: 200, ..found },
        "no-id" => Detection { id: String::new(), ..found },
        "recognised-only" => {
            let why = PluginError::new("test.unsupported", "recognised, and not supported");
            found.refuse(why.hint("use something else"))
        }
        "wrong-folder" => found.app_dir("../../etc"),
        "long-folder" => found.app_dir("../".repeat(300_000)),
        "endless-evidence" => bombs::endless_evidence(found),
        "many-detections" => {
            let detections = vec![found; 1_000];
            return Ok(DetectReport { detections, near_misses: Vec::new() });
        }
        "many-near-misses" => {
            let near_misses = bombs::near_misses(20_000);
            return Ok(DetectReport { detections: vec![found], near_misses });
        }
        "escapes" => escapes(found),
        "paths" => reaching::paths(found),
        "changes" => reaching::changes(found),
        "sockets" => reaching::sockets(found),
        "environment" => reaching::environment(found),
        "race" => reaching::race(found),
        "look-around" => look_around(found),
        "read-around" => read_around(found, source),
        "list" => {
            let files = source.files(&[])?;
            files.into_iter().fold(found, |found, path| found.evidence(path, "listed"))
        }
        "time-and-chance" => time_and_chance(found),
        "say" => {
            log::warn("a warning");
            println_both();
            found
        }
        other => {
            act(other)?;
            found
        }
    };
    Ok(found.into())
}

/// Says everything that a person may get to read with escapes in it.
fn escapes(found: Detection) -> Detection {
    use std::io::Write as _;
    log::warn(format!("{ESCAPES}a warning"));
    let said = writeln!(std::io::stderr(), "{ESCAPES}on standard error");
    let name = format!("{ESCAPES}Test guest, said: {}", said.is_ok());
    let ecosystem = format!("{ESCAPES}test");
    Detection { name, ecosystem, ..found }
        .toolchain(format!("{ESCAPES}node"), ESCAPES)
        .evidence(format!("{ESCAPES}file"), format!("{ESCAPES}detail"))
}

fn println_both() {
    use std::io::Write as _;
    let out = writeln!(std::io::stdout(), "on standard output");
    let err = writeln!(std::io::stderr(), "on standard error");
    if out.is_err() || err.is_err() {
        log::warn("the standard streams are closed");
    }
}

/// What WASI shows of the machine. Evidence is `name` and what was seen.
fn look_around(found: Detection) -> Detection {
    let seen = |result: std::io::Result<String>| match result {
        Ok(text) => format!("seen: {text}"),
        Err(_) => "denied".to_owned(),
    };
    let arguments = std::env::args().count().to_string();
    let variables = std::env::vars().count().to_string();
    let passwd = std::fs::read_to_string("/etc/passwd");
    let parent = std::fs::read_to_string("/src/../etc/passwd");
    let behave = std::fs::read_to_string("/src/behave").map(|text| text.trim().to_owned());
    let written = std::fs::write("/src/written", "x").map(|()| "written".to_owned());
    let removed = std::fs::remove_file("/src/behave").map(|()| "removed".to_owned());
    let link = std::fs::read_to_string("/src/link-out");
    let connected = std::net::TcpStream::connect("127.0.0.1:1").map(|_| "connected".to_owned());
    let listening = std::net::TcpListener::bind("127.0.0.1:0").map(|_| "bound".to_owned());
    let mut stdin = String::new();
    let input = std::io::stdin().read_line(&mut stdin).map(|bytes| format!("{bytes} bytes"));
    found
        .evidence("arguments", arguments)
        .evidence("variables", variables)
        .evidence("/etc/passwd", seen(passwd))
        .evidence("/src/../etc/passwd", seen(parent))
        .evidence("/src/behave", seen(behave))
        .evidence("write", seen(written))
        .evidence("remove", seen(removed))
        .evidence("link-out", seen(link))
        .evidence("connect", seen(connected))
        .evidence("listen", seen(listening))
        .evidence("stdin", seen(input))
}

/// What the batch interface shows of paths that it must not, or cannot, read.
fn read_around(found: Detection, source: &Source) -> Detection {
    const PATHS: [&str; 9] = [
        "/etc/passwd",
        "../outside",
        "a/../../outside",
        "link-out",
        "link-in",
        "fifo",
        "folder",
        "absent",
        "behave",
    ];
    PATHS.into_iter().fold(found, |found, path| {
        let seen = match source.read(path) {
            Ok(bytes) => format!("{} bytes", bytes.len()),
            Err(error) => format!("{error:?}"),
        };
        found.evidence(path, seen)
    })
}

/// Clocks and random numbers: the same in every call, because answers are cached.
fn time_and_chance(found: Detection) -> Detection {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let started = Instant::now();
    let passed = started.elapsed();
    let state = std::hash::RandomState::new();
    let chance = std::hash::BuildHasher::hash_one(&state, 1);
    found
        .evidence("wall", format!("{wall:?}"))
        .evidence("passed", format!("{passed:?}"))
        .evidence("chance", chance.to_string())
}
