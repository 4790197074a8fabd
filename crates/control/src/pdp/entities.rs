//! AuthZEN's information model (Authorization API 1.0, section 5): subject, action, resource and context, read from JSON.
//! What is missing or of another type is the caller's mistake; what is not known is passed over.

use serde_json::{Map, Value};

/// What a request lacks, in words that hold nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) &'static str);

/// A subject or a resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Entity {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) properties: Map<String, Value>,
}

/// An action.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct ActionAsked {
    pub(super) name: String,
    pub(super) properties: Map<String, Value>,
}

/// One question, whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Asked {
    pub(super) subject: Entity,
    pub(super) action: ActionAsked,
    pub(super) resource: Entity,
    pub(super) context: Map<String, Value>,
}

const SUBJECT: &str = "`subject` is missing, or is not an object with `type` and `id`";
const ACTION: &str = "`action` is missing, or is not an object with `name`";
const RESOURCE: &str = "`resource` is missing, or is not an object with `type` and `id`";
const CONTEXT: &str = "`context` is not an object";

impl Asked {
    /// Reads a question.
    pub(super) fn read(members: &Map<String, Value>) -> Result<Self, Malformed> {
        Ok(Self {
            subject: entity(members.get("subject"), SUBJECT)?,
            action: action(members.get("action"))?,
            resource: entity(members.get("resource"), RESOURCE)?,
            context: context(members)?,
        })
    }

    /// The question in one form, without what a caller may add when it asks again: a grant binds this.
    pub(super) fn canonical(&self) -> String {
        let entity = |entity: &Entity| {
            Value::from_iter([
                ("id", Value::from(entity.id.as_str())),
                ("properties", Value::from(sorted(&entity.properties))),
                ("type", Value::from(entity.kind.as_str())),
            ])
        };
        let mut context = self.context.clone();
        for later in ["approval", "obligations_supported", "supported_obligations"] {
            context.remove(later);
        }
        let action = Value::from_iter([
            ("name", Value::from(self.action.name.as_str())),
            ("properties", Value::from(sorted(&self.action.properties))),
        ]);
        Value::from_iter([
            ("action", action),
            ("context", Value::from(sorted(&context))),
            ("resource", entity(&self.resource)),
            ("subject", entity(&self.subject)),
        ])
        .to_string()
    }
}

/// Members in the order of their names, at every depth.
fn sorted(members: &Map<String, Value>) -> Map<String, Value> {
    fn value(of: &Value) -> Value {
        match of {
            Value::Object(members) => Value::Object(sorted(members)),
            Value::Array(items) => Value::Array(items.iter().map(value).collect()),
            other => other.clone(),
        }
    }
    let mut entries: Vec<(&String, &Value)> = members.iter().collect();
    entries.sort_by_key(|(name, _)| *name);
    entries.into_iter().map(|(name, of)| (name.clone(), value(of))).collect()
}

/// `context`, empty where there is none.
pub(super) fn context(members: &Map<String, Value>) -> Result<Map<String, Value>, Malformed> {
    match members.get("context") {
        None => Ok(Map::new()),
        Some(Value::Object(context)) => Ok(context.clone()),
        Some(_) => Err(Malformed(CONTEXT)),
    }
}

pub(super) fn subject(members: &Map<String, Value>) -> Result<Entity, Malformed> {
    entity(members.get("subject"), SUBJECT)
}

pub(super) fn resource(members: &Map<String, Value>) -> Result<Entity, Malformed> {
    entity(members.get("resource"), RESOURCE)
}

/// A subject or resource of which only the type is given: whose id is searched.
pub(super) fn of_type(members: &Map<String, Value>, member: &str) -> Result<Entity, Malformed> {
    let why = Malformed("what is searched is missing, or is not an object with `type`");
    let Some(Value::Object(found)) = members.get(member) else { return Err(why) };
    let kind = text(found, "type").ok_or(why)?;
    Ok(Entity { kind, id: String::new(), properties: properties(found).ok_or(why)? })
}

fn entity(value: Option<&Value>, why: &'static str) -> Result<Entity, Malformed> {
    let Some(Value::Object(members)) = value else { return Err(Malformed(why)) };
    let read =
        || Some(Entity { kind: text(members, "type")?, id: text(members, "id")?, properties: properties(members)? });
    read().ok_or(Malformed(why))
}

pub(super) fn action(members: Option<&Value>) -> Result<ActionAsked, Malformed> {
    let Some(Value::Object(members)) = members else { return Err(Malformed(ACTION)) };
    let read = || Some(ActionAsked { name: text(members, "name")?, properties: properties(members)? });
    read().ok_or(Malformed(ACTION))
}

/// A text that says something.
fn text(members: &Map<String, Value>, name: &str) -> Option<String> {
    members.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn properties(members: &Map<String, Value>) -> Option<Map<String, Value>> {
    match members.get("properties") {
        None => Some(Map::new()),
        Some(Value::Object(properties)) => Some(properties.clone()),
        Some(_) => None,
    }
}

/// One question of a batch: each member as the question has it, otherwise as the batch does. An entity replaces the batch's
/// whole, but for required members that it leaves out.
pub(super) fn merged(batch: &Map<String, Value>, one: &Map<String, Value>) -> Map<String, Value> {
    let mut merged = Map::new();
    for (member, required) in
        [("subject", &["type", "id"][..]), ("action", &["name"]), ("resource", &["type", "id"]), ("context", &[])]
    {
        let value = match (one.get(member), batch.get(member)) {
            (Some(Value::Object(own)), Some(Value::Object(general))) => {
                let mut own = own.clone();
                for name in required {
                    if let (false, Some(value)) = (own.contains_key(*name), general.get(*name)) {
                        own.insert((*name).to_owned(), value.clone());
                    }
                }
                Some(Value::Object(own))
            }
            (Some(own), _) => Some(own.clone()),
            (None, general) => general.cloned(),
        };
        if let Some(value) = value {
            merged.insert(member.to_owned(), value);
        }
    }
    merged
}
