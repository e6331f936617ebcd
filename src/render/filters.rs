//! The template filters that the engine does not have itself.

use minijinja::{Environment, Error, ErrorKind, State, Value, value::ValueKind};

use super::quote::{self, FileFormat, QuoteError};

pub(super) fn add(environment: &mut Environment<'_>) {
    environment.add_filter("sh", |state: &State<'_, '_>, value: &Value| {
        in_section(state, &text(value)?)?;
        quoted(value, quote::shell)
    });
    environment.add_filter("ks", |value: &Value| quoted(value, quote::kickstart));
    environment.add_filter("preseed", |value: &Value| quoted(value, quote::preseed));
    environment.add_filter("ipxe", |value: &Value| quoted(value, quote::ipxe));
    environment.add_filter("grub", |value: &Value| quoted(value, quote::grub));
    environment.add_filter("xml", |value: &Value| quoted(value, quote::xml));
    environment.add_filter("yaml", |value: &Value| structured(value, quote::yaml));
    environment.add_filter("json", |value: &Value| structured(value, quote::json));
    environment.add_filter("tojson", |value: &Value| structured(value, quote::json));
    environment.add_filter("quote", |state: &State<'_, '_>, value: &Value| {
        let format = format(state);
        match format {
            FileFormat::Yaml => structured(value, quote::yaml),
            FileFormat::Json => structured(value, quote::json),
            _ => quoted(value, |text| quote::quote(text, format)),
        }
    });
    environment.add_filter("heredoc", |state: &State<'_, '_>, value: &Value| {
        let text = text(value)?;
        let document = quote::heredoc(&text).map_err(refused)?;
        in_section(state, &document)?;
        Ok::<_, Error>(document)
    });
    environment.add_filter("script", |state: &State<'_, '_>, value: &Value| {
        let text = text(value)?;
        // The filter is used at the start of a line, so its first line counts as well.
        in_section(state, &format!("\n{text}"))?;
        Ok::<_, Error>(text)
    });
    environment.add_filter("hyphens", |value: &Value| {
        Ok::<_, Error>(text(value)?.replace(':', "-"))
    });
}

/// The format of the file that is being rendered.
fn format(state: &State<'_, '_>) -> FileFormat {
    let name = state.lookup("quoting");
    let name = name
        .as_ref()
        .and_then(|value| value.as_str())
        .unwrap_or_default();
    match name {
        "shell" => FileFormat::Shell,
        "kickstart" => FileFormat::Kickstart,
        "esxi" => FileFormat::Esxi,
        "preseed" => FileFormat::Preseed,
        "yaml" => FileFormat::Yaml,
        "xml" => FileFormat::Xml,
        "ipxe" => FileFormat::Ipxe,
        "grub" => FileFormat::Grub,
        "json" => FileFormat::Json,
        _ => FileFormat::Plain,
    }
}

/// The name of a format in templates, as [`format()`] reads it.
pub(super) fn format_name(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Plain => "plain",
        FileFormat::Shell => "shell",
        FileFormat::Kickstart => "kickstart",
        FileFormat::Esxi => "esxi",
        FileFormat::Preseed => "preseed",
        FileFormat::Yaml => "yaml",
        FileFormat::Xml => "xml",
        FileFormat::Ipxe => "ipxe",
        FileFormat::Grub => "grub",
        FileFormat::Json => "json",
    }
}

fn in_section(state: &State<'_, '_>, text: &str) -> Result<(), Error> {
    quote::section_break(text, format(state)).map_or(Ok(()), |why| Err(refused(why)))
}

fn quoted(
    value: &Value,
    quote: impl Fn(&str) -> Result<String, QuoteError>,
) -> Result<String, Error> {
    quote(&text(value)?).map_err(refused)
}

/// Quotes strings, and writes everything else as JSON, which is valid YAML too.
fn structured(
    value: &Value,
    quote: impl Fn(&str) -> Result<String, QuoteError>,
) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => quoted(value, quote),
        ValueKind::Undefined => Err(undefined(value)),
        _ => serde_json::to_string(value)
            .map_err(|_| refused("this cannot be written as JSON".into())),
    }
}

/// The text of a single value.
fn text(value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String | ValueKind::Number => Ok(value.to_string()),
        ValueKind::Bool => Ok(value.is_true().to_string()),
        ValueKind::Undefined => Err(undefined(value)),
        ValueKind::None => Err(refused("this is not set".into())),
        _ => Err(refused(
            "this is a list or a table: quote its items one by one".into(),
        )),
    }
}

/// The engine's error for an undefined value, which names the expression.
fn undefined(value: &Value) -> Error {
    let error = value.get_attr("").err();
    error.unwrap_or_else(|| Error::from(ErrorKind::UndefinedError))
}

fn refused(why: QuoteError) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}
