//! Requests over HTTP and HTTPS. Needs the capability `http`, with hosts and methods.

#[cfg(target_arch = "wasm32")]
use crate::bindings::custom::windlass::http::http as host;
#[cfg(not(target_arch = "wasm32"))]
use crate::mock as host;

pub use crate::bindings::custom::windlass::http::http::{HttpError, Reason, Request, Response};

impl Request {
    /// A request without headers and body, which follows three redirects.
    pub fn new(method: impl Into<String>, url: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            url: url.into(),
            headers: Vec::new(),
            body: Vec::new(),
            secret_names: Vec::new(),
            response_bytes_max: 0,
            timeout_ms: 0,
            redirects_max: 3,
        }
    }

    /// GET.
    pub fn get(url: impl Into<String>) -> Self {
        Self::new("GET", url)
    }

    /// POST of a JSON body.
    pub fn post_json<T: serde::Serialize>(url: impl Into<String>, body: &T) -> Self {
        let mut request = Self::new("POST", url).header("content-type", "application/json");
        request.body = serde_json::to_vec(body).unwrap_or_default();
        request
    }

    /// One header more.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Replaces `{{NAME}}` by the value of this variable, which the plugin itself never sees. It does so wherever that
    /// stands: what others wrote (a commit's subject) must not bring it along, so escape its `{{` (`{\u007b` in JSON).
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>) -> Self {
        self.secret_names.push(name.into());
        self
    }

    /// Its time, in milliseconds, with all redirects.
    #[must_use]
    pub fn timeout_ms(mut self, timeout_ms: u32) -> Self {
        self.timeout_ms = timeout_ms;
        self
    }

    /// The longest body that is taken, in bytes.
    #[must_use]
    pub fn response_bytes_max(mut self, bytes: u32) -> Self {
        self.response_bytes_max = bytes;
        self
    }

    /// Sends it. Every status is an answer.
    ///
    /// # Errors
    /// See [`Reason`].
    pub fn send(&self) -> Result<Response, HttpError> {
        host::fetch(self)
    }
}

impl Response {
    /// Whether its status is 200 to 299.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The first value of a header, by its name in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Its body as JSON.
    ///
    /// # Errors
    /// [`Reason::Protocol`] with where it does not read.
    pub fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, HttpError> {
        serde_json::from_slice(&self.body).map_err(|error| HttpError {
            reason: Reason::Protocol,
            message: format!(
                "{} answered something that is not the JSON expected: {error}",
                self.url
            ),
        })
    }
}

impl From<HttpError> for crate::PluginError {
    /// As a failure of the plugin with the code `http.failed`; worth another try unless it was denied.
    fn from(error: HttpError) -> Self {
        let failure = Self::new("http.failed", error.message);
        match error.reason {
            Reason::Denied | Reason::Invalid | Reason::TooLarge | Reason::OverLimit => failure,
            _ => failure.retryable(),
        }
    }
}
