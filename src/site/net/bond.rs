//! The options of a bond: each is known, has a valid value, and fits the mode and the other options.

use crate::model::{Bond, List, Mac, OptionText, SourceSpan};

use super::{
    LayoutBuilder,
    declared_link::{DEFAULT_MODE, DeclaredLink, LinkForm},
};
use crate::site::{
    BondOption, BondOptionName, BondValue, Diagnostic,
    bond_option::{BondValueType, MODES},
    suggest::suggest,
};

/// The interval of the link monitor of a bond that sets neither `miimon` nor `arp_interval`, in milliseconds. Without a
/// monitor the kernel does not notice that a port has lost its link. It is the default of NetworkManager.
const DEFAULT_MIIMON: u32 = 100;

/// A valid option, with the span of its value.
struct CheckedOption {
    option: BondOption,
    span: SourceSpan,
}

/// The valid options of one bond.
struct CheckedOptions(Vec<CheckedOption>);

impl CheckedOptions {
    fn find(&self, name: BondOptionName) -> Option<&CheckedOption> {
        self.0.iter().find(|checked| checked.option.name == name)
    }

    /// Returns the option if it is set to something else than 0.
    fn active(&self, name: BondOptionName) -> Option<&CheckedOption> {
        self.find(name)
            .filter(|checked| checked.option.value != BondValue::Number(0))
    }
}

