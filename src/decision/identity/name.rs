//! Distinguished names as text, and their comparison.
//!
//! Text is RFC 4514 as the OPIN certificate standard 7.1.2 narrows it: the attributes in reverse order of
//! the certificate, comma separated; CN, L, ST, O, OU, C, STREET, DC and UID by name, every other attribute
//! as its dotted OID, `=#` and its DER value in hexadecimal. Reading is more generous: blanks beside
//! separators, plain text after a dotted OID, `OID.` before it, well-known names in any case.
//!
//! Names are compared by distinguishedNameMatch (RFC 4517 section 4.2.15), each value by caseIgnoreMatch
//! after the preparation of RFC 4518, and never byte by byte (standard 7.1 item 14).

mod text;
mod value;

use std::fmt;

use thiserror::Error;
use x509_parser::x509::X509Name;

use value::AttributeValue;

/// Names of attributes, and their OIDs. The first [`WRITTEN`] are also written by name.
const KEYWORDS: [(&str, &str); 14] = [
    ("CN", "2.5.4.3"),
    ("L", "2.5.4.7"),
    ("ST", "2.5.4.8"),
    ("O", "2.5.4.10"),
    ("OU", "2.5.4.11"),
    ("C", "2.5.4.6"),
    ("STREET", "2.5.4.9"),
    ("DC", "0.9.2342.19200300.100.1.25"),
    ("UID", "0.9.2342.19200300.100.1.1"),
    ("S", "2.5.4.8"),
    ("SERIALNUMBER", "2.5.4.5"),
    ("BUSINESSCATEGORY", "2.5.4.15"),
    ("ORGANIZATIONIDENTIFIER", "2.5.4.97"),
    ("JURISDICTIONCOUNTRYNAME", "1.3.6.1.4.1.311.60.2.1.3"),
];
const WRITTEN: usize = 9;

/// Why a text is no distinguished name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a distinguished name of RFC 4514 at byte {at}: {what}")]
pub struct NameError {
    /// Where it stops being one.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// A distinguished name.
#[derive(Clone, PartialEq, Eq)]
pub struct Name {
    /// In the order of the text: the last of the certificate first.
    parts: Vec<Vec<Attribute>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Attribute {
    /// Dotted.
    oid: String,
    value: AttributeValue,
}

impl Name {
    /// The name in a certificate.
    pub fn of(name: &X509Name<'_>) -> Self {
        let mut parts: Vec<Vec<Attribute>> = name
            .iter_rdn()
            .map(|part| {
                let attributes = part.iter().map(|attribute| Attribute {
                    oid: attribute.attr_type().to_id_string(),
                    value: AttributeValue::of(attribute.attr_value()),
                });
                attributes.collect()
            })
            .collect();
        parts.reverse();
        Self { parts }
    }

    /// Reads a text.
    ///
    /// # Errors
    ///
    /// [`NameError`] with the byte where the text stops being a name (RFC 4514 section 3): no `=`, an unknown
    /// attribute, a value that is not one, a character that must be escaped. An empty text is the empty name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        text::parse(text)
    }

    /// distinguishedNameMatch: as many parts, in the same order, each with as many attributes, each of which
    /// the other has too.
    pub fn matches(&self, other: &Self) -> bool {
        let pairs = self.parts.iter().zip(&other.parts);
        // `zip` ends with the shorter one: that both are as long is asked below.
        let mut alike = pairs.map(|(ours, theirs)| {
            let count = |all: &[Attribute], one: &Attribute| {
                all.iter().filter(|other| other.matches(one)).count()
            };
            ours.len() == theirs.len()
                && ours.iter().all(|one| {
                    // Counted, for a part may hold an attribute twice: [a, a, b] is not [a, b, b].
                    let found = count(theirs, one);
                    found > 0 && found == count(ours, one)
                })
        });
        self.parts.len() == other.parts.len() && alike.all(|is| is)
    }
}

impl Attribute {
    fn matches(&self, other: &Self) -> bool {
        self.oid == other.oid && self.value.matches(&other.value)
    }

