//! Resolves the relative URLs of scripts.

/// Resolves `reference` relative to the URL `base`.
pub fn join(base: &str, reference: &str) -> String {
    if reference.contains("://") {
        return reference.into();
    }
    let (origin, path) = split(base);
    if reference.starts_with('/') {
        return format!("{origin}{reference}");
    }
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let directory = path.rfind('/').map_or("/", |at| &path[..=at]);
    let mut steps: Vec<&str> = directory
        .trim_matches('/')
        .split('/')
        .filter(|step| !step.is_empty())
        .collect();
    let (reference, query) = match reference.find(['?', '#']) {
        Some(at) => reference.split_at(at),
        None => (reference, ""),
    };
    for step in reference.split('/') {
        match step {
            "." => {}
            ".." => drop(steps.pop()),
            step => steps.push(step),
        }
    }
    format!("{origin}/{}{query}", steps.join("/"))
}

/// Splits a URL into `http://host:port` and the rest.
pub fn split(url: &str) -> (&str, &str) {
    let host = url.find("://").map_or(0, |at| at + 3);
    let path = url[host..].find('/').map_or(url.len(), |at| host + at);
    url.split_at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_resolved_relative_to_their_base() {
        let base = "http://192.0.2.1:8080/t/abc/boot.ipxe?x=/y/";
        for (reference, expected) in [
            ("http://192.0.2.9/a", "http://192.0.2.9/a"),
            ("/boot?mac=a", "http://192.0.2.1:8080/boot?mac=a"),
            ("mboot.efi", "http://192.0.2.1:8080/t/abc/mboot.efi"),
            ("../b", "http://192.0.2.1:8080/t/b"),
            (
                "01-a/boot.cfg?q=../z",
                "http://192.0.2.1:8080/t/abc/01-a/boot.cfg?q=../z",
            ),
        ] {
            assert_eq!(join(base, reference), expected, "{reference}");
        }
        assert_eq!(join("http://192.0.2.1", "a"), "http://192.0.2.1/a");
    }
}
