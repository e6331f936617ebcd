//! The installer's own network on the kernel command line, as dracut reads it (dracut.cmdline(7)).

use std::net::IpAddr;

use crate::model::Hostname;

use super::view::{LinkView, families, gateway, mac};

/// The name that the installer's card has while a tagged or static address stands on it.
const CARD: &str = "boot0";

/// The words that connect the installer.
pub(super) fn words(view: &LinkView<'_>, hostname: &Hostname) -> Vec<String> {
    let address = (!view.elsewhere)
        .then(|| static_words(view, hostname))
        .flatten();
    let mut words = address.unwrap_or_else(|| vec!["ip=dhcp".into()]);
    words.extend(
        view.installer_mac()
            .map(|mac| format!("BOOTIF=01-{}", mac.hyphens())),
    );
    words
}

fn static_words(view: &LinkView<'_>, hostname: &Hostname) -> Option<Vec<String>> {
    let primary = view.plan.primary()?;
    let base = view.base(primary);
    let card = mac(base.cards.first()?).or(view.installer_mac())?;
    let (v4, v6) = families(primary);
    let (client, length, via) = match (v4.first(), v6.first()) {
        (Some(net), _) => (
            net.addr().to_string(),
            net.netmask().to_string(),
            gateway(primary, true),
        ),
        (None, Some(net)) => (
            format!("[{}]", net.addr()),
            net.prefix_len().to_string(),
            gateway(primary, false),
        ),
        (None, None) => return None,
    };
    let via = via.map(|via| bracketed(&via)).unwrap_or_default();
    let card = view.installer_mac().unwrap_or(card);
    let mut words = vec![format!("ifname={CARD}:{card}")];
    let device = match base.vlan {
        Some(id) => {
            words.push(format!("vlan={CARD}.{id}:{CARD}"));
            format!("{CARD}.{id}")
        }
        None => CARD.into(),
    };
    let mtu = primary.mtu.map(|mtu| format!(":{mtu}")).unwrap_or_default();
    words.push(format!(
        "ip={client}::{via}:{length}:{hostname}:{device}:none{mtu}"
    ));
    words.extend(
        view.plan
            .dns
            .iter()
            .take(3)
            .map(|dns| format!("nameserver={}", bracketed(dns))),
    );
    Some(words)
}

/// IPv6 addresses stand in brackets, since colons part the fields.
fn bracketed(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
