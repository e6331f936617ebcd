//! Did you mean …?

/// Returns the one of `known` that `text` most likely was meant to be, if one comes close.
pub fn suggest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(text);
    let allowed = (folded.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|name| (distance(&folded, &fold(name)), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Counts edits; a word that only adds to or lacks the other's end or plural counts as one.
fn distance(text: &str, name: &str) -> usize {
    let edits = strsim::damerau_levenshtein(text, name);
    let part = text.len() >= 3
        && (name.split('-').any(|word| word == text) || text.split('-').any(|word| word == name));
    if part { edits.min(1) } else { edits }
}

/// Spelling habits are not mistakes of meaning: `max_count`, `maxCount`, `MAX-COUNT`.
fn fold(text: &str) -> String {
    let mut folded = String::new();
    let mut lower_before = false;
    for c in text.chars() {
        if c.is_uppercase() && lower_before {
            folded.push('-');
        }
        lower_before = c.is_lowercase();
        folded.extend(c.to_lowercase().map(|c| if c == '_' { '-' } else { c }));
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_is_recognized_and_a_stranger_is_not() {
        let known = [
            "hostname",
            "max-count",
            "dns",
            "ntp",
            "root-password-hash",
            "tags",
        ];
        for (text, meant) in [
            ("hostnme", Some("hostname")),
            ("max_count", Some("max-count")),
            ("maxCount", Some("max-count")),
            ("TAGS", Some("tags")),
            ("tag", Some("tags")),
            ("dsn", Some("dns")),
            ("colour", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(suggest(text, known), meant, "{text}");
        }
    }
}
