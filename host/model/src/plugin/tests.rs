//! What is allowed by what is asked for and granted, and what an upgrade asks for more.

use serde_json::{Value, json};

use super::*;
use crate::limits::PluginLimits;

fn asks(value: Value) -> Vec<Capability> {
    serde_json::from_value(value).unwrap()
}

fn grants(value: Value) -> Grants {
    serde_json::from_value(value).unwrap()
}

fn osv() -> Vec<Capability> {
    asks(json!([
        { "name": "http", "hosts": ["api.osv.dev", "*.example.com"], "methods": ["GET", "POST"],
          "reason": "asks for advisories" },
        { "name": "exec", "outputs": ["app"], "reason": "lists packages", "optional": true },
        { "name": "cache", "bytes_max": 1000, "reason": "keeps advisories", "optional": true },
    ]))
}

#[test]
fn by_default_nothing_is_allowed_and_what_is_required_is_missing() {
    let nothing = effective(&osv(), &Grants::default());
    assert_eq!(nothing.requests(), []);
    assert!(!nothing.allows_http("GET", "api.osv.dev") && !nothing.allows_exec("app"));
    assert_eq!((nothing.cache_bytes_max(), nothing.artifact_bytes_max()), (0, 0));
    let asked = osv();
    let missing = missing(&asked, &Grants::default());
    assert_eq!(missing.len(), 1, "the optional ones are not: {missing:?}");
    assert_eq!(missing[0].request.kind(), Kind::Http);
}

#[test]
fn what_is_granted_and_not_asked_for_is_not_allowed_and_the_other_way_round() {
    let wide = grants(json!([
        { "name": "http", "hosts": ["*"], "methods": ["GET", "DELETE"] },
        { "name": "secrets", "names": ["*"] },
        { "name": "cache", "bytes_max": 5000 },
    ]));
    let allowed = effective(&osv(), &wide);
    assert!(allowed.allows_http("GET", "api.osv.dev"));
    assert!(allowed.allows_http("GET", "x.example.com"));
    assert!(!allowed.allows_http("GET", "evil.org"), "not asked for");
    assert!(!allowed.allows_http("DELETE", "api.osv.dev"), "not asked for");
    assert!(!allowed.allows_http("POST", "api.osv.dev"), "not granted");
    assert!(!allowed.allows_secret("TOKEN") && !allowed.has(Kind::Secrets));
    assert!(!allowed.allows_exec("app"), "not granted");
    assert_eq!(allowed.cache_bytes_max(), 1000, "the smaller of both");
}

#[test]
fn a_source_of_which_less_was_granted_than_is_asked_for_is_narrowed() {
    let reads = |paths: Value, optional: bool| {
        asks(json!([{ "name": "source", "paths": paths, "reason": "reads", "optional": optional }]))
    };
    let granted = |paths: Value| grants(json!([{ "name": "source", "paths": paths }]));
    let narrowed = |asked: &[Capability], granted: &Grants| {
        let allowed = effective(asked, granted);
        let seen = narrowed_source(asked, &allowed);
        seen.map(|globs| globs.into_iter().map(str::to_owned).collect::<Vec<_>>())
    };
    let all = reads(json!(["**"]), true);
    assert_eq!(narrowed(&all, &granted(json!(["**/*.pem"]))).unwrap(), ["**/*.pem"]);
    assert_eq!(narrowed(&all, &Grants::default()).unwrap(), [""; 0], "it sees nothing");
    assert_eq!(narrowed(&all, &granted(json!(["**"]))), None);
    // What it does not ask for is not missed.
    let some = reads(json!(["src/**", "a.lock"]), false);
    assert_eq!(narrowed(&some, &granted(json!(["**"]))), None);
    assert_eq!(narrowed(&some, &granted(json!(["src/**", "a.lock"]))), None);
    assert_eq!(narrowed(&some, &granted(json!(["src/**"]))).unwrap(), ["src/**"]);
    assert_eq!(narrowed(&osv(), &Grants::default()), None);
    // Beside what it requires, an option that is not granted is not missed.
    let both = [some, all].concat();
    assert_eq!(narrowed(&both, &granted(json!(["src/**", "a.lock"]))), None);
    assert_eq!(narrowed(&both, &granted(json!(["a.lock"]))).unwrap(), ["a.lock"]);
}

#[test]
fn an_operator_may_grant_less_than_is_asked_for() {
    let any = asks(json!([
        { "name": "http", "hosts": ["*"], "methods": ["POST"], "reason": "posts to your chat" },
        { "name": "limits", "wall_ms": 60000, "memory_bytes": 500, "reason": "large inputs" },
    ]));
    let few = grants(json!([
        { "name": "http", "hosts": ["hooks.chat.example"], "methods": ["*"] },
        { "name": "limits", "wall_ms": 30000 },
    ]));
    let allowed = effective(&any, &few);
    assert!(allowed.allows_http("POST", "hooks.chat.example"));
    assert!(!allowed.allows_http("POST", "other.example"));
    let limits = allowed.limits(&PluginLimits::default());
    assert_eq!(limits, PluginLimits { wall_ms: 30_000, ..PluginLimits::default() });
    assert!(missing(&any, &few).is_empty(), "something of each is granted");
}

