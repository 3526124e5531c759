//! Which addresses a stranger's request may go to: public ones, and what an operator granted exactly.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Networks of IPv4 that are not the public internet, as address and prefix.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 15] = [
    // This host, private networks, carrier-grade NAT, loopback, link-local (and metadata of clouds).
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    // Relays of 6to4.
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    // Measurements, documentation, multicast, reserved and broadcast.
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// Networks within the global unicast addresses of IPv6 that are not the public internet: protocol
/// assignments with Teredo, documentation, 6to4.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
];

/// What a translator between IPv6 and IPv4 puts before the address that is meant.
const NAT64: (Ipv6Addr, u32) = (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether an address belongs to the public internet, whatever it is wrapped in.
pub(crate) fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => !NOT_PUBLIC_V4.iter().any(|(base, bits)| v4_in(ip, *base, *bits)),
        IpAddr::V6(ip) if v6_in(ip, NAT64.0, NAT64.1) => is_public(IpAddr::V4(last_v4(ip))),
        IpAddr::V6(ip) => {
            let is_global = ip.segments()[0] & 0xe000 == 0x2000;
            is_global && !NOT_PUBLIC_V6.iter().any(|(base, bits)| v6_in(ip, *base, *bits))
        }
    }
}

/// Whether it is link-local, where clouds have their metadata: a grant has to name it as an address.
fn is_link_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local() || v6_in(ip, METADATA_V6, 128),
    }
}

const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Whether the operator granted a private address: by the name that led there, as an address, or by its
/// network. A name does not reach what is link-local.
pub(crate) fn is_granted(granted: &[&str], host: &str, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    granted.iter().any(|entry| match entry.split_once('/') {
        Some((base, bits)) => match (ip, base.parse(), bits.parse()) {
            (IpAddr::V4(ip), Ok(IpAddr::V4(base)), Ok(bits)) => v4_in(ip, base, bits),
            (IpAddr::V6(ip), Ok(IpAddr::V6(base)), Ok(bits)) => v6_in(ip, base, bits),
            _ => false,
        },
        None => match entry.parse::<IpAddr>() {
            Ok(address) => address.to_canonical() == ip,
            Err(_) => entry.eq_ignore_ascii_case(host) && !is_link_local(ip),
        },
    })
}

fn last_v4(ip: Ipv6Addr) -> Ipv4Addr {
    let [.., a, b, c, d] = ip.octets();
    Ipv4Addr::new(a, b, c, d)
}

fn v4_in(ip: Ipv4Addr, base: Ipv4Addr, bits: u32) -> bool {
    bits <= 32 && (ip.to_bits() ^ base.to_bits()).leading_zeros() >= bits
}

fn v6_in(ip: Ipv6Addr, base: Ipv6Addr, bits: u32) -> bool {
    bits <= 128 && (ip.to_bits() ^ base.to_bits()).leading_zeros() >= bits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_public_internet_is_public() {
        let private = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in private {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2606:4700::1111",
            "2a00:1450:4001::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn a_grant_opens_what_it_names_and_a_name_never_what_is_link_local() {
        let granted = ["chat.internal", "10.1.0.0/16", "fd00:1::/32", "192.168.1.5"];
        for (host, ip, opens) in [
            ("chat.internal", "10.9.0.1", true),
            ("CHAT.internal", "127.0.0.1", true),
            ("chat.internal", "::ffff:127.0.0.1", true),
            ("chat.internal", "169.254.169.254", false),
            ("chat.internal", "::ffff:169.254.169.254", false),
            ("chat.internal", "fe80::1", false),
            ("chat.internal", "fd00:ec2::254", false),
            ("other.internal", "10.9.0.1", false),
            ("other.internal", "10.1.2.3", true),
            ("other.internal", "::ffff:10.1.2.3", true),
            ("other.internal", "10.2.0.1", false),
            ("other.internal", "fd00:1::5", true),
            ("other.internal", "192.168.1.5", true),
            ("other.internal", "192.168.1.6", false),
        ] {
            assert_eq!(is_granted(&granted, host, ip.parse().unwrap()), opens, "{host} {ip}");
        }
        assert!(is_granted(&["169.254.169.254"], "x", "169.254.169.254".parse().unwrap()));
    }
}
