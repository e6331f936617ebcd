//! Renders the machines of a site whose inputs have changed.
//!
//! The check process renders them, if there is one ([`super::check_process`]). Otherwise this process does, on all processors.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    control::{RenderCheck, RenderTarget, Snapshot},
    model::{Hostname, Node, NodeName, SourceSpan},
    serve::reload::{
        bases::Bases,
        check_process::{CheckFailure, CheckProcess},
        render_cache::{Inputs, RenderKey, RenderedNode, is_declared_as_in},
    },
    site::{Diagnostic, HostnameRule, Resolved, Severity, SiteFiles},
};

/// The result of rendering.
#[derive(Default)]
pub(super) struct Rendering {
    pub(super) rendered: BTreeMap<RenderKey, RenderedNode>,
    pub(super) is_complete: bool,
}

/// Where errors were already found. Errors that follow from them are not reported again.
pub(super) struct ErrorSpans(BTreeSet<SourceSpan>);

impl ErrorSpans {
    pub(super) fn of(diagnostics: &[Diagnostic]) -> Self {
        let errors = diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error);
        ErrorSpans(errors.filter_map(|one| one.span).collect())
    }

    /// Returns whether one of a machine's settings has an error.
    fn has(&self, resolved: &Resolved) -> bool {
        !self.0.is_empty()
            && resolved
                .settings
                .listed()
                .iter()
                .any(|(_, span, _)| self.0.contains(span))
    }
}

pub(super) fn has_error(diagnostics: &[Diagnostic]) -> bool {
    diagnostics
        .iter()
        .any(|one| one.severity == Severity::Error)
}

/// What rendering one machine needs besides that machine.
pub(super) struct Renderer<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) bases: &'a Bases,
    pub(super) error_spans: &'a ErrorSpans,
    /// What was rendered before, if the common inputs are unchanged.
    pub(super) known: Option<&'a BTreeMap<RenderKey, RenderedNode>>,
    /// The site before, if only nodes differ from it. A node that is declared the same there is still valid.
    pub(super) unchanged: Option<&'a Snapshot>,
}

/// The result for one machine.
pub(super) struct Outcome {
    pub(super) key: RenderKey,
    pub(super) found: Vec<Diagnostic>,
    /// `None` if it has an error, if nothing is to be rendered, or if it is only known to have been valid before.
    pub(super) rendered: Option<RenderedNode>,
}

/// Whether a machine has to be rendered.
enum Examined {
    Known(Outcome),
    Wanted(WantedTarget),
}

/// A machine that has to be rendered.
struct WantedTarget {
    outcome: Outcome,
    inputs: Inputs,
    /// Whether a template sets its host name.
    is_template: bool,
    base: String,
}

impl WantedTarget {
    fn finish(self, checked: RenderCheck) -> Outcome {
        let mut outcome = self.outcome;
        if !checked.is_valid() {
            outcome.found.extend(checked.diagnostics);
            return outcome;
        }
        outcome.rendered = Some(RenderedNode {
            inputs: self.inputs,
            hostname: checked.hostname.filter(|_| self.is_template),
            documents: checked.documents,
            warnings: checked.diagnostics,
        });
        outcome
    }
}

