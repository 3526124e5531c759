//! What an address has now: part of a step's key where the plan names no digest of the file.

use std::time::Duration;

use windlass_model::{Digest, Failure};

use super::{fetch, unreadable};
use crate::builder::{Session, blocking, cancelled};
use crate::http::{Timeouts, outside_agent};
use crate::source::sha256_of;

const TIMEOUTS: Timeouts =
    Timeouts { connect: Duration::from_secs(10), silence: Duration::from_secs(30) };
/// For the whole answer, which has no body.
const ASKED_MAX: Duration = Duration::from_secs(30);

/// A digest that is another one when the file is. A server that says which version it has is believed; from
/// another one the file is downloaded.
pub(super) async fn of(session: &mut Session, url: &str) -> Result<Digest, Failure> {
    let (asked, certificates) = (url.to_owned(), session.certificates.clone());
    let asking = blocking(move || ask(&outside_agent(certificates.as_deref(), TIMEOUTS), &asked));
    let told = tokio::select! {
        told = asking => told?,
        () = session.request.cancel.cancelled() => return Err(cancelled()),
    };
    if let Some(told) = told {
        return Ok(Digest::of(told.as_bytes()));
    }
    let mut body = fetch::body(session, &fetch::Wanted { url, sha256: None }).await?;
    let read = blocking(move || sha256_of(&mut body)).await?;
    let read = read.map_err(|e| unreadable(&format!("{url} cannot be read"), &e))?;
    Ok(Digest::of(read.as_bytes()))
}

/// What the server says of its version. Whatever keeps it from saying it, the download will meet and name.
fn ask(agent: &ureq::Agent, url: &str) -> Option<String> {
    let response = agent.head(url).config().timeout_global(Some(ASKED_MAX)).build().call().ok()?;
    if !response.status().is_success() {
        return None;
    }
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    if let Some(tag) = header("etag") {
        return Some(format!("etag {tag}"));
    }
    let (changed, bytes) = (header("last-modified")?, header("content-length").unwrap_or_default());
    Some(format!("last-modified {changed}, {bytes} bytes"))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;
    use crate::http::agent;

    /// A server that gives this answer once.
    fn answering(status: &str, headers: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/file", listener.local_addr().unwrap());
        let answer = format!("HTTP/1.1 {status}\r\n{headers}connection: close\r\n\r\n");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 4096];
            let read = stream.read(&mut request).unwrap();
            assert!(request[..read].starts_with(b"HEAD /file "));
            stream.write_all(answer.as_bytes()).unwrap();
        });
        url
    }

    #[test]
    fn a_server_is_believed_when_it_names_its_version() {
        let ask =
            |status: &str, headers: &str| ask(&agent(None, TIMEOUTS), &answering(status, headers));
        let tagged = |tag: &str| ask("200 OK", &format!("etag: {tag}\r\ncontent-length: 5\r\n"));
        assert_eq!(tagged("\"a\""), tagged("\"a\""));
        assert_ne!(tagged("\"a\""), tagged("\"b\""));
        assert!(tagged("\"a\"").is_some());
        let dated = |bytes: u32| {
            let headers = "last-modified: Thu, 01 Jan 2026 00:00:00 GMT\r\ncontent-length:";
            ask("200 OK", &format!("{headers} {bytes}\r\n"))
        };
        assert!(dated(5).is_some());
        assert_ne!(dated(5), dated(6));
        assert_eq!(ask("200 OK", "content-length: 5\r\n"), None);
        assert_eq!(ask("405 Method Not Allowed", "etag: \"a\"\r\ncontent-length: 0\r\n"), None);
    }
}
