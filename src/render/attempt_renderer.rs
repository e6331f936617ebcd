//! What the files of one attempt are put together from.

use std::collections::BTreeMap;

use minijinja::Value;

use crate::{
    model::{Arch, Broker, Hostname, Mac},
    site::Diagnostic,
};

use super::{
    boot::boot_cfg,
    broker, context, esxi as esxi_text, first_boot, hand_over,
    hostname::hostname,
    library::Task,
    net::{self, LinkView, NetText},
    quote::FileFormat,
    repo::{self, TaskRepo},
    request::{FileBody, FileKind, RenderRequest, RenderedAttempt, RenderedFile},
    requested_settings,
    task::{Dialect, FileSpec, GeneratedFile},
    values,
};

/// What the files of one attempt are put together from.
pub(super) struct AttemptRenderer<'a> {
    request: &'a RenderRequest<'a>,
    task: &'a Task,
    broker: Option<&'a Broker>,
    hostname: Hostname,
    mac: Option<Mac>,
    net: NetText,
    repo: Option<TaskRepo<'a>>,
    shared: BTreeMap<&'static str, Value>,
}

impl<'a> AttemptRenderer<'a> {
    pub(super) fn gather(
        request: &'a RenderRequest<'a>,
        task: &'a Task,
        found: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let resolved = request.resolved;
        let (name, spec) = (task.name.as_str(), &task.spec);
        found.extend(values::mistakes(&resolved.settings));
        found.extend(requested_settings::unmet(
            request.site,
            name,
            spec,
            resolved,
        ));
        let passwords =
            requested_settings::passwords(name, spec, &resolved.settings, request.external, found);
        let hostname = hostname(resolved, request.facts)
            .map_err(|wrong| found.push(wrong))
            .ok()?;
        let repo = repo::find(
            name,
            spec,
            resolved.repo.as_deref(),
            request.external,
            request.arch,
            &request.urls.base,
        )
        .map_err(|wrong| found.push(wrong))
        .ok();
        found.extend(
            repo.iter()
                .flatten()
                .flat_map(|repo| repo::doubts(spec, repo)),
        );
        let plan = net::named(&resolved.net);
        let bad = net::unsound(&plan);
        let declared = resolved.declared.as_ref().map(|node| node.span());
        if !bad.is_empty() {
            found.extend(
                bad.into_iter()
                    .map(|message| Diagnostic::error(message, declared)),
            );
            return None;
        }
        let view = LinkView {
            plan: &plan,
            elsewhere: resolved.net.boot_network.is_some(),
        };
        let net = net::express(spec.dialect, &view, &hostname);
        found.extend(requested_settings::too_long(&net.words, resolved));
        found.extend(requested_settings::locked_out(spec, resolved, &passwords));
        let runs = requested_settings::runs_first_boot(spec, &resolved.settings);
        let later = first_boot::made_up_for(task, &net, runs, found);
        let install = match spec.dialect {
            Dialect::Esxi => esxi(request, task, &passwords, found),
            _ => minijinja::context! {},
        };
        let parts = context::TemplateInputs {
            task,
            resolved,
            facts: request.facts,
            hostname: &hostname,
            plan: &plan,
            net: &net,
            later: &later,
            runs_first_boot: runs,
            passwords: &passwords,
            urls: &request.urls,
            repo: repo
                .as_ref()?
                .as_ref()
                .map_or(Value::from(()), TaskRepo::seen),
            esxi: install,
            secrets: first_boot::uses_secrets(request, task)
                .then(|| request.external.secrets.clone()),
        };
        let mut shared = context::shared(&parts);
        let scripts = first_boot::scripts(
            request,
            &shared,
            spec.files
                .iter()
                .any(|file| file.quoting == FileFormat::Esxi),
            found,
        );
        shared.insert("first_boot", Value::from(scripts));
        let broker = hand_over::of(request, task)
            .map_err(|wrong| found.push(wrong))
            .ok()?;
        shared.insert("broker", broker.map_or(Value::from(()), hand_over::seen));
        let mac = view
            .installer_mac()
            .or_else(|| resolved.macs.first().copied());
        Some(AttemptRenderer {
            request,
            task,
            broker,
            hostname,
            mac,
            net,
            repo: repo?,
            shared,
        })
    }

    pub(super) fn files(&self, found: &mut Vec<Diagnostic>) -> Option<RenderedAttempt> {
        let mut files = Vec::new();
        let before = found.len();
        let by_grub = self.boots_by_grub();
        let all = self.task.spec.files.iter();
        for file in all.filter(|file| file.only.is_none() || by_grub) {
            let body = match self.body(file) {
                Ok(Some(body)) => body,
                Ok(None) => continue,
                Err(wrong) => {
                    // One mistake may show in several files.
                    found.extend(
                        wrong
                            .into_iter()
                            .filter(|one| !found.contains(one))
                            .collect::<Vec<_>>(),
                    );
                    continue;
                }
            };
            for name in [Some(&file.name), file.also.as_ref()].into_iter().flatten() {
                files.extend(self.named(name).map(|name| RenderedFile {
                    name,
                    kind: if file.document {
                        FileKind::Document
                    } else {
                        FileKind::Auxiliary
                    },
                    content_type: file.content_type(),
                    body: body.clone(),
                }));
            }
        }
        match self.hand_over() {
            Ok(script) => files.extend(script),
            Err(wrong) => found.push(wrong),
        }
        (found.len() == before).then(|| RenderedAttempt {
            hostname: self.hostname.clone(),
            files,
        })
    }

