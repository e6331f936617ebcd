//! The keys of a declared type, as serde's derive lists them.

use serde::de::{self, Deserializer, Visitor};

/// Lists the keys of `T`, a struct whose [`serde::Deserialize`] is derived.
pub fn fields_of<T: de::Deserialize<'static>>() -> &'static [&'static str] {
    T::deserialize(FieldProbe)
        .err()
        .map_or(&[], |FieldList(list)| list)
}

/// A deserializer that reads nothing: its error contains the keys that the type requests.
struct FieldProbe;

/// The error of [`FieldProbe`]: the requested keys.
#[derive(Debug)]
struct FieldList(&'static [&'static str]);

impl std::fmt::Display for FieldList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl std::error::Error for FieldList {}

impl de::Error for FieldList {
    fn custom<T: std::fmt::Display>(_: T) -> Self {
        FieldList(&[])
    }
}

impl Deserializer<'static> for FieldProbe {
    type Error = FieldList;

    fn deserialize_any<V: Visitor<'static>>(self, _: V) -> Result<V::Value, FieldList> {
        Err(FieldList(&[]))
    }

    fn deserialize_struct<V: Visitor<'static>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, FieldList> {
        Err(FieldList(fields))
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'static>>
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Rule, Settings};

    #[test]
    fn a_type_lists_its_keys() {
        let rule = ["order", "enabled", "tags", "when", "accept", "max-count"];
        assert_eq!(fields_of::<Rule>(), rule);
        assert!(fields_of::<Settings>().contains(&"root-password-hash"));
        assert_eq!(fields_of::<String>(), [""; 0]);
    }
}
