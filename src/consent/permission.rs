//! Permissions: what the customer allowed, one name per endpoint (OPIN consents API).

/// The permission that a route requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission(Box<str>);

impl Permission {
    /// Accepts the published form: capitals, digits and underscores.
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(allowed);
        fits.then(|| Self(text.into()))
    }

    /// The permission as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The permissions of a consent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(Vec<Box<str>>);

impl Permissions {
    /// Their names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// Whether the consent has this permission.
    pub fn contain(&self, permission: &Permission) -> bool {
        self.0.binary_search_by(|held| held.as_ref().cmp(permission.as_str())).is_ok()
    }
}

impl<S: Into<Box<str>>> FromIterator<S> for Permissions {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut names: Vec<Box<str>> = names.into_iter().map(Into::into).collect();
        names.sort_unstable();
        Self(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_must_match_whole() {
        let held: Permissions = ["RESOURCES_READ", "CUSTOMERS_PERSONAL_READ"].into_iter().collect();
        assert!(held.contain(&Permission::new("RESOURCES_READ").unwrap()));
        for lacking in ["RESOURCES", "RESOURCES_READ_ALL", "CUSTOMERS_BUSINESS_READ"] {
            assert!(!held.contain(&Permission::new(lacking).unwrap()), "{lacking}");
        }
        assert!(!Permissions::default().contain(&Permission::new("RESOURCES_READ").unwrap()));
    }
}
