//! When nobody can answer: requests wait, within bounds.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use windlass_proxy::{ProxyLimits, Targets};

use crate::support::{Message, Proxy, get, instances, named, nobody, until};

fn maintenance(hold_ms: Option<u64>) -> Targets {
    Targets::None { reason: "maintenance until noon".to_owned(), hold_ms }
}

async fn until_held(proxy: &Proxy, held: u64) {
    until(async || proxy.client.stats().await.unwrap().held == held).await;
}

fn visit(address: SocketAddr) -> tokio::task::JoinHandle<Message> {
    tokio::spawn(async move { get(address, "shop.test", "/").await })
}

#[tokio::test]
async fn a_held_request_is_answered_by_the_next_generation() {
    let proxy = Proxy::start().await;
    proxy.publish(1, maintenance(Some(600_000))).await;
    let waiting: Vec<_> = (0..5).map(|_| visit(proxy.address)).collect();
    until_held(&proxy, 5).await;
    proxy.publish(2, instances(&[named("back").await])).await;
    for request in waiting {
        assert_eq!(request.await.unwrap().text(), "back");
    }
    until_held(&proxy, 0).await;
}

#[tokio::test]
async fn a_request_is_held_until_its_instance_listens() {
    let proxy = Proxy::start().await;
    let address = nobody().await;
    proxy.publish(1, instances(&[address])).await;
    let waiting = visit(proxy.address);
    until_held(&proxy, 1).await;
    let listener = TcpListener::bind(address).await.unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut wire = crate::support::Wire(tokio::io::BufReader::new(stream));
        wire.message().await.unwrap();
        wire.send(&crate::support::answer("late")).await;
    });
    assert_eq!(waiting.await.unwrap().text(), "late");
}

#[tokio::test]
async fn holding_ends_in_time_and_says_why() {
    let limits = ProxyLimits { hold_ms: 50, ..ProxyLimits::default() };
    let proxy = Proxy::with(limits).await;
    proxy.publish(1, maintenance(None)).await;
    let got = get(proxy.address, "shop.test", "/").await;
    assert_eq!((got.status(), got.header("retry-after")), (503, Some("5")));
    assert!(got.text().contains("maintenance until noon"), "{}", got.text());
    assert_eq!(got.header("cache-control"), Some("no-store"));

    proxy.publish(2, instances(&[nobody().await])).await;
    let got = get(proxy.address, "shop.test", "/").await;
    assert_eq!(got.status(), 502);
    assert!(got.text().contains("does not accept connections"), "{}", got.text());
}

#[tokio::test]
async fn holding_is_bounded_in_count_and_bytes() {
    let limits = ProxyLimits { hold_requests_max: 3, ..ProxyLimits::default() };
    let proxy = Proxy::with(limits).await;
    proxy.publish(1, maintenance(Some(600_000))).await;
    let waiting: Vec<_> = (0..3).map(|_| visit(proxy.address)).collect();
    until_held(&proxy, 3).await;
    let refused = get(proxy.address, "shop.test", "/").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.text().contains("too many requests"), "{}", refused.text());
    proxy.publish(2, instances(&[named("back").await])).await;
    for request in waiting {
        assert_eq!(request.await.unwrap().status(), 200);
    }

    let limits = ProxyLimits { hold_bytes_max: 1024, ..ProxyLimits::default() };
    let proxy = Proxy::with(limits).await;
    proxy.publish(1, maintenance(Some(600_000))).await;
    assert_eq!(get(proxy.address, "shop.test", "/").await.status(), 503);
}
