//! The schema names exactly the actions, groups and kinds of resource that the kernel knows.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::operation::ActionGroup;

#[test]
fn schema_actions_are_those_of_the_kernel() {
    let schema = Vocabulary::new().unwrap().schema;
    let entities = schema.action_entities().unwrap();
    let mut members = BTreeMap::new();
    let mut groups = BTreeSet::new();
    for uid in schema.actions() {
        let id = uid.id().unescaped().to_owned();
        if ActionGroup::ALL.iter().any(|group| group.as_str() == id) {
            groups.insert(id);
        } else {
            let parents: Vec<String> = entities
                .ancestors(uid)
                .into_iter()
                .flatten()
                .map(|parent| parent.id().unescaped().to_owned())
                .collect();
            members.insert(id, parents);
        }
    }
    let expected: BTreeMap<String, Vec<String>> = Action::ALL
        .iter()
        .map(|action| (action.as_str().to_owned(), vec![action.group().as_str().to_owned()]))
        .collect();
    assert_eq!(members, expected);
    assert_eq!(groups, ActionGroup::ALL.iter().map(|group| group.as_str().to_owned()).collect());
}

#[test]
fn schema_types_are_those_of_the_kernel() {
    let vocabulary = Vocabulary::new().unwrap();
    let types: BTreeSet<String> = vocabulary.schema.entity_types().map(ToString::to_string).collect();
    let mut expected: BTreeSet<String> = vocabulary.kinds.iter().map(|(kind, _)| kind.as_str().to_owned()).collect();
    expected.extend(["Workload", "Group", "Environment", "Texts", "Numbers"].map(str::to_owned));
    expected.extend(types.contains("Action").then(|| "Action".to_owned()));
    assert_eq!(types, expected);
}
