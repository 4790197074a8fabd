//! A refusal as OpenBao and Vault say it: a list of errors, which their clients show instead of none.
//!
//! Sources: the API's "Error response"; `api/response.go` and `api/secret.go` of OpenBao.

use serde::Serialize;

use super::write::line_of_json;
use super::{Refusal, Words};

#[derive(Serialize)]
struct Errors<'a> {
    /// One: the command line puts nothing between two, but shows several lines of one as they are.
    errors: [String; 1],
    /// Which situation it is. An answer of 202 or 404 that held errors alone would be "done" or "nothing there" to their clients.
    problem: &'a str,
}

pub(super) fn errors(refusal: &Refusal, words: &Words) -> Vec<u8> {
    line_of_json(&Errors { errors: [refusal.message()], problem: words.problem })
}
