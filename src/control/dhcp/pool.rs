//! Where in a network's range a free address is looked for.

/// Which places of a range are known to be taken. What is free in truth is for the caller to say: an address that
/// became free again is found when there is no other, so who had it before finds it free for as long as can be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AddressPool {
    /// The ranges: the first address of each, and how many there are.
    ranges: Vec<(u32, u64)>,
    /// A bit for each place: whether it is taken.
    taken: Vec<u64>,
    /// The word where the last free place was found.
    cursor: usize,
}

const BITS: u64 = u64::BITS as u64;
/// In words: 1,024 places take some 100 us.
const SMALL: usize = 16;

impl AddressPool {
    /// Of these ranges at most `most` places are used.
    pub(crate) fn new(ranges: Vec<(u32, u64)>, most: u64) -> AddressPool {
        let size = ranges.iter().map(|(_, size)| size).sum::<u64>().min(most);
        let mut taken = vec![0; size.div_ceil(BITS) as usize];
        // The last word may have more bits than there are places.
        if let Some(last) = taken.last_mut().filter(|_| size % BITS != 0) {
            *last = u64::MAX << (size % BITS);
        }
        AddressPool {
            ranges,
            taken,
            cursor: 0,
        }
    }

    /// Whether these are its ranges.
    pub(crate) fn is_of(&self, ranges: &[(u32, u64)]) -> bool {
        self.ranges == ranges
    }

    /// Whether all of it is looked through in no time.
    pub(crate) fn is_small(&self) -> bool {
        self.taken.len() <= SMALL
    }

    /// Returns the next address that `is_free`. It is asked of each place at most once in the life of a pool, so
    /// that whoever fills a range does not make every question slower.
    pub(crate) fn take(&mut self, mut is_free: impl FnMut(u32) -> bool) -> Option<u32> {
        let words = self.taken.len();
        for step in 0..words {
            let at = (self.cursor + step) % words;
            while self.taken[at] != u64::MAX {
                let bit = self.taken[at].trailing_ones();
                self.taken[at] |= 1 << bit;
                let address = self.address(at as u64 * BITS + u64::from(bit));
                if is_free(address) {
                    self.cursor = at;
                    return Some(address);
                }
            }
        }
        None
    }

    fn address(&self, mut place: u64) -> u32 {
        for (first, size) in &self.ranges {
            if place < *size {
                return first + place as u32;
            }
            place -= size;
        }
        unreachable!("an index is in one of the ranges")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_every_range_is_found_once_and_none_beyond() {
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
    fn what_is_not_free_is_passed_over_and_not_asked_again() {
        let mut pool = AddressPool::new(vec![(0, 1_000)], 65_536);
        let mut asked = 0;
        let mut next = || {
            pool.take(|address| {
                asked += 1;
                address % 10 == 9
            })
        };
        assert_eq!([next(), next(), next()], [Some(9), Some(19), Some(29)]);
        assert_eq!(asked, 30);
    }
}
