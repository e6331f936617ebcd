//! Every task with its templates, compiled.
//!
//! A task is a directory. A file that it lacks comes from its base, then from the common directory. In each of these
//! directories a file of the site takes precedence over the built-in one. So a task's templates refer to each other by their
//! bare names, whichever directory they come from, and a site can replace a single file of a shipped task.
//! `redhat/ks.cfg.j2` names the file of one directory, and `built-in/redhat/ks.cfg.j2` the built-in file, for a template
//! that extends the one it replaces.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    model::TaskName,
    site::{Diagnostic, Resolved, Site},
};

use super::{
    boot::ipxe::IpxeScripts,
    broker,
    fingerprint::Fingerprint,
    first_boot_scripts::FirstBootScript,
    task::TaskSpec,
    task_specs::{base_chain, load, merge},
    template_errors::report_all,
    template_set::TemplateSet,
    template_sources::{COMMON, TASKS, TemplateSources},
};

/// Every task with its templates, compiled.
#[derive(Debug, Clone, Default)]
pub struct Library {
    pub(super) sources: TemplateSources,
    tasks: BTreeMap<TaskName, Arc<Task>>,
    pub(super) first_boot_scripts: BTreeMap<Arc<str>, Arc<FirstBootScript>>,
    ipxe_scripts: Arc<IpxeScripts>,
    brokers: BTreeMap<String, Arc<TemplateSet>>,
    /// Tasks that exist and cannot be used.
    invalid: BTreeSet<TaskName>,
    /// Mistakes in the templates and task.toml files.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// One task, ready to be rendered.
#[derive(Debug)]
pub struct Task {
    pub name: TaskName,
    pub spec: TaskSpec,
    pub(super) templates: TemplateSet,
}

impl Library {
    pub fn task(&self, name: &TaskName) -> Option<&Arc<Task>> {
        self.tasks.get(name)
    }

    /// Whether the task exists, valid or not.
    pub(super) fn has(&self, name: &TaskName) -> bool {
        self.tasks.contains_key(name) || self.invalid.contains(name)
    }

    /// All tasks, ordered by name.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values()
    }

    /// A first-boot script, by its path in the site.
    pub(super) fn first_boot_script(&self, path: &str) -> Option<&Arc<FirstBootScript>> {
        self.first_boot_scripts.get(path)
    }

    /// The templates of a broker kind's script.
    pub(super) fn broker(&self, kind: &str) -> Option<&Arc<TemplateSet>> {
        self.brokers.get(kind)
    }

    /// The broker kinds that have a script.
    pub(super) fn brokers(&self) -> impl Iterator<Item = &str> {
        self.brokers.keys().map(String::as_str)
    }

    /// The iPXE scripts that belong to no task.
    pub fn ipxe_scripts(&self) -> &IpxeScripts {
        &self.ipxe_scripts
    }

    /// The fingerprint of all templates that a machine's documents are rendered from. While it, the machine's declaration and
    /// the external inputs are unchanged, so are its documents.
    pub fn fingerprint_for(&self, resolved: &Resolved) -> Fingerprint {
        let task = resolved.task.as_ref().and_then(|task| self.tasks.get(task));
        let mut fingerprint =
            task.map_or(Fingerprint::default(), |task| task.templates.fingerprint);
        let broker = resolved.broker.as_ref();
        if let Some(templates) = broker.and_then(|broker| self.broker(&broker.kind.value)) {
            fingerprint = fingerprint.with(templates.fingerprint);
        }
        let scripts = resolved
            .settings
            .first_boot
            .iter()
            .flat_map(|list| list.values());
        for script in scripts {
            if let Some(script) = self.first_boot_scripts.get(script.as_str()) {
                fingerprint = fingerprint.with(script.fingerprint());
            }
        }
        fingerprint
    }

    /// Whether a template of the site for a machine's files can make values that grow without a bound.
    pub fn can_grow_for(&self, resolved: &Resolved) -> bool {
        self.templates_for(resolved)
            .any(|templates| templates.can_grow)
    }

