//! Requests to one place that has an image: authorized as it asks for, and asked again when it is busy.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::access::Login;
use super::error::RegistryError;
use super::manifest;

/// A manifest or an image's configuration is never larger.
pub(super) const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// From the beginning of a request for a token to its last byte.
const TOKEN_TIME_MAX: Duration = Duration::from_secs(60);
/// Longest pause that a registry can ask for.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Pauses before a request is made again, unless the registry names one.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_millis(1000),
    Duration::from_millis(2000),
];
/// Of a registry's own words about an error.
const WORDS_MAX: usize = 300;

/// One place that has an image: its registry, or a mirror of it.
pub(super) struct Transport {
    pub(super) agent: Agent,
    /// `https://registry-1.docker.io`
    base: String,
    /// The same without the scheme, for people.
    pub(super) host: String,
    pub(super) repository: String,
    login: Option<Login>,
    /// What a token is to permit.
    scopes: Mutex<Vec<String>>,
    /// Value of the header that authorizes, once it is known.
    authorization: Mutex<Option<String>>,
    /// Whether it ever answered: a connection that fails then is worth another try.
    answered: AtomicBool,
}

/// Pauses between tries of the same thing.
#[derive(Debug, Default)]
pub(super) struct Pauses(usize);

impl Pauses {
    /// Waits as long as the registry asks, or a little longer each time; false when it was often enough.
    pub(super) fn wait(&mut self, asked: Option<Duration>) -> bool {
        let Some(own) = PAUSES.get(self.0) else { return false };
        self.0 += 1;
        std::thread::sleep(asked.unwrap_or(*own).min(PAUSE_MAX));
        true
    }
}

