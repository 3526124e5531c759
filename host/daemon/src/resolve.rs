//! Looks a name up as a container of an environment would: at its network's own name server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr as _;
use std::time::Duration;

use hickory_proto::op::{Message, MessageType, OpCode, Query};
use hickory_proto::rr::{Name, RData, RecordType};

const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Largest answer over UDP without extensions (RFC 1035, 4.2.1), with room to spare.
const ANSWER_BYTES_MAX: usize = 4096;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error("{name} is no host name")]
    NoName { name: String },
    #[error("the network's name server does not know {name}")]
    Unknown { name: String },
    #[error("the network's name server could not be asked for {name}: {source}")]
    Server {
        name: String,
        #[source]
        source: std::io::Error,
    },
}

/// The first IPv4 address of `host`, asked of the name server at `server`, port 53.
pub(crate) async fn address(server: Ipv4Addr, host: &str) -> Result<Ipv4Addr, ResolveError> {
    let name = || host.to_owned();
    let asked = Name::from_str(host).map_err(|_| ResolveError::NoName { name: name() })?;
    let answer =
        ask(server, asked).await.map_err(|source| ResolveError::Server { name: name(), source })?;
    let first = answer.answers.iter().find_map(|record| match &record.data {
        RData::A(address) => Some(address.0),
        _ => None,
    });
    first.ok_or_else(|| ResolveError::Unknown { name: name() })
}

async fn ask(server: Ipv4Addr, name: Name) -> std::io::Result<Message> {
    let id = u16::try_from(std::process::id() & 0xffff).unwrap_or(1);
    let mut question = Message::new(id, MessageType::Query, OpCode::Query);
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name, RecordType::A));
    let bytes = question.to_vec().map_err(std::io::Error::other)?;
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
    socket.connect(SocketAddr::new(IpAddr::V4(server), 53)).await?;
    socket.send(&bytes).await?;
    let mut buffer = vec![0; ANSWER_BYTES_MAX];
    let length = tokio::time::timeout(ANSWER_WITHIN, socket.recv(&mut buffer)).await??;
    Message::from_vec(&buffer[..length]).map_err(std::io::Error::other)
}
