//! A set of a few things.

use std::{
    fmt,
    hash::{Hash, Hasher},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A set of a few things, in order, in as much memory as they need: a site has several such sets for every
/// machine, mostly of one, and a tree's smallest node has room for eleven.
#[derive(Clone)]
pub struct Few<T>(Held<T>);

#[derive(Clone)]
enum Held<T> {
    One(T),
    /// None, or several, in order.
    Many(Box<[T]>),
}

impl<T> Few<T> {
    /// Puts together what is in order already.
    fn of(mut all: Vec<T>) -> Self {
        match (all.len(), all.pop()) {
            (1, Some(one)) => Few(Held::One(one)),
            (_, last) => {
                all.extend(last);
                Few(Held::Many(all.into()))
            }
        }
    }

    fn into_vec(self) -> Vec<T> {
        match self.0 {
            Held::One(one) => vec![one],
            Held::Many(all) => all.into_vec(),
        }
    }

    fn as_slice(&self) -> &[T] {
        match &self.0 {
            Held::One(one) => std::slice::from_ref(one),
            Held::Many(all) => all,
        }
    }

    /// Everything in it, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.as_slice().iter()
    }

    /// The least of them.
    pub fn first(&self) -> Option<&T> {
        self.as_slice().first()
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Tells whether there is none.
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    /// Keeps those alone that fit.
    pub fn retain(&mut self, fits: impl FnMut(&T) -> bool) {
        let mut all = std::mem::take(self).into_vec();
        all.retain(fits);
        *self = Few::of(all);
    }
}

impl<T: Ord> Few<T> {
    /// Tells whether it holds `one`.
    pub fn contains(&self, one: &T) -> bool {
        self.as_slice().binary_search(one).is_ok()
    }

    /// Adds one; returns whether it was new.
    pub fn insert(&mut self, one: T) -> bool {
        let Err(at) = self.as_slice().binary_search(&one) else {
            return false;
        };
        let mut all = std::mem::take(self).into_vec();
        all.reserve_exact(1);
        all.insert(at, one);
        *self = Few::of(all);
        true
    }

    /// Tells whether `other` holds all of it.
    pub fn is_subset(&self, other: &Few<T>) -> bool {
        self.iter().all(|one| other.contains(one))
    }

    /// Tells whether `other` holds nothing of it.
    pub fn is_disjoint(&self, other: &Few<T>) -> bool {
        !self.iter().any(|one| other.contains(one))
    }

    /// What `other` does not hold.
    pub fn difference<'a>(&'a self, other: &'a Few<T>) -> impl Iterator<Item = &'a T> {
        self.iter().filter(|one| !other.contains(one))
    }

    /// What both hold.
    pub fn intersection<'a>(&'a self, other: &'a Few<T>) -> impl Iterator<Item = &'a T> {
        self.iter().filter(|one| other.contains(one))
    }
}

impl<T> Default for Few<T> {
    fn default() -> Self {
        Few(Held::Many(Box::default()))
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Self) -> bool {
        self.as_slice() == other.as_slice()
    }
}

impl<T: Eq> Eq for Few<T> {}

impl<T: Hash> Hash for Few<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_slice().hash(state);
    }
}

impl<T: fmt::Debug> fmt::Debug for Few<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl<T: Ord> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(all: I) -> Self {
        let mut all = all.into_iter();
        let (Some(first), second) = (all.next(), all.next()) else {
            return Few::default();
        };
        let Some(second) = second else {
            return Few(Held::One(first));
        };
        let mut all: Vec<T> = [first, second].into_iter().chain(all).collect();
        all.sort_unstable();
        all.dedup();
        Few::of(all)
    }
}

impl<T: Ord> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, all: I) {
        for one in all {
            self.insert(one);
        }
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_vec().into_iter()
    }
}

impl<'a, T> IntoIterator for &'a Few<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: Serialize> Serialize for Few<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_slice().serialize(serializer)
    }
}

impl<'de, T: Ord + Deserialize<'de>> Deserialize<'de> for Few<T> {
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
        fn it_is_a_set(one: Vec<u8>, other: Vec<u8>, added: Vec<u8>) {
            let tree = |from: &[u8]| -> BTreeSet<u8> { from.iter().copied().collect() };
            let few = |from: &[u8]| -> Few<u8> { from.iter().copied().collect() };
            let (mut trees, others) = (tree(&one), tree(&other));
            let (mut fews, other) = (few(&one), few(&other));
            prop_assert_eq!(fews.is_subset(&other), trees.is_subset(&others));
            prop_assert_eq!(fews.is_disjoint(&other), trees.is_disjoint(&others));
            prop_assert!(fews.difference(&other).eq(trees.difference(&others)));
            prop_assert!(fews.intersection(&other).eq(trees.intersection(&others)));
            for value in added {
                prop_assert_eq!(fews.insert(value), trees.insert(value));
            }
            trees.retain(|value| value % 2 == 0);
            fews.retain(|value| value % 2 == 0);
            prop_assert!(fews.iter().eq(&trees));
            prop_assert_eq!((fews.len(), fews.first()), (trees.len(), trees.first()));
            let json = serde_json::to_string(&trees).unwrap();
            prop_assert_eq!(serde_json::to_string(&fews).unwrap(), json.clone());
            prop_assert_eq!(serde_json::from_str::<Few<u8>>(&json).unwrap(), fews);
        }
    }
}
