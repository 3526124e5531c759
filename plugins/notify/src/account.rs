//! Mail as it is set for a target: which server takes it, from whom, and to whom.

use crate::options::{Wrong, variable};

/// An image with curl, on Alpine.
const IMAGE: &str = "docker.io/curlimages/curl:latest";
/// Receivers of one target.
const RECEIVERS_MAX: usize = 50;
/// Ports of a server that names none: submission with STARTTLS, and with TLS from the beginning (RFC 8314).
const PORTS: [u16; 2] = [587, 465];
const FIX: &str = "a target of mail has `server = \"smtp://mail.example.com:587\"`, `from = \"deploys@example.com\"` \
                   and `to = [\"team@example.com\"]`; where the server wants a login, also `user` and \
                   `password_secret = \"NOTIFY_MAIL\"`";

/// What is written for mail alone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) server: Option<String>,
    pub(crate) starttls: Option<bool>,
    pub(crate) from: Option<String>,
    pub(crate) to: Option<Vec<String>>,
    pub(crate) user: Option<String>,
    pub(crate) password_secret: Option<String>,
    pub(crate) image: Option<String>,
}

/// The same, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// `smtp://mail.example.com:587`, with a port and nothing behind it.
    pub(crate) server: String,
    /// Whether nothing is sent that somebody on the way can read.
    pub(crate) encrypted: bool,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) login: Option<Login>,
    /// Where curl is.
    pub(crate) image: String,
}

/// Who sends, for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Login {
    pub(crate) user: String,
    /// Variable with the password.
    pub(crate) password: String,
}

impl Account {
    /// The part of the sender's address behind the `@`.
    pub(crate) fn domain(&self) -> &str {
        self.from.rsplit_once('@').map_or("", |(_, domain)| domain)
    }
}

impl Written {
    /// # Errors
    /// What is missing, or cannot be used.
    pub(crate) fn checked(self) -> Result<Account, Wrong> {
        let missing = |name: &str| Wrong(format!("`{name}` is missing"), FIX);
        let (server, implicit) = server(&self.server.ok_or_else(|| missing("server"))?)?;
        if implicit && self.starttls.is_some() {
            let why = "`starttls` is of `smtp://`, and `smtps://` has TLS from the beginning";
            return Err(Wrong(why.to_owned(), "remove it"));
        }
        let from = mailbox(self.from.ok_or_else(|| missing("from"))?)?;
        let to = self.to.ok_or_else(|| missing("to"))?;
        if to.is_empty() || to.len() > RECEIVERS_MAX {
            let why = format!("`to` names {}, and 1 to {RECEIVERS_MAX} are told", to.len());
            return Err(Wrong(why, FIX));
        }
        let to = to.into_iter().map(mailbox).collect::<Result<_, _>>()?;
        let login = match (self.user, self.password_secret) {
            (None, None) => None,
            (Some(user), Some(password)) => {
                Some(Login { user: checked_user(user)?, password: variable(&password)? })
            }
            _ => {
                let why = "a login has both `user` and `password_secret`".to_owned();
                return Err(Wrong(why, "set the other one too, or remove this one"));
            }
        };
        let image = self.image.unwrap_or_else(|| IMAGE.to_owned());
        if image.is_empty() || image.len() > 200 || !image.chars().all(|c| c.is_ascii_graphic()) {
            let why = format!("`image` is {image:?}, which is no name of an image");
            return Err(Wrong(why, "name one that has curl, or leave it out"));
        }
        let encrypted = implicit || self.starttls.unwrap_or(true);
        Ok(Account { server, encrypted, from, to, login, image })
    }
}

/// Address of a server with its port, and whether TLS begins with the connection.
fn server(url: &str) -> Result<(String, bool), Wrong> {
    let wrong = || {
        let why = format!("`server` is {url:?}, which is no address of a mail server");
        Wrong(why, "write it as `smtp://mail.example.com:587` or `smtps://mail.example.com:465`")
    };
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    let implicit = match scheme {
        "smtp" => false,
        "smtps" => true,
        _ => return Err(wrong()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.split_once(':') {
        Some((host, port)) => (host, port.parse::<u16>().ok().filter(|port| *port > 0)),
        None => (rest, Some(PORTS[usize::from(implicit)])),
    };
    let port = port.ok_or_else(wrong)?;
    if !is_host(host) {
        return Err(wrong());
    }
    Ok((format!("{scheme}://{host}:{port}"), implicit))
}

/// An address as a command and a header can hold it without quotes: a dot-atom of RFC 5322, an `@` and a host name.
fn mailbox(address: String) -> Result<String, Wrong> {
    let atom = |part: &str| {
        let letter =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
        !part.is_empty() && part.bytes().all(letter)
    };
    let (local, domain) = address.rsplit_once('@').unwrap_or_default();
    let fits = local.len() <= 64 && address.len() <= 254;
    if !fits || !local.split('.').all(atom) || !is_host(domain) {
        let why = format!("{address:?} is no address of mail");
        return Err(Wrong(
            why,
            "write it as `name@example.com`, without a name before it, quotes or spaces",
        ));
    }
    Ok(address)
}

fn is_host(name: &str) -> bool {
    let label = |label: &str| {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(letter)
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// A name that a colon does not end, and a line end does not break.
fn checked_user(user: String) -> Result<String, Wrong> {
    if user.is_empty()
        || user.len() > 200
        || user.contains(':')
        || user.chars().any(char::is_control)
    {
        let why = format!("`user` is {user:?}, which is no name for a login");
        return Err(Wrong(why, "write the name alone; the password is in `password_secret`"));
    }
    Ok(user)
}
