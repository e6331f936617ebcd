//! The messages between this program and the check process.
//!
//! A message is a line of JSON, followed by the contents of files whose lengths it has.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, Read, Write},
    sync::Arc,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    control::{RenderCheck, RenderJob},
    model::{Hostname, NetworkName, RepoName, SecretText, SourceSpan, TaskName},
    render::{ExternalInputs, RepoContents},
    serve::reload::render_cache::RenderKey,
    site::{self, Diagnostic, Severity, Site, SourceMap},
};

/// The maximum length of the JSON of a message, in bytes.
const MAX_LINE: u64 = 256 << 20;

/// What the check process is asked to do. New files come with it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckRequest {
    pub(super) files: Vec<(Arc<str>, u64)>,
    /// The address space that may be used, in bytes.
    pub(super) memory: u64,
    /// The targets to render. Without it, the files are only parsed and compiled.
    pub(super) render: Option<CheckedTargets>,
}

/// What is to be rendered, with everything from outside the site.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckedTargets {
    /// The targets, each with the URL of this server.
    pub(super) targets: Vec<(RenderKey, String)>,
    /// The files of one machine, with the values of its request.
    pub(super) job: Option<RenderJob>,
    pub(super) detected: BTreeMap<RepoName, TaskName>,
    secrets: BTreeMap<String, String>,
    passwords: BTreeMap<String, String>,
    repos: BTreeMap<RepoName, RepoContents>,
    v6_urls: BTreeMap<NetworkName, String>,
}

impl CheckedTargets {
    pub(super) fn new(
        targets: Vec<(RenderKey, String)>,
        job: Option<RenderJob>,
        site: &Site,
        outside: &ExternalInputs,
    ) -> Self {
        let detected = site.repos.iter().filter_map(|(name, repo)| {
            let task = repo.body.task.as_ref()?;
            Some((name.clone(), task.value.clone()))
        });
        let secrets = outside.secrets.iter();
        let passwords = outside.passwords.iter();
        CheckedTargets {
            targets,
            job,
            detected: detected.collect(),
            secrets: secrets
                .map(|(name, text)| (name.clone(), text.expose().to_owned()))
                .collect(),
            passwords: passwords
                .map(|(path, hash)| (path.clone(), hash.expose().to_owned()))
                .collect(),
            repos: outside.repos.clone(),
            v6_urls: outside.v6_urls.clone(),
        }
    }

    /// Takes out the values from outside the site.
    pub(super) fn take_outside(&mut self) -> io::Result<ExternalInputs> {
        let secrets = std::mem::take(&mut self.secrets).into_iter();
        let passwords = std::mem::take(&mut self.passwords).into_iter();
        let hash = |(path, hash): (String, String)| {
            let hash = hash
                .parse()
                .map_err(|_| invalid("a password is not hashed"))?;
            Ok((path, hash))
        };
        Ok(ExternalInputs {
            secrets: secrets
                .map(|(name, text)| (name, SecretText::new(text)))
                .collect(),
            passwords: passwords.map(hash).collect::<io::Result<_>>()?,
            repos: std::mem::take(&mut self.repos),
            v6_urls: std::mem::take(&mut self.v6_urls),
        })
    }
}

/// The answer of the check process: the results, in the order of the targets. They are empty after parsing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckReply {
    pub(super) results: Vec<Option<CheckedTarget>>,
}

/// The result of rendering one target.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CheckedTarget {
    diagnostics: Vec<SentDiagnostic>,
    documents: usize,
    hostname: Option<String>,
}

/// A diagnostic with paths in place of file numbers, which differ between the processes.
#[derive(Debug, Serialize, Deserialize)]
struct SentDiagnostic {
    is_error: bool,
    message: String,
    span: Option<SentSpan>,
    label: String,
    others: Vec<(SentSpan, String)>,
    notes: Vec<String>,
    help: Option<String>,
}

/// The path of a file, and a range of its bytes.
type SentSpan = (Arc<str>, u32, u32);

impl CheckedTarget {
    pub(super) fn new(mut checked: RenderCheck, sources: &SourceMap) -> Self {
        site::limit_diagnostics(&mut checked.diagnostics);
        let span = |span: SourceSpan| -> Option<SentSpan> {
            let source = sources.get(span.file)?;
            Some((source.path.clone(), span.start, span.end))
        };
        let sent = |one: &Diagnostic| SentDiagnostic {
            is_error: one.severity == Severity::Error,
            message: one.message.clone(),
            span: one.span.and_then(span),
            label: one.label.clone(),
            others: one
                .others
                .iter()
                .filter_map(|(at, label)| Some((span(*at)?, label.clone())))
                .collect(),
            notes: one.notes.clone(),
            help: one.help.clone(),
        };
        CheckedTarget {
            diagnostics: checked.diagnostics.iter().map(sent).collect(),
            documents: checked.documents,
            hostname: checked.hostname.as_ref().map(ToString::to_string),
        }
    }

    /// Keeps at most as many diagnostics as are left, and one error that rejects the site.
    pub(super) fn limit(&mut self, left: &mut usize) {
        self.diagnostics.sort_by_key(|one| !one.is_error);
        self.diagnostics.truncate((*left).max(1));
        *left = left.saturating_sub(self.diagnostics.len());
    }

    pub(super) fn into_check(self, sources: &SourceMap) -> io::Result<RenderCheck> {
        let span = |(path, start, end): SentSpan| {
            let file = sources.id(&path)?;
            Some(SourceSpan { file, start, end })
        };
        let received = |one: SentDiagnostic| Diagnostic {
            severity: match one.is_error {
                true => Severity::Error,
                false => Severity::Warning,
            },
            message: one.message,
            span: one.span.and_then(span),
            label: one.label,
            others: one
                .others
                .into_iter()
                .filter_map(|(at, label)| Some((span(at)?, label)))
                .collect(),
            notes: one.notes,
            help: one.help,
        };
        let hostname = self.hostname.map(|name| name.parse::<Hostname>());
        let hostname = hostname
            .transpose()
            .map_err(|_| invalid("a host name is invalid"))?;
        Ok(RenderCheck {
            diagnostics: self.diagnostics.into_iter().map(received).collect(),
            documents: self.documents,
            hostname,
        })
    }
}

/// Writes the JSON of a message.
pub(super) fn write(output: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *output, message)?;
    output.write_all(b"\n")
}

/// Reads the JSON of a message; none at the end of the input.
pub(super) fn read<T: DeserializeOwned>(input: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    input.take(MAX_LINE).read_until(b'\n', &mut line)?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(serde_json::from_slice(&line)?)),
        Some(_) if line.len() as u64 == MAX_LINE => Err(invalid("a message is too long")),
        Some(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Reads the content of one file.
pub(super) fn read_content(input: &mut impl Read, length: u64) -> io::Result<Arc<[u8]>> {
    let mut content = Vec::new();
    input.take(length).read_to_end(&mut content)?;
    match content.len() as u64 == length {
        true => Ok(content.into()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
