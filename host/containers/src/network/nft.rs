//! Our own nftables table, one per host.
//!
//! **Invariant: the table is replaced in one transaction**, computed from the networks that exist: there
//! is no moment without walls, and nothing to repair.
//!
//! The DNS helper is away for a moment when it reads its names anew. A container that asks just then must not hear
//! "port unreachable": its C library would give the name up at once. So that is not sent, and the container asks
//! again.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use windlass_model::HostId;

use super::inside::{METADATA_V4, METADATA_V6};
use super::state::{NetworkRecord, bridge_prefix};
use crate::error::{Result, RuntimeError};

/// Name of a host's table in family `inet`.
pub(crate) fn table_name(host: &HostId) -> String {
    format!("windlass_{host}")
}

/// Puts the table for these networks in force; without networks there is none.
pub(super) fn apply(nft: &Path, host: &HostId, networks: &[NetworkRecord]) -> Result<()> {
    run(nft, &script(host, networks))
}

/// The whole transaction.
fn script(host: &HostId, networks: &[NetworkRecord]) -> String {
    let table = table_name(host);
    // Adding before deleting makes the deletion valid when there was none.
    let reset = format!("table inet {table} {{}}\ndelete table inet {table}\n");
    if networks.is_empty() {
        return reset;
    }
    let gateways: Vec<String> = networks
        .iter()
        .map(|network| format!("\"{}\" . {}", network.bridge, network.subnet.gateway()))
        .collect();
    let same_bridge: String = networks
        .iter()
        .map(|network| format!("\t\tiifname \"{0}\" oifname \"{0}\" accept\n", network.bridge))
        .collect();
    let allowed: String = networks
        .iter()
        .flat_map(|network| network.allow.iter().map(|to| (&network.bridge, to)))
        .map(|(bridge, to)| {
            let (ip, port) = (to.ip(), to.port());
            format!("\t\tiifname \"{bridge}\" ip daddr {ip} tcp dport {port} accept\n")
        })
        .collect();
    let ours = format!("\"{}*\"", bridge_prefix(host));
    let gateways = gateways.join(", ");
    let metadata = METADATA_V4.map(|ip| ip.to_string()).join(", ");
    let metadata_v6 = METADATA_V6.map(|ip| ip.to_string()).join(", ");
    format!(
        "{reset}table inet {table} {{
\tset gateways {{
\t\ttype ifname . ipv4_addr
\t\telements = {{ {gateways} }}
\t}}
\tchain input {{
\t\ttype filter hook input priority filter - 10; policy accept;
\t\tiifname != {ours} accept
\t\tct state established,related accept
\t\tiifname . ip daddr @gateways meta l4proto {{ tcp, udp }} th dport 53 accept
\t\tiifname . ip daddr @gateways icmp type echo-request accept
{allowed}\t\tdrop
\t}}
\tchain forward {{
\t\ttype filter hook forward priority filter - 10; policy accept;
\t\tct state established,related accept
{same_bridge}\t\tiifname {ours} ip daddr 169.254.0.0/16 drop
\t\tiifname {ours} ip6 daddr fe80::/10 drop
\t\tiifname {ours} ip daddr {{ {metadata} }} drop
\t\tiifname {ours} ip6 daddr {{ {metadata_v6} }} drop
{allowed}\t\tiifname {ours} meta oifkind \"bridge\" drop
\t\toifname {ours} drop
\t}}
\tchain output {{
\t\ttype filter hook output priority filter - 10; policy accept;
\t\toifname {ours} icmp type destination-unreachable icmp code port-unreachable drop
\t}}
}}
"
    )
}

fn run(nft: &Path, script: &str) -> Result<()> {
    let failed =
        |why: String| RuntimeError::Network { network: "all".to_owned(), operation: "nft", why };
    let mut child = Command::new(nft)
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(RuntimeError::io("run", nft))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script.as_bytes()).map_err(|error| failed(error.to_string()))?;
    }
    let output = child.wait_with_output().map_err(RuntimeError::io("run", nft))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use windlass_model::network::Subnet;

    use super::*;

    #[test]
    fn the_last_network_takes_the_table_with_it() {
        let host: HostId = "0011aabb".parse().unwrap();
        assert_eq!(
            script(&host, &[]),
            "table inet windlass_0011aabb {}\ndelete table inet windlass_0011aabb\n"
        );
        let network = NetworkRecord {
            name: "shop".to_owned(),
            bridge: "wl0011aaxxxxxxx".to_owned(),
            subnet: Subnet { base: Ipv4Addr::new(10, 1, 2, 0), prefix_bits: 24 },
            allow: vec!["10.0.0.5:6379".parse().unwrap()],
        };
        let script = script(&host, &[network]);
        assert!(script.contains("\"wl0011aaxxxxxxx\" . 10.1.2.1"));
        let allowed = "iifname \"wl0011aaxxxxxxx\" ip daddr 10.0.0.5 tcp dport 6379 accept\n";
        assert_eq!(
            script.matches(allowed).count(),
            2,
            "on the machine and behind a bridge: {script}"
        );
        let metadata = script.find("169.254.0.0/16 drop").unwrap();
        assert!(metadata < script.rfind(allowed).unwrap(), "metadata is never let through");
        let v4 = "{ 100.100.100.200, 192.0.0.192, 168.63.129.16 } drop";
        let v6 = "{ fd00:ec2::254, fd20:ce::254, fd00:42::42 } drop";
        for other in [v4, v6] {
            assert!(script.find(other).unwrap() < script.rfind(allowed).unwrap(), "{script}");
        }
        assert!(script.contains("iifname \"wl0011aa*\" meta oifkind \"bridge\" drop"));
    }
}
