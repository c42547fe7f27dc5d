//! Which upstreams a policy may name.

use std::cell::RefCell;

use crate::config::document::Table;
use crate::config::values;

pub(super) const UPSTREAM: &str = "the name of an [[upstreams]] table";

pub(super) enum NamedUpstreams<'a> {
    /// Those of a configuration, in their order.
    Configured(&'a [&'a str]),
    /// Any: what the configuration says of them cannot be read, and is told there.
    Unknown,
    /// Any: these were named so far.
    Named(RefCell<Vec<String>>),
}

impl NamedUpstreams<'_> {
    /// The upstream that a table names, as its place among those that there are.
    pub(super) fn read(&self, table: &Table<'_>) -> Option<usize> {
        match self {
            Self::Configured(upstreams) => find(table, upstreams),
            Self::Unknown => table.string("upstream", UPSTREAM).map(|_| 0),
            Self::Named(named) => name(table, &mut named.borrow_mut()),
        }
    }

    /// The names.
    pub(super) fn names(&self) -> Vec<String> {
        match self {
            Self::Configured(upstreams) => upstreams.iter().map(ToString::to_string).collect(),
            Self::Unknown => Vec::new(),
            Self::Named(named) => named.borrow().clone(),
        }
    }
}

fn find(table: &Table<'_>, upstreams: &[&str]) -> Option<usize> {
    let name = table.string("upstream", UPSTREAM)?;
    let found = upstreams.iter().position(|upstream| *upstream == name.value);
    if found.is_none() {
        let known = upstreams.join(", ");
        let text = format!("{:?} is an unknown upstream, accepted: {known}", name.value);
        name.place.reject(text);
    }
    found
}

fn name(table: &Table<'_>, named: &mut Vec<String>) -> Option<usize> {
    let name = table.parsed("upstream", UPSTREAM, values::name)?.value;
    let known = named.iter().position(|known| *known == name);
    known.or_else(|| {
        named.push(name);
        named.len().checked_sub(1)
    })
}
