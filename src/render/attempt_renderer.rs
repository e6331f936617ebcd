//! Renders the files of one attempt.

use std::{
    borrow::Cow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use minijinja::Value;

use crate::{
    model::{Arch, Broker, Hostname, Mac},
    site::{Diagnostic, NetPlan, Resolved},
};

use super::{
    boot::boot_cfg,
    broker,
    contacts::{self, MachineFamilies, PhaseUrls},
    context::{self, SecretFunction, SharedValues},
    esxi as esxi_text, esxi_values, first_boot, hand_over, hostname,
    library::Task,
    located_files,
    net::{self, LinkView, NetText},
    quote::FileFormat,
    repo::{self, TaskRepo},
    request::{FileBody, FileKind, RenderRequest, RenderedAttempt, RenderedFile},
    requested_settings,
    task::{Dialect, FileSpec, GeneratedFile},
    task_vars, values,
};

/// One attempt, with everything that its files are rendered from.
pub(super) struct AttemptRenderer<'a> {
    request: &'a RenderRequest<'a>,
    task: &'a Task,
    broker: Option<&'a Broker>,
    hostname: Hostname,
    mac: Option<Mac>,
    net: NetText,
    /// Words of ESXi's kernel command line.
    boot_options: Vec<String>,
    repo: Option<TaskRepo<'a>>,
    shared: SharedValues,
    /// Whether a file contains a secret.
    uses_secrets: Arc<AtomicBool>,
}

impl<'a> AttemptRenderer<'a> {
    /// Computes the values for the templates. None when an error makes rendering pointless.
    pub(super) fn prepare(
        request: &'a RenderRequest<'a>,
        task: &'a Task,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let (resolved, spec) = (request.resolved, &task.spec);
        diagnostics.extend(setting_mistakes(request, task));
        let passwords = requested_settings::passwords(
            task.name.as_str(),
            spec,
            &resolved.settings,
            request.external,
            diagnostics,
        );
        let hostname = hostname::hostname(resolved, request.facts)
            .map_err(|error| diagnostics.push(error))
            .ok()?;
        diagnostics.extend(hostname::too_long(&hostname, task, resolved));
        let plan = valid_plan(resolved, diagnostics)?;
        let families = MachineFamilies::of(resolved, &plan, spec.dialect);
        let plan = contacts::reachable_plan(plan, resolved, families.system, diagnostics);
        let urls = PhaseUrls::of(request, families).map_err(|error| diagnostics.push(error));
        let urls = urls.ok()?;
        let repo = find_repo(request, task, &urls, diagnostics);
        if let Ok(Some(repo)) = &repo {
            diagnostics.extend(contacts::unreachable_sources(
                resolved,
                families.installer,
                repo.packages_url(),
            ));
        }
        let view = LinkView {
            plan: &plan,
            in_boot_network: resolved.net.boot_network.is_some(),
        };
        let net = net::express(spec.dialect, &view, &hostname);
        diagnostics.extend(requested_settings::too_long(&net.cmdline, resolved));
        diagnostics.extend(requested_settings::locked_out(spec, resolved, &passwords));
        let runs_first_boot = requested_settings::runs_first_boot(spec, &resolved.settings);
        let commands = first_boot::deferred_settings(task, &net, runs_first_boot, diagnostics);
        diagnostics.extend(
            net.risks
                .iter()
                .map(|risk| Diagnostic::warning(risk.message.clone(), risk.span).help(risk.help)),
        );
        let (esxi, boot_options) = match spec.dialect {
            Dialect::Esxi => esxi_values::values(request, task, diagnostics),
            _ => (minijinja::context! {}, Vec::new()),
        };
        let repo = repo.ok()?;
        // A licence that a secret holds becomes part of the document too.
        let has_license = spec.dialect == Dialect::Esxi && esxi_text::has_secret_license(resolved);
        let uses_secrets = Arc::new(AtomicBool::new(has_license));
        let shared = context::shared(&context::TemplateInputs {
            task,
            resolved,
            facts: request.facts,
            hostname: &hostname,
            plan: &plan,
            net: &net,
            first_boot_commands: &commands,
            runs_first_boot,
            passwords: &passwords,
            urls: &urls,
            reached: &request.urls.base,
            seal: request.seal.as_deref(),
            repo: repo.as_ref().map_or(Value::from(()), TaskRepo::value),
            esxi,
            secrets: request.library.uses_secrets_for(resolved).then(|| {
                SecretFunction::new(request.external.secrets.clone(), uses_secrets.clone())
            }),
        });
        let mac = view
            .installer_mac()
            .or_else(|| resolved.macs.first().copied());
        AttemptRenderer {
            request,
            task,
            broker: None,
            hostname,
            mac,
            net,
            boot_options,
            repo,
            shared,
            uses_secrets,
        }
        .with_scripts(diagnostics)
    }

