//! Starts a check process, asks it, and ends it.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    os::{
        fd::AsFd,
        unix::{fs::FileExt, process::CommandExt},
    },
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Instant,
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::memfd::{MFdFlags, memfd_create},
};

use crate::{
    control::{RenderCheck, Snapshot},
    serve::reload::render_cache::RenderKey,
    site::SiteFiles,
};

use super::{
    COMMAND, CheckLimits, CheckProgram, MAX_THREADS, PROGRESS_AT, PROGRESS_LENGTH,
    failure::{CheckFailure, CheckFailureReason},
    message::{self, CheckReply, CheckRequest, CheckedTargets},
};

/// The maximum length of the messages that are read from a failed process, in bytes.
const MAX_MESSAGES: usize = 64 << 10;

/// A running check process. Dropping it ends it.
pub(crate) struct CheckProcess {
    child: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<TimedOutput>,
    /// Its standard error: messages of a failure, and the progress.
    reports: File,
    limits: CheckLimits,
    /// The address space that the present request may use.
    memory: u64,
    /// The files that it has.
    sent: BTreeSet<Arc<str>>,
}

impl CheckProcess {
    /// Starts a process for the check of one site.
    pub(crate) fn start(program: &CheckProgram) -> Result<CheckProcess, CheckFailure> {
        start(program).map_err(|error| CheckFailure {
            reason: CheckFailureReason::not_started(&error),
            doing: Vec::new(),
        })
    }

    /// Parses and compiles those `files` that are `wanted`, and drops them again.
    pub(crate) fn parse(
        &mut self,
        files: &SiteFiles,
        wanted: impl FnMut(&str, &Arc<[u8]>) -> bool,
    ) -> Result<(), CheckFailure> {
        self.ask(files, wanted, None).map(drop)
    }

    /// Renders targets, each with the URL of this server, from the site of `snapshot`. It has to have parsed `files` except
    /// those that declare only nodes.
    pub(crate) fn render(
        &mut self,
        files: &SiteFiles,
        snapshot: &Snapshot,
        targets: Vec<(RenderKey, String)>,
    ) -> Result<Vec<RenderCheck>, CheckFailure> {
        if targets.is_empty() {
            return Ok(Vec::new());
        }
        let site = &snapshot.site;
        let nodes = targets.iter().filter_map(|(key, _)| match key {
            RenderKey::Node(name) => site.nodes.get(name),
            RenderKey::Undeclared(_) => None,
        });
        let sources = nodes.filter_map(|node| site.sources.get(node.span().file));
        let needed: BTreeSet<&str> = sources.map(|source| &*source.path).collect();
        let request = CheckedTargets::new(targets, None, site, &snapshot.outside);
        let reply = self.ask(files, |path, _| needed.contains(path), Some(request))?;
        let checks = reply.results.into_iter().map(|result| {
            let result = result.ok_or(io::ErrorKind::NotFound)?;
            result.into_check(&site.sources)
        });
        checks
            .collect::<io::Result<_>>()
            .map_err(|error| CheckFailure {
                reason: CheckFailureReason::garbled(&error),
                doing: Vec::new(),
            })
    }

    /// Sends those `files` that are `wanted`, with what is to be rendered.
    pub(super) fn ask(
        &mut self,
        files: &SiteFiles,
        wanted: impl FnMut(&str, &Arc<[u8]>) -> bool,
        render: Option<CheckedTargets>,
    ) -> Result<CheckReply, CheckFailure> {
        let exchanged = self
            .send(files, wanted, render)
            .and_then(|()| message::read(&mut self.output));
        match exchanged {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(self.failure(None)),
            Err(error) => Err(self.failure(Some(&error))),
        }
    }

