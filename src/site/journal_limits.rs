//! The least values of the settings of the journal.

use super::Diagnostic;
use crate::model::{ByteSize, ServerConfig, TimeSpan};

/// The least value of `gap` in `[journal]`: the server stores every five minutes that it runs.
const MIN_GAP: TimeSpan = TimeSpan::minutes(10);

/// The least values of `keep` and `max` in `[journal]`: with less, an installation could not be followed.
const MIN_KEEP: TimeSpan = TimeSpan::hours(1);
const MIN_JOURNAL: ByteSize = ByteSize(16 << 20);

/// Reports settings of the journal that are too small.
pub(super) fn journal_limits(config: &ServerConfig) -> Vec<Diagnostic> {
    let (keep, max) = (&config.journal.keep, &config.journal.max);
    let keep = keep.iter().filter(|keep| keep.value < MIN_KEEP);
    let keep = keep.map(|keep| (keep.span, "keep", MIN_KEEP.written()));
    let max = max.iter().filter(|max| max.value < MIN_JOURNAL);
    let max = max.map(|max| (max.span, "max", MIN_JOURNAL.written()));
    let gap = config.journal.gap.iter().filter(|gap| gap.value < MIN_GAP);
    let gap = gap.map(|gap| (gap.span, "gap", MIN_GAP.written()));
    let too_small = keep.chain(max).chain(gap).map(|(span, key, least)| {
        Diagnostic::error(format!("`{key}` is too small"), span)
            .help(format!("set at least `{least}`"))
    });
    too_small.collect()
}
