//! Keyboards: one setting, translated to the names of each installer.
//!
//! The names are those of XKB: a layout (`de`), a layout with a variant (`de(nodeadkeys)`), or a list of up to four of them
//! (`us,ru`). Names of the Linux console (`uk`, `de-latin1`), ESXi's names (`Swiss German`) and codes of languages are translated
//! to these.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::LazyLock};

use super::{
    UnknownName,
    keyboard_names::{DEBIAN, ESXI, LANGUAGES},
    lines, plain, similar,
};

const WHAT: &str = "a keyboard layout";

/// The number of layouts that XKB has room for.
const MAX_LAYOUTS: usize = 4;

/// XKB's layouts, each with its variants.
static LAYOUTS: LazyLock<BTreeMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
    lines(include_str!("keyboards.txt"))
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.collect()))
        })
        .collect()
});

/// Names of other systems, each with its layouts in XKB.
static OTHER_NAMES: LazyLock<BTreeMap<&'static str, &'static str>> = LazyLock::new(|| {
    lines(include_str!("console_keymaps.txt"))
        .filter_map(|line| line.split_once(' '))
        .chain(ESXI)
        .chain(LANGUAGES)
        .collect()
});

/// One or more layouts, of which the first is active after a boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyboard(Vec<XkbLayout>);

/// A layout of XKB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct XkbLayout {
    name: &'static str,
    variant: Option<&'static str>,
}

impl Default for Keyboard {
    /// `us`.
    fn default() -> Self {
        Keyboard(vec![XkbLayout {
            name: "us",
            variant: None,
        }])
    }
}

impl Keyboard {
    /// The names of the layouts as X.Org's option `XkbLayout` lists them: `us,de`.
    pub fn layout(&self) -> String {
        self.joined(|layout| layout.name.into())
    }

    /// The variants as `XkbVariant` lists them: `,nodeadkeys`. Empty if no layout has one.
    pub fn variant(&self) -> String {
        let variants = self.joined(|layout| layout.variant.unwrap_or_default().into());
        match variants.chars().all(|c| c == ',') {
            true => String::new(),
            false => variants,
        }
    }

    /// How a person switches between the layouts, as in `XkbOptions`: with Alt and Shift. Empty if there is only one layout.
    pub fn options(&self) -> &'static str {
        match self.0.len() {
            1 => "",
            _ => "grp:alt_shift_toggle",
        }
    }

    /// The layouts as Anaconda's `keyboard --xlayouts=` takes them: `us,de (nodeadkeys)`.
    pub fn xlayouts(&self) -> String {
        self.joined(|layout| match layout.variant {
            Some(variant) => format!("{} ({variant})", layout.name),
            None => layout.name.into(),
        })
    }

    /// The keymap to select in Debian's installer: this keyboard, else the one of its list that is nearest.
    pub fn debian_keymap(&self) -> &'static str {
        let first = self.first();
        let is_named = |known: &&&str| **known == first.name;
        let exact = DEBIAN.iter().find(|known| **known == first.to_string());
        let plain = || DEBIAN.iter().find(is_named);
        // The list has `fr(latin9)` and no `fr`.
        let variant = || {
            let start = format!("{}(", first.name);
            DEBIAN.iter().find(|known| known.starts_with(&start))
        };
        exact
            .or_else(plain)
            .or_else(variant)
            .map_or("us", |known| known)
    }

    /// Whether that keymap is this keyboard. Otherwise the installed system needs its own file.
    pub fn is_debian_keymap(&self) -> bool {
        self.debian_keymap() == self.to_string()
    }

    /// ESXi's name of the first layout, with or without its variant. None if ESXi does not have it.
    pub fn esxi_name(&self) -> Option<&'static str> {
        let first = self.first();
        let with = first.to_string();
        let find = |wanted: &str| ESXI.iter().find(|(_, layout)| *layout == wanted);
        let found = find(&with).or_else(|| find(first.name));
        found.map(|(name, _)| *name)
    }

    /// Whether [`Keyboard::esxi_name`] is the whole of this keyboard.
    pub fn is_esxi_keyboard(&self) -> bool {
        let whole = self.to_string();
        ESXI.iter().any(|(_, layout)| *layout == whole)
    }

    fn first(&self) -> XkbLayout {
        *self.0.first().expect("a keyboard has a layout")
    }

    fn joined(&self, one: impl Fn(&XkbLayout) -> String) -> String {
        self.0.iter().map(one).collect::<Vec<_>>().join(",")
    }
}

