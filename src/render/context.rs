//! The values that templates can use. The manual page `src/manual/templates.md` documents them; a test compares both.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use minijinja::{
    Value, context,
    value::{Object, Serde},
};

use crate::{
    model::{Facts, Hostname, SEAL_MAGIC, SEAL_OFFSET, SEALED_FROM, SecretText, User},
    site::{NetPlan, Resolved},
};

use super::{
    boot::ipxe::local_boot_name, contacts::PhaseUrls, disk, filters, hostname::domain,
    library::Task, net::NetText, quote::FileFormat, regional, requested_settings::PasswordHashes,
    urls::UrlsObject, vars::vars,
};

/// What the values for one machine's templates are made from.
pub(super) struct TemplateInputs<'a> {
    pub(super) task: &'a Task,
    pub(super) resolved: &'a Resolved,
    pub(super) facts: &'a Facts,
    pub(super) hostname: &'a Hostname,
    pub(super) plan: &'a NetPlan,
    pub(super) net: &'a NetText,
    pub(super) first_boot_commands: &'a [String],
    pub(super) runs_first_boot: bool,
    pub(super) passwords: &'a PasswordHashes,
    pub(super) urls: &'a PhaseUrls,
    /// The URL at which the machine's loader reached this server.
    pub(super) reached: &'a str,
    pub(super) seal: Option<&'a str>,
    pub(super) repo: Value,
    pub(super) esxi: Value,
    pub(super) secrets: Option<SecretFunction>,
}

/// Values by name that all files of a machine share.
pub(super) type SharedValues = Arc<BTreeMap<&'static str, Value>>;

/// Returns the values that all files of a machine share, without the first-boot scripts and the broker.
pub(super) fn shared(inputs: &TemplateInputs<'_>) -> SharedValues {
    let mut values: BTreeMap<&'static str, Value> = BTreeMap::new();
    values.insert(
        "task",
        context! { name => inputs.task.name.as_str(), title => inputs.task.spec.title.as_str() },
    );
    values.insert("node", node(inputs));
    values.insert("net", net(inputs));
    values.insert("disk", disk::value(&inputs.resolved.settings));
    values.insert("guard", disk::guard());
    values.insert("settings", settings(inputs));
    values.insert(
        "keyboard",
        regional::keyboard_value(&inputs.resolved.settings),
    );
    values.insert("vars", vars(inputs.resolved));
    values.insert("facts", Value::from(Serde(inputs.facts)));
    let urls = |urls| UrlsObject::value(urls, inputs.reached, &inputs.task.spec);
    values.insert("urls", urls(&inputs.urls.installer));
    values.insert(SYSTEM_URLS, urls(&inputs.urls.system));
    values.insert("seal", seal(inputs.seal));
    values.insert("repo", inputs.repo.clone());
    values.insert("esxi", inputs.esxi.clone());
    if let Some(secrets) = &inputs.secrets {
        values.insert("secret", Value::from_object(secrets.clone()));
    }
    Arc::new(values)
}

/// The key of `urls` for files of the installed system. No template can write it.
const SYSTEM_URLS: &str = "urls of the installed system";

/// Returns the values for one file: of the installed system, or else of the installer.
pub(super) fn file(shared: &SharedValues, format: FileFormat, is_installed: bool) -> Value {
    Value::from_object(FileValues {
        shared: shared.clone(),
        quoting: Value::from(filters::format_name(format)),
        is_installed,
    })
}

/// The values for one file.
#[derive(Debug)]
struct FileValues {
    shared: SharedValues,
    quoting: Value,
    is_installed: bool,
}

impl Object for FileValues {
    fn get_value(self: &Arc<Self>, name: &Value) -> Option<Value> {
        match name.as_str()? {
            "quoting" => Some(self.quoting.clone()),
            "urls" if self.is_installed => self.shared.get(SYSTEM_URLS).cloned(),
            name => self.shared.get(name).cloned(),
        }
    }
}

