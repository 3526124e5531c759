//! Every route × every kind of token: the status that each gets, from one table.
//!
//! A route that is missing here fails the test: add its line, and think about who may.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, header};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;
use windlass_model::access::{ApiToken, TokenScope, TokenText};
use windlass_model::event::Event;
use windlass_model::{DeploymentId, DeploymentStatus, Failure, ProjectName, Timestamp};

use super::super::table;
use super::{TOKEN, World};
use Reach::{Deployment, Filtered, Host, Open, Project};
use TokenScope::{Admin, Deploy, Read};

/// What a route is about, and so what a token that is limited to another project gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Everyone gets the same, with or without a token.
    Open,
    /// 404 `project.not-found`, as if it were not there.
    Project,
    /// 404 `deployment.not-found`, likewise.
    Deployment,
    /// 403 `auth.project-limited`.
    Host,
    /// The answer, without a word of the other projects.
    Filtered,
}

/// Method, path, least scope, reach, and the status of an empty request that is let through.
type Expected = (&'static str, &'static str, TokenScope, Reach, u16);

const ENV: &str = "/v1/projects/{project}/environments/{environment}";

#[rustfmt::skip]
const TABLE: &[Expected] = &[
    ("GET", "/healthz", Read, Open, 200),
    ("GET", "/readyz", Read, Open, 200),
    ("GET", "/v1/openapi.json", Read, Open, 200),
    ("GET", "/v1/status", Read, Filtered, 200),
    ("GET", "/v1/plugins", Read, Filtered, 200),
    ("POST", "/v1/plugins", Admin, Host, 400),
    ("POST", "/v1/plugin-fetch", Admin, Host, 400),
    ("GET", "/v1/plugins/{plugin}", Read, Filtered, 404),
    ("DELETE", "/v1/plugins/{plugin}", Admin, Host, 404),
    ("POST", "/v1/plugins/{plugin}/upgrade", Admin, Host, 400),
    ("POST", "/v1/plugins/{plugin}/upgrade/fetch", Admin, Host, 400),
    ("POST", "/v1/plugins/{plugin}/rollback", Admin, Host, 404),
    ("PUT", "/v1/plugins/{plugin}/grants", Admin, Host, 400),
    ("GET", "/v1/plugin-signatures", Read, Host, 200),
    ("PUT", "/v1/plugin-signatures", Admin, Host, 200),
    ("GET", "/v1/plugin-indexes", Read, Host, 200),
    ("PUT", "/v1/plugin-indexes/{index}", Admin, Host, 400),
    ("DELETE", "/v1/plugin-indexes/{index}", Admin, Host, 404),
    ("GET", "/v1/plugin-search", Read, Host, 200),
    ("GET", "/v1/plugin-stats", Read, Filtered, 200),
    ("GET", "/v1/metrics", Read, Filtered, 200),
    ("GET", "/v1/projects/{project}/plugins", Read, Project, 200),
    ("GET", "/v1/projects/{project}/plugins/{plugin}", Read, Project, 404),
    ("PUT", "/v1/projects/{project}/plugins/{plugin}", Admin, Project, 404),
    ("GET", "/v1/failures", Read, Filtered, 200),
    ("GET", "/v1/failures/{code}", Read, Host, 404),
    ("GET", "/v1/token", Read, Filtered, 200),
    ("GET", "/v1/tokens", Admin, Host, 200),
    ("POST", "/v1/tokens", Admin, Host, 400),
    ("DELETE", "/v1/tokens/{token}", Admin, Host, 404),
    ("POST", "/v1/tokens/{token}/rotate", Admin, Host, 404),
    ("GET", "/v1/audit", Admin, Host, 200),
    ("GET", "/v1/key", Admin, Host, 200),
    ("POST", "/v1/key/rotate", Admin, Host, 200),
    ("GET", "/v1/backups", Admin, Host, 200),
    // A store in memory has no key file to take along.
    ("POST", "/v1/backups", Admin, Host, 500),
    ("POST", "/v1/backups/{name}/verify", Admin, Host, 404),
    ("GET", "/v1/disk", Read, Host, 200),
    ("POST", "/v1/prune", Admin, Host, 200),
    ("GET", "/v1/projects", Read, Filtered, 200),
    ("POST", "/v1/projects", Admin, Host, 400),
    ("GET", "/v1/projects/{project}", Read, Project, 200),
    ("DELETE", "/v1/projects/{project}", Admin, Project, 204),
    ("PUT", "/v1/projects/{project}/git-token", Admin, Project, 400),
    ("DELETE", "/v1/projects/{project}/git-token", Admin, Project, 204),
    ("GET", "/v1/projects/{project}/registries", Read, Project, 200),
    ("PUT", "/v1/projects/{project}/registries", Admin, Project, 400),
    ("DELETE", "/v1/projects/{project}/registries/{registry}", Admin, Project, 404),
    ("GET", "/v1/projects/{project}/deploy-key", Read, Project, 404),
    ("PUT", "/v1/projects/{project}/deploy-key", Admin, Project, 200),
    ("DELETE", "/v1/projects/{project}/deploy-key", Admin, Project, 204),
    ("DELETE", "/v1/projects/{project}/known-hosts/{host}", Admin, Project, 404),
    ("GET", "/v1/projects/{project}/environments", Read, Project, 200),
    ("POST", "/v1/projects/{project}/environments", Admin, Project, 400),
    ("GET", "{env}", Read, Project, 200),
    ("DELETE", "{env}", Admin, Project, 204),
    ("GET", "{env}/variables", Read, Project, 200),
    ("PUT", "{env}/variables", Admin, Project, 400),
    ("DELETE", "{env}/variables/{name}", Admin, Project, 404),
    ("GET", "{env}/domains", Read, Project, 200),
    ("POST", "{env}/domains", Admin, Project, 400),
    ("DELETE", "{env}/domains/{host}", Admin, Project, 404),
    ("GET", "{env}/services", Read, Project, 200),
    ("POST", "{env}/services", Admin, Project, 400),
    ("DELETE", "{env}/services/{name}", Admin, Project, 404),
    ("POST", "{env}/deployments", Deploy, Project, 202),
    ("POST", "{env}/deployments/archive", Deploy, Project, 400),
    ("POST", "{env}/redeploy", Deploy, Project, 202),
    ("POST", "{env}/plan", Deploy, Project, 400),
    ("POST", "{env}/plan/archive", Deploy, Project, 400),
    ("POST", "{env}/builds", Deploy, Project, 202),
    ("POST", "{env}/builds/archive", Deploy, Project, 400),
    ("GET", "/v1/deployments/{deployment}/files", Deploy, Deployment, 409),
    ("POST", "{env}/rollback", Deploy, Project, 409),
    ("GET", "{env}/running", Read, Project, 409),
    ("POST", "{env}/stop", Deploy, Project, 409),
    ("POST", "{env}/start", Deploy, Project, 409),
    ("POST", "{env}/restart", Deploy, Project, 409),
    ("PUT", "{env}/scale", Deploy, Project, 400),
    ("PUT", "{env}/maintenance", Deploy, Project, 409),
    ("DELETE", "{env}/maintenance", Deploy, Project, 409),
    ("GET", "{env}/events", Read, Project, 200),
    ("GET", "{env}/volumes", Read, Project, 200),
    ("DELETE", "{env}/volumes/{volume}", Admin, Project, 404),
    ("GET", "{env}/settings", Read, Project, 200),
    ("PUT", "{env}/settings", Admin, Project, 400),
    ("DELETE", "{env}/settings", Admin, Project, 204),
    ("POST", "/v1/hooks/{webhook}", Read, Open, 400),
    ("GET", "/v1/projects/{project}/webhooks", Read, Project, 200),
    ("POST", "/v1/projects/{project}/webhooks", Admin, Project, 400),
    ("GET", "/v1/projects/{project}/webhooks/{webhook}", Read, Project, 400),
    ("DELETE", "/v1/projects/{project}/webhooks/{webhook}", Admin, Project, 400),
    ("POST", "/v1/projects/{project}/webhooks/{webhook}/rotate", Admin, Project, 400),
    ("PUT", "/v1/projects/{project}/webhooks/{webhook}/status-token", Admin, Project, 400),
    ("DELETE", "/v1/projects/{project}/webhooks/{webhook}/status-token", Admin, Project, 400),
    ("GET", "/v1/projects/{project}/webhooks/{webhook}/deliveries", Read, Project, 400),
    ("POST", "/v1/projects/{project}/webhooks/{webhook}/deliveries/{delivery}/redeliver", Deploy, Project, 400),
    ("GET", "{env}/auto-deploy", Read, Project, 200),
    ("PUT", "{env}/auto-deploy", Admin, Project, 200),
    ("GET", "/v1/projects/{project}/previews", Read, Project, 200),
    ("PUT", "/v1/projects/{project}/preview-settings", Admin, Project, 200),
    ("DELETE", "/v1/projects/{project}/previews/{environment}", Deploy, Project, 404),
    ("POST", "{env}/promote", Deploy, Project, 400),
    ("POST", "/v1/deployments/{deployment}/pause", Deploy, Deployment, 409),
    ("POST", "/v1/deployments/{deployment}/resume", Deploy, Deployment, 409),
    ("PUT", "/v1/deployments/{deployment}/pin", Deploy, Deployment, 200),
    ("DELETE", "/v1/deployments/{deployment}/pin", Deploy, Deployment, 200),
    ("GET", "/v1/deployments", Read, Filtered, 200),
    ("GET", "/v1/deployments/{deployment}", Read, Deployment, 200),
    ("POST", "/v1/deployments/{deployment}/cancel", Deploy, Deployment, 409),
    ("POST", "/v1/deployments/{deployment}/redeploy", Deploy, Deployment, 202),
    ("GET", "/v1/deployments/{deployment}/plan", Read, Deployment, 404),
    ("GET", "/v1/deployments/{deployment}/why", Read, Deployment, 404),
    ("POST", "/v1/cache/clear", Admin, Host, 200),
    ("POST", "/v1/deployments/{deployment}/push", Deploy, Deployment, 400),
    ("GET", "/v1/deployments/{deployment}/image", Deploy, Deployment, 409),
    ("GET", "/v1/deployments/{deployment}/artifacts", Read, Deployment, 200),
    ("GET", "/v1/deployments/{deployment}/artifacts/{plugin}/{name}", Read, Deployment, 404),
    ("GET", "/v1/deployments/{deployment}/logs", Read, Deployment, 200),
    ("GET", "/v1/deployments/{deployment}/watch", Read, Deployment, 200),
    ("GET", "{env}/logs", Read, Project, 200),
    ("GET", "{env}/exec", Deploy, Project, 400),
    ("GET", "{env}/run", Deploy, Project, 400),
    ("GET", "{env}/runs", Read, Project, 200),
    ("POST", "{env}/runs", Deploy, Project, 400),
    ("GET", "{env}/runs/{run}", Read, Project, 404),
    ("DELETE", "{env}/runs/{run}", Deploy, Project, 404),
    ("GET", "{env}/cron", Read, Project, 200),
    ("GET", "{env}/cron/{schedule}/runs", Read, Project, 404),
    ("POST", "{env}/cron/{schedule}/run", Deploy, Project, 404),
    ("GET", "{env}/stats", Read, Project, 200),
    ("GET", "/v1/events", Read, Filtered, 200),
];

