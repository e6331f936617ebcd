//! The long form: interfaces, bonds, VLANs and bridges that name each other.
//!
//! A reference is the name of a link or a hardware address of the machine. Links come out with parents
//! before those that stand on them, otherwise as they were written.

use crate::model::{
    At, Bond, Bridge, LinkName, LinkSettings, List, Mac, Node, NodeBody, Place, Vlan,
};

use super::{Draft, Work};
use crate::site::{Diagnostic, LinkKind, suggest::suggest};

/// The kernel's names of bonding modes.
const MODES: [&str; 7] = [
    "802.3ad",
    "active-backup",
    "balance-alb",
    "balance-rr",
    "balance-tlb",
    "balance-xor",
    "broadcast",
];

/// The mode of a bond that names none: the one that works on every switch.
const MODE: &str = "active-backup";

/// A link as declared, and what it stands on.
struct Entry<'a> {
    name: Option<&'a LinkName>,
    form: Form<'a>,
    own: LinkSettings<'a>,
    place: Place,
    /// The entries it stands on, each with the place of the reference.
    parents: Vec<(usize, Place)>,
}

#[derive(Clone, Copy)]
enum Form<'a> {
    Card(Option<Mac>),
    Bond(&'a Bond),
    Vlan(&'a Vlan),
    Bridge(&'a Bridge),
}

impl<'a> Form<'a> {
    fn word(self) -> &'static str {
        match self {
            Form::Card(_) => "interface",
            Form::Bond(_) => "bond",
            Form::Vlan(_) => "vlan",
            Form::Bridge(_) => "bridge",
        }
    }

    /// Tells whether a link of this form can stand on one of the other form.
    fn can_stand_on(self, parent: Form<'_>) -> bool {
        match (self, parent) {
            (Form::Card(_), _) => false,
            (Form::Bond(_), parent) => matches!(parent, Form::Card(_)),
            (Form::Vlan(_), parent) => !matches!(parent, Form::Vlan(_)),
            (Form::Bridge(_), parent) => !matches!(parent, Form::Bridge(_)),
        }
    }

    fn references(self) -> Vec<&'a At<String>> {
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

/// Tells whether a node has the long form.
pub(super) fn is_long(body: &NodeBody) -> bool {
    !(body.interface.is_empty()
        && body.bond.is_empty()
        && body.vlan.is_empty()
        && body.bridge.is_empty())
}

impl<'a> Work<'a, '_> {
    /// Reads the long form of a node.
    pub(super) fn long_drafts(&mut self, node: &'a Node) -> Vec<Draft<'a>> {
        let mut entries = entries(&node.body);
        self.check_entries(&entries);
        self.check_names(&entries);
        let macs: Vec<Mac> = node.macs().iter().map(|at| at.value).collect();
        for at in 0..entries.len() {
            self.refer(&mut entries, at, &macs);
        }
        let order = self.order(&mut entries);
        let mut new_index = vec![0; entries.len()];
        for (new, &old) in order.iter().enumerate() {
            new_index[old] = new;
        }
        order
            .iter()
            .map(|&old| draft(&entries[old], &new_index))
            .collect()
    }

    /// Checks what each link must say of itself.
    fn check_entries(&mut self, entries: &[Entry<'a>]) {
        for entry in entries {
            let title = title(entry);
            let lacks = match entry.form {
                Form::Card(None) if entry.name.is_none() => {
                    Some("this interface has neither `mac` nor `name`".into())
                }
                Form::Bond(bond) if bond.ports.as_ref().is_none_or(|list| list.is_empty()) => {
                    Some(format!("bond `{title}` has no `ports`"))
                }
                Form::Vlan(vlan) if vlan.on.is_none() => Some(format!(
                    "vlan `{title}` does not say `on` which link it lies"
                )),
                _ => None,
            };
            if let Some(message) = lacks.filter(|_| !self.is_flawed) {
                self.report(Diagnostic::error(message, entry.place).label(self.name));
            }
            if let Form::Bond(bond) = entry.form {
                self.check_mode(bond);
            }
        }
    }

    fn check_mode(&mut self, bond: &Bond) {
        let Some(mode) = bond.mode.as_ref() else {
            return;
        };
        if MODES.contains(&mode.as_str()) {
            return;
        }
        let help = match suggest(mode, MODES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("expected one of {}", MODES.join(", ")),
        };
        let message = format!("`{mode}` is not a bonding mode");
        self.report(Diagnostic::error(message, mode.place).help(help));
    }

    fn check_names(&mut self, entries: &[Entry<'a>]) {
        for (at, entry) in entries.iter().enumerate() {
            let same = |other: &&Entry<'_>| match (other.form, entry.form) {
                (Form::Card(Some(one)), Form::Card(Some(other))) if one == other => true,
                _ => entry.name.is_some() && other.name == entry.name,
            };
            if let Some(first) = entries[..at].iter().find(same) {
                let title = title(entry);
                self.report(
                    Diagnostic::error(format!("two links are called `{title}`"), entry.place)
                        .label(self.name)
                        .other(first.place, "the first"),
                );
            }
        }
    }

    /// Finds the links that an entry names.
    fn refer(&mut self, entries: &mut Vec<Entry<'a>>, at: usize, macs: &[Mac]) {
        let form = entries[at].form;
        for reference in form.references() {
            let Some(parent) = find(entries, reference, macs) else {
                self.report_unknown(&entries[at], reference, entries, macs);
                continue;
            };
            if parent != at && form.can_stand_on(entries[parent].form) {
                entries[at].parents.push((parent, reference.place));
                continue;
            }
            let message = match parent == at {
                true => format!("{} `{}` stands on itself", form.word(), title(&entries[at])),
                false => format!(
                    "a {} cannot stand on a {}",
                    form.word(),
                    entries[parent].form.word()
                ),
            };
            self.report(Diagnostic::error(message, reference.place).label(self.name));
        }
    }

    fn report_unknown(
        &mut self,
        entry: &Entry<'_>,
        reference: &At<String>,
        entries: &[Entry<'_>],
        macs: &[Mac],
    ) {
        let names = entries.iter().filter_map(|entry| entry.name);
        let cards: Vec<String> = macs.iter().map(ToString::to_string).collect();
        let help = match suggest(reference, names.map(LinkName::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if cards.is_empty() => "declare it with `interface`".into(),
            None => format!(
                "its cards are {}; declare others with `interface`",
                cards.join(", ")
            ),
        };
        let message = format!(
            "{} `{}` stands on `{reference}`, which node `{}` does not have",
            entry.form.word(),
            title(entry),
            self.name
        );
        self.report(Diagnostic::error(message, reference.place).help(help));
    }

    /// Sorts entries so that parents come first. The reference that closes a circle is reported and cut.
    fn order(&mut self, entries: &mut [Entry<'a>]) -> Vec<usize> {
        let mut order = Vec::new();
        let mut seen = vec![Seen::Never; entries.len()];
        for at in 0..entries.len() {
            self.visit(entries, at, &mut seen, &mut order);
        }
        order
    }

    fn visit(
        &mut self,
        entries: &mut [Entry<'a>],
        at: usize,
        seen: &mut [Seen],
        order: &mut Vec<usize>,
    ) {
        if seen[at] != Seen::Never {
            return;
        }
        seen[at] = Seen::OnTheWay;
        for (parent, place) in entries[at].parents.clone() {
            if seen[parent] == Seen::OnTheWay {
                let circle = (title(&entries[at]), title(&entries[parent]));
                let message = format!("`{}` and `{}` stand on each other", circle.0, circle.1);
                self.report(Diagnostic::error(message, place).label(self.name));
                entries[at].parents.retain(|(other, _)| *other != parent);
            } else {
                self.visit(entries, parent, seen, order);
            }
        }
        seen[at] = Seen::Done;
        order.push(at);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Seen {
    Never,
    OnTheWay,
    Done,
}

fn entries(body: &NodeBody) -> Vec<Entry<'_>> {
    let entry = |name, form, own, place| Entry {
        name,
        form,
        own,
        place,
        parents: Vec::new(),
    };
    let cards = body.interface.iter().map(|at| {
        let card = &at.value;
        let form = Form::Card(card.mac.as_ref().map(|mac| mac.value));
        let name = card.name.as_ref().map(|name| &name.value);
        entry(name, form, card.settings(), at.place)
    });
    let bonds = body.bond.iter().map(|(name, at)| {
        let form = Form::Bond(&at.value);
        entry(Some(name), form, at.value.settings(), at.place)
    });
    let vlans = body.vlan.iter().map(|(name, at)| {
        let form = Form::Vlan(&at.value);
        entry(Some(name), form, at.value.settings(), at.place)
    });
    let bridges = body.bridge.iter().map(|(name, at)| {
        let form = Form::Bridge(&at.value);
        entry(Some(name), form, at.value.settings(), at.place)
    });
    cards.chain(bonds).chain(vlans).chain(bridges).collect()
}

/// Finds the link that a reference names. A card that the node declares by address alone becomes an entry.
fn find<'a>(entries: &mut Vec<Entry<'a>>, reference: &At<String>, macs: &[Mac]) -> Option<usize> {
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
            place: reference.place,
            parents: Vec::new(),
        });
        Some(entries.len() - 1)
    })
}

fn title(entry: &Entry<'_>) -> String {
    match (entry.name, entry.form) {
        (Some(name), _) => name.as_str().into(),
        (None, Form::Card(Some(mac))) => mac.to_string(),
        (None, _) => entry.form.word().into(),
    }
}

fn draft<'a>(entry: &Entry<'a>, new_index: &[usize]) -> Draft<'a> {
    let parents: Vec<usize> = entry.parents.iter().map(|(at, _)| new_index[*at]).collect();
    let kind = match entry.form {
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
    let mut draft = Draft::new(entry.name.cloned(), kind, entry.own, Some(entry.place));
    draft.parent_places = entry.parents.iter().map(|(_, place)| *place).collect();
    if let Form::Vlan(vlan) = entry.form {
        draft.tag = vlan.id.as_ref();
    }
    draft
}
