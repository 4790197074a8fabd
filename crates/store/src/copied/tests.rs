//! Labels of copies: in force at once, durable when kept, read again.

use kernel::policy::{ClassSource, DeclaredClass};

use super::CopiedLabels;
use crate::database::Database;

fn label(column: &str) -> DeclaredClass {
    DeclaredClass {
        schema: "public".into(),
        table: "copy".into(),
        column: Some(column.into()),
        class: "pii".into(),
        source: ClassSource::Copied,
    }
}

#[tokio::test]
async fn labels_are_added_once_kept_and_read_again() {
    let database = Database::in_memory().await.unwrap();
    let (labels, known) = CopiedLabels::open(database.clone()).await.unwrap();
    assert!(known.is_empty());
    let upstream = "shop-db".parse().unwrap();
    assert_eq!(labels.add(&upstream, &[label("a")]), Some(vec![label("a")]));
    assert_eq!(labels.add(&upstream, &[label("a")]), None);
    assert_eq!(labels.add(&upstream, &[label("b"), label("a")]), Some(vec![label("a"), label("b")]));
    assert_eq!(CopiedLabels::open(database.clone()).await.unwrap().1, []);
    labels.keep().await.unwrap();
    labels.keep().await.unwrap();
    let (_, known) = CopiedLabels::open(database).await.unwrap();
    assert_eq!(known, [(upstream, vec![label("a"), label("b")])]);
}
