//! Ports and VLAN IDs: a port belongs to one link and has no address of its own, and a link carries each VLAN once.

use crate::model::{SourceSpan, Spanned};

use super::{LayoutBuilder, LinkDraft};
use crate::site::{Diagnostic, LinkKind};

/// The VLAN IDs that IEEE 802.1Q does not reserve.
const VLAN_IDS: std::ops::RangeInclusive<u16> = 1..=4094;

/// Returns the diagnostic if a VLAN ID is out of range.
pub(in crate::site) fn check_vlan_id(id: &Spanned<u16>) -> Option<Diagnostic> {
    let message = format!("VLAN {id} is out of range: expected 1 to 4094");
    (!VLAN_IDS.contains(&id.value)).then(|| Diagnostic::error(message, id.span))
}

impl<'a> LayoutBuilder<'a, '_> {
    /// Sets the IDs of VLAN links. If a NIC or bond is in a network with a VLAN, a new VLAN link on it gets its addresses.
    pub(super) fn assign_vlan_ids(&mut self, links: &mut Vec<LinkDraft<'a>>) {
        for at in 0..links.len() {
            let link = &mut links[at];
            let of_network = link.network.and_then(|network| network.body.vlan.as_ref());
            match &link.kind {
                LinkKind::Vlan { on, .. } => {
                    let (on, id) = (*on, self.vlan_id_of(link, of_network));
                    link.kind = LinkKind::Vlan { id, on };
                }
                LinkKind::Nic { .. } | LinkKind::Bond { .. } => {
                    let is_used = link.dhcp || !link.addresses.is_empty();
                    if let Some(id) = of_network.filter(|_| is_used) {
                        let kind = LinkKind::Vlan {
                            id: id.value,
                            on: at,
                        };
                        let tagged = link.split(kind);
                        links.push(tagged);
                    }
                }
                LinkKind::Bridge { .. } => {}
            }
        }
    }

    fn vlan_id_of(&mut self, link: &LinkDraft<'a>, of_network: Option<&Spanned<u16>>) -> u16 {
        let title = link.title();
        match (link.vlan_id, of_network) {
            (Some(own), None) => {
                let mistake = check_vlan_id(own).map(|mistake| mistake.label(self.name));
                self.found.extend(mistake);
                own.value
            }
            (Some(own), Some(network)) => {
                if own != network {
                    let message =
                        format!("vlan `{title}` has id {own}, but its network has VLAN {network}");
                    self.report(
                        Diagnostic::error(message, own.span)
                            .label(self.name)
                            .other(network.span, "the network's"),
                    );
                }
                own.value
            }
            (None, Some(network)) => network.value,
            (None, None) if self.is_flawed || link.is_unresolved => 0,
            (None, None) => {
                let message = format!("vlan `{title}` has no `id`, and its network has no `vlan`");
                self.report(Diagnostic::error(message, link.span).label(self.name));
                0
            }
        }
    }

    /// Checks that every port has one owner and no settings of its own, and that no link carries a VLAN twice.
    pub(super) fn check_ports(&mut self, links: &[LinkDraft<'a>]) {
        let mut owner: Vec<Option<(usize, SourceSpan)>> = vec![None; links.len()];
        for (at, link) in links.iter().enumerate() {
            for (&port, &span) in link.ports().iter().zip(&link.parent_spans) {
                match owner[port] {
                    Some((first, of_first)) => self.report(
                        Diagnostic::error(
                            format!("`{}` is a port of two links", links[port].title()),
                            span,
                        )
                        .label(format!("of `{}`", link.title()))
                        .other(of_first, format!("of `{}`", links[first].title())),
                    ),
                    None => owner[port] = Some((at, span)),
                }
            }
        }
        for (port, owner) in owner.iter().enumerate() {
            if let Some((at, span)) = *owner {
                self.check_port(links, port, &links[at], span);
            }
        }
        self.check_duplicate_vlans(links);
    }

    fn check_port(
        &mut self,
        links: &[LinkDraft<'a>],
        port: usize,
        owner: &LinkDraft<'a>,
        span: SourceSpan,
    ) {
        let link = &links[port];
        let (own, title) = (&link.own, link.title());
        let setting = [
            ("an address", own.address.map(|at| at.span)),
            ("a gateway", own.gateway.map(|at| at.span)),
            ("routes", own.routes.map(|at| at.span)),
            ("DHCP", own.dhcp.filter(|at| at.value).map(|at| at.span)),
        ];
        for (what, at) in setting {
            let Some(at) = at else { continue };
            let owner = owner.title();
            let message = format!("`{title}` is a port of `{owner}`: it cannot have {what}");
            let mistake = Diagnostic::error(message, at).label(self.name);
            let help = format!("set it on `{owner}`");
            self.report(mistake.other(span, "the port").help(help));
        }
        // A VLAN on a port of a bridge still receives its tagged packets. A VLAN on a port of a bond receives none.
        let is_of_bond = matches!(owner.kind, LinkKind::Bond { .. });
        let owner = owner.title();
        for (above, at) in vlans_on(links, port).filter(|_| is_of_bond) {
            let message = format!(
                "vlan `{}` is on `{title}`, which is a port of `{owner}`",
                above.title()
            );
            let mistake = Diagnostic::error(message, at).label(self.name);
            let help = format!("put it on `{owner}`");
            self.report(mistake.other(span, "the port").help(help));
        }
    }

    fn check_duplicate_vlans(&mut self, links: &[LinkDraft<'a>]) {
        for (at, link) in links.iter().enumerate() {
            let same = |other: &&LinkDraft<'_>| {
                matches!(link.kind, LinkKind::Vlan { id: 1.., .. }) && other.kind == link.kind
            };
            let Some(first) = links[..at].iter().find(same) else {
                continue;
            };
            let LinkKind::Vlan { id, on } = link.kind else {
                continue;
            };
            let message = format!("`{}` carries VLAN {id} twice", links[on].title());
            let mut mistake = Diagnostic::error(message, link.span).label(self.name);
            if let Some(span) = first.span {
                mistake = mistake.other(span, "the first");
            }
            self.report(mistake);
        }
    }
}

/// Iterates over the VLAN links on a link, each with the span of its `on`.
fn vlans_on<'l, 'a>(
    links: &'l [LinkDraft<'a>],
    below: usize,
) -> impl Iterator<Item = (&'l LinkDraft<'a>, SourceSpan)> {
    links.iter().filter_map(move |link| match link.kind {
        LinkKind::Vlan { on, .. } if on == below => Some((link, *link.parent_spans.first()?)),
        _ => None,
    })
}
