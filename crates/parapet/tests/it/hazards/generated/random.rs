//! A small generator of random numbers, the same on every machine: SplitMix64 (Steele, Lea and Flood, 2014).

/// The generator.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below the limit, which is not 0.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    /// True so many times of a hundred.
    pub(super) fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of them.
    pub(super) fn of<'t, T>(&mut self, choice: &'t [T]) -> &'t T {
        &choice[self.below(choice.len())]
    }

    /// Letters and digits that no other text holds: a canary. No digit alone, nor a letter of hexadecimal, begins it.
    pub(super) fn letters(&mut self, length: usize) -> String {
        let letters = b"ghjkmnpqrstvwxyz23456789";
        (0..length).map(|_| char::from(letters[self.below(letters.len())])).collect()
    }

    /// Digits, of which the first is not 0.
    pub(super) fn digits(&mut self, length: usize) -> String {
        (0..length).map(|at| char::from(b"123456789"[self.below(if at == 0 { 8 } else { 9 })])).collect()
    }
}
