//! What is said at the start.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use super::choose::Chosen;
use crate::{
    model::ServerConfig,
    site::{self, ReportStyle, Severity},
};

/// What is said at the start, for people to read.
#[derive(Debug, Clone)]
pub struct Banner {
    /// The site as it was given.
    pub site: PathBuf,
    /// Its revision.
    pub revision: String,
    /// How many nodes, policies, repos and networks it declares.
    pub counts: [usize; 4],
    /// How many errors keep the site as it stands now from going live.
    pub errors: usize,
    /// How many warnings there are.
    pub warnings: usize,
    /// How long loading took.
    pub loaded_in: Duration,
    /// Whether it is a demonstration: a site without an id.
    pub demonstration: bool,
    /// Where machines reach the server.
    pub machines: String,
    /// Where operators do.
    pub operators: String,
    /// Whether firmware is served over TFTP, or why not.
    pub tftp: Result<(), String>,
    /// Whether a network wants DHCP.
    pub dhcp: bool,
    /// The first node, for suggesting what to try.
    pub first_node: Option<String>,
    /// What is not as it should be.
    pub troubles: Vec<String>,
    /// Every mistake and warning of the site, as people read them.
    pub report: String,
}

/// What a banner is made from besides the site.
pub(crate) struct BannerParts {
    pub(crate) site: PathBuf,
    pub(crate) machines: SocketAddr,
    pub(crate) operators: SocketAddr,
    pub(crate) tftp: Result<(), String>,
    pub(crate) dhcp: bool,
    pub(crate) loaded_in: Duration,
    pub(crate) demonstration: bool,
    pub(crate) troubles: Vec<String>,
}

impl Banner {
    pub(crate) fn new(chosen: &Chosen, config: &ServerConfig, said: BannerParts) -> Banner {
        let site = &chosen.snapshot.site;
        let diagnostics = &chosen.loaded.diagnostics;
        let count = |severity| {
            diagnostics
                .iter()
                .filter(|one| one.severity == severity)
                .count()
        };
        let bases = super::load::bases(config, Some(said.machines.port()));
        let revision = site.revision.as_ref();
        Banner {
            site: said.site,
            revision: revision.map_or_else(|| "(none)".into(), ToString::to_string),
            counts: [
                site.nodes.len(),
                site.policies.len(),
                site.repos.len(),
                site.networks.len(),
            ],
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            loaded_in: said.loaded_in,
            demonstration: said.demonstration,
            machines: bases.of(None),
            operators: format!("http://{}", said.operators),
            tftp: said.tftp,
            dhcp: said.dhcp,
            first_node: site.nodes.keys().next().map(ToString::to_string),
            troubles: said.troubles,
            report: site::report(
                diagnostics,
                &chosen.loaded.snapshot.site.sources,
                ReportStyle::PLAIN,
            ),
        }
    }
}
