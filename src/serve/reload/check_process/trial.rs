//! Renders the files of one machine in a check process first.
//!
//! The facts of a machine may differ from those that a site was checked with, and a template may do with them what it did not do
//! before. The engine bounds its instructions, and filters bound what they make. Only templates of the site that keep values
//! which they make of several others need more: what they would do with this machine's facts is tried.

use std::collections::BTreeSet;

use crate::{
    control::{RenderJob, Snapshot},
    model::{FileId, Node},
    site::{Site, SiteFiles, SourceFile},
};

use super::{CheckFailure, CheckProcess, CheckProgram, message::CheckedTargets};

/// Returns an error if rendering the files of a machine would exceed the limits of a check.
pub(crate) fn try_job(
    program: &CheckProgram,
    job: &RenderJob,
    snapshot: &Snapshot,
) -> Result<(), CheckFailure> {
    if !job.can_grow(snapshot) {
        return Ok(());
    }
    let files = needed_files(&snapshot.site, job);
    let request = CheckedTargets::new(
        Vec::new(),
        Some(job.clone()),
        &snapshot.site,
        &snapshot.outside,
    );
    let mut process = CheckProcess::start(program)?;
    process.ask(&files, |_, _| true, Some(request)).map(drop)
}

/// All files except those that declare other nodes, and nothing else.
fn needed_files(site: &Site, job: &RenderJob) -> SiteFiles {
    let file_of = |node: &Node| site.sources.get(node.span().file);
    let own = job.node().and_then(|name| site.nodes.get(name));
    let own = own.and_then(|node| file_of(node));
    let of_nodes: BTreeSet<FileId> = site.nodes.values().map(|node| node.span().file).collect();
    let is_needed = |(file, source): &(FileId, &SourceFile)| {
        !of_nodes.contains(file)
            || site.common_files.contains(&source.path)
            || own.is_some_and(|own| own.path == source.path)
    };
    let files = site.sources.iter().filter(is_needed);
    SiteFiles {
        content: files
            .map(|(_, source)| (source.path.clone(), source.content.clone()))
            .collect(),
        ..SiteFiles::default()
    }
}
