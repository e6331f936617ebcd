//! The one [`Deserializer`] there is, over the tree of values, whatever the file's format.
//!
//! A single value stands for a list of one; a text where an account is wanted is the account's name.

use serde::de::{Deserializer, IntoDeserializer, Visitor};

use crate::{
    model::AT,
    site::tree::{ConfigTree, Shape},
};

use super::{
    access::{ListItems, NameOnly, SingleItem, TableEntries, WithSpan},
    error::ReadError,
};

impl ConfigTree {
    fn wrong(&self, wanted: &str) -> ReadError {
        let mistake =
            ReadError::new(format!("expected {wanted}, found {}", self.what())).at(self.span);
        match &self.shape {
            Shape::List(items) if wanted == TABLE && items.len() > 1 => given_twice(items),
            Shape::Text(text) if wanted == BOOL => match text.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" => mistake.help("write `true`, or `#true` in KDL"),
                "false" | "no" | "off" => mistake.help("write `false`, or `#false` in KDL"),
                _ => mistake,
            },
            Shape::Text(text) if wanted != TABLE && text.parse::<f64>().is_ok() => {
                mistake.help("write it without quotes")
            }
            Shape::Int(_) | Shape::Float(_) if wanted == TEXT => mistake.help("put it in quotes"),
            _ => mistake,
        }
    }

    fn whole<'t, V: Visitor<'t>>(
        &self,
        visitor: V,
        least: i128,
        most: i128,
    ) -> Result<V::Value, ReadError> {
        let Shape::Int(number) = self.shape else {
            return Err(self.wrong("a whole number"));
        };
        if number < least || number > most {
            let range = format!("expected a whole number from {least} to {most}");
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

/// Tables that repeat where one is wanted.
fn given_twice(items: &[ConfigTree]) -> ReadError {
    let mut mistake =
        ReadError::new("this is given twice, and can be given once").at(items[1].span);
    mistake.first = Some(items[0].span);
    mistake.help("keep one of the two")
}

macro_rules! whole_numbers {
    ($($method:ident $type:ty,)*) => {$(
        fn $method<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.whole(visitor, <$type>::MIN.into(), <$type>::MAX.into())
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
            Shape::Int(_) => self.whole(visitor, i64::MIN.into(), u64::MAX.into()),
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
            _ => Err(self.wrong(BOOL)),
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
            _ => Err(self.wrong("a number")),
        }
    }

    fn deserialize_str<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let Shape::Text(text) = &self.shape else {
            return Err(self.wrong(TEXT));
        };
        visitor
            .visit_borrowed_str(text)
            .map_err(|mistake: ReadError| in_full(mistake, text).at(self.span))
    }

    fn deserialize_option<V: Visitor<'t>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.shape {
            Shape::Null => Err(ReadError::new("`null` sets nothing")
                .at(self.span)
                .help("leave the key out")),
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
            _ => Err(self.wrong(TABLE)),
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
            ("User", Shape::Text(_)) => visitor.visit_map(NameOnly(Some(self))),
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
            return Err(self.wrong(TEXT));
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

/// The standard library says of an address only that it is none.
fn in_full(mut mistake: ReadError, text: &str) -> ReadError {
    if mistake.message == "invalid IP address syntax" {
        mistake.message = format!("`{text}` is not an address: expected such as `192.0.2.10`");
    }
    mistake
}
