//! A small HTTP/1.1 client that sends exactly what it is told: targets are never normalised, and the
//! Host header is the caller's (the resolver does not know names below `.localhost`).

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::de::DeserializeOwned;

/// Longest silence of the other side.
pub const SILENCE: Duration = Duration::from_secs(60);

/// A request.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// `GET`, ...
    pub method: &'a str,
    /// Path and query, sent as they are.
    pub target: &'a str,
    /// Value of the Host header.
    pub host: &'a str,
    /// Further headers.
    pub headers: Vec<(&'a str, String)>,
    /// Body; none is sent when absent.
    pub body: Option<&'a [u8]>,
}

impl<'a> Request<'a> {
    /// A GET.
    pub fn get(host: &'a str, target: &'a str) -> Self {
        Self { method: "GET", target, host, headers: Vec::new(), body: None }
    }
}

/// An answer with its whole body.
#[derive(Debug, Clone)]
pub struct Response {
    /// Status.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Body.
    pub body: Vec<u8>,
}

impl Response {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first header of this name, given in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is not of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("status {}, {e}: {}", self.status, self.text()))
    }
}

/// A connection that can carry several requests.
#[derive(Debug)]
pub struct Connection {
    stream: BufReader<TcpStream>,
    open: bool,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream: BufReader::new(stream), open: true })
    }

    /// Whether the other side has not said that it closes.
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Sends a request and reads its answer.
    ///
    /// # Errors
    /// Those of the socket, and `InvalidData` for what is not HTTP.
    pub fn send(&mut self, request: &Request<'_>) -> io::Result<Response> {
        self.write(request)?;
        let (status, headers) = self.head()?;
        let mut response = Response { status, headers, body: Vec::new() };
        if response.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")) {
            self.open = false;
        }
        if request.method != "HEAD" && !matches!(status, 204 | 304) {
            response.body = self.body(&response)?;
        }
        Ok(response)
    }

    /// Sends a request and returns what comes, as it comes, until the other side is silent for so long:
    /// for an answer that has no end.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn listen(mut self, request: &Request<'_>, silence: Duration) -> io::Result<Vec<u8>> {
        self.write(request)?;
        self.stream.get_ref().set_read_timeout(Some(silence))?;
        let mut said = Vec::new();
        match self.stream.read_to_end(&mut said) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(said),
        }
    }

    fn write(&mut self, request: &Request<'_>) -> io::Result<()> {
        let mut head = format!("{} {} HTTP/1.1\r\n", request.method, request.target);
        head.push_str(&format!("host: {}\r\n", request.host));
        for (name, value) in &request.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(body) = request.body {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        head.push_str("\r\n");
        let stream = self.stream.get_mut();
        stream.write_all(head.as_bytes())?;
        // A server that refuses early answers and stops reading: its answer is what counts.
        let _ = stream.write_all(request.body.unwrap_or_default());
        Ok(())
    }

    fn head(&mut self) -> io::Result<(u16, Vec<(String, String)>)> {
        let first = self.line()?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| invalid(format!("not a status line: {first:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok((status, headers));
            }
            let (name, value) =
                line.split_once(':').ok_or_else(|| invalid(format!("not a header: {line:?}")))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "closed before an answer"));
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if response.header("transfer-encoding").is_some_and(|t| t.contains("chunked")) {
            return self.chunks();
        }
        if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().map_err(|_| invalid("content-length".to_owned()))?;
            body.resize(length, 0);
            self.stream.read_exact(&mut body)?;
            return Ok(body);
        }
        self.open = false;
        self.stream.read_to_end(&mut body)?;
        Ok(body)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(digits, 16)
                .map_err(|_| invalid(format!("not a chunk's size: {line:?}")))?;
            let start = body.len();
            body.resize(start + size, 0);
            self.stream.read_exact(&mut body[start..])?;
            self.line()?;
            if size == 0 {
                return Ok(body);
            }
        }
    }
}

fn invalid(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Sends one request on a connection of its own.
///
/// # Errors
/// Those of [`Connection`].
pub fn send(address: SocketAddr, request: &Request<'_>) -> io::Result<Response> {
    Connection::open(address)?.send(request)
}