#[test]
fn granted_limits_are_never_less_than_everyones_and_never_above_the_ceilings() {
    let asked = asks(json!([
        { "name": "limits", "wall_ms": 60000, "cpu_ms": 700, "memory_bytes": 3000, "reason": "x" },
        { "name": "limits", "wall_ms": 90000, "reason": "a larger one" },
    ]));
    let allowed = effective(&asked, &Grants::all_of(&asked));
    let everyones = PluginLimits {
        wall_ms: 10_000,
        granted_wall_ms_max: 100_000,
        cpu_ms: 1_000,
        granted_cpu_ms_max: 500,
        memory_bytes_max: 1_000,
        granted_memory_bytes_max: 2_000,
        ..PluginLimits::default()
    };
    let limits = allowed.limits(&everyones);
    assert_eq!(limits.wall_ms, 90_000, "the larger of the two");
    assert_eq!(limits.cpu_ms, 1_000, "everyone has that much");
    assert_eq!(limits.memory_bytes_max, 2_000, "the ceiling");
    let above = allowed.above_ceilings(&everyones);
    assert_eq!(above, ["memory_bytes of 3000, and `plugin.granted_memory_bytes_max` is 2000"]);
    let none = effective(&asked, &Grants::default());
    assert_eq!(none.limits(&everyones), everyones);
    assert!(none.above_ceilings(&everyones).is_empty());
}

#[test]
fn private_addresses_are_the_operators_to_grant_and_go_with_nothing_else() {
    let any = asks(json!([
        { "name": "http", "hosts": ["*"], "methods": ["POST"], "reason": "posts to your chat" },
    ]));
    assert!(effective(&any, &Grants::all_of(&any)).private_hosts().is_empty());
    let chat = grants(json!([
        { "name": "http", "hosts": ["chat.internal"], "methods": ["*"], "private": ["chat.internal"] },
    ]));
    let allowed = effective(&any, &chat);
    assert_eq!(allowed.private_hosts(), ["chat.internal"]);
    assert!(!allowed.allows_http("POST", "other.internal"));
    let greedy = json!([
        { "name": "http", "hosts": ["*"], "private": ["10.0.0.0/8"], "reason": "x" },
    ]);
    assert!(check(&asks(greedy)).unwrap_err().contains("operator"));
    let mut had = Grants::all_of(&any);
    had.add(chat.0);
    assert_eq!(had.0.len(), 2, "what is private is more than was granted: {had:?}");
}

#[test]
fn an_image_is_allowed_only_where_it_is_named_as_one() {
    let asked = asks(json!([
        { "name": "exec", "outputs": ["*", "image:chrome:*"], "reason": "takes pictures" },
    ]));
    let allowed = effective(&asked, &Grants::all_of(&asked));
    assert!(allowed.allows_exec("app") && allowed.allows_image("chrome:131"));
    assert!(!allowed.allows_image("alpine:3"));
    let outputs = effective(&asked, &grants(json!([{ "name": "exec", "outputs": ["app"] }])));
    assert!(outputs.allows_exec("app") && !outputs.allows_image("chrome:131"));
}

#[test]
fn all_and_kinds_are_what_is_asked_for() {
    let all = Grants::all_of(&osv());
    assert_eq!(all.0.len(), 3);
    assert!(effective(&osv(), &all).allows_exec("app"));
    let http = Grants::of_kinds(&osv(), &[Kind::Http]);
    assert_eq!(http.0.len(), 1);
    assert!(!effective(&osv(), &http).has(Kind::Exec));
}

#[test]
fn an_upgrade_shows_only_what_it_asks_for_more() {
    let old = osv();
    assert_eq!(difference(&old, &old), []);
    let new = asks(json!([
        { "name": "http", "hosts": ["api.osv.dev", "a.example.com", "ghsa.dev"],
          "methods": ["GET", "POST", "PUT"], "reason": "more" },
        { "name": "exec", "outputs": ["app"], "reason": "now needed" },
        { "name": "cache", "bytes_max": 900, "reason": "less", "optional": true },
        { "name": "annotations", "reason": "notes" },
    ]));
    let more: Vec<Request> = difference(&old, &new).into_iter().map(|one| one.request).collect();
    let http = |hosts: &[&str], methods: &[&str]| Request::Http {
        hosts: hosts.iter().map(|host| (*host).to_owned()).collect(),
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        private: Vec::new(),
    };
    assert_eq!(
        more,
        [
            http(&["api.osv.dev", "a.example.com"], &["PUT"]),
            http(&["ghsa.dev"], &["GET", "POST", "PUT"]),
            Request::Exec { outputs: vec!["app".to_owned()] },
            Request::Annotations {},
        ],
        "exec was optional"
    );
    assert_eq!(difference(&new, &osv()).len(), 2, "*.example.com, and 1000 bytes for 900");
}

