//! What policies read of an HTTP request is found in their text.
