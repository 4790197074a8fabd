//! What is proposed of what was seen: how far each rule reaches, and that it is valid Cedar whatever the names are.

mod http;

use std::sync::Arc;

use kernel::policy::{Bundle, Disclosure, Mode, PolicyFile, SnapshotParts, Upstream};
use kernel::trust::Trust;

use super::*;
use crate::suggest::usage::Denied;

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn snapshot() -> Snapshot {
    let upstream = Upstream {
        name: name("shop-db"),
        environment: name("production"),
        mode: Mode::Enforce,
        disclosure: Disclosure::Full,
        classes: vec![("public.customers.email".to_owned(), "pii".to_owned())],
    };
    let parts = SnapshotParts {
        epoch: 1,
        policies: Vec::new(),
        workloads: Vec::new(),
        upstreams: vec![upstream],
        trust: Trust::default(),
    };
    Snapshot::build(parts).unwrap()
}

fn resource(kind: ResourceKind, path: &str) -> Resource {
    Resource::new(kind, &name("shop-db"), path.split('.').filter(|part| !part.is_empty()))
}

fn deed(action: Action, kind: ResourceKind, path: &str) -> Deed {
    Deed { workload: name("reporting"), resource: resource(kind, path), action }
}

fn denied(why: &str) -> Denied {
    Denied { workload: name("reporting"), upstream: name("shop-db"), why: why.to_owned() }
}

fn tally(count: u64) -> Tally {
    let mut tally = Tally::default();
    for _time in 0..count {
        tally.add("2026-11-21T10:00:00.000Z", Some("select $1"));
    }
    tally
}

fn seen(deeds: &[(Action, ResourceKind, &str)]) -> Usage {
    let permitted = deeds.iter().map(|(action, kind, path)| (deed(*action, *kind, path), tally(2))).collect();
    Usage { decisions: 2, permitted, ..Usage::default() }
}

/// How many policies stand in the file.
fn loaded(rules: &[Rule], usage: &Usage, options: Options) -> usize {
    let text = cedar::file(rules, usage, options, "a test");
    let file = PolicyFile { name: "suggested.cedar".into(), text: text.as_str().into() };
    let bundle = Bundle::load(&[file]).unwrap_or_else(|problems| panic!("{problems:?}\n{text}"));
    bundle.policies().len()
}

