//! The header `Host` of a machine's request: a page in a web browser can only address this server by a name.

use std::net::IpAddr;

use super::Advertise;

/// The answer to a request for another server.
pub(super) const OTHER: &str = "this server has another address: use it, or add the name to `names` in `[http]` of \
     bootwright.toml\n";

/// The answer to a request from a network that is not served.
pub(super) const NOT_SERVED: &str = "this network is not served: declare it as a network, or add it to `allow-from` in `[http]` of \
     bootwright.toml\n";

/// Whether a `Host` is one of this server: the address that the request reached, an advertised address, or one of `names`. A request
/// without the header is from a simple client (HTTP/1.0). One that was forwarded to loopback may have any address.
pub(super) fn is_own(
    host: Option<&str>,
    local: IpAddr,
    advertise: &Advertise,
    names: &[String],
) -> bool {
    let Some(host) = host else {
        return true;
    };
    let local = local.to_canonical();
    let name = without_port(host);
    match name.parse::<IpAddr>() {
        Ok(ip) => local.is_loopback() || ip.to_canonical() == local || advertise.has(ip),
        Err(_) => {
            let is_name = names.iter().any(|own| own.eq_ignore_ascii_case(name));
            is_name || (local.is_loopback() && name.eq_ignore_ascii_case("localhost"))
        }
    }
}

fn without_port(host: &str) -> &str {
    if let Some((ip, _)) = host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return ip;
    }
    match host.split_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_addresses_and_names_are_answered() {
        let advertise = Advertise::parse(["203.0.113.5:8080"]).unwrap();
        let names = ["boot.lab.example".to_owned()];
        let cases = [
            (None, "192.0.2.1", true),
            (Some("192.0.2.1"), "192.0.2.1", true),
            (Some("192.0.2.1:8080"), "192.0.2.1", true),
            (Some("192.0.2.1"), "::ffff:192.0.2.1", true),
            (Some("[2001:db8::1]:80"), "2001:db8::1", true),
            (Some("[2001:db8::1]"), "2001:db8::1", true),
            (Some("2001:db8::1"), "2001:db8::1", true),
            (Some("203.0.113.5:8080"), "192.0.2.1", true),
            (Some("BOOT.lab.example:80"), "192.0.2.1", true),
            (Some("10.0.2.2:8080"), "127.0.0.1", true),
            (Some("localhost:8080"), "127.0.0.1", true),
            (Some("192.0.2.2"), "192.0.2.1", false),
            (Some("localhost"), "192.0.2.1", false),
            (Some("evil.example"), "127.0.0.1", false),
            (Some("boot.lab.example.evil.example"), "192.0.2.1", false),
            (Some("boot.lab.example:x"), "192.0.2.1", false),
            (Some(""), "192.0.2.1", false),
        ];
        for (host, local, expected) in cases {
            let own = is_own(host, local.parse().unwrap(), &advertise, &names);
            assert_eq!(own, expected, "{host:?} at {local}");
        }
    }
}
