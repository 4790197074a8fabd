//! Values that must never be shown. A secret is wiped when dropped and cannot be cloned, printed or serialized.

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

/// A secret value. Its `Debug` prints one fixed word; there is no `Display`, `Serialize` or `Clone`.
pub struct Secret<T: Zeroize>(Zeroizing<T>);

impl<T: Zeroize> Secret<T> {
    /// Takes a value into keeping.
    pub fn new(value: T) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself, for the one place that must use it.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
