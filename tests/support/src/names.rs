//! A name server that changes its mind: a name leads somewhere else whenever it is asked for.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};

/// The running server, on an address of the loopback network that is this process's own. It ends with the process.
#[derive(Debug)]
pub struct NameServer {
    /// Where it listens, on port 53.
    pub address: Ipv4Addr,
    asked: Arc<AtomicUsize>,
}

impl NameServer {
    /// Starts one that knows a single name: it leads to each of these addresses in turn, and to the last of them from
    /// then on. It has no address of IPv6, and may not be kept.
    ///
    /// # Panics
    /// Without root, or without an address.
    pub fn start(name: &str, addresses: Vec<Ipv4Addr>) -> Self {
        let [.., high, low] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 83, high, low);
        let socket = UdpSocket::bind((address, 53)).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (name, count) = (name.to_owned(), Arc::clone(&asked));
        std::thread::spawn(move || {
            let mut message = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut message) {
                let next = || {
                    let n = count.fetch_add(1, Ordering::SeqCst);
                    addresses[n.min(addresses.len() - 1)]
                };
                if let Some(answer) = answer(&message[..length], &name, next) {
                    // Who does not wait for it has gone.
                    let _gone = socket.send_to(&answer, from);
                }
            }
        });
        Self { address, asked }
    }

    /// How often an address of the name was asked for.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// The answer to a message; `None` to what is no question. What is not known is refused, so that the next name server
/// is asked; no answer may be kept.
fn answer(message: &[u8], name: &str, next: impl FnOnce() -> Ipv4Addr) -> Option<Vec<u8>> {
    let asked = Message::from_vec(message).ok()?;
    let question = asked.queries.first()?;
    let (asked_for, kind) = (question.name(), question.query_type());
    let mut answer = Message::response(asked.metadata.id, OpCode::Query);
    answer.metadata = Metadata::response_from_request(&asked.metadata);
    answer.metadata.recursion_available = true;
    answer.add_query(question.clone());
    let is_known = asked_for.to_ascii().trim_end_matches('.').eq_ignore_ascii_case(name);
    match kind {
        RecordType::A if is_known => {
            let address = RData::A(next().into());
            answer.add_answer(Record::from_rdata(asked_for.clone(), 0, address));
        }
        RecordType::AAAA if is_known => {}
        _ => answer.metadata.response_code = ResponseCode::Refused,
    }
    answer.to_vec().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u16 = 1;
    const AAAA: u16 = 28;

    /// A question as resolvers put it.
    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label.bytes());
        }
        message.extend([0, 0]);
        message.push(u8::try_from(kind).unwrap());
        message.extend([0, 1]);
        message
    }

    #[test]
    fn a_question_is_answered_with_an_address_with_none_or_refused() {
        let ask = |name: &str, kind| {
            answer(&question(name, kind), "a.test", || Ipv4Addr::new(9, 8, 7, 6)).unwrap()
        };
        let known = ask("A.test", A);
        assert_eq!(known[..8], [0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 1]);
        assert!(known.ends_with(&[0, 4, 9, 8, 7, 6]), "{known:?}");
        assert_eq!(ask("a.test", AAAA)[2..8], [0x81, 0x80, 0, 1, 0, 0]);
        assert_eq!(ask("b.test", A)[2..8], [0x81, 0x85, 0, 1, 0, 0]);
        for cut in 0..question("a.test", A).len() {
            let message = &question("a.test", A)[..cut];
            assert_eq!(answer(message, "a.test", || panic!("{cut}")), None, "{cut}");
        }
    }
}
