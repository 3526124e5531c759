//! A mail server of this machine, in plain text, that keeps what it takes and refuses what a test says.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::wait::wait_for;

/// How long a client may take for a line.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// Longest line, and longest message, that is read.
const BYTES_MAX: u64 = 1 << 20;

/// A mail that was taken.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mail {
    /// The name by which the client greeted.
    pub client: String,
    /// User and password, if it has logged in.
    pub login: Option<(String, String)>,
    /// The sender of the envelope.
    pub from: String,
    /// The receivers of the envelope.
    pub to: Vec<String>,
    /// Headers and text as they came, without the dots that were added on the way.
    pub message: String,
}

impl Mail {
    /// The value of a header, its lines made one.
    pub fn header(&self, name: &str) -> Option<String> {
        let head = self.message.split("\r\n\r\n").next()?.replace("\r\n ", " ");
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
        lines.find(|(known, _)| *known == name).map(|(_, value)| value.to_owned())
    }

    /// What stands below the headers.
    pub fn body(&self) -> &str {
        self.message.split_once("\r\n\r\n").map_or("", |(_, body)| body)
    }
}

/// See the module. It listens until the test process ends.
#[derive(Debug)]
pub struct SmtpServer {
    /// An address of this machine that its containers may be let through to.
    pub address: SocketAddrV4,
    taken: Arc<Mutex<VecDeque<Mail>>>,
    commands: Arc<Mutex<Vec<String>>>,
}

impl SmtpServer {
    /// Starts one with these extensions, such as `AUTH PLAIN`. `refuse` is asked about each command, with the number of
    /// connections before, and gives the answer to one that is not carried out.
    ///
    /// # Panics
    /// When no port can be had, or the machine has no address but that of its loopback.
    pub fn start(
        extensions: &'static [&'static str],
        refuse: impl Fn(&str, usize) -> Option<&'static str> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind((own_address(), 0)).unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("no IPv4") };
        let taken = Arc::<Mutex<VecDeque<Mail>>>::default();
        let commands = Arc::<Mutex<Vec<String>>>::default();
        let (kept, said) = (Arc::clone(&taken), Arc::clone(&commands));
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().flatten().enumerate() {
                let session = Session {
                    extensions,
                    taken: &kept,
                    commands: &said,
                    refuse: &|command: &str| refuse(command, number),
                };
                // A client that hangs up is no concern of the others.
                let _gone = session.serve(&stream);
            }
        });
        Self { address, taken, commands }
    }

    /// What was taken so far and nobody asked for, oldest first.
    pub fn taken(&self) -> Vec<Mail> {
        self.taken.lock().unwrap().iter().cloned().collect()
    }

    /// Every command so far, of all connections.
    pub fn commands(&self) -> Vec<String> {
        self.commands.lock().unwrap().clone()
    }

    /// Takes the oldest mail; waits for it.
    ///
    /// # Panics
    /// When none comes within the deadline.
    pub fn next(&self, deadline: Duration) -> Mail {
        wait_for("a mail comes", deadline, || {
            self.taken.lock().unwrap().pop_front().ok_or_else(|| "none came".to_owned())
        })
    }
}

/// The address from which this machine reaches others; nothing is sent to find it.
fn own_address() -> Ipv4Addr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect("192.0.2.1:9").expect("this machine has no route to others");
    let SocketAddr::V4(address) = socket.local_addr().unwrap() else { panic!("no IPv4") };
    assert!(!address.ip().is_loopback(), "this machine has no address but {address}");
    *address.ip()
}

/// One connection.
struct Session<'a> {
    extensions: &'static [&'static str],
    taken: &'a Mutex<VecDeque<Mail>>,
    commands: &'a Mutex<Vec<String>>,
    refuse: &'a dyn Fn(&str) -> Option<&'static str>,
}

