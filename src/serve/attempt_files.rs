//! What an attempt hands out: rendered and kept when it opens, read back when it is asked for.

use crate::{
    control::{Blocked, BootFromDisk, NewAttempt, Report, Snapshot, Transaction},
    disk::attempts::{AttemptKey, AttemptStore, Document, DocumentBody, DocumentHeader},
    journal::{AttemptId, MachineId},
    model::{Arch, Facts, Mac, NodeName, Platform, PolicyName},
    render::{self, FileKind, RenderRequest, RenderedAttempt, Urls},
    site::{Diagnostic, Resolved, Severity, Subject, resolve},
};

/// The script of an attempt, which `/boot` answers with.
pub(crate) const SCRIPT: &str = "boot.ipxe";

/// The configuration of an attempt that GRUB reads.
pub(crate) const GRUB: &str = "boot.grub";

/// How a document is told from a hand-out where attempts are kept.
pub(crate) const DOCUMENT: &str = "document";

/// Whom an attempt is rendered for.
pub(crate) struct AttemptTarget<'a> {
    pub(crate) machine: MachineId,
    pub(crate) attempt: AttemptId,
    pub(crate) policy: Option<&'a PolicyName>,
    pub(crate) address: Option<std::net::IpAddr>,
}

/// Renders and keeps everything of an attempt that is to be opened, and opens it; what comes out is the script,
/// or how the machine goes to its disk when that cannot be done.
pub(crate) fn open(
    transaction: &mut Transaction<'_>,
    attempts: &AttemptStore,
    opening: &NewAttempt,
    report: &Report,
    base: &str,
) -> Result<Vec<u8>, BootFromDisk> {
    let target = AttemptTarget {
        machine: opening.machine,
        attempt: opening.attempt,
        policy: opening.policy.as_ref(),
        address: opening.address,
    };
    match keep(transaction, attempts, &target, report, base) {
        Ok(script) => {
            transaction.opened(opening);
            Ok(script)
        }
        Err(Unready::Unrendered(reason)) => Err(transaction.not_opened(opening, reason)),
        // Nobody's mistake: it goes on by itself when there is room.
        Err(Unready::Unkept(reason)) => {
            let disk = transaction.not_opened(opening, reason.clone());
            Err(BootFromDisk {
                reason: Some(Blocked::Unstored(reason)),
                ..disk
            })
        }
    }
}

/// Why an attempt has no documents.
enum Unready {
    /// They cannot be rendered.
    Unrendered(String),
    /// They cannot be written.
    Unkept(String),
}

/// Renders an open attempt of which nothing was read once more, since the site has changed.
pub(crate) fn refresh(
    transaction: &mut Transaction<'_>,
    attempts: &AttemptStore,
    machine: MachineId,
    attempt: AttemptId,
    report: &Report,
    base: &str,
) -> Result<Vec<u8>, String> {
    let binding = transaction
        .server
        .state
        .machine(machine)
        .and_then(|machine| machine.binding.clone());
    let policy = binding.as_ref().and_then(|binding| binding.policy.clone());
    let target = AttemptTarget {
        machine,
        attempt,
        policy: policy.as_ref(),
        address: binding.and_then(|binding| binding.address),
    };
    let kept = keep(transaction, attempts, &target, report, base);
    let script = kept.map_err(|(Unready::Unrendered(reason) | Unready::Unkept(reason))| reason)?;
    transaction.refreshed(machine);
    Ok(script)
}

/// Renders and keeps everything of an attempt; returns its script.
fn keep(
    transaction: &Transaction<'_>,
    attempts: &AttemptStore,
    target: &AttemptTarget<'_>,
    report: &Report,
    base: &str,
) -> Result<Vec<u8>, Unready> {
    let rendered = render_for(transaction, target, report, base).map_err(Unready::Unrendered)?;
    let documents: Vec<Document> = rendered.files.into_iter().map(document).collect();
    attempts
        .write(key(target.attempt), &documents)
        .map_err(|error| Unready::Unkept(format!("its documents cannot be kept: {error}")))?;
    let script = documents
        .into_iter()
        .find(|document| document.about.name == SCRIPT);
    match script.map(|script| script.body) {
        Some(DocumentBody::Bytes(bytes)) => Ok(bytes),
        _ => Err(Unready::Unrendered(format!("its task renders no {SCRIPT}"))),
    }
}

/// Reads the script of an attempt that is open.
pub(crate) fn kept_script(attempts: &AttemptStore, attempt: AttemptId) -> Result<Vec<u8>, String> {
    match attempts.read(key(attempt), SCRIPT) {
        Ok(Some(Document {
            body: DocumentBody::Bytes(bytes),
            ..
        })) => Ok(bytes),
        Ok(_) => {
            Err("its documents are gone from the state directory: `bootwright reinstall` it".into())
        }
        Err(error) => Err(format!("its documents cannot be read: {error}")),
    }
}