    fn keyword(&self) -> Option<&'static str> {
        let mut written = KEYWORDS.iter().take(WRITTEN);
        written.find(|(_, oid)| *oid == self.oid).map(|(keyword, _)| *keyword)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, part) in self.parts.iter().enumerate() {
            f.write_str(if place > 0 { "," } else { "" })?;
            for (place, attribute) in part.iter().enumerate() {
                f.write_str(if place > 0 { "+" } else { "" })?;
                match attribute.keyword() {
                    Some(keyword) => {
                        write!(f, "{keyword}=")?;
                        attribute.value.write_text(f)?;
                    }
                    None => {
                        write!(f, "{}=", attribute.oid)?;
                        attribute.value.write_der(f)?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// A name may be a person's.
impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Name(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[track_caller]
    fn name(text: &str) -> Name {
        Name::parse(text).unwrap_or_else(|error| unreachable!("{text}: {error}"))
    }

    #[test]
    fn names_match_by_their_values_and_not_their_bytes() {
        for (one, other) in [
            ("CN=tpp.example,O=Seguradora", "cn = TPP.example , o=seguradora"),
            ("O=Seguradora  Exemplo", "O= Seguradora Exemplo "),
            ("2.5.4.97=#0c064f5049425231", "2.5.4.97=OPIBR1"),
            ("2.5.4.97=#0c064f5049425231", "organizationIdentifier=#13064f5049425231"),
            ("OID.2.5.4.15=Private Organization", "businessCategory=private organization"),
            ("CN=a+UID=1", "UID=1+CN=A"),
            ("O=Crédito \\+ Cia\\, S.A.", "O=CRÉDITO \\2b CIA\\2C s.a."),
            ("O=Cre\u{301}dito", "O=Crédito"),
            ("O=\u{ff21}\u{ff22}", "O=ab"),
            ("O=soft\u{ad}ware", "O=software"),
            ("O=Straße", "O=STRASSE"),
            ("O=ΟΔΟΣ", "O=οδος"),
            ("CN=\"a,b\"", "CN=a\\,b"),
            ("CN=a;O=b", "CN=a,O=b"),
            ("", ""),
        ] {
            assert!(name(one).matches(&name(other)), "{one} is {other}");
            assert!(name(other).matches(&name(one)), "{other} is {one}");
        }
    }

    #[test]
    fn names_that_differ_do_not_match() {
        for (one, other) in [
            ("CN=a,O=b", "O=b,CN=a"),
            ("CN=a,O=b", "CN=a"),
            ("CN=a+UID=1", "CN=a,UID=1"),
            ("CN=a+CN=a", "CN=a+CN=b"),
            ("CN=a+CN=a+CN=b", "CN=a+CN=b+CN=b"),
            ("CN=ab", "CN=a b"),
            ("CN=a", "O=a"),
            ("2.5.4.97=#0401aa", "2.5.4.97=#0401ab"),
            ("CN=a\u{fffd}", "CN=a\u{fffd}"),
            ("CN=a\u{202e}b", "CN=ab"),
        ] {
            assert!(!name(one).matches(&name(other)), "{one} is not {other}");
        }
    }

    #[test]
    fn texts_that_are_no_name_are_refused_where_they_stop_being_one() {
        for (text, at) in [
            ("CN", 2),
            ("=a", 0),
            ("CN=a,", 5),
            ("CN=a,,O=b", 5),
            ("XY=a", 0),
            ("1.2.=a", 0),
            ("CN=#0", 3),
            ("CN=#zz", 3),
            ("CN=#0c05aa", 3),
            ("CN=a\\", 4),
            ("CN=a\\zq", 4),
            ("CN=a\\c3", 3),
            ("CN=a\"b", 4),
            ("CN=\"a", 3),
        ] {
            assert_eq!(Name::parse(text).map_err(|error| error.at), Err(at), "{text}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "UID=bc97\\,b8,2.5.4.97=#0c064f5049425231,CN=\\#a \\+\\ ,O=b\\00c,C=BR";
        assert_eq!(name(text).to_string(), text);
    }
}
