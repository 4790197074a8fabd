//! From the rows of the queries to the model. A row that does not have the form that its query promises ends the reading:
//! a catalogue that is half understood is none.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use super::model::{
    Body, Cast, Column, Delayed, DelayedKind, Function, FunctionKind, Operator, Relation, RelationKind, Signature,
    Type, TypeKind, Volatility,
};
use super::queries::{CatalogueQuery, CatalogueRow, CatalogueRows};
use super::{CatalogueError, Common, Label, labels};
use crate::sql::system;

/// Separates names in one field.
const SEPARATOR: char = '\u{1f}';

/// Equal names share their bytes.
#[derive(Debug, Default)]
struct Names {
    known: HashSet<Arc<str>>,
}

impl Names {
    fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.known.insert(name.clone());
        name
    }
}

fn field(row: &CatalogueRow, place: usize) -> Option<&str> {
    row.get(place).and_then(|value| value.as_deref())
}

fn flag(row: &CatalogueRow, place: usize) -> Option<bool> {
    match field(row, place)? {
        "t" => Some(true),
        "f" => Some(false),
        _ => None,
    }
}

fn number<N: std::str::FromStr>(row: &CatalogueRow, place: usize) -> Option<N> {
    field(row, place)?.parse().ok()
}

/// Reads each row of a query by `read`, which says `None` for one of another form.
fn each(
    rows: &CatalogueRows,
    query: CatalogueQuery,
    mut read: impl FnMut(&CatalogueRow) -> Option<()>,
) -> Result<(), CatalogueError> {
    for (row, values) in rows.get(query).iter().enumerate() {
        read(values).ok_or(CatalogueError { query, row })?;
    }
    Ok(())
}

/// Fills an empty catalogue.
pub(super) fn read(catalogue: &mut Common, rows: &CatalogueRows) -> Result<(), CatalogueError> {
    let mut names = Names::default();
    let by_oid = relations(catalogue, rows, &mut names)?;
    each(rows, CatalogueQuery::Views, |row| {
        let oid = number::<u32>(row, 0)?;
        // A view that came into being between the two queries is unknown until the next refresh.
        if let Some(relation) = by_oid.get(&oid).and_then(|place| catalogue.relations.get_mut(*place)) {
            relation.definition = field(row, 1).map(Arc::from);
        }
        Some(())
    })?;
    each(rows, CatalogueQuery::Functions, |row| {
        let function = read_function(row, &mut names)?;
        let name = names.get(field(row, 1)?);
        let same = catalogue.functions.entry(name.clone()).or_default();
        if let Some(signature) = function.signature.as_ref().filter(|own| own.oid >= super::FIRST_USER_OID) {
            catalogue.by_function.insert(signature.oid, (name, same.len()));
        }
        same.push(function);
        Some(())
    })?;
    inheritance(catalogue, rows, &by_oid)?;
    each(rows, CatalogueQuery::Generated, |row| {
        let (oid, column) = (number::<u32>(row, 0)?, number::<i16>(row, 1)?);
        let expression = field(row, 2)?;
        let relation = by_oid.get(&oid).and_then(|place| catalogue.relations.get_mut(*place));
        let found = relation.and_then(|relation| relation.columns.iter_mut().find(|known| known.number == column));
        if let Some(column) = found {
            column.expression = Some(expression.into());
            column.computed_when_read = flag(row, 3).unwrap_or(false);
        }
        Some(())
    })?;
    each(rows, CatalogueQuery::Delayed, |row| {
        let oid = number::<u32>(row, 0)?;
        let kind = match field(row, 1)? {
            "domain" => {
                catalogue.domain_checks.entry(oid).or_default().push(number(row, 3)?);
                return Some(());
            }
            "trigger" => DelayedKind::Trigger,
            "default" => DelayedKind::Default,
            "generated" => DelayedKind::Generated,
            "check" => DelayedKind::Check,
            "index" => DelayedKind::Index,
            "policy" => DelayedKind::Policy,
            "deletes" => DelayedKind::Deletes,
            "updates" => DelayedKind::Updates,
            "rule" => DelayedKind::Rule,
            _ => return None,
        };
        let function = if kind == DelayedKind::Rule { 0 } else { number(row, 3)? };
        let delayed = Delayed { kind, bits: number(row, 2)?, function, column: number(row, 4) };
        if let Some(relation) = by_oid.get(&oid).and_then(|place| catalogue.relations.get_mut(*place)) {
            relation.delayed.push(delayed);
        }
        Some(())
    })?;
    types(catalogue, rows, &mut names)?;
    each(rows, CatalogueQuery::Operators, |row| {
        let operator = Operator {
            schema: names.get(field(row, 0)?),
            left: number(row, 2)?,
            right: number(row, 3)?,
            result: number(row, 4)?,
            function: number(row, 5)?,
        };
        catalogue.operators.entry(names.get(field(row, 1)?)).or_default().push(operator);
        Some(())
    })?;
    each(rows, CatalogueQuery::Casts, |row| {
        let unasked = field(row, 3)? != "e";
        let (source, target, function) = (number(row, 0)?, number(row, 1)?, number(row, 2)?);
        catalogue.casts.push(Cast { source, target, function, unasked });
        Some(())
    })?;
    each(rows, CatalogueQuery::Coercions, |row| {
        catalogue.coercions.insert((number(row, 0)?, number(row, 1)?));
        Some(())
    })?;
    each(rows, CatalogueQuery::Labels, |row| {
        let label = Label {
            schema: names.get(field(row, 0)?),
            relation: names.get(field(row, 1)?),
            column: field(row, 2).map(|name| names.get(name)),
            provider: field(row, 3).map(|name| names.get(name)),
            classes: labels::classes(field(row, 3).is_some(), field(row, 4)?, &mut |name| names.get(name)),
        };
        catalogue.labels.push(label);
        Some(())
    })
}