fn expected() -> Vec<(String, String, TokenScope, Reach, u16)> {
    let row = |&(method, path, scope, reach, status): &Expected| {
        (method.to_owned(), path.replace("{env}", ENV), scope, reach, status)
    };
    TABLE.iter().map(row).collect()
}

#[test]
fn every_route_says_which_scope_it_needs_and_is_in_the_table_of_who_may() {
    let expected = expected();
    for row in table::rows() {
        let (method, path) = (row.verb.key().to_uppercase(), row.path);
        let said = row.is_open || row.scope.is_some();
        assert!(said, "{method} {path}: say which scope it needs, with `.needs(TokenScope::…)`");
        let line = expected.iter().find(|(m, p, ..)| *m == method && p == path);
        let (_, _, scope, reach, _) =
            line.unwrap_or_else(|| panic!("{method} {path} has no line in TABLE of {}", file!()));
        if row.is_open {
            assert_eq!(*reach, Open, "{method} {path}");
        } else {
            assert_eq!(row.scope, Some(*scope), "{method} {path}");
        }
    }
    let rows = table::rows();
    for (method, path, ..) in &expected {
        let known = rows.iter().any(|r| r.path == path && r.verb.key().to_uppercase() == *method);
        assert!(known, "{method} {path} of the table is no route");
    }
    assert_eq!(rows.len(), expected.len());
}

