//! The order by which an image is written: what the agent could not do is told before a machine reads it.

use std::net::IpAddr;

use crate::{
    model::ImageInstruction,
    render::request::{FileBody, RenderRequest, RenderedAttempt},
    site::Diagnostic,
};

/// What is wrong with an attempt's order.
pub(super) fn check(request: &RenderRequest<'_>, rendered: &RenderedAttempt) -> Vec<Diagnostic> {
    let span = request.resolved.repo.as_ref().map(|repo| repo.name.span);
    let documents = rendered
        .files
        .iter()
        .filter(|file| file.name == "order.json");
    let texts = documents.filter_map(|file| match &file.body {
        FileBody::Bytes(bytes) => Some(bytes),
        FileBody::Repo { .. } => None,
    });
    let found = texts.filter_map(|text| match serde_json::from_slice(text) {
        Ok(order) => mistake(&order),
        Err(error) => Some(format!("order.json is no order: {error}")),
    });
    found
        .map(|message| Diagnostic::error(message, span))
        .collect()
}

fn mistake(order: &ImageInstruction) -> Option<String> {
    if order.checksum().is_none() {
        let message = "the image has no checksum that can be: `sha256` in the repo's `vars` has 64 hexadecimal digits, `sha512` has 128";
        return Some(message.into());
    }
    (!is_near(&order.image)).then(|| {
        format!(
            "the agent cannot fetch `{}`: it speaks plain HTTP and resolves no names",
            order.image
        )
    })
}

/// Whether the agent can ask for this: `http://` and an address.
fn is_near(url: &str) -> bool {
    let host = url.strip_prefix("http://").and_then(|rest| {
        let authority = rest.split('/').next()?;
        match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next(),
            None => authority.split(':').next(),
        }
    });
    host.is_some_and(|host| host.parse::<IpAddr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_fetches_by_address_alone() {
        let cases = [
            ("http://192.0.2.1/repo/images/a.raw", true),
            ("http://192.0.2.1:8080/a", true),
            ("http://[2001:db8::1]:8080/a", true),
            ("http://mirror.example/a", false),
            ("https://192.0.2.1/a", false),
            ("192.0.2.1/a", false),
        ];
        for (url, expected) in cases {
            assert_eq!(is_near(url), expected, "{url}");
        }
    }
}