#[test]
fn grants_that_are_covered_are_not_added_twice() {
    let mut had = grants(json!([{ "name": "http", "hosts": ["*"], "methods": ["*"] }]));
    had.add(Grants::all_of(&osv()).0);
    assert_eq!(had.0.len(), 3, "{had:?}");
}

#[test]
fn an_unknown_key_or_name_is_an_error_and_not_a_lost_wish() {
    let read = |value: Value| serde_json::from_value::<Capability>(value).unwrap_err().to_string();
    let unknown = read(json!({ "name": "exec", "output": ["app"], "reason": "x" }));
    assert!(unknown.contains("output"), "{unknown}");
    let unknown = read(json!({ "name": "annotations", "hosts": ["a"], "reason": "x" }));
    assert!(unknown.contains("hosts"), "{unknown}");
    let unknown = read(json!({ "name": "root", "reason": "x" }));
    assert!(unknown.contains("root"), "{unknown}");
    assert!(read(json!({ "name": "exec" })).contains("reason"));
    assert!(read(json!({ "name": "http", "reason": "x" })).contains("hosts"));
    let unknown = json!([{ "name": "exec", "outputs": ["*"], "reason": "grants have none" }]);
    assert!(serde_json::from_value::<Grants>(unknown).is_err());
}

#[test]
fn a_capability_reads_as_it_was_written() {
    let written = json!({
        "name": "http", "hosts": ["a.org"], "methods": ["GET"], "reason": "r", "optional": true
    });
    let read: Capability = serde_json::from_value(written.clone()).unwrap();
    assert_eq!(serde_json::to_value(read).unwrap(), written);
    let usual: Capability =
        serde_json::from_value(json!({ "name": "exec", "reason": "r" })).unwrap();
    assert_eq!(usual.request, Request::Exec { outputs: vec!["*".to_owned()] });
    for kind in Kind::ALL {
        assert_eq!(kind.as_str().parse::<Kind>().unwrap(), kind);
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
    }
}

#[test]
fn what_nobody_could_judge_is_refused() {
    let refused = |value: Value| check(&asks(value)).unwrap_err();
    let said = refused(json!([{ "name": "exec", "reason": " " }]));
    assert!(said.contains("exec") && said.contains("reason"), "{said}");
    let said = refused(json!([{ "name": "http", "hosts": [], "reason": "x" }]));
    assert!(said.contains("hosts"), "{said}");
    let said = refused(json!([{ "name": "limits", "reason": "x" }]));
    assert!(said.contains("wall_ms"), "{said}");
    check(&osv()).unwrap();
}

#[test]
fn a_choice_of_grants_is_read_from_one_word() {
    let give = |text: &str| text.parse::<Give>();
    assert_eq!(give("all").unwrap().of(&osv()), Grants::all_of(&osv()));
    assert_eq!(give("none").unwrap().of(&osv()), Grants::default());
    assert_eq!(give("exec, http").unwrap().of(&osv()).0.len(), 2);
    let exact = give(r#"[{"name": "http", "hosts": ["api.osv.dev"]}]"#).unwrap();
    assert_eq!(exact.of(&osv()).0.len(), 1);
    assert!(give("everything").unwrap_err().contains("exec, http"));
    assert!(give(r#"[{"name": "http", "hosts": []}]"#).is_err());
    for text in ["all", "none", "exec,http"] {
        assert_eq!(give(text).unwrap().to_string(), text);
    }
}

#[test]
fn what_is_added_to_a_grant_is_said_in_kinds_unless_that_gives_more() {
    let asked = osv();
    let with = |granted: Value, more: &[&Capability]| {
        let give = Give::with(&grants(granted), more, &asked);
        assert_eq!(give.to_string().parse::<Give>().unwrap(), give);
        give.to_string()
    };
    let cache = json!([{ "name": "cache", "bytes_max": 1000 }]);
    assert_eq!(with(cache, &[&asked[0]]), "cache,http");
    assert_eq!(with(json!([]), &[&asked[0]]), "http");
    assert_eq!(with(json!([]), &[]), "none");
    let small = with(json!([{ "name": "cache", "bytes_max": 5 }]), &[&asked[0]]);
    let small: Value = serde_json::from_str(&small).unwrap();
    assert_eq!((&small[0]["bytes_max"], &small[1]["name"]), (&json!(5), &json!("http")));
}

#[test]
fn what_is_given_and_not_asked_for_is_named() {
    let reads = asks(json!([{ "name": "source", "paths": ["src/**"], "reason": "reads it" }]));
    let unasked = |text: &str, asks: &[Capability]| text.parse::<Give>().unwrap().unasked(asks);
    assert_eq!(unasked("http,secrets,cache", &osv()), ["secrets"]);
    assert_eq!(unasked("http", &[]), ["http"], "it asks for nothing");
    let wide = r#"[{"name": "source", "paths": ["**", "src/**"]}]"#;
    assert_eq!(unasked(wide, &reads), ["source: **"]);
    let narrow = r#"[{"name": "source", "paths": ["src/a.rs"]}]"#;
    for fits in ["all", "none", "source", narrow] {
        assert_eq!(unasked(fits, &reads), [""; 0], "{fits}");
    }
}
