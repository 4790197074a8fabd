//! What comments and security labels are read as.

use super::*;

#[test]
fn comments_and_labels_name_classes() {
    for (label, text, expected) in [
        (false, "@class(pii)", &["pii"][..]),
        (false, "Where to write to. @class( pii, pci ) Not for mailings.", &["pii", "pci"]),
        (false, "@class(pii) and @class (secret), again @class(pii)", &["pii", "secret"]),
        (false, "@class(none)", &["none"]),
        (false, "@classified (no)", &[]),
        (false, "see @class in the manual", &[]),
        (false, "@class(", &["unreadable"]),
        (false, "@class()", &["unreadable"]),
        (false, "@class(personal data)", &["unreadable"]),
        (false, "@class(pii,,pci)", &["pii", "unreadable", "pci"]),
        (true, "pii", &["pii"]),
        (true, "pii, pci", &["pii", "pci"]),
        (true, "MASKED WITH FUNCTION anon.fake()", &["unreadable"]),
        (true, "", &["unreadable"]),
    ] {
        let found = classes(label, text, &mut |name| name.into());
        assert_eq!(found.iter().map(|class| &**class).collect::<Vec<_>>(), expected, "{text}");
    }
}
