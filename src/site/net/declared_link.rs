//! A link of the long form, as declared.

use crate::model::{
    Bond, Bridge, LinkName, LinkSettings, List, Mac, NodeBody, SourceSpan, Spanned, Vlan,
};

use super::LinkDraft;
use crate::site::{BondOption, BondValue, LinkKind};

/// The default mode of a bond. It needs no configuration of the switch.
pub(super) const DEFAULT_MODE: &str = "active-backup";

/// A link as declared, and the links that it uses.
pub(super) struct DeclaredLink<'a> {
    pub(super) name: Option<&'a LinkName>,
    pub(super) form: LinkForm<'a>,
    pub(super) own: LinkSettings<'a>,
    pub(super) span: SourceSpan,
    /// The indices of the entries that it uses, each with the span of the reference.
    pub(super) parents: Vec<(usize, SourceSpan)>,
    /// The options of a bond. Ports are indices of entries.
    pub(super) options: Vec<BondOption>,
}

/// The kind of a declared link, with the settings of that kind.
#[derive(Clone, Copy)]
pub(super) enum LinkForm<'a> {
    Nic(Option<Mac>),
    Bond(&'a Bond),
    Vlan(&'a Vlan),
    Bridge(&'a Bridge),
}

impl<'a> LinkForm<'a> {
    /// Returns the keyword that declares it.
    pub(super) fn keyword(self) -> &'static str {
        match self {
            LinkForm::Nic(_) => "interface",
            LinkForm::Bond(_) => "bond",
            LinkForm::Vlan(_) => "vlan",
            LinkForm::Bridge(_) => "bridge",
        }
    }

    /// Returns whether a link of this form can use one of the form `parent`.
    pub(super) fn can_use(self, parent: LinkForm<'_>) -> bool {
        match (self, parent) {
            (LinkForm::Nic(_), _) => false,
            (LinkForm::Bond(_), parent) => matches!(parent, LinkForm::Nic(_)),
            (LinkForm::Vlan(_), parent) => !matches!(parent, LinkForm::Vlan(_)),
            (LinkForm::Bridge(_), parent) => !matches!(parent, LinkForm::Bridge(_)),
        }
    }

    /// Returns the references to the links that it uses.
    pub(super) fn references(self) -> Vec<&'a Spanned<String>> {
        let of_list = |list: &'a Option<List<String>>| {
            let values = list.iter().flat_map(|list| &list.value);
            values.collect()
        };
        match self {
            LinkForm::Nic(_) => Vec::new(),
            LinkForm::Bond(bond) => of_list(&bond.ports),
            LinkForm::Bridge(bridge) => of_list(&bridge.ports),
            LinkForm::Vlan(vlan) => vlan.on.iter().collect(),
        }
    }
}

impl<'a> DeclaredLink<'a> {
    /// Returns its name in messages.
    pub(super) fn title(&self) -> String {
        match (self.name, self.form) {
            (Some(name), _) => name.as_str().into(),
            (None, LinkForm::Nic(Some(mac))) => mac.to_string(),
            (None, _) => self.form.keyword().into(),
        }
    }

    /// Returns the link as a draft. `new_index` maps the index of each entry to that of its draft.
    pub(super) fn draft(&self, new_index: &[usize]) -> LinkDraft<'a> {
        let parents: Vec<usize> = self.parents.iter().map(|(at, _)| new_index[*at]).collect();
        let kind = match self.form {
            LinkForm::Nic(mac) => LinkKind::Nic { mac },
            LinkForm::Bond(bond) => LinkKind::Bond {
                mode: bond
                    .mode
                    .as_ref()
                    .map_or(DEFAULT_MODE.into(), |mode| mode.value.clone()),
                ports: parents,
                options: self
                    .options
                    .iter()
                    .map(|option| BondOption {
                        name: option.name,
                        value: match &option.value {
                            BondValue::Port(at) => BondValue::Port(new_index[*at]),
                            value => value.clone(),
                        },
                    })
                    .collect(),
            },
            LinkForm::Bridge(bridge) => LinkKind::Bridge {
                ports: parents,
                stp: bridge.effective().stp,
            },
            // A VLAN without a parent was reported before. It becomes a NIC, so that its addresses are checked.
            LinkForm::Vlan(_) => match parents.first() {
                Some(&on) => LinkKind::Vlan { id: 0, on },
                None => LinkKind::Nic { mac: None },
            },
        };
        let mut draft = LinkDraft::new(self.name.cloned(), kind, self.own, Some(self.span));
        draft.parent_spans = self.parents.iter().map(|(_, span)| *span).collect();
        if let LinkForm::Vlan(vlan) = self.form {
            draft.vlan_id = vlan.id.as_ref();
        }
        draft
    }
}

/// Lists the declared links of a node, by kind.
pub(super) fn entries(body: &NodeBody) -> Vec<DeclaredLink<'_>> {
    let entry = |name, form, own, span| DeclaredLink {
        name,
        form,
        own,
        span,
        parents: Vec::new(),
        options: Vec::new(),
    };
    let nics = body.interface.iter().map(|at| {
        let nic = &at.value;
        let form = LinkForm::Nic(nic.mac.as_ref().map(|mac| mac.value));
        let name = nic.name.as_ref().map(|name| &name.value);
        entry(name, form, nic.settings(), at.span)
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
    nics.chain(bonds).chain(vlans).chain(bridges).collect()
}

/// Returns the index of the link that a reference names. A NIC that the node declares only by its MAC is added as an entry.
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
        |entry: &DeclaredLink<'_>| matches!(entry.form, LinkForm::Nic(Some(own)) if own == mac);
    entries.iter().position(of_mac).or_else(|| {
        let empty = LinkDraft::empty(Some(mac));
        entries.push(DeclaredLink {
            name: None,
            form: LinkForm::Nic(Some(mac)),
            own: empty.own,
            span: reference.span,
            parents: Vec::new(),
            options: Vec::new(),
        });
        Some(entries.len() - 1)
    })
}
