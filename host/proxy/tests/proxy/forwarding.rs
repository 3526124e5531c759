//! What passes through, and what does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::timeout;
use windlass_proxy::{ProxyLimits, Route};

use crate::support::{
    DEADLINE, Message, Proxy, Wire, answer, ask, get, instance, instances, named, nobody, route,
    until,
};

#[tokio::test]
async fn a_request_goes_to_the_route_of_its_host() {
    let proxy = Proxy::start().await;
    proxy.publish(1, instances(&[named("shop").await])).await;
    let blog = Route {
        name: "blog/production".to_owned(),
        hosts: vec!["Blog.Test".to_owned()],
        ..route(1, instances(&[named("blog").await]))
    };
    proxy.client.put_route(&blog).await.unwrap();
    for (host, expected) in [
        ("shop.test", "shop"),
        ("SHOP.test:8080", "shop"),
        ("shop.test.", "shop"),
        ("blog.test", "blog"),
    ] {
        assert_eq!(get(proxy.address, host, "/").await.text(), expected, "{host}");
    }
    let absolute = "GET http://blog.test/ HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    assert_eq!(ask(proxy.address, absolute).await.text(), "blog", "the target's host wins");

    let unknown = get(proxy.address, "sub.shop.test", "/").await;
    assert_eq!(unknown.status(), 404);
    assert!(unknown.text().contains("windlass domain add"), "{}", unknown.text());
    assert!(!unknown.text().contains("shop"), "no name leaks: {}", unknown.text());

    let default = Route { is_default: true, generation: 2, ..blog };
    proxy.client.put_route(&default).await.unwrap();
    assert_eq!(get(proxy.address, "sub.shop.test", "/").await.text(), "blog");
    let http10 = ask(proxy.address, "GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(http10.text(), "blog", "HTTP/1.0 without a host");
}

#[tokio::test]
async fn malformed_and_ambiguous_requests_never_reach_an_instance() {
    let proxy = Proxy::start().await;
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let app = instance(move |_| {
        count.fetch_add(1, Ordering::AcqRel);
        std::future::ready(())
    })
    .await;
    proxy.publish(1, instances(&[app])).await;
    let long = format!("GET / HTTP/1.1\r\nHost: shop.test\r\nX: {}\r\n\r\n", "y".repeat(70_000));
    let many: String = (0..200).map(|i| format!("X-{i}: y\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nHost: shop.test\r\n{many}\r\n");
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: shop.test\r\nHost: b\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: user@shop.test\r\n\r\n", 400),
        (
            "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
        ),
        ("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: +1\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: shop.test\r\n folded: 1\r\n\r\n", 400),
        ("CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test:443\r\n\r\n", 405),
        (&long, 431),
        (&many, 431),
    ] {
        let start = &request[..request.len().min(90)];
        assert_eq!(ask(proxy.address, request).await.status(), status, "{start:?}");
    }
    assert_eq!(reached.load(Ordering::Acquire), 0);
}

/// An instance that keeps what it was sent, and answers `ok`.
async fn recording() -> (std::net::SocketAddr, Arc<Mutex<Vec<Message>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&seen);
    let address = instance(move |mut wire| {
        let record = Arc::clone(&record);
        async move {
            while let Some(request) = wire.message().await {
                record.lock().await.push(request);
                wire.send(
                    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop\r\n",
                )
                .await;
                wire.send("X-Hop: 1\r\nX-End: 2\r\nKeep-Alive: timeout=5\r\n\r\nok").await;
            }
        }
    })
    .await;
    (address, seen)
}