/// How long an answer may take to come to its end.
const WITHIN: Duration = Duration::from_secs(20);
/// What the host-wide event says.
const HOST_WIDE: &str = "of the whole host";

/// A world with the projects `shop` and `other`, a settled deployment of `shop`, events of both and of the
/// host, and tokens.
struct Tokens {
    world: World,
    deployment: DeploymentId,
}

impl Tokens {
    async fn new() -> Self {
        let world = World::new().await;
        for project in ["shop", "other"] {
            let body = format!(r#"{{"name": "{project}"}}"#);
            world.expect(201, "POST", "/v1/projects", &body).await;
        }
        let deployment = deploy(&world, "shop", DeploymentStatus::Failed).await;
        let tokens = Self { world, deployment };
        for of in [None, Some("shop"), Some("other")] {
            tokens.happens(of, "before");
        }
        tokens
    }

    /// Plants an event of a project, or of the whole host.
    fn happens(&self, of: Option<&str>, what: &str) {
        let about = of.unwrap_or(HOST_WIDE);
        let mut event = Event::now("test.happened", format!("{what}: {about}"));
        event.project = of.map(|name| name.parse().unwrap());
        self.world.host.observe.events.record(event);
    }

    /// Stores a token and returns its text.
    async fn token(&self, name: &str, scope: TokenScope, change: impl Fn(&mut ApiToken)) -> String {
        token(&self.world, name, scope, change).await
    }

    /// Sends an empty request.
    async fn open(&self, method: &str, path: &str, token: Option<&str>) -> Response<Body> {
        let id = self.deployment.as_str();
        let names = [("project", "shop"), ("environment", "production"), ("deployment", id)];
        let path = names.iter().fold(path.to_owned(), |path, (name, value)| {
            path.replace(&format!("{{{name}}}"), value)
        });
        let path = path.replace(['{', '}'], "");
        let mut request = Request::builder().method(method).uri(&path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let answer = self.world.router.clone().oneshot(request.body(Body::empty()).unwrap());
        answer.await.unwrap()
    }

    /// Sends an empty request and reads the whole answer.
    async fn ask(&self, method: &str, path: &str, token: Option<&str>) -> (u16, String) {
        let answer = self.open(method, path, token).await;
        let status = answer.status().as_u16();
        let read = tokio::time::timeout(WITHIN, axum::body::to_bytes(answer.into_body(), 1 << 24));
        let Ok(bytes) = read.await else { panic!("{method} {path}: its answer has no end") };
        (status, String::from_utf8_lossy(&bytes.unwrap()).into_owned())
    }

    /// Sends an empty request that must be answered, and reads the answer.
    async fn answer(&self, path: &str, token: &str) -> String {
        let (status, answer) = self.ask("GET", path, Some(token)).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }
}

/// A deployment of a project, with a status.
async fn deploy(world: &World, project: &str, status: DeploymentStatus) -> DeploymentId {
    let path = format!("/v1/projects/{project}/environments/production/deployments");
    let body = format!(r#"{{"git_url": "https://example.org/{project}"}}"#);
    let queued = world.expect(202, "POST", &path, &body).await;
    let id: DeploymentId = queued["id"].as_str().unwrap().parse().unwrap();
    let mut found = world.host.store.deployment(&id).unwrap();
    found.value.status = status;
    world.host.store.update_deployment(&found.value, found.revision).await.unwrap();
    id
}

async fn token(
    world: &World,
    name: &str,
    scope: TokenScope,
    change: impl Fn(&mut ApiToken),
) -> String {
    let text = crate::access::generate_token();
    let mut token = ApiToken {
        id: text.id().clone(),
        name: name.parse().unwrap(),
        scope,
        projects: Vec::new(),
        hash: text.hash(),
        created_at: Timestamp::now(),
        created_by: "test".to_owned(),
        rotated_at: None,
        expires_at: None,
        revoked_at: None,
        last_used_at: None,
    };
    change(&mut token);
    world.host.store.create_token(&token).await.unwrap();
    text.text().expose().clone()
}

fn code(answer: &str) -> String {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    answer["error"]["code"].as_str().unwrap_or_default().to_owned()
}

fn only(name: &str) -> impl Fn(&mut ApiToken) {
    let project: ProjectName = name.parse().unwrap();
    move |token| token.projects = vec![project.clone()]
}

#[tokio::test]
async fn every_route_answers_every_kind_of_token_as_the_table_says() {
    for (method, path, scope, reach, status) in expected() {
        let tokens = Tokens::new().await;
        let name = format!("{method} {path}");
        let ask = async |token: Option<&str>| tokens.ask(&method, &path, token).await;
        if reach == Open {
            for token in [None, Some("nonsense"), Some(TOKEN)] {
                assert_eq!(ask(token).await.0, status, "{name}");
            }
            continue;
        }
        let past = Timestamp::now() - Duration::from_secs(60);
        let expired = tokens.token("expired", Admin, |t| t.expires_at = Some(past)).await;
        let revoked = tokens.token("revoked", Admin, |t| t.revoked_at = Some(past)).await;
        let well_formed = crate::access::generate_token().text().expose().clone();
        let mut cut = well_formed.clone();
        cut.pop();
        for (token, failure) in [
            (None, "auth.token-missing"),
            (Some("nonsense"), "auth.token-wrong"),
            (Some(well_formed.as_str()), "auth.token-wrong"),
            (Some(cut.as_str()), "auth.token-mistyped"),
            (Some(expired.as_str()), "auth.token-expired"),
            (Some(revoked.as_str()), "auth.token-revoked"),
        ] {
            let (got, answer) = ask(token).await;
            assert_eq!((got, code(&answer).as_str()), (401, failure), "{name}");
        }
        for small in [Read, Deploy].into_iter().filter(|small| *small < scope) {
            let token = tokens.token(&format!("small-{small}"), small, |_| ()).await;
            let (got, answer) = ask(Some(&token)).await;
            assert_eq!((got, code(&answer).as_str()), (403, "auth.scope-too-small"), "{name}");
        }
        of_another_project(&tokens, &name, &method, &path, (reach, status)).await;
        let limited = matches!(reach, Project | Deployment | Filtered);
        let enough = if limited {
            tokens.token("enough", scope, only("shop")).await
        } else {
            tokens.token("enough", scope, |_| ()).await
        };
        let (got, answer) = ask(Some(&enough)).await;
        assert_eq!(got, status, "{name}: {answer}");
        for large in [Read, Deploy, Admin].into_iter().filter(|large| *large >= scope) {
            let token = tokens.token(&format!("large-{large}"), large, |_| ()).await;
            let (got, answer) = ask(Some(&token)).await;
            assert!(!matches!(got, 401 | 403), "{name} as {large}: {got} {answer}");
        }
        assert!(!matches!(ask(Some(TOKEN)).await.0, 401 | 403), "{name} as the host's own token");
    }
}

async fn of_another_project(
    tokens: &Tokens,
    name: &str,
    method: &str,
    path: &str,
    (reach, status): (Reach, u16),
) {
    let other = tokens.token("other-project", Admin, only("other")).await;
    let (got, answer) = tokens.ask(method, path, Some(&other)).await;
    match reach {
        Project => assert_eq!((got, code(&answer).as_str()), (404, "project.not-found"), "{name}"),
        Deployment => {
            assert_eq!((got, code(&answer).as_str()), (404, "deployment.not-found"), "{name}");
        }
        Host => assert_eq!((got, code(&answer).as_str()), (403, "auth.project-limited"), "{name}"),
        Filtered => {
            assert_eq!(got, status, "{name}: {answer}");
            // The list of failure codes is the same for everyone, and has an example of that name.
            let answer = answer.replace("shop.example.com", "").replace("shop:1.2", "");
            assert!(!answer.contains("shop"), "{name}: {answer}");
            assert!(!answer.contains(HOST_WIDE), "{name}: {answer}");
        }
        Open => {}
    }
}

/// The positive control of what is filtered: the other project's answer has no word of `shop` although `shop`
/// has something there.
#[tokio::test]
async fn lists_show_a_limited_token_what_is_of_its_project_and_no_word_of_another() {
    let tokens = Tokens::new().await;
    deploy(&tokens.world, "other", DeploymentStatus::Failed).await;
    let of_shop = tokens.token("of-shop", Read, only("shop")).await;
    let of_other = tokens.token("of-other", Read, only("other")).await;
    let (shop, other) = (r#":"shop""#, r#":"other""#);
    for path in ["/v1/projects", "/v1/deployments", "/v1/events"] {
        for (token, seen, hidden) in [(&of_shop, shop, other), (&of_other, other, shop)] {
            let answer = tokens.answer(path, token).await;
            assert!(answer.contains(seen), "{path}: {answer}");
            assert!(!answer.contains(hidden), "{path}: {answer}");
        }
        let all = tokens.answer(path, TOKEN).await;
        assert!(all.contains(shop) && all.contains(other), "{path}: {all}");
    }
    assert!(tokens.answer("/v1/events", TOKEN).await.contains(HOST_WIDE));
    // The last id that there is has nothing behind it.
    let path = format!("/v1/events?after={}", u64::MAX);
    assert_eq!(tokens.answer(&path, TOKEN).await, r#"{"items":[]}"#);
}

#[tokio::test]
async fn followed_events_are_those_of_the_tokens_projects_alone() {
    let tokens = Tokens::new().await;
    let of_other = tokens.token("of-other", Read, only("other")).await;
    for path in ["/v1/events?follow=true", "/v1/events?follow=true&after=0"] {
        for (token, sees_all) in [(of_other.as_str(), false), (TOKEN, true)] {
            let answer = tokens.open("GET", path, Some(token)).await;
            assert_eq!(answer.status().as_u16(), 200, "{path}");
            let mut pieces = answer.into_body().into_data_stream();
            let last = format!("{path} {sees_all}");
            for (of, what) in [(Some("shop"), "now"), (None, "now"), (Some("other"), &*last)] {
                tokens.happens(of, what);
            }
            let last = format!("{last}: other");
            // Events come in their order: what was passed on stands before the last one.
            let read = async {
                let mut text = String::new();
                while !text.contains(&last) {
                    let piece = pieces.next().await.expect("the stream ended").unwrap();
                    text.push_str(&String::from_utf8_lossy(&piece));
                }
                text
            };
            let Ok(text) = tokio::time::timeout(WITHIN, read).await else {
                panic!("{path}: the event that was waited for did not come")
            };
            assert!(text.contains("before: other"), "{path}: {text}");
            for hidden in ["before: shop", "now: shop", HOST_WIDE] {
                assert_eq!(text.contains(hidden), sees_all, "{path}: {hidden:?} in {text}");
            }
        }
    }
}

#[tokio::test]
async fn the_status_counts_what_the_token_may_see_and_tells_of_backups_who_sees_the_host() {
    use DeploymentStatus::{Live, Queued, Running};
    let tokens = Tokens::new().await;
    for (project, status) in
        [("shop", Running), ("shop", Live), ("shop", Queued), ("shop", Queued), ("other", Live)]
    {
        deploy(&tokens.world, project, status).await;
    }
    let backups = tokens.world.host.config.data_dir.join("backups");
    std::fs::create_dir_all(&backups).unwrap();
    let failure = Failure::host("backup.failed", "it was not made", "of shop", "make space");
    std::fs::write(backups.join("last-failure.json"), json!(failure).to_string()).unwrap();
    let of_shop = tokens.token("of-shop", Read, only("shop")).await;
    let of_other = tokens.token("of-other", Read, only("other")).await;
    for (token, queued, running, live, sees_backups) in [
        (of_shop.as_str(), 2, 1, 1, false),
        (of_other.as_str(), 0, 0, 1, false),
        (TOKEN, 2, 1, 2, true),
    ] {
        let answer = tokens.answer("/v1/status", token).await;
        let status: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(status["queued"], queued, "{answer}");
        assert_eq!(status["running"], running, "{answer}");
        assert_eq!(status["live"], live, "{answer}");
        assert_eq!(status["backup"]["failure"].is_object(), sees_backups, "{answer}");
        assert_eq!(answer.contains("it was not made"), sees_backups, "{answer}");
        assert_eq!(status["ready"], true, "{answer}");
    }
}

#[tokio::test]
async fn what_may_not_be_seen_is_answered_exactly_as_what_is_not_there() {
    let tokens = Tokens::new().await;
    let other = tokens.token("other-project", Admin, only("other")).await;
    let same = |shown: &str, hidden: &str, mine: &str| {
        assert_eq!(
            shown.replace(hidden, "NAME"),
            shown.replace(mine, "NAME").replace(hidden, "NAME")
        );
    };
    let ask = async |path: String| {
        let (status, body) = tokens.ask("GET", &path, Some(&other)).await;
        assert_eq!(status, 404, "{path}: {body}");
        body
    };
    // The project is there in one case and not in the other; the answers differ in the name alone.
    let (there, missing) =
        (ask("/v1/projects/shop".into()).await, ask("/v1/projects/none".into()).await);
    assert_eq!(there.replace("shop", "none"), missing);
    same(&there, "shop", "none");
    let unknown = DeploymentId::generate().to_string();
    let id = tokens.deployment.to_string();
    for (hidden, absent) in [
        (id.clone(), unknown.clone()),
        (id[..20].to_owned(), unknown.to_lowercase()[..20].to_owned()),
    ] {
        let there = ask(format!("/v1/deployments/{hidden}")).await;
        let missing = ask(format!("/v1/deployments/{absent}")).await;
        assert_eq!(there.replace(&hidden, "ID"), missing.replace(&absent, "ID"));
    }
    let there = ask("/v1/deployments/1?project=shop".into()).await;
    let missing = ask("/v1/deployments/1?project=none".into()).await;
    assert_eq!(there.replace("shop", "none"), missing);
    let listed = ask("/v1/deployments?project=shop".into()).await;
    assert_eq!(listed.replace("shop", "none"), ask("/v1/deployments?project=none".into()).await);
}

#[tokio::test]
async fn a_body_cannot_name_what_its_token_may_not_see_or_do() {
    let tokens = Tokens::new().await;
    let world = &tokens.world;
    let other = tokens.token("other-project", Admin, only("other")).await;
    let deployer = tokens.token("deployer", Deploy, |_| ()).await;
    let send = async |token: &str, method: &str, path: &str, body: String| {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        let (status, answer) = world.send(request.body(Body::from(body)).unwrap()).await;
        (status.as_u16(), answer["error"]["code"].as_str().unwrap_or_default().to_owned())
    };
    let rollback = "/v1/projects/other/environments/production/rollback";
    let body = format!(r#"{{"to": "{}"}}"#, tokens.deployment);
    let got = send(&other, "POST", rollback, body).await;
    assert_eq!(got, (404, "deployment.not-found".to_owned()));
    let missing = "/v1/projects/new/environments/production/deployments?create=true";
    let body = r#"{"git_url": "https://example.org/x"}"#.to_owned();
    let got = send(&deployer, "POST", missing, body.clone()).await;
    assert_eq!(got, (403, "auth.scope-too-small".to_owned()));
    assert!(world.host.store.find_project(&"new".parse().unwrap()).unwrap().is_none());
    let there = format!("{}/deployments?create=true", super::SHOP);
    assert_eq!(send(&deployer, "POST", &there, body).await.0, 202);
    let body = r#"{"git_url": "https://example.org/x", "git_token": "abcdef"}"#.to_owned();
    let got = send(&deployer, "POST", &there, body).await;
    assert_eq!(got, (403, "auth.scope-too-small".to_owned()));
}

#[test]
fn tokens_are_written_as_they_are_read() {
    let text = crate::access::generate_token();
    assert!(TokenText::parse(text.text().expose()).is_ok());
}
