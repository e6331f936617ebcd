//! Warns about a missing microkernel.

use std::{io, path::Path};

use crate::{
    control::Snapshot,
    disk::state::MICROKERNEL,
    model::{Spanned, TaskName, UndeclaredMode},
    serve::{boot::microkernel::KERNEL, site_id::state_path},
    site::{Diagnostic, Site},
};

/// Returns a warning for each setting that needs the microkernel if it is not built: networks that discover undeclared
/// machines, and tasks that its agent runs.
pub(crate) fn missing_microkernel(root: &Path, snapshot: &Snapshot) -> Vec<Diagnostic> {
    let site = &snapshot.site;
    // If the state directory cannot be determined or read, the microkernel is not known to be missing.
    let Ok(state) = state_path(root, &site.config) else {
        return Vec::new();
    };
    let dir = state.join(MICROKERNEL);
    let is_missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
    // The kernel is written last: if it exists, the initial file system does too.
    if !dir.join(KERNEL).symlink_metadata().is_err_and(is_missing) {
        return Vec::new();
    }
    let discovering = site.networks.values().filter_map(|network| {
        let unknown = network.body.unknown.as_ref()?;
        let machines = format!("undeclared machines of network {}", network.name.value);
        (unknown.value == UndeclaredMode::Discover).then_some((machines, unknown.span))
    });
    let imaged = tasks(site).filter_map(|task| {
        let found = snapshot.library.task(&task.value)?;
        let machines = format!("machines with task {}", task.value);
        found.spec.microkernel.then_some((machines, task.span))
    });
    let warnings = discovering.chain(imaged).map(|(machines, span)| {
        let message = format!(
            "{machines} need the microkernel, and there is none in `{}`",
            dir.display()
        );
        Diagnostic::warning(message, span)
            .help("run `bootwright microkernel build`; until then they boot their local disk")
    });
    warnings.collect()
}

/// Returns every setting that names a task.
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
