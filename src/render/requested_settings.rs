//! Checks a machine's settings against those that its task supports.

use crate::{
    model::{HashKind, PasswordHash, Settings, SourceSpan},
    site::{Diagnostic, Resolved, Site, current_timezone, supported_locale},
};

use super::{external::ExternalInputs, installer_setting::InstallerSetting, task::TaskSpec};

/// A setting that a machine has.
#[derive(Debug, Clone, Copy)]
struct RequestedSetting {
    setting: InstallerSetting,
    span: SourceSpan,
    /// Whether it comes from the site's defaults, which need not apply to every task.
    by_default: bool,
}

macro_rules! requested {
    ($site:expr, $settings:expr, $($setting:ident $field:ident,)*) => {{
        let defaults = &$site.defaults.settings;
        let mut list = Vec::new();
        $(if let Some(at) = &$settings.$field {
            let by_default = defaults.$field.as_ref().is_some_and(|default| default.span == at.span);
            list.push(RequestedSetting { setting: InstallerSetting::$setting, span: at.span, by_default });
        })*
        list
    }};
}

fn requested(site: &Site, settings: &Settings) -> Vec<RequestedSetting> {
    let mut list = requested! { site, settings,
        RootPassword root_password_hash,
        RootPassword root_password_file,
        SshKeys ssh_keys,
        User user,
        Packages packages,
        FirstBoot first_boot,
        Timezone timezone,
        Locale locale,
        Keyboard keyboard,
        KernelArgs kernel_args,
        BootArgs boot_args,
        Keep keep,
    };
    if let Some(order) = &settings.boot_order
        && order.value == crate::model::BootOrder::NetworkFirst
    {
        list.push(RequestedSetting {
            setting: InstallerSetting::BootOrder,
            span: order.span,
            by_default: false,
        });
    }
    list.extend(of_disk(site, settings));
    list
}

fn of_disk(site: &Site, settings: &Settings) -> Vec<RequestedSetting> {
    let Some(disk) = &settings.disk else {
        return Vec::new();
    };
    let by_default = site
        .defaults
        .settings
        .disk
        .as_deref()
        .is_some_and(|default| default.span == disk.span);
    let size = disk.min_size.as_ref().map(|at| at.span);
    let extreme = (disk.smallest || disk.largest).then_some(disk.span);
    [
        (
            InstallerSetting::DiskPath,
            disk.path.as_ref().map(|at| at.span),
        ),
        (
            InstallerSetting::DiskFirst,
            disk.first.as_ref().map(|at| at.span),
        ),
        (
            InstallerSetting::DiskSerial,
            disk.serial.as_ref().map(|at| at.span),
        ),
        (
            InstallerSetting::DiskWwid,
            disk.wwid.as_ref().map(|at| at.span),
        ),
        (
            InstallerSetting::DiskModel,
            disk.model.as_ref().map(|at| at.span),
        ),
        (InstallerSetting::DiskSize, size.or(extreme)),
    ]
    .into_iter()
    .filter_map(|(setting, span)| {
        Some(RequestedSetting {
            setting,
            span: span?,
            by_default,
        })
    })
    .collect()
}

/// Reports settings that the task does not support: as errors if they come from a policy or the node, as warnings if they come
/// from the defaults.
pub(super) fn unsupported(
    site: &Site,
    task: &str,
    spec: &TaskSpec,
    resolved: &Resolved,
) -> Vec<Diagnostic> {
    let settings = &resolved.settings;
    let Some(expresses) = &spec.expresses else {
        return Vec::new();
    };
    let later = runs_first_boot(spec, settings);
    requested(site, settings)
        .into_iter()
        .filter(|request| !expresses.contains(&request.setting))
        .filter(|request| !(later && spec.to_first_boot.contains(&request.setting)))
        .filter(|request| !is_fixed_value(spec, request.setting, settings))
        .map(|request| {
            let message = format!("task `{task}` does not support `{}`", request.setting);
            let mut diagnostic = match request.by_default {
                true => Diagnostic::warning(message, request.span)
                    .help("it has no effect on this machine"),
                false => Diagnostic::error(message, request.span),
            };
            if spec.to_first_boot.contains(&request.setting) {
                diagnostic.help = Some(
                    "it needs a script at the first boot, and scripts do not run with Secure Boot"
                        .into(),
                );
            }
            diagnostic
        })
        .collect()
}

/// Whether scripts run at the machine's first boot.
pub(super) fn runs_first_boot(spec: &TaskSpec, settings: &Settings) -> bool {
    !(settings.effective().secure_boot && spec.secure_boot_skips_first_boot)
}

/// Whether the value is one that the installed system always has.
fn is_fixed_value(spec: &TaskSpec, setting: InstallerSetting, settings: &Settings) -> bool {
    let is_same = |known: &String| match setting {
        InstallerSetting::Timezone => settings.timezone.as_deref().is_some_and(|at| {
            current_timezone(&at.value).is_ok_and(|zone| current_timezone(known) == Ok(zone))
        }),
        InstallerSetting::Locale => settings.locale.as_deref().is_some_and(|at| {
            supported_locale(&at.value).is_ok_and(|locale| supported_locale(known) == Ok(locale))
        }),
        _ => false,
    };
    let fixed = spec.fixed.get(&setting);
    fixed.is_some_and(|fixed| fixed.iter().any(is_same))
}