    fn send(
        &mut self,
        files: &SiteFiles,
        mut wanted: impl FnMut(&str, &Arc<[u8]>) -> bool,
        render: Option<CheckedTargets>,
    ) -> io::Result<()> {
        let is_new = |(path, content): &(&Arc<str>, &Arc<[u8]>)| {
            !self.sent.contains(*path) && wanted(path, content)
        };
        let new: Vec<_> = files.content.iter().filter(is_new).collect();
        let lengths = new
            .iter()
            .map(|(path, content)| ((*path).clone(), content.len() as u64));
        let size = new.iter().map(|(_, content)| content.len() as u64).sum();
        self.memory = match render {
            Some(_) => self.limits.memory,
            None => self.limits.parse_memory(size),
        };
        let request = CheckRequest {
            files: lengths.collect(),
            memory: self.memory,
            render,
        };
        message::write(&mut self.input, &request)?;
        for (_, content) in &new {
            self.input.write_all(content)?;
        }
        self.sent
            .extend(new.into_iter().map(|(path, _)| path.clone()));
        self.input.flush()
    }

    /// Ends the process, and finds out why it failed.
    fn failure(&mut self, error: Option<&io::Error>) -> CheckFailure {
        let is = |kind| error.is_some_and(|error| error.kind() == kind);
        let is_late = is(io::ErrorKind::TimedOut);
        let doing = self.doing();
        // It answered what this program does not read, and still runs.
        let is_garbled = is(io::ErrorKind::InvalidData);
        let status = match is_late || is_garbled {
            true => self.child.kill().and_then(|()| self.child.wait()),
            // Its output has ended, so it has ended, or is about to.
            false => self.wait(),
        };
        let reason = match (error, status) {
            _ if is_late => CheckFailureReason::Time(self.limits.time),
            (Some(error), _) if is_garbled => CheckFailureReason::garbled(error),
            (_, Ok(status)) => {
                let limits = CheckLimits {
                    memory: self.memory,
                    ..self.limits
                };
                CheckFailureReason::of(status, &self.messages(), &limits)
            }
            (_, Err(error)) => CheckFailureReason::Fault(error.to_string()),
        };
        CheckFailure { reason, doing }
    }

    /// Waits until a process that has closed its output has ended.
    fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        let deadline = self.output.get_ref().deadline;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        self.child.kill()?;
        self.child.wait()
    }

    fn messages(&self) -> String {
        let mut bytes = vec![0; MAX_MESSAGES];
        // Without the messages, the signal is still known.
        let length = self.reports.read_at(&mut bytes, 0).unwrap_or(0);
        bytes.truncate(length);
        bytes.retain(|byte| *byte != 0);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What its threads are doing.
    fn doing(&self) -> Vec<String> {
        let slots = 0..MAX_THREADS;
        let report = |slot: usize| {
            let mut text = [0; PROGRESS_LENGTH];
            let at = PROGRESS_AT + (slot * PROGRESS_LENGTH) as u64;
            // A process that has reported nothing has written nothing there.
            let length = self.reports.read_at(&mut text, at).unwrap_or(0);
            let text = text[..length].split(|byte| *byte == 0).next()?;
            (!text.is_empty()).then(|| String::from_utf8_lossy(text).into_owned())
        };
        slots.filter_map(report).collect()
    }
}

impl Drop for CheckProcess {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn start(program: &CheckProgram) -> io::Result<CheckProcess> {
    let reports = memfd_create("bootwright-check", MFdFlags::MFD_CLOEXEC)?;
    let reports = File::from(reports);
    let mut child = Command::new(&program.path)
        .arg0("bootwright")
        .arg(COMMAND)
        .args(program.limits.arguments())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(reports.try_clone()?)
        .spawn()?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let (input, output) = pipes.expect("both are pipes");
    Ok(CheckProcess {
        child,
        input: BufWriter::new(input),
        output: BufReader::new(TimedOutput {
            output,
            deadline: Instant::now() + program.limits.time,
        }),
        reports,
        limits: program.limits,
        memory: program.limits.memory,
        sent: BTreeSet::new(),
    })
}

/// The output of the process, which has to come before the deadline.
struct TimedOutput {
    output: ChildStdout,
    deadline: Instant,
}

impl Read for TimedOutput {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let mut waited = [PollFd::new(self.output.as_fd(), PollFlags::POLLIN)];
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut waited, timeout) {
                Ok(0) | Err(nix::Error::EINTR) => {}
                Ok(_) => return self.output.read(buffer),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
