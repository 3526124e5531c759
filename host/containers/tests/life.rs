//! The life of containers on a real containerd: start, adoption, restart, two hosts, cleaning up.

mod common;

use common::{Host, until};
use windlass_containers::Runtime;
use windlass_containers::runtime::{Labels, TaskStatus};

#[tokio::test]
async fn a_container_lives_in_a_network_logs_and_leaves_nothing() {
    let host = Host::start(201).await;
    let script = "echo out; echo err >&2; ip addr show eth0; exit 3";
    let spec = host.shell_in("web-1", "shop-production", script);
    let started = host.engine.create_and_start(&spec).await.unwrap();
    let address = started.address.unwrap().to_string();
    let exit = host.engine.wait("web-1").await.unwrap();
    assert_eq!((exit.code, exit.oom), (3, false));
    host.engine.delete("web-1").await.unwrap();
    let text = common::output(&spec.log.dir);
    assert!(text.contains("out\n") && text.contains("err\n"), "{text}");
    assert!(text.contains(&address), "{address} is not in {text}");
    host.engine.remove_network("shop-production").await.unwrap();
    let left = host.engine.inventory().await.unwrap();
    let expected: Vec<&str> = vec!["snapshots"];
    assert_eq!(left.keys().copied().collect::<Vec<_>>(), expected, "{left:?}");
    host.finish().await;
}
