//! The template engine, with strict rules and bounds on time and size.
//!
//! An undefined value is an error, and so is a value that has no single textual form (none, a list, a table). An error message
//! never contains a value, which may be a secret: only the expression of the template.

use std::{fmt, io, ops::Range};

use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, Value, syntax::SyntaxConfig, value::ValueKind,
};

use super::filters;
use crate::matcher::{add_bounded_filters, record_text};

/// The limit of work for one file, in the engine's unit, about one instruction each.
const FUEL: u64 = 500_000;

/// The same for what is rendered at each request: host names and the scripts that belong to no task.
const REQUEST_FUEL: u64 = 20_000;

/// The size limit of a rendered file, in bytes.
const MAX_OUTPUT: usize = 1 << 20;

/// The limit of nested includes, macros and loops that call themselves, in the engine's unit: an include counts ten, a macro four.
const MAX_RECURSION: usize = 250;

/// A mistake in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemplateError {
    /// The template's name in its environment.
    pub(super) template: String,
    /// Counted from 1.
    pub(super) line: usize,
    /// The byte range in the template, if the engine reports one.
    pub(super) range: Option<Range<usize>>,
    pub(super) message: String,
    pub(super) help: Option<String>,
}

/// An environment without templates.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_syntax(syntax());
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_formatter(write);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(MAX_RECURSION);
    // Needed for the position of an error.
    environment.set_debug(true);
    // It would print every variable, including secrets.
    environment.remove_global("debug");
    add_bounded_filters(&mut environment);
    filters::add(&mut environment);
    environment
}

/// An environment for what is rendered at each request.
pub(super) fn request_environment() -> Environment<'static> {
    let mut environment = environment();
    limit_to_request(&mut environment);
    environment
}

/// Limits an environment to what may be rendered at each request.
pub(super) fn limit_to_request(environment: &mut Environment<'_>) {
    environment.set_fuel(Some(REQUEST_FUEL));
}

fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .expect("the default delimiters differ from each other")
}

/// Writes the value of an expression.
fn write(
    output: &mut minijinja::Output<'_>,
    state: &mut minijinja::State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::InvalidOperation, why.to_string()));
    record_text(state, value.as_str().map_or(0, str::len))?;
    match value.kind() {
        ValueKind::Bool => output
            .write_str(if value.is_true() { "true" } else { "false" })
            .map_err(Error::from),
        ValueKind::None => refuse("this is not set"),
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => refuse(
            "this is a list or a table: loop over it, or use a filter such as `join` or `json`",
        ),
        _ => minijinja::escape_formatter(output, state, value),
    }
}

/// Renders one template.
pub(super) fn render(
    environment: &Environment<'_>,
    name: &str,
    context: Value,
) -> Result<String, TemplateError> {
    let mut output = BoundedBuffer(Vec::new());
    environment
        .get_template(name)
        .and_then(|template| template.render_captured_to(context, &mut output).map(drop))
        .map_err(|error| template_error(name, &error))?;
    String::from_utf8(output.0).map_err(|_| TemplateError {
        template: name.into(),
        line: 1,
        range: None,
        message: "the rendered file is not UTF-8".into(),
        help: None,
    })
}

/// The output of a template, limited in size.
struct BoundedBuffer(Vec<u8>);

impl io::Write for BoundedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_OUTPUT {
            return Err(io::Error::other(OutputTooLong));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct OutputTooLong;

impl fmt::Display for OutputTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("too long")
    }
}

impl std::error::Error for OutputTooLong {}

/// Converts an error of the engine. `name` is the template that was rendered.
pub(super) fn template_error(name: &str, error: &Error) -> TemplateError {
    let innermost = innermost(error);
    let range = innermost.range();
    let source = innermost.template_source().unwrap_or_default();
    TemplateError {
        template: innermost.name().unwrap_or(name).into(),
        line: innermost.line().unwrap_or(1),
        message: message(innermost, source, range.clone().unwrap_or_default()),
        help: help(innermost),
        range,
    }
}

/// The expression that contains a range of the source, if it is short enough to quote.
fn expression(source: &str, range: Range<usize>) -> Option<&str> {
    let start = source.get(..range.start)?.rfind("{{")? + 2;
    let end = range.end + source.get(range.end..)?.find("}}")?;
    let inside = source.get(start..end)?;
    (!inside.contains("}}") && inside.len() <= 80)
        .then(|| inside.trim_matches(['-', '+', ' ', '\n']))
}

/// The engine wraps an error in an included file in one error for each including file.
fn innermost(error: &Error) -> &Error {
    let mut found = error;
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(inner) = cause.downcast_ref::<Error>() {
            found = inner;
        }
        source = cause.source();
    }
    found
}

fn message(error: &Error, source: &str, range: Range<usize>) -> String {
    let reference = source
        .get(range.clone())
        .filter(|reference| !reference.is_empty())
        .unwrap_or("this");
    let whole = expression(source, range).unwrap_or(reference);
    let detail = error.detail().unwrap_or("");
    match error.kind() {
        ErrorKind::UndefinedError => detail.replace("is undefined", "is not defined"),
        ErrorKind::OutOfFuel => "this does too much work, or does not end".into(),
        ErrorKind::WriteFailure => {
            format!("the rendered file is longer than {} KiB", MAX_OUTPUT >> 10)
        }
        ErrorKind::SyntaxError => format!("syntax error: {detail}"),
        ErrorKind::UnknownFilter => format!("there is no filter `{reference}`"),
        ErrorKind::UnknownTest => format!("there is no test `{reference}`"),
        ErrorKind::UnknownFunction => format!("`{reference}`: there is no such function"),
        ErrorKind::UnknownMethod => format!("`{reference}`: there is no such method"),
        ErrorKind::TemplateNotFound => format!("`{reference}`: there is no such template"),
        _ if detail.is_empty() => format!("`{whole}`: {}", error.kind()),
        _ => format!("`{whole}`: {detail}"),
    }
}

fn help(error: &Error) -> Option<String> {
    let undefined = error.kind() == ErrorKind::UndefinedError;
    let name = undefined
        .then(|| error.detail()?.split('`').nth(1))
        .flatten()?;
    let set = match name.split_once('.') {
        Some(("vars", _)) => "set it in the node, the policy or the repo, or write",
        Some(("broker", _)) => "set it in the broker, or write",
        Some(("facts", _)) => "the machine has not reported it; write",
        _ => "write",
    };
    // The engine shortens a path with brackets, so it cannot be quoted.
    (!name.contains('[')).then(|| format!("{set} `{name} | default(\"\")`"))
}
