//! Names of locales: those that glibc supports.
//!
//! `de_DE` is written as `de_DE.UTF-8`: to glibc it is the locale with ISO-8859-1, which Debian's installer replaces and nobody
//! wants by accident. Who wants it writes `de_DE.ISO-8859-1`. Debian's installer accepts only glibc's spelling of a name; glibc
//! itself treats `utf8` and `UTF-8` alike.

use super::{UnknownName, lines, plain, similar};

const WHAT: &str = "a locale";

/// A locale that glibc supports, as its list SUPPORTED names it.
#[derive(Debug, Clone, Copy)]
struct SupportedLocale {
    name: &'static str,
    charset: &'static str,
}

/// The parts of a name: `language_TERRITORY.codeset@modifier`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LocaleParts<'t> {
    place: &'t str,
    codeset: Option<&'t str>,
    modifier: Option<&'t str>,
}

impl<'t> LocaleParts<'t> {
    fn of(name: &'t str) -> Self {
        let (rest, modifier) = split(name, '@');
        let (place, codeset) = split(rest, '.');
        LocaleParts {
            place,
            codeset,
            modifier,
        }
    }
}

fn split(text: &str, at: char) -> (&str, Option<&str>) {
    match text.split_once(at) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

impl SupportedLocale {
    fn parts(self) -> LocaleParts<'static> {
        LocaleParts::of(self.name)
    }

    fn is_utf8(self) -> bool {
        self.charset == "UTF-8"
    }
}

/// Returns glibc's spelling of a locale.
pub fn supported_locale(text: &str) -> Result<&'static str, UnknownName> {
    if let "C" | "POSIX" = text {
        return Ok("C");
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_.@-".contains(c);
    let found = find(LocaleParts::of(text)).filter(|_| text.chars().all(is_plain));
    found.ok_or_else(|| unknown(text))
}

/// The line of `/etc/locale.gen` for a locale of the list: its name and its character set. None for those that are part of
/// glibc.
pub fn locale_gen_line(name: &str) -> Option<String> {
    let known = supported().find(|known| known.name == name && name != "C.UTF-8")?;
    Some(format!("{} {}", known.name, known.charset))
}

fn supported() -> impl Iterator<Item = SupportedLocale> + Clone {
    lines(include_str!("locales.txt"))
        .filter_map(|line| line.split_once(' '))
        .map(|(name, charset)| SupportedLocale { name, charset })
}

