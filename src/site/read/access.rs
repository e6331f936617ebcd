//! Serde access to the parts of a value, one by one.

use serde::de::{self, IntoDeserializer};

use crate::{
    model::SourceSpan,
    site::tree::{ConfigTree, TreeEntry},
};

use super::error::ReadError;

/// A value followed by its span, for [`crate::model::Spanned`].
pub(super) struct WithSpan<'t> {
    pub(super) tree: &'t ConfigTree,
    pub(super) step: u8,
}

impl<'t> de::SeqAccess<'t> for WithSpan<'t> {
    type Error = ReadError;

    fn next_element_seed<T: de::DeserializeSeed<'t>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let SourceSpan { file, start, end } = self.tree.span;
        self.step += 1;
        match self.step {
            1 => seed.deserialize(self.tree),
            2 => seed.deserialize(file.0.into_deserializer()),
            3 => seed.deserialize(start.into_deserializer()),
            4 => seed.deserialize(end.into_deserializer()),
            _ => return Ok(None),
        }
        .map(Some)
    }
}

/// The items of a list.
pub(super) struct ListItems<'t>(pub(super) std::iter::Enumerate<std::slice::Iter<'t, ConfigTree>>);

impl<'t> de::SeqAccess<'t> for ListItems<'t> {
    type Error = ReadError;

    fn next_element_seed<T: de::DeserializeSeed<'t>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        let Some((step, tree)) = self.0.next() else {
            return Ok(None);
        };
        let item = seed.deserialize(tree);
        item.map(Some)
            .map_err(|mistake| mistake.at(tree.span).under(step))
    }
}

/// A single value that is read as a list with one item.
pub(super) struct SingleItem<'t>(pub(super) Option<&'t ConfigTree>);

impl<'t> de::SeqAccess<'t> for SingleItem<'t> {
    type Error = ReadError;

    fn next_element_seed<T: de::DeserializeSeed<'t>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        self.0.take().map(|tree| seed.deserialize(tree)).transpose()
    }
}

/// The entries of a table.
pub(super) struct TableEntries<'t> {
    entries: &'t [TreeEntry],
    next: usize,
}

impl<'t> TableEntries<'t> {
    pub(super) fn new(entries: &'t [TreeEntry]) -> Self {
        TableEntries { entries, next: 0 }
    }
}

impl<'t> de::MapAccess<'t> for TableEntries<'t> {
    type Error = ReadError;

    fn next_key_seed<K: de::DeserializeSeed<'t>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        let Some(TreeEntry { key, .. }) = self.entries.get(self.next) else {
            return Ok(None);
        };
        let read = seed.deserialize(de::value::BorrowedStrDeserializer::new(&key.value));
        read.map(Some)
            .map_err(|mistake: ReadError| mistake.at(key.span).under(self.next))
    }

    fn next_value_seed<V: de::DeserializeSeed<'t>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ReadError> {
        let step = self.next;
        self.next += 1;
        let value = &self.entries[step].value;
        seed.deserialize(value)
            .map_err(|mistake| mistake.at(value.span).under(step))
    }
}

/// A value that is read as a table with this one key.
pub(super) struct OnlyKey<'t>(pub(super) &'static str, pub(super) Option<&'t ConfigTree>);

impl<'t> de::MapAccess<'t> for OnlyKey<'t> {
    type Error = ReadError;

    fn next_key_seed<K: de::DeserializeSeed<'t>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        let key = self.1.map(|_| seed.deserialize(self.0.into_deserializer()));
        key.transpose()
    }

    fn next_value_seed<V: de::DeserializeSeed<'t>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, ReadError> {
        seed.deserialize(self.1.take().expect("serde reads a value after its key"))
    }
}
