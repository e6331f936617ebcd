//! The options of a bond in each format.
//!
//! One table has the name of every option for every reader. Sources: nm-setting-bond.c of NetworkManager 1.42, which ignores
//! an option that it does not know; parse.c of netplan 0.106; systemd.netdev(5) and systemd.network(5) of systemd 252.
//! The releases are the oldest ones that systems of the supported families have, but for the first releases of RHEL 8 and 9.

use serde_json::{Value, json};

use crate::site::{BondOption, BondOptionName, BondValue, PlannedLink};

use super::{
    super::installer_setting::InstallerSetting,
    UnsupportedSetting,
    view::{LinkLabel, LinkView, joined},
};

/// The names of one option. NetworkManager's are the kernel's.
struct OptionNames {
    /// Whether NetworkManager has the option.
    keyfile: bool,
    netplan: Option<&'static str>,
    networkd: Option<&'static str>,
}

fn names(option: BondOptionName) -> OptionNames {
    use BondOptionName::*;
    let (keyfile, netplan, networkd) = match option {
        AdActorSysPrio => (true, None, Some("AdActorSystemPriority")),
        AdActorSystem => (true, None, Some("AdActorSystem")),
        AdSelect => (true, Some("ad-select"), Some("AdSelect")),
        AdUserPortKey => (true, None, Some("AdUserPortKey")),
        AllSlavesActive => (true, Some("all-slaves-active"), Some("AllSlavesActive")),
        ArpAllTargets => (true, Some("arp-all-targets"), Some("ARPAllTargets")),
        ArpInterval => (true, Some("arp-interval"), Some("ARPIntervalSec")),
        ArpIpTarget => (true, Some("arp-ip-targets"), Some("ARPIPTargets")),
        ArpMissedMax => (false, None, None),
        ArpValidate => (true, Some("arp-validate"), Some("ARPValidate")),
        BroadcastNeighbor | CoupledControl | LacpActive | NsIp6Target => (false, None, None),
        Downdelay => (true, Some("down-delay"), Some("DownDelaySec")),
        FailOverMac => (
            true,
            Some("fail-over-mac-policy"),
            Some("FailOverMACPolicy"),
        ),
        LacpRate => (true, Some("lacp-rate"), Some("LACPTransmitRate")),
        LpInterval => (
            true,
            Some("learn-packet-interval"),
            Some("LearnPacketIntervalSec"),
        ),
        Miimon => (true, Some("mii-monitor-interval"), Some("MIIMonitorSec")),
        MinLinks => (true, Some("min-links"), Some("MinLinks")),
        NumGratArp | NumUnsolNa => (true, Some("gratuitous-arp"), Some("GratuitousARP")),
        PacketsPerSlave => (true, Some("packets-per-slave"), Some("PacketsPerSlave")),
        PeerNotifDelay => (true, None, None),
        // A key of the port's own file.
        Primary => (true, Some("primary"), Some("PrimarySlave")),
        PrimaryReselect => (
            true,
            Some("primary-reselect-policy"),
            Some("PrimaryReselectPolicy"),
        ),
        ResendIgmp => (true, Some("resend-igmp"), Some("ResendIGMP")),
        TlbDynamicLb => (true, None, Some("DynamicTransmitLoadBalancing")),
        Updelay => (true, Some("up-delay"), Some("UpDelaySec")),
        UseCarrier => (true, None, None),
        XmitHashPolicy => (
            true,
            Some("transmit-hash-policy"),
            Some("TransmitHashPolicy"),
        ),
    };
    OptionNames {
        keyfile,
        netplan,
        networkd,
    }
}

/// Whether cloud-init from 22.1 to 25.1 has the option in its own table (NET_CONFIG_TO_V2). On images without netplan it fails
/// with a KeyError for any other option, and writes no network configuration.
fn is_in_cloud_init(option: BondOptionName) -> bool {
    use BondOptionName::*;
    !matches!(
        option,
        AllSlavesActive | ArpAllTargets | ArpIpTarget | LpInterval | PacketsPerSlave | ResendIgmp
    )
}

