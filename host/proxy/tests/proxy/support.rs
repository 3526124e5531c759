//! A proxy of one's own, instances that do as told, and a visitor that reads exact bytes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use windlass_proxy::{
    DrainDeadlines, Instance, Listen, ProxyClient, ProxyConfig, ProxyError, ProxyLimits, Route,
    Targets, run,
};

/// Longer than anything here takes: a test that waits so long has failed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Proxy {
    pub(crate) client: ProxyClient,
    pub(crate) address: SocketAddr,
    pub(crate) folder: Arc<tempfile::TempDir>,
    pub(crate) role: JoinHandle<Result<(), ProxyError>>,
}

pub(crate) fn config(folder: &tempfile::TempDir, limits: ProxyLimits) -> ProxyConfig {
    ProxyConfig {
        listen: Listen::Addresses(vec!["127.0.0.1:0".parse().unwrap()]),
        control_socket: folder.path().join("proxy.sock"),
        table_file: folder.path().join("table.json"),
        limits,
        trusted_proxies: Vec::new(),
    }
}

impl Proxy {
    pub(crate) async fn start() -> Self {
        Self::with(ProxyLimits::default()).await
    }

    pub(crate) async fn with(limits: ProxyLimits) -> Self {
        Self::within(Arc::new(tempfile::tempdir().unwrap()), limits).await
    }

    pub(crate) async fn within(folder: Arc<tempfile::TempDir>, limits: ProxyLimits) -> Self {
        let config = config(&folder, limits);
        let socket = config.control_socket.clone();
        let role = tokio::spawn(run(config));
        let client = ProxyClient::connect(socket, 1).await.unwrap();
        let address = client.listeners().await.unwrap()[0];
        Self { client, address, folder, role }
    }

    /// Ends the proxy as SIGTERM would, and waits for it.
    pub(crate) async fn stop(self) -> Arc<tempfile::TempDir> {
        self.client.shutdown().await.unwrap();
        timeout(DEADLINE, self.role).await.unwrap().unwrap().unwrap();
        self.folder
    }

    pub(crate) async fn publish(&self, generation: u64, targets: Targets) {
        self.client.put_route(&route(generation, targets)).await.unwrap();
    }

    /// Waits until the route's generation has this many leases.
    pub(crate) async fn until_in_flight(&self, generation: u64, in_flight: u64) {
        until(async || {
            let stats = self.client.stats().await.unwrap();
            stats.generations.iter().any(|g| g.generation == generation && g.in_flight == in_flight)
        })
        .await;
    }
}

/// The route `shop/production` at `shop.test`.
pub(crate) fn route(generation: u64, targets: Targets) -> Route {
    Route {
        name: "shop/production".to_owned(),
        hosts: vec!["shop.test".to_owned()],
        is_default: false,
        generation,
        targets,
        drain: DrainDeadlines::default(),
    }
}

pub(crate) fn instances(addresses: &[SocketAddr]) -> Targets {
    let instance =
        |(i, address): (usize, &SocketAddr)| Instance { id: format!("web-{i}"), address: *address };
    Targets::Instances { instances: addresses.iter().enumerate().map(instance).collect() }
}

/// Waits until a condition holds.
pub(crate) async fn until(condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(DEADLINE, wait).await.expect("the condition never came true");
}

/// An address where nobody listens.
pub(crate) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// An HTTP message, read to its end.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) first_line: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn status(&self) -> u16 {
        self.first_line.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status line")
    }

    pub(crate) fn path(&self) -> &str {
        self.first_line.split(' ').nth(1).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// One end of a connection that speaks HTTP/1.1 by hand.
pub(crate) struct Wire(pub(crate) BufReader<TcpStream>);

impl Wire {
    pub(crate) async fn open(address: SocketAddr) -> Self {
        Self(BufReader::new(TcpStream::connect(address).await.unwrap()))
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    /// Sends a GET to `shop.test` and reads the whole answer; the connection stays.
    pub(crate) async fn get(&mut self, path: &str) -> Message {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: shop.test\r\n\r\n")).await;
        self.message().await.expect("an answer")
    }

    /// A head without its body; `None` when the connection ended before its first byte.
    pub(crate) async fn head(&mut self) -> Option<Message> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let read = timeout(DEADLINE, self.0.read_line(&mut line)).await.expect("in time");
            if read.ok()? == 0 {
                assert!(lines.is_empty(), "a head broke off: {lines:?}");
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut lines = lines.into_iter();
        let first_line = lines.next()?;
        let headers = lines.filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        });
        Some(Message { first_line, headers: headers.collect(), body: Vec::new() })
    }

    /// A whole message. Answers to HEAD are read with [`Wire::head`].
    pub(crate) async fn message(&mut self) -> Option<Message> {
        let mut message = self.head().await?;
        let no_body = ["204", "304", "101"].iter().any(|s| message.first_line.contains(s));
        if message.header("transfer-encoding") == Some("chunked") {
            while let Some(chunk) = self.chunk().await {
                message.body.extend(chunk);
            }
        } else if let Some(length) = message.header("content-length").filter(|_| !no_body) {
            message.body = vec![0; length.parse().unwrap()];
            timeout(DEADLINE, self.0.read_exact(&mut message.body)).await.unwrap().unwrap();
        }
        Some(message)
    }

    /// The next chunk of a chunked body; `None` after the last.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let mut size = String::new();
        timeout(DEADLINE, self.0.read_line(&mut size)).await.unwrap().unwrap();
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        let mut chunk = vec![0; size];
        self.0.read_exact(&mut chunk).await.unwrap();
        let mut end = String::new();
        self.0.read_line(&mut end).await.unwrap();
        (size > 0).then_some(chunk)
    }

    /// Waits until the other side has ended the connection.
    pub(crate) async fn ended(&mut self) {
        let mut rest = Vec::new();
        drop(timeout(DEADLINE, self.0.read_to_end(&mut rest)).await.expect("no end in time"));
    }
}

/// One request on a connection of its own.
pub(crate) async fn ask(address: SocketAddr, request: &str) -> Message {
    let mut wire = Wire::open(address).await;
    wire.send(request).await;
    wire.message().await.expect("an answer")
}

/// A GET on a connection of its own.
pub(crate) async fn get(address: SocketAddr, host: &str, path: &str) -> Message {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await
}

/// An instance: every connection is given to the handler.
pub(crate) async fn instance<F, Fut>(handler: F) -> SocketAddr
where
    F: Fn(Wire) -> Fut + Send + 'static,
    Fut: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(handler(Wire(BufReader::new(stream))));
        }
    });
    address
}

/// An instance that answers everything with its name, and keeps its connections.
pub(crate) async fn named(name: &'static str) -> SocketAddr {
    instance(move |mut wire| async move {
        while wire.message().await.is_some() {
            wire.send(&answer(name)).await;
        }
    })
    .await
}

pub(crate) fn answer(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}
