//! Publications: acknowledged, durable, fenced, repeatable.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;
use windlass_proxy::{
    ClientError, ErrorCode, ProxyClient, ProxyError, ProxyLimits, Route, Targets, run,
};

use crate::support::{DEADLINE, Proxy, config, get, instances, named, route};

fn refused(result: Result<impl std::fmt::Debug, ClientError>) -> ErrorCode {
    result.unwrap_err().refusal().expect("a refusal").code
}

fn stopped() -> Targets {
    Targets::None { reason: "it is stopped".to_owned(), hold_ms: Some(0) }
}

#[tokio::test]
async fn an_acknowledged_route_survives_the_proxy() {
    let proxy = Proxy::start().await;
    let app = named("one").await;
    proxy.publish(3, instances(&[app])).await;
    let saved = std::fs::read_to_string(proxy.folder.path().join("table.json")).unwrap();
    assert!(saved.contains("shop.test"), "{saved}");

    let folder = proxy.stop().await;
    let proxy = Proxy::within(folder, ProxyLimits::default()).await;
    assert_eq!(get(proxy.address, "shop.test", "/").await.text(), "one");
    assert_eq!(proxy.client.routes().await.unwrap(), [route(3, instances(&[app]))]);
    let before = proxy.client.drained("shop/production", 2, Duration::ZERO).await.unwrap();
    assert!(before.drained, "an older generation has nobody left after a restart");
}

#[tokio::test]
async fn the_same_publication_is_acknowledged_again_and_another_is_refused() {
    let proxy = Proxy::start().await;
    let client = &proxy.client;
    client.put_route(&route(5, stopped())).await.unwrap();
    client.put_route(&route(5, stopped())).await.unwrap();
    let changed = Targets::None { reason: "another".to_owned(), hold_ms: None };
    assert_eq!(
        refused(client.put_route(&route(5, changed.clone())).await),
        ErrorCode::StaleGeneration
    );
    assert_eq!(refused(client.put_route(&route(4, changed)).await), ErrorCode::StaleGeneration);
    assert_eq!(client.routes().await.unwrap(), [route(5, stopped())]);
    assert_eq!(
        refused(client.drained("shop/production", 6, Duration::ZERO).await),
        ErrorCode::UnknownGeneration
    );
}

#[tokio::test]
async fn a_host_belongs_to_one_route() {
    let proxy = Proxy::start().await;
    proxy.client.put_route(&Route { is_default: true, ..route(1, stopped()) }).await.unwrap();
    let other = Route { name: "other/production".to_owned(), ..route(1, stopped()) };
    assert_eq!(refused(proxy.client.put_route(&other).await), ErrorCode::HostTaken);
    let default = Route { hosts: Vec::new(), is_default: true, ..other };
    assert_eq!(refused(proxy.client.put_route(&default).await), ErrorCode::HostTaken);

    proxy.client.remove_route("shop/production").await.unwrap();
    proxy.client.remove_route("shop/production").await.unwrap();
    proxy.client.put_route(&default).await.unwrap();
}

#[tokio::test]
async fn an_invalid_route_changes_nothing() {
    let proxy = Proxy::start().await;
    let invalid = Route { hosts: vec!["no host".to_owned()], ..route(1, stopped()) };
    assert_eq!(refused(proxy.client.put_route(&invalid).await), ErrorCode::InvalidRoute);
    let missing = Targets::Static {
        root: "/nowhere/at/all".into(),
        spa_fallback: None,
        not_found: None,
        withheld: Vec::new(),
    };
    assert_eq!(refused(proxy.client.put_route(&route(1, missing)).await), ErrorCode::StaticRoot);
    assert_eq!(proxy.client.routes().await.unwrap(), []);
}

#[tokio::test]
async fn an_older_control_plane_is_fenced_even_after_a_restart() {
    let proxy = Proxy::start().await;
    let socket = proxy.folder.path().join("proxy.sock");
    let older = ProxyClient::connect(&socket, 7).await.unwrap();
    let newer = ProxyClient::connect(&socket, 8).await.unwrap();
    assert_eq!(refused(older.put_route(&route(1, stopped())).await), ErrorCode::Fenced);
    newer.put_route(&route(1, stopped())).await.unwrap();

    newer.shutdown().await.unwrap();
    timeout(DEADLINE, proxy.role).await.unwrap().unwrap().unwrap();
    let role = tokio::spawn(run(config(&proxy.folder, ProxyLimits::default())));
    newer.routes().await.unwrap();
    assert_eq!(refused(older.routes().await), ErrorCode::Fenced);
    assert_eq!(refused(ProxyClient::connect(&socket, 7).await), ErrorCode::Fenced);

    let observer = ProxyClient::observe(&socket).await.unwrap();
    assert_eq!(observer.routes().await.unwrap().len(), 1);
    assert_eq!(refused(observer.remove_route("shop/production").await), ErrorCode::ReadOnly);
    role.abort();
}

