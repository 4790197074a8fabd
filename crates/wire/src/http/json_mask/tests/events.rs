//! Server-sent events.

use kernel::verdict::Mask;

use super::{cut_everywhere, masks};
use crate::http::json_mask::{Detect, Form, MaskError};

#[test]
fn the_data_of_events_is_masked() {
    let email = masks(&[("$.email", Mask::Partial), ("$.o", Mask::Redact), ("$.n", Mask::Redact)], Detect::Off);
    let cases = [
        ("data: {\"email\":\"marie\"}\n\n", Ok("data: {\"email\":\"m***\"}\n\n")),
        ("data:{\"email\":\"marie\"}\r\n\r\n", Ok("data:{\"email\":\"m***\"}\r\n\r\n")),
        ("data: {\"email\":\"marie\"}\r\r", Ok("data: {\"email\":\"m***\"}\r\r")),
        ("event: x\nid: 7\nretry: 5\ndata: 1\n\n", Ok("event: x\nid: 7\nretry: 5\ndata: 1\n\n")),
        ("data: {\"email\":\ndata: \"marie\"}\n\n", Ok("data: {\"email\":\ndata: \"m***\"}\n\n")),
        ("data: {\"n\":17\ndata: }\n\n", Ok("data: {\"n\":0\ndata: }\n\n")),
        ("data: {\"o\":{\ndata: \"x\":1}}\n\n", Ok("data: {\"o\":\"[redacted]\"\ndata: }\n\n")),
        (
            "data: {\"email\":\"marie\"}\n\ndata: {\"email\":\"pierre\"}\n\n",
            Ok("data: {\"email\":\"m***\"}\n\ndata: {\"email\":\"p***\"}\n\n"),
        ),
        ("data: [DONE]\n\n", Ok("data: [DONE]\n\n")),
        ("data: [1]\n\ndata: []\n\n", Ok("data: [1]\n\ndata: []\n\n")),
        ("\n\n: ping marie\n\n", Ok("\n\n:\n\n")),
        ("x-email: marie\n\n", Ok(":\n\n")),
        ("data\n\ndata:\n\ndata: \n\n", Ok("data:\n\ndata:\n\ndata: \n\n")),
        ("datas: marie\n\n", Ok(":\n\n")),
        ("", Ok("")),
        // No event ends here, and no client takes it for one.
        ("data: 1\n", Ok("data: 1\n")),
        ("data: 1", Err(MaskError::Truncated)),
        ("data: marie\n\n", Err(MaskError::Invalid)),
        ("data: [DONE] marie\n\n", Err(MaskError::Invalid)),
        ("data: [DON\n\n", Err(MaskError::Invalid)),
        ("data: {\"email\":\"marie\n\n", Err(MaskError::Invalid)),
        ("data: {\"email\":\"ma\ndata: rie\"}\n\n", Err(MaskError::Invalid)),
        ("data: {\"email\"\n\n", Err(MaskError::Truncated)),
    ];
    for (input, expect) in cases {
        let masked = cut_everywhere(&email, Form::Events, input.as_bytes());
        let masked = masked.map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(masked.as_deref().map_err(|error| *error), expect, "{input:?}");
    }
    // Where all of it is masked, the other fields could say it.
    let whole = masks(&[("$", Mask::Redact)], Detect::Off);
    let masked = cut_everywhere(&whole, Form::Events, b"event: marie\nid: marie\ndata: \"marie\"\n\n").unwrap();
    assert_eq!(String::from_utf8(masked).unwrap(), ":\n:\ndata: \"[redacted]\"\n\n");
}
