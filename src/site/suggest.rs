//! Suggests the known name that is most similar to a misspelled one.

/// The length of the longest name that is compared, in bytes. The time of a comparison grows with both lengths.
const MAX_LENGTH: usize = 100;

/// Returns the name in `known` that is most similar to `text`, if any is similar enough.
pub fn suggest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if text.len() > MAX_LENGTH {
        return None;
    }
    let folded = fold(text);
    let allowed = (folded.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .filter(|name| name.len() <= MAX_LENGTH)
        .map(|name| (distance(&folded, &fold(name)), name))
        .filter(|(distance, _)| *distance <= allowed)
        .min()
        .map(|(_, name)| name)
}

/// Counts the edits between two names. If one is a whole word of the other, such as `count` of `max-count`, the count is at
/// most 1.
fn distance(text: &str, name: &str) -> usize {
    let edits = strsim::damerau_levenshtein(text, name);
    let part = text.len() >= 3
        && (name.split('-').any(|word| word == text) || text.split('-').any(|word| word == name));
    if part { edits.min(1) } else { edits }
}

/// Converts a name to lower case with hyphens: `max_count`, `maxCount` and `MAX-COUNT` are the same name.
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
    fn a_similar_word_is_recognized_and_an_unrelated_one_is_not() {
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
