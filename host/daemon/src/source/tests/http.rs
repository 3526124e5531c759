//! Fetching over smart HTTP, from the real `git http-backend` behind a server that asks for a token.

use std::process::Stdio;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use tokio::io::AsyncWriteExt as _;

use super::World;
use super::git::Repo;
use crate::source::Before;
use windlass_model::{Failure, Source};

const TOKEN: &str = "a-token-of-some-length";

struct Server {
    url: String,
    root: String,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Clone)]
struct Backend {
    root: String,
    credentials: Option<String>,
}

impl Server {
    /// Serves the repositories below the repository's parent; `private` ones ask for the token.
    async fn start(repo: &Repo, private: bool) -> Self {
        let credentials = private.then(|| {
            let pair = format!("x-access-token:{TOKEN}");
            format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
        });
        let root = repo.path().display().to_string();
        let app =
            Router::new().fallback(serve).with_state(Backend { root: root.clone(), credentials });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, root, task }
    }

    async fn fetch(
        &self,
        world: &World,
        path: &str,
        token: Option<&str>,
    ) -> Result<String, Failure> {
        let url = format!("{}/{path}", self.url);
        let got = world.fetch(&Source::Git { url, reference: None }, token).await?;
        Ok(got.fetched.commit.unwrap())
    }
}

/// One request through CGI.
async fn serve(State(backend): State<Backend>, request: Request) -> Response {
    let (request, body) = request.into_parts();
    let header_of = |name: header::HeaderName| {
        request.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
    };
    if backend.credentials.is_some_and(|wanted| wanted != header_of(header::AUTHORIZATION)) {
        let realm = [(header::WWW_AUTHENTICATE, "Basic realm=\"git\"")];
        return (StatusCode::UNAUTHORIZED, realm).into_response();
    }
    let protocol = request.headers.get("git-protocol").and_then(|v| v.to_str().ok());
    let mut command = tokio::process::Command::new("git");
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", &backend.root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_PROTOCOL", protocol.unwrap_or_default())
        .env("REQUEST_METHOD", request.method.as_str())
        .env("PATH_INFO", request.uri.path())
        .env("QUERY_STRING", request.uri.query().unwrap_or_default())
        .env("CONTENT_TYPE", header_of(header::CONTENT_TYPE))
        .env("HTTP_CONTENT_ENCODING", header_of(header::CONTENT_ENCODING))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let mut child = command.env("CONTENT_LENGTH", body.len().to_string()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The backend may answer without having read everything.
    let _ = stdin.write_all(&body).await;
    drop(stdin);
    let out = child.wait_with_output().await.unwrap().stdout;
    answer(&out)
}

fn answer(cgi: &[u8]) -> Response {
    let split = cgi.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let mut response = Response::builder();
    for line in std::str::from_utf8(&cgi[..split]).unwrap().lines() {
        let (name, value) = line.split_once(": ").unwrap();
        response = if name == "Status" {
            response.status(value[..3].parse::<u16>().unwrap())
        } else {
            response.header(name, value)
        };
    }
    response.body(Bytes::copy_from_slice(&cgi[split + 4..]).into()).unwrap()
}

#[tokio::test]
async fn a_public_repository_needs_no_token() {
    let (repo, _, second) = Repo::with_history();
    let server = Server::start(&repo, false).await;
    let world = World::new();
    assert_eq!(server.fetch(&world, ".git", None).await.unwrap(), second);
    let failure = server.fetch(&world, "other.git", None).await.unwrap_err();
    assert_eq!(failure.code, "source.repository-not-found", "{failure:?}");
    assert!(failure.fix.contains("private"));
}

#[tokio::test]
async fn a_private_repository_tells_a_right_a_wrong_and_no_token_apart() {
    let (repo, _, second) = Repo::with_history();
    let server = Server::start(&repo, true).await;
    let world = World::new();
    let failure = server.fetch(&world, ".git", None).await.unwrap_err();
    assert_eq!(failure.code, "source.authentication-required", "{failure:?}");
    let failure = server.fetch(&world, ".git", Some("a-wrong-token")).await.unwrap_err();
    assert_eq!(failure.code, "source.token-rejected", "{failure:?}");
    assert!(!format!("{failure:?}").contains("a-wrong-token"));
    assert_eq!(server.fetch(&world, ".git", Some(TOKEN)).await.unwrap(), second);
    let named = format!("x-access-token:{TOKEN}");
    assert_eq!(server.fetch(&world, ".git", Some(&named)).await.unwrap(), second);
}

#[tokio::test]
async fn the_token_is_written_nowhere() {
    let (repo, ..) = Repo::with_history();
    let server = Server::start(&repo, true).await;
    let world = World::new();
    server.fetch(&world, ".git", Some(TOKEN)).await.unwrap();
    assert!(server.root.starts_with('/'));
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{TOKEN}"));
    for file in super::files_below(&world.data()) {
        let bytes = std::fs::read(world.data().join(&file)).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains(TOKEN) && !text.contains(&basic), "{file}");
    }
    assert!(world.step_log().contains("fetching"));
}

#[tokio::test]
async fn a_repository_that_became_private_and_a_deleted_branch_have_codes_of_their_own() {
    let (repo, ..) = Repo::with_history();
    let server = Server::start(&repo, true).await;
    let mut world = World::new();
    world.before = Before { anonymous: true, reference: true };
    let failure = server.fetch(&world, ".git", None).await.unwrap_err();
    assert_eq!(failure.code, "source.repository-private", "{failure:?}");
    assert!(failure.fix.contains("windlass project token"));
    let failure = server.fetch(&world, ".git", Some("expired")).await.unwrap_err();
    assert_eq!(failure.code, "source.token-rejected", "{failure:?}");
    let failure = world.fetch_git(&repo.url(), Some("feature/gone")).await.unwrap_err();
    assert_eq!(failure.code, "source.branch-deleted", "{failure:?}");
    assert!(failure.fix.contains("feature/x"), "{failure:?}");
}
