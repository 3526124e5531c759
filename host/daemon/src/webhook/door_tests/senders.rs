//! The senders: how each signs, and what it sends, from the payloads that are kept as fixtures.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use windlass_model::Timestamp;
use windlass_model::webhook::Provider;

/// The commit of every fixture, and the one before it.
pub(super) const NEW: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
const OLD: &str = "d5c6a5b0f9a1c2b3d4e5f60718293a4b5c6d7e8f";
const ZEROS: &str = "0000000000000000000000000000000000000000";

/// What a sender's signature is made of.
pub(super) struct Signed<'a> {
    pub secret: &'a str,
    pub id: &'a str,
    pub event: &'a str,
    pub body: &'a [u8],
}

pub(super) type Headers = Vec<(&'static str, String)>;

/// One kind of sender: its headers, and its payloads with the names of their events.
pub(super) struct Sender {
    /// Also the project's name.
    pub name: &'static str,
    pub provider: Provider,
    pub repository: &'static str,
    pub headers: fn(&Signed<'_>) -> Headers,
    /// Which header the signature or the token is in.
    pub signature: &'static str,
    /// Whether the signature covers the body.
    pub signs_body: bool,
    pub push: fn() -> (&'static str, Value),
    pub tag: fn(name: &str) -> (&'static str, Value),
    pub branch_deleted: fn() -> (&'static str, Value),
    pub ping: Option<(&'static str, &'static str)>,
}

pub(super) const SENDERS: [Sender; 7] = [
    Sender {
        name: "github",
        provider: Provider::Github,
        repository: "https://github.com/acme/shop",
        headers: github,
        signature: "x-hub-signature-256",
        signs_body: true,
        push: || ("push", of_github("refs/heads/main", NEW)),
        tag: |name| ("push", of_github(&format!("refs/tags/{name}"), NEW)),
        branch_deleted: || ("push", of_github("refs/heads/feature/cart", ZEROS)),
        ping: Some(("ping", r#"{"zen": "Design for failure.", "hook_id": 1}"#)),
    },
    Sender {
        name: "gitlab-signing-token",
        provider: Provider::Gitlab,
        repository: "https://gitlab.example.com/acme/shop",
        headers: gitlab_signing_token,
        signature: "webhook-signature",
        signs_body: true,
        push: || ("Push Hook", fixture(include_str!("../payload/fixtures/gitlab-push.json"))),
        tag: gitlab_tag,
        branch_deleted: gitlab_deleted,
        ping: None,
    },
    Sender {
        name: "gitlab-secret-token",
        provider: Provider::Gitlab,
        repository: "https://gitlab.example.com/acme/shop",
        headers: gitlab_secret_token,
        signature: "x-gitlab-token",
        signs_body: false,
        push: || ("Push Hook", fixture(include_str!("../payload/fixtures/gitlab-push.json"))),
        tag: gitlab_tag,
        branch_deleted: gitlab_deleted,
        ping: None,
    },
    Sender {
        name: "gitea",
        provider: Provider::Gitea,
        repository: "https://git.example.com/acme/shop",
        headers: gitea,
        signature: "x-gitea-signature",
        signs_body: true,
        push: || ("push", fixture(include_str!("../payload/fixtures/gitea-push.json"))),
        tag: gitea_tag,
        branch_deleted: || {
            ("delete", fixture(include_str!("../payload/fixtures/gitea-delete.json")))
        },
        ping: None,
    },
    Sender {
        name: "forgejo",
        provider: Provider::Gitea,
        repository: "https://git.example.com/acme/shop",
        headers: forgejo,
        signature: "x-forgejo-signature",
        signs_body: true,
        push: || ("push", fixture(include_str!("../payload/fixtures/gitea-push.json"))),
        tag: gitea_tag,
        branch_deleted: || {
            ("delete", fixture(include_str!("../payload/fixtures/gitea-delete.json")))
        },
        ping: None,
    },
    Sender {
        name: "bitbucket",
        provider: Provider::Bitbucket,
        repository: "https://bitbucket.org/acme/shop",
        headers: bitbucket,
        signature: "x-hub-signature",
        signs_body: true,
        push: || ("repo:push", of_bitbucket(0, "main")),
        tag: |name| ("repo:push", of_bitbucket(2, name)),
        branch_deleted: || ("repo:push", of_bitbucket(1, "feature/cart")),
        ping: Some(("diagnostics:ping", r#"{"test": true}"#)),
    },
    Sender {
        name: "generic",
        provider: Provider::Generic,
        repository: "https://git.example.org/acme/shop",
        headers: generic,
        signature: "x-windlass-signature",
        signs_body: true,
        push: || ("push", fixture(include_str!("../payload/fixtures/generic-push.json"))),
        tag: |name| ("push", of_generic(&format!("refs/tags/{name}"), Some(NEW))),
        branch_deleted: || ("push", of_generic("refs/heads/feature/cart", None)),
        ping: Some(("ping", "{}")),
    },
];

pub(super) fn fixture(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn of_github(reference: &str, after: &str) -> Value {
    let mut push = fixture(include_str!("../payload/fixtures/github-push.json"));
    push["ref"] = reference.into();
    push["after"] = after.into();
    push["head_commit"] = match after {
        ZEROS => Value::Null,
        after => json!({"id": after, "message": "Add a cart"}),
    };
    push["repository"] = json!({
        "full_name": "acme/shop",
        "clone_url": "https://github.com/acme/shop.git",
        "default_branch": "main",
    });
    push
}

fn gitlab_tag(name: &str) -> (&'static str, Value) {
    let mut push = fixture(include_str!("../payload/fixtures/gitlab-tag-push.json"));
    push["ref"] = format!("refs/tags/{name}").into();
    ("Tag Push Hook", push)
}

fn gitlab_deleted() -> (&'static str, Value) {
    ("Push Hook", fixture(include_str!("../payload/fixtures/gitlab-push-deleted.json")))
}

fn gitea_tag(name: &str) -> (&'static str, Value) {
    let mut push = fixture(include_str!("../payload/fixtures/gitea-push.json"));
    push["ref"] = format!("refs/tags/{name}").into();
    push["before"] = ZEROS.into();
    ("push", push)
}

/// One change of the fixture: a branch, a deleted branch, a tag.
fn of_bitbucket(change: usize, name: &str) -> Value {
    let mut push = fixture(include_str!("../payload/fixtures/bitbucket-push.json"));
    let mut only = push["push"]["changes"][change].clone();
    for side in ["old", "new"] {
        if only[side].is_object() {
            only[side]["name"] = name.into();
        }
    }
    push["push"]["changes"] = json!([only]);
    push["repository"]["mainbranch"] = json!({"type": "branch", "name": "main"});
    push
}

fn of_generic(reference: &str, after: Option<&str>) -> Value {
    let repository = json!({"url": "https://git.example.org/acme/shop.git"});
    json!({"repository": repository, "ref": reference, "before": OLD, "after": after})
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

fn hex_mac(of: &Signed<'_>) -> String {
    hex::encode(mac(of.secret.as_bytes(), &[of.body]))
}

fn github(of: &Signed<'_>) -> Headers {
    vec![
        ("x-hub-signature-256", format!("sha256={}", hex_mac(of))),
        ("x-github-delivery", of.id.to_owned()),
        ("x-github-event", of.event.to_owned()),
    ]
}

/// By the Standard Webhooks specification.
fn gitlab_signing_token(of: &Signed<'_>) -> Headers {
    let key = STANDARD.decode(of.secret.strip_prefix("whsec_").unwrap()).unwrap();
    let at = Timestamp::now().as_second().to_string();
    let signed = mac(&key, &[of.id.as_bytes(), b".", at.as_bytes(), b".", of.body]);
    vec![
        ("webhook-signature", format!("v1,{}", STANDARD.encode(signed))),
        ("webhook-id", of.id.to_owned()),
        ("webhook-timestamp", at),
        ("x-gitlab-event", of.event.to_owned()),
    ]
}

fn gitlab_secret_token(of: &Signed<'_>) -> Headers {
    vec![
        ("x-gitlab-token", of.secret.to_owned()),
        ("idempotency-key", of.id.to_owned()),
        ("x-gitlab-event", of.event.to_owned()),
    ]
}

fn gitea(of: &Signed<'_>) -> Headers {
    vec![
        ("x-gitea-signature", hex_mac(of)),
        ("x-gitea-delivery", of.id.to_owned()),
        ("x-gitea-event", of.event.to_owned()),
    ]
}

fn forgejo(of: &Signed<'_>) -> Headers {
    vec![
        ("x-forgejo-signature", hex_mac(of)),
        ("x-forgejo-delivery", of.id.to_owned()),
        ("x-forgejo-event", of.event.to_owned()),
    ]
}

fn bitbucket(of: &Signed<'_>) -> Headers {
    vec![
        ("x-hub-signature", format!("sha256={}", hex_mac(of))),
        ("x-request-uuid", of.id.to_owned()),
        ("x-event-key", of.event.to_owned()),
    ]
}

fn generic(of: &Signed<'_>) -> Headers {
    let at = Timestamp::now().as_second().to_string();
    let signed = mac(of.secret.as_bytes(), &[at.as_bytes(), b".", of.body]);
    vec![
        ("x-windlass-signature", format!("sha256={}", hex::encode(signed))),
        ("x-windlass-timestamp", at),
        ("x-windlass-delivery", of.id.to_owned()),
        ("x-windlass-event", of.event.to_owned()),
    ]
}
