//! Checks the agent's instructions for writing an image, before a machine fetches them.

use std::net::IpAddr;

use crate::{
    model::ImageInstruction,
    render::request::{FileBody, RenderRequest, RenderedAttempt},
    site::Diagnostic,
};

/// Checks the `instruction.json` of an attempt.
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
        Ok(instruction) => mistake(&instruction),
        Err(error) => Some(format!("order.json is not valid: {error}")),
    });
    found
        .map(|message| Diagnostic::error(message, span))
        .collect()
}

fn mistake(instruction: &ImageInstruction) -> Option<String> {
    if instruction.checksum().is_none() {
        let message = "the image needs a valid checksum: `sha256` (64 hexadecimal digits) or `sha512` (128) in the repo's `vars`";
        return Some(message.into());
    }
    (!is_fetchable(&instruction.image)).then(|| {
        format!(
            "the agent cannot fetch `{}`: it only supports `http://` with an IP address",
            instruction.image
        )
    })
}

/// Whether the agent can fetch this URL: `http://` and an IP address.
fn is_fetchable(url: &str) -> bool {
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
    fn the_agent_fetches_only_by_address() {
        let cases = [
            ("http://192.0.2.1/repo/images/a.raw", true),
            ("http://192.0.2.1:8080/a", true),
            ("http://[2001:db8::1]:8080/a", true),
            ("http://mirror.example/a", false),
            ("https://192.0.2.1/a", false),
            ("192.0.2.1/a", false),
        ];
        for (url, expected) in cases {
            assert_eq!(is_fetchable(url), expected, "{url}");
        }
    }
}
