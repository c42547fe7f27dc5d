//! Texts of which a test needs another one: configurations, policies, requests.

/// Another text. A change that changes nothing would test something else than it says, and is a fault of the test: a key
/// was renamed, or the text has moved. A key that the gateway does not know it refuses itself.
pub trait Rewrite {
    /// With `new` in the place of each `old`.
    fn swap(&self, old: &str, new: &str) -> String;

    /// With these keys at the beginning of a table, which is named as it stands: `[http]`.
    fn within(&self, table: &str, keys: &str) -> String;
}

impl Rewrite for str {
    fn swap(&self, old: &str, new: &str) -> String {
        let text = self.replace(old, new);
        assert!(text != self, "nothing changes where {old:?} becomes {new:?} in\n{self}");
        text
    }

    fn within(&self, table: &str, keys: &str) -> String {
        let head = format!("{table}\n");
        assert_eq!(self.matches(&head).count(), 1, "{table} does not stand once in\n{self}");
        self.replace(&head, &format!("{head}{keys}\n"))
    }
}
