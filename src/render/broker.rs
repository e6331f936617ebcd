//! Broker kinds: the configuration management systems that take over an installed machine.
//!
//! A broker kind is a directory with one template: the script that the machine fetches and runs at the end of its first boot.
//! Two kinds have no script: `program`, which the server runs, and `none`.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    model::Broker,
    site::{Diagnostic, Site},
};

use super::{
    template_errors::report_all,
    template_set::TemplateSet,
    template_sources::{BROKERS, COMMON, TemplateSources},
};

/// The file name under which a machine fetches the script.
pub const HAND_OVER: &str = "hand-over.sh";

/// The template of the script.
pub(super) const TEMPLATE: &str = "hand-over.sh.j2";

/// The kinds without a script.
pub(super) const KINDS_WITHOUT_SCRIPT: [&str; 2] = [Broker::PROGRAM, "none"];

/// Compiles the scripts of all kinds.
pub(super) fn compile(
    sources: &TemplateSources,
    site: &Site,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Arc<TemplateSet>> {
    let wanted = [TEMPLATE.to_owned()].into();
    let kinds = sources.directories(BROKERS).into_iter();
    let compiled = kinds.map(|kind| {
        let directories = [format!("{BROKERS}{kind}/"), COMMON.to_string()];
        let (templates, mistakes) = TemplateSet::collect(sources, &directories, &wanted);
        report_all(site, mistakes, diagnostics);
        (kind, Arc::new(templates.compile()))
    });
    compiled.collect()
}
