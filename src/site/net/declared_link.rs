//! One link of the long form as it was written.

use crate::model::{
    Bond, Bridge, LinkName, LinkSettings, List, Mac, NodeBody, SourceSpan, Spanned, Vlan,
};

use super::LinkDraft;
use crate::site::LinkKind;

/// The mode of a bond that names none: the one that works on every switch.
const MODE: &str = "active-backup";

/// A link as declared, and what it stands on.
pub(super) struct DeclaredLink<'a> {
    pub(super) name: Option<&'a LinkName>,
    pub(super) form: LinkForm<'a>,
    pub(super) own: LinkSettings<'a>,
    pub(super) span: SourceSpan,
    /// The entries it stands on, each with the place of the reference.
    pub(super) parents: Vec<(usize, SourceSpan)>,
}

/// The four kinds of links, with what only one of them says.
#[derive(Clone, Copy)]
pub(super) enum LinkForm<'a> {
    Card(Option<Mac>),
    Bond(&'a Bond),
    Vlan(&'a Vlan),
    Bridge(&'a Bridge),
}

impl<'a> LinkForm<'a> {
    /// The word that declares it.
    pub(super) fn word(self) -> &'static str {
        match self {
            LinkForm::Card(_) => "interface",
            LinkForm::Bond(_) => "bond",
            LinkForm::Vlan(_) => "vlan",
            LinkForm::Bridge(_) => "bridge",
        }
    }

    /// Tells whether a link of this form can stand on one of the other form.
    pub(super) fn can_stand_on(self, parent: LinkForm<'_>) -> bool {
        match (self, parent) {
            (LinkForm::Card(_), _) => false,
            (LinkForm::Bond(_), parent) => matches!(parent, LinkForm::Card(_)),
            (LinkForm::Vlan(_), parent) => !matches!(parent, LinkForm::Vlan(_)),
            (LinkForm::Bridge(_), parent) => !matches!(parent, LinkForm::Bridge(_)),
        }
    }

    /// What it says it stands on.
    pub(super) fn references(self) -> Vec<&'a Spanned<String>> {
        let of_list = |list: &'a Option<List<String>>| {
            let values = list.iter().flat_map(|list| &list.value);
            values.collect()
        };
        match self {
            LinkForm::Card(_) => Vec::new(),
            LinkForm::Bond(bond) => of_list(&bond.ports),
            LinkForm::Bridge(bridge) => of_list(&bridge.ports),
            LinkForm::Vlan(vlan) => vlan.on.iter().collect(),
        }
    }
}

impl<'a> DeclaredLink<'a> {
    /// How messages call it.
    pub(super) fn title(&self) -> String {
        match (self.name, self.form) {
            (Some(name), _) => name.as_str().into(),
            (None, LinkForm::Card(Some(mac))) => mac.to_string(),
            (None, _) => self.form.word().into(),
        }
    }

    /// The link as a draft; `new_index` says where each entry went.
    pub(super) fn draft(&self, new_index: &[usize]) -> LinkDraft<'a> {
        let parents: Vec<usize> = self.parents.iter().map(|(at, _)| new_index[*at]).collect();
        let kind = match self.form {
            LinkForm::Card(mac) => LinkKind::Nic { mac },
            LinkForm::Bond(bond) => LinkKind::Bond {
                mode: bond
                    .mode
                    .as_ref()
                    .map_or(MODE.into(), |mode| mode.value.clone()),
                ports: parents,
                options: bond
                    .options
                    .iter()
                    .map(|(key, value)| (key.clone(), value.value.clone()))
                    .collect(),
            },
            LinkForm::Bridge(bridge) => LinkKind::Bridge {
                ports: parents,
                stp: bridge.effective().stp,
            },
            // A VLAN that lies on nothing has been reported; its addresses are still worth checking.
            LinkForm::Vlan(_) => match parents.first() {
                Some(&on) => LinkKind::Vlan { id: 0, on },
                None => LinkKind::Nic { mac: None },
            },
        };
        let mut draft = LinkDraft::new(self.name.cloned(), kind, self.own, Some(self.span));
        draft.parent_spans = self.parents.iter().map(|(_, span)| *span).collect();
        if let LinkForm::Vlan(vlan) = self.form {
            draft.tag = vlan.id.as_ref();
        }
        draft
    }
}

/// Lists the links of a node as they were written, by kind.
pub(super) fn entries(body: &NodeBody) -> Vec<DeclaredLink<'_>> {
    let entry = |name, form, own, span| DeclaredLink {
        name,
        form,
        own,
        span,
        parents: Vec::new(),
    };
    let cards = body.interface.iter().map(|at| {
        let card = &at.value;
        let form = LinkForm::Card(card.mac.as_ref().map(|mac| mac.value));
        let name = card.name.as_ref().map(|name| &name.value);
        entry(name, form, card.settings(), at.span)
    });
    let bonds = body.bond.iter().map(|(name, at)| {
        let form = LinkForm::Bond(&at.value);
        entry(Some(name), form, at.value.settings(), at.span)
    });
    let vlans = body.vlan.iter().map(|(name, at)| {
        let form = LinkForm::Vlan(&at.value);
        entry(Some(name), form, at.value.settings(), at.span)
    });
    let bridges = body.bridge.iter().map(|(name, at)| {
        let form = LinkForm::Bridge(&at.value);
        entry(Some(name), form, at.value.settings(), at.span)
    });
    cards.chain(bonds).chain(vlans).chain(bridges).collect()
}

/// Finds the link that a reference names. A card that the node declares by address alone becomes an entry.
pub(super) fn find<'a>(
    entries: &mut Vec<DeclaredLink<'a>>,
    reference: &Spanned<String>,
    macs: &[Mac],
) -> Option<usize> {
    let named = |entry: &DeclaredLink<'_>| {
        entry
            .name
            .is_some_and(|name| name.as_str() == reference.as_str())
    };
    if let Some(at) = entries.iter().position(named) {
        return Some(at);
    }
    let mac: Mac = reference.parse().ok().filter(|mac| macs.contains(mac))?;
    let of_mac =
        |entry: &DeclaredLink<'_>| matches!(entry.form, LinkForm::Card(Some(own)) if own == mac);
    entries.iter().position(of_mac).or_else(|| {
        let bare = LinkDraft::bare(Some(mac));
        entries.push(DeclaredLink {
            name: None,
            form: LinkForm::Card(Some(mac)),
            own: bare.own,
            span: reference.span,
            parents: Vec::new(),
        });
        Some(entries.len() - 1)
    })
}
