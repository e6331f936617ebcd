//! A machine's host name: fixed, or a template that is rendered with facts.

use crate::model::{Hostname, HostnameError, Spanned};

/// A host name, or the template that produces it.
#[derive(Debug, Clone, PartialEq)]
pub enum HostnameRule {
    /// The complete host name.
    Plain(Hostname),
    /// A template, rendered when the machine's facts are known. If the result has no dot, [`complete_hostname`] adds the
    /// domain.
    Template(Spanned<String>),
}

/// Returns the complete host name of a machine. A name with a dot is already complete; any other gets the domain.
pub fn complete_hostname(name: &str, domain: Option<&str>) -> Result<Hostname, HostnameError> {
    let own: Hostname = name.parse()?;
    if own.is_loopback() {
        return Err(HostnameError::Loopback(name.into()));
    }
    match domain {
        // The name is checked without the domain first, so that the message quotes the name as written.
        Some(domain) if !name.contains('.') => format!("{name}.{domain}").parse(),
        _ => Ok(own),
    }
}

/// Returns whether a text is a template.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_dot_gets_the_domain() {
        let long = format!("{}abcdefghij", "abcdefghi.".repeat(24));
        for (name, domain, whole) in [
            ("web", Some("lab.example"), Ok("web.lab.example")),
            ("web", None, Ok("web")),
            ("web.example", Some("lab.example"), Ok("web.example")),
            ("web.", Some("lab.example"), Ok("web")),
            (
                "web_1",
                Some("lab.example"),
                Err(HostnameError::Malformed("web_1".into())),
            ),
            (
                "web",
                Some("lab_1.example"),
                Err(HostnameError::Malformed("web.lab_1.example".into())),
            ),
            (
                "42",
                Some("lab.example"),
                Err(HostnameError::Address("42".into())),
            ),
            (
                "localhost",
                Some("lab.example"),
                Err(HostnameError::Loopback("localhost".into())),
            ),
            ("web", Some(&long), Err(HostnameError::Long(254))),
        ] {
            let found = complete_hostname(name, domain);
            assert_eq!(
                found.as_ref().map(Hostname::as_str),
                whole.as_ref().copied()
            );
        }
    }
}
