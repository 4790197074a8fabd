//! One value that is to be masked, as the functions for each kind of type take it.

use kernel::verdict::Mask;

use super::key::MaskKey;

/// A value that is not NULL, and how it is masked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'v> {
    pub(super) mask: Mask,
    /// As it came.
    pub(super) value: &'v [u8],
    /// In which format it came, and leaves.
    pub(super) binary: bool,
    pub(super) key: &'v MaskKey,
}
