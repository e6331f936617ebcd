//! A map with one value for each machine.

use std::{
    collections::{HashMap, hash_map},
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
    ops::Index,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::MachineId;

/// A map with one value for each machine. It is a hash map because one boot makes many lookups.
///
/// The order of [`MachineMap::values`] is undefined. Whatever is written or hashed, or depends on the order of machines, uses
/// [`MachineMap::ids`] or [`MachineMap::in_order`].
#[derive(Clone, PartialEq, Eq)]
pub struct MachineMap<T>(HashMap<MachineId, T, BuildHasherDefault<PassthroughHasher>>);

/// Uses a machine's number as its hash. The server chooses the numbers at random, so no client can cause collisions.
#[derive(Clone, Copy, Default)]
struct PassthroughHasher(u64);

impl Hasher for PassthroughHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

impl<T> MachineMap<T> {
    pub fn get(&self, id: MachineId) -> Option<&T> {
        self.0.get(&id)
    }

    pub fn get_mut(&mut self, id: MachineId) -> Option<&mut T> {
        self.0.get_mut(&id)
    }

    pub fn contains(&self, id: MachineId) -> bool {
        self.0.contains_key(&id)
    }

    /// Sets a machine's value. Returns the earlier one.
    pub fn insert(&mut self, id: MachineId, value: T) -> Option<T> {
        self.0.insert(id, value)
    }

    pub fn remove(&mut self, id: MachineId) -> Option<T> {
        self.0.remove(&id)
    }

    pub fn get_or_insert_with(&mut self, id: MachineId, make: impl FnOnce() -> T) -> &mut T {
        self.0.entry(id).or_insert_with(make)
    }

    /// Returns all values, in undefined order.
    pub fn values(&self) -> hash_map::Values<'_, MachineId, T> {
        self.0.values()
    }

    pub fn values_mut(&mut self) -> hash_map::ValuesMut<'_, MachineId, T> {
        self.0.values_mut()
    }

    /// Returns all numbers in ascending order.
    pub fn ids(&self) -> Vec<MachineId> {
        let mut ids: Vec<MachineId> = self.0.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Returns all machines and their values, in ascending order of their numbers.
    pub fn in_order(&self) -> impl Iterator<Item = (MachineId, &T)> {
        self.ids().into_iter().map(|id| (id, &self.0[&id]))
    }
}

impl<T> Default for MachineMap<T> {
    fn default() -> Self {
        MachineMap(HashMap::default())
    }
}

impl<T> Index<MachineId> for MachineMap<T> {
    type Output = T;

    fn index(&self, id: MachineId) -> &T {
        &self.0[&id]
    }
}

impl<T: fmt::Debug> fmt::Debug for MachineMap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.in_order()).finish()
    }
}

impl<T: Hash> Hash for MachineMap<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.len().hash(state);
        self.in_order().for_each(|pair| pair.hash(state));
    }
}

impl<T: Serialize> Serialize for MachineMap<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.in_order())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for MachineMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        HashMap::deserialize(deserializer).map(MachineMap)
    }
}

#[cfg(test)]
mod tests {
    use std::hash::DefaultHasher;

    use super::*;

    #[test]
    fn it_is_written_and_hashed_in_order_of_numbers() {
        let filled = |ids: &[u64]| {
            let mut map = MachineMap::default();
            for id in ids {
                map.insert(MachineId(*id), id.to_string());
            }
            map
        };
        let (mut one, other) = (
            filled(&[3, 1, 99, u64::MAX, 2]),
            filled(&[2, u64::MAX, 3, 1]),
        );
        assert_ne!(one, other);
        assert_eq!(one.remove(MachineId(99)).as_deref(), Some("99"));
        assert_eq!(one, other);
        let hash = |map: &MachineMap<String>| {
            let mut hasher = DefaultHasher::new();
            map.hash(&mut hasher);
            hasher.finish()
        };
        assert_eq!(hash(&one), hash(&other));
        let json = serde_json::to_string(&one).unwrap();
        let expected = r#"{"0000000000000001":"1","0000000000000002":"2","0000000000000003":"3","ffffffffffffffff":"18446744073709551615"}"#;
        assert_eq!(json, expected);
        let read: MachineMap<String> = serde_json::from_str(&json).unwrap();
        assert_eq!(read, one);
        assert_eq!(read.ids(), [1, 2, 3, u64::MAX].map(MachineId));
    }
}
