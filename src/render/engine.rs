//! The template engine, made strict and bounded.
//!
//! What is not defined, and what has no one way to be written (nothing, a list, a table), is a mistake. A
//! mistake never holds a value, only the words of the template that stand for it.

use std::{fmt, io, ops::Range};

use minijinja::{
    Environment, Error, ErrorKind, UndefinedBehavior, Value, syntax::SyntaxConfig, value::ValueKind,
};

use super::filters;

/// How much work one file may be: about as many steps of the template language.
const FUEL: u64 = 500_000;

/// How long a rendered file may be.
const LONGEST: usize = 1 << 20;

/// Something wrong in a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TemplateError {
    /// The template's name in its environment.
    pub(super) template: String,
    /// The line, counted from 1.
    pub(super) line: usize,
    /// The bytes of its text, as far as they are known.
    pub(super) range: Option<Range<usize>>,
    /// What is wrong.
    pub(super) message: String,
    /// What to do.
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
    // Needed for the place of a mistake.
    environment.set_debug(true);
    // It would print every variable, secrets among them.
    environment.remove_global("debug");
    filters::add(&mut environment);
    environment
}

fn syntax() -> SyntaxConfig {
    SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .keep_trailing_newline(true)
        .build()
        .expect("the usual delimiters differ from each other")
}

/// Writes what an expression yields.
fn write(
    output: &mut minijinja::Output<'_>,
    state: &mut minijinja::State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    let refuse = |why: &str| Err(Error::new(ErrorKind::InvalidOperation, why.to_string()));
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
        .map_err(|error| mistake(name, &error))?;
    String::from_utf8(output.0).map_err(|_| TemplateError {
        template: name.into(),
        line: 1,
        range: None,
        message: "what it renders to is not UTF-8".into(),
        help: None,
    })
}

/// What a file is rendered into: it ends before memory does.
struct BoundedBuffer(Vec<u8>);

impl io::Write for BoundedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > LONGEST {
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

/// Says what an error of the engine is about. `name` is the template that was asked for.
pub(super) fn mistake(name: &str, error: &Error) -> TemplateError {
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

/// The expression that a range of the source is part of, when it is short enough to be repeated.
fn expression(source: &str, range: Range<usize>) -> Option<&str> {
    let start = source.get(..range.start)?.rfind("{{")? + 2;
    let end = range.end + source.get(range.end..)?.find("}}")?;
    let inside = source.get(start..end)?;
    (!inside.contains("}}") && inside.len() <= 80)
        .then(|| inside.trim_matches(['-', '+', ' ', '\n']))
}

/// An error inside of an included file is wrapped by one for each file around it.
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
    let words = source
        .get(range.clone())
        .filter(|words| !words.is_empty())
        .unwrap_or("this");
    let whole = expression(source, range).unwrap_or(words);
    let detail = error.detail().unwrap_or("");
    match error.kind() {
        ErrorKind::UndefinedError => detail.replace("is undefined", "is not defined"),
        ErrorKind::OutOfFuel => "this does not come to an end".into(),
        ErrorKind::WriteFailure => {
            format!("what it renders to is longer than {} KiB", LONGEST >> 10)
        }
        ErrorKind::SyntaxError => format!("syntax error: {detail}"),
        ErrorKind::UnknownFilter => format!("there is no filter `{words}`"),
        ErrorKind::UnknownTest => format!("there is no test `{words}`"),
        ErrorKind::UnknownFunction => format!("`{words}`: there is no such function"),
        ErrorKind::UnknownMethod => format!("`{words}`: there is no such method"),
        ErrorKind::TemplateNotFound => format!("`{words}`: there is no such template"),
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
    // A path of brackets is shortened by the engine and cannot be repeated.
    (!name.contains('[')).then(|| format!("{set} `{name} | default(\"\")`"))
}