/// The password hashes of a machine's accounts.
#[derive(Debug, Clone, Default)]
pub(super) struct PasswordHashes {
    pub(super) root: Option<PasswordHash>,
    pub(super) user: Option<PasswordHash>,
}

/// Returns the hashes, and reports those that the installer does not accept.
pub(super) fn passwords(
    task: &str,
    spec: &TaskSpec,
    settings: &Settings,
    external: &ExternalInputs,
    found: &mut Vec<Diagnostic>,
) -> PasswordHashes {
    let user = settings.user.as_deref().map(|at| &at.value);
    let root = (&settings.root_password_hash, &settings.root_password_file);
    let mut of = |hash: Option<(&PasswordHash, SourceSpan)>,
                  file: Option<(&String, SourceSpan)>| {
        let (hash, span) = match (hash, file) {
            (Some(hash), _) => hash,
            (None, Some((path, span))) => match external.passwords.get(path) {
                Some(hash) => (hash, span),
                None => {
                    found.push(Diagnostic::error(
                        format!("the password file `{path}` could not be read"),
                        span,
                    ));
                    return None;
                }
            },
            (None, None) => return None,
        };
        if !spec.hashes.is_empty() && !spec.accepts(hash.kind()) {
            found.push(refused(task, spec, hash, span));
        }
        Some(hash.clone())
    };
    PasswordHashes {
        root: of(
            root.0.as_ref().map(|at| (&at.value, at.span)),
            root.1.as_ref().map(|at| (&at.value, at.span)),
        ),
        user: user.and_then(|user| {
            let hash = user.password_hash.as_ref().map(|at| (&at.value, at.span));
            of(
                hash,
                user.password_file.as_ref().map(|at| (&at.value, at.span)),
            )
        }),
    }
}

fn refused(task: &str, spec: &TaskSpec, hash: &PasswordHash, span: SourceSpan) -> Diagnostic {
    let taken: Vec<&str> = spec
        .hashes
        .iter()
        .map(|hash| hash_prefix(hash.kind()))
        .collect();
    let message = format!(
        "the installer of task `{task}` does not accept this kind of password hash: {}",
        hash_prefix(hash.kind())
    );
    Diagnostic::error(message, span).help(format!(
        "it accepts {}; create one with `openssl passwd -6`",
        taken.join(", ")
    ))
}

fn hash_prefix(kind: HashKind) -> &'static str {
    match kind {
        HashKind::Des => "13 characters of DES",
        HashKind::Md5 => "`$1$`",
        HashKind::Bcrypt => "`$2b$`",
        HashKind::Sha256 => "`$5$`",
        HashKind::Sha512 => "`$6$` without `rounds=`",
        HashKind::Sha512Rounds => "`$6$` with `rounds=`",
        HashKind::Yescrypt => "`$y$`",
    }
}

/// The limit for kernel arguments, in bytes. The kernel's limit on x86 is 2,048 (COMMAND_LINE_SIZE), and the templates add more.
const MAX_KERNEL_ARGS: usize = 1500;

/// Reports kernel arguments that do not fit into the installer's command line.
pub(super) fn too_long(cmdline: &[String], resolved: &Resolved) -> Option<Diagnostic> {
    let own = resolved.settings.kernel_args.as_deref();
    let length: usize = cmdline
        .iter()
        .chain(own.iter().flat_map(|list| list.values()))
        .map(|word| word.len() + 1)
        .sum();
    let span = own
        .map(|list| list.span)
        .or_else(|| resolved.declared.as_ref().map(|node| node.span()));
    (length > MAX_KERNEL_ARGS).then(|| {
        Diagnostic::error(
            format!("{length} bytes of kernel arguments: at most {MAX_KERNEL_ARGS} fit"),
            span,
        )
    })
}

/// Warns about an installation without any means to log in.
pub(super) fn locked_out(
    spec: &TaskSpec,
    resolved: &Resolved,
    passwords: &PasswordHashes,
) -> Option<Diagnostic> {
    let settings = &resolved.settings;
    let supports = |setting: &InstallerSetting| {
        spec.expresses
            .as_ref()
            .is_some_and(|known| known.contains(setting))
    };
    let user = settings
        .user
        .as_deref()
        .is_some_and(|at| passwords.user.is_some() || at.value.ssh_keys.is_some());
    let has_login = passwords.root.is_some() || settings.ssh_keys.is_some() || user;
    if has_login
        || !supports(&InstallerSetting::RootPassword)
        || !supports(&InstallerSetting::SshKeys)
    {
        return None;
    }
    let node = resolved.declared.as_ref().map(|node| node.span());
    Some(
        Diagnostic::warning(
            "this machine would have no login: neither a password nor an SSH key is set",
            node,
        )
        .help("set `ssh-keys`, `root-password-hash` or `user`"),
    )
}
