//! What a site needs beside its files, so that unknown machines can introduce themselves.

use std::{io, path::Path};

use super::{keep::state_path, microkernel::KERNEL};
use crate::{
    disk::state::MICROKERNEL,
    model::Unknown,
    site::{Diagnostic, Site},
};

/// A warning for each network whose unknown machines are to boot a microkernel that is not there.
pub(crate) fn missing_microkernel(root: &Path, site: &Site) -> Vec<Diagnostic> {
    let discovering = site.networks.values().filter_map(|network| {
        let unknown = network.body.unknown.as_ref()?;
        (unknown.value == Unknown::Discover).then_some((&network.name.value, unknown.place))
    });
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
    let warned = discovering.map(|(network, place)| {
        let message = format!(
            "unknown machines of network {network} are to boot the microkernel, and there is none in `{}`",
            dir.display()
        );
        Diagnostic::warning(message, place)
            .help("`bootwright microkernel build` makes it; until then they boot their own disk")
    });
    warned.collect()
}
