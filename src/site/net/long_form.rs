//! The long form: interfaces, bonds, VLANs and bridges that refer to each other.
//!
//! A reference is the name of a link or a hardware address of the machine. The links that another link uses are its parents.
//! Links are sorted so that parents come first, otherwise in the order of their declaration.

use crate::model::{LinkName, Mac, Node, NodeBody, Spanned};

use super::{
    LayoutBuilder, LinkDraft,
    declared_link::{DeclaredLink, LinkForm, entries, find},
};
use crate::site::{Diagnostic, suggest::suggest};

/// Returns whether a node has the long form.
pub(super) fn is_long(body: &NodeBody) -> bool {
    !(body.interface.is_empty()
        && body.bond.is_empty()
        && body.vlan.is_empty()
        && body.bridge.is_empty())
}

impl<'a> LayoutBuilder<'a, '_> {
    /// Returns the drafts of a node's long form.
    pub(super) fn long_drafts(&mut self, node: &'a Node) -> Vec<LinkDraft<'a>> {
        let mut entries = entries(&node.body);
        self.check_entries(&entries);
        self.check_names(&entries);
        let macs: Vec<Mac> = node.macs().iter().map(|at| at.value).collect();
        for at in 0..entries.len() {
            self.resolve_parents(&mut entries, at, &macs);
        }
        for at in 0..entries.len() {
            if let LinkForm::Bond(bond) = entries[at].form {
                entries[at].options = self.bond_options(bond, &entries, at);
            }
        }
        let order = self.order(&mut entries);
        let mut new_index = vec![0; entries.len()];
        for (new, &old) in order.iter().enumerate() {
            new_index[old] = new;
        }
        order
            .iter()
            .map(|&old| entries[old].draft(&new_index))
            .collect()
    }

    /// Checks the required keys of each link.
    fn check_entries(&mut self, entries: &[DeclaredLink<'a>]) {
        for entry in entries {
            let title = entry.title();
            let lacks = match entry.form {
                LinkForm::Nic(None) if entry.name.is_none() => {
                    Some("this interface has neither `mac` nor `name`".into())
                }
                LinkForm::Bond(bond) if bond.ports.as_ref().is_none_or(|list| list.is_empty()) => {
                    Some(format!("bond `{title}` has no `ports`"))
                }
                LinkForm::Vlan(vlan) if vlan.on.is_none() => Some(format!(
                    "vlan `{title}` has no `on`, the link that carries it"
                )),
                _ => None,
            };
            if let Some(message) = lacks.filter(|_| !self.is_flawed) {
                self.report(Diagnostic::error(message, entry.span).label(self.name));
            }
            if let LinkForm::Bond(bond) = entry.form {
                self.check_mode(bond);
            }
        }
    }

    fn check_names(&mut self, entries: &[DeclaredLink<'a>]) {
        for (at, entry) in entries.iter().enumerate() {
            let same = |other: &&DeclaredLink<'_>| match (other.form, entry.form) {
                (LinkForm::Nic(Some(one)), LinkForm::Nic(Some(other))) if one == other => true,
                _ => entry.name.is_some() && other.name == entry.name,
            };
            if let Some(first) = entries[..at].iter().find(same) {
                let title = entry.title();
                self.report(
                    Diagnostic::error(format!("two links have the name `{title}`"), entry.span)
                        .label(self.name)
                        .other(first.span, "the first"),
                );
            }
        }
    }

    /// Finds the parents of an entry.
    fn resolve_parents(&mut self, entries: &mut Vec<DeclaredLink<'a>>, at: usize, macs: &[Mac]) {
        let form = entries[at].form;
        for reference in form.references() {
            let Some(parent) = find(entries, reference, macs) else {
                self.report_unknown(&entries[at], reference, entries, macs);
                continue;
            };
            if parent != at && form.can_use(entries[parent].form) {
                entries[at].parents.push((parent, reference.span));
                continue;
            }
            let message = match parent == at {
                true => format!("{} `{}` uses itself", form.keyword(), entries[at].title()),
                false => format!(
                    "a {} cannot use a {}",
                    form.keyword(),
                    entries[parent].form.keyword()
                ),
            };
            self.report(Diagnostic::error(message, reference.span).label(self.name));
        }
    }

    fn report_unknown(
        &mut self,
        entry: &DeclaredLink<'_>,
        reference: &Spanned<String>,
        entries: &[DeclaredLink<'_>],
        macs: &[Mac],
    ) {
        let names = entries.iter().filter_map(|entry| entry.name);
        let nics: Vec<String> = macs.iter().map(ToString::to_string).collect();
        let help = match suggest(reference, names.map(LinkName::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if nics.is_empty() => "declare it with `interface`".into(),
            None => format!(
                "its NICs are {}; declare others with `interface`",
                nics.join(", ")
            ),
        };
        let message = format!(
            "{} `{}` uses `{reference}`, but node `{}` has no such link",
            entry.form.keyword(),
            entry.title(),
            self.name
        );
        self.report(Diagnostic::error(message, reference.span).help(help));
    }

    /// Sorts entries so that parents come first. A reference that closes a cycle is reported and removed.
    fn order(&mut self, entries: &mut [DeclaredLink<'a>]) -> Vec<usize> {
        let mut order = Vec::new();
        let mut seen = vec![VisitState::Unvisited; entries.len()];
        for at in 0..entries.len() {
            self.visit(entries, at, &mut seen, &mut order);
        }
        order
    }

    fn visit(
        &mut self,
        entries: &mut [DeclaredLink<'a>],
        at: usize,
        seen: &mut [VisitState],
        order: &mut Vec<usize>,
    ) {
        if seen[at] != VisitState::Unvisited {
            return;
        }
        seen[at] = VisitState::InProgress;
        for (parent, span) in entries[at].parents.clone() {
            if seen[parent] == VisitState::InProgress {
                let cycle = (entries[at].title(), entries[parent].title());
                let message = format!("`{}` and `{}` use each other", cycle.0, cycle.1);
                self.report(Diagnostic::error(message, span).label(self.name));
                entries[at].parents.retain(|(other, _)| *other != parent);
            } else {
                self.visit(entries, parent, seen, order);
            }
        }
        seen[at] = VisitState::Done;
        order.push(at);
    }
}

#[derive(Clone, Copy, PartialEq)]
enum VisitState {
    Unvisited,
    InProgress,
    Done,
}
