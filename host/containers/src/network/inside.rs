//! Addresses that lead inside: to this machine itself, to what runs behind its bridges, to its cloud's
//! metadata. Our walls keep containers from them; the host keeps itself from them where a stranger chose
//! the address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::routes;

/// Where clouds have their metadata, beside link-local addresses: those of Alibaba, Oracle and Azure.
pub(super) const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(168, 63, 129, 16),
];
/// The same with IPv6: those of Amazon, Google and Scaleway.
pub(super) const METADATA_V6: [Ipv6Addr; 3] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

/// The addresses of this machine and the networks behind its bridges, as they were when it was asked.
#[derive(Debug, Clone, Default)]
pub struct Inside(Vec<Block>);

impl Inside {
    /// As it is now: networks come and go.
    pub fn now() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let is_bridge = |name: &str| Path::new("/sys/class/net").join(name).join("bridge").is_dir();
        let mut blocks = own_v4(&read("/proc/net/fib_trie"));
        blocks.extend(own_v6(&read("/proc/net/if_inet6")));
        blocks.extend(behind_v4(&read("/proc/net/route"), is_bridge));
        blocks.extend(behind_v6(&read("/proc/net/ipv6_route"), is_bridge));
        Self(blocks)
    }

    /// Whether the address leads inside. Link-local, multicast and unspecified addresses do.
    pub fn holds(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let always = match ip {
            IpAddr::V4(ip) => {
                ip.is_loopback()
                    || ip.is_link_local()
                    || ip.is_broadcast()
                    || METADATA_V4.contains(&ip)
            }
            IpAddr::V6(ip) => {
                ip.is_loopback() || ip.is_unicast_link_local() || METADATA_V6.contains(&ip)
            }
        };
        always
            || ip.is_unspecified()
            || ip.is_multicast()
            || self.0.iter().any(|block| block.holds(ip))
    }
}

/// Addresses with a common beginning; those of IPv4 as IPv6 maps them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    base: u128,
    prefix_bits: u32,
}

impl Block {
    fn v4(base: Ipv4Addr, prefix_bits: u32) -> Self {
        Self { base: bits(base.into()), prefix_bits: 96 + prefix_bits }
    }

    fn holds(self, ip: IpAddr) -> bool {
        (bits(ip) ^ self.base).leading_zeros() >= self.prefix_bits
    }
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}

/// The machine's own addresses in `/proc/net/fib_trie`: an address, and below it what it is.
fn own_v4(trie: &str) -> Vec<Block> {
    let mut at = None;
    let mut own = Vec::new();
    for line in trie.lines().map(str::trim) {
        if let Some(address) = line.strip_prefix("|-- ") {
            at = address.parse::<Ipv4Addr>().ok();
        } else if let Some(prefix) = line.strip_suffix(" host LOCAL") {
            let prefix = prefix.strip_prefix('/').and_then(|bits| bits.parse().ok());
            own.extend(at.zip(prefix).map(|(address, bits)| Block::v4(address, bits)));
        }
    }
    own
}

/// The machine's own addresses in `/proc/net/if_inet6`.
fn own_v6(table: &str) -> Vec<Block> {
    let address = |line: &str| u128::from_str_radix(line.split_whitespace().next()?, 16).ok();
    table.lines().filter_map(address).map(|base| Block { base, prefix_bits: 128 }).collect()
}

/// What `/proc/net/route` says is behind bridges. The default route does not count.
fn behind_v4(table: &str, is_bridge: impl Fn(&str) -> bool) -> Vec<Block> {
    let behind = |line: &str| {
        let interface = line.split_whitespace().next()?;
        let (base, mask) = routes::route(line)?;
        let counts = mask != 0 && is_bridge(interface);
        counts.then(|| Block::v4(Ipv4Addr::from(base), mask.leading_ones()))
    };
    table.lines().skip(1).filter_map(behind).collect()
}

/// The same of `/proc/net/ipv6_route`: destination, bits of its prefix, and so on up to the interface.
fn behind_v6(table: &str, is_bridge: impl Fn(&str) -> bool) -> Vec<Block> {
    let behind = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let base = u128::from_str_radix(fields.first()?, 16).ok()?;
        let prefix_bits = u32::from_str_radix(fields.get(1)?, 16).ok()?;
        let counts = prefix_bits != 0 && is_bridge(fields.last()?);
        counts.then_some(Block { base, prefix_bits })
    };
    table.lines().filter_map(behind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIE: &str = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 198.51.100.0/24 2 0 2
        |-- 198.51.100.0
           /24 link UNICAST
        |-- 198.51.100.7
           /32 host LOCAL
        |-- 198.51.100.255
           /32 link BROADCAST
";
    // 10.213.4.0/24 behind a bridge, 10.9.0.0/16 behind an interface, as little-endian machines print them.
    const ROUTES: &str = "\
Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask
wl0011aa\t00000000\t010200C0\t0003\t0\t0\t0\t00000000
wl0011aa\t0004D50A\t00000000\t0001\t0\t0\t0\t00FFFFFF
eth0\t0000090A\t00000000\t0001\t0\t0\t0\t0000FFFF
";
    const ROUTES_V6: &str = "\
fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
fd990000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     wl0011aa
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000003 00000000 00000003     wl0011aa
";
    const ADDRESSES_V6: &str = "fd000000000000000000000000000002 04 40 00 82     eth0\n";

    fn machine() -> Inside {
        let is_bridge = |name: &str| name.starts_with("wl");
        let mut blocks = own_v4(TRIE);
        blocks.extend(own_v6(ADDRESSES_V6));
        blocks.extend(behind_v4(ROUTES, is_bridge));
        blocks.extend(behind_v6(ROUTES_V6, is_bridge));
        Inside(blocks)
    }

    #[test]
    fn the_machine_its_bridges_and_metadata_are_inside() {
        for inside in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "192.0.0.192",
            "198.51.100.7",
            "::ffff:198.51.100.7",
            "10.213.4.9",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "fe80::1",
            "ff02::1",
            "fd00:ec2::254",
            "fd00::2",
            "fd99::17",
        ] {
            assert!(machine().holds(inside.parse().unwrap()), "{inside}");
        }
    }

    #[test]
    fn what_is_beside_them_is_outside() {
        for outside in [
            "198.51.100.8",
            "198.51.100.0",
            "10.213.5.9",
            "10.9.1.1",
            "192.0.2.1",
            "fd00::3",
            "fd98::17",
            "2001:db8::1",
        ] {
            assert!(!machine().holds(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn this_machine_knows_its_own_addresses() {
        assert!(own_v4(&std::fs::read_to_string("/proc/net/fib_trie").unwrap()).len() > 1);
    }
}
