//! Holding requests while nobody can answer them: bounded in count, in bytes and (by the caller) in
//! time. The bodies of held requests stay unread, in the kernel's buffers.

use std::sync::{Arc, Mutex, PoisonError};

use http::request::Parts;

use crate::limits::ProxyLimits;

/// What a connection's read buffer may hold beside the head of the request.
const CONNECTION_BYTES: usize = 8 * 1024;

/// The requests held now.
#[derive(Debug)]
pub(crate) struct Hold {
    requests_max: usize,
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Held {
    requests: usize,
    bytes: usize,
}

/// A place among the held requests.
#[derive(Debug)]
pub(crate) struct Place {
    hold: Arc<Hold>,
    bytes: usize,
}

impl Hold {
    pub(crate) fn new(limits: &ProxyLimits) -> Arc<Self> {
        Arc::new(Self {
            requests_max: limits.hold_requests_max,
            bytes_max: limits.hold_bytes_max,
            held: Mutex::default(),
        })
    }

    /// A place for this request, if both limits allow one more.
    pub(crate) fn enter(self: &Arc<Self>, head: &Parts) -> Option<Place> {
        self.take(head_bytes(head) + CONNECTION_BYTES)
    }

    pub(crate) fn requests(&self) -> usize {
        self.lock().requests
    }

    fn take(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        let mut held = self.lock();
        if held.requests >= self.requests_max || held.bytes + bytes > self.bytes_max {
            return None;
        }
        held.requests += 1;
        held.bytes += bytes;
        Some(Place { hold: Arc::clone(self), bytes })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.hold.lock();
        held.requests -= 1;
        held.bytes -= self.bytes;
    }
}

fn head_bytes(head: &Parts) -> usize {
    let uri = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
    head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum::<usize>()
        + uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_bytes_are_both_bounded_and_given_back() {
        let limits =
            ProxyLimits { hold_requests_max: 2, hold_bytes_max: 100, ..ProxyLimits::default() };
        let hold = Hold::new(&limits);
        let first = hold.take(60).unwrap();
        assert!(hold.take(60).is_none(), "bytes");
        let second = hold.take(40).unwrap();
        assert!(hold.take(0).is_none(), "requests");
        drop(first);
        assert_eq!(hold.requests(), 1);
        drop(second);
        assert!(hold.take(100).is_some());
    }
}
