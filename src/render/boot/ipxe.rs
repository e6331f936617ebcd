//! iPXE scripts that belong to no attempt: the script that every machine runs first, and those for a machine that installs
//! nothing now.
//!
//! A site may replace any of them under `templates/ipxe/`. If a site's script cannot be rendered, the built-in one is used:
//! a machine that waits for its script cannot show an error.

use std::collections::BTreeSet;

use minijinja::{Value, context};

use crate::{
    model::LocalBoot,
    site::{Diagnostic, Site},
};

use super::{
    super::{
        template_errors::diagnostic,
        template_set::TemplateSet,
        template_sources::{COMMON, IPXE, TemplateSources},
    },
    BootAction, DiskBoot, MicrokernelBoot, screen_line,
};

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
            (templates.compile().for_requests(), mistakes)
        };
        let (own, mut mistakes) = gather(sources);
        let (built_in, _) = gather(&TemplateSources::default());
        // They are rendered at each network boot, by the thread that answers all requests.
        mistakes.extend(own.growing());
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

    /// Returns the script of a boot. A machine that must wait requests `url`, its request, again.
    pub fn answer(&self, action: &BootAction, url: impl FnOnce() -> String) -> Vec<u8> {
        let script = match action {
            BootAction::Installer(script) => return script.clone(),
            BootAction::Disk(disk) => self.render(LOCAL, local_context(disk)),
            BootAction::Held { reason, disk } => {
                let disk = DiskBoot {
                    reason: Some(reason.clone()),
                    ..disk.clone()
                };
                self.render(HELD, local_context(&disk))
            }
            BootAction::Wait(reason) => self.render(WAIT, wait_context(reason, &url())),
            BootAction::Microkernel(boot) => self.render(MICROKERNEL, microkernel_context(boot)),
        };
        script.into_bytes()
    }
}

/// Requests the URL again every 30 seconds.
fn wait_context(reason: &str, url: &str) -> Value {
    context! { url => url, reason => screen_line(reason), quoting => "ipxe" }
}

fn microkernel_context(boot: &MicrokernelBoot) -> Value {
    let url = |name| format!("{}/{name}", boot.base);
    context! {
        kernel => url(boot.kernel),
        initrd => url(boot.initrd),
        words => boot.cmdline.clone(),
        quoting => "ipxe",
    }
}

fn local_context(disk: &DiskBoot) -> Value {
    context! {
        how => local_boot_name(disk.how),
        platform => disk.platform.map(|platform| platform.to_string()),
        reason => disk.reason.as_deref().map(screen_line),
        no_disk => disk.no_disk.clone(),
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
        reason: Some("an example".into()),
        no_disk: Some("http://192.0.2.1/t/0/stage/no-disk".into()),
        ..DiskBoot::default()
    };
    let url = "http://192.0.2.1/boot";
    [
        (
            ENTRY,
            context! { base => "http://192.0.2.1", boot => "0", quoting => "ipxe" },
        ),
        (LOCAL, local_context(&disk)),
        (WAIT, wait_context("an example", url)),
        (HELD, local_context(&disk)),
        (
            MICROKERNEL,
            microkernel_context(&MicrokernelBoot {
                base: "http://192.0.2.1/microkernel".into(),
                kernel: "vmlinuz",
                initrd: "initrd",
                cmdline: vec!["quiet".into()],
            }),
        ),
    ]
}
