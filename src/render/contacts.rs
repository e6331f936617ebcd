//! The addresses that a machine can contact: those of the address families that it has at that moment.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr},
};

use crate::site::{Diagnostic, NetPlan, PlannedLink, Resolved};

use super::{
    located_files, net::is_configured, request::RenderRequest, task::Dialect, urls::Urls, vars,
};

/// Whether a machine has IPv4 and IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AddressFamilies {
    v4: bool,
    v6: bool,
}

/// Which families a machine has while it installs, and afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MachineFamilies {
    pub(super) installer: AddressFamilies,
    pub(super) system: AddressFamilies,
}

/// This server's URLs in the files of an attempt.
#[derive(Debug, Clone)]
pub(super) struct PhaseUrls {
    pub(super) installer: Urls,
    pub(super) system: Urls,
}

impl AddressFamilies {
    const BOTH: AddressFamilies = AddressFamilies { v4: true, v6: true };

    /// Whether an address of this family can be contacted.
    pub(super) fn has(self, address: IpAddr) -> bool {
        if address.is_ipv4() { self.v4 } else { self.v6 }
    }
}

impl MachineFamilies {
    /// The families of a machine with these settings. A subnet of IPv6 counts, since its routers may announce it.
    pub(super) fn of(resolved: &Resolved, plan: &NetPlan, dialect: Dialect) -> Self {
        let network = resolved.network.as_ref();
        let subnets = network.into_iter().flat_map(|network| &network.body.subnet);
        let announced = subnets
            .flat_map(|list| list.values())
            .any(|subnet| subnet.0.addr().is_ipv6());
        let configured: Vec<&PlannedLink> = plan
            .links
            .iter()
            .filter(|link| is_configured(link))
            .collect();
        let of = |links: &[&PlannedLink]| match links {
            [] => AddressFamilies::BOTH,
            links => AddressFamilies {
                v4: links.iter().any(|link| has_family(link, IpAddr::is_ipv4)),
                v6: announced || links.iter().any(|link| has_family(link, IpAddr::is_ipv6)),
            },
        };
        let by_static_address = matches!(dialect, Dialect::Kickstart | Dialect::Netcfg);
        let primary = plan.primary().filter(|link| is_configured(link));
        MachineFamilies {
            installer: match primary {
                Some(link) if by_static_address && resolved.boot_network.is_none() => of(&[link]),
                _ => AddressFamilies::BOTH,
            },
            system: of(&configured),
        }
    }
}

fn has_family(link: &PlannedLink, is_family: fn(&IpAddr) -> bool) -> bool {
    link.dhcp || link.addresses.iter().any(|net| is_family(&net.addr()))
}

impl PhaseUrls {
    /// Chooses this server's address for each phase: the one that the machine reached when it booted, or else that of the other
    /// family.
    pub(super) fn of(
        request: &RenderRequest<'_>,
        families: MachineFamilies,
    ) -> Result<PhaseUrls, Diagnostic> {
        let choose = |families: AddressFamilies| {
            let reached = host(&request.urls.base).is_none_or(|address| families.has(address));
            let network = request.resolved.network.as_ref();
            let other = || request.external.v6_urls.get(&network?.name.value);
            match (reached, other()) {
                (true, _) => Some(request.urls.clone()),
                (false, Some(base)) => Some(Urls {
                    base: base.clone(),
                    ..request.urls.clone()
                }),
                (false, None) => None,
            }
        };
        choose(families.installer)
            .zip(choose(families.system))
            .map(|(installer, system)| PhaseUrls { installer, system })
            .ok_or_else(|| unreachable_server(request))
    }
}

fn unreachable_server(request: &RenderRequest<'_>) -> Diagnostic {
    let resolved = request.resolved;
    let message = format!(
        "node `{}` has only IPv6 addresses, and cannot report to this server at `{}`",
        resolved.node, request.urls.base
    );
    let span = resolved.declared.as_ref().map(|node| node.span());
    Diagnostic::error(message, span).help(
        "give this server an address in the IPv6 subnet, or set `advertise` in [http] to an address of each family; or give the \
         node an IPv4 address too",
    )
}

/// Reports sources of packages with an address that the installer cannot contact.
pub(super) fn unreachable_sources(
    resolved: &Resolved,
    families: AddressFamilies,
    packages: &str,
) -> Vec<Diagnostic> {
    let mirror = vars::find(resolved, "mirror").map(|at| at.span);
    let repo = || resolved.repo.as_deref().map(located_files::span);
    let packages = (packages, mirror.or_else(repo));
    let own = ["proxy", "security"].into_iter().filter_map(|name| {
        let at = vars::find(resolved, name)?;
        Some((at.value.as_str()?, Some(at.span)))
    });
    let unreachable = own.chain([packages]).filter_map(|(url, span)| {
        let address = host(url).filter(|address| !families.has(*address))?;
        let (wanted, has) = match address {
            IpAddr::V4(_) => ("an IPv4", "IPv6"),
            IpAddr::V6(_) => ("an IPv6", "IPv4"),
        };
        let message = format!(
            "node `{}` cannot contact `{url}`: it has {wanted} address, and the node only {has}",
            resolved.node
        );
        Some(Diagnostic::error(message, span))
    });
    unreachable.collect()
}

/// The address in a URL; none if it has a name.
fn host(url: &str) -> Option<IpAddr> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    match host.strip_prefix('[') {
        Some(v6) => v6
            .split(']')
            .next()?
            .parse::<Ipv6Addr>()
            .ok()
            .map(IpAddr::V6),
        None => host.split(':').next()?.parse().ok(),
    }
}

/// Returns the plan without the servers that the installed system cannot contact. Warns if that leaves no DNS server.
pub(super) fn reachable_plan<'a>(
    mut plan: Cow<'a, NetPlan>,
    resolved: &Resolved,
    families: AddressFamilies,
    diagnostics: &mut Vec<Diagnostic>,
) -> Cow<'a, NetPlan> {
    let reaches = |name: &String| name.parse().map_or(true, |address| families.has(address));
    if plan.dns.iter().all(|dns| families.has(*dns)) && plan.ntp.iter().all(reaches) {
        return plan;
    }
    let had_dns = !plan.dns.is_empty();
    let reachable = plan.to_mut();
    reachable.dns.retain(|dns| families.has(*dns));
    reachable.ntp.retain(reaches);
    if had_dns && reachable.dns.is_empty() {
        let has = if families.v4 { "IPv4" } else { "IPv6" };
        let message = format!(
            "node `{}` can contact none of its DNS servers: it has only {has} addresses",
            resolved.node
        );
        let span = resolved.declared.as_ref().map(|node| node.span());
        diagnostics
            .push(Diagnostic::warning(message, span).help("set `dns` to a server of that family"));
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_url_is_found() {
        for (url, expected) in [
            ("http://192.0.2.1", Some("192.0.2.1")),
            ("http://192.0.2.1:8080/debian", Some("192.0.2.1")),
            ("https://user:word@192.0.2.1/x", Some("192.0.2.1")),
            ("http://[2001:db8::1]", Some("2001:db8::1")),
            ("http://[2001:db8::1]:8080/x?y", Some("2001:db8::1")),
            ("http://mirror.example/192.0.2.1", None),
            ("http://192.0.2.1.example/", None),
            ("nonsense", None),
            ("http://[2001:db8::1", Some("2001:db8::1")),
        ] {
            assert_eq!(
                host(url),
                expected.map(|text| text.parse().unwrap()),
                "{url}"
            );
        }
    }
}
