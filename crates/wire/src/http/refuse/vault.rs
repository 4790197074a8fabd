//! A refusal as OpenBao and Vault say it: a list of errors, which their clients show instead of none.
//!
//! Sources: the API's "Error response"; `api/response.go` and `api/secret.go` of OpenBao.

use serde::Serialize;

use super::{Refusal, Words};

#[derive(Serialize)]
struct Errors<'a> {
    /// One: the command line puts nothing between two, but shows several lines of one as they are.
    errors: [String; 1],
    /// Which situation it is. An answer of 202 or 404 that held errors alone would be "done" or "nothing there" to their clients.
    problem: &'a str,
}

pub(super) fn errors(refusal: &Refusal, words: &Words) -> Vec<u8> {
    let errors = Errors { errors: [refusal.message()], problem: words.problem };
    // Texts alone: this cannot fail, and a refusal without words is one still.
    let mut out = serde_json::to_vec(&errors).unwrap_or_default();
    out.push(b'\n');
    out
}
