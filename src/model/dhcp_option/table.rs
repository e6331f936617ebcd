//! The DHCP options that have a name here, each with its type, and those that no site sets.
//!
//! Source: the IANA registry "BOOTP Vendor Extensions and DHCP Options", with RFC 2132 and the RFC named at an option.

use std::fmt;

use DhcpOptionType::{
    Address, AddressPairs, Addresses, Boolean, Bytes, Domain, Domains, Integer32, Number8,
    Number16, Number32, Numbers16, Routes, SipServers, Text,
};

/// The type of an option's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DhcpOptionType {
    Address,
    Addresses,
    /// Two addresses each: `192.0.2.1 255.255.255.0`.
    AddressPairs,
    /// Numbers from a minimum to the largest of their width.
    Number8(u8),
    Number16(u16),
    Numbers16(u16),
    Number32,
    /// Signed.
    Integer32,
    Boolean,
    Text,
    /// In hexadecimal.
    Bytes,
    Domain,
    Domains,
    /// Addresses or domains (RFC 3361).
    SipServers,
    /// RFC 3442.
    Routes,
}

/// Every option with a name: its number, its name, and its type.
pub const DHCP_OPTIONS: [(u8, &str, DhcpOptionType); 70] = [
    (2, "time-offset", Integer32),
    (4, "time-servers", Addresses),
    (5, "ien116-name-servers", Addresses),
    (7, "log-servers", Addresses),
    (8, "cookie-servers", Addresses),
    (9, "lpr-servers", Addresses),
    (10, "impress-servers", Addresses),
    (11, "resource-location-servers", Addresses),
    (13, "boot-size", Number16(0)),
    (14, "merit-dump", Text),
    (16, "swap-server", Address),
    (17, "root-path", Text),
    (18, "extensions-path", Text),
    (19, "ip-forwarding", Boolean),
    (20, "non-local-source-routing", Boolean),
    (21, "policy-filter", AddressPairs),
    (22, "max-dgram-reassembly", Number16(576)),
    (23, "default-ip-ttl", Number8(1)),
    (24, "path-mtu-aging-timeout", Number32),
    (25, "path-mtu-plateau-table", Numbers16(68)),
    (27, "all-subnets-local", Boolean),
    (29, "perform-mask-discovery", Boolean),
    (30, "mask-supplier", Boolean),
    (31, "router-discovery", Boolean),
    (32, "router-solicitation-address", Address),
    (34, "trailer-encapsulation", Boolean),
    (35, "arp-cache-timeout", Number32),
    (36, "ieee802-3-encapsulation", Boolean),
    (37, "default-tcp-ttl", Number8(1)),
    (38, "tcp-keepalive-interval", Number32),
    (39, "tcp-keepalive-garbage", Boolean),
    (40, "nis-domain", Text),
    (41, "nis-servers", Addresses),
    (43, "vendor-encapsulated-options", Bytes),
    (44, "netbios-name-servers", Addresses),
    (45, "netbios-dd-servers", Addresses),
    (46, "netbios-node-type", Number8(1)),
    (47, "netbios-scope", Text),
    (48, "font-servers", Addresses),
    (49, "x-display-managers", Addresses),
    (64, "nisplus-domain", Text),
    (65, "nisplus-servers", Addresses),
    (68, "mobile-ip-home-agents", Addresses),
    (69, "smtp-servers", Addresses),
    (70, "pop3-servers", Addresses),
    (71, "nntp-servers", Addresses),
    (72, "www-servers", Addresses),
    (73, "finger-servers", Addresses),
    (74, "irc-servers", Addresses),
    (75, "streettalk-servers", Addresses),
    (76, "stda-servers", Addresses),
    // RFC 2241.
    (85, "nds-servers", Addresses),
    (86, "nds-tree-name", Text),
    (87, "nds-context", Text),
    // RFC 2485.
    (98, "uap-servers", Text),
    // RFC 4833.
    (100, "posix-timezone", Text),
    (101, "tzdb-timezone", Text),
    // RFC 8925.
    (108, "ipv6-only-preferred", Number32),
    // RFC 8910.
    (114, "captive-portal", Text),
    // RFC 2563.
    (116, "auto-configure", Boolean),
    // RFC 2937.
    (117, "name-service-search", Numbers16(0)),
    // RFC 3361.
    (120, "sip-servers", SipServers),
    // RFC 3442.
    (121, "classless-static-routes", Routes),
    // RFC 3925.
    (125, "vendor-identifying-options", Bytes),
    // RFC 5223.
    (137, "lost-server", Domain),
    // RFC 5417.
    (138, "capwap-access-controllers", Addresses),
    // RFC 6011.
    (141, "sip-ua-config-domains", Domains),
    // RFC 5859.
    (150, "tftp-server-address", Addresses),
    // [MS-DHCPE] 2.2.8: the same as 121, for clients of Windows XP.
    (249, "ms-classless-static-routes", Routes),
    // draft-ietf-wrec-wpad-01 section 4.4.1.
    (252, "wpad", Text),
];

