//! Subnets and addresses, handed out durably.
//!
//! Subnets are /24 networks of `10.128.0.0/9`. Where the search starts follows from the host's id, and
//! a candidate that something on the machine already uses is passed over: two hosts on one machine
//! rarely meet, and never silently.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use windlass_model::Digest;
use windlass_model::network::{AddressError, Addresses, Subnet};

use crate::doc::{self, Versioned};
use crate::error::{Result, StoreError};
use crate::keys;
use crate::kv::{Expect, Page, Transaction};
use crate::store::Store;

/// Subnets in the pool.
const SUBNETS_MAX: u32 = 128 * 256;
const POOL: &str = "10.128.0.0/9";
const TRIES_MAX: u32 = 20;

/// Whether something on this machine already uses addresses of this subnet (a route, an interface).
pub type InUse = Arc<dyn Fn(Subnet) -> bool + Send + Sync>;

/// [`Addresses`] kept in a [`Store`]. Every call blocks until its change is on disk.
#[derive(Clone)]
pub struct StoreAddresses {
    store: Store,
    in_use: InUse,
    // One allotment at a time: what a candidate check saw must still hold when it is recorded.
    turn: Arc<Mutex<()>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Network {
    subnet: Subnet,
    containers: BTreeMap<String, Ipv4Addr>,
    /// Where the search for the next address starts: an address is reused as late as possible.
    next_host: u32,
}

impl StoreAddresses {
    /// Addresses of this store; `in_use` is asked before a subnet is allotted.
    pub fn new(store: Store, in_use: InUse) -> Self {
        Self { store, in_use, turn: Arc::default() }
    }

    fn network(&self, name: &str) -> Result<Option<Versioned<Network>>> {
        self.store.read(&keys::network(name))
    }

    fn put_network(&self, name: &str, expect: Expect, network: &Network) -> Result<()> {
        let key = keys::network(name);
        let bytes = doc::encode(&key, network)?;
        let owner = doc::encode(&key, &name)?;
        let mut tx = Transaction::new().put(&key, expect, bytes).essential();
        if expect == Expect::Absent {
            tx = tx.put(subnet_key(network.subnet), Expect::Absent, owner);
        }
        self.store.kv().submit(tx).wait().map(drop)
    }

    fn allot_subnet(&self, name: &str) -> Result<Versioned<Network>, AddressError> {
        let start = first_candidate(self.store.host_id().as_str());
        for offset in 0..SUBNETS_MAX {
            let subnet = candidate(start.wrapping_add(offset) % SUBNETS_MAX);
            let taken = self.store.kv().get(&subnet_key(subnet)).map_err(recorded)?.is_some();
            if taken || (self.in_use)(subnet) {
                continue;
            }
            let network = Network { subnet, containers: BTreeMap::new(), next_host: 0 };
            match self.put_network(name, Expect::Absent, &network) {
                Ok(()) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(recorded(error)),
            }
            if let Some(network) = self.network(name).map_err(recorded)? {
                return Ok(network);
            }
        }
        Err(AddressError::Exhausted { pool: POOL.to_owned() })
    }

    fn network_or_allot(&self, name: &str) -> Result<Versioned<Network>, AddressError> {
        match self.network(name).map_err(recorded)? {
            Some(network) => Ok(network),
            None => self.allot_subnet(name),
        }
    }