    /// Adds the first-boot scripts and the broker to the values for the templates.
    fn with_scripts(mut self, diagnostics: &mut Vec<Diagnostic>) -> Option<Self> {
        let files = &self.task.spec.files;
        let inside = files.iter().any(|file| file.quoting == FileFormat::Esxi);
        let scripts = first_boot::scripts(self.request, &self.shared, inside, diagnostics);
        self.broker = hand_over::scripted_broker(self.request, self.task)
            .map_err(|error| diagnostics.push(error))
            .ok()?;
        let broker = self.broker.map_or(Value::from(()), hand_over::broker_value);
        let shared = Arc::make_mut(&mut self.shared);
        shared.insert("first_boot", Value::from(scripts));
        shared.insert("broker", broker);
        Some(self)
    }

    /// Renders all files. None when one of them has an error.
    pub(super) fn files(&self, diagnostics: &mut Vec<Diagnostic>) -> Option<RenderedAttempt> {
        let mut files = Vec::new();
        let before = diagnostics.len();
        let by_grub = self.boots_by_grub();
        let all = self.task.spec.files.iter();
        for file in all.filter(|file| file.only.is_none() || by_grub) {
            let body = match self.body(file) {
                Ok(Some(body)) => body,
                Ok(None) => continue,
                Err(error) => {
                    // Several files may have the same mistake.
                    diagnostics.extend(
                        error
                            .into_iter()
                            .filter(|one| !diagnostics.contains(one))
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
                    format: file.quoting,
                }));
            }
        }
        match self.hand_over() {
            Ok(script) => files.extend(script),
            Err(error) => diagnostics.push(error),
        }
        (diagnostics.len() == before).then(|| RenderedAttempt {
            hostname: self.hostname.clone(),
            files,
            uses_secrets: self.uses_secrets.load(Ordering::Relaxed),
        })
    }

    /// Renders the script of the broker.
    fn hand_over(&self) -> Result<Option<RenderedFile>, Diagnostic> {
        let templates = self
            .broker
            .and_then(|broker| self.request.library.broker(&broker.kind.value));
        let Some(templates) = templates else {
            return Ok(None);
        };
        let context = context::file(&self.shared, FileFormat::Shell, true);
        let text = templates.render(broker::TEMPLATE, context);
        let text = text.map_err(|error| self.request.template_diagnostic(error))?;
        Ok(Some(RenderedFile {
            name: broker::HAND_OVER.into(),
            kind: FileKind::Auxiliary,
            content_type: "text/x-shellscript; charset=utf-8",
            body: FileBody::Bytes(text.into_bytes()),
            format: FileFormat::Shell,
        }))
    }

    fn boots_by_grub(&self) -> bool {
        let settings = self.request.resolved.settings.effective();
        settings.secure_boot || self.arch() == Arch::Arm64
    }

    /// The architecture that the files are for.
    fn arch(&self) -> Arch {
        let of_files = self.repo.as_ref().map(|repo| repo.arch);
        let wanted = || repo::wanted_arch(self.request).unwrap_or(Arch::X86_64);
        of_files.unwrap_or_else(wanted)
    }

    /// A file's name for this machine. None if it contains the MAC, and the MAC is unknown.
    fn named(&self, name: &str) -> Option<String> {
        match (name.contains("{mac}"), self.mac) {
            (false, _) => Some(name.to_string()),
            (true, mac) => Some(name.replace("{mac}", &mac?.hyphens())),
        }
    }

    /// Returns the content of a file. None if it is an optional file that the repo lacks.
    fn body(&self, file: &FileSpec) -> Result<Option<FileBody>, Vec<Diagnostic>> {
        match (&file.template, &file.repo_file, file.make) {
            (Some(template), _, _) => {
                let context = context::file(&self.shared, file.quoting, file.installed);
                let text = self
                    .task
                    .templates
                    .render(template, context)
                    .map_err(|error| vec![self.request.template_diagnostic(error)])?;
                Ok(Some(FileBody::Bytes(text.into_bytes())))
            }
            (_, Some(key), _) => self.of_repo(key),
            (_, _, Some(GeneratedFile::BootCfg)) => self
                .boot_cfg()
                .map(|text| Some(FileBody::Bytes(text.into_bytes()))),
            (None, None, None) => Ok(None),
        }
    }

    /// Returns a file of the repo. None if it is an optional file that the repo lacks.
    fn of_repo(&self, key: &str) -> Result<Option<FileBody>, Vec<Diagnostic>> {
        let Some((repo, path)) = self
            .repo
            .as_ref()
            .and_then(|repo| Some((repo, repo.paths.get(key)?)))
        else {
            return Ok(None);
        };
        if repo.tree.is_none() {
            let message = format!(
                "`{path}` of repo `{}` has to be served from here, but the repo is a URL",
                repo.boot.name
            );
            return Err(vec![
                Diagnostic::error(message, located_files::span(repo.boot))
                    .help("set `path` or `iso` of the repo instead of `url`"),
            ]);
        }
        Ok(Some(FileBody::Repo {
            repo: repo.boot.name.value.clone(),
            path: path.clone(),
        }))
    }

    fn boot_cfg(&self) -> Result<String, Vec<Diagnostic>> {
        let Some(repo) = &self.repo else {
            return Err(Vec::new());
        };
        let error = |message: String| Diagnostic::error(message, located_files::span(repo.boot));
        let text = repo
            .tree
            .zip(repo.paths.get(boot_cfg::LAYOUT_KEY))
            .and_then(|(tree, path)| tree.get(&path.to_lowercase())?.as_ref()?.text.clone());
        let Some(text) = text else {
            return Err(vec![
                error(format!(
                    "the boot.cfg of repo `{}` was not read, and it has to be rewritten",
                    repo.boot.name
                ))
                .help("set `path` or `iso` of the repo instead of `url`"),
            ]);
        };
        let mut cmdline: Vec<String> = self
            .request
            .resolved
            .settings
            .kernel_args
            .iter()
            .flat_map(|list| list.values().cloned())
            .collect();
        cmdline.extend(self.boot_options.iter().cloned());
        cmdline.push(format!("ks={}", self.request.urls.document("ks.cfg")));
        cmdline.extend(self.mac.map(|mac| format!("BOOTIF=01-{}", mac.hyphens())));
        cmdline.extend(self.net.cmdline.iter().cloned());
        let changes = boot_cfg::BootCfgChanges {
            prefix: repo.url.clone(),
            kernelopt: cmdline,
        };
        let find = |path: &str| Some(repo.tree?.get(path)?.as_ref()?.path.clone());
        boot_cfg::rewrite(&text, &changes, find).map_err(|messages| {
            messages
                .into_iter()
                .map(|message| error(format!("repo `{}`: {message}", repo.boot.name)))
                .collect()
        })
    }
}

