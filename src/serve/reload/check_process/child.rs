//! The check process: it parses, compiles and renders what it is sent.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Write},
    os::{fd::AsFd, unix::fs::FileExt},
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use nix::sched::{CloneFlags, unshare};

use crate::{
    control::{RenderTarget, Snapshot},
    matcher,
    render::{self, Library},
    serve::{memory, reload::render_cache::RenderKey},
    site::{self, LoadCache, SiteFiles},
};

use super::{
    CheckLimits, MAX_THREADS, PROGRESS_AT, PROGRESS_LENGTH, STOPPED_BY,
    limits::set_memory,
    message::{self, CheckReply, CheckRequest, CheckedTarget, CheckedTargets},
};

/// Runs the process until its input ends.
pub(crate) fn run(limits: &[u64; 3]) -> ExitCode {
    let limits = CheckLimits::from_arguments(limits);
    memory::limit_allocator();
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
        library: None,
        progress,
        limits,
    };
    while let Some(request) = message::read::<CheckRequest>(&mut input)? {
        set_memory(request.memory)?;
        for (path, length) in request.files {
            let content = message::read_content(&mut input, length)?;
            checked.files.content.insert(path, content);
        }
        let results = match request.render {
            None => {
                checked.parse();
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
    library: Option<Library>,
    progress: &'a Progress,
    limits: &'a CheckLimits,
}

impl CheckedSite<'_> {
    /// Parses and compiles everything. Mistakes are reported by the process that asks, which does the same.
    fn parse(&mut self) {
        self.read_files();
        let (site, _) = site::load(&self.files, &mut self.cache);
        self.progress
            .report(0, "compiling the expressions of tags and policies");
        drop(matcher::compile(&site));
        self.progress.report(0, "compiling the templates");
        let (library, _) = render::compile(&site, &self.files, None);
        self.library = Some(library);
    }

    fn read_files(&mut self) {
        for (path, content) in &self.files.content {
            self.progress.report(0, &format!("reading {path}"));
            self.cache.read_file(path, content);
        }
        self.progress.report(0, "reading the site");
    }

    fn render(&mut self, mut wanted: CheckedTargets) -> io::Result<Vec<Option<CheckedTarget>>> {
        let outside = wanted.take_outside()?;
        self.read_files();
        let detected = &wanted.detected;
        let (site, _) = site::load_detecting(&self.files, &mut self.cache, |_, repo| {
            detected.get(&repo.name.value).cloned()
        });
        let (rules, _) = matcher::compile(&site);
        self.progress.report(0, "compiling the templates");
        let (library, _) = render::compile(&site, &self.files, self.library.as_ref());
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
    Some(CheckedTarget::new(&checked, &site.sources))
}
