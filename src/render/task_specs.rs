//! Loads every `task.toml`, and merges each task with its bases.

use std::collections::BTreeMap;

use crate::{
    model::{FileId, SourceSpan, TaskName},
    site::{Diagnostic, Site, read_toml, suggest},
};

use super::{
    task::{TaskSpec, TaskToml},
    template_sources::{TASKS, TemplateOrigin, TemplateSources},
};

/// A `task.toml` and the file it comes from.
#[derive(Debug, Clone)]
pub(super) struct LoadedTaskToml {
    toml: TaskToml,
    origin: TemplateOrigin,
}

/// Loads every task.toml. A directory without one is an error, unless it only replaces files of a built-in task.
pub(super) fn load(
    site: &Site,
    sources: &TemplateSources,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<TaskName, LoadedTaskToml> {
    let mut tomls = BTreeMap::new();
    for directory in sources.directories(TASKS) {
        let Ok(name) = directory.parse::<TaskName>() else {
            diagnostics.push(Diagnostic::error(
                format!("`{TASKS}{directory}` is not a valid task name"),
                None,
            ));
            continue;
        };
        let Some((origin, text)) = sources.find(&format!("{TASKS}{directory}/task.toml")) else {
            let message = format!("`{TASKS}{directory}` has no task.toml");
            diagnostics.push(
                Diagnostic::error(message, None).help("create one; it only needs `base = \"…\"`"),
            );
            continue;
        };
        // A built-in file has no id. A test checks that those have no mistakes.
        let file = origin.file(site).unwrap_or(FileId(u32::MAX));
        let toml: Option<TaskToml> = read_toml(text, file, diagnostics);
        if let Some(toml) = toml {
            let span = SourceSpan {
                file,
                start: 0,
                end: 0,
            };
            diagnostics.extend(
                toml.mistakes()
                    .into_iter()
                    .map(|line| Diagnostic::error(line, span)),
            );
            tomls.insert(
                name,
                LoadedTaskToml {
                    toml,
                    origin: origin.clone(),
                },
            );
        }
    }
    tomls
}

/// A task, its base, the base of its base, and so on, up to the first base that does not exist or is in the list already.
pub(super) fn base_chain(
    tomls: &BTreeMap<TaskName, LoadedTaskToml>,
    name: &TaskName,
) -> Vec<TaskName> {
    let mut chain = vec![name.clone()];
    let mut at = name;
    while let Some(base) = tomls.get(at).and_then(|spec| spec.toml.base.as_ref()) {
        if chain.contains(base) {
            break;
        }
        chain.push(base.clone());
        at = base;
    }
    chain
}

/// The task's keys over those of its bases. None when a base does not exist or the bases form a loop.
pub(super) fn merge(
    tomls: &BTreeMap<TaskName, LoadedTaskToml>,
    chain: &[TaskName],
    site: &Site,
    sources: &TemplateSources,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<TaskSpec> {
    let last = chain.last()?;
    let Some(bottom) = tomls.get(last) else {
        // Reported once, for the task that names the missing base.
        if let [.., from, _] = chain
            && chain.len() == 2
        {
            let known = tomls.keys().map(TaskName::as_str);
            let mut mistake = Diagnostic::error(
                format!("task `{from}` has the base `{last}`, which does not exist"),
                tomls[from].origin.span(site, sources, "base"),
            );
            mistake.help =
                suggest(last.as_str(), known).map(|near| format!("did you mean `{near}`?"));
            diagnostics.push(mistake);
        }
        return None;
    };
    if let Some(again) = &bottom.toml.base {
        let cycle: Vec<String> = chain
            .iter()
            .chain([again])
            .map(|name| format!("`{name}`"))
            .collect();
        let message = format!(
            "the bases of task `{}` form a loop: {}",
            chain[0],
            cycle.join(" → ")
        );
        diagnostics.push(Diagnostic::error(
            message,
            tomls[&chain[0]].origin.span(site, sources, "base"),
        ));
        return None;
    }
    let defaults = TaskSpec {
        installs: true,
        ..TaskSpec::default()
    };
    Some(chain.iter().rev().fold(defaults, |base, name| {
        tomls[name].toml.clone().merge(base, name)
    }))
}
