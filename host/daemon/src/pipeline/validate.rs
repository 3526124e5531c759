//! validate: from the new artifact's own network and with its own variables, every service and every
//! database that they point at resolves and accepts a connection; an optional boot command ends well.
//!
//! Undo: the boot command's container is deleted. After a crash: again.

mod boot;
mod urls;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use async_trait::async_trait;
use windlass_model::Failure;
use windlass_model::project::Service;

use super::{Done, Run, Work};
use crate::{failpoint, resolve};

/// How often something is tried before it counts as missing, and the pause between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);
const TRY: Duration = Duration::from_secs(3);

pub(crate) struct Validate;

#[async_trait]
impl Work for Validate {
    async fn run(&self, run: &mut Run) -> Result<Done, Failure> {
        let targets = targets(run)?;
        let command = run.settings()?.validate.command.clone();
        if targets.is_empty() && command.is_none() {
            return Ok(Done::skipped("no services to reach, and no command to run"));
        }
        let reached = targets.len();
        if !targets.is_empty() {
            from_inside(run, targets).await?;
        }
        if let Some(command) = command {
            boot::run(run, &command).await?;
            return Ok(Done::new(format!("{reached} services answer, and `{command}` ended well")));
        }
        Ok(Done::new(format!("{reached} services answer")))
    }

    async fn undo(&self, run: &mut Run) -> Result<(), Failure> {
        boot::delete(run).await
    }
}

/// Something to reach: who points at it, and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    /// `the service db`, `the variable DATABASE_URL`.
    who: String,
    host: String,
    port: u16,
    fix: String,
}

/// The environment's services, and what its variables point at.
fn targets(run: &Run) -> Result<Vec<Target>, Failure> {
    let deployment = &run.deployment;
    let (project, environment) = (&deployment.project, &deployment.environment);
    let mut targets = Vec::new();
    for service in run.host.services(project, environment)? {
        let Some((host, port)) = split(&service.address) else { continue };
        targets.push(Target {
            who: format!("the service {}", service.name),
            host: host.to_owned(),
            port,
            fix: format!(
                "start it, or correct its address: `windlass service add {} --address HOST:PORT \
                 --project {project} -e {environment}`",
                service.name
            ),
        });
    }
    for variable in run.variables.iter().filter(|variable| variable.scope.in_run()) {
        for (host, port) in urls::targets(variable.value.expose()) {
            let known = targets.iter().any(|t| t.host == host && t.port == port);
            if !known {
                targets.push(Target {
                    who: format!("the variable {}", variable.name),
                    host,
                    port,
                    fix: format!(
                        "start what should answer there, or correct the variable: `windlass env set \
                         --secret {}=… --project {project} -e {environment}`; an address of this \
                         machine or of a private network must be named in `network.allow`",
                        variable.name
                    ),
                });
            }
        }
    }
    Ok(targets)
}

/// Resolves and dials all of them as a container of the environment would.
async fn from_inside(run: &mut Run, targets: Vec<Target>) -> Result<(), Failure> {
    let (network, gateway) = run.network().await?;
    let mut left = targets;
    let mut why = Vec::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let answers = dial(run, &network, gateway, &left).await?;
        failpoint::reached("during:validate");
        let mut again = Vec::new();
        why.clear();
        for (target, answer) in left.into_iter().zip(answers) {
            match answer {
                Ok(address) => run.log.say(format!("{} answers at {address}", target.who)),
                Err(reason) => {
                    why.push(reason);
                    again.push(target);
                }
            }
        }
        left = again;
        if left.is_empty() {
            return Ok(());
        }
    }
    let failures = left.iter().zip(&why).map(|(target, why)| unreachable(target, why));
    Err(super::preflight::merge(failures.collect()).unwrap_or_else(|| super::missing("target")))
}

/// One try of each: the address, or why there is none.
async fn dial(
    run: &Run,
    network: &str,
    gateway: Ipv4Addr,
    targets: &[Target],
) -> Result<Vec<Result<SocketAddr, String>>, Failure> {
    let looked_up = targets.iter().map(|target| async move {
        match target.host.parse::<IpAddr>() {
            Ok(ip) => Ok(SocketAddr::new(ip, target.port)),
            Err(_) => match resolve::address(gateway, &target.host).await {
                Ok(ip) => Ok(SocketAddr::new(IpAddr::V4(ip), target.port)),
                Err(why) => Err(why.to_string()),
            },
        }
    });
    let mut answers = futures::future::join_all(looked_up).await;
    let addresses: Vec<SocketAddr> =
        answers.iter().filter_map(|a| a.as_ref().ok().copied()).collect();
    let name = format!("{}.dial", run.deployment.id);
    let outcomes =
        run.host.runtime.dial(&name, network, &addresses, TRY).await.map_err(|e| {
            e.failure("the services could not be tried from inside the environment")
        })?;
    let mut outcomes = outcomes.into_iter();
    for answer in answers.iter_mut().filter(|answer| answer.is_ok()) {
        if let (Some(Some(why)), Ok(address)) = (outcomes.next(), answer.clone()) {
            *answer = Err(format!("{address}: {why}"));
        }
    }
    Ok(answers)
}

/// Whether a service resolves in the environment's network and accepts connections, seen from the host.
pub(super) async fn reach(service: &Service, gateway: Ipv4Addr) -> Result<SocketAddr, String> {
    let Some((host, port)) = split(&service.address) else {
        return Err("its address is not of the form host:port".to_owned());
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
    Err(last)
}

fn split(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then_some((host, port.parse().ok()?))
}

fn unreachable(target: &Target, why: &str) -> Failure {
    Failure::app(
        "validate.service-unreachable",
        format!(
            "{} points at {}:{}, which does not answer from inside the environment",
            target.who, target.host, target.port
        ),
        why,
        &target.fix,
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
