//! Subnets and addresses.

use std::collections::BTreeSet;
use std::sync::Arc;

use windlass_model::Limits;
use windlass_model::network::{Addresses as _, Subnet};
use windlass_store::{Store, StoreAddresses, StoreError};

use crate::support::memory;

fn free(store: &Store) -> StoreAddresses {
    StoreAddresses::new(store.clone(), Arc::new(|_| false))
}

#[test]
fn the_same_key_gets_the_same_answer_across_restarts_until_it_is_released() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), Limits::default()).unwrap();
    let addresses = free(&store);
    let subnet = addresses.subnet("shop-production").unwrap();
    let web = addresses.address("shop-production", "web-0").unwrap();
    let worker = addresses.address("shop-production", "worker-0").unwrap();
    assert_eq!(addresses.address("shop-production", "web-0").unwrap(), web);
    assert_ne!(web, worker);
    assert_ne!(web, subnet.gateway());
    drop((addresses, store));

    let store = Store::open(dir.path(), Limits::default()).unwrap();
    let addresses = free(&store);
    assert_eq!(addresses.subnet("shop-production").unwrap(), subnet);
    assert_eq!(addresses.address("shop-production", "web-0").unwrap(), web);
    let mut all = addresses.allotted().unwrap();
    all.sort();
    let network = "shop-production".to_owned();
    let expected = [(network.clone(), "web-0".into(), web), (network, "worker-0".into(), worker)];
    assert_eq!(all, expected);
    addresses.release_address("shop-production", "web-0").unwrap();
    addresses.release_address("shop-production", "web-0").unwrap();
    let other = addresses.address("shop-production", "web-1").unwrap();
    assert_ne!(other, web, "an address is used again as late as possible");
    addresses.release_subnet("shop-production").unwrap();
    addresses.release_subnet("shop-production").unwrap();
    assert!(addresses.allotted().unwrap().is_empty());
}

#[test]
fn networks_never_share_a_subnet_however_many_ask_at_once() {
    let store = memory();
    let addresses = free(&store);
    let subnets: Vec<Subnet> = std::thread::scope(|scope| {
        let asking: Vec<_> = (0..32)
            .map(|n| {
                let addresses = addresses.clone();
                scope.spawn(move || addresses.subnet(&format!("network-{n}")).unwrap())
            })
            .collect();
        asking.into_iter().map(|asked| asked.join().unwrap()).collect()
    });
    let different: BTreeSet<_> = subnets.iter().map(|subnet| subnet.base).collect();
    assert_eq!(different.len(), 32);
}

#[test]
fn a_subnet_that_the_machine_uses_is_passed_over() {
    let store = memory();
    let first = free(&store).subnet("a").unwrap();
    free(&store).release_subnet("a").unwrap();
    let picky = StoreAddresses::new(store.clone(), Arc::new(move |subnet| subnet == first));
    assert_ne!(picky.subnet("a").unwrap(), first);
    let nothing = StoreAddresses::new(store, Arc::new(|_| true));
    let refused = nothing.subnet("b").unwrap_err();
    assert!(refused.to_string().contains("10.128.0.0/9"), "{refused}");
}

/// After a recovery from a backup, the machine knows better than the backup who has which address.
#[test]
fn what_the_machine_says_of_a_network_replaces_what_a_backup_says() {
    let store = memory();
    let addresses = free(&store);
    let (subnet, other) = (addresses.subnet("shop").unwrap(), addresses.subnet("blog").unwrap());
    let old = addresses.address("shop", "old").unwrap();
    let next = subnet.host(1).unwrap();
    assert_ne!(old, next);

    let present = [("new".to_owned(), next)];
    store.put_back_network("shop", subnet, present.clone().into()).unwrap();
    let allotted = addresses.allotted().unwrap();
    assert_eq!(allotted, [("shop".to_owned(), "new".to_owned(), next)]);
    assert_ne!(addresses.address("shop", "newer").unwrap(), next);

    let taken = store.put_back_network("shop", other, present.clone().into());
    assert!(matches!(taken, Err(StoreError::Conflict { .. })), "{taken:?}");
    addresses.release_subnet("blog").unwrap();
    store.put_back_network("shop", other, present.into()).unwrap();
    assert_eq!(addresses.subnet("shop").unwrap(), other);
    assert_ne!(addresses.subnet("blog").unwrap(), other);
}
