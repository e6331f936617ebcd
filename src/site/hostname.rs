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

/// Returns the complete host name. A name with a dot is already complete; any other gets the domain.
pub fn complete_hostname(name: &str, domain: Option<&str>) -> Result<Hostname, HostnameError> {
    match domain {
        Some(domain) if !name.contains('.') => {
            // The name is checked without the domain first, so that the message quotes the name as written.
            name.parse::<Hostname>()?;
            format!("{name}.{domain}").parse()
        }
        _ => name.parse(),
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
        for (name, domain, whole) in [
            ("web", Some("lab.example"), Ok("web.lab.example")),
            ("web", None, Ok("web")),
            ("web.example", Some("lab.example"), Ok("web.example")),
            ("web_1", Some("lab.example"), Err("web_1")),
            ("web", Some("lab_1.example"), Err("web.lab_1.example")),
        ] {
            let found = complete_hostname(name, domain);
            let found = found
                .as_ref()
                .map(Hostname::as_str)
                .map_err(|error| error.0.as_str());
            assert_eq!(found, whole);
        }
    }
}
