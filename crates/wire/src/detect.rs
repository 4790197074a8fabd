//! Detectors: what in a text looks like personal data or a secret, by form and check digits. No value leaves this module: a
//! hit says what kind it is and where it stands.
//!
//! A detector is a signal and never the control: masks follow lineage and classes. One lazy DFA finds candidates
//! (`scan.rs`), validators by hand decide (`digits.rs`, `letters.rs`, `secrets.rs`). `names.rs` judges the names of columns,
//! `suggest.rs` puts names and samples together. The labelled corpus stands in `testdata/detect`.

mod checksum;
mod digits;
mod letters;
mod names;
mod scan;
mod secrets;
mod suggest;

pub use names::{Named, by_name};
pub use scan::{Detector, Scratch};
pub use suggest::{Confidence, Evidence, Suggestion, sample_query, samples_type};

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A telephone number, ITU-T E.164 or in the national form of North America or with a leading 0.
    Phone,
    /// The number of a payment card, ISO/IEC 7812, by issuer range and Luhn.
    PaymentCard,
    /// An account number, ISO 13616, by country's length and mod 97.
    Iban,
    /// United States: social security number, by the numbers that are issued.
    UsSsn,
    /// United Kingdom: National Insurance number, by the prefixes that are issued.
    UkNino,
    /// Germany: Steuer-Identifikationsnummer, ISO 7064 MOD 11,10.
    DeSteuerId,
    /// France: numéro d'inscription au répertoire, mod 97.
    FrNir,
    /// Netherlands: burgerservicenummer, by the eleven test.
    NlBsn,
    /// Poland: PESEL, by date and check digit.
    PlPesel,
    /// Spain: DNI and NIE, by check letter.
    EsDni,
    /// Italy: codice fiscale, by check letter.
    ItCodiceFiscale,
    /// Belgium: national register number, by date and mod 97.
    BeNrn,
    /// Switzerland: AHV number, by its prefix and check digit.
    ChAhv,
    /// Sweden: personnummer, by date and Luhn.
    SePersonnummer,
    /// Brazil: CPF, by two check digits.
    BrCpf,
    /// India: Aadhaar, by Verhoeff's check digit.
    InAadhaar,
    /// A JSON Web Token, RFC 7519.
    Jwt,
    /// A token of a cloud or an API, by its well-known prefix, or a credential in a URL.
    ApiToken,
    /// A private key in PEM (RFC 7468), PuTTY's or age's form.
    PrivateKey,
    /// A password's hash in a known form: crypt, bcrypt, argon2, PBKDF2, SCRAM, LDAP.
    PasswordHash,
    /// An IPv4 or IPv6 address.
    IpAddress,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 22] = [
        Self::Email,
        Self::Phone,
        Self::PaymentCard,
        Self::Iban,
        Self::UsSsn,
        Self::UkNino,
        Self::DeSteuerId,
        Self::FrNir,
        Self::NlBsn,
        Self::PlPesel,
        Self::EsDni,
        Self::ItCodiceFiscale,
        Self::BeNrn,
        Self::ChAhv,
        Self::SePersonnummer,
        Self::BrCpf,
        Self::InAadhaar,
        Self::Jwt,
        Self::ApiToken,
        Self::PrivateKey,
        Self::PasswordHash,
        Self::IpAddress,
    ];

    /// What people and programs call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::PaymentCard => "payment-card",
            Self::Iban => "iban",
            Self::UsSsn => "us-ssn",
            Self::UkNino => "uk-nino",
            Self::DeSteuerId => "de-steuer-id",
            Self::FrNir => "fr-nir",
            Self::NlBsn => "nl-bsn",
            Self::PlPesel => "pl-pesel",
            Self::EsDni => "es-dni",
            Self::ItCodiceFiscale => "it-codice-fiscale",
            Self::BeNrn => "be-nrn",
            Self::ChAhv => "ch-ahv",
            Self::SePersonnummer => "se-personnummer",
            Self::BrCpf => "br-cpf",
            Self::InAadhaar => "in-aadhaar",
            Self::Jwt => "jwt",
            Self::ApiToken => "api-token",
            Self::PrivateKey => "private-key",
            Self::PasswordHash => "password-hash",
            Self::IpAddress => "ip-address",
        }
    }

    /// The class that is suggested for a column of such values.
    pub const fn class(self) -> &'static str {
        match self {
            Self::PaymentCard => "pci",
            Self::Jwt | Self::ApiToken | Self::PrivateKey | Self::PasswordHash => "secret",
            Self::Email
            | Self::Phone
            | Self::Iban
            | Self::UsSsn
            | Self::UkNino
            | Self::DeSteuerId
            | Self::FrNir
            | Self::NlBsn
            | Self::PlPesel
            | Self::EsDni
            | Self::ItCodiceFiscale
            | Self::BeNrn
            | Self::ChAhv
            | Self::SePersonnummer
            | Self::BrCpf
            | Self::InAadhaar
            | Self::IpAddress => "pii",
        }
    }

    /// Its place in [`Self::ALL`].
    pub fn place(self) -> usize {
        Self::ALL.iter().position(|kind| *kind == self).unwrap_or_default()
    }
}

/// How much one hit says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Something that many innocent values match: only a column full of them says something.
    Hint,
    /// A form that few innocent values have.
    Likely,
    /// Check digits, or a prefix, that an innocent value has by rare accident only.
    Certain,
}

/// Something that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hit {
    /// What it looks like.
    pub kind: Kind,
    /// How much that says.
    pub strength: Strength,
    /// The first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

/// The byte at a place; 0 beyond the end, which is part of no value.
fn byte(text: &[u8], at: usize) -> u8 {
    spend(1);
    text.get(at).copied().unwrap_or(0)
}

/// Counts bytes that a validator looks at, so that a test can hold it to a constant for each byte of the text.
#[cfg(test)]
fn spend(bytes: usize) {
    tests::SPENT.with(|spent| spent.set(spent.get() + bytes));
}

#[cfg(not(test))]
const fn spend(_bytes: usize) {}

/// The bytes of a range; none where it does not fit.
fn part(text: &[u8], start: usize, end: usize) -> &[u8] {
    text.get(start..end).unwrap_or_default()
}

/// A byte that continues a word: what stands beside it is part of something longer.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Does a word end before a place?
fn starts_clean(text: &[u8], start: usize) -> bool {
    start.checked_sub(1).is_none_or(|before| !is_word(byte(text, before)))
}

#[cfg(test)]
mod tests;
