//! The MAC of an IPv4 address on a local link, from the kernel's ARP table.
//!
//! No packet is sent. A host on a local link that just sent a packet over IPv4 is in the table; machines behind a
//! router and IPv6 addresses are not.

use std::{fs, io, net::IpAddr};

use crate::model::{Mac, SmallSet};

/// The ARP table of this network namespace.
const TABLE: &str = "/proc/net/arp";

/// Returns the MACs of an address: several when it is on several interfaces.
pub fn macs_at(ip: IpAddr) -> io::Result<SmallSet<Mac>> {
    Ok(read(&fs::read_to_string(TABLE)?, ip))
}

fn read(table: &str, ip: IpAddr) -> SmallSet<Mac> {
    table
        .lines()
        .skip(1)
        .filter_map(|line| mac_of(line, ip))
        .collect()
}

/// Reads a line: address, hardware type, flags, MAC, mask, interface.
fn mac_of(line: &str, ip: IpAddr) -> Option<Mac> {
    const ETHERNET: &str = "0x1";
    const COMPLETE: u32 = 0x2;
    let fields: Vec<&str> = line.split_whitespace().collect();
    let [address, ETHERNET, flags, mac, ..] = fields[..] else {
        return None;
    };
    // A line that cannot be read is skipped.
    let flags = u32::from_str_radix(flags.strip_prefix("0x")?, 16).ok()?;
    let matches = address.parse() == Ok(ip) && flags & COMPLETE != 0;
    matches.then(|| mac.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mac_of_a_complete_entry_is_read() {
        let table = "\
IP address       HW type     Flags       HW address            Mask     Device
192.0.2.11       0x1         0x2         52:54:00:00:00:01     *        eth0
192.0.2.12       0x1         0x0         00:00:00:00:00:00     *        eth0
192.0.2.13       0x1         0x6         52:54:00:00:00:03     *        eth0
192.0.2.13       0x1         0x2         52:54:00:00:00:04     *        eth1
192.0.2.14       0x20        0x2         52:54:00:00:00:05     *        ib0
nonsense
";
        let cases = [
            ("192.0.2.11", vec!["52:54:00:00:00:01"]),
            ("192.0.2.12", vec![]),
            ("192.0.2.13", vec!["52:54:00:00:00:03", "52:54:00:00:00:04"]),
            ("192.0.2.14", vec![]),
            ("192.0.2.1", vec![]),
            ("2001:db8::1", vec![]),
        ];
        for (ip, expected) in cases {
            let found = read(table, ip.parse().unwrap());
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{ip}");
        }
    }
}
