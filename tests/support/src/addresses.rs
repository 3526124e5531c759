//! Addresses for an engine that a test runs without a host's state.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use windlass_containers::subnet_in_use;
use windlass_model::network::{AddressError, Addresses, Subnet};

/// Addresses in memory, from a pool that no route of this machine uses.
#[derive(Debug)]
pub struct TestAddresses {
    pool: u8,
    state: Mutex<AddressState>,
}

#[derive(Debug, Default)]
struct AddressState {
    subnets: BTreeMap<String, Subnet>,
    addresses: BTreeMap<(String, String), Ipv4Addr>,
}

impl TestAddresses {
    /// 10.`pool`.0.0/16; a pool of its own keeps tests that run at once apart.
    pub fn new(pool: u8) -> Arc<Self> {
        Arc::new(Self { pool, state: Mutex::default() })
    }
}

impl Addresses for TestAddresses {
    fn subnet(&self, network: &str) -> Result<Subnet, AddressError> {
        let mut state = self.state.lock().unwrap();
        if let Some(subnet) = state.subnets.get(network) {
            return Ok(*subnet);
        }
        let subnet = (0..=255)
            .map(|third| Subnet { base: Ipv4Addr::new(10, self.pool, third, 0), prefix_bits: 24 })
            .find(|subnet| {
                !state.subnets.values().any(|other| other == subnet) && !subnet_in_use(*subnet)
            })
            .ok_or_else(|| AddressError::Exhausted { pool: format!("10.{}.0.0/16", self.pool) })?;
        state.subnets.insert(network.to_owned(), subnet);
        Ok(subnet)
    }

    fn release_subnet(&self, network: &str) -> Result<(), AddressError> {
        let mut state = self.state.lock().unwrap();
        state.subnets.remove(network);
        state.addresses.retain(|(of, _), _| of != network);
        Ok(())
    }

    fn address(&self, network: &str, container: &str) -> Result<Ipv4Addr, AddressError> {
        let subnet = self.subnet(network)?;
        let mut state = self.state.lock().unwrap();
        let key = (network.to_owned(), container.to_owned());
        if let Some(address) = state.addresses.get(&key) {
            return Ok(*address);
        }
        let address = (0..)
            .map_while(|n| subnet.host(n))
            .find(|address| !state.addresses.values().any(|other| other == address))
            .ok_or_else(|| AddressError::Exhausted { pool: subnet.to_string() })?;
        state.addresses.insert(key, address);
        Ok(address)
    }

    fn release_address(&self, network: &str, container: &str) -> Result<(), AddressError> {
        let key = (network.to_owned(), container.to_owned());
        self.state.lock().unwrap().addresses.remove(&key);
        Ok(())
    }

    fn allotted(&self) -> Result<Vec<(String, String, Ipv4Addr)>, AddressError> {
        let state = self.state.lock().unwrap();
        let all = state.addresses.iter();
        Ok(all
            .map(|((network, container), ip)| (network.clone(), container.clone(), *ip))
            .collect())
    }
}