/// Renders the script of a task that installs nothing.
pub(crate) fn script_of_task(
    transaction: &Transaction<'_>,
    machine: MachineId,
    macs: &[Mac],
    base: &str,
) -> Result<Vec<u8>, String> {
    let node = transaction.node_of(machine);
    let status = transaction.status(Some(machine), node.as_ref());
    let target = AttemptTarget {
        machine,
        attempt: AttemptId { machine, number: 0 },
        policy: status.policy.as_ref(),
        address: status.pooled,
    };
    let report = Report {
        macs: macs.to_vec(),
        ..Report::default()
    };
    let rendered = render_for(transaction, &target, &report, base)?;
    let script = rendered.files.into_iter().find(|file| file.name == SCRIPT);
    match script.map(|script| script.body) {
        Some(render::FileBody::Bytes(bytes)) => Ok(bytes),
        _ => Err(format!("it renders no {SCRIPT}")),
    }
}

fn render_for(
    transaction: &Transaction<'_>,
    target: &AttemptTarget<'_>,
    report: &Report,
    base: &str,
) -> Result<RenderedAttempt, String> {
    let machine = transaction.server.state.machine(target.machine);
    let facts = machine
        .map(|machine| machine.facts.clone())
        .unwrap_or_default();
    let node = transaction.node_of(target.machine);
    let known = machine
        .into_iter()
        .flat_map(|machine| machine.identity.mac.iter().copied());
    let macs = boot_macs(&report.macs, known);
    let name = match &node {
        Some(node) => node.name.value.clone(),
        None => name_of(&macs).ok_or("it has no MAC to be named by")?,
    };
    let subject = Subject {
        name: &name,
        declared: node.as_ref(),
        macs,
        pooled: target.address,
    };
    let (resolved, found) = resolved(transaction.snapshot, &subject, target.policy);
    fail_on(&found)?;
    let token = transaction.server.token(target.attempt).to_string();
    let urls = Urls {
        base: base.to_owned(),
        token,
    };
    render(
        transaction.snapshot,
        &resolved,
        &facts,
        report,
        urls,
        target.attempt.number,
    )
    .map_err(|found| fail_on(&found).expect_err("rendering fails with an error"))
}

/// Renders everything of one machine.
pub(crate) fn render(
    snapshot: &Snapshot,
    resolved: &Resolved,
    facts: &Facts,
    report: &Report,
    urls: Urls,
    attempt: u32,
) -> Result<RenderedAttempt, Vec<Diagnostic>> {
    render::render_attempt(&RenderRequest {
        site: &snapshot.site,
        library: &snapshot.library,
        external: &snapshot.outside,
        resolved,
        facts,
        platform: report.platform.or(facts.firmware).unwrap_or(Platform::Efi),
        // BIOS builds of iPXE say i386 on 64-bit machines too.
        arch: report
            .arch
            .filter(|arch| *arch != Arch::I386)
            .unwrap_or(Arch::X86_64),
        urls,
        attempt,
    })
}

pub(crate) fn resolved(
    snapshot: &Snapshot,
    subject: &Subject<'_>,
    policy: Option<&PolicyName>,
) -> (Resolved, Vec<Diagnostic>) {
    let policy = policy.and_then(|name| snapshot.site.policies.get(name));
    resolve(&snapshot.site, subject, policy.map(AsRef::as_ref))
}

fn fail_on(found: &[Diagnostic]) -> Result<(), String> {
    match found.iter().find(|one| one.severity == Severity::Error) {
        Some(error) => Err(error.message.clone()),
        None => Ok(()),
    }
}

/// The card it boots from first, then whatever else is known.
fn boot_macs(reported: &[Mac], known: impl Iterator<Item = Mac>) -> Vec<Mac> {
    let mut macs: Vec<Mac> = Vec::new();
    for mac in reported
        .iter()
        .copied()
        .chain(known)
        .filter(|mac| mac.is_unicast())
    {
        if !macs.contains(&mac) {
            macs.push(mac);
        }
    }
    macs
}

fn name_of(macs: &[Mac]) -> Option<NodeName> {
    macs.first().map(|mac| {
        mac.hyphens()
            .parse()
            .expect("hyphens and digits make a name")
    })
}

fn document(file: render::RenderedFile) -> Document {
    let kind = match file.kind {
        FileKind::Document => DOCUMENT,
        FileKind::Auxiliary => "hand-out",
    };
    Document {
        about: DocumentHeader {
            name: file.name,
            kind: kind.into(),
            content_type: file.content_type.into(),
        },
        body: match file.body {
            render::FileBody::Bytes(bytes) => DocumentBody::Bytes(bytes),
            render::FileBody::Repo { repo, path } => DocumentBody::Repo {
                repo: repo.to_string(),
                path,
            },
        },
    }
}

pub(crate) fn key(attempt: AttemptId) -> AttemptKey {
    AttemptKey {
        machine: attempt.machine.0,
        attempt: attempt.number,
    }
}
