//! Switching: nothing is lost, and what drains ends at its own deadline.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;
use windlass_proxy::{DrainDeadlines, Route, Targets};

use crate::support::{
    DEADLINE, Proxy, Wire, answer, get, instance, instances, named, route, until,
};

/// An instance whose `/slow` answers only when released; everything else at once.
async fn slow(name: &'static str, release: Arc<Semaphore>) -> std::net::SocketAddr {
    instance(move |mut wire| {
        let release = Arc::clone(&release);
        async move {
            while let Some(request) = wire.message().await {
                if request.path() == "/slow" {
                    release.acquire().await.unwrap().forget();
                }
                wire.send(&answer(name)).await;
            }
        }
    })
    .await
}

/// Asks again and again, on one connection or on fresh ones, until told to stop; counts each answer.
async fn load(
    address: std::net::SocketAddr,
    keep_alive: bool,
    stop: Arc<AtomicBool>,
    seen: Arc<[AtomicUsize; 2]>,
) {
    let mut wire = Wire::open(address).await;
    while !stop.load(Ordering::Acquire) {
        if !keep_alive {
            wire = Wire::open(address).await;
        }
        let got = wire.get("/").await;
        assert_eq!(got.status(), 200, "{got:?}");
        let which = ["one", "two"].iter().position(|name| *name == got.text()).unwrap();
        seen[which].fetch_add(1, Ordering::AcqRel);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switch_under_load_loses_no_request() {
    let proxy = Proxy::start().await;
    let release = Arc::new(Semaphore::new(0));
    let old = slow("one", Arc::clone(&release)).await;
    let new = named("two").await;
    proxy.publish(1, instances(&[old])).await;

    let slow: Vec<_> = (0..8)
        .map(|_| tokio::spawn(async move { get(proxy.address, "shop.test", "/slow").await }))
        .collect();
    proxy.until_in_flight(1, 8).await;
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(<[AtomicUsize; 2]>::default()));
    let visitors: Vec<_> = (0..8)
        .map(|i| {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            tokio::spawn(load(proxy.address, i % 2 == 0, stop, seen))
        })
        .collect();
    until(async || seen[0].load(Ordering::Acquire) >= 300).await;

    proxy.publish(2, instances(&[new])).await;
    until(async || seen[1].load(Ordering::Acquire) >= 300).await;
    let draining = proxy.client.drained("shop/production", 1, Duration::ZERO).await.unwrap();
    assert_eq!((draining.drained, draining.in_flight), (false, 8), "the slow ones are in flight");

    release.add_permits(8);
    let drained = proxy.client.drained("shop/production", 1, DEADLINE).await.unwrap();
    assert!(drained.drained);
    for request in slow {
        assert_eq!(request.await.unwrap().text(), "one", "the version that took it answers it");
    }
    stop.store(true, Ordering::Release);
    for visitor in visitors {
        visitor.await.unwrap();
    }
    let stats = proxy.client.stats().await.unwrap();
    assert!(stats.generations.iter().all(|g| g.errors == 0), "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_switches_in_a_row_lose_no_request() {
    let proxy = Proxy::start().await;
    let (one, two) = (named("one").await, named("two").await);
    proxy.publish(1, instances(&[one])).await;
    let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(<[AtomicUsize; 2]>::default()));
    let visitors: Vec<_> = (0..4)
        .map(|i| {
            let (stop, seen) = (Arc::clone(&stop), Arc::clone(&seen));
            tokio::spawn(load(proxy.address, i % 2 == 0, stop, seen))
        })
        .collect();
    for generation in 2..40_u64 {
        let (app, which) = if generation % 2 == 0 { (two, 1) } else { (one, 0) };
        let before = seen[which].load(Ordering::Acquire);
        proxy.publish(generation, instances(&[app])).await;
        until(async || seen[which].load(Ordering::Acquire) > before).await;
        let old = proxy.client.drained("shop/production", generation - 1, DEADLINE).await;
        assert!(old.unwrap().drained);
    }
    stop.store(true, Ordering::Release);
    for visitor in visitors {
        visitor.await.unwrap();
    }
}

/// Sends a chunk on request, for ever; `/hang` never answers.
async fn streaming() -> (std::net::SocketAddr, Arc<Notify>) {
    let next = Arc::new(Notify::new());
    let tick = Arc::clone(&next);
    let address = instance(move |mut wire| {
        let tick = Arc::clone(&tick);
        async move {
            let request = wire.message().await.unwrap();
            if request.path() == "/hang" {
                return std::future::pending().await;
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n").await;
            wire.send("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n").await;
            loop {
                tick.notified().await;
                wire.send("4\r\ntick\r\n").await;
            }
        }
    })
    .await;
    (address, next)
}

#[tokio::test]
async fn plain_requests_and_streams_have_their_own_drain_deadlines() {
    let proxy = Proxy::start().await;
    let (old, tick) = streaming().await;
    let drain = DrainDeadlines { plain_ms: 100, streaming_ms: 1_000, upgraded_ms: 60_000 };
    proxy.client.put_route(&Route { drain, ..route(1, instances(&[old])) }).await.unwrap();

    let mut stream = Wire::open(proxy.address).await;
    stream.send("GET /events HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(stream.head().await.unwrap().header("content-type"), Some("text/event-stream"));
    assert_eq!(stream.chunk().await.unwrap(), b"hello", "an event is not held back");
    let hanging =
        tokio::spawn(async move { get(proxy.address, "shop.test", "/hang").await.status() });
    proxy.until_in_flight(1, 2).await;

    proxy.publish(2, instances(&[named("two").await])).await;
    assert_eq!(hanging.await.unwrap(), 503, "the plain deadline");
    tick.notify_one();
    assert_eq!(stream.chunk().await.unwrap(), b"tick", "the stream outlives it");
    stream.ended().await;
    assert!(proxy.client.drained("shop/production", 1, DEADLINE).await.unwrap().drained);
}

#[tokio::test]
async fn a_visitor_that_reads_nothing_cannot_hold_a_drain_open() {
    let proxy = Proxy::start().await;
    let flood = instance(|mut wire| async move {
        wire.message().await.unwrap();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let piece = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
        loop {
            use tokio::io::AsyncWriteExt as _;
            if wire.0.write_all(piece.as_bytes()).await.is_err() {
                return;
            }
        }
    })
    .await;
    let drain = DrainDeadlines { plain_ms: 50, streaming_ms: 100, upgraded_ms: 60_000 };
    proxy.client.put_route(&Route { drain, ..route(1, instances(&[flood])) }).await.unwrap();
    let mut visitor = Wire::open(proxy.address).await;
    visitor.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(visitor.head().await.unwrap().status(), 200);

    proxy.publish(2, instances(&[named("two").await])).await;
    assert!(proxy.client.drained("shop/production", 1, DEADLINE).await.unwrap().drained);
}

#[tokio::test]
async fn an_upgraded_connection_passes_both_ways_and_drains_last() {
    let proxy = Proxy::start().await;
    let echo = instance(|mut wire| async move {
        let request = wire.head().await.unwrap();
        assert_eq!(request.header("upgrade"), Some("websocket"));
        assert_eq!(request.header("sec-websocket-key"), Some("abc"));
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n").await;
        wire.send("Upgrade: websocket\r\nSec-WebSocket-Accept: xyz\r\n\r\nwelcome").await;
        let mut four = [0; 4];
        while wire.0.read_exact(&mut four).await.is_ok() {
            wire.send(&String::from_utf8_lossy(&four).to_uppercase()).await;
        }
    })
    .await;
    let drain = DrainDeadlines { plain_ms: 10, streaming_ms: 20, upgraded_ms: 500 };
    proxy.client.put_route(&Route { drain, ..route(1, instances(&[echo])) }).await.unwrap();

    let mut socket = Wire::open(proxy.address).await;
    socket.send("GET /ws HTTP/1.1\r\nHost: shop.test\r\nConnection: Upgrade\r\n").await;
    socket.send("Upgrade: websocket\r\nSec-WebSocket-Key: abc\r\n\r\n").await;
    let head = socket.head().await.unwrap();
    assert_eq!(head.status(), 101);
    assert_eq!(head.header("sec-websocket-accept"), Some("xyz"));
    let mut welcome = [0; 7];
    timeout(DEADLINE, socket.0.read_exact(&mut welcome)).await.unwrap().unwrap();
    assert_eq!(&welcome, b"welcome");

    proxy.publish(2, instances(&[named("two").await])).await;
    let mut four = [0; 4];
    socket.send("ping").await;
    timeout(DEADLINE, socket.0.read_exact(&mut four)).await.unwrap().unwrap();
    assert_eq!(&four, b"PING", "it outlives the switch");
    socket.ended().await;
    assert!(proxy.client.drained("shop/production", 1, DEADLINE).await.unwrap().drained);
}

#[tokio::test]
async fn a_publication_that_keeps_the_targets_cuts_nothing() {
    let proxy = Proxy::start().await;
    let (app, tick) = streaming().await;
    let drain = DrainDeadlines { plain_ms: 1, streaming_ms: 1, upgraded_ms: 1 };
    let first = Route { drain, ..route(1, instances(&[app])) };
    proxy.client.put_route(&first).await.unwrap();
    let mut stream = Wire::open(proxy.address).await;
    stream.send("GET /events HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    stream.head().await.unwrap();
    assert_eq!(stream.chunk().await.unwrap(), b"hello");

    let hosts = vec!["shop.test".to_owned(), "www.shop.test".to_owned()];
    let second = Route { hosts, generation: 2, ..first };
    proxy.client.put_route(&second).await.unwrap();
    for _ in 0..3 {
        tick.notify_one();
        assert_eq!(stream.chunk().await.unwrap(), b"tick");
    }
    let old = proxy.client.drained("shop/production", 1, Duration::ZERO).await.unwrap();
    assert!(!old.drained, "its instances still serve");
    let mut other = Wire::open(proxy.address).await;
    other.send("GET /events HTTP/1.1\r\nHost: www.shop.test\r\n\r\n").await;
    assert_eq!(other.head().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_static_tree_drains_like_an_instance() {
    let proxy = Proxy::start().await;
    let site = tempfile::tempdir().unwrap();
    std::fs::write(site.path().join("big.bin"), vec![7_u8; 32 << 20]).unwrap();
    let tree = Targets::Static {
        root: site.path().to_owned(),
        spa_fallback: None,
        not_found: None,
        withheld: Vec::new(),
    };
    proxy.publish(1, tree).await;
    let mut visitor = Wire::open(proxy.address).await;
    visitor.send("GET /big.bin HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let head = visitor.head().await.unwrap();
    proxy.publish(2, instances(&[named("two").await])).await;
    let old = proxy.client.drained("shop/production", 1, Duration::ZERO).await.unwrap();
    assert_eq!((old.drained, old.in_flight), (false, 1));

    let mut body = vec![0; head.header("content-length").unwrap().parse().unwrap()];
    timeout(DEADLINE, visitor.0.read_exact(&mut body)).await.unwrap().unwrap();
    assert!(body.len() == 32 << 20 && body.iter().all(|byte| *byte == 7));
    assert!(proxy.client.drained("shop/production", 1, DEADLINE).await.unwrap().drained);
}

#[tokio::test]
async fn a_stopping_proxy_lets_its_requests_end() {
    let proxy = Proxy::start().await;
    let release = Arc::new(Semaphore::new(0));
    proxy.publish(1, instances(&[slow("one", Arc::clone(&release)).await])).await;
    let address = proxy.address;
    let request = tokio::spawn(async move { get(address, "shop.test", "/slow").await });
    proxy.until_in_flight(1, 1).await;
    let mut idle = Wire::open(address).await;
    assert_eq!(idle.get("/").await.status(), 200);

    proxy.client.shutdown().await.unwrap();
    idle.ended().await;
    until(async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    assert!(!proxy.role.is_finished());
    release.add_permits(1);
    assert_eq!(request.await.unwrap().text(), "one");
    timeout(DEADLINE, proxy.role).await.unwrap().unwrap().unwrap();
}
