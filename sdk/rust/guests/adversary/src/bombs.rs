//! What asks for too much: of time, of the stack, of handles, of the host's attention, of the log.

use windlass_sdk::images::{self, ImageError};
use windlass_sdk::{Detection, Evidence, NearMiss, PluginError, Source, log};

/// Those that any call can show; `None` for what is none of them.
pub(crate) fn act(how: &str) -> Option<Result<(), PluginError>> {
    match how {
        "overflow-stack" => {
            std::hint::black_box(deeper(1));
        }
        "hoard-handles" => hoard_handles(),
        "exit" => std::process::exit(0),
        "ask-forever" => ask_forever(),
        "log-forever" => loop {
            log::debug("");
        },
        "glob-bomb" => glob_bomb(),
        "many-globs" => many_globs(),
        "many-images" => many_images(),
        "many-paths" => {
            let paths: Vec<String> = (0..400_000).map(|n| format!("a/path/{n}")).collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            Source::root().prefetch(&paths);
        }
        "huge-read" => huge_read(),
        "huge-stderr-line" => huge_stderr_line(),
        "empty-lines" => log::info("\n".repeat(2 << 20)),
        "many-fields" => many_fields(),
        "long-log-line" => log::info("x".repeat(1 << 20)),
        _ => return None,
    }
    Some(Ok(()))
}

/// A list that is too long for one answer; the strings in it are short.
pub(crate) fn endless_evidence(found: Detection) -> Detection {
    let sign = Evidence::new("behave", "one of many");
    Detection { evidence: vec![sign; 300_000], ..found }
}

/// The same with what nearly matched.
pub(crate) fn near_misses(many: usize) -> Vec<NearMiss> {
    vec![NearMiss { id: "near".to_owned(), reason: "x".to_owned() }; many]
}

fn deeper(depth: u64) -> u64 {
    let here = std::hint::black_box([depth; 64]);
    // Never so, which only the reader knows.
    if here[63] == 0 { 0 } else { 1 + deeper(here[0] + 1) }
}

fn hoard_handles() {
    let mut held = Vec::new();
    loop {
        match std::fs::File::open("/src/behave") {
            Ok(file) => held.push(file),
            Err(error) => {
                log::warn(format!("no more after {}: {error}", held.len()));
                return;
            }
        }
    }
}

/// Each host call is short; there is no end of them.
fn ask_forever() -> ! {
    loop {
        let listed = Source::root().list(&["**/*"], 0, 0);
        drop(std::hint::black_box(listed));
    }
}

/// A pattern that is short to write and long to match.
fn glob_bomb() {
    let glob = format!("**/{}b", "*a*?".repeat(3_000));
    let listed = Source::root().list(&[&glob], 0, 0);
    log::info(format!("listed: {}", listed.is_ok()));
}

fn many_globs() {
    let globs: Vec<String> = (0..100_000).map(|n| format!("**/{n}*/?{n}*")).collect();
    let globs: Vec<&str> = globs.iter().map(String::as_str).collect();
    let listed = Source::root().list(&globs, 0, 0);
    log::info(format!("listed: {}", listed.is_ok()));
}

/// What a look-up takes is not the call's time.
fn many_images() {
    let look_up = || images::config("not/A Reference", "linux/amd64");
    let denied = (0..300).filter(|_| matches!(look_up(), Err(ImageError::Denied))).count();
    log::info(format!("denied: {denied}"));
}

fn huge_read() {
    use std::io::Read as _;
    let mut bytes = vec![0; 32 << 20];
    let read = std::fs::File::open("/src/behave").and_then(|mut file| file.read(&mut bytes));
    log::info(format!("read: {read:?}"));
}

fn huge_stderr_line() {
    use std::io::Write as _;
    let piece = [b'x'; 64 << 10];
    let mut stderr = std::io::stderr();
    for _ in 0..256 {
        if stderr.write_all(&piece).is_err() {
            return;
        }
    }
}

fn many_fields() {
    let fields = vec![("name".to_owned(), "value".to_owned()); 50_000];
    log::write(log::Level::Info, "fields", &fields);
}
