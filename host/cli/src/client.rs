//! HTTP to a host: requests with JSON bodies, uploads, and streams of server-sent events.
//!
//! **Invariant: a call either returns the decoded answer, or an error whose exit code says which kind
//! of trouble it is.** Streams and uploads have no overall time limit, everything else has.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::{Method, Request, Response, header};
use ureq::{AsSendBody, Body, SendBody};
use windlass_model::api::ErrorBody;
use windlass_model::secret::Secret;

use crate::exit::{CliError, CliResult, Exit};

const CONNECT: Duration = Duration::from_secs(5);
const CALL: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: u64 = 256 << 20;

/// Characters of a path segment or query value that need no encoding.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A host, and how to speak to it.
#[derive(Debug)]
pub struct Client {
    calls: ureq::Agent,
    streams: ureq::Agent,
    base: String,
    token: Option<Secret<String>>,
    /// Where a token was looked for in vain.
    looked_in: Option<String>,
    /// Sent with every POST.
    idempotency_key: Option<String>,
}

/// One server-sent event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its name; `message` when the host gave none.
    pub name: String,
    /// Its data.
    pub data: String,
    /// Where to go on after it; empty when the host said nothing of it.
    pub id: String,
}

/// A path from segments, each encoded: `path(&["v1", "projects", "a b"])` is `/v1/projects/a%20b`.
pub fn path(segments: &[&str]) -> String {
    segments.iter().fold(String::new(), |path, one| path + "/" + &encode(one))
}