impl Session<'_> {
    fn serve(&self, stream: &TcpStream) -> Result<()> {
        stream.set_read_timeout(Some(READ_WITHIN))?;
        let mut reader = BufReader::new(stream);
        let say = |text: &str| {
            let mut to = stream;
            to.write_all(format!("{text}\r\n").as_bytes())
        };
        say("220 mail.test ESMTP")?;
        let mut mail = Mail::default();
        loop {
            let line = read_line(&mut reader)?;
            self.commands.lock().unwrap().push(line.clone());
            if let Some(answer) = (self.refuse)(&line) {
                say(answer)?;
                continue;
            }
            let (verb, rest) = line.split_once(' ').unwrap_or((line.as_str(), ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" => {
                    rest.clone_into(&mut mail.client);
                    self.extensions.iter().try_for_each(|name| say(&format!("250-{name}")))?;
                    say("250 HELP")?;
                }
                "AUTH" => {
                    say("334 ")?;
                    mail.login = Some(login(&read_line(&mut reader)?)?);
                    say("235 2.7.0 welcome")?;
                }
                "MAIL" => {
                    mail.from = bracketed(rest)?;
                    say("250 2.1.0 ok")?;
                }
                "RCPT" => {
                    mail.to.push(bracketed(rest)?);
                    say("250 2.1.5 ok")?;
                }
                "DATA" => {
                    say("354 go on")?;
                    mail.message = read_message(&mut reader)?;
                    self.taken.lock().unwrap().push_back(mail.clone());
                    say("250 2.0.0 taken")?;
                }
                "QUIT" => return say("221 2.0.0 bye"),
                _ => say("502 5.5.1 not known here")?,
            }
        }
    }
}

fn odd(line: &str) -> Error {
    Error::new(ErrorKind::InvalidData, line)
}

/// A line without its CR and LF, which it must have.
fn read_line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    reader.take(BYTES_MAX).read_line(&mut line)?;
    line.strip_suffix("\r\n").map(str::to_owned).ok_or_else(|| odd(&line))
}

fn read_message(reader: &mut impl BufRead) -> Result<String> {
    let mut message = String::new();
    loop {
        let line = read_line(reader)?;
        if line == "." {
            return Ok(message);
        }
        message.push_str(line.strip_prefix('.').unwrap_or(&line));
        message.push_str("\r\n");
        if message.len() as u64 > BYTES_MAX {
            return Err(odd("the message is too long"));
        }
    }
}

/// What stands in angle brackets.
fn bracketed(text: &str) -> Result<String> {
    let inner = text.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
    inner.map(|(inner, _)| inner.to_owned()).ok_or_else(|| odd(text))
}

/// User and password of `AUTH PLAIN` (RFC 4616).
fn login(line: &str) -> Result<(String, String)> {
    let bytes = STANDARD.decode(line).map_err(|_| odd(line))?;
    let text = String::from_utf8(bytes).map_err(|_| odd(line))?;
    let mut parts = text.split('\0').skip(1).map(str::to_owned);
    match (parts.next(), parts.next()) {
        (Some(user), Some(password)) => Ok((user, password)),
        _ => Err(odd(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    /// Says all of it to a server; its answers.
    fn said(server: &SmtpServer, lines: &str) -> String {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream.write_all(lines.replace('\n', "\r\n").as_bytes()).unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).unwrap();
        answers
    }

    #[test]
    fn a_mail_is_kept_with_its_envelope_and_what_is_refused_is_not() {
        let server = SmtpServer::start(&["AUTH PLAIN"], |command, number| {
            (number == 0 && command.starts_with("RCPT")).then_some("451 4.7.1 later")
        });
        let login = STANDARD.encode("\0me\0secret");
        let mail = format!(
            "EHLO a.example\nAUTH PLAIN\n{login}\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nDATA\nSubject: x\n y\n\n\
             ..one\nend\n.\nQUIT\n"
        );
        let early = said(&server, "EHLO a\nMAIL FROM:<a@b>\nRCPT TO:<c@d>\nQUIT\n");
        assert!(early.contains("250-AUTH PLAIN\r\n250 HELP\r\n"), "{early}");
        assert!(early.ends_with("451 4.7.1 later\r\n221 2.0.0 bye\r\n"), "{early}");
        assert!(server.taken().is_empty());
        assert!(said(&server, &mail).ends_with("250 2.0.0 taken\r\n221 2.0.0 bye\r\n"));
        let kept = server.next(SOON);
        assert_eq!((kept.client.as_str(), kept.from.as_str()), ("a.example", "a@b"));
        assert_eq!(kept.login, Some(("me".to_owned(), "secret".to_owned())));
        assert_eq!(kept.to, ["c@d"]);
        assert_eq!(kept.header("Subject").unwrap(), "x y");
        assert_eq!(kept.body(), ".one\r\nend\r\n");
        assert_eq!(server.commands().iter().filter(|it| it.starts_with("RCPT")).count(), 2);
    }
}
