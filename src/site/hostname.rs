//! A machine's host name: plain, or a template that wants facts.

use crate::model::{Hostname, HostnameError, Spanned};

/// A host name, or how it is made.
#[derive(Debug, Clone, PartialEq)]
pub enum HostnameRule {
    /// The whole name.
    Plain(Hostname),
    /// A template, rendered when facts are at hand. Where the result has no dot, [`complete_hostname`] adds the domain.
    Template(Spanned<String>),
}

/// Returns the whole host name: a name that contains a dot is complete, any other gets the domain.
pub fn complete_hostname(name: &str, domain: Option<&str>) -> Result<Hostname, HostnameError> {
    match domain {
        Some(domain) if !name.contains('.') => {
            // The bare name is checked first, so that the message names what was written.
            name.parse::<Hostname>()?;
            format!("{name}.{domain}").parse()
        }
        _ => name.parse(),
    }
}

/// Tells whether a text is a template rather than plain.
pub(crate) fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_name_gets_the_domain_and_a_whole_one_does_not() {
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
