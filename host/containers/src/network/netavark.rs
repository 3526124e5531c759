//! The network driver: netavark and aardvark-dns, told what to do by JSON on standard input.
//!
//! **Invariant: what was told is recorded before it is told**, so that a crash in between leaves a record
//! by which everything can be taken away.

use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use windlass_model::HostId;
use windlass_model::network::{AddressError, Addresses};

use super::aardvark::Aardvark;
use super::state::{AttachmentRecord, NetworkRecord, State, bridge_name, keeper_name, lock};
use super::{Attached, Network, Reserved, iptables, leftovers, netns, nft};
use crate::doctor::Parts;
use crate::error::{Result, RuntimeError};
use crate::runtime::Attachment;

/// In `addr_assign_type`: somebody set it, and the kernel leaves it alone.
const ADDRESS_IS_SET: &str = "3";

/// Name of the interface inside of a container.
const INTERFACE: &str = "eth0";
/// The walls are put up again at every so many looks.
const WALLS_EVERY: u32 = 10;

/// Networks by netavark. See [`Network`].
pub struct Netavark {
    host: HostId,
    state: State,
    addresses: Arc<dyn Addresses>,
    netavark: PathBuf,
    dns: Aardvark,
    nft: PathBuf,
    /// How often it was looked after.
    beats: AtomicU32,
    /// All was taken away, and nothing is attached any more.
    is_down: AtomicBool,
}

impl Netavark {
    /// A driver that keeps its records in `dir`.
    pub(crate) fn new(
        host: &HostId,
        dir: PathBuf,
        addresses: Arc<dyn Addresses>,
        parts: &Parts,
    ) -> Self {
        let state = State::new(dir);
        Self {
            host: host.clone(),
            dns: Aardvark::new(parts.aardvark.clone(), &state),
            state,
            addresses,
            netavark: parts.netavark.clone(),
            nft: parts.nft.clone(),
            beats: AtomicU32::new(0),
            is_down: AtomicBool::new(false),
        }
    }

    /// The record of a network, made at first use, with the walls up.
    fn ensure_locked(&self, name: &str) -> Result<NetworkRecord> {
        check_name(name)?;
        if let Some(record) = self.state.network(name)? {
            return Ok(record);
        }
        let subnet = self.addresses.subnet(name).map_err(no_address(name))?;
        let bridge = bridge_name(&self.host, name);
        let record = NetworkRecord { name: name.to_owned(), bridge, subnet, allow: Vec::new() };
        forward_packets()?;
        let mut networks = self.state.networks()?;
        networks.push(record.clone());
        nft::apply(&self.nft, &self.host, &networks)?;
        self.state.put_network(&record)?;
        Ok(record)
    }

    fn attach_locked(
        &self,
        container: &str,
        attachment: &Attachment,
        is_place: bool,
        reserved: Reserved<'_>,
    ) -> Result<Attached> {
        if self.is_down.load(Ordering::Relaxed) {
            return Err(RuntimeError::Network {
                network: attachment.network.clone(),
                operation: "setup",
                why: "the networks of this host were taken away".to_owned(),
            });
        }
        self.detach_locked(container)?;
        let network = self.ensure_locked(&attachment.network)?;
        let address =
            self.addresses.address(&network.name, container).map_err(no_address(container))?;
        let record = AttachmentRecord {
            container: container.to_owned(),
            network: network.name.clone(),
            address,
            request: self.request(&network, container, attachment, address),
            is_place,
        };
        self.state.put_attachment(&record)?;
        let path = self.state.netns(container);
        netns::create(&path)?;
        let gateway = network.subnet.gateway();
        let attached = Attached { netns: path, address, gateway };
        reserved(&attached);
        let before = ports(&network.bridge);
        self.run("setup", &record, &attached.netns)?;
        pin_address(&network.bridge);
        if attachment.isolated {
            isolate(&network.bridge, &before)?;
            keep(&network.bridge);
        }
        self.dns.settle(&attached.netns, gateway, container)?;
        Ok(attached)
    }

    /// A place that is made, as what is in it sees it.
    fn place(&self, name: &str) -> Result<Attached> {
        let gone = || RuntimeError::NotFound { what: "network place", name: name.to_owned() };
        let record = self.state.attachment(name)?.filter(|record| record.is_place);
        let record = record.ok_or_else(gone)?;
        let network = self.state.network(&record.network)?.ok_or_else(gone)?;
        let netns = self.state.netns(name);
        if !netns::is_alive(&netns) {
            return Err(gone());
        }
        Ok(Attached { netns, address: record.address, gateway: network.subnet.gateway() })
    }

