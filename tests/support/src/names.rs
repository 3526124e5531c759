//! A name server that changes its mind: a name leads somewhere else whenever it is asked for.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Types of a question (RFC 1035, RFC 3596).
const A: u16 = 1;
const AAAA: u16 = 28;
/// An answer to a recursive question, and the same that refuses, so that the next name server is asked.
const ANSWER: u16 = 0x8180;
const REFUSED: u16 = 0x8185;
/// Header of a message.
const HEADER_BYTES: usize = 12;

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

/// The answer to a message; `None` to what is no question.
fn answer(message: &[u8], name: &str, next: impl FnOnce() -> Ipv4Addr) -> Option<Vec<u8>> {
    let (asked, question_bytes) = name_of(message.get(HEADER_BYTES..)?)?;
    let question = message.get(HEADER_BYTES..HEADER_BYTES + question_bytes + 4)?;
    let kind = u16::from_be_bytes([question[question_bytes], question[question_bytes + 1]]);
    let is_known = asked.eq_ignore_ascii_case(name);
    let address = (is_known && kind == A).then(next);
    let flags = if is_known && matches!(kind, A | AAAA) { ANSWER } else { REFUSED };
    let mut answer = message[..2].to_vec();
    // One question, and as many answers as there are addresses.
    for number in [flags, 1, u16::from(address.is_some()), 0, 0] {
        answer.extend(number.to_be_bytes());
    }
    answer.extend(question);
    if let Some(address) = address {
        // The name of the question, an address of the internet, for no time at all, in four bytes.
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]);
        answer.extend(address.octets());
    }
    Some(answer)
}

/// The name at the beginning, and its bytes with the one that ends it.
fn name_of(mut rest: &[u8]) -> Option<(String, usize)> {
    let whole = rest.len();
    let mut labels = Vec::new();
    loop {
        let (length, behind) = rest.split_first()?;
        let (label, next) = behind.split_at_checked(usize::from(*length))?;
        rest = next;
        if label.is_empty() {
            return Some((labels.join("."), whole - rest.len()));
        }
        labels.push(String::from_utf8_lossy(label).into_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
