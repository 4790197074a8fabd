//! The detectors over values that pass: a count of what they find, and where so configured a mask over just that.

use std::sync::Arc;

use kernel::verdict::Mask;

use super::super::json_text;
use super::replace::{Token, write_text};
use crate::detect::{Detector, Hit, Kind, Scratch, Strength};
use crate::mask::{MaskKey, json};

/// Values shorter than this hold nothing that is looked for.
const SHORTEST: usize = 6;

pub(super) struct Inspector {
    detector: Arc<Detector>,
    /// From the first value on.
    scratch: Option<Scratch>,
    text: Vec<u8>,
    hits: Vec<Hit>,
    counts: [u32; Kind::ALL.len()],
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspector").field("counts", &self.counts).finish()
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        if let Some(scratch) = self.scratch.take() {
            self.detector.keep(scratch);
        }
    }
}

impl Inspector {
    pub(super) fn new(detector: Arc<Detector>) -> Self {
        Self { detector, scratch: None, text: Vec::new(), hits: Vec::new(), counts: [0; Kind::ALL.len()] }
    }

    pub(super) fn found(&self) -> impl Iterator<Item = (Kind, u32)> + '_ {
        Kind::ALL.into_iter().zip(self.counts).filter(|(_, count)| *count > 0)
    }

    /// Counts what a value holds, from its token as it came; says whether there is anything.
    pub(super) fn scan(&mut self, token: Token, raw: &[u8]) -> bool {
        self.hits.clear();
        if raw.len() < SHORTEST || token == Token::Word {
            return false;
        }
        let content = match token {
            Token::Text => raw.strip_prefix(b"\"").map_or(raw, |rest| rest.strip_suffix(b"\"").unwrap_or(rest)),
            Token::Number | Token::Word => raw,
        };
        self.text.clear();
        let text = if token == Token::Text && memchr::memchr(b'\\', content).is_some() {
            // A text that was cut within an escape is looked at as it came.
            match json_text::unescape(content, &mut self.text) {
                Some(_) => self.text.as_slice(),
                None => content,
            }
        } else {
            content
        };
        let (hits, counts) = (&mut self.hits, &mut self.counts);
        let scratch = self.scratch.get_or_insert_with(|| self.detector.scratch());
        self.detector.scan(scratch, text, |hit| {
            let least = if token == Token::Number { Strength::Certain } else { Strength::Likely };
            if hit.strength >= least {
                if let Some(count) = counts.get_mut(hit.kind.place()) {
                    *count = count.saturating_add(1);
                }
                hits.push(hit);
            }
        });
        !self.hits.is_empty()
    }

    /// Writes the value that was scanned with a mask over each thing that was found.
    pub(super) fn write(&self, mask: Mask, raw: &[u8], key: &MaskKey, out: &mut Vec<u8>) {
        let content = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        let text = if memchr::memchr(b'\\', content).is_some() { self.text.as_slice() } else { content };
        let mut masked = Vec::with_capacity(text.len());
        let mut at = 0;
        for hit in &self.hits {
            masked.extend_from_slice(text.get(at..hit.start).unwrap_or_default());
            let found = text.get(hit.start..hit.end).unwrap_or_default();
            let mask = if mask == Mask::Null { Mask::Redact } else { mask };
            if !json::text(mask, found, key, &mut masked) {
                masked.extend_from_slice(b"[redacted]");
            }
            at = hit.end;
        }
        masked.extend_from_slice(text.get(at..).unwrap_or_default());
        write_text(&masked, out);
    }
}