    fn detach_locked(&self, container: &str) -> Result<()> {
        let path = self.state.netns(container);
        let Some(record) = self.state.attachment(container)? else {
            netns::remove(&path)?;
            return self.release_all(container);
        };
        if !netns::is_alive(&path) {
            // netavark insists on a namespace; in an empty one it takes away what is outside.
            netns::create(&path)?;
        }
        if let Err(error) = self.run("teardown", &record, &path) {
            tracing::debug!(container, %error, "a network namespace was broken; removing its rest");
        }
        netns::remove(&path)?;
        self.state.remove_attachment(container)?;
        self.sweep_unless_kept(&record.network)?;
        self.addresses.release_address(&record.network, container).map_err(no_address(container))
    }

    /// Gives back what a container without a record holds: the records die with a reboot, the allotment
    /// does not.
    fn release_all(&self, container: &str) -> Result<()> {
        let allotted = self.addresses.allotted().map_err(no_address(container))?;
        for (network, _, _) in allotted.into_iter().filter(|(_, holder, _)| holder == container) {
            self.addresses.release_address(&network, container).map_err(no_address(container))?;
        }
        Ok(())
    }

    /// After the last container: no bridge and no rule of the network stays, unless it is one whose containers
    /// come and go all the time.
    fn sweep_unless_kept(&self, name: &str) -> Result<()> {
        match self.state.network(name)? {
            Some(network) if is_kept(&network.bridge) => Ok(()),
            _ => self.sweep_network(name),
        }
    }

    /// Takes bridge and rules of a network away if nothing is in it.
    fn sweep_network(&self, name: &str) -> Result<()> {
        let Some(network) = self.state.network(name)? else {
            return Ok(());
        };
        if self.state.attachments()?.iter().any(|other| other.network == name) {
            return Ok(());
        }
        if bridge_dir(&network.bridge).exists() {
            delete_link(&network.bridge);
            delete_link(&keeper_name(&network.bridge));
            iptables::sweep_network(&network.bridge);
            iptables::sweep_network(&network.subnet.to_string());
        }
        self.dns.forget(&self.network_name(name));
        Ok(())
    }

    fn remove_locked(&self, name: &str) -> Result<()> {
        if self.state.network(name)?.is_some() {
            if let Some(member) =
                self.state.attachments()?.into_iter().find(|other| other.network == name)
            {
                return Err(RuntimeError::Network {
                    network: name.to_owned(),
                    operation: "removal",
                    why: format!("container {} is in it", member.container),
                });
            }
            self.sweep_network(name)?;
            self.state.remove_network(name)?;
            let networks = self.state.networks()?;
            nft::apply(&self.nft, &self.host, &networks)?;
            iptables::sweep();
        }
        self.addresses.release_subnet(name).map_err(no_address(name))
    }

    /// The network's name as netavark sees it: its rules and files are named from it.
    fn network_name(&self, name: &str) -> String {
        format!("wl-{}-{name}", self.host)
    }

    fn request(
        &self,
        network: &NetworkRecord,
        container: &str,
        attachment: &Attachment,
        address: Ipv4Addr,
    ) -> Value {
        let name = self.network_name(&network.name);
        json!({
            "container_id": hex::encode(Sha256::digest(format!("{}/{container}", self.host))),
            "container_name": container,
            "networks": { &name: {
                "static_ips": [address],
                "aliases": attachment.aliases,
                "interface_name": INTERFACE,
            }},
            "network_info": { &name: {
                "name": name,
                "id": hex::encode(Sha256::digest(&name)),
                "driver": "bridge",
                "network_interface": network.bridge,
                "subnets": [{
                    "subnet": network.subnet.to_string(),
                    "gateway": network.subnet.gateway(),
                }],
                "ipv6_enabled": false,
                "internal": false,
                "dns_enabled": true,
                "options": { "isolate": "true" },
                "ipam_options": { "driver": "host-local" },
            }},
        })
    }

