//! What the name of a column says about what it holds. Names are cut into words at `_`, `-`, digits and capitals, so that
//! `customerEmail`, `CUSTOMER_EMAIL` and `email2` are read alike, and `thermal` holds no `email`.

/// Words that must stand in a name one after the other; the class; what it then holds; whether values could show it too.
type Rule = (&'static [&'static str], &'static str, &'static str, bool);

const RULES: &[Rule] = &[
    (&["email"], "pii", "e-mail address", true),
    (&["e", "mail"], "pii", "e-mail address", true),
    (&["mail"], "pii", "e-mail address", true),
    (&["phone"], "pii", "telephone number", true),
    (&["telephone"], "pii", "telephone number", true),
    (&["tel"], "pii", "telephone number", true),
    (&["mobile"], "pii", "telephone number", true),
    (&["msisdn"], "pii", "telephone number", true),
    (&["fax"], "pii", "telephone number", true),
    (&["card", "number"], "pci", "card number", true),
    (&["card", "no"], "pci", "card number", true),
    (&["cardnumber"], "pci", "card number", true),
    (&["credit", "card"], "pci", "card number", true),
    (&["creditcard"], "pci", "card number", true),
    (&["cc", "number"], "pci", "card number", true),
    (&["pan"], "pci", "card number", true),
    (&["card"], "pci", "card number", true),
    (&["cvv"], "pci", "card's check value", false),
    (&["cvc"], "pci", "card's check value", false),
    (&["iban"], "pii", "account number", true),
    (&["account", "number"], "pii", "account number", false),
    (&["bank", "account"], "pii", "account number", false),
    (&["ssn"], "pii", "national identity number", true),
    (&["social", "security"], "pii", "national identity number", true),
    (&["nino"], "pii", "national identity number", true),
    (&["national", "insurance"], "pii", "national identity number", true),
    (&["national", "id"], "pii", "national identity number", true),
    (&["steuer"], "pii", "national identity number", true),
    (&["tax", "id"], "pii", "national identity number", true),
    (&["tin"], "pii", "national identity number", true),
    (&["bsn"], "pii", "national identity number", true),
    (&["pesel"], "pii", "national identity number", true),
    (&["dni"], "pii", "national identity number", true),
    (&["nir"], "pii", "national identity number", true),
    (&["cpf"], "pii", "national identity number", true),
    (&["ahv"], "pii", "national identity number", true),
    (&["aadhaar"], "pii", "national identity number", true),
    (&["personnummer"], "pii", "national identity number", true),
    (&["passport"], "pii", "passport number", false),
    (&["driver", "license"], "pii", "licence number", false),
    (&["first", "name"], "pii", "person's name", false),
    (&["firstname"], "pii", "person's name", false),
    (&["given", "name"], "pii", "person's name", false),
    (&["last", "name"], "pii", "person's name", false),
    (&["lastname"], "pii", "person's name", false),
    (&["surname"], "pii", "person's name", false),
    (&["family", "name"], "pii", "person's name", false),
    (&["full", "name"], "pii", "person's name", false),
    (&["fullname"], "pii", "person's name", false),
    (&["maiden", "name"], "pii", "person's name", false),
    (&["birth"], "pii", "date of birth", false),
    (&["birthday"], "pii", "date of birth", false),
    (&["birthdate"], "pii", "date of birth", false),
    (&["dob"], "pii", "date of birth", false),
    (&["street"], "pii", "postal address", false),
    (&["postal", "address"], "pii", "postal address", false),
    (&["home", "address"], "pii", "postal address", false),
    (&["address", "line"], "pii", "postal address", false),
    (&["ip", "address"], "pii", "network address", true),
    (&["ip", "addr"], "pii", "network address", true),
    (&["ip"], "pii", "network address", true),
    (&["address"], "pii", "postal address", false),
    (&["gender"], "pii", "personal trait", false),
    (&["religion"], "pii", "personal trait", false),
    (&["ethnicity"], "pii", "personal trait", false),
    (&["diagnosis"], "pii", "health", false),
    (&["salary"], "pii", "pay", false),
    (&["password"], "secret", "password", false),
    (&["passwd"], "secret", "password", false),
    (&["pwd"], "secret", "password", false),
    (&["passphrase"], "secret", "password", false),
    (&["secret"], "secret", "secret", false),
    (&["api", "key"], "secret", "token", false),
    (&["apikey"], "secret", "token", false),
    (&["private", "key"], "secret", "private key", false),
    (&["access", "token"], "secret", "token", false),
    (&["refresh", "token"], "secret", "token", false),
    (&["auth", "token"], "secret", "token", false),
    (&["session", "token"], "secret", "token", false),
    (&["token"], "secret", "token", false),
    (&["credential"], "secret", "credential", false),
    (&["credentials"], "secret", "credential", false),
    (&["totp"], "secret", "credential", false),
    (&["otp"], "secret", "credential", false),
];

/// Last words that make a name speak about something else: when it was sent, how many there are, which row of a table.
const ABOUT: [&str; 18] = [
    "id", "at", "on", "count", "sent", "verified", "enabled", "type", "status", "template", "expires", "expiry",
    "date", "hint", "policy", "length", "attempts", "domain",
];

/// What a name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The class that fits.
    pub class: &'static str,
    /// What such a column holds.
    pub what: &'static str,
    /// A detector knows such values: where none is among many samples, the name misleads.
    pub(super) shows: bool,
}

/// What the name of a column says about what it holds; nothing for most names.
pub fn by_name(column: &str) -> Option<Named> {
    let words = words(column);
    let rule =
        RULES.iter().find(|(wanted, ..)| words.windows(wanted.len()).any(|window| window.iter().eq(wanted.iter())))?;
    let (wanted, class, what, shows) = *rule;
    let about =
        words.last().is_some_and(|last| ABOUT.contains(&last.as_str()) && Some(&last.as_str()) != wanted.last());
    // A date of birth is what `birth_date` is.
    (!about || what == "date of birth").then_some(Named { class, what, shows })
}

fn words(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut before = ' ';
    for character in name.chars() {
        let joint = before.is_lowercase() && character.is_uppercase();
        if !character.is_alphabetic() || joint || !before.is_alphabetic() {
            words.push(String::new());
        }
        if character.is_alphabetic()
            && let Some(word) = words.last_mut()
        {
            word.extend(character.to_lowercase());
        }
        before = character;
    }
    words.retain(|word| !word.is_empty());
    words
}
