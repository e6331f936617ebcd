//! The base of all URLs that a machine gets: the address under which it reaches this server.

use std::net::{IpAddr, SocketAddr};

/// The addresses that machines get instead of the one they reached, at most one per address family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertise {
    v4: Option<AdvertisedAddress>,
    v6: Option<AdvertisedAddress>,
}

/// An address, with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AdvertisedAddress {
    ip: IpAddr,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvertiseError {
    #[error(
        "`{0}` cannot be advertised: expected an address such as `192.0.2.1` or `192.0.2.1:8080`"
    )]
    NoAddress(String),
    /// A second address of the same family.
    #[error("`{0}` cannot be advertised too: only one address per address family")]
    Second(String),
}

impl Advertise {
    /// Parses addresses: `192.0.2.1`, `192.0.2.1:8080`, `2001:db8::1`,
    /// `[2001:db8::1]:8080`.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Result<Advertise, AdvertiseError> {
        let mut advertise = Advertise::default();
        for text in texts {
            let address =
                parse_address(text).ok_or_else(|| AdvertiseError::NoAddress(text.into()))?;
            let slot = match address.ip {
                IpAddr::V4(_) => &mut advertise.v4,
                IpAddr::V6(_) => &mut advertise.v6,
            };
            if slot.replace(address).is_some() {
                return Err(AdvertiseError::Second(text.into()));
            }
        }
        Ok(advertise)
    }

    /// Returns the base URL for a machine that reached `local`: the advertised address of that family, otherwise
    /// `local`. Port 80 is omitted.
    pub fn base(&self, local: SocketAddr) -> String {
        let ip = local.ip().to_canonical();
        let advertised = self.of_family(ip);
        let port = advertised.and_then(|address| address.port);
        let ip = advertised.map_or(ip, |address| address.ip);
        base_url(SocketAddr::new(ip, port.unwrap_or(local.port())))
    }

    /// The same for a request with the header `Host`. A request to loopback was forwarded by a program on this host (the
    /// user networking of a virtual machine, a tunnel), and its sender cannot use a loopback address: then the address
    /// in `Host` is used, if it is one.
    pub fn base_for(&self, local: SocketAddr, host: Option<&str>) -> String {
        let ip = local.ip().to_canonical();
        let requested = host
            .filter(|_| ip.is_loopback() && self.of_family(ip).is_none())
            .and_then(parse_address);
        match requested {
            // A `Host` without a port means 80 (RFC 9110 section 7.2).
            Some(address) => base_url(SocketAddr::new(address.ip, address.port.unwrap_or(80))),
            None => self.base(local),
        }
    }

    /// Returns the advertised IPv6 address.
    pub fn v6_address(&self) -> Option<IpAddr> {
        self.v6.map(|address| address.ip)
    }

    /// Returns whether this address is advertised.
    pub(super) fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let advertised = self.of_family(ip);
        advertised.is_some_and(|address| address.ip.to_canonical() == ip)
    }

    fn of_family(&self, ip: IpAddr) -> Option<AdvertisedAddress> {
        if ip.is_ipv4() { self.v4 } else { self.v6 }
    }
}

fn base_url(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    match address.port() {
        80 => format!("http://{host}"),
        port => format!("http://{host}:{port}"),
    }
}

fn parse_address(text: &str) -> Option<AdvertisedAddress> {
    let unbracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    if let Ok(ip) = unbracketed.unwrap_or(text).parse() {
        return Some(AdvertisedAddress { ip, port: None });
    }
    let address: SocketAddr = text.parse().ok()?;
    Some(AdvertisedAddress {
        ip: address.ip(),
        port: Some(address.port()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_gets_the_address_it_reached_or_the_advertised_one_of_that_family() {
        let cases: &[(&[&str], &str, &str)] = &[
            (&[], "192.0.2.1:80", "http://192.0.2.1"),
            (&[], "[::ffff:192.0.2.1]:8080", "http://192.0.2.1:8080"),
            (&[], "[2001:db8::1]:80", "http://[2001:db8::1]"),
            (
                &["198.51.100.1"],
                "192.0.2.1:8080",
                "http://198.51.100.1:8080",
            ),
            (
                &["198.51.100.1:80"],
                "192.0.2.1:8080",
                "http://198.51.100.1",
            ),
            (
                &["198.51.100.1"],
                "[2001:db8::1]:8080",
                "http://[2001:db8::1]:8080",
            ),
            (
                &["[2001:db8::2]:81"],
                "[2001:db8::1]:80",
                "http://[2001:db8::2]:81",
            ),
            (
                &["2001:db8::2", "198.51.100.1"],
                "[2001:db8::1]:80",
                "http://[2001:db8::2]",
            ),
        ];
        for (texts, local, base) in cases {
            let advertise = Advertise::parse(texts.iter().copied()).unwrap();
            assert_eq!(
                advertise.base(local.parse().unwrap()),
                *base,
                "{texts:?} {local}"
            );
        }
    }

    #[test]
    fn a_request_forwarded_to_loopback_gets_the_address_in_its_host_header() {
        let cases: &[(&[&str], &str, Option<&str>, &str)] = &[
            (
                &[],
                "127.0.0.1:8080",
                Some("10.0.2.2:8080"),
                "http://10.0.2.2:8080",
            ),
            (
                &[],
                "[::ffff:127.0.0.1]:8080",
                Some("192.0.2.1"),
                "http://192.0.2.1",
            ),
            (
                &[],
                "[::1]:8080",
                Some("[2001:db8::1]:81"),
                "http://[2001:db8::1]:81",
            ),
            // Not a host name: firmware may be unable to resolve it.
            (
                &[],
                "127.0.0.1:8080",
                Some("localhost:8080"),
                "http://127.0.0.1:8080",
            ),
            (&[], "127.0.0.1:8080", None, "http://127.0.0.1:8080"),
            // A machine that reached an address of this host can use it, whatever its `Host` is.
            (
                &[],
                "192.0.2.1:80",
                Some("198.51.100.9"),
                "http://192.0.2.1",
            ),
            (
                &["198.51.100.1"],
                "127.0.0.1:8080",
                Some("10.0.2.2:8080"),
                "http://198.51.100.1:8080",
            ),
        ];
        for (texts, local, host, base) in cases {
            let advertise = Advertise::parse(texts.iter().copied()).unwrap();
            let local = local.parse().unwrap();
            assert_eq!(
                advertise.base_for(local, *host),
                *base,
                "{texts:?} {local} {host:?}"
            );
        }
    }

    #[test]
    fn an_invalid_or_second_address_is_rejected() {
        let no_address = Advertise::parse(["boot.example"]);
        assert_eq!(
            no_address,
            Err(AdvertiseError::NoAddress("boot.example".into()))
        );
        let second = Advertise::parse(["192.0.2.1", "192.0.2.2:80"]);
        assert_eq!(second, Err(AdvertiseError::Second("192.0.2.2:80".into())));
    }
}
