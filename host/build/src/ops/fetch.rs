//! Downloading one file by the host, checked against its digest.

use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use windlass_containers::runtime::Access;
use windlass_model::Failure;

use super::copy::mount;
use super::files::{NewFile, open};
use super::{OpContext, owner, unreadable};
use crate::builder::{Session, blocking};
use crate::http::{Timeouts, outside_agent};

/// A larger download is refused.
const FETCH_BYTES_MAX: u64 = 2 << 30;

/// What is downloaded.
pub(super) struct Wanted<'a> {
    /// Address.
    pub(super) url: &'a str,
    /// Digest.
    pub(super) sha256: Option<&'a str>,
}

/// Downloads a file. The address is public: the host's own network is not reached for a plan.
pub(super) async fn fetch(
    session: &mut Session,
    context: &OpContext<'_>,
    wanted: &Wanted<'_>,
    file: &NewFile<'_>,
) -> Result<(), Failure> {
    let mut body = body(session, wanted).await?;
    let target = mount(session, context.active, Access::ReadWrite).await?;
    let root = open(target.path())?;
    let owner = owner::resolve(file.chown, &root)?;
    root.write_file(Path::new(file.path), &mut body, file.mode, owner)
        .map_err(|e| unreadable(&format!("{} cannot be written", file.path), &e))?;
    Ok(())
}

/// Downloads a file and checks its digest.
pub(super) async fn body(
    session: &mut Session,
    wanted: &Wanted<'_>,
) -> Result<std::fs::File, Failure> {
    if wanted.sha256.is_none() {
        let message = format!("{} is downloaded without a digest: it may change", wanted.url);
        session.warn("build.fetch-unpinned", message);
    }
    session.log.host(format!("downloading {}", wanted.url));
    let (url, certificates) = (wanted.url.to_owned(), session.certificates.clone());
    let download = blocking(move || download(&url, certificates.as_deref()));
    let (body, got) = tokio::select! {
        done = download => done??,
        () = session.request.cancel.cancelled() => return Err(crate::builder::cancelled()),
    };
    if let Some(expected) = wanted.sha256
        && !expected.eq_ignore_ascii_case(&got)
    {
        let why = format!("its digest is {got}, the plan says {expected}");
        return Err(failed("build.fetch-digest", wanted.url, why));
    }
    Ok(body)
}

fn download(url: &str, certificates: Option<&Path>) -> Result<(std::fs::File, String), Failure> {
    let io = |e: std::io::Error| failed("build.fetch-failed", url, e.to_string());
    let timeouts = Timeouts { connect: Duration::from_secs(10), silence: Duration::from_secs(60) };
    let agent = outside_agent(certificates, timeouts);
    let response =
        agent.get(url).call().map_err(|e| failed("build.fetch-failed", url, e.to_string()))?;
    if !response.status().is_success() {
        let why = format!("the server answered {}", response.status());
        return Err(failed("build.fetch-failed", url, why));
    }
    let mut body = response.into_body().into_with_config().limit(FETCH_BYTES_MAX).reader();
    let mut file = tempfile::tempfile().map_err(io)?;
    let mut sha = Sha256::new();
    let mut buffer = vec![0_u8; 128 * 1024];
    loop {
        let n = body.read(&mut buffer).map_err(io)?;
        if n == 0 {
            break;
        }
        sha.update(&buffer[..n]);
        file.write_all(&buffer[..n]).map_err(io)?;
    }
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    Ok((file, hex::encode(sha.finalize())))
}

fn failed(code: &str, url: &str, why: String) -> Failure {
    Failure::app(
        code,
        format!("{url} could not be downloaded"),
        why,
        "check the address and its digest; the build fetches what the project's plan names",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_services_are_not_asked() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/secret", listener.local_addr().unwrap());
        let failure = download(&url, None).unwrap_err();
        assert_eq!(failure.code, "build.fetch-failed");
        assert!(failure.why.contains("this machine"), "{failure:?}");
    }
}
