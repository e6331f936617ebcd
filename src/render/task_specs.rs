//! Every `task.toml`, with the keys that each task takes from its bases.

use std::collections::BTreeMap;

use crate::{
    model::{FileId, SourceSpan, TaskName},
    site::{Diagnostic, Site, read_toml, suggest},
};

use super::{
    task::{TaskSpec, TaskToml},
    template_sources::{TASKS, TemplateOrigin, TemplateSources},
};

/// A `task.toml` with where it stands.
#[derive(Debug, Clone)]
pub(super) struct LoadedTaskToml {
    written: TaskToml,
    origin: TemplateOrigin,
}

/// Reads every task.toml. A directory without one is a mistake, unless it only replaces files of a built-in task.
pub(super) fn specs(
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
pub(super) fn chain(specs: &BTreeMap<TaskName, LoadedTaskToml>, name: &TaskName) -> Vec<TaskName> {
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
pub(super) fn merged(
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
