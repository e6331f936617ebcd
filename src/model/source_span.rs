//! Where in the site a value was written.
//!
//! A [`SourceSpan`] is small and cheap to copy, so every declared value can carry its own. It says nothing of
//! lines and columns: those are worked out from the file's text when somebody wants to read them.

use std::{fmt, marker::PhantomData, ops::Deref};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Names one file of the site. Numbers are given out once and stay with their path across reloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A range of bytes in one file of the site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceSpan {
    /// The file.
    pub file: FileId,
    /// The first byte, counted from 0.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

/// A value and the place where it was written. Two of them are equal when their values are.
#[derive(Clone)]
pub struct Spanned<T> {
    /// What was written.
    pub value: T,
    /// Where.
    pub span: SourceSpan,
}

/// A list that was written in one place, each of its values in a place of its own.
pub type List<T> = Spanned<Vec<Spanned<T>>>;

impl<T> Spanned<T> {
    /// Marks `value` as written at `span`.
    pub fn new(value: T, span: SourceSpan) -> Self {
        Spanned { value, span }
    }

    /// Turns the value into another one that was written at the same place.
    pub fn map<U>(self, turn: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned {
            value: turn(self.value),
            span: self.span,
        }
    }
}

/// The values of a list without their places.
impl<T> List<T> {
    /// Walks the values alone.
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

/// The struct name by which a [`Deserializer`] of ours is asked for a value together with its place.
pub(crate) const AT: &str = "$bootwright::At";

/// A deserializer that knows places answers `deserialize_struct(AT, …)` with a sequence of four: the
/// value, the file's number, the first byte, the byte after the last.
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
