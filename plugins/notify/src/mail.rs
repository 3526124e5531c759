//! Mail: the message as RFC 5322 has it, and its way to a server, which is curl in a container of an image: a plugin has
//! no sockets.

use std::time::SystemTime;

use windlass_sdk::exec::{self, Command, ExecError, Exit, Reason};
use windlass_sdk::log;

use crate::account::Account;
use crate::delivery::Problem;
use crate::message::{Message, one_line};
use crate::options::Target;
use crate::target;

/// What runs in the container. Its head says what it takes, and what it says.
pub(crate) const SCRIPT: &str = include_str!("mail.sh");
/// For all that it does, in milliseconds; curl's own time ends before.
const TIMEOUT_MS: u32 = 90_000;
/// Above this the status of a command says by which signal it was ended.
const KILLED: u32 = 128;
/// Characters that are repeated of an answer.
const SAID_CHARS_MAX: usize = 200;
/// Of an encoded word in a header, without what stands around its text: RFC 2047 has 76 for the line.
const WORD_CHARS_MAX: usize = 52;
/// Of a line of the body, without the sign that it goes on: RFC 2045 has 76.
const LINE_CHARS_MAX: usize = 75;

const LOGIN: &str = "set the password with `windlass env set NOTIFY_NAME=VALUE --secret --scope run`, and look whether \
                     `user` is right; many servers want a password that was made for programs";
const CERTIFICATE: &str = "look whether `server` is the name that its certificate has; an authority of your own must be \
                           among those that the image trusts, and any image needs its `ca-certificates`";
const STARTTLS: &str = "use `smtps://` and its port (465) if the server has that; `starttls = false` sends unencrypted, \
                        which only suits a network of your own";
const ENCRYPTED: &str = "leave `starttls = false` out if the server wants STARTTLS first; if it wants a login, set `user` and \
                         `password_secret`";
const PEOPLE: &str =
    "look whether the server knows the receivers in `to`, and lets this login send as `from`";
const NETWORK: &str = "it is tried again; look whether `server` and its port are right, and if it is on this machine or in \
                       a private network whether `network.allow` names it";
const IMAGE: &str = "set `image` to one with /bin/sh, sed and curl that has SMTP; the page on plugins has the Dockerfile \
                     of one";

/// Sends the message to all receivers of a target.
///
/// # Errors
/// Why they were not told.
pub(crate) fn send(to: &Target, account: &Account, message: &Message<'_>) -> Result<(), Problem> {
    if !account.encrypted && account.login.is_some() {
        log::warn(format!("{to}: the password goes unencrypted, as `starttls = false` says"));
    }
    let text = compose(account, message, SystemTime::now());
    match exec::run(&command(account, text)) {
        Ok(exit) => taken(to, account, &exit),
        Err(error) => Err(not_run(to, account, error)),
    }
}

/// The message with its headers. Nothing in them was written by people but the subject, and that is one line.
pub(crate) fn compose(account: &Account, message: &Message<'_>, now: SystemTime) -> String {
    let subject = message.lines(SAID_CHARS_MAX).into_iter().next();
    let subject = header_text(&subject.map(|line| line.strong).unwrap_or_default());
    let (from, to) = (&account.from, account.to.join(",\r\n "));
    let date = httpdate::fmt_http_date(now).replace("GMT", "+0000");
    let (id, domain) = (target::id(message), account.domain());
    let body = quoted_printable(&target::plain(message));
    format!(
        "From: Windlass <{from}>\r\nTo: {to}\r\nSubject: {subject}\r\nDate: {date}\r\nMessage-ID: <{id}@{domain}>\r\n\
         Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Transfer-Encoding: quoted-printable\r\n\r\n{body}"
    )
}

/// One line for a header: as it is, or as encoded words of RFC 2047.
pub(crate) fn header_text(text: &str) -> String {
    let plain = |byte: u8| byte == b' ' || byte.is_ascii_graphic();
    if text.len() <= WORD_CHARS_MAX && text.bytes().all(plain) && !text.contains("=?") {
        return text.to_owned();
    }
    let mut words = vec![String::new()];
    for c in text.chars() {
        // A word never ends within a character.
        let piece: String = c.encode_utf8(&mut [0; 4]).bytes().map(in_word).collect();
        match words.last_mut().filter(|word| word.len() + piece.len() <= WORD_CHARS_MAX) {
            Some(word) => word.push_str(&piece),
            None => words.push(piece),
        }
    }
    words.iter().map(|word| format!("=?UTF-8?Q?{word}?=")).collect::<Vec<_>>().join("\r\n ")
}

fn in_word(byte: u8) -> String {
    match byte {
        b' ' => "_".to_owned(),
        _ if byte.is_ascii_alphanumeric() || b"!*+-/#.,".contains(&byte) => {
            char::from(byte).to_string()
        }
        _ => format!("={byte:02X}"),
    }
}

/// A text as quoted-printable (RFC 2045), whose lines end with CR and LF.
pub(crate) fn quoted_printable(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for line in text.lines() {
        let mut column = 0;
        let mut bytes = line.bytes().peekable();
        while let Some(byte) = bytes.next() {
            // Spaces at the end of a line get lost on the way.
            let kept = if byte == b' ' { bytes.peek().is_some() } else { byte.is_ascii_graphic() };
            let piece = match kept && byte != b'=' {
                true => char::from(byte).to_string(),
                false => format!("={byte:02X}"),
            };
            if column + piece.len() > LINE_CHARS_MAX {
                written.push_str("=\r\n");
                column = 0;
            }
            column += piece.len();
            written.push_str(&piece);
        }
        written.push_str("\r\n");
    }
    written
}