fn find(wanted: LocaleParts<'_>) -> Option<&'static str> {
    let mut of_place = supported().filter(|known| {
        let parts = known.parts();
        parts.place == wanted.place && parts.modifier == wanted.modifier
    });
    let found = match wanted.codeset {
        Some(codeset) => of_place.find(|known| plain(known.charset) == plain(codeset)),
        None => {
            let first = of_place.clone().next();
            of_place.find(|known| known.is_utf8()).or(first)
        }
    };
    found.map(|known| known.name)
}

fn unknown(text: &str) -> UnknownName {
    let wanted = LocaleParts::of(text.trim());
    match nearest(wanted) {
        Some(name) => UnknownName::suggesting(text, WHAT, name),
        None => UnknownName::new(text, WHAT, "write a name such as `en_US.UTF-8`"),
    }
}

/// The locale that an unknown name probably means.
fn nearest(wanted: LocaleParts<'_>) -> Option<&'static str> {
    let place = wanted.place;
    let language = || {
        LANGUAGES
            .iter()
            .find(|(name, _)| plain(name) == plain(place))
    };
    let place = match language() {
        Some((_, language)) => language,
        None => place,
    };
    // `UK` is no country code of ISO 3166.
    let place = match place.rsplit_once(['_', '-']) {
        Some((language, "UK" | "uk")) if plain(language) == "en" => "en_GB",
        _ => place,
    };
    let places = || supported().map(|known| known.parts().place);
    let same = places().find(|known| plain(known) == plain(place));
    let found = same.or_else(|| of_language(place)).or_else(|| {
        // Codes of two letters are similar to many.
        similar(place, places()).filter(|_| place.contains('_'))
    })?;
    find(LocaleParts {
        place: found,
        codeset: None,
        modifier: wanted.modifier,
    })
    .or_else(|| {
        find(LocaleParts {
            place: found,
            codeset: None,
            modifier: None,
        })
    })
}

/// The place of a language without a territory: `de_DE` for `de`, `sv_SE` for `sv`, else the first one in the list.
fn of_language(language: &str) -> Option<&'static str> {
    let language = language.to_ascii_lowercase();
    let own = format!("{language}_{}", language.to_ascii_uppercase());
    let start = format!("{language}_");
    let places = || supported().map(|known| known.parts().place);
    let usual = LANGUAGES.iter().map(|(_, place)| *place);
    let usual = usual.clone().find(|place| place.starts_with(&start));
    let exact = || places().find(|place| *place == own);
    let first = || places().find(|place| place.starts_with(&start));
    usual.or_else(exact).or_else(first)
}

/// Names of languages, as in glibc's locale.alias, each with its usual place, as in Debian's languagelist.
const LANGUAGES: [(&str, &str); 45] = [
    ("arabic", "ar_EG"),
    ("bokmal", "nb_NO"),
    ("brazilian", "pt_BR"),
    ("bulgarian", "bg_BG"),
    ("catalan", "ca_ES"),
    ("chinese", "zh_CN"),
    ("croatian", "hr_HR"),
    ("czech", "cs_CZ"),
    ("danish", "da_DK"),
    ("deutsch", "de_DE"),
    ("dutch", "nl_NL"),
    ("eesti", "et_EE"),
    ("english", "en_US"),
    ("estonian", "et_EE"),
    ("farsi", "fa_IR"),
    ("finnish", "fi_FI"),
    ("french", "fr_FR"),
    ("galician", "gl_ES"),
    ("german", "de_DE"),
    ("greek", "el_GR"),
    ("hebrew", "he_IL"),
    ("hindi", "hi_IN"),
    ("hungarian", "hu_HU"),
    ("icelandic", "is_IS"),
    ("irish", "ga_IE"),
    ("italian", "it_IT"),
    ("japanese", "ja_JP"),
    ("korean", "ko_KR"),
    ("latvian", "lv_LV"),
    ("lithuanian", "lt_LT"),
    ("norwegian", "nb_NO"),
    ("nynorsk", "nn_NO"),
    ("polish", "pl_PL"),
    ("portuguese", "pt_PT"),
    ("romanian", "ro_RO"),
    ("russian", "ru_RU"),
    ("serbian", "sr_RS"),
    ("slovak", "sk_SK"),
    ("slovenian", "sl_SI"),
    ("spanish", "es_ES"),
    ("swedish", "sv_SE"),
    ("thai", "th_TH"),
    ("turkish", "tr_TR"),
    ("ukrainian", "uk_UA"),
    ("vietnamese", "vi_VN"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_name_is_a_locale() {
        let mut count = 0;
        for known in supported() {
            let parts = known.parts();
            let with_charset = LocaleParts {
                codeset: Some(known.charset),
                ..parts
            };
            assert!(find(with_charset).is_some(), "{}", known.name);
            if known.is_utf8() {
                assert_eq!(supported_locale(known.name), Ok(known.name));
            }
            count += 1;
        }
        assert_eq!(count, 500);
    }

    #[test]
    fn a_line_of_locale_gen_has_the_character_set() {
        for (name, line) in [
            ("de_DE.UTF-8", Some("de_DE.UTF-8 UTF-8")),
            ("hi_IN", Some("hi_IN UTF-8")),
            ("de_DE@euro", Some("de_DE@euro ISO-8859-15")),
            ("C", None),
            ("C.UTF-8", None),
        ] {
            assert_eq!(locale_gen_line(name).as_deref(), line);
        }
    }

    #[test]
    fn a_locale_is_written_as_glibc_spells_it() {
        for (text, name) in [
            ("en_US.UTF-8", "en_US.UTF-8"),
            ("en_US.utf8", "en_US.UTF-8"),
            ("de_DE.UTF8", "de_DE.UTF-8"),
            ("de_DE.utf-8", "de_DE.UTF-8"),
            ("de_DE", "de_DE.UTF-8"),
            ("de_DE.ISO-8859-1", "de_DE"),
            ("de_DE.iso88591", "de_DE"),
            ("en_US.ISO-8859-15", "en_US.ISO-8859-15"),
            ("de_DE@euro", "de_DE@euro"),
            ("en_DK.UTF-8", "en_DK.UTF-8"),
            ("hi_IN", "hi_IN"),
            ("hi_IN.UTF-8", "hi_IN"),
            ("ca_ES@valencia", "ca_ES@valencia"),
            ("ca_ES.UTF-8@valencia", "ca_ES@valencia"),
            ("sr_RS.utf8@latin", "sr_RS@latin"),
            ("ja_JP.eucJP", "ja_JP.EUC-JP"),
            ("zh_CN.GB18030", "zh_CN.GB18030"),
            ("C", "C"),
            ("POSIX", "C"),
            ("C.UTF-8", "C.UTF-8"),
            ("C.utf8", "C.UTF-8"),
            ("eo", "eo"),
        ] {
            assert_eq!(supported_locale(text), Ok(name), "{text}");
        }
    }

    #[test]
    fn an_unknown_locale_has_a_suggestion_if_one_is_plain() {
        let general = "write a name such as `en_US.UTF-8`";
        for (text, help) in [
            ("german", "did you mean `de_DE.UTF-8`?"),
            ("de", "did you mean `de_DE.UTF-8`?"),
            ("en", "did you mean `en_US.UTF-8`?"),
            ("sv", "did you mean `sv_SE.UTF-8`?"),
            ("de-DE", "did you mean `de_DE.UTF-8`?"),
            ("de_de.UTF-8", "did you mean `de_DE.UTF-8`?"),
            ("en_UK.UTF-8", "did you mean `en_GB.UTF-8`?"),
            ("de_DE.UTF-88", "did you mean `de_DE.UTF-8`?"),
            ("de_DE.latin1", "did you mean `de_DE.UTF-8`?"),
            ("de_DE.UTF-8@euro", "did you mean `de_DE@euro`?"),
            ("de_DE@eur", "did you mean `de_DE.UTF-8`?"),
            ("en_US.UTF-8 ", "did you mean `en_US.UTF-8`?"),
            ("brazilian", "did you mean `pt_BR.UTF-8`?"),
            ("c.utf-8", "did you mean `C.UTF-8`?"),
            ("", general),
            ("UTF-8", general),
            ("klingon", general),
            ("C\nreboot", general),
            (&"x".repeat(10_000), general),
        ] {
            let error = supported_locale(text).unwrap_err();
            assert_eq!(error.help, help, "{text}");
            assert!(!error.message.contains('\n') && error.message.len() < 80);
        }
    }
}
