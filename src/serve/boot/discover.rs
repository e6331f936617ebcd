//! What a site needs beside its files: a microkernel, where machines are to boot it.

use std::{io, path::Path};

use crate::{
    control::Snapshot,
    disk::state::MICROKERNEL,
    model::{Spanned, TaskName, UndeclaredMode},
    serve::{boot::microkernel::KERNEL, site_id::state_path},
    site::{Diagnostic, Site},
};

/// Warnings of machines that are to boot a microkernel that is not there: a network's unknown ones, and those whose task is
/// done by its agent.
pub(crate) fn missing_microkernel(root: &Path, snapshot: &Snapshot) -> Vec<Diagnostic> {
    let site = &snapshot.site;
    // Where the state directory cannot be told or looked into, nothing is known to be missing.
    let Ok(state) = state_path(root, &site.config) else {
        return Vec::new();
    };
    let dir = state.join(MICROKERNEL);
    let is_missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    // The kernel is written last: where it is, the pair is whole.
    if !dir.join(KERNEL).symlink_metadata().is_err_and(is_missing) {
        return Vec::new();
    }
    let discovering = site.networks.values().filter_map(|network| {
        let unknown = network.body.unknown.as_ref()?;
        let whose = format!("unknown machines of network {}", network.name.value);
        (unknown.value == UndeclaredMode::Discover).then_some((whose, unknown.span))
    });
    let imaged = tasks(site).filter_map(|task| {
        let found = snapshot.library.task(&task.value)?;
        let whose = format!("machines with task {}", task.value);
        found.spec.microkernel.then_some((whose, task.span))
    });
    let warned = discovering.chain(imaged).map(|(whose, span)| {
        let message = format!(
            "{whose} are to boot the microkernel, and there is none in `{}`",
            dir.display()
        );
        Diagnostic::warning(message, span)
            .help("`bootwright microkernel build` makes it; until then they boot their own disk")
    });
    warned.collect()
}

/// Every place where a site names a task.
fn tasks(site: &Site) -> impl Iterator<Item = &Spanned<TaskName>> {
    let of_repos = site
        .repos
        .values()
        .filter_map(|repo| repo.body.task.as_ref());
    of_repos.chain(
        site.layers()
            .filter_map(|settings| settings.task.as_deref()),
    )
}