fn command(account: &Account, text: String) -> Command {
    let login = account.login.as_ref();
    let variable = login.map_or("", |login| login.password.as_str());
    let user = login.map(|login| login.user.replace('\\', "\\\\").replace('"', "\\\""));
    let user = user.unwrap_or_default();
    let words = ["/bin/sh", "-c", SCRIPT, "sh", variable, user.as_str()];
    let mut argv = words.map(str::to_owned).to_vec();
    // The path is the name by which curl greets the server: that of a container is none.
    argv.extend(["--url".to_owned(), format!("{}/{}", account.server, account.domain())]);
    if account.encrypted {
        argv.push("--ssl-reqd".to_owned());
    }
    argv.extend(["--mail-from".to_owned(), account.from.clone()]);
    argv.extend(account.to.iter().flat_map(|to| ["--mail-rcpt".to_owned(), to.clone()]));
    let command = Command::in_image(&account.image, argv)
        .stdin(text)
        .env("LC_ALL", "C")
        .timeout_ms(TIMEOUT_MS)
        .quiet();
    match login {
        Some(login) => command.variable(&login.password),
        None => command,
    }
}

/// What the script said.
struct Said {
    /// Status of curl.
    ended: Option<u32>,
    /// The server's last status; 0 without an answer.
    code: u32,
    /// The server's words with that status.
    answer: String,
    /// Curl's.
    curl: String,
}

impl Said {
    fn of(text: &str) -> Self {
        let last = |word: &str| text.lines().rev().find_map(|line| line.strip_prefix(word));
        let number = |word: &str| last(word).and_then(|number| number.trim().parse().ok());
        let code: u32 = number("code ").unwrap_or_default();
        let answer = last(&format!("< {code}")).unwrap_or_default();
        Self {
            ended: number("ended "),
            code,
            answer: one_line(&format!("{code}{answer}"), SAID_CHARS_MAX),
            curl: one_line(last("curl: ").unwrap_or("curl said nothing"), SAID_CHARS_MAX),
        }
    }
}

fn taken(to: &Target, account: &Account, exit: &Exit) -> Result<(), Problem> {
    let image = &account.image;
    if exit.out_of_memory {
        let what = format!("{to} was not told: curl in {image} had too little memory");
        let fix = "raise `run.memory`, which is also the limit of commands of stages";
        return Err(Problem::new(what, fix));
    }
    if exit.timed_out {
        return Err(Problem::passing(format!("{to} was not told: the server took too long")));
    }
    let Said { ended, code, answer, curl } = Said::of(&exit.stdout());
    let answered = || format!("{to} was not told: the server answered {answer}");
    let failed = || format!("{to} was not told: {curl}");
    let unfit = |why: &str| {
        Problem::new(format!("{to} was not told: the image {image} cannot be used: {why}"), IMAGE)
    };
    let Some(ended) = ended else {
        let why = exit.stderr();
        if why.trim().is_empty() && exit.code > KILLED {
            let what = format!(
                "{to} was not told: the command in {image} was ended before it said anything"
            );
            return Err(Problem::passing(what));
        }
        return Err(unfit(&one_line(why.lines().last().unwrap_or_default(), SAID_CHARS_MAX)));
    };
    // The numbers of curl: https://curl.se/libcurl/c/libcurl-errors.html
    Err(match (ended, code) {
        (0, _) => return Ok(()),
        (_, 400..=499) => Problem::passing(answered()),
        (67, 500..=599) => Problem::new(answered(), LOGIN),
        (64, 500..=599) => Problem::new(answered(), STARTTLS),
        (67, _) => Problem::new(failed(), LOGIN),
        (64, _) => Problem::new(failed(), STARTTLS),
        // "Must issue a STARTTLS command first" has the same status as "Authentication required".
        (_, 530) if !account.encrypted => Problem::new(answered(), ENCRYPTED),
        (_, 530 | 534 | 535 | 538) => Problem::new(answered(), LOGIN),
        (_, 500..=599) => Problem::new(answered(), PEOPLE),
        (35, _) => Problem::new(
            failed(),
            "look whether port and address belong together: `smtps://` for 465, `smtp://` for 587 and 25",
        ),
        (51 | 60 | 77 | 82 | 83 | 90 | 91, _) => Problem::new(failed(), CERTIFICATE),
        (6 | 7 | 28, _) => Problem::passing(failed()).with_fix(NETWORK),
        (8 | 9 | 16 | 18 | 52 | 55 | 56, _) => Problem::passing(failed()),
        (126 | 127, _) => unfit("it has no curl"),
        (1 | 2 | 4 | 26 | 48, _) => unfit(&curl),
        _ => Problem::new(failed(), "look at the number before the words: it is curl's"),
    })
}

fn not_run(to: &Target, account: &Account, error: ExecError) -> Problem {
    let image = &account.image;
    let what = format!("{to} was not told, by curl in {image}: {}", error.message);
    match error.reason {
        Reason::Denied => Problem::new(
            what,
            format!(
                "set the password with `windlass env set NOTIFY_NAME=VALUE --secret --scope run`, and grant the image \
                 and the secret beside what other targets need: windlass plugin grant notify \
                 '[{{\"name\": \"exec\", \"outputs\": [\"image:{image}\"]}}, \
                 {{\"name\": \"secrets\", \"names\": [\"NOTIFY_*\"]}}, \
                 {{\"name\": \"cache\", \"bytes_max\": 4194304}}]'"
            ),
        ),
        Reason::NotFound => Problem::new(
            what,
            "correct `image`, or push one of your own to a registry that this machine reaches; the page on plugins has \
             its Dockerfile",
        ),
        Reason::NotStarted => Problem::new(what, IMAGE),
        Reason::OverLimit => Problem::passing(what),
        Reason::HostFailed => Problem::passing(what)
            .with_fix("it is tried again; look at what the message says of the registry"),
    }
}
