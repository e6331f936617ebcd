//! The check process: it parses, compiles and renders what it is sent.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use nix::sched::{CloneFlags, unshare};

use crate::{
    control::{RenderTarget, Snapshot},
    matcher::{self, CompiledRules},
    model::{RepoName, TaskName},
    render::{self, Library},
    serve::reload::render_cache::RenderKey,
    site::{self, LoadCache, Site, SiteFiles},
};

use super::{
    CheckLimits, MAX_THREADS, PROGRESS_AT, PROGRESS_LENGTH, STOPPED_BY,
    limits::set_memory,
    message::{self, CheckReply, CheckRequest, CheckedTarget, CheckedTargets},
};

/// How many diagnostics are sent for all targets together, besides one for each.
const MAX_DIAGNOSTICS: usize = 2_000;

/// Runs the process until its input ends.
pub(crate) fn run(limits: &[u64; 3]) -> ExitCode {
    let limits = CheckLimits::from_arguments(limits);
    isolate();
    let ended = limits
        .set()
        .map_err(io::Error::from)
        .and_then(|()| Progress::new())
        .and_then(|progress| {
            thread::Builder::new()
                .stack_size(limits.stack as usize)
                .spawn(move || answer_all(&progress, &limits))
        })
        .map(thread::JoinHandle::join);
    match ended {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        // It has reported why.
        Ok(Err(_panic)) => ExitCode::FAILURE,
        Ok(Ok(Err(error))) | Err(error) => {
            // If this fails, the exit code remains.
            drop(writeln!(io::stderr(), "{STOPPED_BY}{error}"));
            ExitCode::FAILURE
        }
    }
}

/// Takes away the network, and offers this process to the kernel if memory runs out. The limits need neither, a container may
/// forbid both, and nothing that this process does opens a socket.
fn isolate() {
    if unshare(CloneFlags::CLONE_NEWNET).is_err() {
        unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET).unwrap_or_default();
    }
    std::fs::write("/proc/self/oom_score_adj", "1000").unwrap_or_default();
}

/// Where this process reports what it is doing: one place for each thread.
struct Progress(File);

impl Progress {
    fn new() -> io::Result<Progress> {
        let error = io::stderr().as_fd().try_clone_to_owned()?;
        Ok(Progress(File::from(error)))
    }

    fn report(&self, slot: usize, doing: &str) {
        let mut text = [0; PROGRESS_LENGTH];
        let length = doing.len().min(PROGRESS_LENGTH);
        text[..length].copy_from_slice(&doing.as_bytes()[..length]);
        let at = PROGRESS_AT + (slot * PROGRESS_LENGTH) as u64;
        // A report that is lost makes only the reason of a failure less exact.
        drop(self.0.write_all_at(&text, at));
    }
}

fn answer_all(progress: &Progress, limits: &CheckLimits) -> io::Result<()> {
    let mut input = BufReader::new(io::stdin().lock());
    let mut output = BufWriter::new(io::stdout().lock());
    let mut checked = CheckedSite {
        files: SiteFiles::default(),
        cache: LoadCache::default(),
        parsed: None,
        has_more: false,
        progress,
        limits,
    };
    while let Some(request) = message::read::<CheckRequest>(&mut input)? {
        set_memory(request.memory)?;
        for (path, length) in request.files {
            let content = message::read_content(&mut input, length)?;
            checked.add(path, content);
        }
        let results = match request.render {
            None => {
                checked.parsed = Some(checked.parse(&BTreeMap::new()));
                Vec::new()
            }
            Some(targets) => checked.render(targets)?,
        };
        progress.report(0, "");
        message::write(&mut output, &CheckReply { results })?;
        output.flush()?;
    }
    Ok(())
}

/// The site that was sent so far.
struct CheckedSite<'a> {
    files: SiteFiles,
    cache: LoadCache,
    /// The result of parsing and compiling files so far.
    parsed: Option<ParsedSite>,
    /// Whether files were added since.
    has_more: bool,
    progress: &'a Progress,
    limits: &'a CheckLimits,
}

/// A site that was parsed and compiled.
struct ParsedSite {
    site: Site,
    rules: CompiledRules,
    library: Library,
}

