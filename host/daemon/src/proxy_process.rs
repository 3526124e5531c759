//! The proxy's process: adopted when one lives, started when none does.
//!
//! **Invariant: the proxy is never a child that ends with us.** It has a session of its own, and its
//! output goes to a file; any way of stopping `serve` leaves it serving.

use std::fs::OpenOptions;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use windlass_model::Failure;
use windlass_proxy::ProxyClient;

use crate::config::ServeConfig;

/// How long a started proxy may take to answer.
const START_WITHIN: Duration = Duration::from_secs(10);
/// How often a running host looks whether the proxy still answers.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Connects to the proxy of this data directory, starting it first when none answers.
pub(crate) async fn ensure(config: &ServeConfig, epoch: u64) -> Result<ProxyClient, Failure> {
    if !ProxyClient::answers(&config.proxy_socket()).await {
        start(config)?;
    }
    let client =
        tokio::time::timeout(START_WITHIN, ProxyClient::connect(config.proxy_socket(), epoch))
            .await;
    match client {
        Ok(Ok(client)) => Ok(client),
        Ok(Err(error)) => Err(no_proxy(config, &error.to_string())),
        Err(_) => Err(no_proxy(config, "it did not answer in time")),
    }
}

/// Starts the proxy again whenever it does not answer. Runs until the host stops.
pub(crate) async fn keep(config: ServeConfig) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if !ProxyClient::answers(&config.proxy_socket()).await {
            tracing::warn!("the proxy does not answer and is started again");
            if let Err(failure) = start(&config) {
                tracing::error!(%failure, "the proxy could not be started");
            }
        }
    }
}

fn start(config: &ServeConfig) -> Result<(), Failure> {
    let log_path = config.data_dir.join("proxy.log");
    let log = OpenOptions::new().create(true).append(true).open(&log_path);
    let (out, err) = match log.and_then(|file| Ok((file.try_clone()?, file))) {
        Ok(files) => files,
        Err(e) => return Err(no_proxy(config, &format!("{}: {e}", log_path.display()))),
    };
    let mut command = Command::new(&config.exe);
    command
        .arg("proxy")
        .arg("--control-socket")
        .arg(config.proxy_socket())
        .arg("--table-file")
        .arg(config.proxy_table());
    for address in &config.proxy_listen {
        command.arg("--listen").arg(address.to_string());
    }
    for address in &config.trusted_proxies {
        command.arg("--trusted-proxy").arg(address.to_string());
    }
    command.stdin(Stdio::null()).stdout(out).stderr(err).current_dir("/");
    command.env_remove("WINDLASS_FAILPOINT");
    // SAFETY: setsid is async-signal-safe and touches no memory of the parent.
    unsafe {
        command.pre_exec(|| rustix::process::setsid().map(|_| ()).map_err(Into::into));
    }
    let mut child = command.spawn().map_err(|e| no_proxy(config, &e.to_string()))?;
    // Reaped when it ends before us; init does so when it outlives us.
    std::thread::spawn(move || child.wait());
    Ok(())
}

fn no_proxy(config: &ServeConfig, why: &str) -> Failure {
    Failure::host(
        "serve.no-proxy",
        "the proxy could not be started",
        why,
        format!(
            "read {}; free the port it names, or choose another with `--proxy-listen`",
            config.data_dir.join("proxy.log").display()
        ),
    )
}
