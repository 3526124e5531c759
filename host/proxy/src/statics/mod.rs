//! Static trees, served by the proxy itself.
//!
//! **Invariant: nothing outside a tree's root is ever opened**, whatever the request's path, a
//! symbolic link or a race says: every file is opened by the kernel beneath the root's descriptor,
//! and the path given to it has no dot segments, NULs, backslashes or hidden names. What is withheld is not
//! opened by its path, whatever leads to it: a request, a fallback or a precompressed form.

mod conditions;
mod path;
mod withheld;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use rustix::fs::{Mode, OFlags, ResolveFlags, open, openat2};
use rustix::io::Errno;
use tokio::io::AsyncReadExt as _;

use crate::answer;
use crate::body::{Body, BoxError, Leased, full};
use crate::generation::{Lease, Phase};
use conditions::{Slice, Validators};
use path::TreePath;
pub use withheld::{Withheld, plain_of};

/// Files up to this size are read in one go, in bytes; larger ones in pieces of this size.
const PIECE_BYTES: usize = 64 * 1024;

/// How often the kernel may ask to try again because something was renamed meanwhile.
const RENAME_RETRIES: usize = 1_000;

/// An opened tree.
#[derive(Debug)]
pub(crate) struct Tree {
    root: OwnedFd,
    spa_fallback: Option<TreePath>,
    not_found: Option<TreePath>,
    withheld: Withheld,
}

/// What a request is answered with.
enum Found {
    File(Opened),
    /// A directory with an index, asked for without its slash.
    Redirect(String),
    Missing,
}

struct Opened {
    file: File,
    bytes: u64,
    validators: Validators,
    media_type: HeaderValue,
    encoding: Option<&'static str>,
    status: StatusCode,
}

/// What a request asks for, apart from its path.
struct Asked {
    /// A page rather than something that a page needs.
    page: bool,
    /// The precompressed forms it takes, best first.
    encodings: Vec<(&'static str, &'static str)>,
}

impl Tree {
    pub(crate) fn open(
        root: &Path,
        spa_fallback: Option<&str>,
        not_found: Option<&str>,
        withheld: &[String],
    ) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let inside = |name: &str| {
            TreePath::inside(name).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidInput, format!("{name:?} is not in the tree"))
            })
        };
        Ok(Self {
            root: open(root, flags, Mode::empty())?,
            spa_fallback: spa_fallback.map(inside).transpose()?,
            not_found: not_found.map(inside).transpose()?,
            withheld: Withheld::of(withheld)?,
        })
    }

    /// The file that answers a path. Blocks on the disk.
    fn find(&self, path: &TreePath, asked: &Asked) -> io::Result<Found> {
        if let Some(found) = self.find_exact(path, asked)? {
            return Ok(found);
        }
        // What is withheld is no path of the application either.
        let is_page = asked.page && !self.withheld.has(path);
        if let Some(fallback) = self.spa_fallback.as_ref().filter(|_| is_page)
            && let Some(file) = self.file(fallback, asked)?
        {
            return Ok(Found::File(file));
        }
        if let Some(not_found) = &self.not_found
            && let Some(file) = self.file(not_found, asked)?
        {
            return Ok(Found::File(Opened { status: StatusCode::NOT_FOUND, ..file }));
        }
        Ok(Found::Missing)
    }

    fn find_exact(&self, path: &TreePath, asked: &Asked) -> io::Result<Option<Found>> {
        if path.is_hidden() {
            return Ok(None);
        }
        let index = path.join("index.html");
        if path.is_directory() {
            return Ok(self.file(&index, asked)?.map(Found::File));
        }
        if let Some(file) = self.file(path, asked)? {
            return Ok(Some(Found::File(file)));
        }
        if self.plain_file(&index)?.is_some() {
            return Ok(Some(Found::Redirect(format!("{}/", path.encoded()))));
        }
        Ok(self.file(&path.with_suffix(".html"), asked)?.map(Found::File))
    }

    /// The file itself, or its best precompressed form.
    fn file(&self, path: &TreePath, asked: &Asked) -> io::Result<Option<Opened>> {
        let Some(file) = self.plain_file(path)? else {
            return Ok(None);
        };
        let media_type = path::media_type(path.name());
        let mut chosen = (file, None);
        if path::is_compressible(&media_type) {
            for (encoding, suffix) in &asked.encodings {
                if let Some(file) = self.plain_file(&path.with_suffix(suffix))? {
                    chosen = (file, Some(*encoding));
                    break;
                }
            }
        }
        let (file, encoding) = chosen;
        let meta = file.metadata()?;
        Ok(Some(Opened {
            bytes: meta.len(),
            validators: Validators::of(
                meta.ino(),
                meta.len(),
                (meta.mtime(), meta.mtime_nsec()),
                (meta.ctime(), meta.ctime_nsec()),
            ),
            media_type,
            encoding,
            status: StatusCode::OK,
            file,
        }))
    }

    /// A regular file beneath the root; `None` for whatever is not one, is withheld, or leads outside.
    fn plain_file(&self, path: &TreePath) -> io::Result<Option<File>> {
        if self.withheld.has(path) {
            return Ok(None);
        }
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let beneath = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        let relative = path.relative();
        for _ in 0..RENAME_RETRIES {
            let opened =
                openat2(&self.root, OsStr::from_bytes(&relative), flags, Mode::empty(), beneath);
            return match opened {
                Ok(file) => {
                    let file = File::from(file);
                    Ok(file.metadata()?.is_file().then_some(file))
                }
                Err(Errno::AGAIN) => {
                    std::thread::yield_now();
                    continue;
                }
                Err(
                    Errno::NOENT
                    | Errno::NOTDIR
                    | Errno::ISDIR
                    | Errno::XDEV
                    | Errno::LOOP
                    | Errno::NAMETOOLONG
                    | Errno::ACCESS
                    | Errno::NXIO
                    | Errno::INVAL,
                ) => Ok(None),
                Err(error) => Err(error.into()),
            };
        }
        Err(Errno::AGAIN.into())
    }
}

