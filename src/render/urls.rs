//! The URLs of one attempt: where the machine fetches its files and reports its progress.

use std::sync::Arc;

use minijinja::{Error, ErrorKind, State, Value, value::Object};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::task::TaskSpec;

/// The URLs of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Urls {
    /// The machines' listener as the machine reaches it, without a trailing `/`: `http://192.0.2.1:8080`.
    pub base: String,
    /// The attempt's token: 32 hexadecimal digits.
    pub token: String,
}

impl Urls {
    /// Where a file of the attempt is served.
    pub fn document(&self, name: &str) -> String {
        format!("{}/t/{}/{name}", self.base, self.token)
    }

    /// Where a stage is reported.
    pub fn stage(&self, name: &str) -> String {
        format!("{}/t/{}/stage/{name}", self.base, self.token)
    }

    /// Where a failure is reported, with its reason.
    pub fn failed(&self, reason: &str) -> String {
        format!("{}?reason={}", self.stage("failed"), encoded(reason))
    }

    /// Where a line for the machine's log is reported.
    pub fn log(&self, level: &str, text: &str) -> String {
        format!(
            "{}/t/{}/log/{level}/{}",
            self.base,
            self.token,
            encoded(text)
        )
    }

    /// Where an installer asks whether it may overwrite a disk with a seal. The seal's text follows.
    pub fn seal(&self, wipe: bool) -> String {
        let rule = if wipe { "wipe" } else { "keep" };
        format!("{}/t/{}/seal/{rule}/", self.base, self.token)
    }

    /// Where a fact is reported.
    pub fn fact(&self, name: &str, value: &str) -> String {
        format!(
            "{}/t/{}/fact/{}/{}",
            self.base,
            self.token,
            encoded(name),
            encoded(value)
        )
    }
}

/// What is encoded in a part of a URL: all but the unreserved characters (RFC 3986 section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Percent-encodes `text` for use in any part of a URL.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// `urls` in templates.
#[derive(Debug)]
pub(super) struct UrlsObject {
    urls: Urls,
    /// The URL at which the machine's loader reached this server.
    reached: String,
    stages: Vec<String>,
}

impl UrlsObject {
    pub(super) fn value(urls: &Urls, reached: &str, spec: &TaskSpec) -> Value {
        let stages = spec
            .stages
            .iter()
            .map(|stage| stage.as_str().to_string())
            .collect();
        Value::from_object(UrlsObject {
            urls: urls.clone(),
            reached: reached.into(),
            stages,
        })
    }
}

impl Object for UrlsObject {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "base" => Some(Value::from(self.urls.base.as_str())),
            "reached" => Some(Value::from(self.reached.as_str())),
            "token" => Some(Value::from(self.urls.token.as_str())),
            _ => None,
        }
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        args: &[Value],
    ) -> Result<Value, Error> {
        let texts = args
            .iter()
            .map(one_text)
            .collect::<Result<Vec<String>, Error>>()?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let url = match (method, texts.as_slice()) {
            ("stage", ["failed"]) => {
                return Err(invalid(
                    "a failure needs a reason: write `urls.failed(\"…\")`",
                ));
            }
            ("stage", [name])
                if super::task::STAGES.contains(name)
                    || self.stages.iter().any(|known| known == name) =>
            {
                self.urls.stage(name)
            }
            ("stage", [_]) => {
                return Err(invalid(
                    "there is no such stage; a task declares its own in `stages` of its task.toml",
                ));
            }
            ("failed", [reason]) => self.urls.failed(reason),
            ("log", [level @ ("debug" | "info" | "warning" | "error"), text]) => {
                self.urls.log(level, text)
            }
            ("log", _) => {
                return Err(invalid(
                    "expected a level (debug, info, warning, error) and a text",
                ));
            }
            ("seal", [rule @ ("keep" | "wipe")]) => self.urls.seal(*rule == "wipe"),
            ("fact", [name, value]) => self.urls.fact(name, value),
            ("document", [name]) => self.urls.document(name),
            _ => return Err(Error::from(ErrorKind::UnknownMethod)),
        };
        Ok(Value::from(url))
    }
}

fn one_text(value: &Value) -> Result<String, Error> {
    match value.as_str() {
        Some(text) => Ok(text.to_string()),
        None if value.is_undefined() => Err(value
            .get_attr("")
            .err()
            .unwrap_or_else(|| invalid("this is not defined"))),
        None => Ok(value.to_string()),
    }
}

fn invalid(message: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_url_is_absolute_and_percent_encoded() {
        let urls = Urls {
            base: "http://192.0.2.1:8080".into(),
            token: "0".repeat(32),
        };
        assert_eq!(
            urls.failed("a & b/c?"),
            "http://192.0.2.1:8080/t/00000000000000000000000000000000/stage/failed?reason=a%20%26%20b%2Fc%3F"
        );
        assert_eq!(
            urls.log("error", "ä"),
            "http://192.0.2.1:8080/t/00000000000000000000000000000000/log/error/%C3%A4"
        );
    }
}
