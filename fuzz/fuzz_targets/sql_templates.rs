//! Two texts in one memory of templates: each gets the analysis that it would get alone.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::sql::{Catalogue, Templates, analyse};

fuzz_target!(|texts: (&str, &str)| {
    if texts.0.len() + texts.1.len() > 4_096 {
        return;
    }
    let catalogue = Catalogue::from_rows("shop", 18, 1, &[], &[], &[]).expect("no rows at all");
    let upstream = "shop-db".parse().expect("a name");
    let templates = Templates::new();
    for text in [texts.0, texts.1, texts.0] {
        let remembered = templates.analyse(text, &catalogue, &upstream).map(|analysis| analysis.shape);
        let alone = analyse(text, &catalogue, &upstream).map(|analysis| analysis.shape);
        assert_eq!(remembered.is_ok(), alone.is_ok());
        if let (Ok(remembered), Ok(alone)) = (remembered, alone) {
            assert_eq!(remembered, alone);
        }
    }
});
