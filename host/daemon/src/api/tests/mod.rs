//! The API on a store in memory, a fake container runtime and a real proxy; no containerd, no root.

mod deployments;
mod projects;
mod requests;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt as _;
use windlass_containers::fake::FakeRuntime;
use windlass_model::{Limits, Timestamp};
use windlass_proxy::{Listen, ProxyClient, ProxyConfig, ProxyLimits};
use windlass_store::Store;

use super::ApiToken;
use crate::config::ServeConfig;
use crate::host::Host;
use crate::plugins::Plugins;
use crate::steplog::StepLogs;

const TOKEN: &str = "the-token-of-this-test";

struct World {
    host: Arc<Host>,
    router: Router,
    proxy: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.proxy.abort();
    }
}

impl World {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = ServeConfig {
            data_dir: dir.path().to_owned(),
            api_listen: any,
            containerd: None,
            proxy_listen: vec![any],
            bundled_plugins: dir.path().join("no-plugins"),
            base_cache_dir: None,
            limits: limits.clone(),
            exe: PathBuf::from("/bin/false"),
        };
        let proxy = ProxyConfig {
            listen: Listen::Addresses(vec![any]),
            control_socket: config.proxy_socket(),
            table_file: config.proxy_table(),
            limits: ProxyLimits::default(),
            trusted_proxies: Vec::new(),
        };
        let proxy = tokio::spawn(async move { windlass_proxy::run(proxy).await.unwrap() });
        let client = ProxyClient::connect(config.proxy_socket(), 1).await.unwrap();
        let runtime = Arc::new(FakeRuntime::new().unwrap());
        let sandbox = crate::sandbox(&config).unwrap();
        let host = Arc::new(Host {
            store: Store::in_memory(limits.clone()).unwrap(),
            builder: crate::builder(&config, runtime.clone()),
            runtime,
            plugins: Plugins::load(sandbox, &config.bundled_plugins, &dir.path().join("plugins")),
            proxy: client,
            logs: StepLogs::new(dir.path(), &limits),
            wake: tokio::sync::Notify::new(),
            since: Timestamp::now(),
            locks: Mutex::new(HashMap::new()),
            config,
        });
        let router = super::router(host.clone(), ApiToken::new(TOKEN));
        Self { host, router, proxy, _dir: dir }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        assert!(response.headers().contains_key("x-request-id"));
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24).await.unwrap();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
        };
        (status, body)
    }

    /// A request with the token; an empty text is no body.
    async fn call(&self, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Body::from(body.to_owned()))
            .unwrap();
        self.send(request).await
    }

    /// A request that must be answered with this status.
    async fn expect(&self, status: u16, method: &str, path: &str, body: &str) -> Value {
        let (got, answer) = self.call(method, path, body).await;
        assert_eq!(got.as_u16(), status, "{method} {path} {body}: {answer}");
        answer
    }

    /// A request that must fail with this status and code, and say what, why and how to fix it.
    async fn refused(
        &self,
        status: u16,
        code: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> String {
        let answer = self.expect(status, method, path, body).await;
        assert_failure(&answer, code)
    }
}

#[track_caller]
fn assert_failure(answer: &Value, code: &str) -> String {
    let failure: windlass_model::api::ErrorBody = serde_json::from_value(answer.clone()).unwrap();
    let failure = failure.error;
    assert_eq!(failure.code, code, "{failure:?}");
    for text in [&failure.what, &failure.why, &failure.fix] {
        assert!(!text.is_empty(), "{failure:?}");
    }
    format!("{} {} {}", failure.what, failure.why, failure.fix)
}

const SHOP: &str = "/v1/projects/shop/environments/production";
