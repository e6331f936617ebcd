//! Brokers: what takes a machine over when it is installed.
//!
//! A kind of broker is a directory with one template, the script that the machine fetches and runs at its first boot when it
//! has run everything else. Two kinds have none: `program`, which the server runs, and `none`.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    model::Broker,
    site::{Diagnostic, Site},
};

use super::{
    template_errors::report,
    template_set::TemplateSet,
    template_sources::{BROKERS, COMMON, TemplateSources},
};

/// What a machine fetches the script as.
pub const HAND_OVER: &str = "hand-over.sh";

/// Its template.
pub(super) const TEMPLATE: &str = "hand-over.sh.j2";

/// The kinds that have no script.
pub(super) const WITHOUT: [&str; 2] = [Broker::PROGRAM, "none"];

/// Compiles the script of every kind.
pub(super) fn compile(
    texts: &TemplateSources,
    site: &Site,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Arc<TemplateSet>> {
    let wanted = [TEMPLATE.to_owned()].into();
    let kinds = texts.directories(BROKERS).into_iter();
    let compiled = kinds.map(|kind| {
        let directories = [format!("{BROKERS}{kind}/"), COMMON.to_string()];
        let (templates, mistakes) = TemplateSet::gather(texts, &directories, &wanted);
        report(site, mistakes, found);
        (kind, Arc::new(templates.compiled()))
    });
    compiled.collect()
}