/// The layouts with which ESXi's keyboards are named here, in alphabetical order.
pub fn esxi_layouts() -> Vec<&'static str> {
    let mut layouts: Vec<&str> = ESXI.iter().map(|(_, layout)| *layout).collect();
    layouts.sort_unstable();
    layouts
}

impl fmt::Display for XkbLayout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.variant {
            Some(variant) => write!(f, "{}({variant})", self.name),
            None => f.write_str(self.name),
        }
    }
}

impl fmt::Display for Keyboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.joined(XkbLayout::to_string))
    }
}

impl FromStr for Keyboard {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        let mut layouts = Vec::new();
        for part in text.split(',') {
            let of_part = layouts_of(part.trim()).ok_or_else(|| unknown(text))?;
            layouts.extend(of_part);
        }
        match layouts.len() {
            1..=MAX_LAYOUTS if text.trim() == text => Ok(Keyboard(layouts)),
            1..=MAX_LAYOUTS => Err(UnknownName::suggesting(text, WHAT, text.trim())),
            _ => {
                let help = format!("at most {MAX_LAYOUTS} layouts can be set");
                Err(UnknownName::new(text, WHAT, help))
            }
        }
    }
}

/// The layouts that one name stands for.
fn layouts_of(name: &str) -> Option<Vec<XkbLayout>> {
    if let Some(layout) = xkb(name) {
        return Some(vec![layout]);
    }
    let parts = OTHER_NAMES.get(name)?.split(',');
    parts.map(xkb).collect()
}

/// A layout of XKB: `de`, `de(nodeadkeys)`, `de (nodeadkeys)` as Anaconda writes it, or `de-nodeadkeys` as the keymaps that Fedora
/// makes from XKB's layouts are named.
fn xkb(name: &str) -> Option<XkbLayout> {
    let (layout, variant) = match name.split_once(['(', '-']) {
        None => (name, None),
        Some((layout, variant)) if name.contains('(') => {
            (layout.trim_end(), Some(variant.strip_suffix(')')?.trim()))
        }
        Some((layout, variant)) => (layout, Some(variant)),
    };
    let (name, variants) = LAYOUTS.get_key_value(layout)?;
    let variant = match variant {
        None => None,
        Some(variant) => Some(*variants.iter().find(|known| **known == variant)?),
    };
    Some(XkbLayout { name, variant })
}

fn unknown(text: &str) -> UnknownName {
    let mut parts = text.split(',').map(str::trim);
    let wrong = parts.find(|part| layouts_of(part).is_none());
    let wrong = wrong.unwrap_or(text);
    let layout = wrong
        .split(['(', '-', '_', ':', '/', ' '])
        .next()
        .unwrap_or(wrong);
    let whole = |name: &str, variant: &str| format!("{name}({variant})");
    let other = OTHER_NAMES.keys().find(|name| plain(name) == plain(wrong));
    if let Some(name) = other.and_then(|name| layouts_of(name)) {
        return UnknownName::suggesting(text, WHAT, &Keyboard(name).to_string());
    }
    // A known layout with an unknown variant, or with another separator.
    if let Some((name, variants)) = LAYOUTS.get_key_value(layout).filter(|_| wrong != layout) {
        let variant = &wrong[layout.len()..];
        let known = variants.iter().copied();
        return match similar(variant.trim_matches(|c: char| !c.is_alphanumeric()), known) {
            Some(variant) => UnknownName::suggesting(text, WHAT, &whole(name, variant)),
            None => UnknownName::new(text, WHAT, variants_help(name, variants)),
        };
    }
    let names = LAYOUTS.keys().chain(OTHER_NAMES.keys()).copied();
    // Layouts have two letters: each is similar to many.
    let similar = match wrong.len() {
        0..=3 => LAYOUTS
            .keys()
            .copied()
            .find(|name| plain(name) == plain(wrong)),
        _ => similar(wrong, names),
    };
    match similar.and_then(layouts_of) {
        Some(layouts) => UnknownName::suggesting(text, WHAT, &Keyboard(layouts).to_string()),
        None => UnknownName::new(
            text,
            WHAT,
            "write a layout of XKB such as `us` or `de(nodeadkeys)`",
        ),
    }
}

