//! The files of a new site. Their comments are the first lesson.

use std::net::Ipv4Addr;

use super::host::HostSettings;

/// Every file, relative to the site.
pub(super) const NAMES: [&str; 6] = [
    "bootwright.toml",
    "policies.d/defaults.toml",
    "policies.d/networks.toml",
    "policies.d/repos.toml",
    "policies.d/nodes.toml",
    ".gitignore",
];

/// Writes every file's text.
pub(super) fn write(
    found: &HostSettings,
    id: &str,
    password: Option<&str>,
) -> [(&'static str, String); 6] {
    let texts = [
        config(id),
        defaults(found, password),
        networks(found),
        repos(),
        nodes(found),
        ignored(),
    ];
    let mut texts = texts.into_iter();
    NAMES.map(|name| (name, texts.next().expect("there is a text for every name")))
}

fn config(id: &str) -> String {
    format!(
        r#"# The server itself. It is read once, at start; everything under policies.d/ is read again whenever it changes.

# Ties this site to its state directory, where the server writes down what has happened to every machine. A server whose
# state directory does not know this id installs nothing until you say `bootwright init --state new` (nothing is installed
# yet) or `--state installed` (every declared node is): a lost disk does not reinstall a rack.
site-id = "{id}"

# What machines talk to. Without it: port 80, or 8080 where that cannot be had. ESXi's firewall expects port 80.
# [http]
# listen = "[::]:80"

# What `bootwright nodes`, `reinstall` and the like talk to. Loopback needs no token; any other address needs one.
# [operator]
# listen = "127.0.0.1:8067"
# token-file = "operator-token"

# At most so many installations begin within an hour; the others wait.
# [limits]
# installs-per-hour = 10
"#
    )
}

fn defaults(found: &HostSettings, password: Option<&str>) -> String {
    let zone = found.timezone.as_deref().unwrap_or("Etc/UTC");
    let mut text = format!(
        r#"# What all machines share: the lowest layer. A network, a policy and a node may each set these again, in that order; the
# last one wins. `bootwright explain NODE` shows where each value of a node comes from.
[defaults]
timezone = {zone}
locale = "en_US.UTF-8"
keyboard = "us"
"#,
        zone = quoted(zone)
    );
    text += match password {
        Some(_) => {
            "\n# The root password of installed machines, as a hash. Anyone who reads this file may try to guess it.\n"
        }
        None => {
            "\n# The root password of installed machines, as a hash (`openssl passwd -6`), or in a file outside of git (mode 0600). ESXi\n# needs one.\n"
        }
    };
    text += &match password {
        Some(hash) => format!("root-password-hash = {}\n", quoted(hash)),
        None => "# root-password-hash = \"$6$...\"\n# root-password-file = \"/etc/bootwright/root-password\"\n".into(),
    };
    text += "\n# Who may log in as root with a key.\n";
    match found.keys.as_slice() {
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

fn networks(found: &HostSettings) -> String {
    let mut text = String::from(
        "# Subnets. A node's address picks the one that it lies in; gateway, DNS and domain follow from there.\n\n",
    );
    text += &match &found.network {
        Some(_) => network(found),
        None => commented(&network(&example())),
    };
    text
}

fn network(found: &HostSettings) -> String {
    let Some((_, own, subnet)) = &found.network else {
        return String::new();
    };
    let mut text = format!("[network.lan]\nsubnet = \"{subnet}\"\n");
    // A gateway that lies elsewhere would be a mistake in this network.
    if let Some(gateway) = found.gateway.filter(|gateway| subnet.contains(gateway)) {
        text += &format!("gateway = \"{gateway}\"\n");
    }
    let dns: Vec<String> = found
        .dns
        .iter()
        .map(|server| format!("\"{server}\""))
        .collect();
    if !dns.is_empty() {
        text += &format!("dns = [{}]\n", dns.join(", "));
    }
    text += &match &found.domain {
        Some(domain) => format!("domain = {}\n", quoted(domain)),
        None => "# domain = \"lab.example\"\n".into(),
    };
    text += &format!(
        "# What something else uses: a node that declares one of these is an error. This machine is {own}; name the range too that\n\
         # your router's DHCP hands out.\n\
         taken = [\"{own}\"]\n\
         # This server answers no DHCP here: your own hands out addresses, and must send machines to http://{own}/boot.ipxe.\n\
         dhcp = \"off\"\n"
    );
    text
}

fn repos() -> String {
    r#"# Where the files of each operating system come from, and the task that installs from them. A path is a directory that
# holds what the vendor's ISO image holds, relative to this site or absolute.

# [repo.esxi]
# path = "/srv/esxi-8.0"
# task = "esxi"

# [repo.rocky]
# path = "/srv/rocky-9"
# task = "redhat"

# Debian's netboot tree has the installer alone; packages come from a mirror.
# [repo.debian]
# path = "/srv/debian-netboot"
# task = "debian"
# vars = { mirror = "http://mirror.example/debian" }
"#
    .into()
}

fn nodes(found: &HostSettings) -> String {
    let found = if found.network.is_some() {
        found
    } else {
        &example()
    };
    let [first, second] = free(found);
    format!(
        r#"# The machines. A declared machine is installed at its first network boot, once. For one more installation raise `installs`
# by one, or say `bootwright reinstall NAME`. `installs = 0` protects a machine for good.
#
# Take the marks away, put your own card's address in, then look: `bootwright check`, `bootwright render esx01`,
# `bootwright play esx01`.

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

# What several machines share stands in a policy, which nodes name (`policy = "web"`) or that takes them by their tags.
# [policy.web]
# repo = "debian"
# packages = ["nginx"]
"#
    )
}

fn ignored() -> String {
    "# Secrets stay out of git.\noperator-token\n*.secret\n/secrets/\n".into()
}

/// A network that is set aside for documentation (RFC 5737), for where none was found.
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

/// Two addresses that nothing known uses.
fn free(found: &HostSettings) -> [Ipv4Addr; 2] {
    let Some((_, own, subnet)) = &found.network else {
        return [Ipv4Addr::UNSPECIFIED; 2];
    };
    let used = |ip: &Ipv4Addr| {
        ip == own || Some(*ip) == found.gateway || found.dns.contains(&(*ip).into())
    };
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

/// A text as TOML writes it.
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

    fn checked(
        found: &HostSettings,
        password: Option<&str>,
        mend: impl Fn(&str) -> String,
    ) -> (usize, String) {
        let mut files = SiteFiles::default();
        for (name, text) in write(found, "0123456789abcdef", password) {
            files
                .content
                .insert(name.into(), mend(&text).into_bytes().into());
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

    /// Takes the marks away from the examples of nodes and repos.
    fn alive(text: &str) -> String {
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
    fn every_site_that_is_written_holds() {
        let own = example();
        let keys = vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5DzIGZQt8lBHXMP5/p83B5U36zyJDNPIHSRiFHBSZT a \"b\" \\".into()];
        let far = HostSettings {
            gateway: Some(Ipv4Addr::new(10, 0, 0, 1)),
            domain: None,
            ..own.clone()
        };
        let hash = "$6$exampleonly$ntM9V.0IToMoZGaR2DFalh1yTiaH8l5Pkmzu2sBb2l7Uczv0DSKMAQbSWzT2uSkCMakVMf7ww5CLBy5Ye.Fpz/";
        for (found, password) in [
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
            for mend in [str::to_string, alive] {
                let (errors, report) = checked(&found, password, mend);
                assert_eq!(errors, 0, "{report}");
            }
        }
    }

    #[test]
    fn a_site_without_a_network_holds_too() {
        let (errors, report) = checked(&HostSettings::default(), None, str::to_string);
        assert_eq!((errors, report.as_str()), (0, ""));
    }

    #[test]
    fn examples_take_addresses_that_are_free() {
        assert_eq!(
            free(&example()),
            [Ipv4Addr::new(192, 0, 2, 11), Ipv4Addr::new(192, 0, 2, 12)]
        );
    }
}
