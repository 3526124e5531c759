//! Requests to one place that has an image: authorized as it asks for, and asked again when it is busy.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
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
    /// Why it is not asked at all: it gave no answer a moment ago.
    away: OnceLock<String>,
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
            away: OnceLock::new(),
        }
    }

    /// It is not asked from here on: each request ends with this, as if there had been no answer.
    pub(super) fn leave_out(&self, why: String) {
        let _first = self.away.set(why);
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
        if let Some(why) = self.away.get() {
            let (host, why) = (self.host.clone(), why.clone());
            return Err(RegistryError::Unreachable { host, why, answered: false });
        }
        self.patiently(|| self.once(&attempt))
    }

    /// Tries again while a server is busy or a connection breaks, with pauses; the last answer may be a busy one still.
    fn patiently(
        &self,
        attempt: impl Fn() -> Result<Response<Body>, Trouble>,
    ) -> Result<Response<Body>, RegistryError> {
        let mut pauses = Pauses::default();
        loop {
            match attempt() {
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
                let why = format!("status {status} for {what}: {}", words.trim());
                match status {
                    408 | 500..=599 => {
                        let host = self.host.clone();
                        Err(RegistryError::Unreachable { host, why, answered: true })
                    }
                    _ => Err(self.protocol(&why)),
                }
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
            false => RegistryError::Unreachable { host, why, answered: false },
        }
    }

    /// Follows a challenge, with the login if there is one. Whether another try makes sense.
    fn authorize(&self, refused: &Response<Body>) -> Result<bool, RegistryError> {
        let challenge = refused.headers().get("www-authenticate").and_then(|v| v.to_str().ok());
        let challenge = challenge.unwrap_or_default();
        let value = match (Challenge::parse(challenge), &self.login) {
            (Some(bearer), _) => self.fetch_token(&bearer)?.map(|token| format!("Bearer {token}")),
            (None, Some(login)) if is_basic(challenge) => Some(login.basic()),
            (None, _) => None,
        };
        let found = value.is_some();
        *lock(&self.authorization) = value;
        Ok(found)
    }

    /// The token; none where the service gives none to who asks. That it is busy or in trouble is no such answer.
    fn fetch_token(&self, bearer: &Challenge) -> Result<Option<String>, RegistryError> {
        if !bearer.realm.starts_with("https://") && !self.base.starts_with("http://") {
            return Err(self.protocol("it wants a token to be fetched without encryption"));
        }
        let mut answer = self.patiently(|| self.ask_for_token(bearer))?;
        match answer.status().as_u16() {
            200..=299 => {}
            408 | 429 | 500..=599 => {
                let what = format!("a token of {}", bearer.realm);
                return self.expect(answer, &what).map(|_| None);
            }
            _ => return Ok(None),
        }
        let body = answer.body_mut().with_config().limit(DOCUMENT_BYTES_MAX).read_to_vec();
        let token: Token = manifest::json(&self.host, &body.map_err(|e| self.transport(&e))?)?;
        Ok(token.token.or(token.access_token))
    }

    fn ask_for_token(&self, bearer: &Challenge) -> Result<Response<Body>, Trouble> {
        let mut request = self.agent.get(&bearer.realm);
        for scope in lock(&self.scopes).iter() {
            request = request.query("scope", scope);
        }
        if let Some(service) = &bearer.service {
            request = request.query("service", service);
        }
        if let Some(login) = &self.login {
            request = request.header("authorization", login.basic());
        }
        let request = request.config().timeout_global(Some(TOKEN_TIME_MAX)).build();
        request.call().map_err(|error| match is_connecting(&error) {
            // That the registry answered says nothing about this server.
            true => Trouble::Registry(self.transport(&error)),
            false => Trouble::Connection(error),
        })
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
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::super::client::Client;
    use super::*;

    fn answer(status: &str, fields: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\nconnection: close\r\nretry-after: 0\r\n{fields}content-length: \
             {length}\r\n\r\n{body}"
        )
    }

    /// A registry that answers by the head of a request and its own address; how often it was asked.
    fn serving(
        answers: impl Fn(&str, &str) -> String + Send + 'static,
    ) -> (Client, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (own, asked) = (address.clone(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut head = [0; 4096];
                let bytes = stream.read(&mut head).unwrap_or_default();
                let said = answers(&String::from_utf8_lossy(&head[..bytes]), &own);
                let _hung_up = stream.write_all(said.as_bytes());
            }
        });
        let reference = format!("{address}/team/scan:1").parse().unwrap();
        (Client::new(reference, None, None, Vec::new()), asked)
    }

    #[test]
    fn a_registry_in_trouble_is_asked_again_and_then_told_with_its_own_words() {
        for (status, times) in [(408, 5), (500, 5), (503, 5), (507, 1)] {
            let (client, asked) = serving(move |_, _| {
                answer(&format!("{status} Trouble"), "", "we are moving house")
            });
            let error = client.tagged("1", 1_000).unwrap_err();
            assert!(
                matches!(error, RegistryError::Unreachable { answered: true, .. }),
                "{error:?}"
            );
            let said = error.to_string();
            assert!(said.contains(&format!("status {status}")), "{said}");
            assert!(said.contains("moving house"), "{said}");
            assert_eq!(asked.load(Ordering::SeqCst), times, "{said}");
        }
        let (client, _) = serving(|_, _| answer("429 Too Many", "", ""));
        assert_eq!(client.tagged("1", 1_000).unwrap_err().code(), "registry.rate-limited");
        let (client, _) = serving(|_, _| answer("418 Teapot", "", ""));
        assert_eq!(client.tagged("1", 1_000).unwrap_err().code(), "registry.protocol");
    }

    #[test]
    fn a_token_service_that_is_busy_is_asked_again_and_its_trouble_is_no_missing_login() {
        // What it answers at first, and how often; after that it gives a token.
        let ask = |status: &'static str, times: usize| {
            let tokens = AtomicUsize::new(0);
            let (client, _) = serving(move |head, own| {
                if head.starts_with("GET /token") {
                    return match tokens.fetch_add(1, Ordering::SeqCst) < times {
                        true => answer(status, "", "come later"),
                        false => answer("200 OK", "", r#"{"token":"t-1"}"#),
                    };
                }
                if head.to_ascii_lowercase().contains("authorization: bearer t-1") {
                    return answer("200 OK", "", "{}");
                }
                let realm = format!("Bearer realm=\"http://{own}/token\",service=\"s\"");
                answer("401 No", &format!("www-authenticate: {realm}\r\n"), "")
            });
            client.tagged("1", 1_000)
        };
        assert_eq!(ask("429 Too Many", 2).unwrap(), b"{}");
        assert_eq!(ask("503 Busy", 2).unwrap(), b"{}");
        let code = |status| ask(status, usize::MAX).unwrap_err().code();
        assert_eq!(code("429 Too Many"), "registry.rate-limited");
        assert_eq!(code("520 Odd"), "registry.unreachable");
        assert_eq!(code("403 No"), "registry.unauthorized");
        let busy = ask("503 Busy", usize::MAX).unwrap_err();
        assert_eq!(busy.code(), "registry.unreachable");
        let said = busy.to_string();
        assert!(said.contains("status 503 for a token of http://127.0.0.1:"), "{said}");
        assert!(said.contains("come later"), "{said}");
    }

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
