//! Durations and sizes in their usual notation: `30m`, `16GiB`.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A duration: `90s`, `30m`, `1h30m`, `2d`. Whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeSpan(pub Duration);

/// A number of bytes: `512`, `16GiB`, `1.5TB` (KB, MB, GB, TB in thousands; KiB … TiB in 1,024s).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Why a text is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    #[error("`{0}` is not a span of time: expected such as `90s`, `30m`, `1h30m`, `2d`")]
    Span(String),
    #[error("`{0}` is not a size: expected such as `512MiB`, `16GiB`, `1.5TB`")]
    Size(String),
}

impl TimeSpan {
    pub const fn seconds(seconds: u64) -> Self {
        TimeSpan(Duration::from_secs(seconds))
    }

    pub const fn minutes(minutes: u64) -> Self {
        TimeSpan::seconds(minutes * 60)
    }

    /// Formats the duration exactly, in the notation of the configuration: `1h30m`.
    pub fn written(&self) -> String {
        let mut seconds = self.0.as_secs();
        let mut text = String::new();
        for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
            if seconds >= length {
                text += &format!("{}{unit}", seconds / length);
                seconds %= length;
            }
        }
        if text.is_empty() { "0s".into() } else { text }
    }

    pub const fn hours(hours: u64) -> Self {
        TimeSpan::minutes(hours * 60)
    }
}

impl From<TimeSpan> for Duration {
    fn from(span: TimeSpan) -> Self {
        span.0
    }
}

impl FromStr for TimeSpan {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Span(text.into());
        let mut rest = text.trim();
        let mut seconds = 0u64;
        while !rest.is_empty() {
            let (number, after) = leading(rest, |c| c.is_ascii_digit());
            let (unit, after) = leading(after.trim_start(), |c| c.is_ascii_alphabetic());
            let factor = match unit {
                "s" => 1,
                "m" | "min" => 60,
                "h" => 3_600,
                "d" => 86_400,
                _ => return Err(wrong()),
            };
            let number: u64 = number.parse().map_err(|_| wrong())?;
            seconds = number
                .checked_mul(factor)
                .and_then(|part| part.checked_add(seconds))
                .ok_or_else(wrong)?;
            rest = after.trim_start();
        }
        // A hundred years. More is a mistake of the operator, and could overflow calculations with clocks.
        let sane = !text.trim().is_empty() && seconds <= 100 * 366 * 86_400;
        sane.then_some(TimeSpan::seconds(seconds)).ok_or_else(wrong)
    }
}

fn leading(text: &str, fits: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !fits(c)).unwrap_or(text.len()))
}

impl fmt::Display for TimeSpan {
    /// Formats the largest unit that is not zero, rounded down: `4 m`, `3 d`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_secs() {
            seconds @ ..60 => write!(f, "{seconds} s"),
            seconds @ ..3_600 => write!(f, "{} m", seconds / 60),
            seconds @ ..172_800 => write!(f, "{} h", seconds / 3_600),
            seconds => write!(f, "{} d", seconds / 86_400),
        }
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let wrong = || UnitError::Size(text.into());
        let (number, unit) = leading(text.trim(), |c| c.is_ascii_digit() || c == '.');
        let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "k" | "kib" => 1 << 10,
            "m" | "mib" => 1 << 20,
            "g" | "gib" => 1 << 30,
            "t" | "tib" => 1 << 40,
            "kb" => 1_000,
            "mb" => 1_000_000,
            "gb" => 1_000_000_000,
            "tb" => 1_000_000_000_000,
            _ => return Err(wrong()),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(ByteSize).ok_or_else(wrong);
        }
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let bytes = number * factor as f64;
        if bytes < (1u64 << 60) as f64 {
            Ok(ByteSize(bytes as u64))
        } else {
            Err(wrong())
        }
    }
}

impl ByteSize {
    /// Formats the size exactly, in the notation of the configuration: `16GiB`, otherwise in bytes.
    pub fn written(&self) -> String {
        let units = [
            ("TiB", 1u64 << 40),
            ("GiB", 1 << 30),
            ("MiB", 1 << 20),
            ("TB", 1_000_000_000_000),
            ("GB", 1_000_000_000),
            ("MB", 1_000_000),
            ("KiB", 1 << 10),
        ];
        let fits = units
            .iter()
            .find(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size));
        fits.map_or_else(
            || self.0.to_string(),
            |(unit, size)| format!("{}{unit}", self.0 / size),
        )
    }
}

impl fmt::Display for ByteSize {
    /// Formats in powers of 1000 with one decimal: `1.9 kB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ ..1_000 => write!(f, "{bytes} B"),
            bytes @ ..1_000_000 => write!(f, "{:.1} kB", bytes as f64 / 1e3),
            bytes @ ..1_000_000_000 => write!(f, "{:.1} MB", bytes as f64 / 1e6),
            bytes => write!(f, "{:.1} GB", bytes as f64 / 1e9),
        }
    }
}

macro_rules! from_text {
    ($($type:ident $what:literal)*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.written())
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Visitor;
                impl de::Visitor<'_> for Visitor {
                    type Value = $type;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str($what)
                    }
                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Visitor)
            }
        }
    )*};
}

from_text! {
    TimeSpan "a span of time such as \"30m\""
    ByteSize "a size such as \"16GiB\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed_in_the_usual_notation() {
        for (text, seconds) in [
            ("90s", 90),
            ("30m", 1_800),
            ("1h30m", 5_400),
            ("1 h 30 m", 5_400),
            ("2d", 172_800),
        ] {
            assert_eq!(text.parse(), Ok(TimeSpan::seconds(seconds)), "{text}");
        }
        for text in ["", "30", "m", "5 weeks", "-1m", "99999999999d"] {
            assert_eq!(text.parse::<TimeSpan>(), Err(UnitError::Span(text.into())));
        }
    }

    #[test]
    fn sizes_are_parsed_in_the_usual_notation() {
        for (text, bytes) in [
            ("512", 512),
            ("16GiB", 16 << 30),
            ("16 g", 16 << 30),
            ("1.5TB", 1_500_000_000_000),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "GiB", "1..5G", "1 parsec", "99999999999999TB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(UnitError::Size(text.into())));
        }
    }
}
