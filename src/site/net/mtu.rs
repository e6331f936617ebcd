//! MTUs: the MTU of a link is not larger than that of its parents.

use crate::model::Spanned;

use super::{LayoutBuilder, LinkDraft};
use crate::site::Diagnostic;

/// The allowed MTUs in bytes: from the size that every IPv4 host accepts (RFC 791 §3.2) to the usual maximum of NICs and
/// switches.
const MTU_RANGE: std::ops::RangeInclusive<u32> = 576..=9216;

/// The MTU of Ethernet, in bytes.
const DEFAULT_MTU: u32 = 1500;

/// Returns the diagnostic if an MTU is out of range.
pub(in crate::site) fn check_mtu(mtu: &Spanned<u32>) -> Option<Diagnostic> {
    let message = format!("MTU {mtu} is out of range: expected 576 to 9216");
    (!MTU_RANGE.contains(&mtu.value)).then(|| Diagnostic::error(message, mtu.span))
}

impl<'a> LayoutBuilder<'a, '_> {
    /// Sets the MTU of every link: its own, else its network's. A parent without its own MTU gets the largest MTU of the links
    /// that use it.
    pub(super) fn set_mtus(&mut self, links: &mut [LinkDraft<'a>]) {
        for link in links.iter_mut() {
            if let Some(own) = link.own.mtu {
                let mistake = check_mtu(own).map(|mistake| mistake.label(self.name));
                self.found.extend(mistake);
            }
            link.mtu = link.own.mtu.or_else(|| of_network(link)).cloned();
        }
        // A link comes after its parents, so in reverse order every link is final before its parents are raised.
        for at in (0..links.len()).rev() {
            let Some(mtu) = links[at].mtu.clone() else {
                continue;
            };
            for parent in links[at].parents().to_vec() {
                self.raise_parent_mtu(links, at, parent, &mtu);
            }
        }
    }

    fn raise_parent_mtu(
        &mut self,
        links: &mut [LinkDraft<'a>],
        at: usize,
        parent: usize,
        mtu: &Spanned<u32>,
    ) {
        match links[parent].own.mtu {
            Some(own) if own.value < mtu.value => {
                let message = format!(
                    "`{}` has MTU {mtu}, but `{}` below it has MTU {own}",
                    links[at].title(),
                    links[parent].title()
                );
                // The network's MTU is correct, so the mistake is in the node's own MTU.
                let (span, other) = match links[at].own.mtu {
                    Some(_) => (mtu.span, (own.span, "the smaller one")),
                    None => (own.span, (mtu.span, "the network's")),
                };
                let mistake = Diagnostic::error(message, span).label(self.name);
                self.report(mistake.other(other.0, other.1));
            }
            Some(_) => {}
            None => {
                let parent_mtu = links[parent]
                    .mtu
                    .as_ref()
                    .map_or(DEFAULT_MTU, |at| at.value);
                if mtu.value > parent_mtu {
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
