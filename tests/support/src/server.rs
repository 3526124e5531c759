//! An HTTP server of this machine that answers as a test says and keeps what it is asked.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use crate::wait::wait_for;

/// How long a client may take for its request.
pub(crate) const READ_WITHIN: Duration = Duration::from_secs(10);

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `POST /path HTTP/1.1`
    pub line: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Asked {
    /// Path and query.
    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).unwrap_or_default()
    }

    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body, which is JSON.
    ///
    /// # Panics
    /// When it is not.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What a connection begins with.
    pub(crate) fn read(stream: impl Read) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut asked = Self { line: line.trim_end().to_owned(), headers, body: Vec::new() };
        let length = asked.header("content-length").and_then(|length| length.parse().ok());
        asked.body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut asked.body)?;
        Ok(asked)
    }
}

/// See the module. It listens on the loopback address until the test process ends.
#[derive(Debug)]
pub struct Server {
    port: u16,
    asked: Arc<Mutex<VecDeque<Asked>>>,
}

impl Server {
    /// `answer` gives status and body, for a request and the number of those before.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn answering<B: Into<Vec<u8>>>(
        answer: impl Fn(&Asked, usize) -> (u16, B) + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked: Arc<Mutex<VecDeque<Asked>>> = Arc::default();
        let kept = Arc::clone(&asked);
        std::thread::spawn(move || {
            let mut number = 0;
            for stream in listener.incoming().flatten() {
                // A client that hangs up is no concern of the others.
                let Ok(asked) = read_from(&stream) else { continue };
                let (status, body) = answer(&asked, number);
                number += 1;
                kept.lock().unwrap().push_back(asked);
                let _ = respond(&stream, status, &[], &body.into());
            }
        });
        Self { port, asked }
    }

    /// Its port on `127.0.0.1`, which is `localhost`, too.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, without a path.
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it was asked so far and nobody took, oldest first.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().iter().cloned().collect()
    }

    /// Takes the oldest of what it was asked; waits for it.
    ///
    /// # Panics
    /// When nothing comes within the deadline.
    pub fn next(&self, deadline: Duration) -> Asked {
        wait_for("a request comes", deadline, || {
            self.asked.lock().unwrap().pop_front().ok_or_else(|| "none came".to_owned())
        })
    }
}

fn read_from(stream: &TcpStream) -> std::io::Result<Asked> {
    stream.set_read_timeout(Some(READ_WITHIN))?;
    Asked::read(stream)
}

/// Answers a request, with these headers beside those that every answer has.
pub(crate) fn respond(
    mut stream: impl Write,
    status: u16,
    headers: &[(&str, &str)],
    body: &[u8],
) -> std::io::Result<()> {
    let headers: String =
        headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} Said\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n"
    )?;
    stream.write_all(body)
}
