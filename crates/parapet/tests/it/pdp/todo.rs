//! The todo application of AuthZEN's interoperability events: its permissions and roles, in a file of its fixtures' shape.

use serde_json::Value;

use super::bed::{pdp, post};
use crate::bed::api::Api;

const POLICIES: &str = r#"
@id("editors-create") permit (principal in Group::"editors", action == Action::"http:POST", resource in Upstream::"todos");
@id("editors-change-their-own") permit (principal in Group::"editors", action in [Action::"http:PUT", Action::"http:DELETE"],
  resource in Upstream::"todos")
when { context.body.hasTag("ownerID") && context.body.getTag("ownerID") == principal.name };
@id("admins-delete") permit (principal in Group::"admins", action == Action::"http:DELETE", resource in Upstream::"todos");
@id("evil-geniuses-update") permit (principal in Group::"evil-geniuses", action == Action::"http:PUT", resource in Upstream::"todos");
"#;

#[test]
fn the_todo_application_gets_its_answers() {
    let people = [
        ("vic", ""),
        ("edda", "\"editors\""),
        ("adam", "\"editors\", \"admins\""),
        ("gene", "\"editors\", \"evil-geniuses\""),
    ];
    let mut table = pdp(
        "\n[pdp.resources.todo]\nupstream = \"todos\"\nactions = { can_read_todos = \"GET /todos\", can_create_todo = \"POST /todos\", \
         can_update_todo = \"PUT /todos/{id}\", can_delete_todo = \"DELETE /todos/{id}\" }\n\n[pdp.resources.user]\n\
         upstream = \"todos\"\nactions = { can_read_user = \"GET /users/{id}\" }\n",
    );
    for (name, groups) in people {
        table.push_str(&format!(
            "\n[workloads.{name}]\nowner = \"mara@example.com\"\nkind = \"service\"\nenvironment = \"production\"\n\
             purpose = \"a user of the scenario\"\ngroups = [{groups}]\n"
        ));
    }
    let bed = Api::new("pdp-todo").upstream("todos", "http://127.0.0.1:9", "").policies(POLICIES).also(&table).start();
    let cases: Value = serde_json::from_str(include_str!("todo.json")).unwrap();
    for case in cases["evaluation"].as_array().unwrap() {
        let came = post(&bed, "/access/v1/evaluation", &case["request"]);
        assert_eq!((came.status, &came.json()["decision"]), (200, &case["expected"]), "{case}");
    }
    for case in cases["evaluations"].as_array().unwrap() {
        let answers = post(&bed, "/access/v1/evaluations", &case["request"]).json()["evaluations"].clone();
        let said = |of: &Value| of.as_array().unwrap().iter().map(|one| one["decision"].clone()).collect::<Vec<_>>();
        assert_eq!(said(&answers), said(&case["expected"]), "{case}");
    }
    let asked = cases["evaluation"].as_array().unwrap().len() + 4;
    assert_eq!(super::bed::answered(&bed).len(), asked);
}
