//! Names of parameters and fields as the most forgiving readers take them (HT06, HT08): in another case, with one mark for
//! another, cut short, as a list. A name that one of them could take for a name that counts is refused in its place.

/// Fields and parameters with which frameworks let a request say that it has another method than it has.
const OVERRIDES: &[&str] =
    &["_method", "_httpmethod", "x_http_method_override", "x_http_method", "http_method_override"];

/// A field such as `_method`, under any of the names that frameworks take for it: of a query, a form, a part of a multipart
/// body, or a JSON document.
pub(super) fn is_override(name: &str) -> bool {
    // Most names have none of the marks, and need no copy.
    name.bytes().any(|byte| matches!(byte, b'_' | b'-' | b'.' | b' ')) && {
        let name = mangled(name).replace('-', "_");
        OVERRIDES.contains(&name.as_str())
    }
}

/// A name as PHP registers it, in lower case: without blanks before it, up to its first zero byte, with `_` for dots, blanks,
/// and a bracket that is never closed.
pub(super) fn mangled(name: &str) -> String {
    let name = name.split('\0').next().unwrap_or_default().trim_start_matches(' ');
    let open = !name.contains(']');
    folded(name).map(|letter| if matches!(letter, '.' | ' ') || open && letter == '[' { '_' } else { letter }).collect()
}

/// Do two names differ in case alone, or not at all?
pub(super) fn same_but_for_case(name: &str, other: &str) -> bool {
    folded(name).eq(folded(other))
}

/// Lower case as the most lenient readers fold it: `ſ` is an s and the Kelvin sign a k to some of them.
pub(super) fn folded(name: &str) -> impl Iterator<Item = char> + '_ {
    name.chars().flat_map(char::to_lowercase).map(|letter| if letter == 'ſ' { 's' } else { letter })
}

/// A name, in the forms in which readers know it.
#[derive(Debug)]
pub(super) struct Lenient {
    mangled: String,
    parts: Vec<String>,
}

impl Lenient {
    pub(super) fn of(name: &str) -> Self {
        let folded: String = folded(name).collect();
        let parts = folded.split(['[', ']', '.', ' ', '\0']).filter(|part| !part.is_empty()).map(str::to_owned);
        Self { parts: parts.collect(), mangled: mangled(name) }
    }

    /// Does some reader take one for the other, or for the whole of which the other is a part?
    pub(super) fn may_be(&self, other: &Self) -> bool {
        self.mangled == other.mangled || self.parts.starts_with(&other.parts) || other.parts.starts_with(&self.parts)
    }

    /// Is the other this name, or a part of it?
    pub(super) fn holds(&self, other: &Self) -> bool {
        let parts = other.parts.len();
        self.mangled == other.mangled || parts > 0 && self.parts.windows(parts).any(|own| own == other.parts)
    }
}
