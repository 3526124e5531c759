//! A web server that is not on this machine, as far as addresses say: in a network namespace of its own, behind
//! a pair of interfaces that is no bridge.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::thread::UnshareFlags;
use windlass_containers::subnet_in_use;
use windlass_model::network::Subnet;

use crate::wait::wait_for;

/// Where clouds have their metadata.
pub const METADATA: [Ipv4Addr; 4] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];

/// What the server has under a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// A file with this content.
    File(&'static [u8]),
    /// The address of something else.
    Elsewhere(String),
    /// Nothing.
    Absent,
}

/// The running server; its interfaces go when this is dropped, and all of it with the process.
#[derive(Debug)]
pub struct OutsideServer {
    /// `http://ADDRESS:PORT`
    pub url: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The address of this machine beside it.
    pub gateway: Ipv4Addr,
    /// The interface on this machine.
    here: String,
}

impl OutsideServer {
    /// Starts one that asks `page` for what is under a path.
    ///
    /// # Panics
    /// Without root and `ip`.
    pub fn start(page: impl Fn(&str) -> Page + Send + 'static) -> Self {
        Self::start_in(MEASUREMENTS, 80, &[], page)
    }

    /// The same, which this machine also reaches under every address of [`METADATA`], see
    /// [`wait_for_metadata`].
    ///
    /// # Panics
    /// As [`start`](Self::start), and when it is not reached there.
    pub fn start_with_metadata(page: impl Fn(&str) -> Page + Send + 'static) -> Self {
        let server = Self::start_in(MEASUREMENTS, 80, &METADATA, page);
        for address in METADATA {
            // Behind the routes to servers of other tests: when those go, this one is reached.
            ip(&format!("route append {address}/32 dev {}", server.here));
        }
        wait_for_metadata();
        server
    }

    /// The same on this port of an address that counts as one of the public internet, though nobody there has it.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_public(port: u16, page: impl Fn(&str) -> Page + Send + 'static) -> Self {
        Self::start_in(RELAYS, port, &[], page)
    }

    fn start_in(
        block: Block,
        port: u16,
        others: &'static [Ipv4Addr],
        page: impl Fn(&str) -> Page + Send + 'static,
    ) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let (pid, count) = (std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        // A name of an interface has 15 letters at most.
        let interface = |end: char| format!("wlt{end}{pid:x}-{count}");
        let (here, there) = (interface('h'), interface('t'));
        let subnet = free_subnet(block, pid);
        let address = SocketAddr::from((subnet.host(0).unwrap(), port));
        let (url, gateway) = (format!("http://{address}"), subnet.gateway());
        let server = Self { url, address, gateway, here: here.clone() };
        let (sender, ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            // SAFETY: the thread has a network namespace of its own from here on, which nothing else shares.
            unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET).unwrap() };
            // What it runs is in its namespace; the process number names that of the others.
            ip(&format!("link add {there} type veth peer name {here} netns {pid}"));
            ip(&format!("addr add {}/30 dev {there}", address.ip()));
            for other in others {
                ip(&format!("addr add {other}/32 dev {there}"));
            }
            ip(&format!("link set {there} up"));
            let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap();
            sender.send(()).unwrap();
            for stream in listener.incoming().flatten() {
                // Who hangs up has what it wanted.
                let _gone = answer(stream, &page);
            }
        });
        ready.recv().expect("the server's network could not be made");
        ip(&format!("addr add {gateway}/30 dev {}", server.here));
        ip(&format!("link set {} up", server.here));
        server
    }
}

/// Waits until this machine reaches somebody under every address of [`METADATA`]: before and after somebody else
/// must not.
///
/// # Panics
/// When nobody is there.
pub fn wait_for_metadata() {
    for address in METADATA {
        wait_for("metadata is reached from the machine itself", Duration::from_secs(10), || {
            let socket = SocketAddr::from((address, 80));
            let reached = TcpStream::connect_timeout(&socket, Duration::from_secs(1));
            reached.map(drop).map_err(|e| format!("{socket}: {e}"))
        });
    }
}

impl Drop for OutsideServer {
    fn drop(&mut self) {
        let _gone = Command::new("ip").args(["link", "delete", &self.here]).output();
    }
}

fn ip(command: &str) {
    let status = Command::new("ip").args(command.split(' ')).status().unwrap();
    assert!(status.success(), "ip {command}");
}

/// A block of addresses: the first, and how many networks of four it has.
type Block = ([u8; 4], u32);

/// The block for measurements (RFC 2544).
const MEASUREMENTS: Block = ([198, 18, 0, 0], 1 << 15);
/// The block of relays of multicast (RFC 7450): public, and nobody's but that of the nearest relay, of which most
/// networks have none.
const RELAYS: Block = ([192, 52, 193, 0], 1 << 6);

/// A network of two addresses that no route of this machine uses.
fn free_subnet((first, count): Block, pid: u32) -> Subnet {
    let first = u32::from_be_bytes(first);
    let subnet = |n: u32| Subnet { base: Ipv4Addr::from(first + n % count * 4), prefix_bits: 30 };
    (pid..pid + count).map(subnet).find(|subnet| !subnet_in_use(*subnet)).unwrap()
}

fn answer(mut stream: TcpStream, page: &impl Fn(&str) -> Page) -> std::io::Result<()> {
    let mut request = [0_u8; 4096];
    let read = stream.read(&mut request)?;
    let head = String::from_utf8_lossy(&request[..read]);
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, more, body) = match page(path) {
        Page::File(body) => ("200 OK", String::new(), body),
        Page::Elsewhere(to) => ("302 Found", format!("location: {to}\r\n"), &b""[..]),
        Page::Absent => ("404 Not Found", String::new(), &b""[..]),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\n{more}content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(if method == "HEAD" { b"" } else { body })
}
