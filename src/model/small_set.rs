//! A sorted set that stores its first element inline.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

/// A sorted set of few elements. One element needs no allocation: a site has several such sets for every
/// machine, most of them with one element, and the smallest node of a `BTreeSet` has room for eleven.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SmallSet<T>(SmallVec<[T; 1]>);

impl<T> SmallSet<T> {
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.0.iter()
    }

    /// Returns the smallest element.
    pub fn first(&self) -> Option<&T> {
        self.0.first()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes every element for which `fits` is false.
    pub fn retain(&mut self, mut fits: impl FnMut(&T) -> bool) {
        self.0.retain(|element| fits(element));
        self.0.shrink_to_fit();
    }
}

impl<T: Ord> SmallSet<T> {
    pub fn contains(&self, element: &T) -> bool {
        self.0.binary_search(element).is_ok()
    }

    /// Adds an element and returns whether it was new.
    pub fn insert(&mut self, element: T) -> bool {
        let Err(at) = self.0.binary_search(&element) else {
            return false;
        };
        self.0.reserve_exact(1);
        self.0.insert(at, element);
        true
    }

    pub fn is_subset(&self, other: &SmallSet<T>) -> bool {
        self.iter().all(|element| other.contains(element))
    }

    pub fn is_disjoint(&self, other: &SmallSet<T>) -> bool {
        !self.iter().any(|element| other.contains(element))
    }

    /// Iterates over the elements that `other` does not contain.
    pub fn difference<'a>(&'a self, other: &'a SmallSet<T>) -> impl Iterator<Item = &'a T> {
        self.iter().filter(|element| !other.contains(element))
    }

    /// Iterates over the elements that both sets contain.
    pub fn intersection<'a>(&'a self, other: &'a SmallSet<T>) -> impl Iterator<Item = &'a T> {
        self.iter().filter(|element| other.contains(element))
    }
}

impl<T> Default for SmallSet<T> {
    fn default() -> Self {
        SmallSet(SmallVec::new())
    }
}

impl<T: fmt::Debug> fmt::Debug for SmallSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: Ord> FromIterator<T> for SmallSet<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut elements: SmallVec<[T; 1]> = elements.into_iter().collect();
        elements.sort_unstable();
        elements.dedup();
        elements.shrink_to_fit();
        SmallSet(elements)
    }
}

impl<T: Ord> Extend<T> for SmallSet<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        for element in elements {
            self.insert(element);
        }
    }
}

impl<T> IntoIterator for SmallSet<T> {
    type Item = T;
    type IntoIter = smallvec::IntoIter<[T; 1]>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a SmallSet<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Serialize> Serialize for SmallSet<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(serializer)
    }
}

impl<'de, T: Ord + Deserialize<'de>> Deserialize<'de> for SmallSet<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_behaves_like_a_btree_set(one: Vec<u8>, other: Vec<u8>, added: Vec<u8>) {
            let mut expected: BTreeSet<u8> = one.iter().copied().collect();
            let expected_other: BTreeSet<u8> = other.iter().copied().collect();
            let mut set: SmallSet<u8> = one.into_iter().collect();
            let other: SmallSet<u8> = other.into_iter().collect();
            prop_assert_eq!(set.is_subset(&other), expected.is_subset(&expected_other));
            prop_assert_eq!(set.is_disjoint(&other), expected.is_disjoint(&expected_other));
            prop_assert!(set.difference(&other).eq(expected.difference(&expected_other)));
            prop_assert!(set.intersection(&other).eq(expected.intersection(&expected_other)));
            for value in added {
                prop_assert_eq!(set.insert(value), expected.insert(value));
            }
            expected.retain(|value| value % 2 == 0);
            set.retain(|value| value % 2 == 0);
            prop_assert!(set.iter().eq(&expected));
            prop_assert_eq!((set.len(), set.first()), (expected.len(), expected.first()));
            let json = serde_json::to_string(&expected).unwrap();
            prop_assert_eq!(serde_json::to_string(&set).unwrap(), json.clone());
            prop_assert_eq!(serde_json::from_str::<SmallSet<u8>>(&json).unwrap(), set);
        }
    }
}
