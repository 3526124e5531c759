//! The proxy's own answers: plain text that tells a visitor what happened and the operator what to
//! do. They never name routes, projects, instances or addresses.

use http::{HeaderValue, Response, StatusCode, header};

use crate::body::{Body, full};

/// A plain-text answer of the proxy itself.
pub(crate) fn text(status: StatusCode, text: &str) -> Response<Body> {
    let mut response = Response::new(full(format!("{} {text}\n", status.as_u16())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(crate) fn bad_host() -> Response<Body> {
    text(StatusCode::BAD_REQUEST, "The request names no valid host: send exactly one Host header.")
}

pub(crate) fn no_tunnel() -> Response<Body> {
    let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "This server opens no tunnels.");
    let allow = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

pub(crate) fn unknown_host() -> Response<Body> {
    text(
        StatusCode::NOT_FOUND,
        "No application answers at this host name. If it should: its operator adds the name with \
         `windlass domain add`.",
    )
}

/// Nobody could answer while the request was held.
pub(crate) fn unavailable(reason: &str) -> Response<Body> {
    let says = format!(
        "The application is not available: {reason}. Please try again shortly. Its operator sees \
         more with `windlass status`."
    );
    with_retry_after(text(StatusCode::SERVICE_UNAVAILABLE, &says))
}

pub(crate) fn hold_full() -> Response<Body> {
    with_retry_after(text(
        StatusCode::SERVICE_UNAVAILABLE,
        "The application is not available, and too many requests already wait for it. Please try \
         again shortly.",
    ))
}

/// The instances of the route accept no connection.
pub(crate) fn unreachable() -> Response<Body> {
    with_retry_after(text(
        StatusCode::BAD_GATEWAY,
        "The application does not accept connections. Its operator sees why with `windlass status` \
         and `windlass logs`.",
    ))
}

pub(crate) fn broke_off() -> Response<Body> {
    text(
        StatusCode::BAD_GATEWAY,
        "The application ended the connection without a valid answer. Its operator sees why with \
         `windlass logs`.",
    )
}

pub(crate) fn stalled() -> Response<Body> {
    text(StatusCode::REQUEST_TIMEOUT, "The request's body did not arrive in time.")
}

pub(crate) fn too_slow() -> Response<Body> {
    text(
        StatusCode::GATEWAY_TIMEOUT,
        "The application did not answer in time. Its operator sees why with `windlass logs`.",
    )
}

pub(crate) fn drained() -> Response<Body> {
    with_retry_after(text(
        StatusCode::SERVICE_UNAVAILABLE,
        "The application was replaced by a newer version before it answered. Please try again.",
    ))
}

fn with_retry_after(mut response: Response<Body>) -> Response<Body> {
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
    response
}
