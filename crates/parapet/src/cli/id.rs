//! Ids as people type them: whole, as a unique prefix, as a console URL, or `last`.

use crate::cli::exit::Failure;

/// What may stand in a path of the API. A URL is cut down to the id at its end.
pub(crate) fn read(text: &str) -> Result<String, Failure> {
    let without_query = text.split(['?', '#']).next().unwrap_or_default();
    let id = without_query.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    // Whatever else is in there would go into a request's path.
    let fits = !id.is_empty()
        && id.len() <= 64
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if fits && id != "." && id != ".." {
        Ok(id.to_owned())
    } else {
        Err(Failure::usage("that is neither an id, nor a name, nor a console URL, nor `last`"))
    }
}
