//! EXPLAIN: the operations of what it explains, which do not take effect unless ANALYZE runs them.
//!
//! A plain plan holds the client's own text, names and estimates. With ANALYZE or VERBOSE it counts as text of unknown
//! origin, so that nothing masked can be in it: VERBOSE prints the expressions of views, ANALYZE what really happened.

use super::analyse::Walk;
use super::analysis::{Control, Refused};
use super::collect::Returned;
use super::lineage::{Field, Lineage};
use super::names::{boxed, option_flag, options, unknown};
use super::parse::{NodeEnum, pb};

impl Walk<'_> {
    pub(super) fn explain(&mut self, explain: &pb::ExplainStmt) -> Result<Returned, Refused> {
        let (mut analyze, mut opaque) = (false, false);
        for element in options(&explain.options)? {
            // An option's value is a constant that decides.
            self.found.shareable &= element.arg.is_none();
            match element.defname.as_str() {
                "analyze" => analyze = option_flag(element)?,
                "verbose" => opaque |= option_flag(element)?,
                "costs" | "settings" | "generic_plan" | "buffers" | "wal" | "timing" | "summary" | "memory"
                | "serialize" | "format" => {}
                _ => return unknown(element.location),
            }
        }
        let node = boxed(explain.query.as_deref())?;
        let returned = match node {
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => self.statement(node)?,
            NodeEnum::CreateTableAsStmt(create) => {
                self.found.changes_catalogue = analyze;
                self.create_table_as(create)?;
                Returned::None
            }
            // What runs is what the name stands for, which is judged with it.
            NodeEnum::ExecuteStmt(execute) => {
                self.statement(node)?;
                self.found.control = Control::ExplainExecute(execute.name.as_str().into());
                Returned::None
            }
            // DECLARE and REFRESH: what runs is not in the text.
            _ => return unknown(-1),
        };
        if let Returned::Fields(fields) = &returned {
            self.read_values(fields);
        }
        self.found.tag = "EXPLAIN";
        self.found.explain_only = !analyze;
        if !analyze {
            self.found.changes_catalogue = false;
        }
        opaque |= analyze;
        let lineage = if opaque { Lineage::unknown() } else { Lineage::clear() };
        Ok(Returned::Fields(vec![Field::new("QUERY PLAN", lineage)]))
    }
}
