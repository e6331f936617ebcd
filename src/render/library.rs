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
    model::{FileId, SourceSpan, TaskName},
    site::{Diagnostic, Resolved, Site, SiteFiles, read_toml, suggest},
};

use super::{
    broker,
    engine::TemplateError,
    fingerprint::Fingerprint,
    first_boot_scripts::{self, FirstBootScript},
    references, scripts,
    task::{TaskSpec, TaskToml},
    template_set::TemplateSet,
    template_sources::{COMMON, TASKS, TemplateOrigin, TemplateSources},
};

/// Every task with its templates, compiled.
#[derive(Debug, Clone, Default)]
pub struct Library {
    texts: TemplateSources,
    tasks: BTreeMap<TaskName, Arc<Task>>,
    first_boot_scripts: BTreeMap<Arc<str>, Arc<FirstBootScript>>,
    scripts: Arc<scripts::IpxeScripts>,
    brokers: BTreeMap<String, Arc<TemplateSet>>,
    /// Tasks that exist and cannot be used.
    flawed: BTreeSet<TaskName>,
    /// What was wrong with the templates alone.
    diagnostics: Vec<Diagnostic>,
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

/// Compiles every template of a site together with those that are built in, and reports what is wrong with
/// them and with what the site says about them. What `previous` has already is taken over.
pub fn compile(
    site: &Site,
    files: &SiteFiles,
    previous: Option<&Library>,
) -> (Library, Vec<Diagnostic>) {
    let texts = TemplateSources::of(files);
    let mut library = match previous {
        Some(previous) if previous.texts == texts => previous.clone(),
        _ => Library::new(site, texts, previous),
    };
    let mut found = library.diagnostics.clone();
    let known = previous.map(|previous| &previous.first_boot_scripts);
    library.first_boot_scripts =
        first_boot_scripts::gather(site, files, &library.texts, known, &mut found);
    references::check(site, &library, &mut found);
    (library, found)
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

    /// The scripts that belong to no task.
    pub(super) fn scripts(&self) -> &scripts::IpxeScripts {
        &self.scripts
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

    fn new(site: &Site, texts: TemplateSources, previous: Option<&Library>) -> Library {
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
        let scripts = scripts::IpxeScripts::new(&texts, site, &mut diagnostics);
        let brokers = broker::compile(&texts, site, &mut diagnostics);
        Library {
            texts,
            tasks,
            first_boot_scripts: BTreeMap::new(),
            scripts: Arc::new(scripts),
            brokers,
            flawed,
            diagnostics,
        }
    }
}

/// A `task.toml` with where it stands.
#[derive(Debug, Clone)]
struct LoadedTaskToml {
    written: TaskToml,
    origin: TemplateOrigin,
}

/// Reads every task.toml. A directory without one is a mistake, unless it only replaces files of a built-in task.
fn specs(
    site: &Site,
    texts: &TemplateSources,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<TaskName, LoadedTaskToml> {
    let mut specs = BTreeMap::new();
    for directory in texts.directories(TASKS) {
        let Ok(name) = directory.parse::<TaskName>() else {
            found.push(Diagnostic::error(
                format!("`{TASKS}{directory}` is not a name for a task"),
                None,
            ));
            continue;
        };
        let Some((origin, text)) = texts.find(&format!("{TASKS}{directory}/task.toml")) else {
            let message = format!("`{TASKS}{directory}` has no task.toml");
            found.push(
                Diagnostic::error(message, None)
                    .help("it says what the task is made of; `base = \"…\"` alone is enough"),
            );
            continue;
        };
        // A text that is built in has no number; a test holds those to be sound.
        let file = origin.file(site).unwrap_or(FileId(u32::MAX));
        let written: Option<TaskToml> = read_toml(text, file, found);
        if let Some(written) = written {
            let span = SourceSpan {
                file,
                start: 0,
                end: 0,
            };
            found.extend(
                written
                    .mistakes()
                    .into_iter()
                    .map(|line| Diagnostic::error(line, span)),
            );
            specs.insert(
                name,
                LoadedTaskToml {
                    written,
                    origin: origin.clone(),
                },
            );
        }
    }
    specs
}

/// A task, its base, the base of that, and so on. It ends where a base does not exist or comes again.
fn chain(specs: &BTreeMap<TaskName, LoadedTaskToml>, name: &TaskName) -> Vec<TaskName> {
    let mut chain = vec![name.clone()];
    let mut at = name;
    while let Some(base) = specs.get(at).and_then(|spec| spec.written.base.as_ref()) {
        if chain.contains(base) {
            break;
        }
        chain.push(base.clone());
        at = base;
    }
    chain
}

/// The task's keys over those of its bases. None when its base does not exist or is, at some remove, itself.
fn merged(
    specs: &BTreeMap<TaskName, LoadedTaskToml>,
    chain: &[TaskName],
    site: &Site,
    texts: &TemplateSources,
    found: &mut Vec<Diagnostic>,
) -> Option<TaskSpec> {
    let last = chain.last()?;
    let Some(bottom) = specs.get(last) else {
        // Reported once, at the task that names it.
        if let [.., from, _] = chain
            && chain.len() == 2
        {
            let known = specs.keys().map(TaskName::as_str);
            let mut mistake = Diagnostic::error(
                format!("task `{from}` has the base `{last}`, and there is no such task"),
                specs[from].origin.span(site, texts, "base"),
            );
            mistake.help =
                suggest(last.as_str(), known).map(|near| format!("did you mean `{near}`?"));
            found.push(mistake);
        }
        return None;
    };
    if let Some(again) = &bottom.written.base {
        let circle: Vec<String> = chain
            .iter()
            .chain([again])
            .map(|name| format!("`{name}`"))
            .collect();
        let message = format!(
            "the bases of task `{}` go in a circle: {}",
            chain[0],
            circle.join(" → ")
        );
        found.push(Diagnostic::error(
            message,
            specs[&chain[0]].origin.span(site, texts, "base"),
        ));
        return None;
    }
    let nothing = TaskSpec {
        installs: true,
        ..TaskSpec::default()
    };
    Some(chain.iter().rev().fold(nothing, |base, name| {
        specs[name].written.clone().over(base, name)
    }))
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

/// Reports mistakes in templates. Several tasks or brokers share templates, and one mistake is reported once.
pub(super) fn report(
    site: &Site,
    mistakes: Vec<(TemplateOrigin, TemplateError)>,
    found: &mut Vec<Diagnostic>,
) {
    for (origin, mistake) in mistakes {
        let mistake = located(site, &origin, &mistake);
        if !found.contains(&mistake) {
            found.push(mistake);
        }
    }
}

/// A mistake in a template, as it is shown: `template esxi/ks.cfg.j2, line 14: …`.
pub(super) fn located(site: &Site, origin: &TemplateOrigin, mistake: &TemplateError) -> Diagnostic {
    let message = format!(
        "template {}, line {}: {}",
        origin.shown(),
        mistake.line,
        mistake.message
    );
    let span = origin.file(site).map(|file| {
        let range = mistake
            .range
            .clone()
            .unwrap_or_else(|| origin.line(site, mistake.line));
        SourceSpan {
            file,
            start: range.start as u32,
            end: range.end as u32,
        }
    });
    let mut diagnostic = Diagnostic::error(message, span);
    diagnostic.help.clone_from(&mistake.help);
    diagnostic
}
