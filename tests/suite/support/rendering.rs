//! A site, its repos and one machine's files, in memory.

use std::{collections::BTreeMap, sync::Arc};

use bootwright::{
    model::{Arch, Facts, NetworkName, NodeName, Platform, RepoName},
    render::{
        self, ExternalInputs, FileBody, Library, RenderRequest, RenderedAttempt, RepoContents,
        TreeFile, Urls,
    },
    site::{self, Diagnostic, LoadCache, Site, SiteFiles, Subject},
};

pub(crate) const SITE: &str = include_str!("../../fixtures/render/site.toml");

/// One node for each kind of network, with the policy `image`.
const NETWORKS: &str = include_str!("../../fixtures/render/networks.toml");

/// The nodes of `networks.toml` with another policy: `debian`, `image` or `rocky`.
pub(crate) fn networks(policy: &str) -> Rendering {
    let policy = format!("policy = \"{policy}\"");
    rendering(&NETWORKS.replace("policy = \"image\"", &policy), &[])
}

/// The boot.cfg of an image by VMware.
pub(crate) const BOOT_CFG: &str = "bootstate=0\ntitle=Loading ESXi installer\ntimeout=5\nprefix=\nkernel=/b.b00\nkernelopt=runweasel cdromBoot\nmodules=/jumpstrt.gz --- /useropts.gz --- /k.b00 --- /s.v00\nbuild=8.0.3-0.0.24022510\nupdated=0\n";

/// A site in memory.
pub(crate) struct Rendering {
    pub(crate) site: Site,
    pub(crate) files: SiteFiles,
    pub(crate) library: Library,
    pub(crate) external: ExternalInputs,
    /// The diagnostics for the site and its templates.
    pub(crate) found: Vec<Diagnostic>,
    /// What machines report.
    pub(crate) arch: Option<Arch>,
}

/// The other files of every site of these tests.
const SCRIPTS: [(&str, &str); 2] = [
    (
        "templates/first-boot/tune.sh",
        "echo \"it's tuned\" > /tmp/tuned\n",
    ),
    (
        "templates/first-boot/name.sh.j2",
        "logger {{ (node.short ~ \" in unit \" ~ vars.unit) | sh }}\n",
    ),
];

/// Loads declarations together with further files. The repos have every file.
pub(crate) fn rendering(toml: &str, more: &[(&str, &str)]) -> Rendering {
    rendering_with(toml, more, |_, _| Some(BOOT_CFG.to_owned()))
}

/// Loads declarations together with further files. `text_of` returns the text of a file of a repo, if it has that file.
pub(crate) fn rendering_with(
    toml: &str,
    more: &[(&str, &str)],
    text_of: impl Fn(&str, &str) -> Option<String>,
) -> Rendering {
    let texts = SCRIPTS
        .iter()
        .chain(more)
        .copied()
        .chain([("policies.d/site.toml", toml)]);
    let content: BTreeMap<Arc<str>, Arc<[u8]>> = texts
        .map(|(path, text)| (Arc::from(path), Arc::from(text.as_bytes())))
        .collect();
    let files = SiteFiles {
        content,
        ..SiteFiles::default()
    };
    let (site, mut found) = site::load(&files, &mut LoadCache::default());
    let (library, mistakes) = render::compile(&site, &files, None);
    found.extend(mistakes);
    let mut external = ExternalInputs::default();
    look_up(&site, &library, &mut external, text_of);
    external.v6_urls = v6_urls(&site);
    Rendering {
        site,
        files,
        library,
        external,
        found,
        arch: Some(Arch::X86_64),
    }
}

/// The server's URLs in networks with a subnet of IPv6.
fn v6_urls(site: &Site) -> BTreeMap<NetworkName, String> {
    let networks = site.networks.iter().filter(|(_, network)| {
        let subnets = network.body.subnet.as_ref();
        subnets.is_some_and(|list| list.values().any(|subnet| subnet.0.addr().is_ipv6()))
    });
    networks
        .map(|(name, _)| (name.clone(), "http://[2001:db8::1]".to_owned()))
        .collect()
}

/// Looks up the needed files.
fn look_up(
    site: &Site,
    library: &Library,
    external: &mut ExternalInputs,
    text_of: impl Fn(&str, &str) -> Option<String>,
) {
    for repo in site.repos.values() {
        let view = match &repo.body.url {
            Some(url) => RepoContents::Url(url.value.clone()),
            None => RepoContents::Tree {
                files: BTreeMap::new(),
            },
        };
        external.repos.insert(repo.name.value.clone(), view);
    }
    loop {
        let wanted = render::needed_lookups(site, library, external);
        if wanted.is_empty() {
            return;
        }
        for want in wanted {
            let Some(RepoContents::Tree { files }) = external.repos.get_mut(&want.repo) else {
                panic!("{want:?}")
            };
            let text = text_of(want.repo.as_str(), &want.path);
            let file = text.map(|text| TreeFile {
                path: want.path.clone(),
                size: 1,
                text: want.text.then(|| text.into()),
            });
            files.insert(want.path, file);
        }
    }
}

