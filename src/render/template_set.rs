//! Templates that can refer to each other: those of one task, of a broker, or of one script.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use minijinja::Environment;

use crate::matcher::MAX_DEPTH;

use super::{
    engine::{self, TemplateError},
    fingerprint::Fingerprint,
    growth::{self, GROWS},
    scan::{self, ReferenceTarget},
    template_sources::{COMMON, TASKS, TemplateOrigin, TemplateSources},
};

/// Templates that can refer to each other.
#[derive(Debug)]
pub(super) struct TemplateSet {
    /// Of all names and texts.
    pub(super) fingerprint: Fingerprint,
    /// Whether any of them is the site's.
    pub(super) has_own: bool,
    /// Whether any of them calls `secret`.
    pub(super) uses_secrets: bool,
    /// Whether a template of the site among them can make values that grow without a bound.
    pub(super) can_grow: bool,
    environment: Environment<'static>,
    members: BTreeMap<String, (TemplateOrigin, String)>,
}

impl TemplateSet {
    /// Collects the templates `wanted`, and all that they refer to, from `directories` in that order. Also returns the mistakes in
    /// them. [`TemplateSet::compile`] has to follow.
    pub(super) fn collect(
        sources: &TemplateSources,
        directories: &[String],
        wanted: &BTreeSet<String>,
    ) -> (TemplateSet, Vec<(TemplateOrigin, TemplateError)>) {
        let mut collector = TemplateCollector::new(sources, directories);
        let task = TemplateOrigin {
            path: format!("{}task.toml", directories[0]),
            built_in: false,
        };
        for name in wanted {
            if !collector.add(name) {
                let mistake = (task.clone(), missing(name, 1, None));
                collector.mistakes.push(mistake);
            }
        }
        collector.finish()
    }

    /// Collects and compiles one text and the common templates that it refers to.
    pub(super) fn single(
        sources: &TemplateSources,
        origin: TemplateOrigin,
        text: &str,
    ) -> (TemplateSet, Vec<(TemplateOrigin, TemplateError)>) {
        let directories = [COMMON.to_string()];
        let mut collector = TemplateCollector::new(sources, &directories);
        let name = origin.path.clone();
        collector.insert(&name, origin, text);
        let (templates, mistakes) = collector.finish();
        (templates.compile(), mistakes)
    }

    /// Limits the work for one file to what may be done at each request.
    pub(super) fn for_requests(mut self) -> TemplateSet {
        engine::limit_to_request(&mut self.environment);
        self
    }

    /// Compiles the templates. Those that do not compile were reported when they were collected.
    pub(super) fn compile(mut self) -> TemplateSet {
        for (name, (_, text)) in &self.members {
            if scan::too_deep(text).is_some() {
                continue;
            }
            let added = self
                .environment
                .add_template_owned(name.clone(), text.clone());
            if added.is_err() {
                self.environment.remove_template(name);
            }
        }
        self
    }

    pub(super) fn render(
        &self,
        name: &str,
        context: minijinja::Value,
    ) -> Result<String, (TemplateOrigin, TemplateError)> {
        engine::render(&self.environment, name, context)
            .map_err(|mistake| (self.origin(&mistake.template), mistake))
    }

    /// Returns each template of the site that can make values grow, with the first place where it does.
    pub(super) fn growing(&self) -> impl Iterator<Item = (TemplateOrigin, TemplateError)> {
        let own = self
            .members
            .iter()
            .filter(|(_, (origin, _))| !origin.built_in);
        own.filter_map(|(name, (origin, text))| {
            let range = growth::growing(text)?;
            let mistake = TemplateError {
                template: name.clone(),
                line: text[..range.start].matches('\n').count() + 1,
                range: Some(range),
                message: GROWS.into(),
                help: None,
            };
            Some((origin.clone(), mistake))
        })
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
        .any(|reference| reference.target == ReferenceTarget::Call("secret".into()))
}

fn nested(text: &str, name: &str, range: std::ops::Range<usize>) -> TemplateError {
    TemplateError {
        template: name.into(),
        line: text[..range.start].matches('\n').count() + 1,
        // The whole tag may be very long.
        range: Some(range.start..range.start),
        message: format!("this is nested too deeply: at most {MAX_DEPTH} levels"),
        help: None,
    }
}

fn missing(name: &str, line: usize, range: Option<std::ops::Range<usize>>) -> TemplateError {
    TemplateError {
        template: name.into(),
        line,
        range,
        message: format!("there is no template `{name}`"),
        help: None,
    }
}

/// Collects the members of a [`TemplateSet`].
struct TemplateCollector<'a> {
    sources: &'a TemplateSources,
    directories: &'a [String],
    members: BTreeMap<String, (TemplateOrigin, String)>,
    mistakes: Vec<(TemplateOrigin, TemplateError)>,
}