    fn turn(&self) -> std::sync::MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Addresses for StoreAddresses {
    fn subnet(&self, network: &str) -> Result<Subnet, AddressError> {
        let _turn = self.turn();
        Ok(self.network_or_allot(network)?.value.subnet)
    }

    fn release_subnet(&self, network: &str) -> Result<(), AddressError> {
        let _turn = self.turn();
        let Some(found) = self.network(network).map_err(recorded)? else {
            return Ok(());
        };
        let tx = Transaction::new()
            .delete(keys::network(network), found.expect())
            .delete(subnet_key(found.value.subnet), Expect::Any)
            .essential();
        self.store.kv().submit(tx).wait().map(drop).map_err(recorded)
    }

    fn address(&self, network: &str, container: &str) -> Result<Ipv4Addr, AddressError> {
        let _turn = self.turn();
        for _ in 0..TRIES_MAX {
            let mut found = self.network_or_allot(network)?;
            if let Some(address) = found.value.containers.get(container) {
                return Ok(*address);
            }
            let Some(address) = found.value.allot(container) else {
                return Err(AddressError::Exhausted { pool: found.value.subnet.to_string() });
            };
            match self.put_network(network, found.expect(), &found.value) {
                Ok(()) => return Ok(address),
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(recorded(error)),
            }
        }
        Err(AddressError::Store(format!("network {network} keeps changing")))
    }

    fn release_address(&self, network: &str, container: &str) -> Result<(), AddressError> {
        let _turn = self.turn();
        for _ in 0..TRIES_MAX {
            let Some(mut found) = self.network(network).map_err(recorded)? else {
                return Ok(());
            };
            if found.value.containers.remove(container).is_none() {
                return Ok(());
            }
            match self.put_network(network, found.expect(), &found.value) {
                Err(StoreError::Conflict { .. }) => {}
                other => return other.map_err(recorded),
            }
        }
        Err(AddressError::Store(format!("network {network} keeps changing")))
    }

    fn allotted(&self) -> Result<Vec<(String, String, Ipv4Addr)>, AddressError> {
        let docs =
            self.store.read_all::<Network>(keys::NETWORKS, &Page::all()).map_err(recorded)?;
        let mut all = Vec::new();
        for (key, network) in docs {
            let name = key.strip_prefix(keys::NETWORKS).unwrap_or_default();
            for (container, address) in network.value.containers {
                all.push((name.to_owned(), container, address));
            }
        }
        Ok(all)
    }
}

impl Network {
    fn allot(&mut self, container: &str) -> Option<Ipv4Addr> {
        let hosts = (1_u32 << (32 - u32::from(self.subnet.prefix_bits))) - 3;
        let free = (0..hosts).map(|offset| (self.next_host + offset) % hosts).find(|host| {
            let address = self.subnet.host(*host);
            address.is_some_and(|address| !self.containers.values().any(|used| *used == address))
        })?;
        let address = self.subnet.host(free)?;
        self.next_host = free + 1;
        self.containers.insert(container.to_owned(), address);
        Some(address)
    }
}

/// Writes a network down that was found on the machine; one that is known stays as it is.
/// What the machine says is true: a record from a backup may hold addresses that other containers have
/// by now, and handing one out a second time would lead visitors to the wrong one.
pub(crate) fn put_back(
    store: &Store,
    name: &str,
    subnet: Subnet,
    containers: BTreeMap<String, Ipv4Addr>,
) -> Result<()> {
    let key = keys::network(name);
    let known = store.read::<Network>(&key)?;
    let expect = known.as_ref().map_or(Expect::Absent, Versioned::expect);
    let known = known.map(|doc| doc.value);
    let next_host = known.as_ref().map_or(0, |network| network.next_host);
    let bytes = doc::encode(&key, &Network { subnet, containers, next_host })?;
    let owner = doc::encode(&key, &name)?;
    let mut tx = Transaction::new().put(key, expect, bytes);
    if let Some(old) = known.as_ref().filter(|known| known.subnet != subnet) {
        tx = tx.delete(subnet_key(old.subnet), Expect::Any);
    }
    if known.is_none_or(|known| known.subnet != subnet) {
        tx = tx.put(subnet_key(subnet), Expect::Absent, owner);
    }
    store.kv().submit(tx.essential()).wait().map(drop)
}

fn recorded(error: StoreError) -> AddressError {
    AddressError::Store(error.to_string())
}

fn subnet_key(subnet: Subnet) -> String {
    format!("{}{}", keys::SUBNETS, subnet.base)
}

fn candidate(index: u32) -> Subnet {
    let base = u32::from(Ipv4Addr::new(10, 128, 0, 0)) + (index << 8);
    Subnet { base: Ipv4Addr::from(base), prefix_bits: 24 }
}

fn first_candidate(host_id: &str) -> u32 {
    let digest = Digest::of(host_id.as_bytes());
    u32::from_str_radix(&digest.hex()[..8], 16).unwrap_or_default() % SUBNETS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_stay_inside_the_pool() {
        assert_eq!(candidate(0).to_string(), "10.128.0.0/24");
        assert_eq!(candidate(SUBNETS_MAX - 1).to_string(), "10.255.255.0/24");
    }

    #[test]
    fn the_last_address_of_a_subnet_can_be_had_and_then_none() {
        let mut network =
            Network { subnet: candidate(0), containers: BTreeMap::new(), next_host: 0 };
        let mut given = std::collections::BTreeSet::new();
        for n in 0..253 {
            assert!(given.insert(network.allot(&format!("c{n}")).unwrap()));
        }
        assert_eq!(network.allot("one more"), None);
        assert!(!given.contains(&network.subnet.gateway()));
    }
}