/// A path with a query.
pub fn with_query(path: &str, pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

impl Client {
    /// A client for the host at `base` (`http://127.0.0.1:7070`).
    ///
    /// # Errors
    /// `cli.bad-url` when `base` is no HTTP address.
    pub fn new(base: &str, token: Option<Secret<String>>) -> CliResult<Self> {
        let base = base.trim_end_matches('/').to_owned();
        let host = host_of(&base).ok_or_else(|| {
            CliError::new(
                Exit::Usage,
                "cli.bad-url",
                format!("{base:?} is not the address of a host"),
                "an address starts with http:// or https:// and names a host",
                "give it like `--url http://127.0.0.1:7070`, or set WINDLASS_URL",
            )
        })?;
        let agent = |call: Option<Duration>| {
            let mut config = ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .max_redirects_will_error(false)
                .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
                .timeout_connect(Some(CONNECT))
                .timeout_global(call);
            if is_loopback(host) {
                config = config.proxy(None);
            }
            config.build().new_agent()
        };
        Ok(Self {
            calls: agent(Some(CALL)),
            streams: agent(None),
            base,
            token,
            looked_in: None,
            idempotency_key: None,
        })
    }

    /// The same, which says where a token was looked for when the host asks for one.
    #[must_use]
    pub fn looked_in(mut self, place: Option<String>) -> Self {
        self.looked_in = place;
        self
    }

    /// Sends this idempotency key with what is asked for.
    #[must_use]
    pub fn keyed(mut self, key: Option<String>) -> Self {
        self.idempotency_key = key;
        self
    }

    /// GET, decoded.
    ///
    /// # Errors
    /// The host's own failure, or why it could not be reached.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> CliResult<T> {
        decode(self.call(&self.calls, Method::GET, path, None, SendBody::none())?, &self.base)
    }

    /// GET, decoded, of an answer that may take minutes.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn get_slowly<T: DeserializeOwned>(&self, path: &str) -> CliResult<T> {
        decode(self.call(&self.streams, Method::GET, path, None, SendBody::none())?, &self.base)
    }

    /// A request with a JSON body, decoded.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn send<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> CliResult<T> {
        decode(self.send_raw(method, path, body)?, &self.base)
    }

    /// A request with a JSON body that may take as long as it takes, decoded.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn send_at_length<B: Serialize, T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> CliResult<T> {
        let bytes = encoded(body)?;
        let json = Some("application/json");
        decode(self.call(&self.streams, method, path, json, &bytes[..])?, &self.base)
    }

    /// GET of a body of any length, with the value of one header.
    ///
    /// # Errors
    /// As [`Self::get`], before the first byte.
    pub fn download(
        &self,
        path: &str,
        header: &str,
    ) -> CliResult<(String, impl std::io::Read + use<>)> {
        let answer = self.call(&self.streams, Method::GET, path, None, SendBody::none())?;
        let told = answer.headers().get(header).and_then(|value| value.to_str().ok());
        let told = told.unwrap_or_default().to_owned();
        Ok((told, answer.into_body().into_with_config().limit(u64::MAX).reader()))
    }

    /// A request with a JSON body, whose answer does not matter.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn send_only<B: Serialize>(&self, method: Method, path: &str, body: &B) -> CliResult<()> {
        self.send_raw(method, path, body).map(drop)
    }

    /// POST without a body, decoded.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn post<T: DeserializeOwned>(&self, path: &str) -> CliResult<T> {
        decode(self.call(&self.calls, Method::POST, path, None, ())?, &self.base)
    }

    /// DELETE.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn delete(&self, path: &str) -> CliResult<()> {
        self.call(&self.calls, Method::DELETE, path, None, SendBody::none()).map(drop)
    }

    /// POST of a whole file, streamed from disk.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        content_type: &str,
        file: &File,
    ) -> CliResult<T> {
        let answer = self.call(&self.streams, Method::POST, path, Some(content_type), file)?;
        decode(answer, &self.base)
    }

    /// GET of a stream of server-sent events.
    ///
    /// # Errors
    /// As [`Self::get`], before the first event.
    pub fn events(&self, path: &str) -> CliResult<Events> {
        self.events_after(path, "")
    }

    /// The same, going on after the event with this id; from the beginning when it is empty.
    ///
    /// # Errors
    /// As [`Self::get`], before the first event.
    pub fn events_after(&self, path: &str, id: &str) -> CliResult<Events> {
        let accept = Some("text/event-stream");
        let last = (!id.is_empty()).then_some(("last-event-id", id));
        let none = SendBody::none();
        let answer = self.call_with(&self.streams, Method::GET, path, accept, last, none)?;
        Ok(Events::from_reader(BufReader::new(answer.into_body().into_reader())))
    }

    /// GET of a body that is read line by line, however long it is.
    ///
    /// # Errors
    /// As [`Self::get`], before the first line.
    pub fn lines(&self, path: &str) -> CliResult<impl BufRead + use<>> {
        let accept = Some("application/x-ndjson");
        let answer = self.call(&self.streams, Method::GET, path, accept, SendBody::none())?;
        Ok(BufReader::with_capacity(64 * 1024, answer.into_body().into_reader()))
    }

    /// A request that opens a websocket at a path.
    ///
    /// # Errors
    /// `cli.bad-request` when address or token cannot be sent.
    pub(crate) fn websocket(
        &self,
        path: &str,
    ) -> CliResult<tokio_tungstenite::tungstenite::handshake::client::Request> {
        use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
        // `http` becomes `ws` and `https` becomes `wss`.
        let address = format!("ws{}{path}", self.base.trim_start_matches("http"));
        let request = address.into_client_request();
        let mut request = request.map_err(|e| self.unusable(&e.to_string()))?;
        if let Some(token) = &self.token {
            let value = header::HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            let value = value.map_err(|e| self.unusable(&e.to_string()))?;
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        Ok(request)
    }

    /// The error for a host that is not there.
    pub(crate) fn away(&self, why: &str) -> Box<CliError> {
        CliError::new(
            Exit::Unreachable,
            "cli.host-unreachable",
            format!("cannot reach a Windlass host at {}", self.base),
            why,
            "start it with `windlass serve`, or name another with --url or WINDLASS_URL",
        )
    }

    fn send_raw<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: &B,
    ) -> CliResult<Response<Body>> {
        let bytes = encoded(body)?;
        self.call(&self.calls, method, path, Some("application/json"), &bytes[..])
    }

    /// One request. `kind` is the body's content type, or for a GET what is accepted.
    fn call(
        &self,
        agent: &ureq::Agent,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: impl AsSendBody,
    ) -> CliResult<Response<Body>> {
        self.call_with(agent, method, path, kind, None, body)
    }

    /// One request with one more header.
    fn call_with(
        &self,
        agent: &ureq::Agent,
        method: Method,
        path: &str,
        kind: Option<&str>,
        more: Option<(&str, &str)>,
        body: impl AsSendBody,
    ) -> CliResult<Response<Body>> {
        let mut request = Request::builder().uri(format!("{}{path}", self.base));
        if let Some(kind) = kind {
            let name = if method == Method::GET { header::ACCEPT } else { header::CONTENT_TYPE };
            request = request.header(name, kind);
        }
        if let Some((name, value)) = more {
            request = request.header(name, value);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if let Some(key) = self.idempotency_key.as_ref().filter(|_| method == Method::POST) {
            request = request.header("idempotency-key", key);
        }
        let request =
            request.method(method).body(body).map_err(|e| self.unusable(&e.to_string()))?;
        let answer = agent.run(request).map_err(|e| self.unreachable(&e))?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.refused(answer)) }
    }

    fn unusable(&self, why: &str) -> Box<CliError> {
        CliError::new(
            Exit::Usage,
            "cli.bad-request",
            format!("no request to {} can be made", self.base),
            why,
            "check --url and --token (WINDLASS_URL, WINDLASS_TOKEN): no spaces or line ends",
        )
    }

    fn unreachable(&self, error: &ureq::Error) -> Box<CliError> {
        self.away(&error.to_string())
    }

    fn refused(&self, mut answer: Response<Body>) -> Box<CliError> {
        let status = answer.status();
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        match serde_json::from_str::<ErrorBody>(&text) {
            Ok(ErrorBody { error: mut failure }) => {
                if let (Some(place), "auth.token-missing") = (&self.looked_in, &*failure.code) {
                    failure.why = format!("none was given, and there is none in {place}");
                }
                Box::new(CliError { failure, exit: Exit::of_status(status.as_u16()) })
            }
            Err(_) => CliError::new(
                Exit::Unreachable,
                "cli.unexpected-answer",
                format!("{} answered {status}", self.base),
                "the answer is not one of a Windlass host",
                "check --url or WINDLASS_URL; another program, or a proxy in between, may answer there",
            ),
        }
    }
}