impl ParsedSite {
    /// Whether its repos have these tasks.
    fn has_tasks(&self, detected: &BTreeMap<RepoName, TaskName>) -> bool {
        self.site.repos.iter().all(|(name, repo)| {
            let task = repo.body.task.as_ref().map(|task| &task.value);
            task == detected.get(name)
        })
    }
}

impl CheckedSite<'_> {
    fn add(&mut self, path: Arc<str>, content: Arc<[u8]>) {
        self.progress.report(0, &format!("reading {path}"));
        self.cache.read_file(&path, &content);
        self.files.content.insert(path, content);
        self.has_more = true;
    }

    /// Parses and compiles everything. Mistakes are reported by the process that asks, which does the same.
    fn parse(&mut self, detected: &BTreeMap<RepoName, TaskName>) -> ParsedSite {
        let before = match self.parsed.take() {
            Some(before) if !self.has_more && before.has_tasks(detected) => return before,
            before => before,
        };
        self.has_more = false;
        self.progress.report(0, "reading the site");
        let (site, _) = site::load_detecting(&self.files, &mut self.cache, |_, repo| {
            detected.get(&repo.name.value).cloned()
        });
        self.progress
            .report(0, "compiling the expressions of tags and policies");
        let (rules, _) = matcher::compile(&site);
        self.progress.report(0, "compiling the templates");
        let previous = before.as_ref().map(|before| &before.library);
        let (library, _) = render::compile(&site, &self.files, previous);
        ParsedSite {
            site,
            rules,
            library,
        }
    }

    fn render(&mut self, mut wanted: CheckedTargets) -> io::Result<Vec<Option<CheckedTarget>>> {
        let outside = wanted.take_outside()?;
        let ParsedSite {
            site,
            rules,
            library,
        } = self.parse(&wanted.detected);
        let snapshot = Snapshot::new(site, rules, library, outside);
        if let Some(job) = &wanted.job {
            self.progress.report(0, "rendering its files");
            // A mistake is reported by the process that asks, which renders them too.
            drop(job.run(&snapshot));
        }
        Ok(self.render_all(&snapshot, &wanted.targets))
    }

    /// Renders the targets on all processors.
    fn render_all(
        &self,
        snapshot: &Snapshot,
        targets: &[(RenderKey, String)],
    ) -> Vec<Option<CheckedTarget>> {
        let available = thread::available_parallelism().map_or(1, usize::from);
        let workers = available.min(MAX_THREADS).min(targets.len()).max(1);
        let next = AtomicUsize::new(0);
        let work = |slot: usize| {
            let mut done = Vec::new();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some((key, base)) = targets.get(at) else {
                    self.progress.report(slot, "");
                    return done;
                };
                self.progress.report(slot, &format!("rendering {key}"));
                done.push((at, rendered(snapshot, key, base.clone())));
            }
        };
        let mut results: Vec<Option<CheckedTarget>> = Vec::new();
        results.resize_with(targets.len(), || None);
        thread::scope(|scope| {
            let work = &work;
            let spawn = |slot| {
                let builder = thread::Builder::new().stack_size(self.limits.stack as usize);
                builder.spawn_scoped(scope, move || work(slot))
            };
            let threads: Vec<_> = (0..workers).map(spawn).collect();
            for thread in threads {
                let thread = thread.expect("failed to spawn thread");
                let done = thread.join().expect("rendering does not panic");
                for (at, result) in done {
                    results[at] = result;
                }
            }
        });
        // The site is rejected with a few of them.
        let mut left = MAX_DIAGNOSTICS;
        for result in results.iter_mut().flatten() {
            result.limit(&mut left);
        }
        results
    }
}

/// Renders one target; none if the site does not declare it.
fn rendered(snapshot: &Snapshot, key: &RenderKey, base: String) -> Option<CheckedTarget> {
    let site = &snapshot.site;
    let target = match key {
        RenderKey::Node(name) => RenderTarget::Node(site.nodes.get(name)?.clone()),
        RenderKey::Undeclared(name) => RenderTarget::Undeclared(site.policies.get(name)?.clone()),
    };
    let (resolved, _) = snapshot.resolve_target(&target)?;
    let checked = snapshot.check(&target, &resolved, base);
    Some(CheckedTarget::new(checked, &site.sources))
}
