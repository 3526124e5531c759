//! Connections from inside a network, as its containers would make them: in a network namespace of
//! their own, behind the same walls.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::{Result, RuntimeError};

/// Tries each address at the same time; the answer is `None` for one that accepts, else the reason.
pub(super) fn all(
    netns: &Path,
    addresses: &[SocketAddr],
    timeout: Duration,
) -> Result<Vec<Option<String>>> {
    // The threads that it starts are born into the namespace.
    inside(netns, || {
        std::thread::scope(|scope| {
            let tries: Vec<_> = addresses
                .iter()
                .map(|address| scope.spawn(move || one(*address, timeout)))
                .collect();
            let failed = || Some("the try itself failed".to_owned());
            tries.into_iter().map(|it| it.join().unwrap_or_else(|_| failed())).collect()
        })
    })
}

/// Whether the name server at this address knows a name, asked for its IPv4 address from inside.
pub(super) fn resolves(
    netns: &Path,
    server: Ipv4Addr,
    name: &str,
    timeout: Duration,
) -> Result<bool> {
    inside(netns, || ask(server, &question(name), timeout).unwrap_or(false))
}

/// Runs this in a network namespace, on a thread of its own: the namespace is that of the thread alone.
fn inside<T: Send>(netns: &Path, work: impl FnOnce() -> T + Send) -> Result<T> {
    let file = File::open(netns).map_err(RuntimeError::io("open", netns))?;
    let done = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(work())
        });
        thread.join().unwrap_or(Err(rustix::io::Errno::IO))
    });
    done.map_err(RuntimeError::os("enter network namespace", netns))
}

/// A query for the A records of a name (RFC 1035, section 4.1). Labels longer than 63 bytes have no form.
fn question(name: &str) -> Vec<u8> {
    let mut query = vec![0x57, 0x4c, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        query.push(u8::try_from(label.len()).unwrap_or(u8::MAX) & 0x3f);
        query.extend(label.bytes().take(63));
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

/// Whether an answer came that has records and no error.
fn ask(server: Ipv4Addr, query: &[u8], timeout: Duration) -> std::io::Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.set_read_timeout(Some(timeout))?;
    socket.connect((server, 53))?;
    socket.send(query)?;
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer)?;
    let is_ours = length >= 12 && answer[..2] == query[..2];
    Ok(is_ours && answer[3] & 0xf == 0 && answer[6..8] != [0, 0])
}

fn one(address: SocketAddr, timeout: Duration) -> Option<String> {
    match TcpStream::connect_timeout(&address, timeout) {
        Ok(_) => None,
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
            Some(format!("no answer within {} s", timeout.as_secs()))
        }
        Err(error) => Some(error.to_string()),
    }
}
