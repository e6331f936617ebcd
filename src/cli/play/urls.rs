//! Finds the URLs of an attempt in its rendered documents, in order.

/// A URL of an attempt, by its purpose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AttemptUrl {
    /// `stage/failed`, `stage/no-disk`, a warning or an error of the log: reported only if something is wrong.
    Failure(String),
    /// `stage/installed`.
    Installed(String),
    /// `stage/finished`.
    Finished(String),
    /// Another stage, a log line, a fact.
    Report(String),
    /// Another document.
    Document(String),
}

/// Finds every URL below `attempt` (`http://…/t/<token>/`), each once. URLs with shell variables are skipped.
pub(super) fn attempt_urls(text: &str, attempt: &str) -> Vec<AttemptUrl> {
    let mut urls = Vec::new();
    for (at, _) in text.match_indices(attempt) {
        let rest = &text[at..];
        let end = rest.find(|c: char| c.is_whitespace() || "\"'`<>();\\|&".contains(c));
        let url = &rest[..end.unwrap_or(rest.len())];
        let name = &url[attempt.len()..];
        if name.is_empty() || name.contains('$') {
            continue;
        }
        let url = classified(name, url.to_string());
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

/// Whether a document is the first-boot script of the installed system.
pub(super) fn is_first_boot(text: &str) -> bool {
    text.contains("/stage/finished") && !text.contains("/stage/installed")
}

fn classified(name: &str, url: String) -> AttemptUrl {
    let step = name.split('?').next().unwrap_or(name);
    match step {
        "stage/failed" | "stage/no-disk" => AttemptUrl::Failure(url),
        "stage/installed" => AttemptUrl::Installed(url),
        "stage/finished" => AttemptUrl::Finished(url),
        _ if step.starts_with("log/error/") || step.starts_with("log/warning/") => {
            AttemptUrl::Failure(url)
        }
        _ if ["stage/", "log/", "fact/"]
            .iter()
            .any(|kind| step.starts_with(kind)) =>
        {
            AttemptUrl::Report(url)
        }
        _ => AttemptUrl::Document(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_found_in_their_order() {
        let text = r#"wget "http://s/t/1/stage/installing" || true
tell "http://s/t/1/stage/failed?reason=no%20disk" 5
curl http://s/t/1/first-boot.sh; curl "http://s/t/1/stage/$stage"
tell "http://s/t/1/stage/installed" 20; tell "http://s/t/1/stage/installing"
other http://s/t/2/stage/finished http://s/t/1/"#;
        let url = |name: &str| format!("http://s/t/1/{name}");
        assert_eq!(
            attempt_urls(text, "http://s/t/1/"),
            [
                AttemptUrl::Report(url("stage/installing")),
                AttemptUrl::Failure(url("stage/failed?reason=no%20disk")),
                AttemptUrl::Document(url("first-boot.sh")),
                AttemptUrl::Installed(url("stage/installed")),
            ]
        );
    }
}