impl Transport {
    /// A place at this address; `action` is what is wanted of the repository: `pull` or `pull,push`.
    pub(super) fn new(
        agent: Agent,
        base: &str,
        repository: &str,
        login: Option<Login>,
        action: &str,
    ) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        let host = base.split_once("://").map_or(base.as_str(), |(_, host)| host).to_owned();
        let scope = format!("repository:{repository}:{action}");
        Self {
            agent,
            base,
            host,
            repository: repository.to_owned(),
            login,
            scopes: Mutex::new(vec![scope]),
            authorization: Mutex::default(),
            answered: AtomicBool::new(false),
        }
    }

    /// An address below the repository: `blobs/sha256:...`.
    pub(super) fn url(&self, rest: &str) -> String {
        format!("{}/v2/{}/{rest}", self.base, self.repository)
    }

    /// An address that the registry named, and whether it is the registry's own.
    pub(super) fn resolve(&self, location: &str) -> (String, bool) {
        if location.contains("://") {
            let own = location.strip_prefix(self.base.as_str());
            (location.to_owned(), own.is_some_and(|rest| rest.starts_with(['/', '?'])))
        } else {
            (format!("{}/{}", self.base, location.trim_start_matches('/')), true)
        }
    }

    /// A token is to permit this, too.
    pub(super) fn also(&self, scope: String) {
        let mut scopes = lock(&self.scopes);
        if !scopes.contains(&scope) {
            scopes.push(scope);
            *lock(&self.authorization) = None;
        }
    }

    pub(super) fn authorization(&self) -> Option<String> {
        lock(&self.authorization).clone()
    }

    /// Makes a request that may be made again, until it is answered for good. `attempt` is given the value
    /// of the header that authorizes.
    pub(super) fn send(
        &self,
        attempt: impl Fn(Option<&str>) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, RegistryError> {
        let mut pauses = Pauses::default();
        loop {
            match self.once(&attempt) {
                Ok(response) if is_busy(response.status().as_u16()) => {
                    if !pauses.wait(asked_pause(&response)) {
                        return Ok(response);
                    }
                }
                Ok(response) => return Ok(response),
                Err(Trouble::Registry(error)) => return Err(error),
                Err(Trouble::Connection(error)) => {
                    let again = !is_connecting(&error) || self.answered.load(Ordering::Relaxed);
                    if is_refused(&error) || is_out_of_time(&error) || !again || !pauses.wait(None)
                    {
                        return Err(self.transport(&error));
                    }
                }
            }
        }
    }

    fn once(
        &self,
        attempt: &impl Fn(Option<&str>) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Trouble> {
        let known = self.authorization();
        let response = attempt(known.as_deref()).map_err(Trouble::Connection)?;
        self.answered.store(true, Ordering::Relaxed);
        if response.status() == 401 && self.authorize(&response).map_err(Trouble::Registry)? {
            let known = self.authorization();
            return attempt(known.as_deref()).map_err(Trouble::Connection);
        }
        Ok(response)
    }

    /// The answer if it is a good one, else what it means for `what`.
    pub(super) fn expect(
        &self,
        mut response: Response<Body>,
        what: &str,
    ) -> Result<Response<Body>, RegistryError> {
        let what = what.to_owned();
        match response.status().as_u16() {
            200..=299 => Ok(response),
            404 => Err(RegistryError::NotFound { what }),
            401 | 403 => {
                Err(RegistryError::Unauthorized { what, with_login: self.login.is_some() })
            }
            429 => Err(RegistryError::RateLimited { host: self.host.clone() }),
            status => {
                let words = response.body_mut().with_config().limit(64 << 10).read_to_string();
                let words: String = words.unwrap_or_default().chars().take(WORDS_MAX).collect();
                let words = words.replace(|c: char| c.is_control(), " ");
                Err(self.protocol(&format!("status {status} for {what}: {}", words.trim())))
            }
        }
    }

    pub(super) fn protocol(&self, why: &str) -> RegistryError {
        RegistryError::Protocol { host: self.host.clone(), why: why.to_owned() }
    }

    pub(super) fn transport(&self, error: &ureq::Error) -> RegistryError {
        let (host, why) = (self.host.clone(), error.to_string());
        match is_refused(error) {
            true => RegistryError::LeadsAway { host, why },
            false => RegistryError::Unreachable { host, why },
        }
    }

    /// Follows a challenge, with the login if there is one. Whether another try makes sense.
    fn authorize(&self, refused: &Response<Body>) -> Result<bool, RegistryError> {
        let challenge = refused.headers().get("www-authenticate").and_then(|v| v.to_str().ok());
        let challenge = challenge.unwrap_or_default();
        let value = match (Challenge::parse(challenge), &self.login) {
            (Some(bearer), _) => self.fetch_token(bearer)?.map(|token| format!("Bearer {token}")),
            (None, Some(login)) if is_basic(challenge) => Some(login.basic()),
            (None, _) => None,
        };
        let found = value.is_some();
        *lock(&self.authorization) = value;
        Ok(found)
    }

    fn fetch_token(&self, bearer: Challenge) -> Result<Option<String>, RegistryError> {
        if !bearer.realm.starts_with("https://") && !self.base.starts_with("http://") {
            return Err(self.protocol("it wants a token to be fetched without encryption"));
        }
        let mut request = self.agent.get(&bearer.realm);
        for scope in lock(&self.scopes).iter() {
            request = request.query("scope", scope);
        }
        if let Some(service) = bearer.service {
            request = request.query("service", service);
        }
        if let Some(login) = &self.login {
            request = request.header("authorization", login.basic());
        }
        let request = request.config().timeout_global(Some(TOKEN_TIME_MAX)).build();
        let mut answer = request.call().map_err(|e| self.transport(&e))?;
        if !answer.status().is_success() {
            return Ok(None);
        }
        let body = answer.body_mut().with_config().limit(DOCUMENT_BYTES_MAX).read_to_vec();
        let token: Token = manifest::json(&self.host, &body.map_err(|e| self.transport(&e))?)?;
        Ok(token.token.or(token.access_token))
    }
}

enum Trouble {
    Connection(ureq::Error),
    Registry(RegistryError),
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the same request may do better in a moment.
pub(super) const fn is_busy(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

/// The pause that an answer asks for, in seconds; a date is not read.
pub(super) fn asked_pause(response: &Response<Body>) -> Option<Duration> {
    let value = response.headers().get("retry-after")?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Whether there was no connection at all.
fn is_connecting(error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, NetworkUnreachable};
    use ureq::Timeout::{Connect, Resolve};
    match error {
        ureq::Error::ConnectionFailed | ureq::Error::HostNotFound => true,
        ureq::Error::Timeout(Connect | Resolve) => true,
        ureq::Error::Io(e) => {
            matches!(e.kind(), ConnectionRefused | HostUnreachable | NetworkUnreachable)
        }
        _ => false,
    }
}

/// Whether the host itself refused to go where it was led: inside, or away from TLS.
fn is_refused(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::RequireHttpsOnly(_) => true,
        // The kernel's own refusals have no words with them.
        ureq::Error::Io(e) => e.kind() == ErrorKind::PermissionDenied && e.get_ref().is_some(),
        _ => false,
    }
}

/// Whether all of the time was used up that a request may take.
fn is_out_of_time(error: &ureq::Error) -> bool {
    matches!(error, ureq::Error::Timeout(ureq::Timeout::Global))
}

fn is_basic(challenge: &str) -> bool {
    challenge.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("basic"))
}

/// `Bearer realm="...",service="..."`
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    realm: String,
    service: Option<String>,
}

impl Challenge {
    fn parse(header: &str) -> Option<Self> {
        let (scheme, rest) = header.trim().split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let value = |name: &str| {
            rest.split(',').find_map(|pair| {
                let (key, value) = pair.trim().split_once('=')?;
                (key == name).then(|| value.trim_matches('"').to_owned())
            })
        };
        Some(Self { realm: value("realm")?, service: value("service") })
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read() {
        let header = r#"Bearer realm="https://auth.example/token",service="registry.example""#;
        let expected = Challenge {
            realm: "https://auth.example/token".into(),
            service: Some("registry.example".into()),
        };
        assert_eq!(Challenge::parse(header), Some(expected));
        assert_eq!(Challenge::parse("Basic realm=\"x\""), None);
    }

    #[test]
    fn a_location_of_another_host_is_told_apart() {
        let agent = Agent::new_with_defaults();
        let place = Transport::new(agent, "https://r.example/", "a/b", None, "pull");
        let own = ("https://r.example/v2/x".to_owned(), true);
        assert_eq!(place.resolve("/v2/x"), own);
        assert_eq!(place.resolve("https://r.example/v2/x"), own);
        assert!(!place.resolve("https://r.example.evil/v2/x").1);
        assert!(!place.resolve("https://storage.example/x").1);
    }
}
