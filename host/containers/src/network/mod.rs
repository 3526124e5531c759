//! Networks: one bridge per environment, names inside it, and walls around it.
//!
//! **Invariant: the wall stands before the door opens.** The nft table that denies containers the host,
//! link-local metadata and foreign bridges is in force before a container's interface exists; calls of
//! all hosts on the machine are serialised by one lock; a broken namespace is recreated, never repaired.

mod aardvark;
mod dial;
mod inside;
mod iptables;
mod known;
pub(crate) mod leftovers;
mod netavark;
mod netns;
mod nft;
mod routes;
mod state;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Result;
use crate::runtime::Attachment;

pub use inside::Inside;
pub use known::{KnownNetwork, known_networks};
pub use netavark::Netavark;
pub use routes::subnet_in_use;

/// Connects containers. Calls block; all are idempotent.
pub trait Network: Send + Sync {
    /// Makes sure that a network exists and returns its gateway.
    fn ensure(&self, network: &str) -> Result<Ipv4Addr>;
    /// Removes a network that no container is in.
    fn remove(&self, network: &str) -> Result<()>;
    /// Lets the network's containers reach these, beyond the defaults, in place of what was allowed
    /// before. A network that does not exist is made, unless nothing is allowed.
    fn allow(&self, network: &str, destinations: &[SocketAddrV4]) -> Result<()>;
    /// Opens a connection to each address from inside the network, in a namespace of this name that is
    /// taken away again: `None` where it was accepted, else the reason.
    fn dial(
        &self,
        name: &str,
        network: &str,
        addresses: &[SocketAddr],
        timeout: Duration,
    ) -> Result<Vec<Option<String>>>;
    /// Names of the networks.
    fn list(&self) -> Result<Vec<String>>;
    /// Gives a container a fresh network namespace with an address in the network, or those of its place.
    /// `reserved` is told of both as soon as they are the container's; what leads out of the namespace is there when
    /// this returns, and nothing may run in it before. What a failed one leaves goes with [`detach`](Self::detach), once
    /// nobody uses what was reserved.
    fn attach(
        &self,
        container: &str,
        attachment: &Attachment,
        reserved: Reserved<'_>,
    ) -> Result<Attached>;
    /// Makes a place for containers to come: a namespace with an address that belongs to none of them.
    fn ensure_place(&self, name: &str, attachment: &Attachment) -> Result<()>;
    /// Names of the places that begin so.
    fn places(&self, prefix: &str) -> Result<Vec<String>>;
    /// Takes a namespace and an address away: a container's own, or a place's.
    fn detach(&self, container: &str) -> Result<()>;
    /// Restores what others took away: a helper that died, walls that a reload of the machine's firewall
    /// has flushed. To be called at intervals.
    fn heal(&self) -> Result<()>;
    /// Containers and places that have a namespace or an address.
    fn attached(&self) -> Result<Vec<String>>;
    /// Removes everything of this host from the machine.
    fn teardown(&self) -> Result<()>;
}

/// Is told of a namespace and an address once.
pub type Reserved<'a> = &'a mut dyn FnMut(&Attached);

/// A container's place in a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// Its network namespace.
    pub netns: PathBuf,
    /// Its address.
    pub address: Ipv4Addr,
    /// The bridge's address, where names are resolved.
    pub gateway: Ipv4Addr,
}
