//! Every task with its templates, compiled.
//!
//! A task is a directory. What it has not itself comes from its base, and at last from the common directory;
//! in each of them a file of the site's own wins over the one that is built in. So a task's templates see
//! each other by their bare names, whichever directory they come from, and a site can replace one file of a
//! shipped task and leave the rest alone. `redhat/ks.cfg.j2` names one directory's file, and
//! `built-in/redhat/ks.cfg.j2` the one that is built in, for a file that extends what it replaces.

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
    task_specs::{chain, merged, specs},
    template_errors::report,
    template_set::TemplateSet,
    template_sources::{COMMON, TASKS, TemplateSources},
};

/// Every task with its templates, compiled.
#[derive(Debug, Clone, Default)]
pub struct Library {
    pub(super) texts: TemplateSources,
    tasks: BTreeMap<TaskName, Arc<Task>>,
    pub(super) first_boot_scripts: BTreeMap<Arc<str>, Arc<FirstBootScript>>,
    ipxe_scripts: Arc<IpxeScripts>,
    brokers: BTreeMap<String, Arc<TemplateSet>>,
    /// Tasks that exist and cannot be used.
    flawed: BTreeSet<TaskName>,
    /// What was wrong with the templates alone.
    pub(super) diagnostics: Vec<Diagnostic>,
}

/// One task, ready to be rendered.
#[derive(Debug)]
pub struct Task {
    /// Its name.
    pub name: TaskName,
    /// What it is.
    pub spec: TaskSpec,
    pub(super) templates: TemplateSet,
}

impl Library {
    /// Returns a task by its name.
    pub fn task(&self, name: &TaskName) -> Option<&Arc<Task>> {
        self.tasks.get(name)
    }

    /// Whether there is such a task, sound or not.
    pub(super) fn has(&self, name: &TaskName) -> bool {
        self.tasks.contains_key(name) || self.flawed.contains(name)
    }

    /// Every task, by name.
    pub fn tasks(&self) -> impl Iterator<Item = &Arc<Task>> {
        self.tasks.values()
    }

    /// A first-boot script's template, by the path that the site writes.
    pub(super) fn first_boot_scripts(&self, path: &str) -> Option<&Arc<FirstBootScript>> {
        self.first_boot_scripts.get(path)
    }

    /// The script of a kind of broker.
    pub(super) fn broker(&self, kind: &str) -> Option<&Arc<TemplateSet>> {
        self.brokers.get(kind)
    }

    /// The kinds of brokers that have a script.
    pub(super) fn brokers(&self) -> impl Iterator<Item = &str> {
        self.brokers.keys().map(String::as_str)
    }

    /// The iPXE scripts that belong to no task.
    pub fn ipxe_scripts(&self) -> &IpxeScripts {
        &self.ipxe_scripts
    }

    /// A fingerprint of all texts that a machine's documents are made from. While it stays the same, and what is
    /// declared of the machine and known from outside does, so do its documents.
    pub fn depends(&self, resolved: &Resolved) -> Fingerprint {
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
            if let Some(first_boot_scripts) = self.first_boot_scripts.get(script.as_str()) {
                fingerprint = fingerprint.with(first_boot_scripts.fingerprint());
            }
        }
        fingerprint
    }

    /// Whether every text of `before` is still here as it was, and no template was added.
    pub fn has_all_of(&self, before: &Library) -> bool {
        let is_kept = |(path, known): (&Arc<str>, &Arc<FirstBootScript>)| {
            self.first_boot_scripts
                .get(path)
                .is_some_and(|now| now.fingerprint() == known.fingerprint())
        };
        self.texts == before.texts && before.first_boot_scripts.iter().all(is_kept)
    }

    pub(super) fn new(site: &Site, texts: TemplateSources, previous: Option<&Library>) -> Library {
        let mut diagnostics = Vec::new();
        let specs = specs(site, &texts, &mut diagnostics);
        let chains: BTreeMap<_, _> = specs
            .keys()
            .map(|name| (name, chain(&specs, name)))
            .collect();
        let mut tasks = BTreeMap::new();
        let directories = texts
            .directories(TASKS)
            .into_iter()
            .filter_map(|name| name.parse().ok());
        let mut flawed: BTreeSet<TaskName> = directories.collect();
        for (name, chain) in &chains {
            let Some(spec) = merged(&specs, chain, site, &texts, &mut diagnostics) else {
                continue;
            };
            let kept = previous.and_then(|library| library.tasks.get(*name));
            let task = Task::new(name, chain, spec, &texts, kept, site, &mut diagnostics);
            flawed.remove(*name);
            tasks.insert((*name).clone(), task);
        }
        let ipxe_scripts = IpxeScripts::new(&texts, site, &mut diagnostics);
        let brokers = broker::compile(&texts, site, &mut diagnostics);
        Library {
            texts,
            tasks,
            first_boot_scripts: BTreeMap::new(),
            ipxe_scripts: Arc::new(ipxe_scripts),
            brokers,
            flawed,
            diagnostics,
        }
    }
}

impl Task {
    fn new(
        name: &TaskName,
        chain: &[TaskName],
        spec: TaskSpec,
        texts: &TemplateSources,
        kept: Option<&Arc<Task>>,
        site: &Site,
        found: &mut Vec<Diagnostic>,
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
        let (templates, mistakes) = TemplateSet::gather(texts, &directories, &wanted);
        report(site, mistakes, found);
        match kept {
            Some(kept)
                if kept.templates.fingerprint == templates.fingerprint && kept.spec == spec =>
            {
                kept.clone()
            }
            _ => Arc::new(Task {
                name: name.clone(),
                spec,
                templates: templates.compiled(),
            }),
        }
    }
}
