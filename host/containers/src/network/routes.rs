//! What the machine's routes say about a subnet.

use windlass_model::network::Subnet;

/// Whether a route of this machine overlaps the subnet: then it must not be allotted. The default
/// route does not count.
pub fn subnet_in_use(subnet: Subnet) -> bool {
    let table = std::fs::read_to_string("/proc/net/route").unwrap_or_default();
    table.lines().skip(1).filter_map(route).any(|(base, mask)| overlaps(subnet, base, mask))
}

/// Destination and mask of one line of `/proc/net/route`, which writes them in host byte order.
pub(super) fn route(line: &str) -> Option<(u32, u32)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let number =
        |field: usize| u32::from_str_radix(fields.get(field)?, 16).ok().map(u32::swap_bytes);
    Some((number(1)?, number(7)?))
}

fn overlaps(subnet: Subnet, base: u32, mask: u32) -> bool {
    if mask == 0 {
        return false;
    }
    let own_mask = u32::MAX.checked_shl(32 - u32::from(subnet.prefix_bits)).unwrap_or_default();
    let common = mask & own_mask;
    u32::from(subnet.base) & common == base & common
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn overlapping_routes_count_and_the_default_route_does_not() {
        let subnet = Subnet { base: Ipv4Addr::new(10, 213, 4, 0), prefix_bits: 24 };
        // 10.213.0.0/16, as little-endian machines print it.
        let line = "eth0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0";
        let (base, mask) = route(line).unwrap();
        assert_eq!((Ipv4Addr::from(base), mask), (Ipv4Addr::new(10, 213, 0, 0), 0xFFFF_0000));
        assert!(overlaps(subnet, base, mask));
        assert!(!overlaps(subnet, 0, 0));
        assert!(!overlaps(subnet, u32::from(Ipv4Addr::new(10, 213, 5, 0)), 0xFFFF_FF00));
    }
}