/// The names in [`DHCP_OPTIONS`].
pub(super) const DHCP_OPTION_NAMES: [&str; DHCP_OPTIONS.len()] = {
    let mut names = [""; DHCP_OPTIONS.len()];
    let mut at = 0;
    while at < names.len() {
        names[at] = DHCP_OPTIONS[at].1;
        at += 1;
    }
    names
};

/// The options that are not set as options: number, name, and the key that sets it. Without a key, the option belongs to the
/// protocol.
pub(super) const RESERVED: [(u8, &str, &str); 40] = [
    (1, "subnet-mask", "`subnet` of the network"),
    (3, "routers", "`gateway` of the network"),
    (6, "domain-name-servers", "`dns` of the network"),
    (12, "host-name", "`hostname` of the node"),
    (15, "domain-name", "`domain` of the network"),
    (26, "interface-mtu", "`mtu` of the network"),
    (28, "broadcast-address", "`subnet` of the network"),
    // RFC 3442 replaces it.
    (33, "static-routes", "the option `classless-static-routes`"),
    (42, "ntp-servers", "`ntp` of the network"),
    (50, "dhcp-requested-address", ""),
    (51, "dhcp-lease-time", "`lease` of the network"),
    (52, "dhcp-option-overload", ""),
    (53, "dhcp-message-type", ""),
    (54, "dhcp-server-identifier", ""),
    (55, "dhcp-parameter-request-list", ""),
    (56, "dhcp-message", ""),
    (57, "dhcp-max-message-size", ""),
    (58, "dhcp-renewal-time", "`lease` of the network"),
    (59, "dhcp-rebinding-time", "`lease` of the network"),
    (60, "vendor-class-identifier", ""),
    (61, "dhcp-client-identifier", ""),
    (66, "tftp-server-name", "`loader` of the network"),
    (67, "bootfile-name", "`loader` of the network"),
    (77, "user-class", ""),
    (80, "rapid-commit", ""),
    (81, "client-fqdn", ""),
    (82, "dhcp-agent-options", ""),
    (90, "authentication", ""),
    (91, "client-last-transaction-time", ""),
    (92, "associated-ip", ""),
    (93, "client-system", ""),
    (94, "client-ndi", ""),
    (97, "client-machine-identifier", ""),
    (118, "subnet-selection", ""),
    (119, "domain-search", "`search` of the network"),
    (124, "vendor-class", ""),
    (145, "forcerenew-nonce-capable", ""),
    (151, "status-code", ""),
    (175, "ipxe-options", ""),
    (221, "subnet-allocation", ""),
];

/// Returns the type of an option's values.
pub(super) fn value_type(code: u8) -> Option<DhcpOptionType> {
    let mut known = DHCP_OPTIONS.iter();
    known.find(|option| option.0 == code).map(|option| option.2)
}

/// Finds an option by its name, reserved or not.
pub(super) fn code(name: &str) -> Option<u8> {
    let known = DHCP_OPTIONS.iter().map(|(code, name, _)| (code, name));
    let reserved = RESERVED.iter().map(|(code, name, _)| (code, name));
    let mut all = known.chain(reserved);
    all.find(|(_, known)| **known == name)
        .map(|(code, _)| *code)
}

/// Returns the name of a reserved option, and the key that sets it.
pub(super) fn reserved(code: u8) -> Option<(&'static str, &'static str)> {
    let mut all = RESERVED.iter();
    all.find(|option| option.0 == code)
        .map(|option| (option.1, option.2))
}

/// What is expected, in messages.
impl fmt::Display for DhcpOptionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address => f.write_str("one IPv4 address"),
            Addresses => f.write_str("IPv4 addresses"),
            AddressPairs => f.write_str("pairs of an IPv4 address and a mask"),
            Number8(min) => write!(f, "a number from {min} to {}", u8::MAX),
            Number16(min) => write!(f, "a number from {min} to {}", u16::MAX),
            Numbers16(min) => write!(f, "numbers from {min} to {}", u16::MAX),
            Number32 => write!(f, "a number from 0 to {}", u32::MAX),
            Integer32 => write!(f, "a number from {} to {}", i32::MIN, i32::MAX),
            Boolean => f.write_str("true or false"),
            Text => f.write_str("text"),
            Bytes => f.write_str("bytes in hexadecimal"),
            Domain => f.write_str("one domain"),
            Domains => f.write_str("domains"),
            SipServers => f.write_str("IPv4 addresses or domains"),
            Routes => f.write_str("routes"),
        }
    }
}