/// Returns invalid settings, and those that the task does not support.
fn setting_mistakes(request: &RenderRequest<'_>, task: &Task) -> Vec<Diagnostic> {
    let mut diagnostics = values::mistakes(&request.resolved.settings);
    diagnostics.extend(task_vars::mistakes(
        task.name.as_str(),
        &task.spec.vars,
        request.resolved,
    ));
    diagnostics.extend(requested_settings::unsupported(
        request.site,
        task.name.as_str(),
        &task.spec,
        request.resolved,
    ));
    diagnostics
}

/// Finds the files of the task in its repo, and reports missing ones. None when that fails.
fn find_repo<'a>(
    request: &'a RenderRequest<'a>,
    task: &'a Task,
    urls: &PhaseUrls,
    diagnostics: &mut Vec<Diagnostic>,
) -> Result<Option<TaskRepo<'a>>, ()> {
    let repo = repo::find(request, task, &urls.installer.base);
    let repo = repo.map_err(|error| diagnostics.push(error))?;
    diagnostics.extend(
        repo.iter()
            .flat_map(|repo| repo::missing_files(&task.spec, repo)),
    );
    let outside = repo
        .as_ref()
        .and_then(|repo| repo::packages_outside(request.resolved, &task.spec, repo));
    diagnostics.extend(outside);
    Ok(repo)
}

/// The machine's links, with a name for each VLAN. None when a name is invalid.
fn valid_plan<'a>(
    resolved: &'a Resolved,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Cow<'a, NetPlan>> {
    let plan = net::named(&resolved.net);
    let invalid = net::invalid_names(&plan);
    let node = resolved.declared.as_ref().map(|node| node.span());
    let is_valid = invalid.is_empty();
    diagnostics.extend(
        invalid
            .into_iter()
            .map(|message| Diagnostic::error(message, node)),
    );
    is_valid.then_some(plan)
}
