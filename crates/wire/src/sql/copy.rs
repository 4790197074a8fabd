//! COPY: rows in from the client, rows out to the client, and files and programs of the server.

use std::sync::Arc;

use kernel::facts::CopyDirection;
use kernel::operation::Action;
use kernel::verdict::Undecidable;

use super::analyse::Walk;
use super::analysis::{Control, CopyFormat, Refused};
use super::collect::{Returned, Write};
use super::copy_layout::CopyLayout;
use super::delayed::Defaulted;
use super::lineage::{Field, Lineage};
use super::names::{boxed, option_flag, option_word, options, strings, unknown};
use super::parse::{NodeEnum, pb};
use super::scope::{From, Scope};

impl Walk<'_> {
    pub(super) fn copy(&mut self, copy: &pb::CopyStmt) -> Result<Returned, Refused> {
        // Options are constants that decide.
        self.found.shareable = false;
        self.found.tag = "COPY";
        only_utf8(&copy.options)?;
        self.found.copy_format = Some(copy_format(&copy.options)?);
        if !copy.is_from {
            self.found.copy_layout = CopyLayout::of(&copy.options)?.map(Arc::new);
        }
        let on_server = copy.is_program || !copy.filename.is_empty();
        if on_server {
            // A file or a program of the server: the columns count as stored, since they leave where no mask reaches.
            self.database(Action::SqlAdminister, if copy.is_program { "COPY PROGRAM" } else { "COPY FILE" });
        } else {
            self.found.copy = Some(if copy.is_from { CopyDirection::In } else { CopyDirection::Out });
            self.found.control = if copy.is_from { Control::CopyIn } else { Control::CopyOut };
        }
        if copy.is_from {
            self.copy_in(copy)?;
            return Ok(Returned::None);
        }
        let fields = self.copied_fields(copy)?;
        if on_server {
            for field in &fields {
                self.found.copy(&field.lineage);
            }
            return Ok(Returned::None);
        }
        Ok(Returned::Fields(fields))
    }

    fn copy_in(&mut self, copy: &pb::CopyStmt) -> Result<(), Refused> {
        let Some(named) = &copy.relation else { return unknown(-1) };
        let place = self.relation_place(named)?;
        let path = self.relation_path(named)?;
        let location = named.location;
        self.found.bounded = Some(true);
        let listed = strings(&copy.attlist)?.into_iter().map(Arc::from).collect::<Vec<Arc<str>>>();
        // Without a list every column comes in, but for generated ones.
        let defaulted = if listed.is_empty() { Defaulted::Only(Vec::new()) } else { Defaulted::AllBut(listed) };
        let defaulted = if has_default_marker(&copy.options)? { Defaulted::Any } else { defaulted };
        self.sets_off(place, Action::SqlInsert, &defaulted, location)?;
        self.found.write(Write { action: Action::SqlInsert, verb: "COPY", path, bounded: true, location });
        if let Some(condition) = &copy.where_clause {
            // It sees the rows that come in, not those that are there.
            let mut item = self.relation_as_item(place, named)?;
            item.fields.iter_mut().for_each(|field| field.lineage = Lineage::clear());
            let scope = Scope::with(From::one(item, true), None);
            self.filter(condition, &scope)?;
        }
        Ok(())
    }

    /// The columns of COPY … TO, in the order in which they leave.
    fn copied_fields(&mut self, copy: &pb::CopyStmt) -> Result<Vec<Field>, Refused> {
        let Some(named) = &copy.relation else {
            return match boxed(copy.query.as_deref())? {
                NodeEnum::SelectStmt(select) => {
                    let selected = self.select(select, None)?;
                    self.found.bounded = Some(selected.bounded);
                    self.found.limit = selected.limit;
                    Ok(selected.fields)
                }
                node @ (NodeEnum::InsertStmt(_)
                | NodeEnum::UpdateStmt(_)
                | NodeEnum::DeleteStmt(_)
                | NodeEnum::MergeStmt(_)) => {
                    let selected = self.modify(node, None)?;
                    self.found.bounded = Some(selected.bounded);
                    Ok(selected.fields)
                }
                _ => unknown(-1),
            };
        };
        self.found.bounded = Some(false);
        let place = self.relation_place(named)?;
        self.found.read(place, named.location);
        let fields = self.relation_fields(place, named.location)?;
        if !copy.attlist.is_empty() {
            let mut listed = Vec::with_capacity(copy.attlist.len());
            for name in strings(&copy.attlist)? {
                match fields.iter().find(|field| &*field.name == name) {
                    Some(field) => listed.push(field.clone()),
                    None => return Err(Refused::at(Undecidable::UnknownRelation, named.location)),
                }
            }
            return Ok(listed);
        }
        // Without a list, generated columns stay behind.
        let columns = self.context.catalogue.at(place).map_or(&[][..], |relation| &relation.columns);
        Ok(fields.into_iter().zip(columns).filter(|(_, column)| !column.generated).map(|(field, _)| field).collect())
    }
}

/// Whether a marker in the rows stands for a column's default.
fn has_default_marker(nodes: &[pb::Node]) -> Result<bool, Refused> {
    Ok(options(nodes)?.into_iter().any(|element| element.defname == "default"))
}

/// In another encoding, bytes would mean something else to the server than here (PL06).
fn only_utf8(nodes: &[pb::Node]) -> Result<(), Refused> {
    for element in options(nodes)?.into_iter().filter(|element| element.defname == "encoding") {
        let name: String =
            option_word(element)?.unwrap_or_default().chars().filter(char::is_ascii_alphanumeric).collect();
        if !matches!(name.to_ascii_lowercase().as_str(), "utf8" | "unicode") {
            return Err(Refused::at(Undecidable::PinnedSetting, element.location));
        }
    }
    Ok(())
}

fn copy_format(nodes: &[pb::Node]) -> Result<CopyFormat, Refused> {
    let mut format = CopyFormat::Text;
    for element in options(nodes)? {
        let other = match element.defname.as_str() {
            "format" => match option_word(element)?.as_deref() {
                Some("text") => continue,
                Some("binary") => CopyFormat::Binary,
                _ => CopyFormat::Other,
            },
            "freeze" | "on_error" | "log_verbosity" | "reject_limit" => continue,
            "header" if matches!(option_flag(element), Ok(false)) => continue,
            _ => CopyFormat::Other,
        };
        if format != CopyFormat::Binary {
            format = other;
        }
    }
    Ok(format)
}