fn relations(
    catalogue: &mut Common,
    rows: &CatalogueRows,
    names: &mut Names,
) -> Result<HashMap<u32, usize>, CatalogueError> {
    let mut by_oid: HashMap<u32, usize> = HashMap::new();
    each(rows, CatalogueQuery::Relations, |row| {
        let oid = number(row, 2)?;
        let place = match by_oid.get(&oid) {
            Some(place) => *place,
            None => {
                let relation = read_relation(&catalogue.database, row, names)?;
                let place = catalogue.relations.len();
                by_oid.insert(oid, place);
                let schema = catalogue.by_name.entry(relation.schema.clone()).or_default();
                schema.insert(relation.name.clone(), place);
                catalogue.relations.push(relation);
                if let Some(row_type) = number::<u32>(row, 10).filter(|oid| *oid != 0) {
                    catalogue.row_types.insert(row_type, place);
                }
                place
            }
        };
        if field(row, 4).is_some() {
            let column = read_column(row, names)?;
            catalogue.relations.get_mut(place)?.columns.push(column);
        }
        Some(())
    })?;
    Ok(by_oid)
}

fn relation_kind(letter: &str) -> Option<RelationKind> {
    Some(match letter {
        "r" => RelationKind::Table,
        "v" => RelationKind::View,
        "m" => RelationKind::MaterialisedView,
        "f" => RelationKind::Foreign,
        "p" => RelationKind::Partitioned,
        "S" => RelationKind::Sequence,
        _ => return None,
    })
}

fn read_column(row: &CatalogueRow, names: &mut Names) -> Option<Column> {
    Some(Column {
        number: number(row, 4)?,
        name: names.get(field(row, 5)?),
        type_oid: number(row, 6)?,
        type_name: names.get(field(row, 7)?),
        not_null: flag(row, 8)?,
        generated: flag(row, 9)?,
        expression: None,
        computed_when_read: false,
    })
}

fn read_relation(database: &str, row: &CatalogueRow, names: &mut Names) -> Option<Relation> {
    let (schema, name) = (field(row, 0)?, field(row, 1)?);
    Some(Relation {
        schema: names.get(schema),
        name: names.get(name),
        full_name: format!("{database}.{schema}.{name}").into(),
        oid: number(row, 2)?,
        kind: relation_kind(field(row, 3)?)?,
        system: system::is_system_schema(schema),
        columns: Vec::new(),
        definition: None,
        ancestors: Vec::new(),
        descendants: Vec::new(),
        kin: None,
        delayed: Vec::new(),
        filled_from: None,
        expansion: OnceLock::new(),
        traced: OnceLock::new(),
    })
}

fn list(row: &CatalogueRow, place: usize, names: &mut Names) -> Vec<Arc<str>> {
    field(row, place).map(|text| text.split(SEPARATOR).map(|name| names.get(name)).collect()).unwrap_or_default()
}

