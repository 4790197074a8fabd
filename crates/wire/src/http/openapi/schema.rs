//! Schemas: which fields have classes, and which values of a request policy can read.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::super::body::{BodyField, Expect, MOST_PLACES};
use super::super::endpoint::Field;
use super::super::json_path::{JsonPath, Step};
use super::OpenApiError;
use super::reference::{Document, reference};

/// Our mark on a schema.
pub(super) const CLASSES: &str = "x-parapet-classes";

/// How deep schemas may be nested, references followed.
const DEEPEST_SCHEMA: usize = 48;
/// How many schemas are looked at, each as often as it is referred to.
const MOST_SCHEMAS: usize = 4_000_000;
/// How deep the fields of a request's body are named.
const DEEPEST_FIELD: usize = 4;
/// The most fields of a request's body.
const MOST_FIELDS: usize = 256;
/// The longest class.
const LONGEST_CLASS: usize = 64;

#[derive(Debug)]
pub(super) struct Schemas<'d> {
    document: Document<'d>,
    /// Whether the document has any mark at all; looking for none is the whole work for most.
    marked: bool,
    seen: usize,
}

/// Where a walk stands.
#[derive(Clone, Debug, Default)]
struct Walk<'d> {
    steps: Vec<Step>,
    /// The references that are open, and how long the path was.
    open: Vec<(&'d str, usize)>,
    depth: usize,
}

impl<'d> Schemas<'d> {
    pub(super) const fn new(document: Document<'d>, marked: bool) -> Self {
        Self { document, marked, seen: 0 }
    }

    fn count(&mut self) -> Result<(), OpenApiError> {
        self.seen += 1;
        if self.seen > MOST_SCHEMAS { Err(OpenApiError::TooLarge) } else { Ok(()) }
    }

    /// Adds the fields of an answer that have classes.
    pub(super) fn classes(
        &mut self,
        schema: &'d Value,
        place: &str,
        fields: &mut Vec<Field>,
    ) -> Result<(), OpenApiError> {
        if !self.marked {
            return Ok(());
        }
        let mut found = Vec::new();
        self.walk(schema, place, &mut Walk::default(), &mut found)?;
        for (steps, classes) in found {
            let path = JsonPath::of(steps).map_err(|_| OpenApiError::TooDeep { place: place.into() })?;
            match fields.iter_mut().find(|field| field.path == path) {
                Some(known) => known.classes.extend(classes),
                None => fields.push(Field { path, classes }),
            }
        }
        for field in fields {
            field.classes.sort();
            field.classes.dedup();
        }
        Ok(())
    }

    fn walk(
        &mut self,
        schema: &'d Value,
        place: &str,
        walk: &mut Walk<'d>,
        found: &mut Vec<(Vec<Step>, Vec<Arc<str>>)>,
    ) -> Result<(), OpenApiError> {
        self.count()?;
        if walk.depth > DEEPEST_SCHEMA {
            return Err(OpenApiError::TooDeep { place: place.into() });
        }
        let Some(members) = schema.as_object() else { return Ok(()) };
        if let Some(classes) = members.get(CLASSES) {
            let classes = classes_of(classes).ok_or_else(|| OpenApiError::expected(place, "names of classes"))?;
            found.push((walk.steps.clone(), classes));
        }
        walk.depth += 1;
        if let Some(reference) = reference(schema) {
            self.refer(reference, place, walk, found)?;
        }
        let before = walk.steps.len();
        for (name, member) in properties(members) {
            walk.steps.push(Step::Member(name.as_str().into()));
            self.walk(member, place, walk, found)?;
            walk.steps.truncate(before);
        }
        for holder in ["additionalProperties", "unevaluatedProperties"] {
            if let Some(member) = members.get(holder) {
                walk.steps.push(Step::AnyMember);
                self.walk(member, place, walk, found)?;
                walk.steps.truncate(before);
            }
        }
        for member in members.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(Map::values) {
            walk.steps.push(Step::AnyMember);
            self.walk(member, place, walk, found)?;
            walk.steps.truncate(before);
        }
        let items = ["items", "unevaluatedItems", "contains"].into_iter().filter_map(|holder| members.get(holder));
        for item in items.chain(list(members, "prefixItems")) {
            walk.steps.push(Step::Elements);
            self.walk(item, place, walk, found)?;
            walk.steps.truncate(before);
        }
        for same in alternatives(members) {
            self.walk(same, place, walk, found)?;
        }
        walk.depth -= 1;
        Ok(())
    }

