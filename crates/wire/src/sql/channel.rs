//! Errors as a channel (hazards MK09): `1 / (CASE WHEN ssn LIKE '1%' THEN 1 ELSE 0 END)` tells a bit by failing or not,
//! although its value leaves masked.
//!
//! What is noted is a step that may fail, on what a test of a column chose: as if the test stood in WHERE. A column that
//! itself fails to be cast tells less, and its error is redacted.

use kernel::facts::Inference;

use super::analyse::Walk;
use super::analysis::Refused;
use super::lineage::Lineage;
use super::names::{inner, string, unknown};
use super::parse::{NodeEnum, pb};
use super::scope::Scope;

/// Functions that take whatever they are given: aggregates, and those that build texts, JSON and arrays.
pub(super) fn never_fails(name: &str) -> bool {
    matches!(
        name,
        "count"
            | "min"
            | "max"
            | "sum"
            | "avg"
            | "bool_and"
            | "bool_or"
            | "every"
            | "array_agg"
            | "string_agg"
            | "json_agg"
            | "jsonb_agg"
            | "json_object_agg"
            | "jsonb_object_agg"
            | "xmlagg"
            | "first_value"
            | "last_value"
            | "lag"
            | "lead"
            | "any_value"
            | "upper"
            | "lower"
            | "initcap"
            | "concat"
            | "concat_ws"
            | "length"
            | "md5"
            | "reverse"
            | "btrim"
            | "ltrim"
            | "rtrim"
            | "replace"
            | "left"
            | "right"
            | "to_json"
            | "to_jsonb"
            | "row_to_json"
            | "json_build_object"
            | "jsonb_build_object"
            | "json_build_array"
            | "jsonb_build_array"
    )
}

impl Walk<'_> {
    /// A test of a column's value: a comparison, AND, OR, NOT, CASE.
    pub(super) fn note_test(&mut self, lineage: &Lineage) {
        if !lineage.is_clear() {
            self.tests += 1;
        }
    }

    /// A step that may fail, on arguments that were walked since there were `tests` tests.
    pub(super) fn note_fallible(&mut self, arguments: &Lineage, tests: u32) {
        if self.tests > tests {
            self.found.infer(arguments, Inference::Expression);
        }
        if !self.guard.is_clear() {
            let guard = self.guard.clone();
            self.found.infer(&guard, Inference::Expression);
        }
    }

    /// An operator: a comparison tests, a division fails by its divisor.
    pub(super) fn note_operator(&mut self, name: &[pb::Node], operands: &Lineage, divisor: &Lineage) {
        match name.last().and_then(string) {
            Some("/" | "%") => {
                self.found.infer(divisor, Inference::Expression);
                let before = self.tests;
                self.note_fallible(divisor, before);
            }
            Some("+" | "-" | "*" | "^" | "||" | "->" | "->>" | "#>" | "#>>") | None => {}
            Some(_) => self.note_test(operands),
        }
    }

    /// CASE: its conditions choose the value, and whether a result is computed at all.
    pub(super) fn case(&mut self, case: &pb::CaseExpr, scope: &Scope<'_>) -> Result<Lineage, Refused> {
        let mut conditions = self.union_of(&[&case.arg], scope)?;
        let mut results = Vec::with_capacity(case.args.len() + 1);
        for node in &case.args {
            let NodeEnum::CaseWhen(when) = inner(node)? else { return unknown(case.location) };
            conditions.add(&self.union_of(&[&when.expr], scope)?);
            results.push(&when.result);
        }
        results.push(&case.defresult);
        self.note_test(&conditions);
        let outside = self.guard.clone();
        self.guard.add(&conditions);
        let lineage = self.union_of(&results, scope);
        self.guard = outside;
        let mut lineage = lineage?;
        lineage.add(&conditions);
        Ok(lineage)
    }
}
