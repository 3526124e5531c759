//! Counting within a minute: wrong tokens of an address, refusals of a token.
//!
//! Wrong tokens are counted by the address and, where it exists, the id of the token that was tried.
//! So who guesses keeps nobody out but himself: a rightful owner behind the same address has another
//! id, which a guesser does not know.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use windlass_model::access::TokenId;

const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that are remembered; beyond it those that began longest ago are forgotten.
const KEYS_MAX: usize = 10_000;

/// Where something came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    address: Option<IpAddr>,
    token: Option<TokenId>,
}

impl Origin {
    /// Neighbours in the last 64 bits of an IPv6 address are one origin: everyone has as many of those
    /// as he likes.
    pub(crate) fn new(address: Option<IpAddr>, token: Option<TokenId>) -> Self {
        let network = |address| match address {
            IpAddr::V4(_) => address,
            IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
                Some(v4) => IpAddr::V4(v4),
                None => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
            },
        };
        Self { address: address.map(network), token }
    }
}

#[derive(Debug, Clone, Copy)]
struct Window {
    begun: Instant,
    count: u32,
}

/// Counts by origin.
pub(crate) struct Throttle {
    max: u32,
    windows: Mutex<HashMap<Origin, Window>>,
}

impl Throttle {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, windows: Mutex::default() }
    }

    /// How long this origin must wait; nothing when it need not.
    pub(crate) fn wait(&self, origin: &Origin, now: Instant) -> Option<Duration> {
        let windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.get(origin).filter(|window| window.count >= self.max)?;
        WINDOW.checked_sub(now.duration_since(window.begun)).filter(|left| !left.is_zero())
    }

    /// Counts one, and says whether it is within what is allowed.
    pub(crate) fn count(&self, origin: Origin, now: Instant) -> bool {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= KEYS_MAX && !windows.contains_key(&origin) {
            windows.retain(|_, window| now.duration_since(window.begun) < WINDOW);
            while windows.len() >= KEYS_MAX {
                let oldest = windows.iter().min_by_key(|(_, window)| window.begun);
                let Some(oldest) = oldest.map(|(origin, _)| origin.clone()) else { break };
                windows.remove(&oldest);
            }
        }
        let window = windows.entry(origin).or_insert(Window { begun: now, count: 0 });
        if now.duration_since(window.begun) >= WINDOW {
            *window = Window { begun: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        window.count <= self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Origin {
        Origin::new(Some(address.parse().unwrap()), None)
    }

    #[test]
    fn after_too_many_within_a_minute_an_origin_waits_and_no_other() {
        let (throttle, begun) = (Throttle::new(3), Instant::now());
        for _ in 0..3 {
            assert_eq!(throttle.wait(&from("192.0.2.1"), begun), None);
            assert!(throttle.count(from("192.0.2.1"), begun));
        }
        let later = begun + Duration::from_secs(20);
        assert_eq!(throttle.wait(&from("192.0.2.1"), later), Some(Duration::from_secs(40)));
        assert!(!throttle.count(from("192.0.2.1"), later));
        assert_eq!(throttle.wait(&from("192.0.2.2"), later), None);
        let token = Some("0123456789ab".parse().unwrap());
        let known = Origin::new(Some("192.0.2.1".parse().unwrap()), token);
        assert_eq!(throttle.wait(&known, later), None, "the owner of a token is not kept out");
        let over = begun + WINDOW;
        assert_eq!(throttle.wait(&from("192.0.2.1"), over), None);
        assert!(throttle.count(from("192.0.2.1"), over));
    }

    #[test]
    fn an_ipv6_network_is_one_origin_and_a_mapped_address_is_its_ipv4() {
        assert_eq!(from("2001:db8::1"), from("2001:db8::ffff:1"));
        assert_ne!(from("2001:db8::1"), from("2001:db8:0:1::1"));
        assert_eq!(from("::ffff:192.0.2.1"), from("192.0.2.1"));
    }

    #[test]
    fn memory_is_bounded() {
        let (throttle, begun) = (Throttle::new(3), Instant::now());
        for n in 0..u32::try_from(KEYS_MAX).unwrap() + 50 {
            let address = IpAddr::V4(n.into());
            throttle
                .count(Origin::new(Some(address), None), begun + Duration::from_micros(n.into()));
        }
        assert_eq!(throttle.windows.lock().unwrap().len(), KEYS_MAX);
    }
}
