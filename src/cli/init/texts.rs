//! The files of a new site, with comments that explain the settings.

use std::net::Ipv4Addr;

use super::host::HostSettings;

/// The files, relative to the site.
pub(super) const NAMES: [&str; 6] = [
    "bootwright.toml",
    "policies.d/defaults.toml",
    "policies.d/networks.toml",
    "policies.d/repos.toml",
    "policies.d/nodes.toml",
    ".gitignore",
];

/// Returns the text of each file.
pub(super) fn write(
    host: &HostSettings,
    id: &str,
    password: Option<&str>,
) -> [(&'static str, String); 6] {
    let texts = [
        config(id),
        defaults(host, password),
        networks(host),
        repos(),
        nodes(host),
        ignored(),
    ];
    let mut texts = texts.into_iter();
    NAMES.map(|name| (name, texts.next().expect("there is a text for every name")))
}

fn config(id: &str) -> String {
    format!(
        r#"# Settings of the server. They are read once, at start. Files under policies.d/ are read again whenever they change.

# Identifies this site in its state directory, where the server records the history of every machine. If the state directory
# has no record of this id, the server installs nothing until you run `bootwright init --state new` (nothing is installed yet)
# or `bootwright init --state installed` (every declared node is installed). So a lost disk does not reinstall every machine.
site-id = "{id}"

# The HTTP address for machines. Default: port 80, or port 8080 if 80 is not available. ESXi can report back only on ports 80
# and 443.
# [http]
# listen = "[::]:80"

# The HTTP address for operators: `bootwright nodes`, `bootwright reinstall` and so on. The server creates a token for them in
# its state directory.
# [operator]
# listen = "127.0.0.1:8067"
# tls-cert = "/etc/bootwright/operator.crt"
# tls-key = "/etc/bootwright/operator.key"

# The maximum number of installations that start within one hour; further ones wait.
# [limits]
# installs-per-hour = 10
"#
    )
}

fn defaults(host: &HostSettings, password: Option<&str>) -> String {
    let zone = host.timezone.as_deref().unwrap_or("Etc/UTC");
    let mut text = format!(
        r#"# Settings of all machines, with the lowest precedence. A network, then a policy, then a node can override each of them.
# `bootwright explain NODE` shows where each value of a node comes from.
[defaults]
timezone = {zone}
locale = "en_US.UTF-8"
keyboard = "us"
"#,
        zone = quoted(zone)
    );
    text += match password {
        Some(_) => {
            "\n# The root password of installed machines, as a hash. Anyone who can read this file can try to guess the password.\n"
        }
        None => {
            "\n# The root password of installed machines: a hash (`openssl passwd -6`), or a file outside of git (mode 0600). ESXi requires\n# one.\n"
        }
    };
    text += &match password {
        Some(hash) => format!("root-password-hash = {}\n", quoted(hash)),
        None => "# root-password-hash = \"$6$...\"\n# root-password-file = \"/etc/bootwright/root-password\"\n".into(),
    };
    text += "\n# SSH keys that may log in as root.\n";
    match host.keys.as_slice() {
        [] => text += "# ssh-keys = [\"ssh-ed25519 AAAA... you@example\"]\n",
        keys => {
            let lines: Vec<String> = keys
                .iter()
                .map(|key| format!("    {},\n", quoted(key)))
                .collect();
            text += &format!("ssh-keys = [\n{}]\n", lines.concat());
        }
    }
    text
}

fn networks(host: &HostSettings) -> String {
    let mut text = String::from(
        "# Subnets. A node gets gateway, DNS and domain from the network that contains its address.\n\n",
    );
    text += &match &host.network {
        Some(_) => network(host),
        None => commented(&network(&example())),
    };
    text
}

fn network(host: &HostSettings) -> String {
    let Some((_, own, subnet)) = &host.network else {
        return String::new();
    };
    let mut text = format!("[network.lan]\nsubnet = \"{subnet}\"\n");
    // A gateway outside the subnet would be an error in this network.
    if let Some(gateway) = host.gateway.filter(|gateway| subnet.contains(gateway)) {
        text += &format!("gateway = \"{gateway}\"\n");
    }
    let dns: Vec<String> = host
        .dns
        .iter()
        .map(|server| format!("\"{server}\""))
        .collect();
    if !dns.is_empty() {
        text += &format!("dns = [{}]\n", dns.join(", "));
    }
    text += &match &host.domain {
        Some(domain) => format!("domain = {}\n", quoted(domain)),
        None => "# domain = \"lab.example\"\n".into(),
    };
    text += &format!(
        "# Addresses that other devices use; a node with one of these is an error. {own} is this machine. Add the range that your\n\
         # router assigns by DHCP.\n\
         taken = [\"{own}\"]\n\
         # With \"off\" this server does not answer DHCP here: your own DHCP server assigns addresses, and must direct machines to\n\
         # http://{own}/boot.ipxe.\n\
         dhcp = \"off\"\n"
    );
    text
}

fn repos() -> String {
    r#"# The installation files of each operating system, and the task that installs it. A path is a directory with the contents of
# the vendor's ISO image, relative to this site or absolute.

# [repo.esxi]
# path = "/srv/esxi-8.0"
# task = "esxi"

# [repo.rocky]
# path = "/srv/rocky-9"
# task = "redhat"

# Debian's netboot tree contains only the installer; packages come from a mirror.
# [repo.debian]
# path = "/srv/debian-netboot"
# task = "debian"
# vars = { mirror = "http://mirror.example/debian" }
"#
    .into()
}

fn nodes(host: &HostSettings) -> String {
    let host = if host.network.is_some() {
        host
    } else {
        &example()
    };
    let [first, second] = free_addresses(host);
    format!(
        r#"# The machines. A declared machine is installed once, at its first network boot. To install it once more, increase `installs`
# by one or run `bootwright reinstall NAME`. With `installs = 0` a machine is never installed.
#
# To use an example, remove the `# ` before its lines and set the MAC of your machine. Then run `bootwright check`,
# `bootwright render esx01` and `bootwright play esx01`.

# [node.esx01]
# mac = "00:50:56:00:00:01"
# repo = "esxi"
# address = "{first}"
# disk = {{ first = ["local"] }}

# [node.db01]
# mac = "52:54:00:00:00:02"
# repo = "rocky"
# address = "{second}"
# packages = ["tmux"]

# Settings that several machines share belong in a policy. A node names it (`policy = "web"`), or it selects nodes by tags.
# [policy.web]
# repo = "debian"
# packages = ["nginx"]
"#
    )
}

fn ignored() -> String {
    "# Secrets must not be committed.\noperator-token\n*.secret\n/secrets/\n".into()
}

/// A network reserved for documentation (RFC 5737), used if none was detected.
fn example() -> HostSettings {
    let address = |last| Ipv4Addr::new(192, 0, 2, last);
    let subnet = ipnet::Ipv4Net::new_assert(address(0), 24);
    HostSettings {
        network: Some(("eth0".into(), address(5), subnet)),
        gateway: Some(address(1)),
        dns: vec![address(1).into()],
        domain: Some("lab.example".into()),
        ..HostSettings::default()
    }
}

/// Two addresses of the subnet that are not known to be in use.
fn free_addresses(host: &HostSettings) -> [Ipv4Addr; 2] {
    let Some((_, own, subnet)) = &host.network else {
        return [Ipv4Addr::UNSPECIFIED; 2];
    };
    let used =
        |ip: &Ipv4Addr| ip == own || Some(*ip) == host.gateway || host.dns.contains(&(*ip).into());
    let mut hosts = subnet
        .hosts()
        .skip(10)
        .chain(subnet.hosts())
        .filter(|ip| !used(ip));
    let mut next = || hosts.next().unwrap_or(*own);
    [next(), next()]
}

fn commented(text: &str) -> String {
    text.lines()
        .map(|line| format!("# {}\n", line.trim_start_matches("# ")))
        .collect()
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04X}", c as u32),
            c => c.into(),
        })
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{LoadCache, ReportStyle, Severity, SiteFiles, load, report};

    fn check_site(
        host: &HostSettings,
        password: Option<&str>,
        edit: impl Fn(&str) -> String,
    ) -> (usize, String) {
        let mut files = SiteFiles::default();
        for (name, text) in write(host, "0123456789abcdef", password) {
            files
                .content
                .insert(name.into(), edit(&text).into_bytes().into());
        }
        let (site, diagnostics) = load(&files, &mut LoadCache::default());
        let errors = diagnostics
            .iter()
            .filter(|one| one.severity == Severity::Error)
            .count();
        (
            errors,
            report(&diagnostics, &site.sources, ReportStyle::PLAIN),
        )
    }

    /// Uncomments the examples of nodes and repos.
    fn uncommented(text: &str) -> String {
        if !text.contains("# [node.") && !text.contains("# [repo.") {
            return text.into();
        }
        let is_example = |line: &str| {
            line.starts_with("# [")
                || line
                    .strip_prefix("# ")
                    .and_then(|line| line.split_once(" = "))
                    .is_some_and(|(key, _)| !key.contains(' '))
        };
        let line = |line: &str| {
            if is_example(line) {
                line[2..].to_string()
            } else {
                line.to_string()
            }
        };
        text.lines().map(|text| line(text) + "\n").collect()
    }

    #[test]
    fn every_new_site_is_valid() {
        let own = example();
        let keys = vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5DzIGZQt8lBHXMP5/p83B5U36zyJDNPIHSRiFHBSZT a \"b\" \\".into()];
        let far = HostSettings {
            gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
            domain: None,
            ..own.clone()
        };
        let hash = "$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/";
        for (host, password) in [
            (own.clone(), None),
            (far, None),
            (
                HostSettings {
                    keys,
                    timezone: Some("Europe/Berlin".into()),
                    ..own
                },
                Some(hash),
            ),
        ] {
            for edit in [str::to_string, uncommented] {
                let (errors, report) = check_site(&host, password, edit);
                assert_eq!(errors, 0, "{report}");
            }
        }
    }

    #[test]
    fn a_new_site_without_a_network_is_valid() {
        let (errors, report) = check_site(&HostSettings::default(), None, str::to_string);
        assert_eq!((errors, report.as_str()), (0, ""));
    }

    #[test]
    fn examples_use_free_addresses() {
        assert_eq!(
            free_addresses(&example()),
            [Ipv4Addr::new(192, 0, 2, 11), Ipv4Addr::new(192, 0, 2, 12)]
        );
    }
}
