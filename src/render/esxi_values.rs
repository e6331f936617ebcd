//! What ESXi's kickstart writes in its own way: its disk, its keyboard, its licence and the options of its installer.

use minijinja::Value;

use crate::site::Diagnostic;

use super::{esxi, esxi_options, library::Task, regional, request::RenderRequest};

/// Returns `esxi` of the templates, and the words for the kernel's command line.
pub(super) fn values(
    request: &RenderRequest<'_>,
    task: &Task,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Value, Vec<String>) {
    let settings = &request.resolved.settings;
    let options = esxi_options::options(request.resolved, esxi::leaves_choice(settings));
    let options = options
        .map_err(|error| diagnostics.push(error))
        .unwrap_or_default();
    if settings.root_password_hash.is_none() && settings.root_password_file.is_none() {
        let node = request.resolved.declared.as_ref().map(|node| node.span());
        diagnostics.push(
            Diagnostic::error(
                format!("task `{}` needs a password for root", task.name),
                node,
            )
            .help("set `root-password-hash` or `root-password-file`"),
        );
    }
    let mut keep = |result: Result<String, Diagnostic>| {
        result
            .map_err(|error| diagnostics.push(error))
            .unwrap_or_default()
    };
    let install = keep(esxi::install(settings, &options));
    let license =
        keep(esxi::license(request.resolved, request.external).map(Option::unwrap_or_default));
    let (keyboard, warning) = regional::esxi_keyboard(settings);
    diagnostics.extend(warning);
    let value = minijinja::context! { install => install, choice => esxi::choice(settings, &options), clearpart => options.clearpart.as_deref(), keyboard => keyboard, license => license };
    (value, options.kernel)
}
