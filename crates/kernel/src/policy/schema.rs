//! The Cedar schema that every policy is checked against, and the Cedar names of Parapet's words.
//!
//! The text is `parapet.cedarschema`, embedded. It is parsed once for each bundle that is loaded; nothing is kept globally.

use std::str::FromStr;

use cedar_policy::{Entity, EntityId, EntityTypeName, EntityUid, Schema};

use crate::operation::Action;
use crate::resource::ResourceKind;

/// The schema's text, for people and editors.
pub const TEXT: &str = include_str!("parapet.cedarschema");

/// The embedded schema and what Cedar must be told by name, parsed once.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) schema: Schema,
    pub(crate) workload: EntityTypeName,
    pub(crate) group: EntityTypeName,
    pub(crate) environment: EntityTypeName,
    /// The parts of an HTTP request that hold named texts and numbers, as tags.
    pub(crate) texts: EntityTypeName,
    pub(crate) numbers: EntityTypeName,
    kinds: Vec<(ResourceKind, EntityTypeName)>,
    /// In the order of `Action::ALL`.
    actions: Vec<ActionEntity>,
}

/// An action as Cedar knows it: itself, its group, and its place in the hierarchy.
#[derive(Debug)]
pub(crate) struct ActionEntity {
    pub(crate) uid: EntityUid,
    pub(crate) group: EntityUid,
    pub(crate) entity: Entity,
}

/// The embedded schema cannot be used. A test proves that this does not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the embedded schema cannot be read")]
pub(crate) struct BrokenSchema;

impl Vocabulary {
    pub(crate) fn new() -> Result<Self, BrokenSchema> {
        let (schema, _warnings) = Schema::from_cedarschema_str(TEXT).map_err(|_| BrokenSchema)?;
        let name = |text: &str| EntityTypeName::from_str(text).map_err(|_| BrokenSchema);
        let action_type = name("Action")?;
        let action_uid = |text: &str| EntityUid::from_type_name_and_id(action_type.clone(), EntityId::new(text));
        let actions = Action::ALL
            .iter()
            .map(|action| {
                let (uid, group) = (action_uid(action.as_str()), action_uid(action.group().as_str()));
                let entity = Entity::new_no_attrs(uid.clone(), [group.clone()].into());
                ActionEntity { uid, group, entity }
            })
            .collect();
        let kinds = ResourceKind::ALL
            .into_iter()
            .map(|kind| Ok((kind, name(kind.as_str())?)))
            .collect::<Result<_, BrokenSchema>>()?;
        Ok(Self {
            schema,
            workload: name("Workload")?,
            group: name("Group")?,
            environment: name("Environment")?,
            texts: name("Texts")?,
            numbers: name("Numbers")?,
            kinds,
            actions,
        })
    }

    /// The action as Cedar knows it.
    pub(crate) fn action(&self, action: Action) -> Option<&ActionEntity> {
        let position = Action::ALL.iter().position(|other| *other == action)?;
        self.actions.get(position)
    }

    /// The entity type of a kind of resource.
    pub(crate) fn kind(&self, kind: ResourceKind) -> Option<&EntityTypeName> {
        self.kinds.iter().find(|(other, _)| *other == kind).map(|(_, name)| name)
    }
}

/// An entity of type `type_name`.
pub(crate) fn uid(type_name: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_name.clone(), EntityId::new(id))
}

#[cfg(test)]
mod tests;
