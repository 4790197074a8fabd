//! Whether a stream is UTF-8 (RFC 3629), whatever it is cut into: for masked answers and for texts of WebSockets.

/// It is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NotUtf8;

/// What stands at the end of the last piece and is no whole character yet.
#[derive(Debug, Default)]
pub(super) struct Utf8 {
    begun: [u8; 4],
    length: usize,
}

impl Utf8 {
    /// Looks at the next bytes.
    pub(super) fn feed(&mut self, mut input: &[u8]) -> Result<(), NotUtf8> {
        while self.length > 0 {
            let Some((byte, rest)) = input.split_first() else { return Ok(()) };
            let place = self.begun.get_mut(self.length).ok_or(NotUtf8)?;
            *place = *byte;
            self.length += 1;
            input = rest;
            match std::str::from_utf8(self.begun.get(..self.length).unwrap_or_default()) {
                Ok(_) => self.length = 0,
                Err(error) if error.error_len().is_none() => {}
                Err(_) => return Err(NotUtf8),
            }
        }
        match std::str::from_utf8(input) {
            Ok(_) => Ok(()),
            Err(error) if error.error_len().is_none() => {
                let tail = input.get(error.valid_up_to()..).unwrap_or_default();
                for (place, byte) in self.begun.iter_mut().zip(tail) {
                    *place = *byte;
                }
                self.length = tail.len();
                Ok(())
            }
            Err(_) => Err(NotUtf8),
        }
    }

    /// Whether no character is left unfinished.
    pub(super) const fn is_whole(&self) -> bool {
        self.length == 0
    }
}
