//! Who is told, and when.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use windlass_sdk::{Context, PluginError};

use crate::account::{self, Account};
use crate::message::Ending;

/// Targets of one stage.
const TARGETS_MAX: usize = 20;
/// What the names of the variables begin with that the plugin asks for in its manifest.
const SECRETS: &str = "NOTIFY_";

/// What is set for the stage, checked.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) targets: Vec<Target>,
}

/// One who is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) place: Place,
    when: Vec<When>,
}

/// Where a message goes, with what the target needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Web(Web),
    Mail(Account),
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Web {
    Slack(Address),
    Discord(Address),
    Mattermost(Address),
    Webhook {
        address: Address,
        /// Variable with a bearer token.
        token: Option<String>,
    },
    Matrix {
        /// Without a slash at its end.
        homeserver: String,
        room: String,
        /// Variable with the access token.
        token: String,
    },
}

/// The address of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// The variable that holds it.
    Secret(String),
    Open(String),
}

/// After which ends a target is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum When {
    Always,
    Success,
    Failure,
    Recovered,
}

impl When {
    fn fits(self, ending: Ending) -> bool {
        match self {
            Self::Always => true,
            Self::Success => matches!(ending, Ending::Live | Ending::Recovered),
            Self::Failure => ending == Ending::Failed,
            Self::Recovered => ending == Ending::Recovered,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Written {
    targets: Vec<WrittenTarget>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTarget {
    kind: Kind,
    when: Option<OneOrMore>,
    url_secret: Option<String>,
    url: Option<String>,
    token_secret: Option<String>,
    homeserver: Option<String>,
    room: Option<String>,
    server: Option<String>,
    starttls: Option<bool>,
    from: Option<String>,
    to: Option<Vec<String>>,
    user: Option<String>,
    password_secret: Option<String>,
    image: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Slack,
    Discord,
    Mattermost,
    Matrix,
    Webhook,
    Mail,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(When),
    More(Vec<When>),
}

impl Options {
    /// What the context says.
    ///
    /// # Errors
    /// Code `options.invalid` for another shape; `notify.option-invalid` with the place of the target, from 1, for
    /// one that cannot be told.
    pub(crate) fn of(ctx: &Context) -> Result<Self, PluginError> {
        let Written { targets } = ctx.options()?;
        if targets.is_empty() || targets.len() > TARGETS_MAX {
            let what =
                format!("`targets` names {}, and 1 to {TARGETS_MAX} are told", targets.len());
            let hint = "set them in windlass.toml: `options = { targets = [{ kind = \"slack\", url_secret = \
                        \"NOTIFY_SLACK\" }] }` in `[[stages]]`";
            return Err(PluginError::new("notify.option-invalid", what).hint(hint));
        }
        let checked = |(place, written): (usize, WrittenTarget)| {
            written.checked().map_err(|why| invalid(place, &why))
        };
        let targets: Vec<Target> =
            targets.into_iter().enumerate().map(checked).collect::<Result<_, _>>()?;
        let mut names = BTreeSet::new();
        for (place, target) in targets.iter().enumerate() {
            if !names.insert(target.to_string()) {
                let why = Wrong("it is there twice".to_owned(), "name both ends in one `when`");
                return Err(invalid(place, &why));
            }
        }
        Ok(Self { targets })
    }
}

fn invalid(place: usize, Wrong(why, fix): &Wrong) -> PluginError {
    let what = format!("target {} of the notification: {why}", place + 1);
    PluginError::new("notify.option-invalid", what).hint(*fix)
}

/// What is wrong with a target, and what to do.
#[derive(Debug)]
pub(crate) struct Wrong(pub(crate) String, pub(crate) &'static str);

impl WrittenTarget {
    fn checked(mut self) -> Result<Target, Wrong> {
        let when = match self.when.take() {
            None => vec![When::Always],
            Some(OneOrMore::One(one)) => vec![one],
            Some(OneOrMore::More(more)) if more.is_empty() => {
                let why = "`when` is an empty list, so it would never be told".to_owned();
                return Err(Wrong(
                    why,
                    "leave `when` out, or name always, success, failure or recovered",
                ));
            }
            Some(OneOrMore::More(more)) => more,
        };
        Ok(Target { place: self.place()?, when })
    }

    fn place(mut self) -> Result<Place, Wrong> {
        let mail = self.take_mail();
        let mail_only = mail != account::Written::default();
        let matrix_only = self.homeserver.is_some() || self.room.is_some();
        Ok(Place::Web(match self.kind {
            Kind::Mail => return self.mail(mail).map(Place::Mail),
            _ if mail_only => {
                let why = "`server`, `starttls`, `from`, `to`, `user`, `password_secret` and `image` are of mail alone";
                return Err(Wrong(why.to_owned(), "set `kind = \"mail\"`, or remove them"));
            }
            Kind::Matrix => self.matrix()?,
            _ if matrix_only => {
                let why = "`homeserver` and `room` are of Matrix alone".to_owned();
                return Err(Wrong(why, "set `kind = \"matrix\"`, or remove them"));
            }
            Kind::Webhook => {
                let token = self.token_secret.as_deref().map(variable).transpose()?;
                Web::Webhook { address: address(self.url_secret, self.url)?, token }
            }
            _ if self.token_secret.is_some() => {
                let why = "`token_secret` is of Matrix and of plain webhooks".to_owned();
                return Err(Wrong(why, "remove it: the webhook's address is all that is needed"));
            }
            _ if self.url.is_some() => {
                let why = "who knows the address of this webhook can write to the chat".to_owned();
                let fix = "store it with `windlass env set NOTIFY_NAME=URL --secret`, and set `url_secret = \
                           \"NOTIFY_NAME\"` in place of `url`";
                return Err(Wrong(why, fix));
            }
            Kind::Slack => Web::Slack(address(self.url_secret, None)?),
            Kind::Discord => Web::Discord(address(self.url_secret, None)?),
            Kind::Mattermost => Web::Mattermost(address(self.url_secret, None)?),
        }))
    }

    /// What it has of mail.
    fn take_mail(&mut self) -> account::Written {
        account::Written {
            server: self.server.take(),
            starttls: self.starttls.take(),
            from: self.from.take(),
            to: self.to.take(),
            user: self.user.take(),
            password_secret: self.password_secret.take(),
            image: self.image.take(),
        }
    }

    fn mail(self, mail: account::Written) -> Result<Account, Wrong> {
        let others = [self.url_secret, self.url, self.token_secret, self.homeserver, self.room];
        if others.iter().any(Option::is_some) {
            let why = "mail has no webhook, token, homeserver or room".to_owned();
            let fix =
                "remove them: the server is in `server`, the login in `user` and `password_secret`";
            return Err(Wrong(why, fix));
        }
        mail.checked()
    }

    fn matrix(self) -> Result<Web, Wrong> {
        const FIX: &str = "a target of Matrix has `homeserver = \"https://matrix.example.com\"`, `room = \
                           \"!id:example.com\"` and `token_secret = \"NOTIFY_MATRIX\"`";
        if self.url.is_some() || self.url_secret.is_some() {
            return Err(Wrong("Matrix has no webhook's address".to_owned(), FIX));
        }
        let missing = |name: &str| Wrong(format!("`{name}` is missing"), FIX);
        let homeserver = open(&self.homeserver.ok_or_else(|| missing("homeserver"))?)?;
        if homeserver.contains(['?', '#']) {
            return Err(Wrong("`homeserver` is an address without `?` and `#`".to_owned(), FIX));
        }
        let room = self.room.ok_or_else(|| missing("room"))?;
        if !room.starts_with('!') || room.len() > 255 || room.chars().any(char::is_control) {
            let why = format!("{room:?} is not the id of a room: that begins with `!`");
            let fix = "take the id from the room's settings (in Element: Advanced), not its address with `#`";
            return Err(Wrong(why, fix));
        }
        let token = self.token_secret.ok_or_else(|| missing("token_secret"))?;
        let homeserver = homeserver.trim_end_matches('/').to_owned();
        Ok(Web::Matrix { homeserver, room, token: variable(&token)? })
    }
}

fn address(secret: Option<String>, open_url: Option<String>) -> Result<Address, Wrong> {
    const FIX: &str =
        "set `url_secret` to the name of the secret variable that holds the webhook's address";
    match (secret, open_url) {
        (Some(secret), None) => variable(&secret).map(Address::Secret),
        (None, Some(url)) => open(&url).map(Address::Open),
        (None, None) => Err(Wrong("it has no address".to_owned(), FIX)),
        (Some(_), Some(_)) => {
            Err(Wrong("it has both `url` and `url_secret`".to_owned(), "remove one of them"))
        }
    }
}

/// The name of a variable that the plugin may name.
pub(crate) fn variable(name: &str) -> Result<String, Wrong> {
    let letter = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let rest = name.strip_prefix(SECRETS).unwrap_or_default();
    if rest.is_empty() || name.len() > 100 || !name.chars().all(letter) {
        let why = format!("the variable {name:?} does not begin with {SECRETS}, in capitals");
        let fix = "name it so (`windlass env set NOTIFY_SLACK=VALUE --secret`): the plugin asks for no other \
                   secrets, so that it can send none of them";
        return Err(Wrong(why, fix));
    }
    Ok(name.to_owned())
}

/// An address that is no secret.
fn open(url: &str) -> Result<String, Wrong> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let host = rest.unwrap_or_default().split(['/', '?', '#']).next().unwrap_or_default();
    let plain = url.chars().all(|c| c.is_ascii_graphic()) && !url.contains("{{");
    if host.is_empty() || host.contains('@') || !plain {
        let why = format!("{url:?} is no address with http or https");
        return Err(Wrong(
            why,
            "write it as `https://host/path`, without a name, a password or spaces",
        ));
    }
    Ok(url.to_owned())
}

impl Target {
    /// Whether it is told of this end.
    pub(crate) fn wants(&self, ending: Ending) -> bool {
        self.when.iter().any(|when| when.fits(ending))
    }
}

impl fmt::Display for Target {
    /// For people, and different for each target of a stage: `Slack (NOTIFY_SLACK)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Web(Web::Slack(address)) => write!(f, "Slack ({address})"),
            Place::Web(Web::Discord(address)) => write!(f, "Discord ({address})"),
            Place::Web(Web::Mattermost(address)) => write!(f, "Mattermost ({address})"),
            Place::Web(Web::Webhook { address, .. }) => write!(f, "webhook ({address})"),
            Place::Web(Web::Matrix { room, .. }) => write!(f, "Matrix ({room})"),
            Place::Mail(account) => write!(f, "mail ({})", account.to.join(", ")),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(name) => f.write_str(name),
            Self::Open(url) => f.write_str(url.split('?').next().unwrap_or_default()),
        }
    }
}
