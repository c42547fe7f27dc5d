//! Permissions: what the customer allowed, one name per endpoint (OPIN consents API).

use crate::packs::OPIN;

/// The permission that a route requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    name: Box<str>,
    /// What the other version of the consents API calls it, if that is something else.
    elsewhere: Option<&'static str>,
}

impl Permission {
    /// Accepts letters, digits and underscores: the published names are in capitals, those of other
    /// ecosystems need not be.
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let fits = (1..=128).contains(&text.len()) && text.bytes().all(allowed);
        // Whether another name counts is the consent's rules' to say; no other ecosystem has these names.
        let elsewhere =
            OPIN.consents.renamed_permissions.iter().find_map(|(old, new)| match text {
                _ if text == *old => Some(*new),
                _ if text == *new => Some(*old),
                _ => None,
            });
        fits.then(|| Self { name: text.into(), elsewhere })
    }

    /// The permission as text.
    pub fn as_str(&self) -> &str {
        &self.name
    }
}

/// Whether a permission may stand under the name that the other version of the consents API gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renamed {
    /// Either name is the permission.
    Accept,
    /// Only the name of the policy is.
    Refuse,
}

/// The permissions of a consent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(Vec<Box<str>>);

impl Permissions {
    /// Their names, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The bytes that they take.
    pub fn size(&self) -> usize {
        self.0.iter().map(|name| size_of_val(name) + name.len()).sum()
    }

    /// Whether the consent has this permission.
    pub fn contain(&self, permission: &Permission, renamed: Renamed) -> bool {
        self.contain_name(&permission.name)
            || (renamed == Renamed::Accept
                && permission.elsewhere.is_some_and(|name| self.contain_name(name)))
    }

    fn contain_name(&self, name: &str) -> bool {
        self.0.binary_search_by(|held| held.as_ref().cmp(name)).is_ok()
    }
}

impl<S: Into<Box<str>>> FromIterator<S> for Permissions {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut names: Vec<Box<str>> = names.into_iter().map(Into::into).collect();
        // Once, when it is read: each request under the consent looks for one of up to 125 names (OPIN
        // consents API).
        names.sort_unstable();
        Self(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contain(held: &[&str], wanted: &str, renamed: Renamed) -> bool {
        let held: Permissions = held.iter().copied().collect();
        held.contain(&Permission::new(wanted).unwrap(), renamed)
    }

    #[test]
    fn a_permission_must_match_whole() {
        let held = ["RESOURCES_READ", "CUSTOMERS_PERSONAL_READ"];
        assert!(contain(&held, "RESOURCES_READ", Renamed::Refuse));
        for lacking in ["RESOURCES", "RESOURCES_READ_ALL", "CUSTOMERS_BUSINESS_READ"] {
            assert!(!contain(&held, lacking, Renamed::Accept), "{lacking}");
        }
        assert!(!contain(&[], "RESOURCES_READ", Renamed::Accept));
    }

    #[test]
    fn renamed_permissions_are_the_same_either_way() {
        for (old, new) in OPIN.consents.renamed_permissions {
            for (held, wanted) in [(old, new), (new, old)] {
                assert!(contain(&[held], wanted, Renamed::Accept), "{held} for {wanted}");
                assert!(!contain(&[held], wanted, Renamed::Refuse), "{held} for {wanted}");
            }
        }
        let renamed = OPIN.consents.renamed_permissions;
        let (first, second) = (renamed[0].0, renamed[1].1);
        assert!(!contain(&[first], second, Renamed::Accept));
    }
}