/// Answers a request from a tree. The lease is held until the last byte.
pub(crate) async fn answer(tree: Arc<Tree>, lease: Lease, head: &Parts) -> Response<Body> {
    if head.method != Method::GET && head.method != Method::HEAD {
        let mut refused =
            answer::text(StatusCode::METHOD_NOT_ALLOWED, "This is a file: use GET or HEAD.");
        refused.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    let Some(path) = TreePath::of_request(head.uri.path()) else {
        return missing();
    };
    let asked = Asked {
        page: path.is_page(&head.headers),
        encodings: conditions::encodings(&head.headers),
    };
    let found = tokio::task::spawn_blocking(move || tree.find(&path, &asked)).await;
    match found.unwrap_or_else(|e| Err(io::Error::other(e))) {
        Ok(Found::File(file)) => file_answer(file, lease, head).await,
        Ok(Found::Redirect(to)) => redirect(to, head.uri.query()),
        Ok(Found::Missing) => missing(),
        Err(error) => unreadable(&lease, &error),
    }
}

fn missing() -> Response<Body> {
    answer::text(StatusCode::NOT_FOUND, "There is no such page here.")
}

fn unreadable(lease: &Lease, error: &io::Error) -> Response<Body> {
    lease.generation().count_error();
    tracing::error!(route = lease.generation().route, %error, "a static file cannot be read");
    answer::text(StatusCode::INTERNAL_SERVER_ERROR, "The file could not be read.")
}

fn redirect(mut to: String, query: Option<&str>) -> Response<Body> {
    if let Some(query) = query {
        to.push('?');
        to.push_str(query);
    }
    let mut response = answer::text(StatusCode::PERMANENT_REDIRECT, "This is a folder.");
    if let Ok(to) = HeaderValue::from_str(&to) {
        response.headers_mut().insert(header::LOCATION, to);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

async fn file_answer(found: Opened, lease: Lease, head: &Parts) -> Response<Body> {
    let mut response = Response::new(full(""));
    describe(&found, response.headers_mut());
    let found_it = found.status == StatusCode::OK;
    if found_it && found.validators.unchanged(&head.headers) {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response.headers_mut().remove(header::CONTENT_TYPE);
        return response;
    }
    let slice = if found_it && head.method == Method::GET {
        conditions::slice(&head.headers, &found.validators, found.bytes)
    } else {
        Slice::Whole
    };
    let (status, from, bytes) = match slice {
        Slice::Whole => (found.status, 0, found.bytes),
        Slice::Part { from, bytes } => (StatusCode::PARTIAL_CONTENT, from, bytes),
        Slice::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, 0, 0),
    };
    *response.status_mut() = status;
    let headers = response.headers_mut();
    match status {
        StatusCode::PARTIAL_CONTENT => {
            let last = from + bytes - 1;
            set(headers, header::CONTENT_RANGE, &format!("bytes {from}-{last}/{}", found.bytes));
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            set(headers, header::CONTENT_RANGE, &format!("bytes */{}", found.bytes));
        }
        _ => {}
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes));
    if head.method == Method::HEAD || bytes == 0 {
        return response;
    }
    match body(found.file, from, bytes, lease).await {
        Ok(body) => response.map(|_| body),
        Err((lease, error)) => unreadable(&lease, &error),
    }
}

fn describe(found: &Opened, headers: &mut HeaderMap) {
    headers.insert(header::CONTENT_TYPE, found.media_type.clone());
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // Without knowing which names change with their content, every use asks whether it changed.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if path::is_compressible(&found.media_type) {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    if let Some(encoding) = found.encoding {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    }
    if found.status == StatusCode::OK {
        set(headers, header::ETAG, &found.validators.etag);
        set(headers, header::LAST_MODIFIED, &found.validators.last_modified);
    }
}

fn set(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// Small files as a whole, larger ones piece by piece, as fast as the visitor takes them.
async fn body(
    mut file: File,
    from: u64,
    bytes: u64,
    lease: Lease,
) -> Result<Body, (Lease, io::Error)> {
    lease.enter(Phase::Streaming);
    if let Ok(small) = usize::try_from(bytes)
        && small <= PIECE_BYTES
    {
        let read = tokio::task::spawn_blocking(move || {
            file.seek(SeekFrom::Start(from))?;
            let mut piece = vec![0; small];
            file.read_exact(&mut piece)?;
            Ok(piece)
        });
        return match read.await.unwrap_or_else(|e| Err(io::Error::other(e))) {
            Ok(piece) => {
                let whole = http_body_util::Full::new(Bytes::from(piece));
                let whole = whole.map_err(|never| -> BoxError { match never {} });
                Ok(Leased::new(whole, lease, None).boxed_unsync())
            }
            Err(error) => Err((lease, error)),
        };
    }
    if let Err(error) = file.seek(SeekFrom::Start(from)) {
        return Err((lease, error));
    }
    let file = tokio::fs::File::from_std(file);
    let pieces = futures::stream::try_unfold((file, bytes), |(mut file, left)| async move {
        let wanted = usize::try_from(left).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        if wanted == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; wanted];
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        piece.truncate(read);
        Ok::<_, io::Error>(Some((Frame::data(Bytes::from(piece)), (file, left - read as u64))))
    });
    Ok(Leased::new(StreamBody::new(Box::pin(pieces)), lease, None).boxed_unsync())
}
