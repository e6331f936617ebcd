//! Checks each repo and each hook.

use crate::model::Repo;

use super::SiteCheck;
use crate::site::Diagnostic;

impl<'a> SiteCheck<'a> {
    pub(super) fn repos(&mut self) {
        for repo in self.site.repos.values() {
            self.url(repo);
            self.digest(repo);
        }
        self.repo_references();
    }

    fn url(&mut self, repo: &Repo) {
        if let Some(url) = &repo.body.url {
            let is_url = ["http://", "https://"]
                .iter()
                .any(|start| url.starts_with(start));
            if !is_url {
                let message =
                    format!("`{url}` is not a URL: expected such as `http://mirror.example/`");
                self.report(Diagnostic::error(message, url.span));
            }
        }
    }

    fn digest(&mut self, repo: &Repo) {
        let Some(digest) = &repo.body.sha256 else {
            return;
        };
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_digest {
            let message = "this is not a SHA-256: expected 64 hexadecimal digits";
            self.report(Diagnostic::error(message, digest.span));
        }
        if repo.body.iso.is_none() {
            let message = "`sha256` is the digest of an `iso`, and this repo has none";
            self.report(Diagnostic::warning(message, digest.span));
        }
    }

    pub(super) fn hooks(&mut self) {
        for hook in self.site.hooks.values() {
            let (on, run) = (&hook.body.on, &hook.body.run);
            for (key, is_empty, span) in [
                ("on", on.is_empty(), on.span),
                ("run", run.is_empty(), run.span),
            ] {
                if is_empty {
                    let message = format!("hook `{}` has an empty `{key}`", hook.name);
                    self.report(Diagnostic::error(message, span));
                }
            }
        }
    }
}
