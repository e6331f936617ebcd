//! The names of an enum's variants, as serde has them.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{Error, Visitor},
    forward_to_deserialize_any,
};

/// Returns the serde names of the variants of `T`; none if `T` is not an enum.
pub(super) fn variant_names<T: Deserialize<'static>>() -> &'static [&'static str] {
    match T::deserialize(NameReader) {
        Err(VariantNames(names)) => names,
        Ok(_) => &[],
    }
}

/// Deserializes nothing: a type lists its variants when it requests an enum.
struct NameReader;

/// The names, as the error with which reading ends.
#[derive(Debug)]
struct VariantNames(&'static [&'static str]);

impl<'de> Deserializer<'de> for NameReader {
    type Error = VariantNames;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, VariantNames> {
        Err(VariantNames(variants))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, VariantNames> {
        Err(VariantNames(&[]))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map struct identifier ignored_any
    }
}

impl fmt::Display for VariantNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl std::error::Error for VariantNames {}

impl Error for VariantNames {
    fn custom<T: fmt::Display>(_message: T) -> VariantNames {
        VariantNames(&[])
    }
}
