//! One machine's documents and hand-outs, all of them.

use minijinja::{Value, context};

use crate::{
    model::{Arch, Facts, Hostname, Mac, Platform, RepoName},
    site::{Diagnostic, Resolved, Severity, Site},
};

use super::{
    bootcfg, context as seen, disk,
    engine::Mistake,
    hostname::{for_node, hostname},
    library::{Library, Task, located},
    net::{self, NetText, View},
    outside::Outside,
    quote::{self, Format},
    repo::{self, Found},
    settings,
    task::{Dialect, FileSpec, Make},
    templates::Origin,
    urls::Urls,
    values,
};

/// What one machine's files are rendered from.
#[derive(Debug, Clone)]
pub struct Job<'a> {
    /// The site.
    pub site: &'a Site,
    /// Its tasks.
    pub library: &'a Library,
    /// What is known from outside.
    pub outside: &'a Outside,
    /// What the machine is to be.
    pub resolved: &'a Resolved,
    /// What it reported.
    pub facts: &'a Facts,
    /// Its firmware. The shipped scripts ask iPXE itself, since firmware may be switched between two boots.
    pub platform: Platform,
    /// Its processor.
    pub arch: Arch,
    /// Where it finds its documents and reports to.
    pub urls: Urls,
    /// The number of the attempt.
    pub attempt: u32,
}

/// Everything that a machine is given in one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// The name it gets.
    pub hostname: Hostname,
    /// The files, all under `/t/<token>/`.
    pub files: Vec<RenderedFile>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedFile {
    /// Its name; it may hold one `/`.
    pub name: String,
    /// Whether reading it is a step of the installation.
    pub kind: FileKind,
    /// Its media type.
    pub content_type: &'static str,
    /// What it holds.
    pub body: Body,
}

/// Whether reading a file is a step of the installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// What the installer reads its orders from.
    Document,
    /// What it takes to get there: scripts, loaders, and what documents fetch.
    HandOut,
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What a file of a repo holds.
    Repo {
        /// The repo.
        repo: RepoName,
        /// The path in the spelling of the tree.
        path: String,
    },
}

/// Renders everything that a machine is given in one attempt, or tells every mistake that stands against it.
pub fn attempt(job: &Job<'_>) -> Result<Rendered, Vec<Diagnostic>> {
    let (rendered, found) = render(job);
    let errors: Vec<Diagnostic> = found
        .into_iter()
        .filter(|one| one.severity == Severity::Error)
        .collect();
    match rendered {
        Some(rendered) if errors.is_empty() => Ok(rendered),
        _ => Err(errors),
    }
}

/// As [`attempt`], for `check`: everything there is to say, warnings and the strict checks of formats that no
/// installer holds to its own rules included.
pub fn inspect(job: &Job<'_>) -> (Option<Rendered>, Vec<Diagnostic>) {
    let (rendered, mut found) = render(job);
    let errors = found.iter().any(|one| one.severity == Severity::Error);
    if let (Some(rendered), Some(task), false) = (&rendered, task(job).ok(), errors) {
        found.extend(
            super::check::rendered(job, task, rendered)
                .into_iter()
                .map(|one| for_job(job, one)),
        );
    }
    (rendered, found)
}

fn render(job: &Job<'_>) -> (Option<Rendered>, Vec<Diagnostic>) {
    let mut found = Vec::new();
    let rendered = match task(job) {
        Ok(task) => {
            Pieces::gather(job, task, &mut found).and_then(|pieces| pieces.files(&mut found))
        }
        Err(mistake) => {
            found.push(mistake);
            None
        }
    };
    (
        rendered,
        found.into_iter().map(|one| for_job(job, one)).collect(),
    )
}

fn task<'a>(job: &Job<'a>) -> Result<&'a Task, Diagnostic> {
    let node = job.resolved.declared.as_ref().map(|node| node.place());
    let Some(name) = &job.resolved.task else {
        return Err(
            Diagnostic::error(format!("node {} has no task", job.resolved.node), node)
                .help("set `task`, or a `repo` that names one, in the node or its policy"),
        );
    };
    let task = job.library.task(name);
    task.map(AsRef::as_ref)
        .ok_or_else(|| Diagnostic::error(format!("task `{name}` cannot be used"), node))
}

/// Says for whom, once.
fn for_job(job: &Job<'_>, mut diagnostic: Diagnostic) -> Diagnostic {
    let note = for_node(&job.resolved.node, job.resolved.policy.as_ref());
    if !diagnostic.notes.contains(&note) {
        diagnostic.notes.push(note);
    }
    diagnostic
}

/// What the files of one attempt are put together from.
struct Pieces<'a> {
    job: &'a Job<'a>,
    task: &'a Task,
    hostname: Hostname,
    mac: Option<Mac>,
    net: NetText,
    repo: Option<Found<'a>>,
    shared: std::collections::BTreeMap<&'static str, Value>,
}

