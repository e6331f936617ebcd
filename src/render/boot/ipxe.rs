//! iPXE scripts that belong to no attempt: the script that every machine runs first, and those for a machine that installs
//! nothing now.
//!
//! A site may replace any of them under `templates/ipxe/`. If a site's script cannot be rendered, the built-in one is used:
//! a machine that waits for its script cannot show an error.

use std::collections::BTreeSet;

use minijinja::{Value, context};

use crate::{
    model::{LocalBoot, Platform},
    site::{Diagnostic, Site},
};

use super::{
    super::{
        template_errors::diagnostic,
        template_set::TemplateSet,
        template_sources::{COMMON, IPXE, TemplateSources},
    },
    screen_line,
};

/// How a machine boots its local disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskBoot<'a> {
    /// The node's `local-boot`; `auto` if none.
    pub how: Option<LocalBoot>,
    /// Its firmware; if none, the script tests it.
    pub platform: Option<Platform>,
    /// The reason, shown on the machine's screen.
    pub reason: Option<&'a str>,
    /// The URL to which a BIOS machine reports that its disk does not boot.
    pub no_disk: Option<&'a str>,
}

/// The microkernel that a machine boots.
#[derive(Debug, Clone, Copy)]
pub struct MicrokernelBoot<'a> {
    /// A URL.
    pub kernel: &'a str,
    /// A URL.
    pub initrd: &'a str,
    /// The arguments on its command line.
    pub cmdline: &'a [String],
}

/// The compiled scripts of the site, and the built-in ones.
#[derive(Debug, Default)]
pub struct IpxeScripts {
    site: Option<TemplateSet>,
    built_in: Option<TemplateSet>,
}

const ENTRY: &str = "entry.ipxe.j2";
const LOCAL: &str = "local.ipxe.j2";
const WAIT: &str = "wait.ipxe.j2";
const HELD: &str = "held.ipxe.j2";
const MICROKERNEL: &str = "microkernel.ipxe.j2";

impl IpxeScripts {
    /// Compiles the scripts and renders an example of each.
    pub(in crate::render) fn new(
        sources: &TemplateSources,
        site: &Site,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> IpxeScripts {
        let wanted: BTreeSet<String> = [ENTRY, LOCAL, WAIT, HELD, MICROKERNEL]
            .map(String::from)
            .into();
        let directories = [IPXE.to_string(), COMMON.to_string()];
        let gather = |sources: &TemplateSources| {
            let (templates, mistakes) = TemplateSet::collect(sources, &directories, &wanted);
            (templates.compile(), mistakes)
        };
        let (own, mut mistakes) = gather(sources);
        let (built_in, _) = gather(&TemplateSources::default());
        if mistakes.is_empty() {
            mistakes.extend(
                examples()
                    .into_iter()
                    .filter_map(|(name, example)| own.render(name, example).err()),
            );
        }
        diagnostics.extend(
            mistakes
                .iter()
                .map(|(origin, mistake)| diagnostic(site, origin, mistake)),
        );
        IpxeScripts {
            site: Some(own),
            built_in: Some(built_in),
        }
    }

    fn render(&self, name: &str, context: Value) -> String {
        let rendered = [&self.site, &self.built_in]
            .into_iter()
            .flatten()
            // Errors in the site's scripts were reported when they were compiled.
            .find_map(|templates| templates.render(name, context.clone()).ok());
        rendered.unwrap_or_else(|| "#!ipxe\nexit 1\n".into())
    }
}

impl IpxeScripts {
    /// The first script of every machine: it sends what iPXE reports of the machine to `/boot`.
    pub fn entry(&self, base: &str, boot: &str) -> String {
        let context = context! { base => base, boot => boot, quoting => "ipxe" };
        self.render(ENTRY, context)
    }

    /// Boots a machine from its local disk.
    pub fn local(&self, disk: &DiskBoot<'_>) -> String {
        self.render(LOCAL, local_context(disk))
    }

    /// Makes a machine request `url` every 30 seconds.
    pub fn wait(&self, url: &str, reason: &str) -> String {
        let context = context! { url => url, reason => screen_line(reason), quoting => "ipxe" };
        self.render(WAIT, context)
    }

    /// Shows why a machine is held, then boots it from its local disk.
    pub fn held(&self, reason: &str, disk: &DiskBoot<'_>) -> String {
        let disk = DiskBoot {
            reason: Some(reason),
            ..*disk
        };
        self.render(HELD, local_context(&disk))
    }

    /// Boots the microkernel.
    pub fn microkernel(&self, boot: &MicrokernelBoot<'_>) -> String {
        let context = context! { kernel => boot.kernel, initrd => boot.initrd, words => boot.cmdline.to_vec(), quoting => "ipxe" };
        self.render(MICROKERNEL, context)
    }
}

fn local_context(disk: &DiskBoot<'_>) -> Value {
    context! {
        how => local_boot_name(disk.how),
        platform => disk.platform.map(|platform| platform.to_string()),
        reason => disk.reason.map(screen_line),
        no_disk => disk.no_disk,
        quoting => "ipxe",
    }
}

/// The name by which the templates of `ipxe/` choose how to boot the disk.
pub(in crate::render) fn local_boot_name(how: Option<LocalBoot>) -> &'static str {
    match how.unwrap_or(LocalBoot::Auto) {
        // `silent` only concerns DHCP: a machine that runs a script gets what fits its firmware.
        LocalBoot::Auto | LocalBoot::Silent => "auto",
        LocalBoot::Exit => "exit",
        LocalBoot::Exit1 => "exit1",
        LocalBoot::Sanboot => "sanboot",
    }
}

/// Example values for each script, so that mistakes are found when the site is loaded.
fn examples() -> [(&'static str, Value); 5] {
    let disk = DiskBoot {
        reason: Some("an example"),
        no_disk: Some("http://192.0.2.1/t/0/stage/no-disk"),
        ..DiskBoot::default()
    };
    let url = "http://192.0.2.1/boot";
    [
        (
            ENTRY,
            context! { base => "http://192.0.2.1", boot => "0", quoting => "ipxe" },
        ),
        (LOCAL, local_context(&disk)),
        (
            WAIT,
            context! { url => url, reason => "an example", quoting => "ipxe" },
        ),
        (HELD, local_context(&disk)),
        (
            MICROKERNEL,
            context! { kernel => url, initrd => url, words => ["quiet"], quoting => "ipxe" },
        ),
    ]
}
