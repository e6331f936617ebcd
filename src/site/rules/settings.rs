//! Checks the settings of each layer: `defaults`, policies and nodes.

use std::net::IpAddr;

use serde_json::Value;

use crate::model::{
    Arch, DiskSelector, Hostname, List, PasswordHash, Settings, SourceSpan, Spanned, Vars,
};

use super::SiteCheck;
use crate::site::{
    Diagnostic, Keyboard, UnknownName, current_timezone, net::is_unassignable, supported_locale,
};

/// The number of search domains that every resolver supports (the limit of glibc before 2.26).
const MAX_SEARCH_DOMAINS: usize = 6;

impl<'a> SiteCheck<'a> {
    pub(super) fn settings(&mut self) {
        for settings in self.layers() {
            self.references(settings);
            self.layer(settings);
        }
        let site = self.site;
        for repo in site.repos.values() {
            self.plain_passwords(&repo.body.vars);
        }
        for broker in site.brokers.values() {
            self.plain_passwords(&broker.vars);
        }
    }

    fn layer(&mut self, settings: &Settings) {
        if let Some(disk) = &settings.disk {
            self.disk(disk);
        }
        if let Some(arch) = settings.arch.as_deref().filter(|at| at.value == Arch::I386) {
            let message = "no task installs on 32-bit x86";
            let mistake = Diagnostic::error(message, arch.span);
            self.report(mistake.help("expected `x86_64` or `arm64`"));
        }
        self.known_name(settings.timezone.as_deref(), current_timezone);
        self.known_name(settings.locale.as_deref(), supported_locale);
        self.known_name(settings.keyboard.as_deref(), str::parse::<Keyboard>);
        self.dns(settings.dns.as_deref());
        self.names(
            settings.domain.as_deref(),
            settings.search.as_deref(),
            settings.ntp.as_deref(),
        );
        self.plain_passwords(&settings.vars);
    }

    fn disk(&mut self, at: &Spanned<DiskSelector>) {
        let disk = &at.value;
        if disk.smallest && disk.largest {
            let message = "`smallest` and `largest` cannot be set together";
            self.report(Diagnostic::error(message, at.span));
        }
        let Some(first) = &disk.first else { return };
        let others = [
            ("path", disk.path.as_ref().map(|at| at.span)),
            ("serial", disk.serial.as_ref().map(|at| at.span)),
            ("wwid", disk.wwid.as_ref().map(|at| at.span)),
            ("model", disk.model.as_ref().map(|at| at.span)),
            ("min-size", disk.min_size.as_ref().map(|at| at.span)),
            ("smallest", disk.smallest.then_some(at.span)),
            ("largest", disk.largest.then_some(at.span)),
        ];
        for (key, span) in others {
            self.not_both(("first", Some(first.span)), (key, span));
        }
    }

    /// Reports a layer that sets both forms of one setting.
    fn not_both(&mut self, one: (&str, Option<SourceSpan>), other: (&str, Option<SourceSpan>)) {
        if let ((one, Some(first)), (other, Some(second))) = (one, other) {
            let message = format!("`{one}` and `{other}` are two forms of one setting");
            let mistake = Diagnostic::error(message, second).other(first, "the other form");
            self.report(mistake.help("keep one of them"));
        }
    }

    fn known_name<T>(
        &mut self,
        at: Option<&Spanned<String>>,
        find: impl Fn(&str) -> Result<T, UnknownName>,
    ) {
        if let Some(at) = at
            && let Err(error) = find(&at.value)
        {
            self.report(error.at(at.span));
        }
    }

    pub(super) fn dns(&mut self, list: Option<&List<IpAddr>>) {
        for at in list.into_iter().flat_map(|list| &list.value) {
            if is_unassignable(at.value) {
                let message = format!("{at} cannot be a DNS server of another machine");
                self.report(Diagnostic::error(message, at.span));
            }
        }
    }

    /// Checks domains and NTP servers.
    pub(super) fn names(
        &mut self,
        domain: Option<&Spanned<String>>,
        search: Option<&List<String>>,
        ntp: Option<&List<String>>,
    ) {
        let domains = domain
            .into_iter()
            .chain(search.iter().flat_map(|list| &list.value));
        for at in domains {
            if at.value.parse::<Hostname>().is_err() {
                let message = format!("`{at}` is not a domain: expected such as `lab.example`");
                self.report(Diagnostic::error(message, at.span));
            }
        }
        if let Some(list) = search
            .as_ref()
            .filter(|list| list.len() > MAX_SEARCH_DOMAINS)
        {
            let message = format!(
                "{} search domains: many resolvers use only the first {MAX_SEARCH_DOMAINS}",
                list.len()
            );
            self.report(Diagnostic::warning(message, list.span));
        }
        for at in ntp.iter().flat_map(|list| &list.value) {
            let is_server =
                at.value.parse::<IpAddr>().is_ok() || at.value.parse::<Hostname>().is_ok();
            if !is_server {
                let message =
                    format!("`{at}` is not an NTP server: expected an address or a host name");
                self.report(Diagnostic::error(message, at.span));
            }
        }
    }

    fn plain_passwords(&mut self, vars: &Vars) {
        for (key, at) in vars {
            if let Some(key) = plain_password(key, &at.value) {
                let message = format!("`{key}` looks like a plain password in the site");
                let help =
                    "keep it in the secrets directory and write `secret(\"name\")` in the template";
                self.report(Diagnostic::warning(message, at.span).help(help));
            }
        }
    }
}

/// Returns the path of a key in `value` that seems to hold a password in plain text.
fn plain_password(key: &str, value: &Value) -> Option<String> {
    match value {
        Value::Object(map) => map
            .iter()
            .find_map(|(inner, value)| plain_password(inner, value))
            .map(|inner| format!("{key}.{inner}")),
        Value::String(text) => {
            let plain = is_password_key(key)
                && !text.is_empty()
                && text.parse::<PasswordHash>().is_err()
                && !text.starts_with('/')
                && !crate::site::hostname::is_template(text);
            plain.then(|| key.into())
        }
        _ => None,
    }
}

fn is_password_key(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    let is_password = ["password", "passwd", "passphrase"]
        .iter()
        .any(|word| key.contains(word));
    is_password
        && !["file", "path", "hash", "secret"]
            .iter()
            .any(|end| key.ends_with(end))
}