impl<'a> LayoutBuilder<'a, '_> {
    pub(super) fn check_mode(&mut self, bond: &Bond) {
        let Some(mode) = bond.mode.as_ref() else {
            return;
        };
        if MODES.contains(&mode.as_str()) {
            return;
        }
        let help = match suggest(mode, MODES) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("expected one of {}", MODES.join(", ")),
        };
        let message = format!("`{mode}` is not a bonding mode");
        self.report(Diagnostic::error(message, mode.span).help(help));
    }

    /// Returns the valid options of a bond, and reports the others. Ports are indices of `entries`.
    pub(super) fn bond_options(
        &mut self,
        bond: &Bond,
        entries: &[DeclaredLink<'a>],
        at: usize,
    ) -> Vec<BondOption> {
        let ports: Vec<usize> = entries[at].parents.iter().map(|(port, _)| *port).collect();
        let mut options = CheckedOptions(Vec::new());
        for (key, texts) in &bond.options {
            let Some(name) = BondOptionName::find(key) else {
                self.report_unknown_option(key, texts);
                continue;
            };
            if let Some(value) = self.option_value(name, texts, entries, &ports) {
                let span = texts.span;
                let option = BondOption { name, value };
                options.0.push(CheckedOption { option, span });
            }
        }
        self.check_option_modes(bond, &options);
        self.check_monitors(&entries[at], &options);
        let is_monitored =
            [BondOptionName::Miimon, BondOptionName::ArpInterval].map(|name| options.find(name));
        let mut options: Vec<BondOption> = options.0.iter().map(|one| one.option.clone()).collect();
        if is_monitored.iter().all(Option::is_none) {
            options.push(BondOption {
                name: BondOptionName::Miimon,
                value: BondValue::Number(DEFAULT_MIIMON),
            });
        }
        options
    }

    fn report_unknown_option(&mut self, key: &str, texts: &List<OptionText>) {
        let known = BondOptionName::ALL.iter().map(|option| option.as_str());
        let help = match (key, suggest(key, known.clone())) {
            ("mode", _) => "set `mode` beside `options`".into(),
            ("active_slave", _) => "set `primary`".into(),
            (_, Some(near)) => format!("did you mean `{near}`?"),
            (_, None) => format!("expected one of {}", known.collect::<Vec<_>>().join(", ")),
        };
        let message = format!("`{key}` is not an option of a bond");
        self.report(
            Diagnostic::error(message, texts.span)
                .label(self.name)
                .help(help),
        );
    }

    fn option_value(
        &mut self,
        name: BondOptionName,
        texts: &List<OptionText>,
        entries: &[DeclaredLink<'a>],
        ports: &[usize],
    ) -> Option<BondValue> {
        let value_type = name.value_type();
        // A list can also be one text with commas, as the kernel and NetworkManager have it.
        let written = texts.values().map(OptionText::as_str).enumerate();
        let words: Vec<(usize, &str)> = match value_type.is_list() {
            true => written
                .flat_map(|(at, text)| text.split(',').map(move |word| (at, word.trim())))
                .collect(),
            false => written.collect(),
        };
        if words.is_empty() || (words.len() > 1 && !value_type.is_list()) {
            let message = format!("`{name}` has {} values: expected {value_type}", words.len());
            self.report(Diagnostic::error(message, texts.span).label(self.name));
            return None;
        }
        let only: Vec<&str> = words.iter().map(|(_, word)| *word).collect();
        let read = match value_type {
            BondValueType::Port => port(only[0], entries, ports).ok_or(0),
            _ => value_type.read(&only),
        };
        read.map_err(|wrong| {
            let (at, word) = words[wrong];
            let mut message = format!("`{name}` cannot be `{word}`: expected {value_type}");
            if value_type == BondValueType::Port {
                let titles: Vec<String> = ports.iter().map(|port| entries[*port].title()).collect();
                message += &format!(": {}", titles.join(", "));
            }
            self.report(Diagnostic::error(message, texts.value[at].span).label(self.name));
        })
        .ok()
    }

    /// Checks that the kernel accepts each option in the mode of the bond.
    fn check_option_modes(&mut self, bond: &Bond, options: &CheckedOptions) {
        let mode = bond
            .mode
            .as_ref()
            .map_or(DEFAULT_MODE, |mode| mode.value.as_str());
        if !MODES.contains(&mode) {
            return;
        }
        for CheckedOption { option, span } in &options.0 {
            let modes = option.name.modes();
            if !modes.contains(&mode) {
                let message = format!("the kernel refuses `{}` in mode {mode}", option.name);
                let mut mistake = Diagnostic::error(message, *span)
                    .label(self.name)
                    .help(format!("it needs mode {}", modes.join(" or ")));
                if let Some(mode) = &bond.mode {
                    mistake = mistake.other(mode.span, "the mode");
                }
                self.report(mistake);
            }
        }
    }

    /// Checks the options of the two link monitors, of which a bond can have one.
    fn check_monitors(&mut self, entry: &DeclaredLink<'a>, options: &CheckedOptions) {
        use BondOptionName::*;
        let mut report = |span, message: String| {
            self.found
                .push(Diagnostic::error(message, span).label(self.name));
        };
        let mii = options.active(Miimon);
        let arp = options.active(ArpInterval);
        if let (Some(_), Some(arp)) = (mii, arp) {
            let message = format!(
                "bond `{}` has both `miimon` and `arp_interval`",
                entry.title()
            );
            report(arp.span, message);
        }
        let targets = [ArpIpTarget, NsIp6Target].map(|name| options.find(name));
        if let (Some(arp), [None, None]) = (arp, targets) {
            let message = format!("`{ArpInterval}` needs `{ArpIpTarget}` or `{NsIp6Target}`");
            report(arp.span, message);
        }
        for target in targets.into_iter().flatten().filter(|_| arp.is_none()) {
            let message = format!("`{}` needs `{ArpInterval}`", target.option.name);
            report(target.span, message);
        }
        let delays = [Updelay, Downdelay, PeerNotifDelay].map(|name| options.active(name));
        for delay in delays.into_iter().flatten() {
            let is_off = options.find(Miimon).is_some() || arp.is_some();
            if mii.is_none() && is_off {
                let message = format!("`{}` needs `{Miimon}`", delay.option.name);
                report(delay.span, message);
            }
        }
        if let (Some(arp), Some(na)) = (options.find(NumGratArp), options.find(NumUnsolNa))
            && arp.option.value != na.option.value
        {
            let message = format!(
                "`{NumGratArp}` and `{NumUnsolNa}` are one option of the kernel, but have two values"
            );
            report(na.span, message);
        }
    }
}

/// Finds the port with a device name or MAC address.
fn port(text: &str, entries: &[DeclaredLink<'_>], ports: &[usize]) -> Option<BondValue> {
    let mac: Option<Mac> = text.parse().ok();
    let is_it = |port: &&usize| {
        let entry = &entries[**port];
        let of_mac = matches!(entry.form, LinkForm::Nic(Some(own)) if Some(own) == mac);
        of_mac || entry.name.is_some_and(|name| name.as_str() == text)
    };
    ports.iter().find(is_it).copied().map(BondValue::Port)
}