    /// Follows a reference. What is found in one that leads back to itself may stand at any depth below where it first
    /// stood.
    fn refer(
        &mut self,
        reference: &'d str,
        place: &str,
        walk: &mut Walk<'d>,
        found: &mut Vec<(Vec<Step>, Vec<Arc<str>>)>,
    ) -> Result<(), OpenApiError> {
        if walk.open.iter().any(|(open, _)| *open == reference) {
            walk.open.push((reference, usize::MAX));
            return Ok(());
        }
        let schema = self.document.follow(reference)?;
        let (begin, open) = (found.len(), walk.open.len());
        walk.open.push((reference, walk.steps.len()));
        self.walk(schema, place, walk, found)?;
        let returned = walk.open.iter().skip(open + 1).any(|(again, at)| *again == reference && *at == usize::MAX);
        // What leads back further up is for those further up to see.
        let above: Vec<_> = walk.open.iter().skip(open + 1).filter(|(again, _)| *again != reference).copied().collect();
        walk.open.truncate(open);
        walk.open.extend(above.into_iter().filter(|(_, at)| *at == usize::MAX));
        if returned {
            let length = walk.steps.len();
            let deep = found.get(begin..).unwrap_or_default().iter().filter_map(|(steps, classes)| {
                let (first, rest) = steps.split_at_checked(length)?;
                let mut steps = first.to_vec();
                let leading = |step: &&Step| matches!(step, Step::Elements | Step::Deep);
                let mut rest = rest.iter().skip_while(leading).peekable();
                rest.peek()?;
                steps.push(Step::Deep);
                steps.extend(rest.cloned());
                Some((steps, classes.clone()))
            });
            let deep: Vec<_> = deep.collect();
            found.extend(deep);
        }
        Ok(())
    }

    /// Adds the fields of a request's body that have one value of a simple type.
    pub(super) fn body(&mut self, schema: &'d Value, fields: &mut Vec<BodyField>) -> Result<(), OpenApiError> {
        self.fields(schema, &mut Walk::default(), fields)
    }

    fn fields(
        &mut self,
        schema: &'d Value,
        walk: &mut Walk<'d>,
        fields: &mut Vec<BodyField>,
    ) -> Result<(), OpenApiError> {
        self.count()?;
        let Some(members) = schema.as_object() else { return Ok(()) };
        if walk.depth > DEEPEST_SCHEMA {
            return Ok(());
        }
        walk.depth += 1;
        if let Some(reference) = reference(schema)
            && !walk.open.iter().any(|(open, _)| *open == reference)
        {
            walk.open.push((reference, 0));
            self.fields(self.document.follow(reference)?, walk, fields)?;
            walk.open.pop();
        }
        if let Some(expect) = simple(members)
            && !walk.steps.is_empty()
        {
            note(&walk.steps, expect, fields);
        }
        if walk.steps.len() < DEEPEST_FIELD {
            for (name, member) in properties(members) {
                walk.steps.push(Step::Member(name.as_str().into()));
                self.fields(member, walk, fields)?;
                walk.steps.pop();
            }
        }
        for same in alternatives(members) {
            self.fields(same, walk, fields)?;
        }
        walk.depth -= 1;
        Ok(())
    }
}

fn properties(members: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    members.get("properties").and_then(Value::as_object).into_iter().flatten()
}

fn list<'d>(members: &'d Map<String, Value>, name: &str) -> impl Iterator<Item = &'d Value> {
    members.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The schemas that are about the same value.
fn alternatives(members: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let lists = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|name| list(members, name));
    let singles = ["then", "else"].into_iter().filter_map(|name| members.get(name));
    let dependent = members.get("dependentSchemas").and_then(Value::as_object).into_iter().flat_map(Map::values);
    lists.chain(singles).chain(dependent)
}

fn classes_of(mark: &Value) -> Option<Vec<Arc<str>>> {
    let class = |value: &Value| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.');
        let text = value.as_str().filter(|text| !text.is_empty() && text.len() <= LONGEST_CLASS)?;
        text.chars().all(plain).then(|| Arc::from(text))
    };
    match mark {
        Value::Array(all) if !all.is_empty() => all.iter().map(class).collect(),
        one => Some(vec![class(one)?]),
    }
}

/// What a schema's value has to be, if that is simple. A number is exact only where the schema says to which digit.
fn simple(members: &Map<String, Value>) -> Option<Expect> {
    let of = |word: &str| match word {
        "string" => Some(Expect::Text),
        "integer" => Some(Expect::Integer),
        "boolean" => Some(Expect::Boolean),
        "number" => {
            let step = members.get("multipleOf").and_then(Value::as_f64)?;
            (0..=MOST_PLACES)
                .find(|places| step == 10_f64.powi(-i32::try_from(*places).unwrap_or(0)))
                .map(|places| if places == 0 { Expect::Integer } else { Expect::Decimal(places) })
        }
        _ => None,
    };
    match members.get("type") {
        Some(Value::String(word)) => of(word),
        Some(Value::Array(words)) => {
            let mut words = words.iter().filter_map(Value::as_str).filter(|word| *word != "null");
            match (words.next(), words.next()) {
                (Some(word), None) => of(word),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Two that disagree about one field leave it open.
fn note(steps: &[Step], expect: Expect, fields: &mut Vec<BodyField>) {
    let names: Vec<&str> = steps
        .iter()
        .filter_map(|step| if let Step::Member(name) = step { Some(name.as_ref()) } else { None })
        .collect();
    let Ok(path) = JsonPath::of(steps.to_vec()) else { return };
    let place = fields.iter().position(|field| field.path == path);
    if let Some(known) = place.and_then(|place| fields.get_mut(place)) {
        if known.expect != expect {
            known.expect = Expect::Any;
        }
    } else if fields.len() < MOST_FIELDS {
        fields.push(BodyField { name: names.join(".").into(), path, expect });
    }
}
