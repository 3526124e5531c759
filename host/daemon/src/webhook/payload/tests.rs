use serde_json::Value;
use windlass_model::webhook::{PullRequestAction, PullRequestEvent};

use super::*;

const NEW: &str = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
const OLD: &str = "d5c6a5b0f9a1c2b3d4e5f60718293a4b5c6d7e8f";

macro_rules! fixtures {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("fixtures/", $name, ".json")))),*]
    };
}

const FIXTURES: [(&str, &str); 31] = fixtures![
    "github-push",
    "github-push-new-branch",
    "github-push-deleted",
    "github-push-tag",
    "github-push-note",
    "github-ping",
    "github-pr-opened",
    "github-pr-synchronize",
    "github-pr-closed",
    "github-pr-labeled",
    "github-pr-fork",
    "github-pr-fork-gone",
    "gitlab-push",
    "gitlab-push-deleted",
    "gitlab-tag-push",
    "gitlab-mr-open",
    "gitlab-mr-reopen",
    "gitlab-mr-update",
    "gitlab-mr-retitled",
    "gitlab-mr-merge",
    "gitlab-mr-fork",
    "gitea-push",
    "gitea-push-old-version",
    "gitea-delete",
    "gitea-create",
    "gitea-pr-synchronized",
    "bitbucket-push",
    "bitbucket-pr",
    "bitbucket-pr-fork",
    "generic-push",
    "generic-pull-request",
];

fn fixture(name: &str) -> &'static str {
    FIXTURES.iter().find(|(known, _)| *known == name).unwrap().1
}

/// The provider and the event of a fixture.
fn kind(name: &str) -> (Provider, &'static str) {
    let provider: Provider = name.split('-').next().unwrap().parse().unwrap();
    let event = match (provider, name) {
        (_, "github-ping") => "ping",
        (Provider::Github | Provider::Gitea, _) if name.contains("-pr-") => "pull_request",
        (Provider::Gitea, "gitea-delete") => "delete",
        (Provider::Gitea, "gitea-create") => "create",
        (Provider::Gitlab, "gitlab-tag-push") => "Tag Push Hook",
        (Provider::Gitlab, _) if name.contains("-mr-") => "Merge Request Hook",
        (Provider::Gitlab, _) => "Push Hook",
        (Provider::Bitbucket, "bitbucket-push") => "repo:push",
        (Provider::Bitbucket, _) => "pullrequest:created",
        (Provider::Generic, "generic-pull-request") => "pull_request",
        _ => "push",
    };
    (provider, event)
}

#[track_caller]
fn events(name: &str) -> Vec<Event> {
    let (provider, event) = kind(name);
    read(provider, event, Some("application/json"), fixture(name).as_bytes()).unwrap()
}

