//! Any text as an OpenAPI document: no panic, and what is read makes a table of endpoints or says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::http::endpoint::{Endpoints, Unlisted};
use wire::http::openapi;

fuzz_target!(|text: &str| {
    if let Ok(endpoints) = openapi::read(text) {
        let _table = Endpoints::new(&"fuzz".parse().expect("a name"), endpoints, Unlisted::Deny);
    }
});