impl<'a> Pieces<'a> {
    fn gather(job: &'a Job<'a>, task: &'a Task, found: &mut Vec<Diagnostic>) -> Option<Self> {
        let resolved = job.resolved;
        let (name, spec) = (task.name.as_str(), &task.spec);
        found.extend(values::mistakes(&resolved.settings));
        found.extend(settings::unmet(job.site, name, spec, resolved));
        let passwords = settings::passwords(name, spec, &resolved.settings, job.outside, found);
        let hostname = hostname(job.site, job.library, resolved, job.facts)
            .map_err(|wrong| found.push(wrong))
            .ok()?;
        let repo = repo::find(
            name,
            spec,
            resolved.repo.as_deref(),
            job.outside,
            job.arch,
            &job.urls.base,
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
        let declared = resolved.declared.as_ref().map(|node| node.place());
        if !bad.is_empty() {
            found.extend(
                bad.into_iter()
                    .map(|message| Diagnostic::error(message, declared)),
            );
            return None;
        }
        let view = View {
            plan: &plan,
            elsewhere: resolved.net.boot_network.is_some(),
        };
        let net = net::express(spec.dialect, &view, &hostname);
        let runs = settings::runs_first_boot(spec, &resolved.settings);
        let later = made_up_for(task, &net, runs, found);
        let install = match spec.dialect {
            Dialect::Esxi => esxi(job, task, &passwords, found),
            _ => context! {},
        };
        let parts = seen::Parts {
            task,
            resolved,
            facts: job.facts,
            hostname: &hostname,
            plan: &plan,
            net: &net,
            later: &later,
            runs_first_boot: runs,
            passwords: &passwords,
            urls: &job.urls,
            repo: repo.as_ref()?.as_ref().map_or(Value::from(()), Found::seen),
            esxi: install,
            secrets: uses_secrets(job, task).then(|| job.outside.secrets.clone()),
        };
        let mut shared = seen::shared(&parts);
        let scripts = first_boot(
            job,
            &shared,
            spec.files.iter().any(|file| file.quoting == Format::Esxi),
            found,
        );
        shared.insert("first_boot", Value::from(scripts));
        let mac = view
            .installer_mac()
            .or_else(|| resolved.macs.first().copied());
        Some(Pieces {
            job,
            task,
            hostname,
            mac,
            net,
            repo: repo?,
            shared,
        })
    }

    fn files(&self, found: &mut Vec<Diagnostic>) -> Option<Rendered> {
        let mut files = Vec::new();
        let before = found.len();
        for file in &self.task.spec.files {
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
                        FileKind::HandOut
                    },
                    content_type: file.content_type(),
                    body: body.clone(),
                }));
            }
        }
        (found.len() == before).then(|| Rendered {
            hostname: self.hostname.clone(),
            files,
        })
    }

    /// A file's name for this machine; none when it wants an address that is not known.
    fn named(&self, name: &str) -> Option<String> {
        match (name.contains("{mac}"), self.mac) {
            (false, _) => Some(name.to_string()),
            (true, mac) => Some(name.replace("{mac}", &mac?.hyphens())),
        }
    }

    /// What a file holds; none when the repo does not have it and need not.
    fn body(&self, file: &FileSpec) -> Result<Option<Body>, Vec<Diagnostic>> {
        match (&file.template, &file.repo_file, file.make) {
            (Some(template), _, _) => {
                let context = seen::file(&self.shared, file.quoting);
                let text = self
                    .task
                    .unit
                    .render(template, context)
                    .map_err(|wrong| vec![mistake(self.job, wrong)])?;
                Ok(Some(Body::Bytes(text.into_bytes())))
            }
            (_, Some(key), _) => Ok(self.repo.as_ref().and_then(|repo| {
                let path = repo.paths.get(key)?.clone();
                Some(Body::Repo {
                    repo: repo.repo.name.value.clone(),
                    path,
                })
            })),
            (_, _, Some(Make::BootCfg)) => self
                .boot_cfg()
                .map(|text| Some(Body::Bytes(text.into_bytes()))),
            (None, None, None) => Ok(None),
        }
    }

    fn boot_cfg(&self) -> Result<String, Vec<Diagnostic>> {
        let Some(found) = &self.repo else {
            return Err(Vec::new());
        };
        let wrong = |message: String| Diagnostic::error(message, repo::place(found.repo));
        let text = found
            .tree
            .zip(found.paths.get(bootcfg::LAYOUT_KEY))
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
            .job
            .resolved
            .settings
            .kernel_args
            .iter()
            .flat_map(|list| list.values().cloned())
            .collect();
        words.push(format!("ks={}", self.job.urls.document("ks.cfg")));
        words.extend(self.mac.map(|mac| format!("BOOTIF=01-{}", mac.hyphens())));
        words.extend(self.net.words.iter().cloned());
        let changes = bootcfg::Changes {
            prefix: found.url.clone(),
            words,
        };
        let find = |path: &str| Some(found.tree?.get(path)?.as_ref()?.path.clone());
        bootcfg::rewrite(&text, &changes, find).map_err(|messages| {
            messages
                .into_iter()
                .map(|message| wrong(format!("repo `{}`: {message}", found.repo.name)))
                .collect()
        })
    }
}