fn read_function(row: &CatalogueRow, names: &mut Names) -> Option<Function> {
    let signature = match field(row, 8) {
        Some(_) => Some(read_signature(row)?),
        None => None,
    };
    let body = match (field(row, 17), field(row, 18)) {
        (_, Some(text)) => Some((text, true)),
        (Some(text), None) => Some((text, false)),
        (None, None) => None,
    };
    let parameters = list(row, 14, names);
    Some(Function {
        schema: names.get(field(row, 0)?),
        volatility: match field(row, 2)? {
            "i" => Volatility::Immutable,
            "s" => Volatility::Stable,
            "v" => Volatility::Volatile,
            _ => return None,
        },
        language: names.get(field(row, 3)?),
        returns_set: flag(row, 4)?,
        security_definer: flag(row, 5)?,
        returns_row: flag(row, 6)?,
        outputs: list(row, 7, names),
        signature,
        has_settings: flag(row, 15).unwrap_or(true),
        extension: field(row, 16).map(|name| names.get(name)),
        body_hash: field(row, 19).map(Arc::from),
        body: body.map(|(text, standard)| {
            Arc::new(Body { text: text.into(), standard, names: parameters, looked: OnceLock::new() })
        }),
    })
}

fn read_signature(row: &CatalogueRow) -> Option<Signature> {
    let arguments: Result<Box<[u32]>, _> = field(row, 9)?.split_ascii_whitespace().map(str::parse).collect();
    Some(Signature {
        oid: number(row, 8)?,
        kind: match field(row, 10)? {
            "f" => FunctionKind::Plain,
            "p" => FunctionKind::Procedure,
            "a" => FunctionKind::Aggregate,
            "w" => FunctionKind::Window,
            _ => return None,
        },
        arguments: arguments.ok()?,
        defaults: number(row, 11)?,
        variadic: flag(row, 12)?,
        result: number(row, 13)?,
    })
}

/// Ancestors and descendants, as far as they go.
fn inheritance(
    catalogue: &mut Common,
    rows: &CatalogueRows,
    by_oid: &HashMap<u32, usize>,
) -> Result<(), CatalogueError> {
    let mut parents: HashMap<usize, Vec<usize>> = HashMap::new();
    each(rows, CatalogueQuery::Inheritance, |row| {
        let (child, parent) = (number::<u32>(row, 0)?, number::<u32>(row, 1)?);
        if let (Some(child), Some(parent)) = (by_oid.get(&child), by_oid.get(&parent)) {
            parents.entry(*child).or_default().push(*parent);
        }
        Some(())
    })?;
    let mut children: Vec<usize> = parents.keys().copied().collect();
    children.sort_unstable();
    for child in children {
        let mut above: Vec<usize> = Vec::new();
        let mut open = vec![child];
        while let Some(next) = open.pop() {
            for parent in parents.get(&next).into_iter().flatten() {
                if *parent != child && !above.contains(parent) {
                    above.push(*parent);
                    open.push(*parent);
                }
            }
        }
        above.sort_unstable();
        for ancestor in &above {
            if let Some(relation) = catalogue.relations.get_mut(*ancestor) {
                relation.descendants.push(child);
            }
        }
        if let Some(relation) = catalogue.relations.get_mut(child) {
            relation.ancestors = above;
        }
    }
    for place in 0..catalogue.relations.len() {
        let below = catalogue.relations.get(place).map(|relation| relation.descendants.as_slice()).unwrap_or_default();
        if below.is_empty() {
            continue;
        }
        let named = below.iter().filter_map(|child| catalogue.relations.get(*child));
        let kin = named.map(|child| (child.schema.clone(), child.name.clone())).collect();
        if let Some(relation) = catalogue.relations.get_mut(place) {
            relation.kin = Some(kin);
        }
    }
    Ok(())
}

fn types(catalogue: &mut Common, rows: &CatalogueRows, names: &mut Names) -> Result<(), CatalogueError> {
    each(rows, CatalogueQuery::Types, |row| {
        let oid = number(row, 0)?;
        let element: u32 = number(row, 4)?;
        let kind = match field(row, 3)? {
            "b" if element != 0 => TypeKind::Array(element),
            "b" => TypeKind::Base,
            "c" => TypeKind::Composite(number(row, 6)?),
            "d" => TypeKind::Domain(number(row, 5)?),
            "e" => TypeKind::Enum,
            "p" => TypeKind::Pseudo,
            "r" => TypeKind::Range(number(row, 7)?),
            "m" => TypeKind::Multirange,
            _ => return None,
        };
        let name = names.get(field(row, 2)?);
        catalogue.types_by_name.entry(name.clone()).or_default().push(oid);
        catalogue.types.insert(oid, Type { schema: names.get(field(row, 1)?), name, kind });
        Some(())
    })?;
    each(rows, CatalogueQuery::Fields, |row| {
        let field_of = (names.get(field(row, 1)?), number(row, 2)?);
        catalogue.fields.entry(number(row, 0)?).or_default().push(field_of);
        Some(())
    })
}
