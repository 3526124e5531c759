//! One page, seen by a browser in a container of its own: a [script](SCRIPT) there speaks to it.

use serde_json::json;
use windlass_sdk::PluginError;
use windlass_sdk::exec::{self, Command, ExecError, Exit, Reason};

use crate::options::Options;
use crate::{Place, not_granted};

/// What runs in the container. Its head says what it takes, and what its status means.
pub(crate) const SCRIPT: &str = include_str!("shot.sh");
/// What a host gives back of a command, unless its operator has set less.
pub(crate) const PICTURE_BYTES_MAX: u32 = 2 << 20;
/// Of a picture of a whole page, in pixels.
const HEIGHT_MAX: u32 = 10_000;
/// For all that the script does, without the pause that is set.
const TIMEOUT_MS: u32 = 240_000;
/// As it has to be in a container without privileges; the container is what keeps it apart.
const FLAGS: [&str; 8] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--mute-audio",
];

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
const JPEG: &[u8] = b"\xff\xd8\xff";

/// A picture of a page.
#[derive(Debug)]
pub(crate) struct Shot {
    /// PNG, or JPEG where that would be too large.
    pub(crate) bytes: Vec<u8>,
    /// Of the page, as far as it is known.
    pub(crate) status: Option<u16>,
    /// What is worth saying.
    pub(crate) notes: Vec<String>,
}

impl Shot {
    pub(crate) fn ending(&self) -> &'static str {
        if self.bytes.starts_with(PNG) { "png" } else { "jpg" }
    }

    pub(crate) fn media_type(&self) -> &'static str {
        if self.bytes.starts_with(PNG) { "image/png" } else { "image/jpeg" }
    }
}

/// Takes the picture of the page at a path.
pub(crate) fn take(options: &Options, place: &Place, path: &str) -> Result<Shot, PluginError> {
    let url = format!("{}{path}", place.base);
    match exec::run(&command(options, place, &url)) {
        Ok(exit) => shot(exit, options, &url),
        Err(error) => Err(not_run(error, options)),
    }
}

fn command(options: &Options, place: &Place, url: &str) -> Command {
    let headers = match place.secure {
        // As the proxy says it: else an application that insists on TLS leads away from itself.
        true => json!({ "headers": { "X-Forwarded-Proto": "https" } }),
        false => json!({ "headers": {} }),
    };
    let window = json!({
        "width": options.width, "height": options.height, "deviceScaleFactor": 1, "mobile": false,
    });
    let seconds = format!("{}.{:03}", options.wait_ms / 1_000, options.wait_ms % 1_000);
    let whole = if options.full_page { HEIGHT_MAX } else { 0 };
    let mut argv = vec!["/bin/sh".to_owned(), "-c".to_owned(), SCRIPT.to_owned(), "sh".to_owned()];
    argv.extend([PICTURE_BYTES_MAX.to_string(), seconds, whole.to_string()]);
    argv.extend([headers, window, json!({ "url": url })].map(|message| message.to_string()));
    argv.extend(FLAGS.map(str::to_owned));
    if let Some((host, address)) = &place.leads {
        argv.push(format!("--host-resolver-rules=MAP {host}:80 {address}"));
    }
    Command::in_image(&options.image, argv)
        .timeout_ms(TIMEOUT_MS + options.wait_ms)
        .tail_bytes_max(PICTURE_BYTES_MAX)
        .quiet()
}

fn shot(exit: Exit, options: &Options, url: &str) -> Result<Shot, PluginError> {
    let text = exit.stderr();
    let last = text.lines().last().unwrap_or_default();
    let image = &options.image;
    let fail = |code: &str, what: String| PluginError::new(code, what);
    if exit.out_of_memory {
        let what = format!("the browser in {image} had too little memory for {url}");
        return Err(fail("screenshot.browser-failed", what)
            .hint("raise `run.memory`, which is also the limit of commands of stages"));
    }
    if exit.timed_out {
        let what = format!("the browser in {image} took too long for {url}");
        return Err(fail("screenshot.browser-failed", what).retryable());
    }
    match exit.code {
        0 => {}
        69 => return Err(unfit(options, last)),
        71 => {
            return Err(fail("screenshot.page-unreachable", format!("{url}: {last}"))
                .hint(hint_for(last))
                .retryable());
        }
        72 => return Err(too_large(format!("{url}: {last}"))),
        code => {
            let words = text.lines().rev().take(5).collect::<Vec<_>>();
            let words = words.into_iter().rev().collect::<Vec<_>>().join("; ");
            let what = format!("the browser in {image} ended with {code} at {url}: {words}");
            return Err(fail("screenshot.browser-failed", what)
                .hint("try the image with another tag, or one of your own")
                .retryable());
        }
    }
    if exit.stdout_bytes > exit.stdout_tail.len() as u64 {
        let (there, back) = (exit.stdout_bytes, exit.stdout_tail.len());
        return Err(too_large(format!(
            "{url}: the picture has {there} bytes, and {back} came back"
        )));
    }
    if !exit.stdout_tail.starts_with(PNG) && !exit.stdout_tail.starts_with(JPEG) {
        let what = format!("what the browser in {image} wrote of {url} is no picture");
        return Err(fail("screenshot.browser-failed", what).retryable());
    }
    let said = |word: &'static str| text.lines().filter_map(move |line| line.strip_prefix(word));
    let status = said("status ").find_map(|status| status.trim().parse().ok());
    let notes = said("note ").map(str::to_owned).collect();
    Ok(Shot { bytes: exit.stdout_tail, status, notes })
}

/// What to do about a page that is not loaded, from the browser's word for it.
fn hint_for(error: &str) -> String {
    let has = |word: &str| error.contains(word);
    if has("ERR_NAME_NOT_RESOLVED") || has("ERR_SSL") || has("ERR_CERT") {
        return "the page leads to another address or insists on TLS: set `host = \"\"` in the stage's options, so that \
                the instance is asked without a name, or `url`"
            .to_owned();
    }
    "look whether the application answers at this path, and at `windlass logs` what it says of the request".to_owned()
}

fn too_large(what: String) -> PluginError {
    PluginError::new("screenshot.too-large", what).hint(
        "take a smaller window, leave `full_page` out, or raise `stages.exec_tail_bytes_max` in the limits file",
    )
}

fn unfit(options: &Options, why: &str) -> PluginError {
    let what = format!("the image {} cannot be used: {why}", options.image);
    PluginError::new("screenshot.image-unfit", what).hint(
        "set `image` to one with /bin/sh, the usual small programs and Chromium; the page on plugins has the \
         Dockerfile of one",
    )
}

fn not_run(error: ExecError, options: &Options) -> PluginError {
    let image = &options.image;
    let what = format!("no browser could be run in {image}: {}", error.message);
    match error.reason {
        Reason::Denied => not_granted(
            what,
            format!(
                "windlass plugin grant screenshot '[{{\"name\": \"exec\", \"outputs\": [\"image:{image}\"]}}, \
                 {{\"name\": \"artifacts\", \"bytes_max\": 33554432}}]'"
            ),
        ),
        Reason::NotFound => PluginError::new("screenshot.no-image", what).hint(
            "correct `image` in the stage's options, or push an image of your own to a registry that this machine \
             reaches",
        ),
        Reason::NotStarted => unfit(options, &error.message),
        Reason::OverLimit => PluginError::new("screenshot.browser-failed", what),
        Reason::HostFailed => PluginError::new("screenshot.no-image", what)
            .hint("look at what the message says of the registry; it is tried again")
            .retryable(),
    }
}
