//! What may stand on what: ports have one owner and no address; tags are numbers of a VLAN.

use crate::model::{SourceSpan, Spanned};

use super::{LayoutBuilder, LinkDraft};
use crate::site::{Diagnostic, LinkKind};

/// The tags that IEEE 802.1Q leaves to its users.
const TAGS: std::ops::RangeInclusive<u16> = 1..=4094;

/// Returns the mistake when a tag is out of bounds.
pub(in crate::site) fn check_tag(tag: &Spanned<u16>) -> Option<Diagnostic> {
    let message = format!("VLAN {tag} does not exist: expected 1 to 4094");
    (!TAGS.contains(&tag.value)).then(|| Diagnostic::error(message, tag.span))
}

impl<'a> LayoutBuilder<'a, '_> {
    /// Gives VLAN links their tags. Where a card or bond lies in a network whose packets carry a tag, a VLAN
    /// link takes over its addresses.
    pub(super) fn tag(&mut self, links: &mut Vec<LinkDraft<'a>>) {
        for at in 0..links.len() {
            let link = &mut links[at];
            let of_network = link.network.and_then(|network| network.body.vlan.as_ref());
            match &link.kind {
                LinkKind::Vlan { on, .. } => {
                    let (on, id) = (*on, self.tag_of(link, of_network));
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

    fn tag_of(&mut self, link: &LinkDraft<'a>, of_network: Option<&Spanned<u16>>) -> u16 {
        let title = link.title();
        match (link.tag, of_network) {
            (Some(own), None) => {
                let mistake = check_tag(own).map(|mistake| mistake.label(self.name));
                self.found.extend(mistake);
                own.value
            }
            (Some(own), Some(network)) => {
                if own != network {
                    let message = format!("vlan `{title}` has id {own}, its network {network}");
                    self.report(
                        Diagnostic::error(message, own.span)
                            .label(self.name)
                            .other(network.span, "the network's"),
                    );
                }
                own.value
            }
            (None, Some(network)) => network.value,
            (None, None) if self.is_flawed || link.is_unsettled => 0,
            (None, None) => {
                let message = format!("vlan `{title}` has no `id`, and neither has its network");
                self.report(Diagnostic::error(message, link.span).label(self.name));
                0
            }
        }
    }

    /// Checks that every port has one owner and nothing of its own, and that no tag lies on a link twice.
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
        self.check_tags(links);
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
            let help = format!("`{owner}` carries what belongs to its ports");
            self.report(mistake.other(span, "the port").help(help));
        }
        // What lies on the port of a bridge still gets its tagged packets; that of a bond gets none.
        let is_of_bond = matches!(owner.kind, LinkKind::Bond { .. });
        let owner = owner.title();
        for (above, at) in on_top(links, port).filter(|_| is_of_bond) {
            let message = format!(
                "vlan `{}` is on `{title}`, which is a port of `{owner}`",
                above.title()
            );
            let mistake = Diagnostic::error(message, at).label(self.name);
            let help = format!("put it on `{owner}`");
            self.report(mistake.other(span, "the port").help(help));
        }
    }

    fn check_tags(&mut self, links: &[LinkDraft<'a>]) {
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

/// The VLAN links that lie on a link, each with the place where it says so.
fn on_top<'l, 'a>(
    links: &'l [LinkDraft<'a>],
    below: usize,
) -> impl Iterator<Item = (&'l LinkDraft<'a>, SourceSpan)> {
    links.iter().filter_map(move |link| match link.kind {
        LinkKind::Vlan { on, .. } if on == below => Some((link, *link.parent_spans.first()?)),
        _ => None,
    })
}