    /// The script by which a broker takes the machine over.
    fn hand_over(&self) -> Result<Option<RenderedFile>, Diagnostic> {
        let templates = self
            .broker
            .and_then(|broker| self.request.library.broker(&broker.kind.value));
        let Some(templates) = templates else {
            return Ok(None);
        };
        let context = context::file(&self.shared, FileFormat::Shell);
        let text = templates.render(broker::TEMPLATE, context);
        let text = text.map_err(|wrong| self.request.mistake(wrong))?;
        Ok(Some(RenderedFile {
            name: broker::HAND_OVER.into(),
            kind: FileKind::Auxiliary,
            content_type: "text/x-shellscript; charset=utf-8",
            body: FileBody::Bytes(text.into_bytes()),
        }))
    }

    fn boots_by_grub(&self) -> bool {
        let secure = self.request.resolved.settings.secure_boot.as_deref();
        secure.is_some_and(|at| at.value) || self.request.arch == Arch::Arm64
    }

    /// A file's name for this machine; none when it wants an address that is not known.
    fn named(&self, name: &str) -> Option<String> {
        match (name.contains("{mac}"), self.mac) {
            (false, _) => Some(name.to_string()),
            (true, mac) => Some(name.replace("{mac}", &mac?.hyphens())),
        }
    }

    /// What a file holds; none when the repo does not have it and need not.
    fn body(&self, file: &FileSpec) -> Result<Option<FileBody>, Vec<Diagnostic>> {
        match (&file.template, &file.repo_file, file.make) {
            (Some(template), _, _) => {
                let context = context::file(&self.shared, file.quoting);
                let text = self
                    .task
                    .templates
                    .render(template, context)
                    .map_err(|wrong| vec![self.request.mistake(wrong)])?;
                Ok(Some(FileBody::Bytes(text.into_bytes())))
            }
            (_, Some(key), _) => self.of_repo(key),
            (_, _, Some(GeneratedFile::BootCfg)) => self
                .boot_cfg()
                .map(|text| Some(FileBody::Bytes(text.into_bytes()))),
            (None, None, None) => Ok(None),
        }
    }

    /// A file of the repo; none when it does not have it and need not.
    fn of_repo(&self, key: &str) -> Result<Option<FileBody>, Vec<Diagnostic>> {
        let Some((found, path)) = self
            .repo
            .as_ref()
            .and_then(|found| Some((found, found.paths.get(key)?)))
        else {
            return Ok(None);
        };
        if found.tree.is_none() {
            let message = format!(
                "`{path}` of repo `{}` has to be handed out from here, and the repo is a URL",
                found.repo.name
            );
            return Err(vec![
                Diagnostic::error(message, repo::span(found.repo))
                    .help("name the image by `path` or `iso`"),
            ]);
        }
        Ok(Some(FileBody::Repo {
            repo: found.repo.name.value.clone(),
            path: path.clone(),
        }))
    }

    fn boot_cfg(&self) -> Result<String, Vec<Diagnostic>> {
        let Some(found) = &self.repo else {
            return Err(Vec::new());
        };
        let wrong = |message: String| Diagnostic::error(message, repo::span(found.repo));
        let text = found
            .tree
            .zip(found.paths.get(boot_cfg::LAYOUT_KEY))
            .and_then(|(tree, path)| tree.get(&path.to_lowercase())?.as_ref()?.text.clone());
        let Some(text) = text else {
            return Err(vec![
                wrong(format!(
                    "the boot.cfg of repo `{}` is not at hand, and it has to be rewritten",
                    found.repo.name
                ))
                .help("name the image by `path` or `iso`"),
            ]);
        };
        let mut words: Vec<String> = self
            .request
            .resolved
            .settings
            .kernel_args
            .iter()
            .flat_map(|list| list.values().cloned())
            .collect();
        words.push(format!("ks={}", self.request.urls.document("ks.cfg")));
        words.extend(self.mac.map(|mac| format!("BOOTIF=01-{}", mac.hyphens())));
        words.extend(self.net.words.iter().cloned());
        let changes = boot_cfg::BootCfgChanges {
            prefix: found.url.clone(),
            words,
        };
        let find = |path: &str| Some(found.tree?.get(path)?.as_ref()?.path.clone());
        boot_cfg::rewrite(&text, &changes, find).map_err(|messages| {
            messages
                .into_iter()
                .map(|message| wrong(format!("repo `{}`: {message}", found.repo.name)))
                .collect()
        })
    }
}

/// What ESXi's kickstart wants in words of its own.
fn esxi(
    request: &RenderRequest<'_>,
    task: &Task,
    passwords: &requested_settings::PasswordHashes,
    found: &mut Vec<Diagnostic>,
) -> Value {
    let settings = &request.resolved.settings;
    if passwords.root.is_none() && !found.iter().any(|one| one.message.contains("password")) {
        let node = request.resolved.declared.as_ref().map(|node| node.span());
        found.push(
            Diagnostic::error(
                format!("task `{}` needs a password for root", task.name),
                node,
            )
            .help("set `root-password-hash` or `root-password-file`"),
        );
    }
    let mut keep = |result: Result<String, Diagnostic>| {
        result
            .map_err(|wrong| found.push(wrong))
            .unwrap_or_default()
    };
    let install = keep(esxi_text::install(settings));
    let keyboard = keep(values::esxi_keyboard(settings.keyboard.as_deref()).map(String::from));
    let license =
        keep(esxi_text::license(request.resolved, request.external).map(Option::unwrap_or_default));
    minijinja::context! { install => install, choice => esxi_text::choice(settings), keyboard => keyboard, license => license }
}
