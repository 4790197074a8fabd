//! Reads short entries: which decision they refer to, and what they would be in full.
//!
//! Works on the canonical bytes alone, which have one form. It verifies nothing: whoever expands an entry shows what the log
//! says, and `verify.rs` proves the log.

use crate::id::DecisionId;

/// The bytes of a permit's entry without grant and circumstances, apart.
struct Plain<'a> {
    decision: DecisionId,
    session: &'a [u8],
    /// Everything up to the verdict.
    begin: &'a [u8],
    /// Workload, upstream and verdict, the end of `begin`.
    constants: &'a [u8],
    /// Everything after the verdict, with the closing brace.
    tail: &'a [u8],
}

impl<'a> Plain<'a> {
    fn read(entry: &'a [u8]) -> Option<Self> {
        let rest = entry.strip_prefix(b"{\"v\":1,\"at\":\"")?;
        let (_, rest) = rest.split_at_checked(24)?;
        let rest = rest.strip_prefix(b"\",\"kind\":\"decision\",\"decision\":\"")?;
        let (decision, rest) = rest.split_at_checked(20)?;
        let rest = rest.strip_prefix(b"\",\"session\":\"")?;
        let (session, rest) = rest.split_at_checked(20)?;
        let rest = rest.strip_prefix(b"\"")?;
        let from = rest.strip_prefix(b",\"prepares\":true").unwrap_or(rest);
        // Names hold neither quotes nor what JSON escapes.
        let rest = after_quote(from.strip_prefix(b",\"workload\":\"")?)?;
        let rest = after_quote(rest.strip_prefix(b",\"upstream\":\"")?)?;
        let tail = rest.strip_prefix(b",\"verdict\":\"permit\"")?;
        Some(Self {
            decision: id(decision)?,
            session,
            begin: entry.get(..entry.len() - tail.len())?,
            constants: from.get(..from.len() - tail.len())?,
            tail,
        })
    }

    fn refers_to(&self) -> Option<DecisionId> {
        id(self.tail.strip_prefix(b",\"like\":\"")?.strip_suffix(b"\"}")?)
    }

    fn is_full(&self) -> bool {
        self.tail.starts_with(b",\"bundle\":")
    }
}

fn after_quote(text: &[u8]) -> Option<&[u8]> {
    text.get(text.iter().position(|byte| *byte == b'"')? + 1..)
}

fn id(text: &[u8]) -> Option<DecisionId> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The decision whose entry holds what this short entry leaves out; none for an entry that is not short.
pub fn like(entry: &[u8]) -> Option<DecisionId> {
    // Most entries of a log are tried: the end says quickly that it is none.
    entry.ends_with(b"\"}").then(|| Plain::read(entry)?.refers_to())?
}

/// The decision of an entry that others may refer to: a permit in full, without grant and circumstances.
pub fn full_permit(entry: &[u8]) -> Option<DecisionId> {
    Plain::read(entry).filter(Plain::is_full).map(|plain| plain.decision)
}

/// A short entry in full, from the entry that it refers to: its own ids and time, the other's body, and `like` at the end.
/// None if `first` is not the entry that `entry` refers to, or not of the same session, workload and upstream.
pub fn expand(entry: &[u8], first: &[u8]) -> Option<Vec<u8>> {
    let (short, full) = (Plain::read(entry)?, Plain::read(first)?);
    let fits = short.refers_to()? == full.decision
        && full.is_full()
        && short.session == full.session
        && short.constants == full.constants;
    let rest = full.tail.strip_suffix(b"}").filter(|_| fits)?;
    Some([short.begin, rest, short.tail].concat())
}

/// A short entry that cannot be expanded: it says so by `"like_missing":true` at the end.
pub fn unexpanded(entry: &[u8]) -> Vec<u8> {
    [entry.strip_suffix(b"}").unwrap_or(entry), b",\"like_missing\":true}"].concat()
}

#[cfg(test)]
mod tests;
