//! Webhooks from outside: signed deliveries, and a stand-in for a provider's API that is told of commits.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use windlass_model::api::{ErrorBody, Page};
use windlass_model::hooks::WebhookWithSecret;
use windlass_model::webhook::{Delivery, Verdict};

use crate::host::TestHost;
use crate::http::{self, Request, Response};
use crate::wait::wait_for;

/// A webhook of a host, as its sender knows it.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Its project.
    pub project: String,
    /// Its id.
    pub id: String,
    /// Path of its address.
    pub path: String,
    /// The secret that deliveries are signed with.
    pub secret: String,
}

impl Hook {
    /// Makes one with `windlass webhook create` and further arguments.
    pub fn create(host: &TestHost, project: &str, args: &[&str]) -> Self {
        let mut all = vec!["webhook", "create", "--project", project];
        all.extend(args);
        let made: WebhookWithSecret = host.cli_json(&all).ok().json();
        Self {
            project: project.to_owned(),
            id: made.view.webhook.id.to_string(),
            path: made.view.path,
            secret: made.secret,
        }
    }

    /// Delivers as GitHub does.
    ///
    /// # Panics
    /// When the host does not answer.
    pub fn github(&self, host: &TestHost, event: &str, id: &str, body: &Value) -> Response {
        let text = body.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let digits: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-github-event", event.to_owned()),
            ("x-github-delivery", id.to_owned()),
            ("x-hub-signature-256", format!("sha256={digits}")),
        ];
        let request = Request {
            method: "POST",
            target: &self.path,
            host: "localhost",
            headers,
            body: Some(text.as_bytes()),
        };
        http::send(host.api_address(), &request).unwrap()
    }

    /// Delivers as GitHub does, and waits for the verdict.
    ///
    /// # Panics
    /// When it is not taken, or not settled in time.
    pub fn settled(&self, host: &TestHost, event: &str, id: &str, body: &Value) -> Delivery {
        let answer = self.github(host, event, id, body);
        assert_eq!(answer.status, 202, "{}", answer.text());
        self.wait(host, id)
    }

    /// Delivers as GitHub does; it must be refused with this status and code.
    ///
    /// # Panics
    /// When it is not.
    pub fn refused(&self, host: &TestHost, id: &str, body: &Value, status: u16, code: &str) {
        let answer = self.github(host, "push", id, body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.json::<ErrorBody>().error.code, code);
    }

    /// Waits until a delivery of this sender's id is settled.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn wait(&self, host: &TestHost, id: &str) -> Delivery {
        wait_for("the delivery is settled", Duration::from_secs(60), || {
            let all = self.deliveries(host);
            let found = all.into_iter().find(|one| {
                one.sender_id.as_deref() == Some(id) && one.verdict != Verdict::Refused
            });
            match found {
                Some(one) if one.verdict != Verdict::Pending => Ok(one),
                other => Err(format!("{other:#?}")),
            }
        })
    }

    /// Its deliveries, newest first, as the command line shows them.
    pub fn deliveries(&self, host: &TestHost) -> Vec<Delivery> {
        let args =
            ["webhook", "deliveries", &self.id, "--project", &self.project, "--limit", "100"];
        host.cli_json(&args).ok().json::<Page<Delivery>>().items
    }
}

/// What the stand-in was told.
#[derive(Debug, Clone)]
pub struct Told {
    /// Method and path.
    pub line: String,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Value,
}

impl Told {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A stand-in for a provider's API: it keeps what it is told, and may refuse at first.
#[derive(Debug)]
pub struct ProviderApi {
    address: SocketAddr,
    told: Arc<Mutex<Vec<Told>>>,
}

impl ProviderApi {
    /// Starts one that answers its first `refusals` requests with 502.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start(refusals: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let kept = told.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is no concern of the others.
                let _ = answer(&stream, &kept, refusals);
            }
        });
        Self { address, told }
    }

    /// Its base address.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it was told so far, also what it refused.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }
}

fn answer(stream: &TcpStream, told: &Mutex<Vec<Told>>, refusals: usize) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut one = Told { line: line.trim_end().to_owned(), headers, body: Value::Null };
    let mut body = match one.header("content-length").and_then(|length| length.parse().ok()) {
        Some(length) => vec![0; length],
        None => Vec::new(),
    };
    reader.read_exact(&mut body)?;
    one.body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let count = {
        let mut told = told.lock().unwrap();
        told.push(one);
        told.len()
    };
    let status = if count <= refusals { "502 Bad Gateway" } else { "201 Created" };
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}")
}
