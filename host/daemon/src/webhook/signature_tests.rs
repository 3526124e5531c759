use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::*;

const SECRET: &str = "It's a Secret to Everybody";
const BODY: &[u8] = b"Hello, World!";
const NOW: i64 = 1_760_000_000;

/// Headers from pairs.
fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    let pair = |(name, value): &(&str, &str)| {
        (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    pairs.iter().map(pair).collect()
}

fn at(skew: i64) -> Clock {
    Clock { now: Timestamp::from_second(NOW + skew).unwrap(), skew_s_max: 300 }
}

fn sign(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    mac(key, parts).unwrap().finalize().into_bytes().to_vec()
}

fn hex_sign(parts: &[&[u8]]) -> String {
    hex::encode(sign(SECRET.as_bytes(), parts))
}

fn one_secret() -> Vec<Secret<String>> {
    vec![Secret::new(SECRET.to_owned())]
}

#[track_caller]
fn refused(provider: Provider, pairs: &[(&str, &str)], code: &str) {
    let failure = check(provider, &headers(pairs), BODY, &one_secret(), at(0)).unwrap_err();
    assert_eq!(failure.code, code, "{pairs:?}: {failure:?}");
    assert!(!format!("{failure:?}").contains(SECRET));
}

/// The example of GitHub's own documentation.
const GITHUB_EXAMPLE: &str =
    "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

#[test]
fn githubs_documented_example_is_genuine() {
    let given = headers(&[
        ("X-Hub-Signature-256", GITHUB_EXAMPLE),
        ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("X-GitHub-Event", "push"),
    ]);
    let genuine = check(Provider::Github, &given, BODY, &one_secret(), at(0)).unwrap();
    assert_eq!(genuine.sender_id, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!(genuine.event, "push");
}

#[test]
fn githubs_signature_needs_its_prefix_and_every_digit() {
    let id = ("x-github-delivery", "1");
    let event = ("x-github-event", "push");
    let name = "x-hub-signature-256";
    refused(Provider::Github, &[id, event], "webhook.signature-missing");
    refused(Provider::Github, &[id, event, (name, "")], "webhook.signature-missing");
    for wrong in [
        &GITHUB_EXAMPLE["sha256=".len()..],
        &GITHUB_EXAMPLE[..GITHUB_EXAMPLE.len() - 2],
        "sha256=",
        "sha256=zz",
        "sha1=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "sha256=857107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
    ] {
        refused(Provider::Github, &[id, event, (name, wrong)], "webhook.signature-wrong");
    }
    let sha1_alone = ("x-hub-signature", "sha1=d03207e4b030cf234e3447bac4d93add4c6643d8");
    refused(Provider::Github, &[id, event, sha1_alone], "webhook.signature-missing");
    refused(Provider::Github, &[event, (name, GITHUB_EXAMPLE)], "webhook.no-delivery-id");
    refused(Provider::Github, &[id, (name, GITHUB_EXAMPLE)], "webhook.no-event");
    let long = "x".repeat(201);
    let long_id = ("x-github-delivery", long.as_str());
    refused(Provider::Github, &[long_id, event, (name, GITHUB_EXAMPLE)], "webhook.no-delivery-id");
}

#[test]
fn a_changed_body_is_not_genuine() {
    let given = headers(&[
        ("x-hub-signature-256", GITHUB_EXAMPLE),
        ("x-github-delivery", "1"),
        ("x-github-event", "push"),
    ]);
    let failure =
        check(Provider::Github, &given, b"Hello, World", &one_secret(), at(0)).unwrap_err();
    assert_eq!(failure.code, "webhook.signature-wrong");
}

#[test]
fn the_old_secret_is_accepted_beside_the_new_one_and_no_third() {
    let given = headers(&[
        ("x-hub-signature-256", GITHUB_EXAMPLE),
        ("x-github-delivery", "1"),
        ("x-github-event", "push"),
    ]);
    let new = Secret::new("new".to_owned());
    let both = [new.clone(), Secret::new(SECRET.to_owned())];
    assert!(check(Provider::Github, &given, BODY, &both, at(0)).is_ok());
    assert!(check(Provider::Github, &given, BODY, &[new], at(0)).is_err());
    assert!(check(Provider::Github, &given, BODY, &[], at(0)).is_err(), "no secret, no entry");
}

#[test]
fn gitlab_sends_the_token_itself() {
    let id = ("idempotency-key", "f5e5f430-f57b-4e6e-9fac-d9128cd7232f");
    let event = ("x-gitlab-event", "Push Hook");
    let good = headers(&[("x-gitlab-token", SECRET), id, event]);
    let genuine = check(Provider::Gitlab, &good, BODY, &one_secret(), at(0)).unwrap();
    assert_eq!(genuine.sender_id, id.1);
    let uuid = ("x-gitlab-event-uuid", "13792a34-cac6-4fda-95a8-c58e00a3954e");
    let old = headers(&[("x-gitlab-token", SECRET), uuid, event]);
    assert_eq!(
        check(Provider::Gitlab, &old, BODY, &one_secret(), at(0)).unwrap().sender_id,
        uuid.1
    );
    refused(Provider::Gitlab, &[id, event], "webhook.signature-missing");
    refused(Provider::Gitlab, &[("x-gitlab-token", "x"), id, event], "webhook.signature-wrong");
    refused(Provider::Gitlab, &[("x-gitlab-token", SECRET), event], "webhook.no-delivery-id");
}

#[test]
fn gitlabs_signing_token_covers_id_time_and_body() {
    let key = [7_u8; 32];
    let secret = format!("{STANDARD_SECRET}{}", STANDARD.encode(key));
    let secrets = [Secret::new(secret.clone())];
    let time = NOW.to_string();
    let signature = |id: &str, time: &str| {
        let mac = sign(&key, &[id.as_bytes(), b".", time.as_bytes(), b".", BODY]);
        format!("v1,{}", STANDARD.encode(mac))
    };
    let good = signature("evt-1", &time);
    let with = |id: &str, time: &str, signature: &str| {
        headers(&[
            ("webhook-id", id),
            ("webhook-timestamp", time),
            ("webhook-signature", signature),
            ("x-gitlab-event", "Push Hook"),
        ])
    };
    let ask = |headers: &HeaderMap, clock| check(Provider::Gitlab, headers, BODY, &secrets, clock);
    assert_eq!(ask(&with("evt-1", &time, &good), at(0)).unwrap().sender_id, "evt-1");
    let two = format!("v1,AAAA {good}");
    assert!(ask(&with("evt-1", &time, &two), at(0)).is_ok(), "one of several is enough");
    let code = |headers: &HeaderMap, clock| ask(headers, clock).unwrap_err().code;
    assert_eq!(code(&with("evt-2", &time, &good), at(0)), "webhook.signature-wrong");
    assert_eq!(code(&with("evt-1", "1", &good), at(0)), "webhook.signature-wrong");
    assert_eq!(code(&with("evt-1", &time, &good), at(301)), "webhook.timestamp-off");
    assert_eq!(code(&with("evt-1", &time, "v2,xx"), at(0)), "webhook.signature-wrong");
    let mut wrong_and_token = with("evt-1", &time, "v1,AAAA");
    wrong_and_token.insert("x-gitlab-token", HeaderValue::from_str(&secret).unwrap());
    assert_eq!(code(&wrong_and_token, at(0)), "webhook.signature-wrong", "the token does not help");
}

#[test]
fn gitea_and_forgejo_sign_without_a_prefix() {
    let mac = hex_sign(&[BODY]);
    for (signature, id, event) in [
        ("x-gitea-signature", "x-gitea-delivery", "x-gitea-event"),
        ("x-forgejo-signature", "x-forgejo-delivery", "x-forgejo-event"),
    ] {
        let good = headers(&[(signature, &mac), (id, "1"), (event, "push")]);
        assert!(check(Provider::Gitea, &good, BODY, &one_secret(), at(0)).is_ok(), "{signature}");
        refused(
            Provider::Gitea,
            &[(signature, "00"), (id, "1"), (event, "push")],
            "webhook.signature-wrong",
        );
    }
    let both = [
        ("x-forgejo-signature", "00"),
        ("x-gitea-signature", mac.as_str()),
        ("x-gitea-delivery", "1"),
        ("x-gitea-event", "push"),
    ];
    refused(Provider::Gitea, &both, "webhook.signature-wrong");
}

#[test]
fn bitbucket_signs_as_sha256_in_its_own_header() {
    let mac = format!("sha256={}", hex_sign(&[BODY]));
    let (id, event) = (("x-request-uuid", "1"), ("x-event-key", "repo:push"));
    let good = headers(&[("x-hub-signature", &mac), id, event]);
    assert!(check(Provider::Bitbucket, &good, BODY, &one_secret(), at(0)).is_ok());
    refused(Provider::Bitbucket, &[id, event], "webhook.signature-missing");
    refused(
        Provider::Bitbucket,
        &[("x-hub-signature", "sha256=00"), id, event],
        "webhook.signature-wrong",
    );
}

#[test]
fn the_generic_kind_signs_time_and_body() {
    let time = NOW.to_string();
    let mac = format!("sha256={}", hex_sign(&[time.as_bytes(), b".", BODY]));
    let good = headers(&[
        (GENERIC_SIGNATURE, mac.as_str()),
        (GENERIC_TIMESTAMP, time.as_str()),
        (GENERIC_DELIVERY, "1"),
        (GENERIC_EVENT, "push"),
    ]);
    let ask = |clock| check(Provider::Generic, &good, BODY, &one_secret(), clock);
    assert_eq!(
        ask(at(0)).unwrap().marks,
        std::slice::from_ref(&mac),
        "the same signature is a repetition"
    );
    assert!(ask(at(300)).is_ok() && ask(at(-300)).is_ok());
    assert_eq!(ask(at(301)).unwrap_err().code, "webhook.timestamp-off");
    assert_eq!(ask(at(-301)).unwrap_err().code, "webhook.timestamp-off");
    let without_time = [(GENERIC_SIGNATURE, mac.as_str()), (GENERIC_DELIVERY, "1")];
    refused(Provider::Generic, &without_time, "webhook.signature-missing");
    let body_alone = format!("sha256={}", hex_sign(&[BODY]));
    let unbound = [(GENERIC_SIGNATURE, body_alone.as_str()), (GENERIC_TIMESTAMP, time.as_str())];
    refused(Provider::Generic, &unbound, "webhook.signature-wrong");
}
