//! What reaches for more than a plugin has: files outside the source, changes to it, sockets, the
//! environment. What came of each try is evidence, as a name and what was seen.

use std::fs;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::time::Duration;

use windlass_sdk::{Detection, Source};

/// A file, by every name that might lead to one outside. The first is inside.
const PATHS: [&str; 24] = [
    "inside",
    "../outside",
    "folder/../../outside",
    "folder/../../../../../../../../../etc/passwd",
    "./../outside",
    "/etc/passwd",
    "//etc/passwd",
    "/src/../etc/passwd",
    "link-to-outside",
    "link-to-outside/",
    "link-to-absolute",
    "link-to-absolute/.",
    "link-to-folder/outside",
    "link-to-folder/",
    "link-to-folder//outside",
    "link-to-folder/./outside",
    "chain-1",
    "link-to-proc/self/environ",
    "link-to-proc/self/root/etc/passwd",
    "inside/",
    "pipe",
    "device",
    "inside\0/../../outside",
    "..\\outside",
];

/// Reads files by both ways that there are, and lists what is a folder.
pub(crate) fn paths(found: Detection) -> Detection {
    let source = Source::root();
    PATHS.into_iter().fold(found, |found, path| {
        let batch = source.read(path).map_err(|error| format!("{error:?}"));
        let wasi = fs::read(format!("/src/{path}")).map_err(|error| error.kind().to_string());
        let folder = fs::read_dir(format!("/src/{path}")).map(|entries| {
            let name = |entry: io::Result<fs::DirEntry>| {
                entry.map_or_else(|_| "?".to_owned(), |entry| entry.path().display().to_string())
            };
            entries.map(name).collect::<Vec<_>>().join(" ")
        });
        found
            .evidence(format!("batch {path}"), seen(batch.map(text)))
            .evidence(format!("wasi {path}"), seen(wasi.map(text)))
            .evidence(format!("folder {path}"), seen(folder))
    })
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).chars().take(200).collect()
}

fn seen<E: std::fmt::Display>(result: Result<String, E>) -> String {
    match result {
        Ok(text) => format!("seen: {text}"),
        Err(error) => format!("denied: {error}"),
    }
}

/// Tries to change the source.
pub(crate) fn changes(found: Detection) -> Detection {
    let done = |result: io::Result<()>| match result {
        Ok(()) => "done".to_owned(),
        Err(error) => format!("denied: {}", error.kind()),
    };
    let append = fs::OpenOptions::new().append(true).open("/src/inside").map(drop);
    let truncate = fs::OpenOptions::new().write(true).open("/src/inside");
    found
        .evidence("create", done(fs::write("/src/created", "x")))
        .evidence("create outside", done(fs::write("/src/../created", "x")))
        .evidence("create at the root", done(fs::write("/created", "x")))
        .evidence("append", done(append))
        .evidence("truncate", done(truncate.and_then(|file| file.set_len(0))))
        .evidence("remove", done(fs::remove_file("/src/inside")))
        .evidence("remove folder", done(fs::remove_dir("/src/folder")))
        .evidence("rename", done(fs::rename("/src/inside", "/src/renamed")))
        .evidence("rename out", done(fs::rename("/src/inside", "/src/../renamed")))
        .evidence("make folder", done(fs::create_dir("/src/made")))
        .evidence("hard link", done(fs::hard_link("/src/inside", "/src/hard")))
        .evidence("through a link", done(fs::write("/src/link-to-outside", "x")))
}

/// Tries every kind of socket, and to resolve a name.
pub(crate) fn sockets(found: Detection) -> Detection {
    let tcp = |to: &str| {
        let address = to.to_socket_addrs().and_then(|mut all| all.next().ok_or_else(none));
        address.and_then(|to| TcpStream::connect_timeout(&to, Duration::from_secs(1)).map(drop))
    };
    let opened = |result: io::Result<()>| match result {
        Ok(()) => "opened".to_owned(),
        Err(error) => format!("denied: {:?}", error.kind()),
    };
    let sent = UdpSocket::bind("0.0.0.0:0")
        .and_then(|socket| socket.send_to(b"x", "127.0.0.1:53").map(drop));
    found
        .evidence("tcp loopback", opened(tcp("127.0.0.1:22")))
        .evidence("tcp metadata", opened(tcp("169.254.169.254:80")))
        .evidence("tcp private", opened(tcp("10.0.0.1:443")))
        .evidence("tcp mapped", opened(tcp("[::ffff:127.0.0.1]:22")))
        .evidence("listen", opened(TcpListener::bind("127.0.0.1:0").map(drop)))
        .evidence("listen everywhere", opened(TcpListener::bind("[::]:0").map(drop)))
        .evidence("udp", opened(sent))
        .evidence("resolve", opened("localhost:80".to_socket_addrs().map(drop)))
}

fn none() -> io::Error {
    io::Error::from(ErrorKind::AddrNotAvailable)
}

/// Looks at what a process has from its parent.
pub(crate) fn environment(found: Detection) -> Detection {
    let variables: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    let arguments: Vec<String> = std::env::args().collect();
    let mut input = String::new();
    let read = io::Read::read_to_string(&mut io::stdin(), &mut input).unwrap_or_default();
    let root = fs::read_dir("/").map(|entries| entries.count());
    found
        .evidence("variables", variables.join(" "))
        .evidence("arguments", arguments.join(" "))
        .evidence("input", read.to_string())
        .evidence("root", root.unwrap_or_default().to_string())
}

/// Reads a file again and again while somebody exchanges a folder of its path for a link that leads out;
/// says how often what was read was not what is inside.
pub(crate) fn race(found: Detection) -> Detection {
    let (mut inside, mut outside, mut refused) = (0_u32, 0_u32, 0_u32);
    let mut count = |read: Option<Vec<u8>>| match read {
        Some(bytes) if bytes.starts_with(b"inside") => inside += 1,
        Some(_) => outside += 1,
        None => refused += 1,
    };
    for _ in 0..3_000 {
        // A source remembers what it read.
        count(Source::root().read("door/file").ok());
        count(fs::read("/src/door/file").ok());
    }
    found
        .evidence("inside", inside.to_string())
        .evidence("outside", outside.to_string())
        .evidence("refused", refused.to_string())
}
