//! A machine's time zone, locale and keyboard, as its installer names them.

use minijinja::{Value, context};

use crate::{
    model::{Settings, Spanned},
    site::{
        Diagnostic, Keyboard, UnknownName, current_timezone, esxi_layouts, locale_gen_line,
        supported_locale,
    },
};

/// ESXi's keyboard if none is set, or one that it does not have.
const ESXI_DEFAULT: &str = "US Default";

/// Reports names that do not exist.
pub(super) fn mistakes(settings: &Settings) -> Vec<Diagnostic> {
    [
        error(settings.timezone.as_deref(), current_timezone),
        error(settings.locale.as_deref(), supported_locale),
        error(settings.keyboard.as_deref(), str::parse::<Keyboard>),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn error<T>(
    at: Option<&Spanned<String>>,
    find: impl Fn(&str) -> Result<T, UnknownName>,
) -> Option<Diagnostic> {
    let at = at?;
    find(&at.value).err().map(|error| error.at(at.span))
}

/// The current name of the time zone.
pub(super) fn timezone(settings: &Settings) -> Option<&'static str> {
    current_timezone(&settings.timezone.as_ref()?.value).ok()
}

/// The time zone as it is set, if it exists.
pub(super) fn timezone_as_set(settings: &Settings) -> Option<&str> {
    let text = &settings.timezone.as_ref()?.value;
    current_timezone(text).is_ok().then_some(text)
}

/// The locale as glibc spells it.
pub(super) fn locale(settings: &Settings) -> Option<&'static str> {
    supported_locale(&settings.locale.as_ref()?.value).ok()
}

/// The line of `/etc/locale.gen` for the locale, if it has to be generated.
pub(super) fn locale_gen(settings: &Settings) -> Option<String> {
    locale(settings).and_then(locale_gen_line)
}

/// The keyboard that is set.
pub(super) fn keyboard(settings: &Settings) -> Option<Keyboard> {
    settings.keyboard.as_ref()?.value.parse().ok()
}

/// Returns `keyboard` of the templates: the keyboard, or `us`, in the forms of the installers.
pub(super) fn keyboard_value(settings: &Settings) -> Value {
    let keyboard = keyboard(settings).unwrap_or_default();
    context! {
        layout => keyboard.layout(),
        variant => keyboard.variant(),
        options => keyboard.options(),
        xlayouts => keyboard.xlayouts(),
        debian => keyboard.debian_keymap(),
        debian_has_it => keyboard.is_debian_keymap(),
    }
}

/// Returns ESXi's name of the keyboard, and a warning if ESXi has it only in part or not at all.
pub(super) fn esxi_keyboard(settings: &Settings) -> (&'static str, Option<Diagnostic>) {
    let Some((at, keyboard)) = settings.keyboard.as_deref().zip(keyboard(settings)) else {
        return (ESXI_DEFAULT, None);
    };
    let name = keyboard.esxi_name().unwrap_or(ESXI_DEFAULT);
    let warning = || {
        let message = format!("ESXi has no keyboard `{at}`: `{name}` is used");
        let help = format!(
            "if that is right, set it for this policy or node; ESXi has {}",
            esxi_layouts().join(", ")
        );
        Diagnostic::warning(message, at.span).help(help)
    };
    (name, (!keyboard.is_esxi_keyboard()).then(warning))
}
