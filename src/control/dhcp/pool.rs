//! Searches a network's range for a free address.

/// The addresses of a range that were already examined. The caller decides whether an address is free. One that has
/// become free again is found only when no other is left, so the previous client of an address can get it back for
/// as long as possible.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AddressPool {
    /// The ranges: the first address and the size of each.
    ranges: Vec<(u32, u64)>,
    /// One bit per address: whether it was examined.
    examined: Vec<u64>,
    /// The word in which the last free address was found.
    cursor: usize,
}

const BITS: u64 = u64::BITS as u64;
/// A pool of up to this many words is searched in about 100 µs (1,024 addresses).
const MAX_SMALL_WORDS: usize = 16;

impl AddressPool {
    /// Creates the pool of these ranges, with at most `max` addresses.
    pub(crate) fn new(ranges: Vec<(u32, u64)>, max: u64) -> AddressPool {
        let size = ranges.iter().map(|(_, size)| size).sum::<u64>().min(max);
        let mut examined = vec![0; size.div_ceil(BITS) as usize];
        // The last word may have more bits than there are addresses left.
        if let Some(last) = examined.last_mut().filter(|_| size % BITS != 0) {
            *last = u64::MAX << (size % BITS);
        }
        AddressPool {
            ranges,
            examined,
            cursor: 0,
        }
    }

    pub(crate) fn is_of(&self, ranges: &[(u32, u64)]) -> bool {
        self.ranges == ranges
    }

    /// Whether the whole pool is searched quickly.
    pub(crate) fn is_small(&self) -> bool {
        self.examined.len() <= MAX_SMALL_WORDS
    }

    /// Returns the next address for which `is_free` returns true. Each address is examined once per pool, so that a
    /// full range does not slow down every request.
    pub(crate) fn take(&mut self, mut is_free: impl FnMut(u32) -> bool) -> Option<u32> {
        let words = self.examined.len();
        for step in 0..words {
            let at = (self.cursor + step) % words;
            while self.examined[at] != u64::MAX {
                let bit = self.examined[at].trailing_ones();
                self.examined[at] |= 1 << bit;
                let address = self.address(at as u64 * BITS + u64::from(bit));
                if is_free(address) {
                    self.cursor = at;
                    return Some(address);
                }
            }
        }
        None
    }

    fn address(&self, mut index: u64) -> u32 {
        for (first, size) in &self.ranges {
            if index < *size {
                return first + index as u32;
            }
            index -= size;
        }
        unreachable!("an index is in one of the ranges")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_every_range_is_found_once() {
        for sizes in [vec![], vec![1], vec![3, 64], vec![64], vec![65, 1, 200]] {
            let ranges = sizes.iter().enumerate();
            let ranges: Vec<(u32, u64)> = ranges
                .map(|(at, size)| (1_000 * at as u32, *size))
                .collect();
            let all = ranges.iter();
            let all: Vec<u32> = all
                .flat_map(|(first, size)| *first..first + *size as u32)
                .collect();
            let mut pool = AddressPool::new(ranges, 65_536);
            let found: Vec<u32> = std::iter::from_fn(|| pool.take(|_| true)).collect();
            assert_eq!(found, all, "{sizes:?}");
        }
        let mut bounded = AddressPool::new(vec![(0, 1_000)], 70);
        assert_eq!(std::iter::from_fn(|| bounded.take(|_| true)).count(), 70);
    }

    #[test]
    fn an_address_that_is_not_free_is_skipped_and_examined_once() {
        let mut pool = AddressPool::new(vec![(0, 1_000)], 65_536);
        let mut count = 0;
        let mut next = || {
            pool.take(|address| {
                count += 1;
                address % 10 == 9
            })
        };
        assert_eq!([next(), next(), next()], [Some(9), Some(19), Some(29)]);
        assert_eq!(count, 30);
    }
}