    /// Whether a template for a machine's files calls `secret`.
    pub fn uses_secrets_for(&self, resolved: &Resolved) -> bool {
        self.templates_for(resolved)
            .any(|templates| templates.uses_secrets)
    }

    /// The templates of a machine's task, of its broker and of its scripts.
    fn templates_for<'a>(
        &'a self,
        resolved: &'a Resolved,
    ) -> impl Iterator<Item = &'a TemplateSet> {
        let task = resolved.task.as_ref().and_then(|task| self.tasks.get(task));
        let broker = resolved.broker.as_ref();
        let broker = broker.and_then(|broker| self.broker(&broker.kind.value));
        let scripts = resolved.settings.first_boot.iter();
        let scripts = scripts
            .flat_map(|list| list.values())
            .filter_map(|path| self.first_boot_script(path)?.templates());
        let task = task.map(|task| &task.templates);
        task.into_iter()
            .chain(broker.map(AsRef::as_ref))
            .chain(scripts)
    }

    /// Whether every file of `before` is still here, unchanged, and no template was added.
    pub fn has_all_of(&self, before: &Library) -> bool {
        let is_kept = |(path, known): (&Arc<str>, &Arc<FirstBootScript>)| {
            self.first_boot_scripts
                .get(path)
                .is_some_and(|now| now.fingerprint() == known.fingerprint())
        };
        self.sources == before.sources && before.first_boot_scripts.iter().all(is_kept)
    }

    pub(super) fn new(
        site: &Site,
        sources: TemplateSources,
        previous: Option<&Library>,
    ) -> Library {
        let mut diagnostics = Vec::new();
        let tomls = load(site, &sources, &mut diagnostics);
        let chains: BTreeMap<_, _> = tomls
            .keys()
            .map(|name| (name, base_chain(&tomls, name)))
            .collect();
        let mut tasks = BTreeMap::new();
        let directories = sources
            .directories(TASKS)
            .into_iter()
            .filter_map(|name| name.parse().ok());
        let mut invalid: BTreeSet<TaskName> = directories.collect();
        for (name, chain) in &chains {
            let Some(spec) = merge(&tomls, chain, site, &sources, &mut diagnostics) else {
                continue;
            };
            let unchanged = previous.and_then(|library| library.tasks.get(*name));
            let task = Task::new(
                name,
                chain,
                spec,
                &sources,
                unchanged,
                site,
                &mut diagnostics,
            );
            invalid.remove(*name);
            tasks.insert((*name).clone(), task);
        }
        let ipxe_scripts = IpxeScripts::new(&sources, site, &mut diagnostics);
        let brokers = broker::compile(&sources, site, &mut diagnostics);
        Library {
            sources,
            tasks,
            first_boot_scripts: BTreeMap::new(),
            ipxe_scripts: Arc::new(ipxe_scripts),
            brokers,
            invalid,
            diagnostics,
        }
    }
}

impl Task {
    fn new(
        name: &TaskName,
        chain: &[TaskName],
        spec: TaskSpec,
        sources: &TemplateSources,
        previous: Option<&Arc<Task>>,
        site: &Site,
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Arc<Task> {
        let directories: Vec<String> = chain
            .iter()
            .map(|name| format!("{TASKS}{name}/"))
            .chain([COMMON.to_string()])
            .collect();
        let wanted: BTreeSet<String> = spec
            .files
            .iter()
            .filter_map(|file| file.template.clone())
            .collect();
        let (templates, mistakes) = TemplateSet::collect(sources, &directories, &wanted);
        report_all(site, mistakes, diagnostics);
        match previous {
            Some(previous)
                if previous.templates.fingerprint == templates.fingerprint
                    && previous.spec == spec =>
            {
                previous.clone()
            }
            _ => Arc::new(Task {
                name: name.clone(),
                spec,
                templates: templates.compile(),
            }),
        }
    }
}
