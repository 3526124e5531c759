//! Where an instance listens, as the kernel says: `/proc/<pid>/net/tcp` of its network namespace.
//!
//! It turns "connection refused" into "it listens on 127.0.0.1 only" or "it listens on 8080".

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The addresses that the processes in the namespace of `pid` listen on, IPv4 and IPv6. Empty when
/// the process is gone.
pub(crate) fn sockets(pid: u32) -> Vec<SocketAddr> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/net/{file}"));
    ["tcp", "tcp6"]
        .into_iter()
        .flat_map(|file| parse(&read(file).unwrap_or_default()))
        .filter(|socket| socket.ip() != IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)))
        .collect()
}

/// What is to be said about an application that refuses connections on its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listening {
    /// On the port, on an address that can be reached.
    Reachable,
    /// On the port, on the loopback address alone.
    LoopbackOnly,
    /// On other ports only.
    OtherPorts(Vec<u16>),
    /// Nowhere.
    Nowhere,
}

/// Judges the sockets of an instance that was told to listen on `port`.
pub(crate) fn judge(sockets: &[SocketAddr], port: u16) -> Listening {
    let on_port: Vec<&SocketAddr> = sockets.iter().filter(|s| s.port() == port).collect();
    if on_port.iter().any(|socket| !socket.ip().is_loopback()) {
        return Listening::Reachable;
    }
    if !on_port.is_empty() {
        return Listening::LoopbackOnly;
    }
    let mut others: Vec<u16> = sockets.iter().map(SocketAddr::port).collect();
    others.sort_unstable();
    others.dedup();
    if others.is_empty() { Listening::Nowhere } else { Listening::OtherPorts(others) }
}

fn parse(table: &str) -> Vec<SocketAddr> {
    let listening = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        (state == LISTEN).then(|| address(local)).flatten()
    };
    table.lines().skip(1).filter_map(listening).collect()
}

/// `0100007F:0BB8` is 127.0.0.1:3000: 32-bit words in the machine's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word =
        |n: usize| Some(u32::from_str_radix(ip.get(n * 8..n * 8 + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match ip.len() {
        8 => IpAddr::from(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut octets = [0; 16];
            for n in 0..4 {
                octets[n * 4..n * 4 + 4].copy_from_slice(&word(n)?);
            }
            IpAddr::from(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_of_this_process_are_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let here = listener.local_addr().unwrap();
        assert!(sockets(std::process::id()).contains(&here));
    }

    #[test]
    fn both_families_are_read() {
        let table = "  sl  local_address rem_address   st\n   \
             0: 0100007F:0BB8 00000000:0000 0A\n   1: 0100007F:0BB9 0100007F:0001 01\n   \
             2: 00000000000000000000000000000000:1F90 00000000000000000000000000000000:0000 0A\n";
        if cfg!(target_endian = "little") {
            let expected: Vec<SocketAddr> =
                vec!["127.0.0.1:3000".parse().unwrap(), "[::]:8080".parse().unwrap()];
            assert_eq!(parse(table), expected);
        }
    }

    #[test]
    fn the_judgement_names_what_is_wrong() {
        let sockets = |list: &[&str]| list.iter().map(|s| s.parse().unwrap()).collect::<Vec<_>>();
        for (given, expected) in [
            (sockets(&["0.0.0.0:3000"]), Listening::Reachable),
            (sockets(&["[::]:3000"]), Listening::Reachable),
            (sockets(&["127.0.0.1:3000"]), Listening::LoopbackOnly),
            (sockets(&["[::1]:3000", "0.0.0.0:9"]), Listening::LoopbackOnly),
            (sockets(&["0.0.0.0:8080", "0.0.0.0:80"]), Listening::OtherPorts(vec![80, 8080])),
            (sockets(&[]), Listening::Nowhere),
        ] {
            assert_eq!(judge(&given, 3000), expected, "{given:?}");
        }
    }
}
