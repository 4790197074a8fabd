//! Any text as a GraphQL document: no panic, no overflow, and within the caps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::http::graphql::{DEEPEST_DOCUMENT, MOST_FIELDS, read_query};

fuzz_target!(|document: &str| {
    if let Ok(selection) = read_query([("query", document)]) {
        assert!(selection.fields.len() <= MOST_FIELDS && selection.depth as usize <= DEEPEST_DOCUMENT + 1);
    }
});
