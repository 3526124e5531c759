//! The API on a store in memory, a fake container runtime and a real proxy; no containerd, no root.

mod access;
mod deployments;
mod plans;
mod plugins;
mod projects;
mod queue;
mod requests;
mod routes;
mod settings;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use serde_json::Value;
use tower::ServiceExt as _;
use windlass_model::Limits;

use crate::access::Access;
use crate::access::AdminToken;
use crate::access::audit::Audit;
use crate::host::Host;
use crate::testing::TestHost;

const TOKEN: &str = "the-token-of-this-test";

struct World {
    host: Arc<Host>,
    router: Router,
    _parts: TestHost,
}

impl World {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let parts = TestHost::with(limits, &crate::pipeline::TABLE).await;
        let host = parts.host.clone();
        let limits = &host.config.limits;
        let audit = Audit::open(&host.config.data_dir, &limits.access).unwrap();
        let access = Access::new(AdminToken::new(TOKEN), audit, limits);
        let router = super::router(host.clone(), access);
        Self { host, router, _parts: parts }
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
