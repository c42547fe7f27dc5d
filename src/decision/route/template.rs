//! Path templates: `/open-insurance/consents/v3/consents/{consentId}`.
//!
//! A parameter stands for one whole segment. Two templates that a path could match both are an error
//! when policies are loaded: which one applied would depend on the order of files.

use std::fmt;

use thiserror::Error;

/// Why a template was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// It does not begin with a slash, ends with one, or has an empty segment.
    #[error("it must begin with '/' and have no empty segment")]
    Slashes,
    /// A literal segment has a character other than unreserved ones (RFC 3986).
    #[error("a literal segment may only have letters, digits and -._~")]
    Literal,
    /// Braces that do not enclose one whole segment, or a name that is no identifier.
    #[error("a parameter is one whole segment {{name}} of letters, digits, '-' and '_'")]
    Parameter,
    /// A parameter stands twice.
    #[error("a parameter stands twice")]
    Repeated,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(Box<str>),
    Parameter(Box<str>),
}

/// A path with parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    segments: Vec<Segment>,
}

impl Template {
    /// Parses a template.
    ///
    /// # Errors
    ///
    /// [`TemplateError::Slashes`], [`TemplateError::Literal`], [`TemplateError::Parameter`] or
    /// [`TemplateError::Repeated`] of the first segment that will not do: a mistake of the policy.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let rest = text.strip_prefix('/').ok_or(TemplateError::Slashes)?;
        let mut segments = Vec::new();
        for part in rest.split('/') {
            let segment = parse_segment(part)?;
            if matches!(segment, Segment::Parameter(_)) && segments.contains(&segment) {
                return Err(TemplateError::Repeated);
            }
            segments.push(segment);
        }
        Ok(Self { segments })
    }

    /// Whether some path matches both.
    pub fn overlaps(&self, other: &Self) -> bool {
        let meets = |pair: (&Segment, &Segment)| match pair {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Parameter(_), _) | (_, Segment::Parameter(_)) => true,
        };
        // A parameter never spans a slash, so that paths of other lengths cannot meet.
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(meets)
    }

    /// The parameters that name a consent: by their own name, in whatever spelling, or by the collection that
    /// they stand in (`/recurring-consents/{id}`).
    pub fn consents(&self) -> impl Iterator<Item = &str> {
        let mut collection = "";
        self.segments.iter().filter_map(move |segment| {
            let before = std::mem::take(&mut collection);
            match segment {
                Segment::Literal(text) => {
                    collection = text;
                    None
                }
                Segment::Parameter(name) => {
                    (names_consent(name) || names_consent(before)).then_some(&**name)
                }
            }
        })
    }

    /// Whether it has a parameter of this name.
    pub fn has_parameter(&self, name: &str) -> bool {
        self.segments.iter().any(|s| matches!(s, Segment::Parameter(p) if **p == *name))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.segments.iter().try_for_each(|segment| match segment {
            Segment::Literal(text) => write!(f, "/{text}"),
            Segment::Parameter(name) => write!(f, "/{{{name}}}"),
        })
    }
}

/// What ecosystems call an agreement of the customer's: OPIN and the UAE a consent, Open Finance Brasil an
/// enrollment too, the protocols beneath them an intent (`openbanking_intent_id`).
pub const CONSENT_WORDS: [&str; 4] = ["consent", "enrollment", "enrolment", "intent"];

/// Whether a name speaks of a consent, in any spelling of it (`consentId`, `ConsentId`, `consent_id`).
pub fn names_consent(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    CONSENT_WORDS.iter().any(|word| name.contains(word))
}

fn parse_segment(part: &str) -> Result<Segment, TemplateError> {
    if part.is_empty() {
        return Err(TemplateError::Slashes);
    }
    if part.contains(['{', '}']) {
        let name = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
        let is_identifier = |name: &&str| {
            name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        };
        let name = name.filter(is_identifier).ok_or(TemplateError::Parameter)?;
        return Ok(Segment::Parameter(name.into()));
    }
    // No canonical path has dot segments (RFC 3986 section 5.2.4): such a template would match nothing.
    let is_plain = part != "."
        && part != ".."
        && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b));
    if is_plain { Ok(Segment::Literal(part.into())) } else { Err(TemplateError::Literal) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> Template {
        Template::parse(text).unwrap()
    }

    #[test]
    fn a_template_is_printed_as_it_was_written() {
        for text in ["/a", "/a/{b}", "/open-insurance/x/v1/{id}/claim"] {
            assert_eq!(template(text).to_string(), text);
        }
    }

    #[test]
    fn malformed_templates_are_refused() {
        for (text, error) in [
            ("a", TemplateError::Slashes),
            ("/", TemplateError::Slashes),
            ("/a/", TemplateError::Slashes),
            ("/a//b", TemplateError::Slashes),
            ("/a b", TemplateError::Literal),
            ("/a/..", TemplateError::Literal),
            ("/%41", TemplateError::Literal),
            ("/a{b}", TemplateError::Parameter),
            ("/{}", TemplateError::Parameter),
            ("/{1a}", TemplateError::Parameter),
            ("/{_a}", TemplateError::Parameter),
            ("/{a.b}", TemplateError::Parameter),
            ("/{a}/{a}", TemplateError::Repeated),
        ] {
            assert_eq!(Template::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_parameter_names_a_consent_by_its_name_or_by_its_collection() {
        for (path, expected) in [
            ("/consents/{consentId}", "consentId"),
            ("/a/{ConsentId}", "ConsentId"),
            ("/a/{consent_id}", "consent_id"),
            ("/a/{consent-id}/b", "consent-id"),
            ("/a/{CONSENTID}", "CONSENTID"),
            ("/a/{recurringConsentId}/b", "recurringConsentId"),
            ("/a/{enrollmentId}", "enrollmentId"),
            ("/a/{idEnrolment}", "idEnrolment"),
            ("/a/{openbanking_intent_id}", "openbanking_intent_id"),
            ("/account-access-consents/{id}", "id"),
            ("/Enrollments/{key}/b/{policyId}", "key"),
            ("/consents/{id}/enrollments/{other}", "id other"),
            ("/consents/v3/{policyId}", ""),
            ("/consents/{x}/{y}", "x"),
            ("/a/{policyId}", ""),
        ] {
            let found: Vec<String> = template(path).consents().map(str::to_owned).collect();
            assert_eq!(found.join(" "), expected, "{path}");
        }
    }

    #[test]
    fn templates_overlap_when_one_path_matches_both() {
        for (a, b) in [("/a/{x}", "/a/b"), ("/{x}/b", "/a/{y}"), ("/a/{x}", "/a/{y}")] {
            assert!(template(a).overlaps(&template(b)) && template(b).overlaps(&template(a)));
        }
        for (a, b) in [("/a/{x}", "/a/b/c"), ("/a/{x}/c", "/a/{x}/d"), ("/a", "/b")] {
            assert!(!template(a).overlaps(&template(b)));
        }
    }
}