/// Each rule in a line.
fn proposed(usage: &Usage, options: Options) -> Vec<String> {
    let rules = rules(usage, &snapshot(), options);
    assert_eq!(loaded(&rules, usage, options), rules.iter().filter(|rule| rule.ground == Ground::Permitted).count());
    let line = |rule: &Rule| {
        let actions: Vec<&str> = rule.actions.iter().map(|action| action.as_str()).collect();
        let reach = match &rule.reach {
            Reach::Below(resource) => format!("in {resource}"),
            Reach::Exactly(resource) => format!("== {resource}"),
            Reach::Parts(_, parts) => parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        format!("{} {reach}", actions.join("+"))
    };
    rules.iter().map(line).collect()
}

use Action::*;
use ResourceKind::*;

#[test]
fn rules_reach_as_far_as_stated() {
    let none = Options::default();
    for (what, deeds, options, expected) in [
        (
            "settings and transactions stand for the upstream",
            vec![(Connect, Upstream, ""), (SqlTransaction, Database, "shop"), (SqlSet, Object, "shop.setting.x")],
            none,
            vec!["connect:session+sql:transaction+sql:set in shop-db"],
        ),
        (
            "columns stand for their table",
            vec![
                (SqlSelect, Table, "shop.public.orders"),
                (SqlSelect, Column, "shop.public.orders.id"),
                (SqlInfer, Column, "shop.public.orders.total"),
            ],
            none,
            vec!["sql:select+sql:infer in shop-db/shop.public.orders"],
        ),
        (
            "a labelled column keeps all columns of its table apart",
            vec![
                (SqlSelect, Table, "shop.public.customers"),
                (SqlSelect, Column, "shop.public.customers.id"),
                (SqlInfer, Column, "shop.public.customers.id"),
                (SqlSelect, Column, "shop.public.customers.name"),
                (SqlSelect, Column, "shop.public.customers.email"),
            ],
            none,
            vec![
                "sql:select == shop-db/shop.public.customers",
                "sql:select shop-db/shop.public.customers.email shop-db/shop.public.customers.name",
                "sql:select+sql:infer shop-db/shop.public.customers.id",
            ],
        ),
        (
            "what changes a database stands for itself",
            vec![
                (SqlCreate, Object, "shop.role.x"),
                (SqlCall, Function, "shop.public.pay"),
                (SqlSelect, Database, "shop"),
            ],
            none,
            vec![
                "sql:call == shop-db/shop.public.pay",
                "sql:create == shop-db/shop.role.x",
                "sql:select == shop-db/shop",
            ],
        ),
        (
            "tables stand for their schema from as many on as was said",
            vec![(SqlSelect, Table, "shop.a.x"), (SqlSelect, Table, "shop.a.y"), (SqlSelect, Table, "shop.b.x")],
            Options { schema_from: Some(2) },
            vec!["sql:select in shop-db/shop.a", "sql:select in shop-db/shop.b.x"],
        ),
        (
            "never with other actions, and never what removes rows",
            vec![
                (SqlSelect, Table, "shop.a.x"),
                (SqlInsert, Table, "shop.a.y"),
                (SqlDelete, Table, "shop.b.x"),
                (SqlDelete, Table, "shop.b.y"),
            ],
            Options { schema_from: Some(2) },
            vec![
                "sql:select in shop-db/shop.a.x",
                "sql:insert in shop-db/shop.a.y",
                "sql:delete in shop-db/shop.b.x",
                "sql:delete in shop-db/shop.b.y",
            ],
        ),
        (
            "never across a labelled column",
            vec![
                (SqlSelect, Table, "shop.public.x"),
                (SqlSelect, Table, "shop.public.y"),
                (SqlInfer, Column, "shop.public.customers.email"),
            ],
            Options { schema_from: Some(2) },
            vec![
                "sql:select in shop-db/shop.public.x",
                "sql:select in shop-db/shop.public.y",
                "sql:infer shop-db/shop.public.customers.email",
            ],
        ),
    ] {
        let mut found = proposed(&seen(&deeds), options);
        found.sort();
        let mut expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
        expected.sort();
        assert_eq!(found, expected, "{what}");
    }
}

/// What left masked is as good as labelled, whoever labelled it.
#[test]
fn masked_columns_stand_for_themselves() {
    let mut usage =
        seen(&[(SqlSelect, Column, "shop.public.orders.total"), (SqlSelect, Column, "shop.public.orders.id")]);
    usage.masked.insert(resource(Column, "shop.public.orders.total"));
    let expected = ["sql:select shop-db/shop.public.orders.id shop-db/shop.public.orders.total"];
    assert_eq!(proposed(&usage, Options::default()), expected);
}

/// Neither a denial nor what passed without a permit becomes one by itself.
#[test]
fn what_no_policy_permits_is_for_a_person() {
    let mut usage = seen(&[]);
    usage.unpermitted.insert(deed(SqlSelect, Table, "shop.public.orders"), tally(3));
    usage.denied.insert(denied("agents-never-destroy"), tally(1));
    let rules = rules(&usage, &snapshot(), Options::default());
    let text = cedar::file(&rules, &usage, Options::default(), "a test");
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with("//")), "{text}");
    for part in ["// permit (", "// 3 × from", "1 × reporting at shop-db, by agents-never-destroy, such as: select $1"]
    {
        assert!(text.contains(part), "{part}\n{text}");
    }
    // What a policy permits by now is permitted.
    usage.permitted.insert(deed(SqlSelect, Table, "shop.public.orders"), tally(1));
    assert_eq!(proposed(&usage, Options::default()).len(), 1);
}

/// Names come from databases, statements from clients: none can end a string or a comment. Where Cedar refuses a name, its
/// permit stands in comments.
#[test]
fn names_and_statements_cannot_write_policies() {
    let printable = "x\"); permit (principal, action, resource); //";
    let broken = "x\n permit(principal,action,resource);";
    for (hostile, policies) in [(printable, 4), (broken, 0)] {
        let mut usage = Usage::default();
        for (kind, depth) in [(Table, 3), (Column, 4), (Function, 3), (Object, 3)] {
            let resource = Resource::new(kind, &name("shop-db"), vec![Arc::<str>::from(hostile); depth]);
            let mut tally = tally(1);
            tally.example = Some(hostile.to_owned());
            tally.would_be.insert(hostile.to_owned(), 1);
            for deeds in [&mut usage.permitted, &mut usage.unpermitted] {
                let deed = Deed { workload: name("reporting"), resource: resource.clone(), action: SqlSelect };
                deeds.insert(deed, tally.clone());
            }
            usage.denied.insert(denied(hostile), tally.clone());
            let deed = Deed { workload: name("reporting"), resource, action: SqlDrop };
            usage.unpermitted.insert(deed, tally);
        }
        usage.masked.insert(Resource::new(Column, &name("shop-db"), vec![Arc::<str>::from(hostile); 4]));
        // Table and column, function, object.
        let rules = rules(&usage, &snapshot(), Options::default());
        assert_eq!(rules.iter().filter(|rule| rule.ground == Ground::Permitted).count(), 4);
        assert_eq!(loaded(&rules, &usage, Options::default()), policies, "{hostile:?}");
    }
}
