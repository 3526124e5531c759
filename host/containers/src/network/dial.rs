//! Connections from inside a network, as its containers would make them: in a network namespace of
//! their own, behind the same walls.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
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
    let file = File::open(netns).map_err(RuntimeError::io("open", netns))?;
    // The namespace is that of a thread alone, which ends here; those that it starts are born into it.
    let tried = std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            Ok(std::thread::scope(|scope| {
                let tries: Vec<_> = addresses
                    .iter()
                    .map(|address| scope.spawn(move || one(*address, timeout)))
                    .collect();
                let failed = || Some("the try itself failed".to_owned());
                tries.into_iter().map(|it| it.join().unwrap_or_else(|_| failed())).collect()
            }))
        });
        inside.join().unwrap_or(Err(rustix::io::Errno::IO))
    });
    tried.map_err(RuntimeError::os("enter network namespace", netns))
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
