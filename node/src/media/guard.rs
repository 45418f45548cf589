//! Which addresses may be connected to: those of the public internet, and what the operator allows besides.
//!
//! By the special-purpose address registries of IANA (RFC 6890 and its updates), and what clouds hide behind public numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{Ipv4Net, Ipv6Net};

use super::Limits;

/// Networks of IPv4 that are not the public internet.
const CLOSED_V4: [Ipv4Net; 16] = [
    v4([0, 0, 0, 0], 8),        // this host, this network
    v4([10, 0, 0, 0], 8),       // private
    v4([100, 64, 0, 0], 10),    // behind a carrier's NAT; the metadata of Alibaba
    v4([127, 0, 0, 0], 8),      // loopback
    v4([168, 63, 129, 16], 32), // public by its number, but the host of a virtual machine in Azure
    v4([169, 254, 0, 0], 16),   // link-local; the metadata of most clouds
    v4([172, 16, 0, 0], 12),    // private
    v4([192, 0, 0, 0], 24),     // protocol assignments; the metadata of Oracle
    v4([192, 0, 2, 0], 24),     // documentation
    v4([192, 88, 99, 0], 24),   // relays of 6to4
    v4([192, 168, 0, 0], 16),   // private
    v4([198, 18, 0, 0], 15),    // benchmarks
    v4([198, 51, 100, 0], 24),  // documentation
    v4([203, 0, 113, 0], 24),   // documentation
    v4([224, 0, 0, 0], 4),      // multicast
    v4([240, 0, 0, 0], 4),      // reserved, broadcast
];

/// Where the public internet of IPv6 is. Outside are loopback, unspecified, IPv4-compatible, unique local, link-local and
/// multicast addresses, among others.
const GLOBAL_V6: Ipv6Net = v6(0x2000 << 112, 3);

/// What of that is not the public internet.
const CLOSED_V6: [Ipv6Net; 4] = [
    v6(0x2001 << 112, 23),     // protocol assignments; Teredo, which carries an IPv4 address
    v6(0x2001_0db8 << 96, 32), // documentation
    v6(0x2002 << 112, 16),     // 6to4, which carries an IPv4 address
    v6(0x3fff << 112, 20),     // documentation
];

/// Addresses that stand for the IPv4 address in their last 32 bits: IPv4-mapped ones, and those that a resolver makes where
/// there is IPv6 only (NAT64, RFC 6052).
const CARRYING_V4: [Ipv6Net; 2] = [v6(0xffff << 32, 96), v6(0x0064_ff9b << 96, 96)];

/// Whether a host with these addresses may be connected to. One that may not spoils all: such a name is there to deceive.
pub(super) fn permits(addresses: &[SocketAddr], limits: &Limits) -> bool {
    let is_allowed =
        |address: IpAddr| limits.allowed_networks.iter().any(|network| network.contains(&address));
    addresses.iter().all(|address| {
        let address = canonical(address.ip());
        is_public(address) || is_allowed(address)
    })
}

/// The IPv4 address that another one stands for.
fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(address) if CARRYING_V4.iter().any(|network| network.contains(&address)) => {
            let [.., a, b, c, d] = address.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        address => address,
    }
}

/// Of a canonical address.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !CLOSED_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_V6.contains(&address) && !CLOSED_V6.iter().any(|network| network.contains(&address))
        }
    }
}

const fn v4([a, b, c, d]: [u8; 4], bits: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

const fn v6(address: u128, bits: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::from_bits(address), bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn permitted(addresses: &[&str], allowed: &[&str]) -> bool {
        let addresses: Vec<SocketAddr> =
            addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 80)).collect();
        let allowed_networks = allowed.iter().map(|network| network.parse().unwrap()).collect();
        permits(&addresses, &Limits { allowed_networks, ..Limits::default() })
    }

    #[test]
    fn the_public_internet_is_permitted() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.1",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "2001:200::1",
            "2001:db9::1",
            "3ffe::1",
            // These stand for 1.1.1.1.
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
        ] {
            assert!(permitted(&[address], &[]), "{address}");
        }
    }

    #[test]
    fn every_other_network_is_closed() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "10.255.255.255",
            "100.64.0.1",
            "100.100.100.200",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.255.255",
            "168.63.129.16",
            "169.254.169.254",
            "169.254.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.7",
            "203.0.113.7",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fe80::1",
            "fec0::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "100::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "4000::1",
        ] {
            assert!(!permitted(&[address], &[]), "{address}");
        }
    }

    #[test]
    fn an_ipv6_address_that_carries_one_of_ipv4_is_no_way_around() {
        for address in [
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:0:127.0.0.1",
            "::127.0.0.1",
            "::10.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2002:101:101::",
            "2001:0:101:101::",
            "2001::f5ff:fffe",
        ] {
            assert!(!permitted(&[address], &[]), "{address}");
        }
    }

    #[test]
    fn one_address_that_is_closed_spoils_all() {
        assert!(permitted(&["1.1.1.1", "2606:4700::1111"], &[]));
        assert!(!permitted(&["1.1.1.1", "10.0.0.1"], &[]));
        assert!(!permitted(&["::1", "1.1.1.1"], &[]));
    }

    #[test]
    fn networks_that_are_allowed_are_open_and_no_others() {
        assert!(permitted(&["10.1.2.3"], &["10.1.0.0/16"]));
        assert!(permitted(&["::ffff:10.1.2.3", "1.1.1.1"], &["10.1.0.0/16"]));
        assert!(permitted(&["fd00::7"], &["10.1.0.0/16", "fd00::/64"]));
        assert!(!permitted(&["10.2.0.1"], &["10.1.0.0/16"]));
        assert!(!permitted(&["10.1.2.3", "127.0.0.1"], &["10.1.0.0/16"]));
    }

    proptest! {
        #[test]
        fn an_address_of_ipv4_is_as_good_as_what_stands_for_it(bits in any::<u32>()) {
            let permitted = |address: IpAddr| permits(&[SocketAddr::new(address, 80)], &Limits::default());
            let open = permitted(Ipv4Addr::from_bits(bits).into());
            let carried = |prefix: u128| permitted(Ipv6Addr::from_bits(prefix | u128::from(bits)).into());
            prop_assert_eq!(carried(0xffff << 32), open);
            prop_assert_eq!(carried(0x0064_ff9b << 96), open);
            prop_assert!(!carried(0), "IPv4-compatible");
            prop_assert!(!carried(0x2001 << 112), "Teredo");
            let six_to_four = 0x2002 << 112 | u128::from(bits) << 80;
            prop_assert!(!permitted(Ipv6Addr::from_bits(six_to_four).into()));
        }
    }
}