#[track_caller]
fn a_push(name: &str) -> PushEvent {
    match events(name).as_slice() {
        [Event::Push(push)] => push.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

#[track_caller]
fn a_change(name: &str) -> PullRequestEvent {
    match events(name).as_slice() {
        [Event::PullRequest(change)] => change.clone(),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn a_push_of_a_branch_is_the_same_whoever_sends_it() {
    for (name, address, api_name) in [
        ("github-push", "https://github.com/acme/shop.git", "acme/shop"),
        ("gitlab-push", "https://gitlab.example.com/acme/shop.git", "15"),
        ("gitea-push", "https://git.example.com/acme/shop.git", "acme/shop"),
        ("gitea-push-old-version", "https://git.example.com/acme/shop.git", "acme/shop"),
        (
            "generic-push",
            "https://git.example.org/acme/shop.git",
            "https://git.example.org/acme/shop.git",
        ),
    ] {
        let push = a_push(name);
        assert_eq!(push.pushed, Pushed::Branch("main".into()), "{name}");
        assert_eq!(push.before.as_deref(), Some(OLD), "{name}");
        assert_eq!(push.after.as_deref(), Some(NEW), "{name}");
        assert_eq!(push.message.as_deref().map(str::trim), Some("Add a cart"), "{name}");
        assert!(push.repository.addresses.iter().any(|one| one == address), "{name}");
        assert_eq!(push.repository.api_name, api_name, "{name}");
        assert_eq!(push.repository.default_branch.as_deref(), Some("main"), "{name}");
    }
}

#[test]
fn new_and_deleted_branches_have_no_commit_on_one_side() {
    let new = a_push("github-push-new-branch");
    assert_eq!((new.before, new.after.as_deref()), (None, Some(NEW)));
    assert_eq!(new.pushed, Pushed::Branch("feature/cart".into()));
    for name in ["github-push-deleted", "gitlab-push-deleted", "gitea-delete"] {
        let gone = a_push(name);
        assert_eq!(gone.after, None, "{name}");
        assert_eq!(gone.pushed, Pushed::Branch("feature/cart".into()), "{name}");
    }
    assert!(events("gitea-create").is_empty(), "its push tells of the same");
}

#[test]
fn an_annotated_tag_stands_for_the_commit_it_points_at() {
    for name in ["github-push-tag", "gitlab-tag-push"] {
        let tag = a_push(name);
        assert_eq!(tag.pushed, Pushed::Tag("v1.2.0".into()), "{name}");
        assert_eq!(tag.after.as_deref(), Some(NEW), "{name}: not the tag object's own id");
    }
}

#[test]
fn bitbucket_sends_several_changes_at_once() {
    let all = events("bitbucket-push");
    let pushes: Vec<&PushEvent> = all
        .iter()
        .map(|event| match event {
            Event::Push(push) => push,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(pushes.len(), 3);
    assert_eq!(pushes[0].after.as_deref(), Some(NEW));
    assert_eq!(pushes[0].repository.addresses, ["https://bitbucket.org/acme/shop"]);
    assert_eq!(
        (&pushes[1].pushed, &pushes[1].after),
        (&Pushed::Branch("feature/cart".into()), &None)
    );
    assert_eq!(pushes[2].pushed, Pushed::Tag("v1.2.0".into()));
}

#[test]
fn pull_requests_are_the_same_whoever_sends_them() {
    for (name, action) in [
        ("github-pr-opened", PullRequestAction::Opened),
        ("github-pr-synchronize", PullRequestAction::Updated),
        ("github-pr-closed", PullRequestAction::Closed),
        ("gitlab-mr-open", PullRequestAction::Opened),
        ("gitlab-mr-reopen", PullRequestAction::Opened),
        ("gitlab-mr-update", PullRequestAction::Updated),
        ("gitlab-mr-merge", PullRequestAction::Closed),
        ("gitea-pr-synchronized", PullRequestAction::Updated),
        ("bitbucket-pr", PullRequestAction::Opened),
        ("generic-pull-request", PullRequestAction::Opened),
    ] {
        let change = a_change(name);
        assert_eq!((change.number, change.action), (12, action), "{name}");
        assert_eq!(change.branch, "feature/cart", "{name}");
        assert!(NEW.starts_with(&change.commit), "{name}: {}", change.commit);
        assert!(!change.from_fork, "{name}");
        assert!(change.message.unwrap().contains("Add a cart"), "{name}");
    }
    assert!(a_change("gitlab-mr-reopen").message.unwrap().contains("[ci skip]"));
}

#[test]
fn forks_are_told_apart_even_when_they_are_gone() {
    for name in ["github-pr-fork", "github-pr-fork-gone", "gitlab-mr-fork", "bitbucket-pr-fork"] {
        assert!(a_change(name).from_fork, "{name}");
    }
}

#[test]
fn what_does_not_matter_gives_no_events() {
    for name in ["github-pr-labeled", "gitlab-mr-retitled", "github-push-note"] {
        assert_eq!(events(name), [], "{name}");
    }
    assert_eq!(events("github-ping"), [Event::Ping]);
    let bitbucket =
        read(Provider::Bitbucket, "diagnostics:ping", None, b"{\"test\":true}").unwrap();
    assert_eq!(bitbucket, [Event::Ping]);
}

#[test]
fn github_may_wrap_its_payload_in_a_form() {
    let json = fixture("github-push");
    let text = percent_encoding::utf8_percent_encode(json, percent_encoding::NON_ALPHANUMERIC);
    let form = format!("payload={}", text.to_string().replace("%20", "+"));
    let kind = Some("application/x-www-form-urlencoded");
    let wrapped = read(Provider::Github, "push", kind, form.as_bytes()).unwrap();
    assert_eq!(wrapped, events("github-push"));
    for bad in ["", "x=1", "payload=%", "payload=%ff"] {
        let failure = read(Provider::Github, "push", kind, bad.as_bytes()).unwrap_err();
        assert_eq!(failure.code, "webhook.malformed", "{bad}");
    }
}

#[test]
fn unknown_events_are_named_with_those_that_are_known() {
    for (provider, event) in [
        (Provider::Github, "star"),
        (Provider::Gitlab, "Pipeline Hook"),
        (Provider::Gitea, "issues"),
        (Provider::Bitbucket, "repo:fork"),
        (Provider::Generic, "deploy"),
    ] {
        let failure = read(provider, event, None, b"{}").unwrap_err();
        assert_eq!(failure.code, "webhook.event-unknown", "{provider}");
        assert!(
            failure.what.contains(event) && failure.why.to_lowercase().contains("push"),
            "{failure:?}"
        );
    }
}

/// Whatever the answer is, it is one: events, or a refusal of one of two kinds.
#[track_caller]
fn is_answered(provider: Provider, event: &str, body: &[u8]) {
    if let Err(failure) = read(provider, event, Some("application/json"), body) {
        assert!(
            matches!(failure.code.as_str(), "webhook.malformed" | "webhook.event-unknown"),
            "{failure:?}"
        );
        assert!(!failure.fix.is_empty());
    }
}

#[test]
fn truncated_payloads_are_refused() {
    for (name, text) in FIXTURES {
        let (provider, event) = kind(name);
        for end in (0..text.trim_end().len()).step_by(7) {
            let body = &text.as_bytes()[..end];
            is_answered(provider, event, body);
            if event != "ping" && event != "create" {
                let failure = read(provider, event, None, body).unwrap_err();
                assert_eq!(failure.code, "webhook.malformed", "{name} cut at {end}");
            }
        }
    }
}

/// Every place of a value, as JSON pointers.
fn places(value: &Value, at: String, all: &mut Vec<String>) {
    all.push(at.clone());
    match value {
        Value::Object(map) => {
            map.iter().for_each(|(key, inner)| {
                places(inner, format!("{at}/{}", key.replace('/', "~1")), all);
            });
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, inner)| places(inner, format!("{at}/{n}"), all));
        }
        _ => {}
    }
}

#[test]
fn wrong_types_anywhere_are_answered() {
    let wrong = [
        Value::Null,
        Value::Bool(true),
        serde_json::json!(-1),
        serde_json::json!(1e300),
        serde_json::json!("\u{0}../../x y"),
        serde_json::json!("a".repeat(100_000)),
        serde_json::json!([]),
        serde_json::json!({}),
    ];
    for (name, text) in FIXTURES {
        let (provider, event) = kind(name);
        let whole: Value = serde_json::from_str(text).unwrap();
        let mut all = Vec::new();
        places(&whole, String::new(), &mut all);
        for place in all {
            for other in &wrong {
                let mut changed = whole.clone();
                *changed.pointer_mut(&place).unwrap() = other.clone();
                is_answered(provider, event, &serde_json::to_vec(&changed).unwrap());
            }
        }
    }
}

#[test]
fn what_is_taken_over_is_bounded_and_safe() {
    let mut payload: Value = serde_json::from_str(fixture("github-push")).unwrap();
    let ask = |payload: &Value| {
        read(Provider::Github, "push", None, &serde_json::to_vec(payload).unwrap())
    };
    payload["head_commit"]["message"] = "x".repeat(100_000).into();
    match ask(&payload).unwrap().as_slice() {
        [Event::Push(push)] => assert_eq!(push.message.as_ref().unwrap().len(), MESSAGE_CHARS_MAX),
        other => panic!("{other:?}"),
    }
    for bad in
        ["refs/heads/--upload-pack=x", "refs/heads/a..b", "refs/heads/", "main", "refs/heads/a b"]
    {
        payload["ref"] = bad.into();
        assert_eq!(ask(&payload).unwrap_err().code, "webhook.malformed", "{bad}");
    }
    payload["ref"] = "refs/heads/main".into();
    for bad in ["", "HEAD", "-x", "6113728", "6113728f27ae82c7b1a177c8d03f9e96e0adf24g"] {
        payload["after"] = bad.into();
        let read = ask(&payload);
        assert_eq!(read.is_ok(), bad == "6113728", "{bad}: {read:?}");
    }
}
