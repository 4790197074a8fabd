//! What a column's type means for a mask: the types of PostgreSQL that masks know, by their object ids, which `initdb`
//! fixes, and what their modifiers say.
//!
//! A domain is described by the server as the type beneath it. Types of an extension or of the user's own (enums, composites,
//! `citext`) have no fixed id, so they are opaque: their masked values become NULL.

/// The modifier of `char(n)` and `varchar(n)` counts this, too.
const HEADER: i32 = 4;

/// How the values of a type look, and which values it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text of at most so many characters, if there is a limit; filled up with spaces if `padded`.
    Text {
        limit: Option<u32>,
        padded: bool,
    },
    /// An integer of so many bytes: 2, 4 or 8.
    Integer {
        bytes: usize,
    },
    /// A float of 4 or 8 bytes.
    Float {
        bytes: usize,
    },
    /// A decimal number, with precision and scale where the column declares them.
    Numeric {
        declared: Option<(u32, u32)>,
    },
    Boolean,
    Date,
    Time,
    Timestamp,
    /// With time zone: the text form has an offset.
    TimestampTz,
    Interval,
    Uuid,
    Json,
    Jsonb,
    Bytea,
    /// An address; `cidr` if it must be a network.
    Address {
        cidr: bool,
    },
    /// A hardware address of 6 or 8 bytes.
    Hardware {
        bytes: usize,
    },
    Range,
    Multirange,
    /// Nothing is known of its values.
    Opaque,
}

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Type {
    /// Of the value, or of each element.
    pub(super) kind: Kind,
    /// Whether it is an array.
    pub(super) array: bool,
}

/// The type of that object id and modifier; −1 is no modifier.
pub(super) fn type_of(oid: u32, modifier: i32) -> Type {
    match element(oid) {
        Some(element) => Type { kind: kind(element, modifier), array: true },
        None => Type { kind: kind(oid, modifier), array: false },
    }
}

fn kind(oid: u32, modifier: i32) -> Kind {
    let limit = modifier.checked_sub(HEADER).and_then(|limit| u32::try_from(limit).ok());
    match oid {
        // text, unknown
        25 | 705 => Kind::Text { limit: None, padded: false },
        // name: 63 bytes
        19 => Kind::Text { limit: Some(63), padded: false },
        1043 => Kind::Text { limit, padded: false },
        1042 => Kind::Text { limit, padded: true },
        21 => Kind::Integer { bytes: 2 },
        23 => Kind::Integer { bytes: 4 },
        20 => Kind::Integer { bytes: 8 },
        700 => Kind::Float { bytes: 4 },
        701 => Kind::Float { bytes: 8 },
        // The scale is eleven bits with a sign, since PostgreSQL 15; one that is negative or above the precision is rare.
        1700 => Kind::Numeric {
            declared: limit.map(|bits| (bits >> 16, bits & 0x7ff)).filter(|(precision, scale)| scale <= precision),
        },
        16 => Kind::Boolean,
        1082 => Kind::Date,
        1083 => Kind::Time,
        1114 => Kind::Timestamp,
        1184 => Kind::TimestampTz,
        1186 => Kind::Interval,
        2950 => Kind::Uuid,
        114 => Kind::Json,
        3802 => Kind::Jsonb,
        17 => Kind::Bytea,
        869 => Kind::Address { cidr: false },
        650 => Kind::Address { cidr: true },
        829 => Kind::Hardware { bytes: 6 },
        774 => Kind::Hardware { bytes: 8 },
        // int4range, numrange, tsrange, tstzrange, daterange, int8range
        3904 | 3906 | 3908 | 3910 | 3912 | 3926 => Kind::Range,
        4451 | 4532..=4536 => Kind::Multirange,
        _ => Kind::Opaque,
    }
}

/// The element type of an array type.
fn element(oid: u32) -> Option<u32> {
    Some(match oid {
        1000 => 16,
        1001 => 17,
        1003 => 19,
        1005 => 21,
        1007 => 23,
        1009 => 25,
        1014 => 1042,
        1015 => 1043,
        1016 => 20,
        1021 => 700,
        1022 => 701,
        1231 => 1700,
        1182 => 1082,
        1183 => 1083,
        1115 => 1114,
        1185 => 1184,
        1187 => 1186,
        2951 => 2950,
        199 => 114,
        3807 => 3802,
        1041 => 869,
        651 => 650,
        1040 => 829,
        775 => 774,
        3905 => 3904,
        3907 => 3906,
        3909 => 3908,
        3911 => 3910,
        3913 => 3912,
        3927 => 3926,
        _ => return None,
    })
}