impl<'a> TemplateCollector<'a> {
    fn new(sources: &'a TemplateSources, directories: &'a [String]) -> Self {
        TemplateCollector {
            sources,
            directories,
            members: BTreeMap::new(),
            mistakes: Vec::new(),
        }
    }

    fn finish(self) -> (TemplateSet, Vec<(TemplateOrigin, TemplateError)>) {
        let TemplateCollector {
            members,
            mut mistakes,
            ..
        } = self;
        mistakes.extend(cycles(&members));
        let templates = TemplateSet {
            fingerprint: Fingerprint::of(
                members
                    .iter()
                    .flat_map(|(name, (_, text))| [name.as_str(), text]),
            ),
            has_own: members.values().any(|(origin, _)| !origin.built_in),
            uses_secrets: members.values().any(|(_, text)| uses_secrets(text)),
            can_grow: members
                .values()
                .any(|(origin, text)| !origin.built_in && growth::growing(text).is_some()),
            environment: engine::environment(),
            members,
        };
        (templates, mistakes)
    }

    /// Adds a template and all that it refers to. Returns false if there is no such template.
    fn add(&mut self, name: &str) -> bool {
        if self.members.contains_key(name) {
            return true;
        }
        let Some((origin, text)) = self.find(name) else {
            return false;
        };
        self.insert(name, origin, text);
        true
    }

    fn insert(&mut self, name: &str, origin: TemplateOrigin, text: &str) {
        if let Some(range) = scan::too_deep(text) {
            self.mistakes
                .push((origin.clone(), nested(text, name, range)));
        } else if let Err(error) = ENGINE.template_from_named_str(name, text) {
            self.mistakes
                .push((origin.clone(), engine::template_error(name, &error)));
        }
        self.members
            .insert(name.into(), (origin.clone(), text.into()));
        for reference in scan::references(text) {
            let line = || text[..reference.range.start].matches('\n').count() + 1;
            let mistake = match &reference.target {
                ReferenceTarget::Template { name, required } => (!self.add(name) && *required)
                    .then(|| missing(name, line(), Some(reference.range.clone()))),
                ReferenceTarget::DynamicTemplate => {
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
                    line: line(),
                    range: Some(reference.range.clone()),
                    ..mistake
                };
                self.mistakes.push((origin.clone(), mistake));
            }
        }
    }

    /// Adds every template of the directories: a name that is computed during rendering may be any of them.
    fn add_all(&mut self) {
        let names: BTreeSet<String> = self
            .directories
            .iter()
            .flat_map(|folder| self.sources.names(folder))
            .collect();
        for name in names {
            self.add(&name);
        }
    }

    fn find(&self, name: &str) -> Option<(TemplateOrigin, &'a str)> {
        let sources = self.sources;
        if let Some(rest) = name.strip_prefix("built-in/") {
            return paths_of(rest)
                .into_iter()
                .find_map(|path| sources.built_in(&path));
        }
        if name.contains('/') {
            return paths_of(name)
                .into_iter()
                .find_map(|path| sources.find(&path));
        }
        self.directories
            .iter()
            .find_map(|folder| sources.find(&format!("{folder}{name}")))
    }
}

/// The paths to which a name with a directory refers: `redhat/ks.cfg.j2`, `common/report.j2`.
fn paths_of(name: &str) -> [String; 2] {
    [format!("{TASKS}{name}"), format!("templates/{name}")]
}

/// The engine that is asked for filters and tests. Making one takes longer than reading most templates.
static ENGINE: LazyLock<Environment<'static>> = LazyLock::new(engine::environment);

/// Returns an error if the engine has no such filter or test.
fn unknown(
    kind_name: &str,
    name: &str,
    probe: &str,
    kind: minijinja::ErrorKind,
) -> Option<TemplateError> {
    let error = ENGINE.render_str(probe, ()).err()?;
    (error.kind() == kind).then(|| TemplateError {
        template: String::new(),
        line: 1,
        range: None,
        message: format!("there is no {kind_name} `{name}`"),
        help: None,
    })
}

/// Finds templates that include, extend or import each other in a loop.
fn cycles(
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
        let ReferenceTarget::Template { name: next, .. } = &reference.target else {
            continue;
        };
        match path.iter().position(|known| known == next) {
            Some(start) => {
                let cycle: Vec<String> = path[start..]
                    .iter()
                    .chain([next])
                    .map(|name| format!("`{name}`"))
                    .collect();
                let line = text[..reference.range.start].matches('\n').count() + 1;
                let message = format!(
                    "templates include each other in a loop: {}",
                    cycle.join(" → ")
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
