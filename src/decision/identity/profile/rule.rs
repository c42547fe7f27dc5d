//! The rules of a profile, by name, and what each does.

use std::fmt;

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $rule:ident = $name:literal,)+) => {
        /// A rule of the profile.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Rule {
            $($(#[doc = $doc])+ $rule,)+
        }

        impl Rule {
            /// Every rule, in the order in which they are judged.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$rule),+];

            /// Its name in configurations, logs, metrics and answers.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$rule => $name,)+
                }
            }

            /// What it asks.
            pub fn asks(self) -> &'static str {
                match self {
                    $(Self::$rule => concat!($($doc),+).trim_ascii(),)+
                }
            }
        }
    };
}

rules! {
    /// one organizationIdentifier (2.5.4.97): an accepted prefix and a UUID
    OrganisationId = "organisation_id",
    /// one UID (0.9.2342.19200300.100.1.1) that is a UUID
    SoftwareStatementId = "software_statement_id",
    /// one serialNumber (2.5.4.5) that is a CNPJ with its check digits
    Cnpj = "cnpj",
    /// one businessCategory (2.5.4.15) of the four that exist
    BusinessCategory = "business_category",
    /// one jurisdictionCountryName (1.3.6.1.4.1.311.60.2.1.3): BR
    Jurisdiction = "jurisdiction",
    /// one country (C): BR
    Country = "country",
    /// one legal name (O), state (ST) and locality (L)
    Names = "names",
    /// attributes in UTF8String or PrintableString, in any order
    Encoding = "encoding",
    /// one common name (CN): a host name or a wildcard
    CommonName = "common_name",
    /// subjectAltName with a dNSName that is a host name or a wildcard
    SubjectAlternativeName = "subject_alternative_name",
    /// critical keyUsage of digitalSignature and keyEncipherment
    KeyEncipherment = "key_encipherment",
    /// an RSA key
    KeyType = "key_type",
    /// valid for no longer than longest_validity, 398 days unless configured
    Validity = "validity",
    /// issued by the organisation (O) that issues for this environment
    Issuer = "issuer",
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a rule does to a certificate that breaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Its requests are refused.
    Enforce,
    /// It is counted and logged, once a connection.
    Warn,
    /// Nothing.
    Off,
}

impl Level {
    /// Its name in configurations, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Warn => "warn",
            Self::Off => "off",
        }
    }

    /// Reads `enforce`, `warn` or `off`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Enforce, Self::Warn, Self::Off].into_iter().find(|level| level.name() == text)
    }
}

/// The level of each rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels([Level; Rule::ALL.len()]);

impl Levels {
    /// The same level for every rule.
    pub fn all(level: Level) -> Self {
        Self([level; Rule::ALL.len()])
    }

    /// The level of a rule.
    pub fn of(&self, rule: Rule) -> Level {
        // Every rule has its place: the array is as long as the enumeration.
        self.0.get(rule as usize).copied().unwrap_or(Level::Enforce)
    }

    /// The same with another level for a rule.
    #[must_use]
    pub fn with(mut self, rule: Rule, level: Level) -> Self {
        if let Some(slot) = self.0.get_mut(rule as usize) {
            *slot = level;
        }
        self
    }
}
