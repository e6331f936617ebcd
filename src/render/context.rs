//! What a template sees. The page `src/manual/templates.md` describes it; a test compares both.

use std::collections::BTreeMap;

use minijinja::{
    Value, context,
    value::{Object, Serde},
};

use crate::{
    model::{Facts, Hostname, SecretText, User},
    site::{NetPlan, Resolved},
};

use super::{
    boot::ipxe::local_boot_name,
    disk, filters,
    hostname::domain,
    library::Task,
    net::NetText,
    quote::FileFormat,
    requested_settings::PasswordHashes,
    urls::{self, Urls},
    vars::vars,
};

/// The parts that one machine's templates are rendered from.
pub(super) struct TemplateInputs<'a> {
    pub(super) task: &'a Task,
    pub(super) resolved: &'a Resolved,
    pub(super) facts: &'a Facts,
    pub(super) hostname: &'a Hostname,
    pub(super) plan: &'a NetPlan,
    pub(super) net: &'a NetText,
    pub(super) later: &'a [String],
    pub(super) runs_first_boot: bool,
    pub(super) passwords: &'a PasswordHashes,
    pub(super) urls: &'a Urls,
    pub(super) repo: Value,
    pub(super) esxi: Value,
    pub(super) secrets: Option<BTreeMap<String, SecretText>>,
}

/// Everything but the scripts of the first boot and what belongs to one file.
pub(super) fn shared(parts: &TemplateInputs<'_>) -> BTreeMap<&'static str, Value> {
    let mut seen: BTreeMap<&'static str, Value> = BTreeMap::new();
    seen.insert(
        "task",
        context! { name => parts.task.name.as_str(), title => parts.task.spec.title.as_str() },
    );
    seen.insert("node", node(parts));
    seen.insert("net", net(parts));
    seen.insert("disk", disk::seen(&parts.resolved.settings));
    seen.insert("settings", settings(parts));
    seen.insert("vars", vars(parts.resolved));
    seen.insert("facts", Value::from(Serde(parts.facts)));
    seen.insert(
        "urls",
        urls::UrlsObject::value(parts.urls, &parts.task.spec),
    );
    seen.insert("repo", parts.repo.clone());
    seen.insert("esxi", parts.esxi.clone());
    if let Some(secrets) = &parts.secrets {
        seen.insert(
            "secret",
            Value::from_object(SecretFunction(secrets.clone())),
        );
    }
    seen
}

/// The whole context of one file.
pub(super) fn file(shared: &BTreeMap<&'static str, Value>, format: FileFormat) -> Value {
    let mut seen = shared.clone();
    seen.insert("quoting", Value::from(filters::format_name(format)));
    Value::from(seen)
}

fn node(parts: &TemplateInputs<'_>) -> Value {
    let resolved = parts.resolved;
    let hostname = parts.hostname;
    let text = |declared: Option<&str>, reported: &Option<String>| {
        declared.map(String::from).or_else(|| reported.clone())
    };
    let mac = parts
        .plan
        .boot_mac
        .or_else(|| resolved.macs.first().copied());
    context! {
        name => resolved.node.as_str(),
        hostname => hostname.as_str(),
        fqdn => hostname.as_str(),
        short => hostname.short(),
        domain => hostname.domain().map(String::from).or_else(|| domain(resolved)),
        mac => mac.map(|mac| mac.to_string()),
        macs => resolved.macs.iter().map(ToString::to_string).collect::<Vec<_>>(),
        serial => text(resolved.serial.as_ref().map(|serial| serial.as_str()), &parts.facts.serial),
        uuid => text(resolved.uuid.as_ref().map(|uuid| uuid.as_str()), &parts.facts.uuid),
        asset => text(resolved.asset.as_ref().map(|asset| asset.as_str()), &parts.facts.asset),
        policy => resolved.policy.as_ref().map(|policy| policy.as_str()),
    }
}

fn net(parts: &TemplateInputs<'_>) -> Value {
    let plan = parts.plan;
    let primary = plan.primary();
    let address = plan.address();
    let texts =
        |list: &[std::net::IpAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    context! {
        lines => parts.net.lines.clone(),
        words => parts.net.words.clone(),
        files => Value::from(Serde(&parts.net.files)),
        packages => parts.net.packages.clone(),
        replaces => parts.net.replaces,
        later => parts.later.to_vec(),
        ip => address.map(|net| net.addr().to_string()),
        prefix => address.map(|net| net.prefix_len()),
        netmask => address.map(|net| net.netmask().to_string()),
        gateway => primary.and_then(|link| link.gateways.first()).map(ToString::to_string),
        dhcp => primary.is_none_or(|link| link.dhcp),
        dns => texts(&plan.dns),
        search => plan.search.clone(),
        ntp => plan.ntp.clone(),
    }
}

fn settings(parts: &TemplateInputs<'_>) -> Value {
    let settings = &parts.resolved.settings;
    let list = |at: Option<&crate::model::List<String>>| -> Vec<String> {
        at.into_iter()
            .flat_map(|list| list.values().cloned())
            .collect()
    };
    let text = |at: Option<&crate::model::Spanned<String>>| at.map(|at| at.value.clone());
    let first = settings
        .boot_order
        .as_deref()
        .is_some_and(|at| at.value == crate::model::BootOrder::NetworkFirst);
    context! {
        root_password_hash => parts.passwords.root.as_ref().map(|hash| hash.expose()),
        ssh_keys => list(settings.ssh_keys.as_deref()),
        user => settings.user.as_deref().map_or(Value::from(()), |at| user(&at.value, parts, list(settings.ssh_keys.as_deref()))),
        packages => list(settings.packages.as_deref()),
        timezone => text(settings.timezone.as_deref()),
        locale => text(settings.locale.as_deref()),
        keyboard => text(settings.keyboard.as_deref()),
        kernel_args => list(settings.kernel_args.as_deref()),
        boot_args => list(settings.boot_args.as_deref()),
        secure_boot => settings.secure_boot.as_deref().is_some_and(|at| at.value),
        network_first => first,
        local_boot => local_boot_name(settings.local_boot.as_deref().map(|at| at.value)),
        runs_first_boot => parts.runs_first_boot,
    }
}

fn user(user: &User, parts: &TemplateInputs<'_>, shared: Vec<String>) -> Value {
    let own = user.ssh_keys.iter().flat_map(|list| list.values().cloned());
    let mut keys = shared;
    for key in own {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    context! {
        name => user.name.as_ref().map(|at| at.value.clone()),
        password_hash => parts.passwords.user.as_ref().map(|hash| hash.expose()),
        ssh_keys => keys,
        sudo => user.sudo.as_ref().is_some_and(|at| at.value),
    }
}

/// `secret` in templates.
struct SecretFunction(BTreeMap<String, SecretText>);

impl std::fmt::Debug for SecretFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("secrets")
    }
}

impl Object for SecretFunction {
    fn enumerate(self: &std::sync::Arc<Self>) -> minijinja::value::Enumerator {
        minijinja::value::Enumerator::NonEnumerable
    }

    fn call(
        self: &std::sync::Arc<Self>,
        _: &mut minijinja::State<'_, '_>,
        args: &[Value],
    ) -> Result<Value, minijinja::Error> {
        let wrong = |message: String| {
            minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, message)
        };
        let [name] = args else {
            return Err(wrong("expected the name of one secret".into()));
        };
        let name = name
            .as_str()
            .ok_or_else(|| wrong("expected the name of a secret".into()))?;
        let secret = self
            .0
            .get(name)
            .ok_or_else(|| wrong(format!("there is no secret `{name}`")))?;
        Ok(Value::from(secret.expose()))
    }
}