    fn run(&self, action: &'static str, record: &AttachmentRecord, netns: &Path) -> Result<()> {
        let dns = self.state.aardvark();
        std::fs::create_dir_all(&dns).map_err(RuntimeError::io("create directory", &dns))?;
        let failed = |why: String| RuntimeError::Network {
            network: record.network.clone(),
            operation: action,
            why,
        };
        let mut child = Command::new(&self.netavark)
            .arg("--config")
            .arg(dns)
            .args(["--rootless", "false", "--aardvark-binary"])
            .arg(self.dns.exe())
            .arg(action)
            .arg(netns)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(RuntimeError::io("run", &self.netavark))?;
        if let Some(mut stdin) = child.stdin.take() {
            let text = record.request.to_string();
            stdin.write_all(text.as_bytes()).map_err(|error| failed(error.to_string()))?;
        }
        let output = child.wait_with_output().map_err(RuntimeError::io("run", &self.netavark))?;
        if output.status.success() {
            return Ok(());
        }
        // Errors are JSON on standard output.
        let error: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let why = match error["error"].as_str() {
            Some(why) => why.to_owned(),
            None => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        };
        Err(failed(why))
    }
}

impl Network for Netavark {
    fn ensure(&self, network: &str) -> Result<Ipv4Addr> {
        let _lock = lock()?;
        Ok(self.ensure_locked(network)?.subnet.gateway())
    }

    fn remove(&self, network: &str) -> Result<()> {
        let _lock = lock()?;
        self.remove_locked(network)
    }

    fn allow(&self, network: &str, destinations: &[SocketAddrV4]) -> Result<()> {
        let _lock = lock()?;
        if destinations.is_empty() && self.state.network(network)?.is_none() {
            return Ok(());
        }
        let mut record = self.ensure_locked(network)?;
        if record.allow == destinations {
            return Ok(());
        }
        record.allow = destinations.to_vec();
        let mut networks = self.state.networks()?;
        networks.retain(|other| other.name != record.name);
        networks.push(record.clone());
        nft::apply(&self.nft, &self.host, &networks)?;
        self.state.put_network(&record)
    }

    fn dial(
        &self,
        name: &str,
        network: &str,
        addresses: &[SocketAddr],
        timeout: Duration,
    ) -> Result<Vec<Option<String>>> {
        let tried = self
            .attach(name, &Attachment::member(network, Vec::new()), &mut |_reserved| {})
            .and_then(|attached| super::dial::all(&attached.netns, addresses, timeout));
        match (tried, self.detach(name)) {
            (Err(error), Err(left)) => {
                tracing::warn!(name, error = %left, "a failed look from a network left something");
                Err(error)
            }
            (tried, detached) => detached.and(tried),
        }
    }

    fn list(&self) -> Result<Vec<String>> {
        Ok(self.state.networks()?.into_iter().map(|network| network.name).collect())
    }

    fn attach(
        &self,
        container: &str,
        attachment: &Attachment,
        reserved: Reserved<'_>,
    ) -> Result<Attached> {
        if let Some(place) = &attachment.place {
            return self.place(place).inspect(reserved);
        }
        let _lock = lock()?;
        self.attach_locked(container, attachment, false, reserved)
    }

    fn ensure_place(&self, name: &str, attachment: &Attachment) -> Result<()> {
        let _lock = lock()?;
        match self.place(name) {
            // Under the lock nothing is half made but what failed, which is nothing any more.
            Ok(_) => Ok(()),
            Err(_) => {
                let attached = self.attach_locked(name, attachment, true, &mut |_reserved| {});
                attached.map(drop).inspect_err(|_| {
                    if let Err(error) = self.detach_locked(name) {
                        tracing::warn!(name, %error, "a failed setup left something");
                    }
                })
            }
        }
    }

