//! Webhooks from outside: signed deliveries.

use std::time::Duration;

use hmac::{Hmac, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use windlass_model::api::{ErrorBody, Page};
use windlass_model::hooks::WebhookWithSecret;
use windlass_model::webhook::{Delivery, Verdict};

use crate::host::TestHost;
use crate::http::{self, Request, Response};
use crate::wait::wait_for;

/// A webhook of a host, as its sender knows it.
#[derive(Debug, Clone)]
pub struct Hook {
    /// Its project.
    pub project: String,
    /// Its id.
    pub id: String,
    /// Path of its address.
    pub path: String,
    /// The secret that deliveries are signed with.
    pub secret: String,
}

impl Hook {
    /// Makes one with `windlass webhook create` and further arguments.
    pub fn create(host: &TestHost, project: &str, args: &[&str]) -> Self {
        let mut all = vec!["webhook", "create", "--project", project];
        all.extend(args);
        let made: WebhookWithSecret = host.cli_json(&all).ok().json();
        Self {
            project: project.to_owned(),
            id: made.view.webhook.id.to_string(),
            path: made.view.path,
            secret: made.secret,
        }
    }

    /// Delivers as GitHub does.
    ///
    /// # Panics
    /// When the host does not answer.
    pub fn github(&self, host: &TestHost, event: &str, id: &str, body: &Value) -> Response {
        let text = body.to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        let digits: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-github-event", event.to_owned()),
            ("x-github-delivery", id.to_owned()),
            ("x-hub-signature-256", format!("sha256={digits}")),
        ];
        let request = Request {
            method: "POST",
            target: &self.path,
            host: "localhost",
            headers,
            body: Some(text.as_bytes()),
        };
        http::send(host.api_address(), &request).unwrap()
    }

    /// Delivers as GitHub does, and waits for the verdict.
    ///
    /// # Panics
    /// When it is not taken, or not settled in time.
    pub fn settled(&self, host: &TestHost, event: &str, id: &str, body: &Value) -> Delivery {
        let answer = self.github(host, event, id, body);
        assert_eq!(answer.status, 202, "{}", answer.text());
        self.wait(host, id)
    }

    /// Delivers as GitHub does; it must be refused with this status and code.
    ///
    /// # Panics
    /// When it is not.
    pub fn refused(&self, host: &TestHost, id: &str, body: &Value, status: u16, code: &str) {
        let answer = self.github(host, "push", id, body);
        assert_eq!(answer.status, status, "{}", answer.text());
        assert_eq!(answer.json::<ErrorBody>().error.code, code);
    }

    /// Waits until a delivery of this sender's id is settled.
    ///
    /// # Panics
    /// When it is not in time.
    pub fn wait(&self, host: &TestHost, id: &str) -> Delivery {
        wait_for("the delivery is settled", Duration::from_secs(60), || {
            let all = self.deliveries(host);
            let found = all.into_iter().find(|one| {
                one.sender_id.as_deref() == Some(id) && one.verdict != Verdict::Refused
            });
            match found {
                Some(one) if one.verdict != Verdict::Pending => Ok(one),
                other => Err(format!("{other:#?}")),
            }
        })
    }

    /// Its deliveries, newest first, as the command line shows them.
    pub fn deliveries(&self, host: &TestHost) -> Vec<Delivery> {
        let args =
            ["webhook", "deliveries", &self.id, "--project", &self.project, "--limit", "100"];
        host.cli_json(&args).ok().json::<Page<Delivery>>().items
    }
}
