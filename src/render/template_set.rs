//! Templates that see each other: what one task is rendered from.

use std::collections::{BTreeMap, BTreeSet};

use minijinja::Environment;

use super::{
    engine::{self, TemplateError},
    fingerprint::Fingerprint,
    scan::{self, ReferenceTarget},
    template_sources::{COMMON, TASKS, TemplateOrigin, TemplateSources},
};

/// Templates that see each other.
#[derive(Debug)]
pub(super) struct TemplateSet {
    /// Of all their texts.
    pub(super) fingerprint: Fingerprint,
    /// Whether any of them calls `secret`.
    pub(super) uses_secrets: bool,
    environment: Environment<'static>,
    members: BTreeMap<String, (TemplateOrigin, String)>,
}

impl TemplateSet {
    /// Collects the templates `wanted` and all that they refer to from `directories`, the first first, and tells
    /// what is wrong with them. They still have to be compiled.
    pub(super) fn gather(
        texts: &TemplateSources,
        directories: &[String],
        wanted: &BTreeSet<String>,
    ) -> (TemplateSet, Vec<(TemplateOrigin, TemplateError)>) {
        let mut gathering = TemplateCollector {
            texts,
            directories,
            members: BTreeMap::new(),
            found: Vec::new(),
        };
        let task = TemplateOrigin {
            path: format!("{}task.toml", directories[0]),
            built_in: false,
        };
        for name in wanted {
            if !gathering.add(name) {
                gathering.found.push((task.clone(), absent(name, 1, None)));
            }
        }
        let TemplateCollector {
            members, mut found, ..
        } = gathering;
        found.extend(circles(&members));
        let templates = TemplateSet {
            fingerprint: Fingerprint::of(
                members
                    .iter()
                    .flat_map(|(name, (_, text))| [name.as_str(), text]),
            ),
            uses_secrets: members.values().any(|(_, text)| uses_secrets(text)),
            environment: engine::environment(),
            members,
        };
        (templates, found)
    }

    /// One text alone, under the name `name`, with the common templates in reach.
    pub(super) fn single(
        texts: &TemplateSources,
        origin: TemplateOrigin,
        text: &str,
    ) -> (TemplateSet, Vec<(TemplateOrigin, TemplateError)>) {
        let directories = [COMMON.to_string()];
        let mut gathering = TemplateCollector {
            texts,
            directories: &directories,
            members: BTreeMap::new(),
            found: Vec::new(),
        };
        let name = origin.path.clone();
        gathering.take(&name, origin, text);
        let TemplateCollector {
            members, mut found, ..
        } = gathering;
        found.extend(circles(&members));
        let templates = TemplateSet {
            fingerprint: Fingerprint::of(
                members
                    .iter()
                    .flat_map(|(name, (_, text))| [name.as_str(), text]),
            ),
            uses_secrets: members.values().any(|(_, text)| uses_secrets(text)),
            environment: engine::environment(),
            members,
        };
        (templates.compiled(), found)
    }

    /// Compiles its templates. Those that do not compile were reported when they were gathered.
    pub(super) fn compiled(mut self) -> TemplateSet {
        for (name, (_, text)) in &self.members {
            let added = self
                .environment
                .add_template_owned(name.clone(), text.clone());
            if added.is_err() {
                self.environment.remove_template(name);
            }
        }
        self
    }

    /// Renders one of its templates.
    pub(super) fn render(
        &self,
        name: &str,
        context: minijinja::Value,
    ) -> Result<String, (TemplateOrigin, TemplateError)> {
        engine::render(&self.environment, name, context)
            .map_err(|mistake| (self.origin(&mistake.template), mistake))
    }

    fn origin(&self, name: &str) -> TemplateOrigin {
        let known = self.members.get(name).map(|(origin, _)| origin.clone());
        known.unwrap_or_else(|| TemplateOrigin {
            path: name.into(),
            built_in: false,
        })
    }
}

fn uses_secrets(text: &str) -> bool {
    scan::references(text)
        .iter()
        .any(|reference| reference.what == ReferenceTarget::Call("secret".into()))
}

fn absent(name: &str, line: usize, range: Option<std::ops::Range<usize>>) -> TemplateError {
    TemplateError {
        template: name.into(),
        line,
        range,
        message: format!("there is no template `{name}`"),
        help: None,
    }
}

/// Templates on the way into a unit.
struct TemplateCollector<'a> {
    texts: &'a TemplateSources,
    directories: &'a [String],
    members: BTreeMap<String, (TemplateOrigin, String)>,
    found: Vec<(TemplateOrigin, TemplateError)>,
}

