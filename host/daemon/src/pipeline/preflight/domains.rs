//! Whether an environment's domains lead to this machine. A warning only: a proxy or an address
//! translation in front of it is nothing that can be seen from here.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use windlass_model::Failure;

use super::super::Run;

/// How long all look-ups together may take.
const WITHIN: Duration = Duration::from_millis(1500);

/// Where a name leads.
#[derive(Debug, PartialEq, Eq)]
enum Leads {
    Here,
    Elsewhere(Vec<IpAddr>),
    Nowhere,
    /// There was no answer in time.
    Unknown,
}

pub(super) async fn check(run: &mut Run) -> Result<(), Failure> {
    let domains = run.host.domains(&run.deployment.project, &run.deployment.environment)?;
    let public: Vec<String> = domains.into_iter().filter(|domain| is_public(domain)).collect();
    let leads = futures::future::join_all(public.iter().map(|domain| look_up(domain))).await;
    for (domain, leads) in public.iter().zip(leads) {
        match leads {
            Leads::Here | Leads::Unknown => {}
            Leads::Nowhere => run.warn(
                "preflight.domain-unknown",
                format!("the domain {domain} has no address: add an A record that leads here"),
            ),
            Leads::Elsewhere(addresses) => {
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                run.warn(
                    "preflight.domain-elsewhere",
                    format!(
                        "the domain {domain} leads to {}, which is no address of this machine: \
                         visitors come here only if something in front passes them on",
                        addresses.join(", ")
                    ),
                );
            }
        }
    }
    Ok(())
}

/// `*` and names that every machine keeps for itself lead nowhere else.
fn is_public(domain: &str) -> bool {
    domain != "*"
        && domain != "localhost"
        && !domain.ends_with(".localhost")
        && domain.parse::<IpAddr>().is_err()
}

async fn look_up(domain: &str) -> Leads {
    match tokio::time::timeout(WITHIN, tokio::net::lookup_host((domain, 80))).await {
        Err(_) => Leads::Unknown,
        Ok(Err(_)) => Leads::Nowhere,
        Ok(Ok(found)) => judge(found.map(|address| address.ip()).collect()),
    }
}

fn judge(mut addresses: Vec<IpAddr>) -> Leads {
    addresses.sort_unstable();
    addresses.dedup();
    match addresses.iter().any(|address| is_ours(*address)) {
        _ if addresses.is_empty() => Leads::Nowhere,
        true => Leads::Here,
        false => Leads::Elsewhere(addresses),
    }
}

/// Only an address of this machine can be bound.
fn is_ours(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_s_addresses_are_known_from_others() {
        assert_eq!(judge(vec!["127.0.0.1".parse().unwrap()]), Leads::Here);
        let elsewhere: IpAddr = "192.0.2.1".parse().unwrap();
        assert_eq!(judge(vec![elsewhere, elsewhere]), Leads::Elsewhere(vec![elsewhere]));
        assert_eq!(judge(Vec::new()), Leads::Nowhere);
        assert!(is_public("shop.example") && !is_public("shop.localhost") && !is_public("*"));
    }
}
