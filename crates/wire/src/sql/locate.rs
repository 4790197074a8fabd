//! Where in its text a statement offends, for the caret that a client draws. Off the hot path: the text is analysed anew,
//! because an analysis that texts share knows no places.

use kernel::operation::Operation;
use kernel::workload::Name;

use super::analyse::analyse;
use super::catalogue::Catalogue;

/// The characters before the construct that asks for `operation`, which is one of the text's own. `None` where the text does
/// not name it: what a `*`, a view or a name from elsewhere brings.
pub fn locate(text: &str, catalogue: &Catalogue, upstream: &Name, operation: &Operation) -> Option<u32> {
    let analysis = analyse(text, catalogue, upstream).ok()?;
    let is_meant = |found: &&Operation| {
        found.action == operation.action
            && found.resource == operation.resource
            && found.verb == operation.verb
            && found.facts.inference == operation.facts.inference
    };
    let (start, _) = analysis.operations.iter().filter(is_meant).find_map(|found| found.span)?;
    Some(characters_before(text, start))
}

/// How many characters of a text stand before a byte: PostgreSQL counts characters (field `P`, from 1), parsers bytes.
pub fn characters_before(text: &str, offset: u32) -> u32 {
    let end = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
    let before = text.get(..end).map_or(end, |before| before.chars().count());
    u32::try_from(before).unwrap_or(u32::MAX)
}
