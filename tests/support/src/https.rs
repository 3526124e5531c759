//! An HTTPS server of this machine, certified by an authority of its own that nobody trusts who was not told to.
//!
//! It answers on the same port without TLS too, and keeps which it was: a client that leaves what is encrypted is seen.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tempfile::TempDir;

use crate::server::{Asked, READ_WITHIN, respond};

/// The first byte of a connection over TLS: a record of the handshake.
const HANDSHAKE: u8 = 22;

/// What OpenSSL is told. Nothing of the machine's own configuration takes part.
const OPENSSL_CNF: &str = "
[req]
distinguished_name = subject
x509_extensions = authority
[subject]
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
extendedKeyUsage = serverAuth
subjectAltName = DNS:localhost, IP:127.0.0.1
";

/// What it says to a request.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 200 with this body.
    File(Vec<u8>),
    /// 302 to this address.
    Redirect(String),
    /// 404.
    Absent,
}

/// A request that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visit {
    /// Whether it came over TLS.
    pub encrypted: bool,
    /// Path and query.
    pub target: String,
}

/// See the module. It listens on the loopback address until the test process ends.
#[derive(Debug)]
pub struct HttpsServer {
    port: u16,
    /// Keys and certificates.
    dir: TempDir,
    visits: Arc<Mutex<Vec<Visit>>>,
}

impl HttpsServer {
    /// `answer` says what becomes of each request, with TLS or without.
    ///
    /// # Panics
    /// When no port can be had, or OpenSSL makes no certificate.
    pub fn answering(answer: impl Fn(&Asked) -> Reply + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        certify(dir.path());
        let config = Arc::new(config(dir.path()));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let visits: Arc<Mutex<Vec<Visit>>> = Arc::default();
        let kept = Arc::clone(&visits);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up, or does not trust it, is no concern of the others.
                let _ = serve(&config, stream, &answer, &kept);
            }
        });
        Self { port, dir, visits }
    }

    /// Its port on `127.0.0.1`, which is `localhost`, too. It is certified for both.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address, without a path.
    pub fn base(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// A bundle of authorities for `SSL_CERT_FILE`: its own, and those that are trusted on this machine.
    pub fn trusted(&self) -> PathBuf {
        self.dir.path().join("trusted.pem")
    }

    /// The requests that came so far, oldest first.
    pub fn visits(&self) -> Vec<Visit> {
        self.visits.lock().unwrap().clone()
    }
}

fn serve(
    config: &Arc<ServerConfig>,
    mut stream: TcpStream,
    answer: &dyn Fn(&Asked) -> Reply,
    visits: &Mutex<Vec<Visit>>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(READ_WITHIN))?;
    let mut first = [0];
    if stream.peek(&mut first)? == 0 || first[0] != HANDSHAKE {
        return talk(&mut stream, false, answer, visits);
    }
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    talk(&mut stream, true, answer, visits)?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn talk<S: Read + Write>(
    stream: &mut S,
    encrypted: bool,
    answer: &dyn Fn(&Asked) -> Reply,
    visits: &Mutex<Vec<Visit>>,
) -> io::Result<()> {
    let asked = Asked::read(&mut *stream)?;
    visits.lock().unwrap().push(Visit { encrypted, target: asked.target().to_owned() });
    match answer(&asked) {
        Reply::File(body) => respond(stream, 200, &[], &body),
        Reply::Redirect(to) => respond(stream, 302, &[("location", to.as_str())], &[]),
        Reply::Absent => respond(stream, 404, &[], &[]),
    }
}

/// Makes an authority, a certificate by it, and the bundle that trusts it.
fn certify(dir: &Path) {
    std::fs::write(dir.join("openssl.cnf"), OPENSSL_CNF).unwrap();
    let key = ["-config", "openssl.cnf", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    let authority = ["-subj", "/CN=authority", "-keyout", "authority.key", "-out", "authority.pem"];
    openssl(dir, &[&["req", "-x509", "-nodes", "-days", "2"][..], &key, &authority].concat());
    let server = ["-subj", "/CN=localhost", "-keyout", "key.pem", "-out", "request.pem"];
    openssl(dir, &[&["req", "-new", "-nodes"][..], &key, &server].concat());
    let by = ["-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-days", "2"];
    let says = ["-extfile", "openssl.cnf", "-extensions", "server", "-out", "certificate.pem"];
    openssl(dir, &[&["x509", "-req", "-in", "request.pem"][..], &by, &says].concat());

    let of_machine = std::env::var_os("SSL_CERT_FILE")
        .map_or_else(|| PathBuf::from("/etc/ssl/certs/ca-certificates.crt"), PathBuf::from);
    let mut trusted = std::fs::read(dir.join("authority.pem")).unwrap();
    // A machine without any trusts nobody else.
    trusted.extend(std::fs::read(of_machine).unwrap_or_default());
    std::fs::write(dir.join("trusted.pem"), trusted).unwrap();
}

fn openssl(dir: &Path, args: &[&str]) {
    let ran = Command::new("openssl").args(args).current_dir(dir).output().unwrap();
    assert!(ran.status.success(), "{args:?}: {}", String::from_utf8_lossy(&ran.stderr));
}

fn config(dir: &Path) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = CertificateDer::pem_file_iter(dir.join("certificate.pem")).unwrap();
    let chain: Vec<CertificateDer<'static>> = chain.map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
    let config = ServerConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    config.with_single_cert(chain, key).unwrap()
}
