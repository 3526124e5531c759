//! What a host has on the machine's network now: for the leak check.

use windlass_model::HostId;

use super::{iptables, nft, state};
use crate::leak::lines_of;

/// Bridges of a host.
pub(crate) fn bridges(host: &HostId) -> Vec<String> {
    let prefix = state::bridge_prefix(host);
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.starts_with(&prefix)).collect()
}

/// The host's nft table.
pub(crate) fn tables(host: &HostId) -> Vec<String> {
    let name = nft::table_name(host);
    let tables = lines_of("nft", &["list", "tables"]);
    tables.into_iter().filter(|table| table.ends_with(&name)).collect()
}

/// Rules that netavark made for a host's networks, by the network's name or the bridge's.
pub(crate) fn iptables(host: &HostId) -> Vec<String> {
    let (name, prefix) = (format!("wl-{host}-"), state::bridge_prefix(host));
    let rules = iptables::netavark_rules();
    rules.into_iter().filter(|rule| rule.contains(&name) || rule.contains(&prefix)).collect()
}
