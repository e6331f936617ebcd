//! Time zones, keyboards and locales: which names exist, and what each installer calls them.
//!
//! An operator writes one name for all systems. What every installer does with a name that it does not know is bad: Anaconda
//! sets the time zone `America/New_York`, Debian's installer the keyboard `us`, or it stops and asks. So each name is checked
//! against a list that is part of this program, and written in the form of the system. This module does not decide which settings a
//! task supports.

mod timezone;
mod keyboard;
mod keyboard_names;
mod locale;

pub use keyboard::{Keyboard, esxi_layouts};
pub use locale::{locale_gen_line, supported_locale};
pub use timezone::current_timezone;

use crate::model::SourceSpan;

use super::{Diagnostic, suggest::suggest};

/// Why a text is not a name of a time zone, keyboard or locale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownName {
    pub message: String,
    pub help: String,
}

impl UnknownName {
    /// An error for `text`, which is not `what`.
    fn new(text: &str, what: &str, help: impl Into<String>) -> Self {
        let shown: String = text
            .chars()
            .take(MAX_SHOWN)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        UnknownName {
            message: format!("`{shown}` is not {what}"),
            help: help.into(),
        }
    }

    /// An error that suggests another name.
    fn suggesting(text: &str, what: &str, other: &str) -> Self {
        UnknownName::new(text, what, format!("did you mean `{other}`?"))
    }

    /// The error as a diagnostic at the place of the setting.
    pub fn at(self, span: SourceSpan) -> Diagnostic {
        Diagnostic::error(self.message, span).help(self.help)
    }
}

/// The number of characters of an unknown name that a message quotes.
const MAX_SHOWN: usize = 40;

/// The name in `known` that `text` probably means: one that differs only in case and separators, else a similar one.
fn similar<'a>(text: &str, known: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let plain = plain(text);
    let mut same = known.clone().filter(|name| self::plain(name) == plain);
    same.next().or_else(|| suggest(text, known))
}

/// The letters and digits of a name, in lower case.
fn plain(name: &str) -> String {
    let kept = name.chars().filter(|c| c.is_alphanumeric());
    kept.flat_map(char::to_lowercase).collect()
}

/// The lines of a table, without its comments.
fn lines(table: &'static str) -> impl Iterator<Item = &'static str> + Clone {
    table.lines().filter(|line| !line.starts_with('#'))
}
