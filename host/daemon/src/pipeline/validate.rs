//! validate: every service that the environment's variables point at resolves, in the environment's
//! own network, and answers on its address.
//!
//! Undo: nothing is made. After a crash: again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use windlass_model::Failure;
use windlass_model::project::Service;

use super::{Done, Run, Work, names};
use crate::{failpoint, resolve};

/// How often a service is tried before it counts as missing, and the pause between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
const TRY: Duration = Duration::from_secs(3);

pub(crate) struct Validate;

#[async_trait]
impl Work for Validate {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        let deployment = &run.deployment;
        let services = run.host.services(&deployment.project, &deployment.environment)?;
        if services.is_empty() {
            return Ok(Done::skipped("no services to reach"));
        }
        let network = names::network(&deployment.project, &deployment.environment);
        let gateway = run
            .host
            .runtime
            .ensure_network(&network)
            .await
            .map_err(|e| e.failure("the environment's network could not be made"))?;
        for service in &services {
            let address = reach(service, gateway).await?;
            run.log.say(format!("{} answers at {address}", service.name));
            failpoint::reached("during:validate");
        }
        Ok(Done::new(format!("{} services answer", services.len())))
    }
}

async fn reach(service: &Service, gateway: Ipv4Addr) -> Result<SocketAddr, Failure> {
    let Some((host, port)) = split(&service.address) else {
        return Err(unreachable(service, "its address is not of the form host:port"));
    };
    let mut last = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let ip = match host.parse::<IpAddr>() {
            Ok(ip) => ip,
            Err(_) => match resolve::address(gateway, host).await {
                Ok(ip) => IpAddr::V4(ip),
                Err(why) => {
                    last = why.to_string();
                    continue;
                }
            },
        };
        let address = SocketAddr::new(ip, port);
        match tokio::time::timeout(TRY, tokio::net::TcpStream::connect(address)).await {
            Ok(Ok(_)) => return Ok(address),
            Ok(Err(e)) => last = format!("{address}: {e}"),
            Err(_) => last = format!("{address}: no answer within {} s", TRY.as_secs()),
        }
    }
    Err(unreachable(service, &last))
}

fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some((host, port.parse().ok()?))
}

fn unreachable(service: &Service, why: &str) -> Failure {
    Failure::app(
        "validate.service-unreachable",
        format!("the service {} does not answer on {}", service.name, service.address),
        why,
        format!(
            "start it, or correct its address: `windlass service remove {0}` and `windlass service \
             add {0} …`",
            service.name
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_host_and_port() {
        assert_eq!(split("db:5432"), Some(("db", 5432)));
        assert_eq!(split("[::1]:1"), Some(("::1", 1)));
        assert_eq!(split("db"), None);
        assert_eq!(split(":1"), None);
    }
}
