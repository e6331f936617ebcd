//! Rendering the files of one machine.
//!
//! A [`RenderJob`] holds everything of the state that its files need, so that they are rendered while the state is not
//! locked.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{
    control::{Report, Snapshot, Transaction},
    journal::{AttemptId, MachineId},
    model::{Arch, Facts, Mac, NodeName, Platform, PolicyName, Timestamp},
    render::{self, RenderRequest, RenderedAttempt, Urls},
    site::{Diagnostic, Resolved, Severity, Subject, resolve},
};

/// The files of one machine, to be rendered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenderJob {
    /// Its declaration in the site that the job was made for.
    node: Option<NodeName>,
    macs: Vec<Mac>,
    policy: Option<PolicyName>,
    /// The machine's address from a pool.
    address: Option<IpAddr>,
    facts: Facts,
    platform: Option<Platform>,
    arch: Option<Arch>,
    urls: Urls,
    seal: Option<String>,
    attempt: u32,
}

/// Why the files of a machine cannot be rendered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    #[error("it has reported no MAC, from which its name is derived")]
    NoName,
    /// The first error.
    #[error("{0}")]
    Invalid(String),
}

/// The attempt that files are rendered for, and its binding.
pub(crate) struct RenderFor<'a> {
    pub(crate) attempt: AttemptId,
    pub(crate) policy: Option<&'a PolicyName>,
    pub(crate) address: Option<IpAddr>,
    /// The `installs` and the time of its seal; none if the task installs nothing.
    pub(crate) seal: Option<(u32, Timestamp)>,
}

impl Transaction<'_> {
    /// Returns the job that renders the script of a task that installs nothing. `base` is the server's URL.
    pub fn task_job(&self, machine: MachineId, report: &Report, base: &str) -> RenderJob {
        let node = self.node_of(machine);
        let status = self.status(Some(machine), node.as_ref());
        let target = RenderFor {
            attempt: AttemptId { machine, number: 0 },
            policy: status.policy.as_ref(),
            address: self.pool_address(machine),
            seal: None,
        };
        self.render_job(&target, report, base)
    }

    pub(crate) fn render_job(
        &self,
        target: &RenderFor<'_>,
        report: &Report,
        base: &str,
    ) -> RenderJob {
        let machine = self.server.state.machine(target.attempt.machine);
        let known: Vec<Mac> = machine.map_or_else(Vec::new, |machine| {
            let boot = machine.boot_mac().into_iter();
            boot.chain(machine.all_macs().iter().copied()).collect()
        });
        let node = self.node_of(target.attempt.machine);
        RenderJob {
            seal: target
                .seal
                .and_then(|seal| self.seal_of(target.attempt.machine, node.as_deref(), seal)),
            node: node.map(|node| node.name.value.clone()),
            macs: boot_macs(&report.macs, known.into_iter()),
            policy: target.policy.cloned(),
            address: target.address,
            facts: machine
                .map(|machine| machine.facts.clone())
                .unwrap_or_default(),
            platform: report.platform,
            arch: report.arch,
            urls: Urls {
                base: base.to_owned(),
                token: self.server.token(target.attempt).to_string(),
            },
            attempt: target.attempt.number,
        }
    }
}

impl RenderJob {
    /// The declaration that the files are rendered for.
    pub fn node(&self) -> Option<&NodeName> {
        self.node.as_ref()
    }

    /// Whether a template of the site that is rendered can make values that grow without a bound.
    pub fn can_grow(&self, snapshot: &Snapshot) -> bool {
        // A job without a name is not rendered.
        let resolved = self.resolve(snapshot);
        resolved.is_ok_and(|(resolved, _)| snapshot.library.can_grow_for(&resolved))
    }

    /// Renders all files.
    pub fn run(&self, snapshot: &Snapshot) -> Result<RenderedAttempt, RenderError> {
        let (resolved, found) = self.resolve(snapshot)?;
        if let Some(error) = first_error(&found) {
            return Err(RenderError::Invalid(error));
        }
        let report = Report {
            platform: self.platform,
            arch: self.arch,
            ..Report::default()
        };
        let urls = self.urls.clone();
        snapshot
            .render(
                &resolved,
                &self.facts,
                &report,
                urls,
                self.seal.clone(),
                self.attempt,
            )
            .map_err(|found| {
                RenderError::Invalid(first_error(&found).expect("rendering fails with an error"))
            })
    }

    fn resolve(&self, snapshot: &Snapshot) -> Result<(Resolved, Vec<Diagnostic>), RenderError> {
        let name = match &self.node {
            Some(name) => name.clone(),
            None => name_of_first(&self.macs).ok_or(RenderError::NoName)?,
        };
        let declared = self.node.as_ref();
        let subject = Subject {
            name: &name,
            declared: declared.and_then(|name| snapshot.site.nodes.get(name)),
            macs: self.macs.clone(),
            pooled: self.address,
        };
        Ok(snapshot.resolve(&subject, self.policy.as_ref()))
    }
}

impl Snapshot {
    /// Resolves the settings of one machine that a policy binds.
    pub fn resolve(
        &self,
        subject: &Subject<'_>,
        policy: Option<&PolicyName>,
    ) -> (Resolved, Vec<Diagnostic>) {
        let policy = policy.and_then(|name| self.site.policies.get(name));
        resolve(&self.site, subject, policy.map(AsRef::as_ref))
    }

    /// Renders all files of one machine.
    pub fn render(
        &self,
        resolved: &Resolved,
        facts: &Facts,
        report: &Report,
        urls: Urls,
        seal: Option<String>,
        attempt: u32,
    ) -> Result<RenderedAttempt, Vec<Diagnostic>> {
        render::render_attempt(&RenderRequest {
            site: &self.site,
            library: &self.library,
            external: &self.outside,
            resolved,
            facts,
            platform: report.platform.or(facts.firmware).unwrap_or(Platform::Efi),
            arch: report.arch,
            urls,
            seal,
            attempt,
        })
    }
}

fn first_error(found: &[Diagnostic]) -> Option<String> {
    let error = found.iter().find(|one| one.severity == Severity::Error)?;
    Some(error.message.clone())
}

/// The MAC of the NIC that boots first, then all others.
fn boot_macs(reported: &[Mac], known: impl Iterator<Item = Mac>) -> Vec<Mac> {
    let mut macs: Vec<Mac> = Vec::new();
    let all = reported.iter().copied().chain(known);
    for mac in all.filter(|mac| mac.is_unicast()) {
        if !macs.contains(&mac) {
            macs.push(mac);
        }
    }
    macs
}

fn name_of_first(macs: &[Mac]) -> Option<NodeName> {
    let name = macs.first()?.hyphens();
    Some(name.parse().expect("hyphens and digits make a name"))
}
