//! The [`Deserializer`] for trees of values, which is the same for all file formats.
//!
//! A single value is read as a list with one item. A text in place of a user is read as the user's name, and a value in place
//! of the table of a DHCP option as its `value`.

use serde::de::{Deserializer, IntoDeserializer, Visitor};

use crate::{
    model::AT,
    site::tree::{ConfigTree, Shape},
};

use super::{
    access::{ListItems, OnlyKey, SingleItem, TableEntries, WithSpan},
    error::ReadError,
};

impl ConfigTree {
    fn unexpected(&self, expected: &str) -> ReadError {
        let mistake =
            ReadError::new(format!("expected {expected}, found {}", self.describe())).at(self.span);
        match &self.shape {
            Shape::List(items) if expected == TABLE && items.len() > 1 => repeated(items),
            Shape::Text(text) if expected == BOOL => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => mistake.help("write `true`, or `#true` in KDL"),
                "false" | "no" | "off" => mistake.help("write `false`, or `#false` in KDL"),
                _ => mistake,
            },
            Shape::Text(text) if expected != TABLE && text.parse::<f64>().is_ok() => {
                mistake.help("write it without quotes")
            }
            Shape::Int(_) | Shape::Float(_) if expected == TEXT => mistake.help("put it in quotes"),
            _ => mistake,
        }
    }

    fn whole_number<'t, V: Visitor<'t>>(
        &self,
        visitor: V,
        min: i128,
        max: i128,
    ) -> Result<V::Value, ReadError> {
        let Shape::Int(number) = self.shape else {
            return Err(self.unexpected("a whole number"));
        };
        if number < min || number > max {
            let range = format!("expected a whole number from {min} to {max}");
            return Err(
                ReadError::new(format!("`{number}` is out of range: {range}")).at(self.span),
            );
        }
        let visited = match (u64::try_from(number), i64::try_from(number)) {
            (Ok(number), _) => visitor.visit_u64(number),
            (_, Ok(number)) => visitor.visit_i64(number),
            _ => unreachable!("every requested range is in one of the two"),
        };
        visited.map_err(|mistake: ReadError| mistake.at(self.span))
    }
}

const TABLE: &str = "a table";
const TEXT: &str = "text";
const BOOL: &str = "true or false";

/// Returns the error for a repeated table where only one is allowed.
fn repeated(items: &[ConfigTree]) -> ReadError {
    let mut mistake =
        ReadError::new("this is set twice, but can be set only once").at(items[1].span);
    mistake.first = Some(items[0].span);
    mistake.help("keep one of the two")
}

macro_rules! whole_numbers {
    ($($method:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.whole_number(visitor, <$type>::MIN.into(), <$type>::MAX.into())
        }
    )*};
}

macro_rules! same_as {
    ($($method:ident($($argument:ident: $type:ty),*) $other:ident;)*) => {$(
        fn $method<V: Visitor<'t>>(self, $($argument: $type,)* visitor: V) -> Result<V::Value, ReadError> {
            self.$other(visitor)
        }
    )*};
}

impl<'t> Deserializer<'t> for &'t ConfigTree {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.shape {
            Shape::Null => visitor.visit_unit(),
            Shape::Bool(value) => visitor.visit_bool(*value),
            Shape::Int(_) => self.whole_number(visitor, i64::MIN.into(), u64::MAX.into()),
            Shape::Float(number) => visitor.visit_f64(*number),
            Shape::Text(text) => visitor.visit_borrowed_str(text),
            Shape::List(items) => visitor.visit_seq(ListItems(items.iter().enumerate())),
            Shape::Map(entries) => visitor.visit_map(TableEntries::new(entries)),
        }
        .map_err(|mistake: ReadError| mistake.at(self.span))
    }

    fn deserialize_bool<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.shape {
            Shape::Bool(value) => visitor.visit_bool(value),
            _ => Err(self.unexpected(BOOL)),
        }
    }

    whole_numbers! {
        deserialize_i8 i8, deserialize_i16 i16, deserialize_i32 i32, deserialize_i64 i64,
        deserialize_u8 u8, deserialize_u16 u16, deserialize_u32 u32, deserialize_u64 u64,
    }

    fn deserialize_f64<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.shape {
            Shape::Float(number) => visitor.visit_f64(number),
            Shape::Int(number) => visitor.visit_f64(number as f64),
            _ => Err(self.unexpected("a number")),
        }
    }

    fn deserialize_str<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Shape::Text(text) = &self.shape else {
            return Err(self.unexpected(TEXT));
        };
        visitor
            .visit_borrowed_str(text)
            .map_err(|mistake: ReadError| with_address(mistake, text).at(self.span))
    }

    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.shape {
            Shape::Null => Err(ReadError::new("`null` is not allowed")
                .at(self.span)
                .help("omit the key")),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'t>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.shape {
            Shape::List(items) => visitor.visit_seq(ListItems(items.iter().enumerate())),
            _ => visitor.visit_seq(SingleItem(Some(self))),
        }
    }

    fn deserialize_map<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match &self.shape {
            Shape::Map(entries) => visitor
                .visit_map(TableEntries::new(entries))
                .map_err(|mistake| mistake.at(self.span)),
            _ => Err(self.unexpected(TABLE)),
        }
    }

    fn deserialize_struct<V: Visitor<'t>>(
        self,
        name: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match (name, &self.shape) {
            (AT, _) => visitor.visit_seq(WithSpan {
                tree: self,
                step: 0,
            }),
            ("User", Shape::Text(_)) => visitor.visit_map(OnlyKey("name", Some(self))),
            ("DhcpOptionSetting", Shape::Map(_)) => self.deserialize_map(visitor),
            ("DhcpOptionSetting", _) => visitor.visit_map(OnlyKey("value", Some(self))),
            _ => self.deserialize_map(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'t>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let Shape::Text(text) = &self.shape else {
            return Err(self.unexpected(TEXT));
        };
        visitor
            .visit_enum(text.as_str().into_deserializer())
            .map_err(|mistake: ReadError| mistake.at(self.span))
    }

    fn deserialize_ignored_any<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_unit()
    }

    same_as! {
        deserialize_f32() deserialize_f64;
        deserialize_char() deserialize_str;
        deserialize_string() deserialize_str;
        deserialize_identifier() deserialize_str;
        deserialize_bytes() deserialize_any;
        deserialize_byte_buf() deserialize_any;
        deserialize_unit() deserialize_any;
        deserialize_unit_struct(_name: &'static str) deserialize_any;
        deserialize_tuple(_len: usize) deserialize_seq;
        deserialize_tuple_struct(_name: &'static str, _len: usize) deserialize_seq;
    }
}

/// Adds the text to the error message for an IP address, because that of the standard library does not contain it.
fn with_address(mut mistake: ReadError, text: &str) -> ReadError {
    if ["invalid IP address syntax", "invalid IPv4 address syntax"].contains(&&*mistake.message) {
        mistake.message = format!("`{text}` is not an address: expected such as `192.0.2.10`");
    }
    mistake
}
