//! The site's scripts that `first-boot` names.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    model::Spanned,
    site::{Diagnostic, Site, SiteFiles},
};

use super::{
    check::shell,
    engine::TemplateError,
    fingerprint::Fingerprint,
    template_errors::diagnostic,
    template_set::TemplateSet,
    template_sources::{TemplateOrigin, TemplateSources, unix_text},
};

#[derive(Debug)]
pub(super) struct FirstBootScript {
    content: Arc<[u8]>,
    body: ScriptBody,
    mistakes: Vec<(TemplateOrigin, TemplateError)>,
    /// The first mistake in the syntax of a script that is used without changes.
    syntax: Option<SyntaxMistake>,
}

/// A line, counted from 1, and what is wrong there.
pub(super) type SyntaxMistake = (usize, String);

#[derive(Debug)]
enum ScriptBody {
    /// Used without changes.
    Plain(String),
    /// A file whose name ends in `.j2`.
    Template(Box<TemplateSet>),
}

impl FirstBootScript {
    fn new(sources: &TemplateSources, path: &str, content: &Arc<[u8]>) -> FirstBootScript {
        let text = String::from_utf8_lossy(&unix_text(content)).into_owned();
        let origin = TemplateOrigin {
            path: path.into(),
            built_in: false,
        };
        let (body, mut mistakes) = if path.ends_with(".j2") {
            let (templates, mistakes) = TemplateSet::single(sources, origin.clone(), &text);
            (ScriptBody::Template(Box::new(templates)), mistakes)
        } else {
            (ScriptBody::Plain(text), Vec::new())
        };
        let broken = match std::str::from_utf8(content) {
            Err(error) => Some((error.valid_up_to(), "this file is not UTF-8")),
            Ok(text) => text
                .find('\0')
                .map(|at| (at, "this file is not a text: it contains a NUL character")),
        };
        if let Some((at, message)) = broken {
            let line = content[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            let error = TemplateError {
                template: path.into(),
                line,
                range: None,
                message: message.into(),
                help: None,
            };
            mistakes = vec![(origin, error)];
        }
        let syntax = match &body {
            ScriptBody::Plain(text) => syntax_mistake(text),
            ScriptBody::Template(_) => None,
        };
        FirstBootScript {
            content: content.clone(),
            body,
            mistakes,
            syntax,
        }
    }

    /// Returns the first mistake in the syntax of the script as it was rendered.
    pub(super) fn syntax_mistake(&self, rendered: &str) -> Option<SyntaxMistake> {
        match &self.body {
            ScriptBody::Plain(_) => self.syntax.clone(),
            ScriptBody::Template(_) => syntax_mistake(rendered),
        }
    }

    pub(super) fn fingerprint(&self) -> Fingerprint {
        match &self.body {
            ScriptBody::Plain(text) => Fingerprint::of([text.as_str()]),
            ScriptBody::Template(templates) => templates.fingerprint,
        }
    }

    /// Its template and those that it includes; none if it is used without changes.
    pub(super) fn templates(&self) -> Option<&TemplateSet> {
        match &self.body {
            ScriptBody::Plain(_) => None,
            ScriptBody::Template(templates) => Some(templates),
        }
    }

    /// Returns the script for one machine.
    pub(super) fn render(
        &self,
        path: &str,
        context: minijinja::Value,
    ) -> Result<String, (TemplateOrigin, TemplateError)> {
        match &self.body {
            ScriptBody::Plain(text) => Ok(text.clone()),
            ScriptBody::Template(templates) => templates.render(path, context),
        }
    }
}

/// Returns the first mistake in the syntax of a script, if a shell runs it.
fn syntax_mistake(text: &str) -> Option<SyntaxMistake> {
    let first = text.lines().next().unwrap_or_default();
    let interpreter = first.strip_prefix("#!").unwrap_or("sh");
    shell::is_shell(interpreter)
        .then(|| shell::mistake(text))
        .flatten()
}

/// Loads every script that a setting names, and reports mistakes in them.
pub(super) fn load(
    site: &Site,
    files: &SiteFiles,
    sources: &TemplateSources,
    previous: Option<&BTreeMap<Arc<str>, Arc<FirstBootScript>>>,
    diagnostics: &mut Vec<Diagnostic>,
) -> BTreeMap<Arc<str>, Arc<FirstBootScript>> {
    let mut scripts: BTreeMap<Arc<str>, Arc<FirstBootScript>> = BTreeMap::new();
    for named in site
        .layers()
        .filter_map(|settings| settings.first_boot.as_deref())
        .flat_map(|list| &list.value)
    {
        if scripts.contains_key(named.value.as_str()) {
            continue;
        }
        let Some((path, content)) = files.content.get_key_value(named.value.as_str()) else {
            if !files.unreadable.contains_key(named.value.as_str()) {
                diagnostics.push(missing(files, named));
            }
            continue;
        };
        let unchanged = previous
            .and_then(|previous| previous.get(path))
            .filter(|script| script.content == *content);
        let script = unchanged
            .cloned()
            .unwrap_or_else(|| Arc::new(FirstBootScript::new(sources, path, content)));
        diagnostics.extend(
            script
                .mistakes
                .iter()
                .map(|(origin, mistake)| diagnostic(site, origin, mistake)),
        );
        scripts.insert(path.clone(), script);
    }
    scripts
}

fn missing(files: &SiteFiles, named: &Spanned<String>) -> Diagnostic {
    let path = named.value.as_str();
    let known = files
        .content
        .keys()
        .map(AsRef::as_ref)
        .filter(|path| path.starts_with("templates/"));
    let mut mistake = Diagnostic::error(format!("there is no script `{path}`"), named.span);
    mistake.help = Some(match crate::site::suggest(path, known) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "scripts are in templates/, and their paths begin with it".into(),
    });
    mistake
}