    fn places(&self, prefix: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for name in self.state.attached().into_iter().filter(|name| name.starts_with(prefix)) {
            if self.state.attachment(&name)?.is_some_and(|record| record.is_place) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn detach(&self, container: &str) -> Result<()> {
        let known = self.state.attachment(container)?.is_some();
        if !known && !self.state.netns(container).exists() {
            return self.release_all(container);
        }
        let _lock = lock()?;
        self.detach_locked(container)
    }

    fn heal(&self) -> Result<()> {
        if self.beats.fetch_add(1, Ordering::Relaxed).is_multiple_of(WALLS_EVERY) {
            let _lock = lock()?;
            let networks = self.state.networks()?;
            if !networks.is_empty() {
                nft::apply(&self.nft, &self.host, &networks)?;
            }
        }
        if self.dns.pid().is_some() || self.state.attachments()?.is_empty() {
            return Ok(());
        }
        let _lock = lock()?;
        if self.dns.pid().is_some() {
            return Ok(());
        }
        tracing::warn!("aardvark-dns is gone: starting it again");
        self.dns.start()
    }

    fn attached(&self) -> Result<Vec<String>> {
        let mut names: Vec<String> = self.state.netns_all();
        names.extend(self.state.attachments()?.into_iter().map(|it| it.container));
        let allotted = self.addresses.allotted().map_err(no_address("all"))?;
        names.extend(allotted.into_iter().map(|(_, container, _)| container));
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn teardown(&self) -> Result<()> {
        let _lock = lock()?;
        self.is_down.store(true, Ordering::Relaxed);
        for attachment in self.state.attachments()? {
            self.detach_locked(&attachment.container)?;
        }
        for name in self.state.netns_all() {
            netns::remove(&self.state.netns(&name))?;
        }
        for network in self.state.networks()? {
            self.remove_locked(&network.name)?;
        }
        for bridge in leftovers::bridges(&self.host) {
            delete_link(&bridge);
            iptables::sweep_network(&bridge);
        }
        iptables::sweep();
        self.dns.stop();
        nft::apply(&self.nft, &self.host, &[])
    }
}

/// Names become file names and names of iptables chains.
fn check_name(name: &str) -> Result<()> {
    let fits = (1..=100).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if fits {
        return Ok(());
    }
    Err(RuntimeError::Invalid {
        what: "network name",
        given: name.to_owned(),
        rule: "use 1 to 100 lower-case letters, digits and hyphens",
    })
}

fn no_address(name: &str) -> impl FnOnce(AddressError) -> RuntimeError {
    let name = name.to_owned();
    move |source| RuntimeError::Address { name, source }
}

/// Without this the machine drops what containers send to the outside.
fn forward_packets() -> Result<()> {
    let path = "/proc/sys/net/ipv4/ip_forward";
    if std::fs::read_to_string(path).is_ok_and(|text| text.trim() == "1") {
        return Ok(());
    }
    std::fs::write(path, "1").map_err(RuntimeError::io("set", path))
}

fn bridge_dir(bridge: &str) -> PathBuf {
    Path::new("/sys/class/net").join(bridge)
}

/// Has a bridge keep its address. Left to itself a bridge has the lowest address of its ports, so it changed when a
/// member came or went, and for half a minute, until it asked anew, a member that stayed sent its answers to the one
/// before.
fn pin_address(bridge: &str) {
    let read = |what: &str| std::fs::read_to_string(bridge_dir(bridge).join(what)).ok();
    if read("addr_assign_type").is_some_and(|kind| kind.trim() == ADDRESS_IS_SET) {
        return;
    }
    if let Some(address) = read("address") {
        ip(&["link", "set", "dev", bridge, "address", address.trim()]);
    }
}

/// Interfaces on a bridge.
fn ports(bridge: &str) -> Vec<String> {
    let entries = std::fs::read_dir(bridge_dir(bridge).join("brif")).into_iter().flatten();
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Cuts the interfaces that are new on a bridge off from its others.
fn isolate(bridge: &str, before: &[String]) -> Result<()> {
    for port in ports(bridge).iter().filter(|port| !before.contains(port)) {
        let path = bridge_dir(bridge).join("brif").join(port).join("isolated");
        std::fs::write(&path, "1").map_err(RuntimeError::io("isolate", &path))?;
    }
    Ok(())
}

/// Puts a port that leads nowhere on a bridge. With its last container netavark would take the bridge away with all of
/// its rules, which takes ten times as long as taking the container away, and make it all again for the next one.
/// Where there is no such port, it does so.
fn keep(bridge: &str) {
    if !is_kept(bridge) {
        let keeper = keeper_name(bridge);
        let other_end = keeper.replace('-', "_");
        ip(&["link", "add", "name", &keeper, "type", "veth", "peer", "name", &other_end]);
        ip(&["link", "set", "dev", &keeper, "master", bridge]);
    }
}

fn is_kept(bridge: &str) -> bool {
    bridge_dir(bridge).join("brif").join(keeper_name(bridge)).exists()
}

fn delete_link(name: &str) {
    ip(&["link", "delete", name]);
}

fn ip(arguments: &[&str]) {
    let _ = Command::new("ip")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