#[tokio::test]
async fn a_second_proxy_is_refused_and_a_dead_ones_socket_replaced() {
    let proxy = Proxy::start().await;
    let second = run(config(&proxy.folder, ProxyLimits::default())).await;
    assert!(matches!(second, Err(ProxyError::AlreadyRunning { .. })), "{second:?}");
    assert!(ProxyClient::answers(&proxy.folder.path().join("proxy.sock")).await);

    let folder = proxy.stop().await;
    let socket = folder.path().join("proxy.sock");
    assert!(!socket.exists());
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let proxy = Proxy::within(Arc::clone(&folder), ProxyLimits::default()).await;
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    proxy.stop().await;
}

#[tokio::test]
async fn a_client_finds_a_restarted_proxy_by_itself() {
    let proxy = Proxy::start().await;
    let client = proxy.client.clone();
    let folder = proxy.stop().await;
    let waiting = tokio::spawn(async move { client.routes().await });
    let proxy = Proxy::within(folder, ProxyLimits::default()).await;
    assert_eq!(waiting.await.unwrap().unwrap(), []);
    let impatient = proxy.client.clone().with_patience(Duration::ZERO);
    proxy.stop().await;
    assert!(matches!(impatient.routes().await, Err(ClientError::Unreachable { .. })));
}

/// Lines that no client of ours sends, on one connection: each is answered, none breaks it.
#[tokio::test]
async fn what_the_proxy_does_not_understand_gets_a_typed_answer() {
    let proxy = Proxy::start().await;
    let stream = UnixStream::connect(proxy.folder.path().join("proxy.sock")).await.unwrap();
    let mut stream = BufReader::new(stream);
    for (line, answer) in [
        (r#"{"protocol_min":1,"protocol_max":9,"epoch":1,"client":"t"}"#, r#""protocol":2"#),
        (r#"{"id":1,"request":{"type":"teleport"}}"#, r#""code":"unknown-request""#),
        (r#"{"id":2,"request":{"type":"put-route"}}"#, r#""code":"malformed""#),
        ("nonsense", r#""code":"malformed""#),
        (r#"{"id":3,"request":{"type":"routes"}}"#, r#"{"id":3,"outcome":{"ok":"#),
    ] {
        stream.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        let mut reply = String::new();
        stream.read_line(&mut reply).await.unwrap();
        assert!(reply.contains(answer), "{line}: {reply}");
    }

    let stream = UnixStream::connect(proxy.folder.path().join("proxy.sock")).await.unwrap();
    let mut stream = BufReader::new(stream);
    let hello = r#"{"protocol_min":7,"protocol_max":9,"epoch":1,"client":"t"}"#;
    stream.write_all(format!("{hello}\n").as_bytes()).await.unwrap();
    let mut reply = String::new();
    stream.read_line(&mut reply).await.unwrap();
    assert!(reply.contains("unsupported-protocol"), "{reply}");
}

/// A proxy of an earlier release says hello, and gets nothing that it would misread.
#[tokio::test]
async fn an_older_proxy_is_not_asked_to_withhold_files() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("proxy.sock");
    let listener = tokio::net::UnixListener::bind(&socket).unwrap();
    let older = tokio::spawn(async move {
        let mut asked = Vec::new();
        for _connection in 0..2 {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = BufReader::new(stream);
            stream.read_line(&mut String::new()).await.unwrap();
            let hello = r#"{"welcome":{"protocol":1,"version":"0.0.9","pid":1,"epoch":1}}"#;
            stream.write_all(format!("{hello}\n").as_bytes()).await.unwrap();
            let mut line = String::new();
            stream.read_line(&mut line).await.unwrap();
            asked.push(line);
        }
        asked
    });
    let client = ProxyClient::connect(&socket, 1).await.unwrap();
    let targets = Targets::Static {
        root: folder.path().to_owned(),
        spa_fallback: None,
        not_found: None,
        withheld: vec!["**/*.map".to_owned()],
    };
    let refusal = client.put_route(&route(1, targets)).await.unwrap_err().to_string();
    assert!(refusal.contains("restart the proxy with this release"), "{refusal}");
    assert_eq!(older.await.unwrap(), ["", ""], "neither the greeting nor the route asked anything");
}

#[tokio::test]
async fn when_the_file_cannot_be_written_nothing_changes() {
    let proxy = Proxy::start().await;
    proxy.publish(1, stopped()).await;
    let table = proxy.folder.path().join("table.json.new");
    std::fs::create_dir(&table).unwrap();
    let app = named("two").await;
    assert_eq!(
        refused(proxy.client.put_route(&route(2, instances(&[app]))).await),
        ErrorCode::TableFile
    );
    assert_eq!(get(proxy.address, "shop.test", "/").await.status(), 503);
    std::fs::remove_dir(&table).unwrap();
    proxy.publish(2, instances(&[app])).await;
    assert_eq!(get(proxy.address, "shop.test", "/").await.text(), "two");
}
