//! A bond on ESXi: NIC teaming of a standard switch.
//!
//! Standard switches support teaming but not LACP, which needs a distributed switch.

use crate::site::{BondOption, BondOptionName, BondValue, LinkKind, PlannedLink};

use super::{
    super::installer_setting::InstallerSetting,
    UnsupportedSetting,
    esxi_first_boot::{lack, nic},
    view::{LinkBase, LinkView},
};

/// Returns the commands that make `vSwitch0` of a bond, or the mode or option that ESXi does not have.
pub(super) fn teaming(view: &LinkView<'_>, base: &LinkBase<'_>) -> Option<UnsupportedSetting> {
    let bond = base.bond?;
    let LinkKind::Bond { mode, options, .. } = &bond.kind else {
        return None;
    };
    let policy = match mode.as_str() {
        "active-backup" => "explicit",
        "balance-rr" | "balance-tlb" | "balance-alb" => "portid",
        "balance-xor" => "iphash",
        _ => {
            return Some(lack(
                InstallerSetting::Bond,
                bond,
                format!("mode {mode} needs a distributed switch"),
                Vec::new(),
            ));
        }
    };
    if let Some(option) = options.iter().find(|option| !is_in_teaming(option)) {
        return Some(lack(
            InstallerSetting::Bond,
            bond,
            format!("ESXi has no equivalent of the option {}", option.name),
            Vec::new(),
        ));
    }
    let is_primary = |link: &&PlannedLink| {
        let mut values = options.iter().map(|option| &option.value);
        values.any(|value| matches!(value, BondValue::Port(port) if std::ptr::eq(&view.plan.links[*port], *link)))
    };
    let (first, others): (Vec<&PlannedLink>, Vec<&PlannedLink>) =
        base.nics.iter().partition(|link| is_primary(link));
    let stays = options
        .iter()
        .any(|option| option.value == BondValue::Name("failure"));
    let uplinks = Uplinks {
        nics: base.nics.clone(),
        order: [first, others].concat(),
        policy,
        failback: if stays { " --failback=false" } else { "" },
    };
    Some(lack(
        InstallerSetting::Bond,
        bond,
        format!("mode {mode}"),
        team("vSwitch0", &uplinks),
    ))
}

/// Whether NIC teaming has an equivalent. It always monitors links. `always` and `failure` of `primary_reselect` are failback
/// and no failback.
fn is_in_teaming(option: &BondOption) -> bool {
    match option.name {
        BondOptionName::Miimon | BondOptionName::Primary | BondOptionName::XmitHashPolicy => true,
        BondOptionName::PrimaryReselect => option.value != BondValue::Name("better"),
        _ => false,
    }
}

/// The uplinks of a switch.
struct Uplinks<'a> {
    /// In the order of the declaration. The first one is an uplink already.
    nics: Vec<&'a PlannedLink>,
    /// In the order of preference.
    order: Vec<&'a PlannedLink>,
    policy: &'static str,
    failback: &'static str,
}

/// Adds NICs to a switch.
fn team(switch: &str, uplinks: &Uplinks<'_>) -> Vec<String> {
    let mut lines: Vec<String> = uplinks
        .nics
        .iter()
        .skip(1)
        .filter_map(|link| nic(link))
        .map(|name| format!("esxcli network vswitch standard uplink add --uplink-name={name} --vswitch-name={switch}"))
        .collect();
    let names: Vec<String> = uplinks.order.iter().filter_map(|link| nic(link)).collect();
    let (policy, failback) = (uplinks.policy, uplinks.failback);
    let (active, standby) = match policy {
        "explicit" => (
            names.first().cloned().unwrap_or_default(),
            names.get(1..).unwrap_or_default().join(","),
        ),
        _ => (names.join(","), String::new()),
    };
    let standby = if standby.is_empty() {
        String::new()
    } else {
        format!(" --standby-uplinks={standby}")
    };
    lines.push(format!(
        "esxcli network vswitch standard policy failover set --vswitch-name={switch} --active-uplinks={active}{standby} --load-balancing={policy}{failback}"
    ));
    lines
}
