//! Where in the site a value was written.
//!
//! A [`SourceSpan`] is small and cheap to copy, so every declared value has one. It contains no line and column:
//! those are computed from the file's text when they are displayed.

use std::{fmt, marker::PhantomData, ops::Deref};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Identifies a file of the site. A path keeps its number across reloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A range of bytes in one file of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceSpan {
    pub file: FileId,
    /// The first byte, counted from 0.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A value and the span where it was written. Only the values are compared.
#[derive(Clone)]
pub struct Spanned<T> {
    pub value: T,
    pub span: SourceSpan,
}

/// A list with its span, and each of its values with its own.
pub type List<T> = Spanned<Vec<Spanned<T>>>;

impl<T> Spanned<T> {
    pub fn new(value: T, span: SourceSpan) -> Self {
        Spanned { value, span }
    }

    /// Converts the value and keeps its span.
    pub fn map<U>(self, convert: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned {
            value: convert(self.value),
            span: self.span,
        }
    }
}

/// The values of a list without their spans.
impl<T> List<T> {
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.value.iter().map(|at| &at.value)
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: Serialize> Serialize for Spanned<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.value.serialize(serializer)
    }
}

/// The struct name that requests a value with its span from our [`Deserializer`].
pub(crate) const AT: &str = "$bootwright::At";

/// Our deserializer answers `deserialize_struct(AT, …)` with a sequence of four: the value, the number of the file,
/// the first byte, and the byte after the last.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Spanned<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_struct(
            AT,
            &["value", "file", "start", "end"],
            AtVisitor(PhantomData),
        )
    }
}

struct AtVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> de::Visitor<'de> for AtVisitor<T> {
    type Value = Spanned<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value with its place")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Spanned<T>, A::Error> {
        let value = seq
            .next_element()?
            .ok_or_else(|| de::Error::invalid_length(0, &self))?;
        let mut number = |n| {
            seq.next_element()?
                .ok_or_else(|| de::Error::invalid_length(n, &"4"))
        };
        let span = SourceSpan {
            file: FileId(number(1)?),
            start: number(2)?,
            end: number(3)?,
        };
        Ok(Spanned { value, span })
    }
}
