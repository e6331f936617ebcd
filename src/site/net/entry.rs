//! One link of the long form as it was written.

use crate::model::{
    Bond, Bridge, LinkName, LinkSettings, List, Mac, NodeBody, SourceSpan, Spanned, Vlan,
};

use super::Draft;
use crate::site::LinkKind;

/// The mode of a bond that names none: the one that works on every switch.
const MODE: &str = "active-backup";

/// A link as declared, and what it stands on.
pub(super) struct Entry<'a> {
    pub(super) name: Option<&'a LinkName>,
    pub(super) form: Form<'a>,
    pub(super) own: LinkSettings<'a>,
    pub(super) span: SourceSpan,
    /// The entries it stands on, each with the place of the reference.
    pub(super) parents: Vec<(usize, SourceSpan)>,
}

/// The four kinds of links, with what only one of them says.
#[derive(Clone, Copy)]
pub(super) enum Form<'a> {
    Card(Option<Mac>),
    Bond(&'a Bond),
    Vlan(&'a Vlan),
    Bridge(&'a Bridge),
}

impl<'a> Form<'a> {
    /// The word that declares it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Form::Card(_) => "interface",
            Form::Bond(_) => "bond",
            Form::Vlan(_) => "vlan",
            Form::Bridge(_) => "bridge",
        }
    }

    /// Tells whether a link of this form can stand on one of the other form.
    pub(super) fn can_stand_on(self, parent: Form<'_>) -> bool {
        match (self, parent) {
            (Form::Card(_), _) => false,
            (Form::Bond(_), parent) => matches!(parent, Form::Card(_)),
            (Form::Vlan(_), parent) => !matches!(parent, Form::Vlan(_)),
            (Form::Bridge(_), parent) => !matches!(parent, Form::Bridge(_)),
        }
    }

    /// What it says it stands on.
    pub(super) fn references(self) -> Vec<&'a Spanned<String>> {
        let of_list = |list: &'a Option<List<String>>| {
            let values = list.iter().flat_map(|list| &list.value);
            values.collect()
        };
        match self {
            Form::Card(_) => Vec::new(),
            Form::Bond(bond) => of_list(&bond.ports),
            Form::Bridge(bridge) => of_list(&bridge.ports),
            Form::Vlan(vlan) => vlan.on.iter().collect(),
        }
    }
}

impl<'a> Entry<'a> {
    /// How messages call it.
    pub(super) fn title(&self) -> String {
        match (self.name, self.form) {
            (Some(name), _) => name.as_str().into(),
            (None, Form::Card(Some(mac))) => mac.to_string(),
            (None, _) => self.form.word().into(),
        }
    }

    /// The link as a draft; `new_index` says where each entry went.
    pub(super) fn draft(&self, new_index: &[usize]) -> Draft<'a> {
        let parents: Vec<usize> = self.parents.iter().map(|(at, _)| new_index[*at]).collect();
        let kind = match self.form {
            Form::Card(mac) => LinkKind::Card { mac },
            Form::Bond(bond) => LinkKind::Bond {
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
            Form::Bridge(bridge) => LinkKind::Bridge {
                ports: parents,
                stp: bridge.stp.as_ref().is_some_and(|stp| stp.value),
            },
            // A VLAN that lies on nothing has been reported; its addresses are still worth checking.
            Form::Vlan(_) => match parents.first() {
                Some(&on) => LinkKind::Vlan { id: 0, on },
                None => LinkKind::Card { mac: None },
            },
        };
        let mut draft = Draft::new(self.name.cloned(), kind, self.own, Some(self.span));
        draft.parent_spans = self.parents.iter().map(|(_, span)| *span).collect();
        if let Form::Vlan(vlan) = self.form {
            draft.tag = vlan.id.as_ref();
        }
        draft
    }
}

/// Lists the links of a node as they were written, by kind.
pub(super) fn entries(body: &NodeBody) -> Vec<Entry<'_>> {
    let entry = |name, form, own, span| Entry {
        name,
        form,
        own,
        span,
        parents: Vec::new(),
    };
    let cards = body.interface.iter().map(|at| {
        let card = &at.value;
        let form = Form::Card(card.mac.as_ref().map(|mac| mac.value));
        let name = card.name.as_ref().map(|name| &name.value);
        entry(name, form, card.settings(), at.span)
    });
    let bonds = body.bond.iter().map(|(name, at)| {
        let form = Form::Bond(&at.value);
        entry(Some(name), form, at.value.settings(), at.span)
    });
    let vlans = body.vlan.iter().map(|(name, at)| {
        let form = Form::Vlan(&at.value);
        entry(Some(name), form, at.value.settings(), at.span)
    });
    let bridges = body.bridge.iter().map(|(name, at)| {
        let form = Form::Bridge(&at.value);
        entry(Some(name), form, at.value.settings(), at.span)
    });
    cards.chain(bonds).chain(vlans).chain(bridges).collect()
}

/// Finds the link that a reference names. A card that the node declares by address alone becomes an entry.
pub(super) fn find<'a>(
    entries: &mut Vec<Entry<'a>>,
    reference: &Spanned<String>,
    macs: &[Mac],
) -> Option<usize> {
    let named = |entry: &Entry<'_>| {
        entry
            .name
            .is_some_and(|name| name.as_str() == reference.as_str())
    };
    if let Some(at) = entries.iter().position(named) {
        return Some(at);
    }
    let mac: Mac = reference.parse().ok().filter(|mac| macs.contains(mac))?;
    let of_mac = |entry: &Entry<'_>| matches!(entry.form, Form::Card(Some(own)) if own == mac);
    entries.iter().position(of_mac).or_else(|| {
        let bare = Draft::bare(Some(mac));
        entries.push(Entry {
            name: None,
            form: Form::Card(Some(mac)),
            own: bare.own,
            span: reference.span,
            parents: Vec::new(),
        });
        Some(entries.len() - 1)
    })
}
