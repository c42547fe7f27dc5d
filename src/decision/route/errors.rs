//! The form of a route's errors: which of the published schemas their bodies satisfy.
//!
//! Nearly all operations of Open Insurance Brasil share one schema, an array of items and totals. What
//! differs is listed here, and named in the policy of the route. Source: the official specifications, read
//! by `portaria policy import openapi`.

/// The schema of a route's errors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ErrorForm {
    /// `{"errors": [{code, title, detail, requestDateTime}], "meta": {totalRecords, totalPages}}`.
    #[default]
    Common,
    /// A 422 has one of two codes: operations with an idempotency key.
    Closed,
    /// As closed; `errors` of a 422 is one object instead of an array (1.x).
    Object,
    /// As object; `requestDateTime` is in `meta`, of every status (withdrawal 1.3).
    DatedMeta,
    /// As closed; an item of a 422 has its date under a misspelt name too (quote-rural 2.0, lead).
    Misspelt,
}

impl ErrorForm {
    /// Every form.
    pub const ALL: [Self; 5] =
        [Self::Common, Self::Closed, Self::Object, Self::DatedMeta, Self::Misspelt];

    /// The name in policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Common => "common",
            Self::Closed => "closed",
            Self::Object => "object",
            Self::DatedMeta => "dated-meta",
            Self::Misspelt => "misspelt",
        }
    }

    /// Whether a 422 admits two codes only.
    pub fn is_closed(self) -> bool {
        self != Self::Common
    }

    /// Whether `errors` of a 422 is one object.
    pub fn is_object(self) -> bool {
        matches!(self, Self::Object | Self::DatedMeta)
    }
}