fn variants_help(layout: &str, variants: &[&str]) -> String {
    match variants {
        [] => format!("`{layout}` has no variants"),
        _ => format!("variants of `{layout}`: {}", variants.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyboard(text: &str) -> Keyboard {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error:?}"))
    }

    #[test]
    fn a_keyboard_has_a_name_in_every_system() {
        // Written; XKB; Anaconda; Debian's installer; ESXi. `~`: not the whole keyboard.
        for (text, xkb, xlayouts, debian, esxi) in [
            ("us", "us", "us", "us", "US Default"),
            ("gb", "gb", "gb", "gb", "United Kingdom"),
            ("uk", "gb", "gb", "gb", "United Kingdom"),
            ("United Kingdom", "gb", "gb", "gb", "United Kingdom"),
            ("de", "de", "de", "de", "German"),
            ("German", "de", "de", "de", "German"),
            ("de-latin1", "de", "de", "de", "German"),
            (
                "de(nodeadkeys)",
                "de(nodeadkeys)",
                "de (nodeadkeys)",
                "~de",
                "~German",
            ),
            (
                "de (nodeadkeys)",
                "de(nodeadkeys)",
                "de (nodeadkeys)",
                "~de",
                "~German",
            ),
            (
                "de-nodeadkeys",
                "de(nodeadkeys)",
                "de (nodeadkeys)",
                "~de",
                "~German",
            ),
            (
                "de-latin1-nodeadkeys",
                "de(nodeadkeys)",
                "de (nodeadkeys)",
                "~de",
                "~German",
            ),
            ("Swiss German", "ch", "ch", "ch", "Swiss German"),
            ("ch(fr)", "ch(fr)", "ch (fr)", "ch(fr)", "Swiss French"),
            ("fr_CH", "ch(fr)", "ch (fr)", "ch(fr)", "Swiss French"),
            ("ch-fr", "ch(fr)", "ch (fr)", "ch(fr)", "Swiss French"),
            ("fr", "fr", "fr", "~fr(latin9)", "French"),
            (
                "fr-latin9",
                "fr(latin9)",
                "fr (latin9)",
                "fr(latin9)",
                "~French",
            ),
            (
                "dvorak",
                "us(dvorak)",
                "us (dvorak)",
                "us(dvorak)",
                "US Dvorak",
            ),
            (
                "us-dvorak",
                "us(dvorak)",
                "us (dvorak)",
                "us(dvorak)",
                "US Dvorak",
            ),
            (
                "us(altgr-intl)",
                "us(altgr-intl)",
                "us (altgr-intl)",
                "~us",
                "~US Default",
            ),
            (
                "us-altgr-intl",
                "us(altgr-intl)",
                "us (altgr-intl)",
                "~us",
                "~US Default",
            ),
            ("br-abnt2", "br", "br", "br", "Brazilian"),
            ("jp106", "jp", "jp", "jp", "Japanese"),
            ("sv-latin1", "se", "se", "se", "Swedish"),
            ("sv", "se", "se", "se", "Swedish"),
            ("la-latin1", "latam", "latam", "latam", "Latin American"),
            ("hu", "hu", "hu", "hu", "-"),
            ("am", "am", "am", "~us", "-"),
            ("ru", "ru", "ru", "ru", "Russian"),
            ("us,ru", "us,ru", "us,ru", "~us", "~US Default"),
            (
                "us, de(neo)",
                "us,de(neo)",
                "us,de (neo)",
                "~us",
                "~US Default",
            ),
        ] {
            let keyboard = keyboard(text);
            assert_eq!(keyboard.to_string(), xkb, "{text}");
            assert_eq!(keyboard.xlayouts(), xlayouts, "{text}");
            let mark = |whole: bool| if whole { "" } else { "~" };
            let found = mark(keyboard.is_debian_keymap()).to_string() + keyboard.debian_keymap();
            assert_eq!(found, debian, "{text}");
            let found = keyboard
                .esxi_name()
                .map(|name| mark(keyboard.is_esxi_keyboard()).to_string() + name);
            assert_eq!(found.as_deref().unwrap_or("-"), esxi, "{text}");
        }
    }

    #[test]
    fn layouts_and_variants_are_separate_lists_for_xorg() {
        for (text, expected) in [
            ("us", ("us", "", "")),
            ("de(nodeadkeys)", ("de", "nodeadkeys", "")),
            ("us,ru", ("us,ru", "", "grp:alt_shift_toggle")),
            ("us,de(neo)", ("us,de", ",neo", "grp:alt_shift_toggle")),
        ] {
            let keyboard = keyboard(text);
            let found = (keyboard.layout(), keyboard.variant(), keyboard.options());
            assert_eq!(
                (found.0.as_str(), found.1.as_str(), found.2),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn every_name_of_every_table_is_a_keyboard() {
        for name in OTHER_NAMES.keys() {
            keyboard(name);
            assert!(!LAYOUTS.contains_key(name), "`{name}` is a layout of XKB");
        }
        for (name, variants) in LAYOUTS.iter() {
            assert_eq!(keyboard(name).to_string(), *name);
            for variant in variants {
                let whole = format!("{name}({variant})");
                assert_eq!(keyboard(&whole).to_string(), whole);
            }
        }
        // XKB has no variant `la` of `dz` any more.
        for name in DEBIAN.iter().filter(|name| **name != "dz(la)") {
            assert_eq!(keyboard(name).debian_keymap(), *name);
        }
        for (name, layout) in ESXI {
            assert_eq!(keyboard(layout).esxi_name(), Some(name));
        }
        assert!(LAYOUTS.len() > 90 && OTHER_NAMES.len() > 60);
    }

    #[test]
    fn an_unknown_keyboard_has_a_suggestion_if_one_is_plain() {
        let general = "write a layout of XKB such as `us` or `de(nodeadkeys)`";
        for (text, help) in [
            ("DE", "did you mean `de`?"),
            ("german", "did you mean `de`?"),
            ("us-default", "did you mean `us`?"),
            ("Swis German", "did you mean `ch`?"),
            ("de(nodeadkey)", "did you mean `de(nodeadkeys)`?"),
            ("de/nodeadkeys", "did you mean `de(nodeadkeys)`?"),
            ("de:nodeadkeys", "did you mean `de(nodeadkeys)`?"),
            ("de nodeadkeys", "did you mean `de(nodeadkeys)`?"),
            ("de_nodeadkeys", "did you mean `de(nodeadkeys)`?"),
            ("de(nodeadkeys", "did you mean `de(nodeadkeys)`?"),
            ("us ", "did you mean `us`?"),
            ("vn(klingon)", "variants of `vn`: fr, us"),
            ("bn(x)", general),
            ("klingon", general),
            ("xx", general),
            ("uss", general),
            ("", general),
            ("us,,de", general),
            ("us\nreboot", general),
            ("us,de,fr,it,es", "at most 4 layouts can be set"),
            (&"x".repeat(10_000), general),
        ] {
            let error = text.parse::<Keyboard>().unwrap_err();
            assert_eq!(error.help, help, "{text}");
            assert!(!error.message.contains('\n') && error.message.len() < 80);
        }
    }
}