#[tokio::test]
async fn headers_say_who_asked_and_hops_stay_hops() {
    let proxy = Proxy::start().await;
    let (app, seen) = recording().await;
    proxy.publish(1, instances(&[app])).await;
    let request = "GET http://shop.test/a%20b?c=d HTTP/1.1\r\nHost: ignored\r\nConnection: X-Mine\r\n\
                   X-Mine: 1\r\nX-Forwarded-For: 10.9.9.9\r\nForwarded: for=10.9.9.9\r\n\
                   Cookie: a=b\r\n\r\n";
    let got = ask(proxy.address, request).await;
    assert_eq!((got.text(), got.header("x-end")), ("ok", Some("2")));
    assert_eq!((got.header("x-hop"), got.header("keep-alive")), (None, None));

    let seen = seen.lock().await;
    assert_eq!(seen[0].first_line, "GET /a%20b?c=d HTTP/1.1");
    for (name, value) in [
        ("host", Some("shop.test")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-host", Some("shop.test")),
        ("via", Some("1.1 windlass")),
        ("cookie", Some("a=b")),
        ("x-mine", None),
        ("forwarded", None),
    ] {
        assert_eq!(seen[0].header(name), value, "{name}");
    }
}

/// A request in which two parsers could see two: it passes as one, with one framing.
#[tokio::test]
async fn two_framings_are_made_one() {
    let proxy = Proxy::start().await;
    let (app, seen) = recording().await;
    proxy.publish(1, instances(&[app])).await;
    let request = "POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 3\r\n\
                   Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n";
    assert_eq!(ask(proxy.address, request).await.text(), "ok");
    let seen = seen.lock().await;
    assert_eq!(seen.len(), 1);
    assert_eq!((seen[0].header("content-length"), seen[0].text()), (None, "body"));
}

#[tokio::test]
async fn bodies_of_every_framing_arrive_whole() {
    let proxy = Proxy::start().await;
    let (app, seen) = recording().await;
    proxy.publish(1, instances(&[app])).await;
    let big = "z".repeat(3 << 20);
    let requests = [
        format!("PUT / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {}\r\n\r\n{big}", big.len()),
        "GET / HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            .to_owned(),
        "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 0\r\n\r\n".to_owned(),
    ];
    for request in &requests {
        assert_eq!(ask(proxy.address, request).await.text(), "ok");
    }
    let seen = seen.lock().await;
    let lengths: Vec<usize> = seen.iter().map(|request| request.body.len()).collect();
    assert_eq!(lengths, [big.len(), 3, 0]);
}

#[tokio::test]
async fn expect_head_and_trailers_work() {
    let proxy = Proxy::start().await;
    let app = instance(|mut wire| async move {
        while let Some(request) = wire.message().await {
            match request.path() {
                "/length" => {
                    wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n").await;
                }
                "/trailers" => {
                    assert_eq!(request.header("te"), Some("trailers"));
                    wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n").await;
                    wire.send("Trailer: x-sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n").await;
                }
                _ => wire.send(&answer(request.text())).await,
            }
        }
    })
    .await;
    proxy.publish(1, instances(&[app])).await;

    let mut wire = Wire::open(proxy.address).await;
    wire.send(
        "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
    )
    .await;
    assert_eq!(wire.head().await.unwrap().status(), 100, "before the body is sent");
    wire.send("body").await;
    assert_eq!(wire.message().await.unwrap().text(), "body");

    wire.send("HEAD /length HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    assert_eq!(wire.head().await.unwrap().header("content-length"), Some("1234"));

    wire.send(
        "GET /trailers HTTP/1.1\r\nHost: shop.test\r\nTE: trailers\r\nConnection: TE\r\n\r\n",
    )
    .await;
    wire.head().await.unwrap();
    assert_eq!(wire.chunk().await.unwrap(), b"hi");
    let mut rest = String::new();
    while !rest.ends_with("\r\n\r\n") {
        use tokio::io::AsyncBufReadExt as _;
        timeout(DEADLINE, wire.0.read_line(&mut rest)).await.unwrap().unwrap();
    }
    assert_eq!(rest.to_ascii_lowercase(), "0\r\nx-sum: 7\r\n\r\n");
}

/// An instance that answers the first request of each connection, and ends the connection when a
/// second one arrives, without a byte.
async fn closing(requests: Arc<AtomicUsize>) -> std::net::SocketAddr {
    instance(move |mut wire| {
        let requests = Arc::clone(&requests);
        async move {
            let request = wire.message().await.unwrap();
            requests.fetch_add(1, Ordering::AcqRel);
            wire.send(&answer(request.text())).await;
            if wire.message().await.is_some() {
                requests.fetch_add(1, Ordering::AcqRel);
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_reused_connection_that_dies_is_replaced_unseen() {
    let proxy = Proxy::start().await;
    let requests = Arc::new(AtomicUsize::new(0));
    proxy.publish(1, instances(&[closing(Arc::clone(&requests)).await])).await;
    let mut wire = Wire::open(proxy.address).await;
    for i in 0..20 {
        wire.send("PUT / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody").await;
        let got = wire.message().await.unwrap();
        assert_eq!((got.status(), got.text()), (200, "body"), "request {i}");
    }
    assert!(requests.load(Ordering::Acquire) > 20, "some went to a connection that died");
}

#[tokio::test]
async fn a_request_that_must_not_run_twice_is_not_sent_twice() {
    let proxy = Proxy::start().await;
    let requests = Arc::new(AtomicUsize::new(0));
    proxy.publish(1, instances(&[closing(Arc::clone(&requests)).await])).await;
    let post = "POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody";
    let mut sent = 0;
    let mut lost = 0;
    while lost == 0 {
        let mut wire = Wire::open(proxy.address).await;
        wire.send(post).await;
        sent += 1;
        match wire.message().await.unwrap().status() {
            200 => {}
            502 => lost += 1,
            other => panic!("{other}"),
        }
        assert!(sent < 1000, "no connection was ever reused");
    }
    assert_eq!(requests.load(Ordering::Acquire), sent, "each arrived exactly once");
}

#[tokio::test]
async fn a_post_does_not_travel_on_a_connection_that_was_idle_for_long() {
    let limits = ProxyLimits { upstream_unsafe_idle_ms: 0, ..ProxyLimits::default() };
    let proxy = Proxy::with(limits).await;
    let requests = Arc::new(AtomicUsize::new(0));
    proxy.publish(1, instances(&[closing(Arc::clone(&requests)).await])).await;
    let mut wire = Wire::open(proxy.address).await;
    for i in 0..20 {
        wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\nbody").await;
        assert_eq!(wire.message().await.unwrap().status(), 200, "request {i}");
    }
}

#[tokio::test]
async fn load_is_spread_and_a_dead_instance_passed_over() {
    let proxy = Proxy::start().await;
    let (one, two) = (named("one").await, named("two").await);
    proxy.publish(1, instances(&[one, two, nobody().await])).await;
    let mut counts = [0, 0];
    for _ in 0..40 {
        match get(proxy.address, "shop.test", "/").await.text() {
            "one" => counts[0] += 1,
            "two" => counts[1] += 1,
            other => panic!("{other}"),
        }
    }
    assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
}

#[tokio::test]
async fn an_answer_is_framed_anew_for_the_visitor() {
    let proxy = Proxy::start().await;
    let app = instance(|mut wire| async move {
        match wire.message().await.unwrap().path() {
            "/http10" => wire.send("HTTP/1.0 200 OK\r\n\r\nuntil the end").await,
            "/both" => {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n").await;
                wire.send("Transfer-Encoding: chunked\r\n\r\n4\r\nfour\r\n0\r\n\r\n").await;
            }
            _ => {
                wire.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            }
        }
    })
    .await;
    proxy.publish(1, instances(&[app])).await;
    let mut wire = Wire::open(proxy.address).await;
    for (path, body) in [("/http10", "until the end"), ("/both", "four"), ("/none", "")] {
        let got = wire.get(path).await;
        assert!(got.first_line.starts_with("HTTP/1.1 20"), "{path}: {got:?}");
        assert_eq!((got.text(), got.header("connection")), (body, None), "{path}");
    }
}

#[tokio::test]
async fn an_upload_may_take_longer_than_an_answer() {
    let proxy = Proxy::with(ProxyLimits { answer_ms: 1000, ..ProxyLimits::default() }).await;
    let (app, _) = recording().await;
    proxy.publish(1, instances(&[app])).await;
    let mut wire = Wire::open(proxy.address).await;
    wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 4\r\n\r\n").await;
    for letter in ["b", "o", "d", "y"] {
        tokio::time::sleep(Duration::from_millis(500)).await;
        wire.send(letter).await;
    }
    assert_eq!(wire.message().await.unwrap().status(), 200);
}

#[tokio::test]
async fn an_instance_that_breaks_off_or_is_too_slow_is_named_so() {
    let limits = ProxyLimits { answer_ms: 100, ..ProxyLimits::default() };
    let proxy = Proxy::with(limits).await;
    let app = instance(|mut wire| async move {
        let request = wire.message().await.unwrap();
        match request.path() {
            "/slow" => std::future::pending().await,
            "/garbage" => wire.send("SMTP ready\r\n\r\n").await,
            _ => {}
        }
    })
    .await;
    proxy.publish(1, instances(&[app])).await;
    for (path, status) in [("/ends", 502), ("/garbage", 502), ("/slow", 504)] {
        let got = get(proxy.address, "shop.test", path).await;
        assert_eq!(got.status(), status, "{path}");
        assert!(got.text().contains("windlass logs"), "{}", got.text());
    }
    let stats = proxy.client.stats().await.unwrap();
    assert_eq!((stats.generations[0].requests, stats.generations[0].errors), (3, 3));
}

#[tokio::test]
async fn a_visitor_who_leaves_frees_the_instance() {
    let proxy = Proxy::start().await;
    let left = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&left);
    let app = instance(move |mut wire| {
        let count = Arc::clone(&count);
        async move {
            wire.message().await.unwrap();
            wire.ended().await;
            count.fetch_add(1, Ordering::AcqRel);
        }
    })
    .await;
    proxy.publish(1, instances(&[app])).await;
    let mut visitor = Wire::open(proxy.address).await;
    visitor.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    proxy.until_in_flight(1, 1).await;
    drop(visitor);
    proxy.until_in_flight(1, 0).await;
    until(async || left.load(Ordering::Acquire) == 1).await;
}

#[tokio::test]
async fn a_head_that_never_ends_is_ended() {
    let limits = ProxyLimits { head_read_ms: 100, ..ProxyLimits::default() };
    let proxy = Proxy::with(limits).await;
    let mut wire = Wire::open(proxy.address).await;
    wire.send("GET / HTTP/1.1\r\nHost: sh").await;
    wire.ended().await;
}

#[tokio::test]
async fn a_visitor_who_stalls_is_let_go() {
    let proxy = Proxy::with(ProxyLimits { stall_ms: 100, ..ProxyLimits::default() }).await;
    let app = instance(|mut wire| async move {
        let head = wire.head().await.unwrap();
        if head.path() == "/upload" {
            return wire.ended().await;
        }
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
    proxy.publish(1, instances(&[app])).await;
    let upload = "PUT /upload HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 9\r\n\r\nhalf";
    assert_eq!(ask(proxy.address, upload).await.status(), 408);

    let mut download = Wire::open(proxy.address).await;
    download.send("GET /flood HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    download.head().await.unwrap();
    proxy.until_in_flight(1, 0).await;
}

#[tokio::test]
async fn connections_above_the_limit_wait_their_turn() {
    let limits = ProxyLimits { connections_max: 1, ..ProxyLimits::default() };
    let proxy = Proxy::with(limits).await;
    proxy.publish(1, instances(&[named("one").await])).await;
    let mut first = Wire::open(proxy.address).await;
    assert_eq!(first.get("/").await.status(), 200);
    let mut second = Wire::open(proxy.address).await;
    second.send("GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n").await;
    let early = timeout(Duration::from_millis(100), second.head()).await;
    assert!(early.is_err(), "the second waits");
    drop(first);
    assert_eq!(second.message().await.unwrap().status(), 200);
}
