//! The capabilities of the server's process (capabilities(7)): what it keeps, and that nothing else can be gained.
//!
//! Capabilities belong to threads, and a thread inherits those of the one that starts it. So they are dropped before the server
//! starts threads and binds ports, and those that it needs then and later are kept.

use std::{fs, io, os::unix::fs::MetadataExt, path::Path};

use nix::sys::prctl;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set,
    set_capabilities,
};

/// Ports below 1024, also when they are bound again; Ethernet frames and ARP.
pub(super) const NETWORK: CapabilitySet =
    CapabilitySet::NET_BIND_SERVICE.union(CapabilitySet::NET_RAW);

/// The names of the capabilities that a server may keep.
const NAMES: [(CapabilitySet, &str); 4] = [
    (CapabilitySet::NET_BIND_SERVICE, "CAP_NET_BIND_SERVICE"),
    (CapabilitySet::NET_RAW, "CAP_NET_RAW"),
    (CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH"),
    (CapabilitySet::DAC_OVERRIDE, "CAP_DAC_OVERRIDE"),
];

/// Restricts this thread, and threads that it starts, to these capabilities.
pub(super) fn restrict(keep: CapabilitySet) -> io::Result<()> {
    let permitted = keep & capabilities(None)?.permitted;
    let sets = CapabilitySets {
        effective: permitted,
        permitted,
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, sets)?)
}

/// Restricts a root process to what the server needs with this state directory. Programs that it starts, which are its hooks, cannot
/// get more.
pub(super) fn restrict_root(state: &Path) -> io::Result<()> {
    let permitted = capabilities(None)?.permitted;
    let mut keep = NETWORK | CapabilitySet::DAC_READ_SEARCH;
    // A container may have only the wider capability for files of other users.
    if !permitted.contains(CapabilitySet::DAC_READ_SEARCH) || !is_owned_by_root(state)? {
        keep |= CapabilitySet::DAC_OVERRIDE;
    }
    if permitted.contains(CapabilitySet::SETPCAP) {
        for capability in permitted.difference(keep).iter() {
            remove_capability_from_bounding_set(capability)?;
        }
    }
    prctl::set_no_new_privs()?;
    restrict(keep)
}

/// The names of this thread's capabilities; `None` if it was not restricted.
pub(super) fn kept() -> io::Result<Option<Vec<&'static str>>> {
    let permitted = capabilities(None)?.permitted;
    let all = NAMES
        .iter()
        .fold(CapabilitySet::empty(), |all, (one, _)| all | *one);
    let names = NAMES
        .into_iter()
        .filter(|(one, _)| permitted.contains(*one));
    Ok(all
        .contains(permitted)
        .then(|| names.map(|(_, name)| name).collect()))
}

/// Whether the directory and everything directly in it belong to root, so that root needs no capability to write them.
fn is_owned_by_root(directory: &Path) -> io::Result<bool> {
    let is_of_root = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.uid() == 0);
    for entry in fs::read_dir(directory)? {
        if !is_of_root(&entry?.path())? {
            return Ok(false);
        }
    }
    is_of_root(directory)
}