/// The options of a bond for one reader, and those that the reader does not have.
pub(super) struct ReaderOptions<T> {
    pub(super) known: Vec<(&'static str, T)>,
    pub(super) unsupported: Vec<UnsupportedSetting>,
}

impl<T> ReaderOptions<T> {
    /// Sorts the options of `bond` by whether `write` returns a key and a value.
    fn of(
        reader: &str,
        bond: &PlannedLink,
        options: &[BondOption],
        write: impl Fn(&BondOption) -> Option<(&'static str, T)>,
    ) -> Self {
        let mut known = Vec::new();
        let mut unsupported = Vec::new();
        for option in options {
            match write(option) {
                Some(entry) => known.push(entry),
                None => unsupported.push(lack(bond, reader, option)),
            }
        }
        ReaderOptions { known, unsupported }
    }
}

fn lack(bond: &PlannedLink, reader: &str, option: &BondOption) -> UnsupportedSetting {
    let what = match option.value {
        BondValue::Name(value) => format!("{} = {value}", option.name),
        BondValue::Number(value) => format!("{} = {value}", option.name),
        _ => option.name.to_string(),
    };
    UnsupportedSetting {
        setting: InstallerSetting::Bond,
        detail: format!(
            "{}: {reader} has no equivalent of the option {what}",
            LinkLabel(bond)
        ),
        span: bond.span,
        first_boot_commands: Vec::new(),
    }
}

/// The lines of a keyfile's section `[bond]`. `device` returns the device name of a port.
pub(super) fn keyfile(
    bond: &PlannedLink,
    options: &[BondOption],
    device: impl Fn(usize) -> Option<String>,
) -> ReaderOptions<String> {
    ReaderOptions::of("NetworkManager 1.42", bond, options, |option| {
        let value = match &option.value {
            BondValue::Number(number) => number.to_string(),
            BondValue::Boolean(on) => u8::from(*on).to_string(),
            BondValue::Name(name) => name.to_string(),
            BondValue::Mac(mac) => mac.to_string(),
            BondValue::Ipv4(list) => joined(list, ","),
            BondValue::Ipv6(list) => joined(list, ","),
            BondValue::Port(port) => device(*port)?,
        };
        let is_known = names(option.name).keyfile;
        is_known.then_some((option.name.as_str(), value))
    })
}

/// The parameters of a bond for netplan. `id` returns the name of a port in the document.
pub(super) fn netplan(
    bond: &PlannedLink,
    options: &[BondOption],
    id: impl Fn(usize) -> String,
) -> ReaderOptions<Value> {
    use BondOptionName::*;
    ReaderOptions::of("netplan", bond, options, |option| {
        let value = match &option.value {
            // netplan takes 0 of these for unset, and the kernel does not.
            BondValue::Number(0)
                if matches!(
                    option.name,
                    NumGratArp | NumUnsolNa | PacketsPerSlave | ResendIgmp
                ) =>
            {
                return None;
            }
            // cloud-init's schema has texts for these two, and numbers for the others.
            BondValue::Number(number) if matches!(option.name, Miimon | LpInterval) => {
                json!(number.to_string())
            }
            BondValue::Number(number) => json!(number),
            BondValue::Boolean(on) => json!(on),
            BondValue::Name(name) if is_netplan_value(option.name, name) => json!(name),
            BondValue::Name(_) => return None,
            BondValue::Mac(mac) => json!(mac.to_string()),
            BondValue::Ipv4(list) => json!(list),
            BondValue::Ipv6(list) => json!(list),
            BondValue::Port(port) => json!(id(*port)),
        };
        Some((names(option.name).netplan?, value))
    })
}

/// The options with which cloud-init fails on images without netplan.
pub(super) fn not_in_cloud_init(options: &[BondOption]) -> Vec<BondOptionName> {
    let names = options.iter().map(|option| option.name);
    names.filter(|name| !is_in_cloud_init(*name)).collect()
}

/// The lines of the section `[Bond]` for systemd-networkd. The primary port is set in its own file: [`is_primary_port`].
pub(super) fn networkd(bond: &PlannedLink, options: &[BondOption]) -> ReaderOptions<String> {
    use BondOptionName::*;
    let options: Vec<BondOption> = options
        .iter()
        .filter(|option| option.name != Primary)
        .cloned()
        .collect();
    ReaderOptions::of("systemd-networkd", bond, &options, |option| {
        let value = match &option.value {
            BondValue::Number(number) => match option.name {
                Miimon | Updelay | Downdelay | ArpInterval => format!("{number}ms"),
                _ => number.to_string(),
            },
            BondValue::Boolean(on) => (if *on { "yes" } else { "no" }).into(),
            BondValue::Name(name) if is_netplan_value(option.name, name) => name.to_string(),
            BondValue::Name(_) | BondValue::Port(_) => return None,
            BondValue::Mac(mac) => mac.to_string(),
            BondValue::Ipv4(list) => joined(list, " "),
            BondValue::Ipv6(list) => joined(list, " "),
        };
        Some((names(option.name).networkd?, value))
    })
}

/// Whether systemd-networkd has the value, and therefore netplan with it.
fn is_netplan_value(option: BondOptionName, value: &str) -> bool {
    match option {
        BondOptionName::ArpValidate => !value.starts_with("filter"),
        BondOptionName::XmitHashPolicy => value != "vlan+srcmac",
        _ => true,
    }
}

/// Whether a link is the primary port of a bond.
pub(super) fn is_primary_port(view: &LinkView<'_>, at: usize) -> bool {
    let mut options = view.plan.links.iter().flat_map(PlannedLink::bond_options);
    options.any(|option| option.value == BondValue::Port(at))
}
