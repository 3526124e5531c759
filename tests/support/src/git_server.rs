//! A Git server over HTTP that wants a token: `git http-backend` behind a few lines of HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;

use crate::repo::GitRepo;

/// Between two looks whether an answer is still held.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A server that lives as long as the test's process.
#[derive(Debug)]
pub struct GitServer {
    address: SocketAddr,
    public: Arc<AtomicBool>,
    held: Arc<AtomicBool>,
}

impl GitServer {
    /// Serves a repository as `/shop.git` to those who know the token.
    ///
    /// # Panics
    /// When no port can be had.
    pub fn start(repo: &GitRepo, token: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (root, token) = (repo.path().to_owned(), token.to_owned());
        let public = Arc::new(AtomicBool::new(false));
        let held = Arc::new(AtomicBool::new(false));
        let (open, waits) = (Arc::clone(&public), Arc::clone(&held));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (root, token) = (root.clone(), token.clone());
                let open = open.load(Ordering::SeqCst);
                let waits = Arc::clone(&waits);
                std::thread::spawn(move || {
                    while waits.load(Ordering::SeqCst) {
                        std::thread::park_timeout(LOOK_EVERY);
                    }
                    // A client that hangs up has what it wanted.
                    let _ = answer(stream, &root, &token, open);
                });
            }
        });
        Self { address, public, held }
    }

    /// From now on, whether everyone may read.
    pub fn make_public(&self, public: bool) {
        self.public.store(public, Ordering::SeqCst);
    }

    /// From now on, whether everyone waits for an answer.
    pub fn hold(&self, held: bool) {
        self.held.store(held, Ordering::SeqCst);
    }

    /// Address of the repository, or of one that does not exist.
    pub fn url(&self, name: &str) -> String {
        format!("http://{}/{name}", self.address)
    }
}

struct Asked {
    method: String,
    path: String,
    query: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Asked {
    fn read(stream: &mut BufReader<&TcpStream>) -> std::io::Result<Self> {
        let mut first = String::new();
        stream.read_line(&mut first)?;
        let mut words = first.split_whitespace().map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            stream.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut asked = Self {
            method,
            path: path.to_owned(),
            query: query.to_owned(),
            headers,
            body: Vec::new(),
        };
        let length = asked.header("content-length").parse().unwrap_or(0);
        asked.body.resize(length, 0);
        stream.read_exact(&mut asked.body)?;
        Ok(asked)
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map_or("", |(_, value)| value.as_str())
    }

    /// Whether the password of its basic authorization is the token, whatever the name.
    fn knows(&self, token: &str) -> bool {
        let encoded = self.header("authorization").strip_prefix("Basic ").unwrap_or_default();
        let decoded = base64::engine::general_purpose::STANDARD.decode(encoded);
        let text = String::from_utf8(decoded.unwrap_or_default()).unwrap_or_default();
        text.split_once(':').is_some_and(|(_, password)| password == token)
    }
}

fn answer(stream: TcpStream, root: &Path, token: &str, open: bool) -> std::io::Result<()> {
    let asked = Asked::read(&mut BufReader::new(&stream))?;
    let mut stream = stream;
    if !open && !asked.knows(token) {
        return stream.write_all(
            b"HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"git\"\r\n\
              content-length: 0\r\nconnection: close\r\n\r\n",
        );
    }
    let Some(rest) = asked.path.strip_prefix("/shop.git/") else {
        return stream.write_all(
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        );
    };
    let output = backend(&asked, root, rest)?;
    let end = output.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(output.len());
    let head = String::from_utf8_lossy(&output[..end]).into_owned();
    let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200 OK");
    stream.write_all(format!("HTTP/1.1 {status}\r\nconnection: close\r\n").as_bytes())?;
    for line in head.lines().filter(|line| !line.starts_with("Status: ")) {
        stream.write_all(format!("{line}\r\n").as_bytes())?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(output.get(end + 4..).unwrap_or_default())
}

fn backend(asked: &Asked, root: &Path, rest: &str) -> std::io::Result<Vec<u8>> {
    let project: PathBuf = root.join(".git");
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", project)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{rest}"))
        .env("REQUEST_METHOD", &asked.method)
        .env("QUERY_STRING", &asked.query)
        .env("CONTENT_TYPE", asked.header("content-type"))
        .env("CONTENT_LENGTH", asked.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", asked.header("content-encoding"))
        .env("GIT_PROTOCOL", asked.header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take();
    if let Some(input) = &mut input {
        input.write_all(&asked.body)?;
    }
    drop(input);
    Ok(child.wait_with_output()?.stdout)
}
