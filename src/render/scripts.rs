//! iPXE scripts that belong to no attempt: what every machine runs first, and what it gets when nothing is to
//! be installed.
//!
//! A site may replace any of them under `templates/ipxe/`. One that fails while it is rendered gives way to the
//! built-in one, since a machine that waits for a script has nobody to show a mistake to.

use std::collections::BTreeSet;

use minijinja::{Value, context};

use crate::{
    model::{LocalBoot, Platform},
    site::{Diagnostic, Site},
};

use super::{
    context::local_boot,
    library::{Library, located},
    template_set::TemplateSet,
    template_sources::{COMMON, IPXE, TemplateSources},
};

/// How a machine is sent to its own disk.
#[derive(Debug, Clone, Copy, Default)]
pub struct DiskBoot<'a> {
    /// The node's `local-boot`; none: `auto`.
    pub how: Option<LocalBoot>,
    /// Its firmware, when it is known; else iPXE is asked.
    pub platform: Option<Platform>,
    /// Why, for the machine's screen.
    pub reason: Option<&'a str>,
    /// Where a BIOS whose disk does not boot says so.
    pub no_disk: Option<&'a str>,
}

/// What an unknown machine boots so as to be looked at.
#[derive(Debug, Clone, Copy)]
pub struct MicrokernelBoot<'a> {
    /// The kernel's URL.
    pub kernel: &'a str,
    /// The URL of its initial file system.
    pub initrd: &'a str,
    /// Words for its command line.
    pub words: &'a [String],
}

/// The compiled scripts, the site's and those that are built in.
#[derive(Debug, Default)]
pub struct IpxeScripts {
    site: Option<TemplateSet>,
    built_in: Option<TemplateSet>,
}

const NAMES: [&str; 5] = [
    "entry.ipxe.j2",
    "local.ipxe.j2",
    "wait.ipxe.j2",
    "held.ipxe.j2",
    "microkernel.ipxe.j2",
];

impl IpxeScripts {
    /// Compiles the scripts and tries each one with an example.
    pub(super) fn new(
        texts: &TemplateSources,
        site: &Site,
        found: &mut Vec<Diagnostic>,
    ) -> IpxeScripts {
        let wanted: BTreeSet<String> = NAMES.iter().map(ToString::to_string).collect();
        let directories = [IPXE.to_string(), COMMON.to_string()];
        let gather = |texts: &TemplateSources| {
            let (templates, mistakes) = TemplateSet::gather(texts, &directories, &wanted);
            (templates.compiled(), mistakes)
        };
        let (own, mut mistakes) = gather(texts);
        let (built_in, _) = gather(&TemplateSources::default());
        if mistakes.is_empty() {
            mistakes.extend(
                examples()
                    .into_iter()
                    .filter_map(|(name, example)| own.render(name, example).err()),
            );
        }
        found.extend(
            mistakes
                .iter()
                .map(|(origin, mistake)| located(site, origin, mistake)),
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
            // What is wrong with the site's own was reported when it was compiled.
            .find_map(|templates| templates.render(name, context.clone()).ok());
        rendered.unwrap_or_else(|| "#!ipxe\nexit 1\n".into())
    }
}

/// The first script of every machine: it hands what iPXE knows of the machine to `/boot`.
pub fn entry(library: &Library, base: &str, boot: &str) -> String {
    library.scripts().render(
        NAMES[0],
        context! { base => base, boot => boot, quoting => "ipxe" },
    )
}

/// Sends a machine to its own disk.
pub fn local(library: &Library, local: &DiskBoot<'_>) -> String {
    library.scripts().render(NAMES[1], local_context(local))
}

/// Makes a machine ask again at `url`, every 30 seconds.
pub fn wait(library: &Library, url: &str, reason: &str) -> String {
    library.scripts().render(
        NAMES[2],
        context! { url => url, reason => on_screen(reason), quoting => "ipxe" },
    )
}

/// Shows why a machine is held, then sends it to its own disk.
pub fn held(library: &Library, reason: &str, local: &DiskBoot<'_>) -> String {
    let local = DiskBoot {
        reason: Some(reason),
        ..*local
    };
    library.scripts().render(NAMES[3], local_context(&local))
}

/// Boots the microkernel.
pub fn microkernel(library: &Library, kernel: &MicrokernelBoot<'_>) -> String {
    let context = context! { kernel => kernel.kernel, initrd => kernel.initrd, words => kernel.words.to_vec(), quoting => "ipxe" };
    library.scripts().render(NAMES[4], context)
}

fn local_context(local: &DiskBoot<'_>) -> Value {
    context! {
        how => local_boot(local.how),
        platform => local.platform.map(|platform| platform.to_string()),
        reason => local.reason.map(on_screen),
        no_disk => local.no_disk,
        quoting => "ipxe",
    }
}

/// A reason as one line that iPXE prints as it is: no variables, no operators, nothing that is not ASCII.
pub(super) fn on_screen(reason: &str) -> String {
    let plain: String = reason
        .chars()
        .map(|c| match c {
            '\u{20}'..='\u{7e}' if !"${}#;&|".contains(c) => c,
            _ => ' ',
        })
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let mut line = words.join(" ");
    line.truncate(200);
    line
}

/// One use of each script, so that a mistake in one shows when the site is loaded.
fn examples() -> [(&'static str, Value); 5] {
    let local = DiskBoot {
        reason: Some("an example"),
        no_disk: Some("http://192.0.2.1/t/0/stage/no-disk"),
        ..DiskBoot::default()
    };
    let url = "http://192.0.2.1/boot";
    [
        (
            NAMES[0],
            context! { base => "http://192.0.2.1", boot => "0", quoting => "ipxe" },
        ),
        (NAMES[1], local_context(&local)),
        (
            NAMES[2],
            context! { url => url, reason => "an example", quoting => "ipxe" },
        ),
        (NAMES[3], local_context(&local)),
        (
            NAMES[4],
            context! { kernel => url, initrd => url, words => ["quiet"], quoting => "ipxe" },
        ),
    ]
}
