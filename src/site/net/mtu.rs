//! Packets fit: a link's parents carry what the link sends.

use crate::model::Spanned;

use super::{LayoutBuilder, LinkDraft};
use crate::site::Diagnostic;

/// The packet sizes we take: what every IPv4 host accepts (RFC 791 §3.2) to what cards and switches carry.
pub(in crate::site) const MTU: std::ops::RangeInclusive<u32> = 576..=9216;

/// What a link carries when nobody says.
const USUAL: u32 = 1500;

/// Returns the mistake when a packet size is out of bounds.
pub(in crate::site) fn check_mtu(mtu: &Spanned<u32>) -> Option<Diagnostic> {
    let message = format!("MTU {mtu} is out of bounds: expected 576 to 9216");
    (!MTU.contains(&mtu.value)).then(|| Diagnostic::error(message, mtu.span))
}

impl<'a> LayoutBuilder<'a, '_> {
    /// Gives every link its packet size: its own, else its network's. A parent that sets none is raised to
    /// what stands on it.
    pub(super) fn fit_packets(&mut self, links: &mut [LinkDraft<'a>]) {
        for link in links.iter_mut() {
            if let Some(own) = link.own.mtu {
                let mistake = check_mtu(own).map(|mistake| mistake.label(self.name));
                self.found.extend(mistake);
            }
            link.mtu = link.own.mtu.or_else(|| of_network(link)).cloned();
        }
        // Children come after their parents, so from the last to the first every parent hears of all.
        for at in (0..links.len()).rev() {
            let Some(mtu) = links[at].mtu.clone() else {
                continue;
            };
            for parent in links[at].parents().to_vec() {
                self.fit_parent(links, at, parent, &mtu);
            }
        }
    }

    fn fit_parent(
        &mut self,
        links: &mut [LinkDraft<'a>],
        at: usize,
        parent: usize,
        mtu: &Spanned<u32>,
    ) {
        match links[parent].own.mtu {
            Some(own) if own.value < mtu.value => {
                let message = format!(
                    "`{}` sends packets of {mtu} bytes over `{}`, which carries {own}",
                    links[at].title(),
                    links[parent].title()
                );
                // The network's packet size is no mistake: what the node says beside it is.
                let (span, other) = match links[at].own.mtu {
                    Some(_) => (mtu.span, (own.span, "the smaller one")),
                    None => (own.span, (mtu.span, "the network's")),
                };
                let mistake = Diagnostic::error(message, span).label(self.name);
                self.report(mistake.other(other.0, other.1));
            }
            Some(_) => {}
            None => {
                let carried = links[parent].mtu.as_ref().map_or(USUAL, |at| at.value);
                if mtu.value > carried {
                    links[parent].mtu = Some(mtu.clone());
                }
            }
        }
    }
}

fn of_network<'a>(link: &LinkDraft<'a>) -> Option<&'a Spanned<u32>> {
    let is_used = link.dhcp || !link.addresses.is_empty();
    link.network
        .filter(|_| is_used)
        .and_then(|network| network.body.mtu.as_ref())
}
