//! Where a machine reaches us: the beginning of every URL that it is given.

use std::net::{IpAddr, SocketAddr};

/// The addresses that machines are told in place of the one they reached, at most one for each family.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advertise {
    v4: Option<Place>,
    v6: Option<Place>,
}

/// An address with its port or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    ip: IpAddr,
    port: Option<u16>,
}

/// Why a list of addresses cannot be advertised.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdvertiseError {
    /// Not an address.
    #[error(
        "`{0}` cannot be advertised: expected an address such as `192.0.2.1` or `192.0.2.1:8080`"
    )]
    NoAddress(String),
    /// Two of one family.
    #[error("`{0}` cannot be advertised too: there is one address for each family")]
    Second(String),
}

impl Advertise {
    /// Reads the addresses as an operator writes them: `192.0.2.1`, `192.0.2.1:8080`, `2001:db8::1`,
    /// `[2001:db8::1]:8080`.
    pub fn read<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Advertise, AdvertiseError> {
        let mut advertise = Advertise::default();
        for text in texts {
            let place = place(text).ok_or_else(|| AdvertiseError::NoAddress(text.into()))?;
            let slot = match place.ip {
                IpAddr::V4(_) => &mut advertise.v4,
                IpAddr::V6(_) => &mut advertise.v6,
            };
            if slot.replace(place).is_some() {
                return Err(AdvertiseError::Second(text.into()));
            }
        }
        Ok(advertise)
    }

    /// Returns the beginning of the URLs for a machine that reached `local`: what is advertised in that
    /// family, else `local` itself. Port 80 is left out, as everywhere in URLs.
    pub fn base(&self, local: SocketAddr) -> String {
        let ip = local.ip().to_canonical();
        let told = if ip.is_ipv4() { self.v4 } else { self.v6 };
        let ip = told.map_or(ip, |place| place.ip);
        let port = told.and_then(|place| place.port).unwrap_or(local.port());
        written(SocketAddr::new(ip, port))
    }

    /// The same for a request whose `Host` is `host`. What came to loopback was forwarded by a program of this
    /// host (the user networking of a virtual machine, a tunnel), and loopback is no address that its sender could
    /// use: then it is the address that the sender wrote, where it wrote one.
    pub fn base_for(&self, local: SocketAddr, host: Option<&str>) -> String {
        let ip = local.ip().to_canonical();
        let told = if ip.is_ipv4() { self.v4 } else { self.v6 };
        let asked = host
            .filter(|_| ip.is_loopback() && told.is_none())
            .and_then(place);
        match asked {
            // A `Host` without a port means 80 (RFC 9110 section 7.2).
            Some(place) => written(SocketAddr::new(place.ip, place.port.unwrap_or(80))),
            None => self.base(local),
        }
    }
}

fn written(address: SocketAddr) -> String {
    let host = match address.ip() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    match address.port() {
        80 => format!("http://{host}"),
        port => format!("http://{host}:{port}"),
    }
}

fn place(text: &str) -> Option<Place> {
    let unbracketed = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    // Each spelling in turn: what is not one may be the next.
    if let Ok(ip) = unbracketed.unwrap_or(text).parse() {
        return Some(Place { ip, port: None });
    }
    let address: SocketAddr = text.parse().ok()?;
    Some(Place {
        ip: address.ip(),
        port: Some(address.port()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_the_address_it_reached_or_what_is_advertised_in_its_family() {
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
            let advertise = Advertise::read(texts.iter().copied()).unwrap();
            assert_eq!(
                advertise.base(local.parse().unwrap()),
                *base,
                "{texts:?} {local}"
            );
        }
    }

    #[test]
    fn what_was_forwarded_to_loopback_is_told_the_address_that_it_asked() {
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
            // A name is for people: whether firmware can resolve it is not known here.
            (
                &[],
                "127.0.0.1:8080",
                Some("localhost:8080"),
                "http://127.0.0.1:8080",
            ),
            (&[], "127.0.0.1:8080", None, "http://127.0.0.1:8080"),
            // Who reached an address of ours can reach it again, whatever it writes.
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
            let advertise = Advertise::read(texts.iter().copied()).unwrap();
            let local = local.parse().unwrap();
            assert_eq!(
                advertise.base_for(local, *host),
                *base,
                "{texts:?} {local} {host:?}"
            );
        }
    }

    #[test]
    fn what_is_no_address_or_one_too_many_is_refused() {
        let no_address = Advertise::read(["boot.example"]);
        assert_eq!(
            no_address,
            Err(AdvertiseError::NoAddress("boot.example".into()))
        );
        let second = Advertise::read(["192.0.2.1", "192.0.2.2:80"]);
        assert_eq!(second, Err(AdvertiseError::Second("192.0.2.2:80".into())));
    }
}
