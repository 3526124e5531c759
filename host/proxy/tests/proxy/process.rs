//! The role as a process of its own: signals and sudden death. Each test starts itself once more as
//! the proxy.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use windlass_proxy::{ProxyClient, ProxyLimits, run};

use crate::support::{DEADLINE, Wire, config, get, instances, named, nobody, route, until};

const FOLDER: &str = "WINDLASS_PROXY_TEST_FOLDER";

/// Whether this process is the proxy that a test started; then it has run by now.
async fn was_the_proxy() -> bool {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return false;
    };
    let folder = Path::new(&folder);
    let mut config = config(&tempfile::tempdir().unwrap(), ProxyLimits::default());
    config.control_socket = folder.join("proxy.sock");
    config.table_file = folder.join("table.json");
    run(config).await.unwrap();
    true
}

fn start(test: &str, folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn pid(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap()
}

#[tokio::test]
async fn sigterm_drains_and_ends_the_process() {
    if was_the_proxy().await {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = start("process::sigterm_drains_and_ends_the_process", folder.path());
    let client = ProxyClient::connect(folder.path().join("proxy.sock"), 1).await.unwrap();
    let address = client.listeners().await.unwrap()[0];
    let late = nobody().await;
    client.put_route(&route(1, instances(&[late]))).await.unwrap();
    let request = tokio::spawn(async move { get(address, "shop.test", "/").await });
    until(async || client.stats().await.unwrap().held == 1).await;

    kill_process(pid(&child), Signal::TERM).unwrap();
    until(async || tokio::net::TcpStream::connect(address).await.is_err()).await;
    assert!(child.try_wait().unwrap().is_none(), "it waits for its request");
    let listener = tokio::net::TcpListener::bind(late).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    let mut wire = Wire(tokio::io::BufReader::new(stream));
    wire.message().await.unwrap();
    wire.send(&crate::support::answer("served")).await;
    assert_eq!(request.await.unwrap().text(), "served");
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    assert!(tokio::time::timeout(DEADLINE, ended).await.unwrap().unwrap().success());
    assert!(!folder.path().join("proxy.sock").exists());
}

#[tokio::test]
async fn a_killed_proxy_is_followed_by_one_that_serves_the_same() {
    if was_the_proxy().await {
        return;
    }
    const TEST: &str = "process::a_killed_proxy_is_followed_by_one_that_serves_the_same";
    let folder = tempfile::tempdir().unwrap();
    let app = named("one").await;
    let mut first = start(TEST, folder.path());
    let client = ProxyClient::connect(folder.path().join("proxy.sock"), 9).await.unwrap();
    client.put_route(&route(4, instances(&[app]))).await.unwrap();
    kill_process(pid(&first), Signal::KILL).unwrap();
    first.wait().unwrap();
    assert!(folder.path().join("proxy.sock").exists(), "it left its socket behind");

    let mut second = start(TEST, folder.path());
    let address = client.listeners().await.unwrap()[0];
    assert_eq!(client.welcome().await.unwrap().epoch, 9);
    assert_eq!(client.welcome().await.unwrap().pid, second.id());
    assert_eq!(get(address, "shop.test", "/").await.text(), "one");
    client.put_route(&route(4, instances(&[app]))).await.unwrap();
    client.shutdown().await.unwrap();
    assert!(second.wait().unwrap().success());
}
