//! An HTTP proxy before a registry, which goes wrong where a test says so, and asks for a token.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;

/// What goes wrong with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The answer's body ends after so many bytes.
    CutAnswer(usize),
    /// The request's body is read so far.
    CutRequest(usize),
    /// This status instead of an answer, with a pause to be made of no seconds.
    Status(u16),
    /// One byte of the answer's body is another one.
    Corrupt,
    /// Ranges are not understood.
    NoRange,
    /// Nothing comes before all is healed.
    Stall,
}

/// A fault for the next requests of a kind.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    /// `GET`
    pub(crate) method: &'static str,
    /// Part of the address.
    pub(crate) address: String,
    pub(crate) fault: Fault,
    pub(crate) times: usize,
}

#[derive(Default)]
struct Shared {
    rules: Vec<Rule>,
    seen: Vec<String>,
    login: Option<(String, String)>,
}

/// The proxy; it ends with the process.
pub(crate) struct Proxy {
    pub(crate) address: String,
    shared: Arc<Mutex<Shared>>,
}

impl Proxy {
    pub(crate) fn start(registry: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::<Mutex<Shared>>::default();
        let (registry, of_threads) = (registry.to_owned(), Arc::clone(&shared));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (registry, shared) = (registry.clone(), Arc::clone(&of_threads));
                std::thread::spawn(move || {
                    let _hung_up = serve(client, &registry, &shared);
                });
            }
        });
        Self { address, shared }
    }

    /// The next requests of this kind go wrong.
    pub(crate) fn fail(&self, method: &'static str, address: &str, fault: Fault, times: usize) {
        let rule = Rule { method, address: address.to_owned(), fault, times };
        self.shared.lock().unwrap().rules.push(rule);
    }

    /// Nothing goes wrong any more.
    pub(crate) fn heal(&self) {
        self.shared.lock().unwrap().rules.clear();
    }

    /// A token is wanted, which is given for this login.
    pub(crate) fn ask_for_token(&self, user: &str, password: &str) {
        self.shared.lock().unwrap().login = Some((user.to_owned(), password.to_owned()));
    }

    /// Requests with this in their first line or their headers, since they were asked for last.
    pub(crate) fn take_seen(&self, part: &str) -> Vec<String> {
        let seen = std::mem::take(&mut self.shared.lock().unwrap().seen);
        seen.into_iter().filter(|head| head.contains(part)).collect()
    }
}

/// Reads a head: to the empty line.
fn read_head(from: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if from.read(&mut byte)? == 0 {
            return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
        }
        head.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn serve(mut client: TcpStream, registry: &str, shared: &Mutex<Shared>) -> std::io::Result<()> {
    let head = read_head(&mut client)?;
    let first = head.lines().next().unwrap_or_default().to_owned();
    let (fault, login) = {
        let mut shared = shared.lock().unwrap();
        shared.seen.push(head.clone());
        let rule = shared.rules.iter_mut().find(|rule| {
            rule.times > 0 && first.starts_with(rule.method) && first.contains(&rule.address)
        });
        let fault = rule.map(|rule| {
            rule.times -= 1;
            rule.fault
        });
        (fault, shared.login.clone())
    };
    if let Some((user, password)) = login {
        let own = client.local_addr()?.to_string();
        if let Some(answer) = token_answer(&head, &own, &user, &password) {
            return client.write_all(answer.as_bytes());
        }
    }
    while fault == Some(Fault::Stall) && is_stalled(shared) {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    if let Some(Fault::Status(status)) = fault {
        let answer = format!(
            "HTTP/1.1 {status} Trouble\r\nretry-after: 0\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        );
        return client.write_all(answer.as_bytes());
    }
    let mut server = TcpStream::connect(registry)?;
    let gone = |line: &&str| {
        let line = line.to_ascii_lowercase();
        let range = fault == Some(Fault::NoRange) && line.starts_with("range:");
        !line.starts_with("connection:") && !line.starts_with("authorization: bearer") && !range
    };
    let kept: Vec<&str> = head.trim_end().lines().filter(gone).collect();
    server.write_all(format!("{}\r\nconnection: close\r\n\r\n", kept.join("\r\n")).as_bytes())?;
    let request_max = match fault {
        Some(Fault::CutRequest(bytes)) => Some(bytes),
        _ => None,
    };
    let upload = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        let (mut from, mut to) = upload;
        let Some(bytes) = request_max else {
            let _hung_up = std::io::copy(&mut from, &mut to);
            return;
        };
        let _hung_up = std::io::copy(&mut (&mut from).take(bytes as u64), &mut to);
        let _gone = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
    });
    let answered = answer(&mut server, &mut client, fault);
    let _gone = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
    answered
}

fn is_stalled(shared: &Mutex<Shared>) -> bool {
    shared.lock().unwrap().rules.iter().any(|rule| rule.fault == Fault::Stall)
}

fn answer(
    server: &mut TcpStream,
    client: &mut TcpStream,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    client.write_all(read_head(server)?.as_bytes())?;
    match fault {
        Some(Fault::CutAnswer(bytes)) => {
            std::io::copy(&mut server.take(bytes as u64), client)?;
        }
        Some(Fault::Corrupt) => {
            let mut first = [0];
            server.read_exact(&mut first)?;
            client.write_all(&[first[0] ^ 0x55])?;
            std::io::copy(server, client)?;
        }
        _ => {
            std::io::copy(server, client)?;
        }
    }
    Ok(())
}

/// The answer of a registry that wants a token, or of its token service; none where the token is right.
fn token_answer(head: &str, own: &str, user: &str, password: &str) -> Option<String> {
    let lower = head.to_ascii_lowercase();
    if head.starts_with("GET /token") {
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let scoped = head.contains("scope=repository%3A") && head.contains("service=tests");
        let (status, body) = match head.contains(&format!("Basic {pair}")) && scoped {
            true => ("200 OK", r#"{"token":"t-1"}"#),
            false => ("401 No", "{}"),
        };
        let length = body.len();
        return Some(format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ));
    }
    if lower.contains("authorization: bearer t-1") {
        return None;
    }
    Some(format!(
        "HTTP/1.1 401 No\r\nwww-authenticate: Bearer realm=\"http://{own}/token\",service=\"tests\"\r\n\
         content-length: 0\r\nconnection: close\r\n\r\n"
    ))
}
