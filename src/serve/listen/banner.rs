//! The values of the startup banner.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use crate::{
    model::ServerConfig,
    serve::reload::chosen_site::ChosenSite,
    site::{self, ReportStyle, Severity},
};

/// The startup banner's values.
#[derive(Debug, Clone)]
pub struct Banner {
    /// The path of the site, as given on the command line.
    pub site: PathBuf,
    pub revision: String,
    /// The number of nodes, policies, repos and networks.
    pub counts: [usize; 4],
    /// The number of errors in the site's current files.
    pub errors: usize,
    pub warnings: usize,
    pub loaded_in: Duration,
    /// Whether the site is a demonstration: it has no `site-id`.
    pub demonstration: bool,
    /// The URL for machines.
    pub machines: String,
    /// The URL for operators.
    pub operators: String,
    /// Whether TFTP is on, or why not.
    pub tftp: Result<(), String>,
    /// Whether a network has `dhcp` on.
    pub dhcp: bool,
    /// The first node, for the suggested command.
    pub first_node: Option<String>,
    /// Warnings about the start itself.
    pub start_warnings: Vec<String>,
    /// The site's errors and warnings as text.
    pub report: String,
}

/// The banner's values that do not come from the site.
pub(crate) struct BannerParts {
    pub(crate) site: PathBuf,
    pub(crate) machines: SocketAddr,
    pub(crate) operators: String,
    pub(crate) tftp: Result<(), String>,
    pub(crate) dhcp: bool,
    pub(crate) loaded_in: Duration,
    pub(crate) demonstration: bool,
    pub(crate) start_warnings: Vec<String>,
}

impl Banner {
    pub(crate) fn new(chosen: &ChosenSite, config: &ServerConfig, parts: BannerParts) -> Banner {
        let site = &chosen.snapshot.site;
        let diagnostics = &chosen.loaded.diagnostics;
        let count = |severity| {
            diagnostics
                .iter()
                .filter(|one| one.severity == severity)
                .count()
        };
        let bases = crate::serve::reload::load::bases(config, Some(parts.machines.port()));
        let revision = site.revision.as_ref();
        Banner {
            site: parts.site,
            revision: revision.map_or_else(|| "(none)".into(), ToString::to_string),
            counts: [
                site.nodes.len(),
                site.policies.len(),
                site.repos.len(),
                site.networks.len(),
            ],
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            loaded_in: parts.loaded_in,
            demonstration: parts.demonstration,
            machines: bases.of(None),
            operators: parts.operators,
            tftp: parts.tftp,
            dhcp: parts.dhcp,
            first_node: site.nodes.keys().next().map(ToString::to_string),
            start_warnings: parts.start_warnings,
            report: site::report(
                diagnostics,
                &chosen.loaded.snapshot.site.sources,
                ReportStyle::PLAIN,
            ),
        }
    }
}
