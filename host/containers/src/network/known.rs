//! The networks that the driver remembers, read without a driver: for a host that has lost its state.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;

use windlass_model::HostId;
use windlass_model::network::Subnet;

use super::state::State;
use crate::error::Result;

/// A network with the addresses of its containers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownNetwork {
    /// Its name.
    pub name: String,
    /// Its subnet.
    pub subnet: Subnet,
    /// Containers and their addresses.
    pub containers: BTreeMap<String, Ipv4Addr>,
}

/// The networks of a host on this machine; none after a reboot.
///
/// # Errors
/// When a record cannot be read.
pub fn known_networks(host: &HostId) -> Result<Vec<KnownNetwork>> {
    let state = State::new(Path::new("/run/windlass").join(host.as_str()).join("network"));
    let attachments = state.attachments()?;
    let known = |record: super::state::NetworkRecord| {
        let of = attachments.iter().filter(|attachment| attachment.network == record.name);
        let containers = of.map(|a| (a.container.clone(), a.address)).collect();
        KnownNetwork { name: record.name, subnet: record.subnet, containers }
    };
    Ok(state.networks()?.into_iter().map(known).collect())
}
