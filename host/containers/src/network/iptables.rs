//! What netavark leaves in iptables when its last network is gone.
//!
//! **Invariant: only chains that netavark made, and only when no network of anyone uses them.**

use std::path::Path;
use std::process::{Command, Stdio};

use windlass_model::network::Subnet;

use super::subnet_in_use;

/// Removes rules of networks that are gone, then netavark's shared chains if nothing hangs on them any
/// more. Best effort: what fails is harmless and is tried again with the next network.
pub(super) fn sweep() {
    for name in dead_names() {
        sweep_network(&name);
    }
    if !per_network_chains().is_empty() {
        return;
    }
    for table in ["filter", "nat"] {
        let rules = save(table);
        let chains: Vec<&str> = rules.iter().filter_map(|rule| chain_of(rule)).collect();
        for rule in rules.iter().filter(|rule| jumps_to(rule, &chains)) {
            let delete = rule.replacen("-A ", "-D ", 1);
            iptables(table, &words(&delete));
        }
        for chain in &chains {
            iptables(table, &["-F".to_owned(), (*chain).to_owned()]);
        }
        for chain in &chains {
            iptables(table, &["-X".to_owned(), (*chain).to_owned()]);
        }
    }
}

/// Subnets without a route and bridges that do not exist, as netavark's rules name them. netavark makes
/// the bridge before the rules, so that these are of networks that were cut off.
fn dead_names() -> Vec<String> {
    let mut dead = Vec::new();
    for rule in ["filter", "nat"].into_iter().flat_map(save) {
        let words = words(&rule);
        if !words.iter().any(|word| word.contains("NETAVARK")) {
            continue;
        }
        for pair in words.windows(2) {
            let (flag, value) = (pair[0].as_str(), &pair[1]);
            let is_dead = match flag {
                "-s" => parse_subnet(value).is_some_and(|subnet| !subnet_in_use(subnet)),
                "-i" | "-o" => !Path::new("/sys/class/net").join(value).exists(),
                _ => false,
            };
            if is_dead && !dead.contains(value) {
                dead.push(value.clone());
            }
        }
    }
    dead
}

fn parse_subnet(text: &str) -> Option<Subnet> {
    let (base, bits) = text.split_once('/')?;
    let (base, prefix_bits) = (base.parse().ok()?, bits.parse().ok()?);
    (8..=30).contains(&prefix_bits).then_some(Subnet { base, prefix_bits })
}

/// Removes every rule that names a network's subnet or bridge, and the network's own chain, which a
/// teardown that went wrong has left.
pub(super) fn sweep_network(name: &str) {
    for table in ["filter", "nat"] {
        let rules = save(table);
        let named = |rule: &&String| words(rule).iter().any(|word| word == name);
        let own: Vec<String> = rules
            .iter()
            .filter(named)
            .filter_map(|rule| words(rule).get(1).cloned())
            .filter(|chain| is_per_network(chain))
            .collect();
        for rule in rules.iter().filter(named) {
            iptables(table, &words(&rule.replacen("-A ", "-D ", 1)));
        }
        for chain in own {
            iptables(table, &["-F".to_owned(), chain.clone()]);
            iptables(table, &["-X".to_owned(), chain]);
        }
    }
}

/// Chains of single networks, by name: `NETAVARK-` and a digest.
pub(crate) fn per_network_chains() -> Vec<String> {
    let rules = save("nat");
    rules
        .iter()
        .filter_map(|rule| chain_of(rule))
        .filter(|chain| is_per_network(chain))
        .map(str::to_owned)
        .collect()
}

/// Every chain and rule of netavark, for the leak check.
pub(crate) fn netavark_rules() -> Vec<String> {
    let all = ["filter", "nat"]
        .into_iter()
        .flat_map(|table| save(table).into_iter().map(move |rule| format!("{table}: {rule}")));
    all.filter(|rule| rule.contains("NETAVARK")).collect()
}

fn is_per_network(chain: &str) -> bool {
    chain.starts_with("NETAVARK-") && !chain.starts_with("NETAVARK-HOSTPORT")
}

fn chain_of(rule: &str) -> Option<&str> {
    rule.strip_prefix("-N ").filter(|chain| chain.starts_with("NETAVARK"))
}

fn jumps_to(rule: &str, chains: &[&str]) -> bool {
    rule.starts_with("-A ")
        && rule.split_once(" -j ").is_some_and(|(_, target)| {
            chains.contains(&target.split_whitespace().next().unwrap_or_default())
        })
}

/// The rules of a table, as `iptables -S` prints them; none when there is no iptables.
fn save(table: &str) -> Vec<String> {
    let output = Command::new("iptables")
        .args(["-w", "-t", table, "-S"])
        .stderr(Stdio::null())
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect(),
        Err(_) => Vec::new(),
    }
}

fn iptables(table: &str, arguments: &[String]) {
    let _ = Command::new("iptables")
        .args(["-w", "-t", table])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}

/// Words of a rule; a comment in double quotes is one.
fn words(rule: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut rest = rule.trim();
    while !rest.is_empty() {
        let (word, tail) = match rest.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => rest.split_once(' ').unwrap_or((rest, "")),
        };
        words.push(word.to_owned());
        rest = tail.trim_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_comment_is_one_word() {
        let rule = "-A FORWARD -m comment --comment \"netavark firewall plugin rules\" -j NETAVARK_FORWARD";
        let words = words(rule);
        assert_eq!(words[5], "netavark firewall plugin rules");
        assert_eq!(words[7], "NETAVARK_FORWARD");
        assert!(jumps_to(rule, &["NETAVARK_FORWARD"]));
        assert!(is_per_network("NETAVARK-1D8721804F16F"));
        assert!(!is_per_network("NETAVARK-HOSTPORT-DNAT"));
    }
}