impl<'a> TemplateCollector<'a> {
    /// Adds a template and all that it refers to; false when there is none of that name.
    fn add(&mut self, name: &str) -> bool {
        if self.members.contains_key(name) {
            return true;
        }
        let Some((origin, text)) = self.find(name) else {
            return false;
        };
        self.take(name, origin, text);
        true
    }

    fn take(&mut self, name: &str, origin: TemplateOrigin, text: &str) {
        if let Err(error) = engine::environment().template_from_named_str(name, text) {
            self.found
                .push((origin.clone(), engine::mistake(name, &error)));
        }
        self.members
            .insert(name.into(), (origin.clone(), text.into()));
        for reference in scan::references(text) {
            let line = text[..reference.range.start].matches('\n').count() + 1;
            let mistake = match &reference.what {
                ReferenceTarget::Template { name, required } => (!self.add(name) && *required)
                    .then(|| absent(name, line, Some(reference.range.clone()))),
                ReferenceTarget::SomeTemplate => {
                    self.add_all();
                    None
                }
                ReferenceTarget::Filter(filter) => unknown(
                    "filter",
                    filter,
                    &format!("{{{{ '' | {filter} }}}}"),
                    minijinja::ErrorKind::UnknownFilter,
                ),
                ReferenceTarget::Test(test) => unknown(
                    "test",
                    test,
                    &format!("{{{{ '' is {test} }}}}"),
                    minijinja::ErrorKind::UnknownTest,
                ),
                ReferenceTarget::Call(_) => None,
            };
            if let Some(mistake) = mistake {
                let mistake = TemplateError {
                    template: name.into(),
                    line,
                    range: Some(reference.range.clone()),
                    ..mistake
                };
                self.found.push((origin.clone(), mistake));
            }
        }
    }

    /// Adds everything in reach: a name that is only known while rendering may mean any of them.
    fn add_all(&mut self) {
        let names: BTreeSet<String> = self
            .directories
            .iter()
            .flat_map(|folder| self.texts.names(folder))
            .collect();
        for name in names {
            self.add(&name);
        }
    }

    fn find(&self, name: &str) -> Option<(TemplateOrigin, &'a str)> {
        let texts = self.texts;
        if let Some(rest) = name.strip_prefix("built-in/") {
            return paths_of(rest)
                .into_iter()
                .find_map(|path| texts.built_in(&path));
        }
        if name.contains('/') {
            return paths_of(name)
                .into_iter()
                .find_map(|path| texts.find(&path));
        }
        self.directories
            .iter()
            .find_map(|folder| texts.find(&format!("{folder}{name}")))
    }
}

/// Where a name with a directory in it may lie: `redhat/ks.cfg.j2`, `common/report.j2`.
fn paths_of(name: &str) -> [String; 2] {
    [format!("{TASKS}{name}"), format!("templates/{name}")]
}

/// Tells whether the engine knows such a filter or test.
fn unknown(
    what: &str,
    name: &str,
    probe: &str,
    kind: minijinja::ErrorKind,
) -> Option<TemplateError> {
    let error = engine::environment().render_str(probe, ()).err()?;
    (error.kind() == kind).then(|| TemplateError {
        template: String::new(),
        line: 1,
        range: None,
        message: format!("there is no {what} `{name}`"),
        help: None,
    })
}

/// Templates that include, extend or import each other in a circle.
fn circles(
    members: &BTreeMap<String, (TemplateOrigin, String)>,
) -> Vec<(TemplateOrigin, TemplateError)> {
    let mut found = Vec::new();
    let mut done = BTreeSet::new();
    for name in members.keys() {
        follow(members, name, &mut Vec::new(), &mut done, &mut found);
    }
    found
}

fn follow(
    members: &BTreeMap<String, (TemplateOrigin, String)>,
    name: &str,
    path: &mut Vec<String>,
    done: &mut BTreeSet<String>,
    found: &mut Vec<(TemplateOrigin, TemplateError)>,
) {
    let Some((origin, text)) = members.get(name).filter(|_| !done.contains(name)) else {
        return;
    };
    path.push(name.into());
    for reference in scan::references(text) {
        let ReferenceTarget::Template { name: next, .. } = &reference.what else {
            continue;
        };
        match path.iter().position(|known| known == next) {
            Some(start) => {
                let circle: Vec<String> = path[start..]
                    .iter()
                    .chain([next])
                    .map(|name| format!("`{name}`"))
                    .collect();
                let line = text[..reference.range.start].matches('\n').count() + 1;
                let message = format!(
                    "templates include each other in a circle: {}",
                    circle.join(" → ")
                );
                found.push((
                    origin.clone(),
                    TemplateError {
                        template: name.into(),
                        line,
                        range: Some(reference.range),
                        message,
                        help: None,
                    },
                ));
            }
            None => follow(members, next, path, done, found),
        }
    }
    path.pop();
    done.insert(name.into());
}