/// Shell lines that make up at the first boot for what the installer cannot say; what nothing makes up for is a
/// mistake.
fn made_up_for(task: &Task, net: &NetText, runs: bool, found: &mut Vec<Diagnostic>) -> Vec<String> {
    let mut later = Vec::new();
    for loss in &net.losses {
        let moved = task.spec.to_first_boot.contains(&loss.setting) && !loss.later.is_empty();
        if moved && runs {
            later.extend(loss.later.iter().cloned());
            continue;
        }
        let message = format!(
            "task `{}` cannot express `{}`: {}",
            task.name, loss.setting, loss.what
        );
        // Name servers, search domains and time servers come from the network, for every kind of machine in it.
        let from_network = loss.place.is_none() && moved;
        let mut mistake = match from_network {
            true => Diagnostic::warning(message, None),
            false => Diagnostic::error(message, loss.place),
        };
        if moved {
            mistake.help =
                Some("it needs a script at the first boot, which Secure Boot does not run".into());
        }
        found.push(mistake);
    }
    if later.iter().any(|line| line.contains("$(nic ")) {
        later.insert(0, net::NIC.to_string());
    }
    later
}

/// What ESXi's kickstart wants in words of its own.
fn esxi(
    job: &Job<'_>,
    task: &Task,
    passwords: &settings::Passwords,
    found: &mut Vec<Diagnostic>,
) -> Value {
    let settings = &job.resolved.settings;
    if passwords.root.is_none() && !found.iter().any(|one| one.message.contains("password")) {
        let node = job.resolved.declared.as_ref().map(|node| node.place());
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
    let install = keep(disk::esxi_line(settings));
    let keyboard = keep(values::esxi_keyboard(settings.keyboard.as_ref()).map(String::from));
    context! { install => install, keyboard => keyboard }
}

fn uses_secrets(job: &Job<'_>, task: &Task) -> bool {
    let scripts = job
        .resolved
        .settings
        .first_boot
        .iter()
        .flat_map(|list| list.values());
    task.unit.uses_secrets
        || scripts
            .filter_map(|path| job.library.loose(path))
            .any(|loose| loose.uses_secrets())
}

/// The scripts of the first boot, rendered. Where they stand inside of a document their lines are held to it.
fn first_boot(
    job: &Job<'_>,
    shared: &std::collections::BTreeMap<&'static str, Value>,
    inside: bool,
    found: &mut Vec<Diagnostic>,
) -> Vec<Value> {
    let mut scripts = Vec::new();
    for at in job
        .resolved
        .settings
        .first_boot
        .iter()
        .flat_map(|list| &list.value)
    {
        // A script that does not exist was reported when the templates were compiled.
        let Some(loose) = job.library.loose(&at.value) else {
            continue;
        };
        let format = if inside { Format::Esxi } else { Format::Shell };
        let text = match loose.render(&at.value, seen::file(shared, format)) {
            Ok(text) => text,
            Err(wrong) => {
                found.push(mistake(job, wrong));
                continue;
            }
        };
        let breaks = text
            .lines()
            .position(|line| quote::esxi_section(line).is_some())
            .filter(|_| inside);
        if let Some(line) = breaks {
            let why = quote::section_break(&format!("\n{text}"), Format::Esxi).unwrap_or_default();
            found.push(Diagnostic::error(
                format!("script {}, line {}: {why}", at.value, line + 1),
                at.place,
            ));
            continue;
        }
        let name = at
            .value
            .rsplit('/')
            .next()
            .unwrap_or(&at.value)
            .trim_end_matches(".j2")
            .to_string();
        scripts.push(context! { name => name, text => text });
    }
    scripts
}

/// A template's mistake, with nothing in it that is secret.
fn mistake(job: &Job<'_>, (origin, mistake): (Origin, Mistake)) -> Diagnostic {
    let secrets = job.outside.secrets.values().map(|secret| secret.expose());
    let settings = &job.resolved.settings;
    let user = settings
        .user
        .as_ref()
        .and_then(|at| at.value.password_hash.as_ref());
    let own = settings
        .root_password_hash
        .iter()
        .chain(user)
        .map(|at| &at.value);
    let hashes = job
        .outside
        .passwords
        .values()
        .chain(own)
        .map(|hash| hash.expose());
    let shows = secrets
        .chain(hashes)
        .any(|secret| !secret.is_empty() && mistake.message.contains(secret));
    let mut diagnostic = located(job.site, &origin, &mistake);
    if shows {
        diagnostic.message = format!(
            "template {}, line {}: this cannot be rendered",
            origin.shown(),
            mistake.line
        );
    }
    diagnostic
}
