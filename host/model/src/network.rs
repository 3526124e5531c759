//! Addresses, as plain data: who hands them out is the store's business.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// An IPv4 network of one environment (or of the builds), e.g. `10.213.4.0/24`. The first address is
/// the bridge's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subnet {
    /// Network address.
    pub base: Ipv4Addr,
    /// Bits of the prefix, 8 to 30.
    pub prefix_bits: u8,
}

impl Subnet {
    /// The bridge's address.
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.base) + 1)
    }

    /// The nth address for a container, counted from 0; `None` past the end.
    pub fn host(self, n: u32) -> Option<Ipv4Addr> {
        let size = 1_u32 << (32 - u32::from(self.prefix_bits));
        (n + 3 < size).then(|| Ipv4Addr::from(u32::from(self.base) + 2 + n))
    }
}

impl std::fmt::Display for Subnet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix_bits)
    }
}

/// Why no address could be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AddressError {
    /// All are in use.
    #[error("no free address is left in {pool}")]
    Exhausted {
        /// What ran out: a subnet, or the pool of subnets.
        pool: String,
    },
    /// The allotment could not be recorded.
    #[error("the address could not be recorded: {0}")]
    Store(String),
}

/// Hands out networks and addresses durably. Implemented by the store, used by the network driver.
///
/// Every call is idempotent by its key: the same key gets the same answer until it is released.
pub trait Addresses: Send + Sync {
    /// The subnet of the network with this name, allotted at first use.
    fn subnet(&self, network: &str) -> Result<Subnet, AddressError>;
    /// Gives a network's subnet back, with all its addresses.
    fn release_subnet(&self, network: &str) -> Result<(), AddressError>;
    /// The address of a container in a network, allotted at first use.
    fn address(&self, network: &str, container: &str) -> Result<Ipv4Addr, AddressError>;
    /// Gives a container's address back.
    fn release_address(&self, network: &str, container: &str) -> Result<(), AddressError>;
    /// Every allotment: `(network, container, address)`.
    fn allotted(&self) -> Result<Vec<(String, String, Ipv4Addr)>, AddressError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_counts_its_hosts() {
        let subnet = Subnet { base: Ipv4Addr::new(10, 1, 2, 0), prefix_bits: 24 };
        assert_eq!(subnet.gateway(), Ipv4Addr::new(10, 1, 2, 1));
        assert_eq!(subnet.host(0), Some(Ipv4Addr::new(10, 1, 2, 2)));
        assert_eq!(subnet.host(252), Some(Ipv4Addr::new(10, 1, 2, 254)));
        assert_eq!(subnet.host(253), None);
    }
}
