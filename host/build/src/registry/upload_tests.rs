//! Blobs to a real registry, through a proxy that goes wrong.

use windlass_test_support::registry::{DockerRegistry, LOGIN};

use super::*;

#[path = "../../tests/common/proxy.rs"]
#[expect(dead_code, reason = "some of its faults are those of other tests")]
mod proxy;
use proxy::{Fault, Proxy};

/// Of the blob below there are four, the last one shorter.
const CHUNK: u64 = 300_000;

fn blob() -> Vec<u8> {
    (0..1_000_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

struct Bench {
    registry: DockerRegistry,
    proxy: Proxy,
    target: Target,
    bytes: Vec<u8>,
    digest: Digest,
}

impl Bench {
    fn start() -> Self {
        let registry = DockerRegistry::start();
        let proxy = Proxy::start(&registry.address);
        proxy.ask_for_token(LOGIN.0, LOGIN.1);
        let login = Login {
            registry: proxy.address.clone(),
            user: LOGIN.0.to_owned(),
            password: windlass_model::Secret::new(LOGIN.1.to_owned()),
        };
        let reference = format!("{}/team/shop:1", proxy.address).parse().unwrap();
        let target = Target { chunk_bytes: CHUNK, ..Target::new(reference, None, Some(login)) };
        let bytes = blob();
        let digest = Digest::of(&bytes);
        Self { registry, proxy, target, bytes, digest }
    }

    fn put(&self) -> Result<u64, RegistryError> {
        let (bytes, open) = (self.bytes.len() as u64, in_memory(&self.bytes));
        self.target.put_blob(&self.digest, bytes, None, &open)
    }

    /// Requests with this method since it was asked last.
    fn seen(&self, method: &str) -> Vec<String> {
        let seen = self.proxy.take_seen("HTTP/1.1");
        seen.into_iter().filter(|head| head.starts_with(method)).collect()
    }

    /// The registry has the blob, and it is the whole of it.
    fn is_there(&self) {
        let url = format!("http://{}/v2/team/shop/blobs/{}", self.registry.address, self.digest);
        let mut answer = ureq::get(&url).call().unwrap();
        assert_eq!(answer.body_mut().read_to_vec().unwrap(), self.bytes);
    }
}

fn ranges(heads: &[String]) -> Vec<String> {
    let range = |head: &String| {
        let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-range"));
        line.and_then(|line| line.split_once(": ")).map(|(_, range)| range.to_owned())
    };
    heads.iter().filter_map(range).collect()
}

#[test]
fn a_large_blob_goes_in_chunks_and_one_that_is_refused_for_now_is_sent_again_alone() {
    let bench = Bench::start();
    assert_eq!(bench.put().unwrap(), 1_000_000);
    let all = ["0-299999", "300000-599999", "600000-899999", "900000-999999"];
    assert_eq!(ranges(&bench.seen("PATCH")), all);
    bench.is_there();
    assert_eq!(bench.put().unwrap(), 0, "it is there");

    let bench = Bench::start();
    // The first chunk, twice.
    bench.proxy.fail("PATCH", "/blobs/uploads", Fault::Status(503), 2);
    assert_eq!(bench.put().unwrap(), 1_000_000 + 2 * CHUNK);
    assert_eq!(ranges(&bench.seen("PATCH"))[..3], ["0-299999", "0-299999", "0-299999"]);
    bench.is_there();
}

#[test]
fn a_blob_whose_upload_the_registry_has_forgotten_is_sent_anew() {
    let bench = Bench::start();
    // This registry forgets an upload of which it got a part of a chunk.
    bench.proxy.fail("PATCH", "/blobs/uploads", Fault::CutRequest(100_000), 1);
    let sent = bench.put().unwrap();
    assert!(sent > 1_000_000, "{sent}");
    bench.is_there();
}

#[test]
fn a_registry_that_takes_no_chunks_is_sent_the_whole_from_then_on() {
    let bench = Bench::start();
    bench.proxy.fail("PATCH", "/blobs/uploads", Fault::Status(416), usize::MAX);
    assert!(bench.put().unwrap() > 1_000_000);
    bench.is_there();
    // Its refusal may be lost, for it comes before the chunk was read.
    assert!(ranges(&bench.seen("PATCH")).iter().all(|range| range == "0-299999"));
    assert!(!bench.target.takes_chunks.load(Ordering::Relaxed));
}

/// A registry that takes the first chunk, refuses the next one for now, and has forgotten the first one then: for ever.
/// It takes nothing whole.
fn forgetful() -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let chunks = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&chunks);
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
            let header = |name: &str| {
                let mut headers = head.lines().filter_map(|line| line.split_once(": "));
                headers.find(|(of, _)| *of == name).map(|(_, value)| value.to_owned())
            };
            let bytes = header("content-length").map_or(0, |bytes| bytes.parse().unwrap());
            io::copy(&mut (&mut client).take(bytes), &mut io::sink()).unwrap();
            let method = head.split(' ').next().unwrap_or_default();
            let is_first = header("content-range").is_some_and(|range| range.starts_with("0-"));
            if method == "patch" {
                counted.fetch_add(1, Ordering::SeqCst);
            }
            let status = match method {
                "head" => "404 Not Found",
                "get" => "200 OK\r\nrange: 0-0",
                _ if method == "post" || is_first => "202 Accepted",
                _ => "503 Busy\r\nretry-after: 0",
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nlocation: /v2/team/shop/blobs/uploads/1\r\ncontent-length: 0\r\n\
                 connection: close\r\n\r\n"
            );
            let _hung_up = client.write_all(answer.as_bytes());
        }
    });
    (address, chunks)
}

#[test]
fn a_registry_that_forgets_what_it_took_is_given_up() {
    let (address, chunks) = forgetful();
    let reference = format!("{address}/team/shop:1").parse().unwrap();
    let target = Target { chunk_bytes: CHUNK, ..Target::new(reference, None, None) };
    let bytes = blob();
    let open = in_memory(&bytes);
    assert!(target.put_blob(&Digest::of(&bytes), bytes.len() as u64, None, &open).is_err());
    let chunks = chunks.load(Ordering::SeqCst);
    assert!((2..40).contains(&chunks), "{chunks} chunks were sent");
}