impl Renderer<'_> {
    /// Renders everything in this process.
    pub(super) fn render_here(&self) -> Vec<Outcome> {
        self.on_all_processors(|target| match self.examine(target) {
            (Examined::Wanted(wanted), Some(resolved)) => {
                let checked = self.snapshot.check(target, &resolved, wanted.base.clone());
                wanted.finish(checked)
            }
            (Examined::Wanted(wanted), None) => wanted.outcome,
            (Examined::Known(outcome), _) => outcome,
        })
    }

    /// Renders everything in the check process, which has to have parsed `files`.
    pub(super) fn render_in(
        &self,
        process: &mut CheckProcess,
        files: &SiteFiles,
    ) -> Result<Vec<Outcome>, CheckFailure> {
        let examined = self.on_all_processors(|target| self.examine(target).0);
        let targets = examined.iter().filter_map(|one| match one {
            Examined::Wanted(wanted) => Some((wanted.outcome.key.clone(), wanted.base.clone())),
            Examined::Known(_) => None,
        });
        let mut checked = process
            .render(files, self.snapshot, targets.collect())?
            .into_iter();
        let finished = examined.into_iter().map(|one| match one {
            Examined::Known(outcome) => outcome,
            Examined::Wanted(wanted) => {
                wanted.finish(checked.next().expect("every target has a result"))
            }
        });
        Ok(finished.collect())
    }

    fn on_all_processors<T: Send>(&self, of: impl Fn(&RenderTarget) -> T + Sync) -> Vec<T> {
        let targets = self.snapshot.targets();
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let share = targets.len().div_ceil(workers).max(1);
        std::thread::scope(|scope| {
            let of = &of;
            let parts: Vec<_> = targets
                .chunks(share)
                .map(|part| scope.spawn(move || part.iter().map(of).collect::<Vec<_>>()))
                .collect();
            parts
                .into_iter()
                .flat_map(|part| part.join().expect("rendering does not panic"))
                .collect()
        })
    }

    /// Finds out whether a machine has to be rendered, and its settings if so. It does not if it was rendered from the same
    /// inputs before.
    fn examine(&self, target: &RenderTarget) -> (Examined, Option<Resolved>) {
        let mut outcome = Outcome {
            key: RenderKey::of(target),
            found: Vec::new(),
            rendered: None,
        };
        let known = self.known.and_then(|known| known.get(&outcome.key));
        if self
            .unchanged
            .is_some_and(|before| is_declared_as_in(before, target))
        {
            outcome.rendered = known.cloned();
            return (Examined::Known(outcome), None);
        }
        let Some((resolved, found)) = self.snapshot.resolve_target(target) else {
            return (Examined::Known(outcome), None);
        };
        match target {
            // Errors of declared nodes were found when the rules of the site were checked.
            RenderTarget::Node(_) if self.error_spans.has(&resolved) || has_error(&found) => {
                return (Examined::Known(outcome), None);
            }
            RenderTarget::Node(_) => {}
            RenderTarget::Undeclared(_) => outcome.found = found,
        }
        let inputs = Inputs::new(self.snapshot, &resolved);
        if let Some(rendered) = known.filter(|rendered| rendered.inputs.is(&inputs)) {
            outcome.rendered = Some(rendered.clone());
            return (Examined::Known(outcome), None);
        }
        let wanted = WantedTarget {
            outcome,
            inputs,
            is_template: matches!(resolved.hostname, HostnameRule::Template(_)),
            base: self.bases.of(resolved.network.as_deref()),
        };
        (Examined::Wanted(wanted), Some(resolved))
    }
}

/// Finds equal host names if at least one is set by a template. Other host names were compared when the site was loaded.
pub(super) fn same_hostnames(
    snapshot: &Snapshot,
    rendered: &BTreeMap<RenderKey, RenderedNode>,
) -> Vec<Diagnostic> {
    if rendered.values().all(|one| one.hostname.is_none()) {
        return Vec::new();
    }
    let mut first: BTreeMap<String, (&NodeName, bool)> = BTreeMap::new();
    let mut found = Vec::new();
    for (name, node) in &snapshot.site.nodes {
        let Some(rendered) = rendered.get(&RenderKey::Node(name.clone())) else {
            continue;
        };
        let templated = rendered.hostname.clone();
        let is_template = templated.is_some();
        let Some(hostname) = templated.or_else(|| plain_hostname(snapshot, node)) else {
            continue;
        };
        match first.get(&hostname.as_str().to_ascii_lowercase()) {
            Some((other, other_is)) if is_template || *other_is => {
                let other = &snapshot.site.nodes[*other];
                let message = format!("host name {hostname} is used twice");
                let one = Diagnostic::error(message, node.span()).label(name.to_string());
                found.push(one.other(other.span(), format!("{} has it", other.name)));
            }
            Some(_) => {}
            None => drop(first.insert(hostname.as_str().to_ascii_lowercase(), (name, is_template))),
        }
    }
    found
}

/// Returns the host name of a node if no template sets it.
fn plain_hostname(snapshot: &Snapshot, node: &Arc<Node>) -> Option<Hostname> {
    let (resolved, _) = snapshot.resolve_target(&RenderTarget::Node(node.clone()))?;
    match resolved.hostname {
        HostnameRule::Plain(hostname) => Some(hostname),
        HostnameRule::Template(_) => None,
    }
}