impl Rendering {
    /// The same site before its machines have reported their architecture.
    pub(crate) fn of_unknown_architecture(self) -> Rendering {
        Rendering { arch: None, ..self }
    }

    /// Renders one node's files, with the diagnostics of `check`.
    pub(crate) fn inspect(&self, node: &str) -> (Option<RenderedAttempt>, Vec<Diagnostic>) {
        self.with(node, render::inspect_attempt)
    }

    /// Calls `use_it` with the inputs from which one node's files are rendered.
    pub(crate) fn with<T>(&self, node: &str, use_it: impl FnOnce(&RenderRequest<'_>) -> T) -> T {
        let name: NodeName = node.parse().expect("a name");
        let declared = &self.site.nodes[&name];
        let subject = Subject {
            name: &name,
            declared: Some(declared),
            macs: Vec::new(),
            pooled: None,
        };
        let policy = declared
            .body
            .policy
            .as_ref()
            .and_then(|policy| self.site.policies.get(&policy.value));
        let (resolved, found) = site::resolve(&self.site, &subject, policy.map(AsRef::as_ref));
        assert!(found.is_empty(), "{node}: {found:?}");
        let facts = Facts::default();
        use_it(&RenderRequest {
            site: &self.site,
            library: &self.library,
            external: &self.external,
            resolved: &resolved,
            facts: &facts,
            platform: Platform::Efi,
            arch: self.arch,
            urls: Urls {
                base: "http://192.0.2.1".into(),
                token: "0".repeat(32),
            },
            seal: Some("bootwright-seal/1/5f0c/00000000000000ab/db1/1/2026-11-22T12:00:00.000Z/000102030405060708090a0b0c0d0e0f".into()),
            attempt: 1,
        })
    }

    /// The text of one file of a node.
    pub(crate) fn text(&self, node: &str, name: &str) -> String {
        let (rendered, found) = self.inspect(node);
        let rendered = rendered.unwrap_or_else(|| panic!("{node}: {found:#?}"));
        let file = rendered
            .files
            .iter()
            .find(|file| file.name == name)
            .unwrap_or_else(|| panic!("{node} has no {name}"));
        text(&file.body)
    }

    /// The lookup result of a repo's file.
    pub(crate) fn forget(&mut self, repo: &str, path: &str) {
        let repo: RepoName = repo.parse().expect("a name");
        let Some(RepoContents::Tree { files }) = self.external.repos.get_mut(&repo) else {
            panic!("no tree")
        };
        files.insert(path.into(), None);
    }

    /// Every diagnostic as `file:line: message`, with notes and help.
    pub(crate) fn shown(&self, found: &[Diagnostic]) -> Vec<String> {
        found.iter().map(|one| shown(&self.site, one)).collect()
    }
}

fn shown(site: &Site, one: &Diagnostic) -> String {
    let span = one
        .span
        .map(|span| format!("{}: ", site.sources.file_line(span)));
    let notes: String = one.notes.iter().map(|note| format!(" [{note}]")).collect();
    let help = one.help.as_ref().map(|help| format!(" = {help}"));
    format!(
        "{}{}{notes}{}",
        span.unwrap_or_default(),
        one.message,
        help.unwrap_or_default()
    )
}

/// The content of a file, as text.
pub(crate) fn text(body: &FileBody) -> String {
    match body {
        FileBody::Bytes(bytes) => String::from_utf8(bytes.clone()).expect("text"),
        FileBody::Repo { repo, path } => format!("(file {path} of repo {repo})\n"),
    }
}

/// The files that a script of this text writes to the installed system, by name.
pub(crate) fn installed_files(script: &str) -> BTreeMap<String, String> {
    let starts = script.split("\ncat > '").skip(1);
    let written = starts.filter_map(|rest| {
        let (path, rest) = rest.split_once("' <<'BOOTWRIGHT'\n")?;
        let (text, _) = rest.split_once("\nBOOTWRIGHT\n")?;
        let name = path.rsplit('/').next()?;
        Some((name.to_string(), format!("{text}\n")))
    });
    written.collect()
}

/// All of a node's files, each under its name.
pub(crate) fn whole(rendered: &RenderedAttempt) -> String {
    let files = rendered.files.iter().map(|file| {
        format!(
            "==> {} ({:?}, {}) <==\n{}",
            file.name,
            file.kind,
            file.content_type,
            text(&file.body)
        )
    });
    files.collect::<Vec<_>>().join("\n")
}