fn encoded(body: &impl Serialize) -> CliResult<Vec<u8>> {
    serde_json::to_vec(body).map_err(|e| {
        CliError::new(
            Exit::Failed,
            "cli.encode",
            "the request cannot be written as JSON",
            e.to_string(),
            "this is a fault of windlass: please report it",
        )
    })
}

fn decode<T: DeserializeOwned>(answer: Response<Body>, base: &str) -> CliResult<T> {
    let body = answer.into_body();
    let text = body.into_with_config().limit(ANSWER_BYTES_MAX).read_to_string();
    let failed = |why: String| {
        CliError::new(
            Exit::Unreachable,
            "cli.unexpected-answer",
            format!("the answer of {base} is not understood"),
            why,
            "check --url or WINDLASS_URL, and that `windlass --version` is the host's (`windlass status`)",
        )
    };
    let text = text.map_err(|e| failed(e.to_string()))?;
    serde_json::from_str(&text).map_err(|e| failed(e.to_string()))
}

/// A stream of server-sent events.
pub struct Events {
    lines: Box<dyn BufRead + Send>,
    /// By the standard an id holds until another one comes.
    id: String,
}

impl Events {
    /// From any source of lines.
    pub fn from_reader(lines: impl BufRead + Send + 'static) -> Self {
        Self { lines: Box::new(lines), id: String::new() }
    }
}

impl Iterator for Events {
    type Item = std::io::Result<Event>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut name = String::new();
        let mut data: Vec<String> = Vec::new();
        loop {
            let mut line = String::new();
            match self.lines.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) => {}
                Err(e) => return Some(Err(e)),
            }
            let line = line.trim_end_matches(['\n', '\r']);
            if line.is_empty() {
                if !name.is_empty() || !data.is_empty() {
                    let name = if name.is_empty() { "message".to_owned() } else { name };
                    let id = self.id.clone();
                    return Some(Ok(Event { name, data: data.join("\n"), id }));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "event" => value.clone_into(&mut name),
                "data" => data.push(value.to_owned()),
                "id" => value.clone_into(&mut self.id),
                _ => {}
            }
        }
    }
}

/// The host of an HTTP address, without port and brackets.
fn host_of(base: &str) -> Option<&str> {
    let rest = base.strip_prefix("http://").or_else(|| base.strip_prefix("https://"))?;
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    (!host.is_empty()).then_some(host)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether the address is this machine's own.
pub fn is_local(base: &str) -> bool {
    host_of(base).is_some_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries_are_encoded() {
        assert_eq!(path(&["v1", "domains", "*"]), "/v1/domains/%2A");
        assert_eq!(path(&["a/b", "..%"]), "/a%2Fb/..%25");
        assert_eq!(with_query("/x", &[("name", "a b&c")]), "/x?name=a%20b%26c");
        assert_eq!(with_query("/x", &[]), "/x");
    }

    #[test]
    fn only_this_machine_is_local() {
        for local in ["http://127.0.0.1:7070", "http://localhost", "https://[::1]:1/x"] {
            assert!(is_local(local), "{local}");
        }
        for other in
            ["http://10.0.0.1", "http://127.0.0.1.example.com", "http://localhost@evil.example"]
        {
            assert!(!is_local(other), "{other}");
        }
    }

    #[test]
    fn events_are_read_by_the_standard() {
        let text = ": keep-alive\n\nid: 12/3:1.5\nevent: log\ndata: {\"a\":1}\n\nevent:end\r\ndata:\r\n\r\ndata: x\ndata: y\n\nevent: cut";
        let events: Vec<_> = Events::from_reader(text.as_bytes())
            .map(|e| e.unwrap())
            .inspect(|e| assert_eq!(e.id, "12/3:1.5"))
            .map(|e| (e.name, e.data))
            .collect();
        let expected = [("log", "{\"a\":1}"), ("end", ""), ("message", "x\ny")];
        assert_eq!(events, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }

    #[test]
    fn an_address_that_is_none_is_a_usage_error() {
        for bad in ["", "127.0.0.1:7070", "ftp://x", "http://"] {
            assert_eq!(Client::new(bad, None).unwrap_err().exit, Exit::Usage, "{bad}");
        }
    }
}
