//! Finds the loaders that a site's machines need, and reports missing ones.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    boot::Loader,
    disk::loaders::Loaders,
    model::{DhcpMode, Network, Settings, SourceSpan, TaskName},
    render::boot::mboot,
    site::{Diagnostic, Site},
};

/// Returns a diagnostic for each missing loader, at the setting that needs it, with the fix.
pub(crate) fn missing(root: &Path, site: &Site) -> Vec<Diagnostic> {
    let needed = needed(site);
    if needed.is_empty() {
        return Vec::new();
    }
    let loaders = find(root, site);
    let missing = needed
        .into_iter()
        .filter(|(name, _)| loaders.get(name).is_none());
    missing
        .map(|(name, span)| diagnostic(&name, span))
        .collect()
}

/// Searches for loaders in the directories of the site, then in those of the packages.
pub(crate) fn find(root: &Path, site: &Site) -> Loaders {
    let own = site.config.paths.loaders.iter();
    let own: Vec<PathBuf> = own
        .flat_map(|list| list.values())
        .map(|path| root.join(path))
        .collect();
    Loaders::find(&own)
}

/// Returns the names of all loaders that the machines of a site may request, each with the setting that needs it. If DHCP is
/// off in all networks, another DHCP server names the boot file, so none is needed.
pub(crate) fn needed(site: &Site) -> BTreeMap<String, SourceSpan> {
    let mut needed = BTreeMap::new();
    let mut need = |name: &str, span: SourceSpan| {
        needed.entry(name.to_owned()).or_insert(span);
    };
    let networks: Vec<_> = answered(site).collect();
    for (network, mode) in &networks {
        match &network.body.loader {
            Some(own) if own.value == mboot::LOADER => {}
            Some(own) => need(&own.value, own.span),
            // The firmware of a machine is not known before its first request.
            None => {
                for loader in [Loader::UNDIONLY, Loader::SNPONLY] {
                    need(loader.name, *mode);
                }
            }
        }
    }
    for settings in site.layers().filter(|_| !networks.is_empty()) {
        if let Some(own) = settings.loader.as_deref() {
            // This loader is in the ESXi image.
            if own.value != mboot::LOADER {
                need(&own.value, own.span);
            }
        } else if let Some(secure) = settings.secure_boot.as_deref().filter(|at| at.value)
            // ESXi's Secure Boot loader is in its image.
            && task(site, settings).is_none_or(|task| task.as_str() != mboot::TASK)
        {
            for loader in [Loader::SHIM, Loader::GRUB] {
                need(loader.name, secure.span);
            }
        }
    }
    needed
}

/// Returns the task that this layer sets itself.
fn task<'a>(site: &'a Site, settings: &'a Settings) -> Option<&'a TaskName> {
    let own = settings.task.as_deref();
    let repo = settings
        .repo
        .as_deref()
        .and_then(|name| site.repos.get(&name.value));
    let task = own.or_else(|| repo?.body.task.as_ref());
    task.map(|at| &at.value)
}

/// Returns the networks with DHCP on, each with the setting that enables it.
fn answered(site: &Site) -> impl Iterator<Item = (&Network, SourceSpan)> {
    let is_on = site.config.dhcp.effective().enabled;
    let networks = site.networks.values().filter(move |_| is_on);
    networks.filter_map(|network| {
        let mode = network.body.dhcp.as_ref()?;
        (mode.value != DhcpMode::Off).then_some((&**network, mode.span))
    })
}

/// Returns the diagnostic for a missing loader. A loader of a package is a warning: the package may be installed later, or the
/// site may be checked on another host. A loader that only the site can provide is an error, like a missing kernel.
fn diagnostic(name: &str, span: SourceSpan) -> Diagnostic {
    let message = format!("loader `{name}` is missing");
    match Loader::ALL
        .into_iter()
        .find(|loader| loader.name.eq_ignore_ascii_case(name))
    {
        Some(loader) => Diagnostic::warning(message, span).help(format!(
            "run `apt-get install {}`, or add a directory that contains it to `loaders` in `[paths]`",
            loader.package
        )),
        None => Diagnostic::error(message, span).help(
            "put it into a directory that `loaders` in `[paths]` names, or remove `loader`",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{self, LoadCache, SiteFiles};

    const DHCP: &str = "[network.lab]\nsubnet = \"192.0.2.0/24\"\ndhcp = \"reserve\"\n";
    const OFF: &str = "[network.lab]\nsubnet = \"192.0.2.0/24\"\nloader = \"own.efi\"\n";
    const NODE: &str = "[node.n1]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.0.2.21\"\n";

    fn site(declared: &str) -> Site {
        let (config, declared) = declared.split_once("=====").unwrap_or(("", declared));
        let content = [
            ("bootwright.toml", config),
            ("policies.d/site.toml", declared),
        ];
        let files = SiteFiles {
            content: content
                .map(|(path, text)| (path.into(), text.as_bytes().into()))
                .into(),
            ..SiteFiles::default()
        };
        site::load(&files, &mut LoadCache::default()).0
    }

    #[test]
    fn every_loader_that_machines_may_request_is_needed() {
        let cases = [
            (DHCP.to_owned(), vec!["snponly.efi", "undionly.kpxe"]),
            (format!("{DHCP}loader = \"own.efi\"\n"), vec!["own.efi"]),
            (
                format!("{DHCP}{NODE}loader = \"mboot.efi\"\n"),
                vec!["snponly.efi", "undionly.kpxe"],
            ),
            (
                format!("{DHCP}{NODE}loader = \"own.efi\"\n"),
                vec!["own.efi", "snponly.efi", "undionly.kpxe"],
            ),
            (
                format!("{DHCP}{NODE}secure-boot = true\n"),
                vec!["grubx64.efi", "shimx64.efi", "snponly.efi", "undionly.kpxe"],
            ),
            (
                format!("{DHCP}{NODE}secure-boot = true\nloader = \"own.efi\"\n"),
                vec!["own.efi", "snponly.efi", "undionly.kpxe"],
            ),
            (
                format!(
                    "{DHCP}[policy.p]\nloader = \"own.efi\"\n[defaults]\nloader = \"all.efi\"\n"
                ),
                vec!["all.efi", "own.efi", "snponly.efi", "undionly.kpxe"],
            ),
            (
                format!("{DHCP}{NODE}secure-boot = true\ntask = \"esxi\"\n"),
                vec!["snponly.efi", "undionly.kpxe"],
            ),
            (
                format!(
                    "{DHCP}{NODE}secure-boot = true\nrepo = \"e\"\n[repo.e]\npath = \"e\"\ntask = \"esxi\"\n"
                ),
                vec!["snponly.efi", "undionly.kpxe"],
            ),
            // DHCP is off, so another server names the boot file.
            (format!("{OFF}{NODE}secure-boot = true\n"), vec![]),
            (NODE.to_owned(), vec![]),
            (
                format!("[dhcp]\nenabled = false\n====={DHCP}{NODE}"),
                vec![],
            ),
        ];
        for (declared, expected) in cases {
            let needed = needed(&site(&declared));
            let names: Vec<&str> = needed.keys().map(String::as_str).collect();
            assert_eq!(names, expected, "{declared}");
        }
    }
}