fn node(inputs: &TemplateInputs<'_>) -> Value {
    let resolved = inputs.resolved;
    let hostname = inputs.hostname;
    let text = |declared: Option<&str>, reported: &Option<String>| {
        declared.map(String::from).or_else(|| reported.clone())
    };
    let mac = inputs
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
        serial => text(resolved.serial.as_ref().map(|serial| serial.as_str()), &inputs.facts.serial),
        uuid => text(resolved.uuid.as_ref().map(|uuid| uuid.as_str()), &inputs.facts.uuid),
        asset => text(resolved.asset.as_ref().map(|asset| asset.as_str()), &inputs.facts.asset),
        policy => resolved.policy.as_ref().map(|policy| policy.as_str()),
    }
}

fn net(inputs: &TemplateInputs<'_>) -> Value {
    let plan = inputs.plan;
    let primary = plan.primary();
    let address = plan.address();
    let texts =
        |list: &[std::net::IpAddr]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    context! {
        lines => inputs.net.lines.clone(),
        words => inputs.net.cmdline.clone(),
        files => Value::from(Serde(&inputs.net.files)),
        packages => inputs.net.packages.clone(),
        replaces => inputs.net.replaces,
        temporary_name => inputs.net.temporary_name,
        later => inputs.first_boot_commands.to_vec(),
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

/// The seal, and its place on the disk in units of 512 bytes, as the kernel counts sectors.
fn seal(text: Option<&str>) -> Value {
    context! {
        text => text,
        sector => SEAL_OFFSET / 512,
        sealed_from => SEALED_FROM / 512,
        magic => SEAL_MAGIC,
    }
}

fn settings(inputs: &TemplateInputs<'_>) -> Value {
    let settings = &inputs.resolved.settings;
    let list = |at: Option<&crate::model::List<String>>| -> Vec<String> {
        at.into_iter()
            .flat_map(|list| list.values().cloned())
            .collect()
    };
    let effective = settings.effective();
    context! {
        root_password_hash => inputs.passwords.root.as_ref().map(|hash| hash.expose()),
        ssh_keys => list(settings.ssh_keys.as_deref()),
        user => settings.user.as_deref().map_or(Value::from(()), |at| user(&at.value, inputs, list(settings.ssh_keys.as_deref()))),
        packages => list(settings.packages.as_deref()),
        timezone => regional::timezone(settings),
        timezone_as_set => regional::timezone_as_set(settings),
        locale => regional::locale(settings),
        locale_gen => regional::locale_gen(settings),
        keyboard => regional::keyboard(settings).map(|keyboard| keyboard.to_string()),
        kernel_args => list(settings.kernel_args.as_deref()),
        boot_args => list(settings.boot_args.as_deref()),
        secure_boot => effective.secure_boot,
        network_first => effective.boot_order == crate::model::BootOrder::NetworkFirst,
        local_boot => local_boot_name(Some(effective.local_boot)),
        runs_first_boot => inputs.runs_first_boot,
    }
}

fn user(user: &User, inputs: &TemplateInputs<'_>, shared: Vec<String>) -> Value {
    let own = user.ssh_keys.iter().flat_map(|list| list.values().cloned());
    let mut keys = shared;
    for key in own {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    context! {
        name => user.name.as_ref().map(|at| at.value.clone()),
        password_hash => inputs.passwords.user.as_ref().map(|hash| hash.expose()),
        ssh_keys => keys,
        sudo => user.effective().sudo,
    }
}

/// `secret` in templates.
#[derive(Clone)]
pub(super) struct SecretFunction {
    secrets: BTreeMap<String, SecretText>,
    /// Whether a template has called it.
    is_used: Arc<AtomicBool>,
}

impl SecretFunction {
    pub(super) fn new(secrets: BTreeMap<String, SecretText>, is_used: Arc<AtomicBool>) -> Self {
        SecretFunction { secrets, is_used }
    }
}

impl std::fmt::Debug for SecretFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("secrets")
    }
}

impl Object for SecretFunction {
    fn enumerate(self: &Arc<Self>) -> minijinja::value::Enumerator {
        minijinja::value::Enumerator::NonEnumerable
    }

    fn call(
        self: &Arc<Self>,
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
            .secrets
            .get(name)
            .ok_or_else(|| wrong(format!("there is no secret `{name}`")))?;
        self.is_used.store(true, Ordering::Relaxed);
        Ok(Value::from(secret.expose()))
    }
}
