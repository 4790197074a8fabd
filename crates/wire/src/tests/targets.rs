//! The fuzz targets as cargo-fuzz builds them, but that their `libfuzzer_sys` is this crate.
#![expect(unused_attributes, reason = "a fuzzer's binary has no main of its own")]

#[path = "../../../../fuzz/fuzz_targets/detect.rs"]
mod detect;
#[path = "../../../../fuzz/fuzz_targets/http_body.rs"]
mod http_body;
#[path = "../../../../fuzz/fuzz_targets/http_framing.rs"]
mod http_framing;
#[path = "../../../../fuzz/fuzz_targets/http_graphql.rs"]
mod http_graphql;
#[path = "../../../../fuzz/fuzz_targets/http_head.rs"]
mod http_head;
#[path = "../../../../fuzz/fuzz_targets/http_json_mask.rs"]
mod http_json_mask;
#[path = "../../../../fuzz/fuzz_targets/http_openapi.rs"]
mod http_openapi;
#[path = "../../../../fuzz/fuzz_targets/http_websocket.rs"]
mod http_websocket;
#[path = "../../../../fuzz/fuzz_targets/postgres_backend.rs"]
mod postgres_backend;
#[path = "../../../../fuzz/fuzz_targets/postgres_frontend.rs"]
mod postgres_frontend;
#[path = "../../../../fuzz/fuzz_targets/postgres_replies.rs"]
mod postgres_replies;
#[path = "../../../../fuzz/fuzz_targets/postgres_startup.rs"]
mod postgres_startup;
#[path = "../../../../fuzz/fuzz_targets/sql_analysis.rs"]
mod sql_analysis;
#[path = "../../../../fuzz/fuzz_targets/sql_templates.rs"]
mod sql_templates;

/// What a target does with its input.
type Run = fn(&[u8]);

/// Each with its name.
pub(super) const ALL: &[(&str, Run)] = &[
    ("detect", detect::run),
    ("http_body", http_body::run),
    ("http_framing", http_framing::run),
    ("http_graphql", http_graphql::run),
    ("http_head", http_head::run),
    ("http_json_mask", http_json_mask::run),
    ("http_openapi", http_openapi::run),
    ("http_websocket", http_websocket::run),
    ("postgres_backend", postgres_backend::run),
    ("postgres_frontend", postgres_frontend::run),
    ("postgres_replies", postgres_replies::run),
    ("postgres_startup", postgres_startup::run),
    ("sql_analysis", sql_analysis::run),
    ("sql_templates", sql_templates::run),
];
