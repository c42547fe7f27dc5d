//! `{ from = [networks] }`: whose word counts about a client's address.

use super::document::{Located, Table};
use super::values;
use crate::address::Networks;

const ACCEPTED: &str =
    "one or more networks such as \"10.0.0.0/8\" or addresses such as \"192.0.2.7\"";

/// Reads the networks of a key, if it is there.
pub(super) fn read_trusted(table: &Table<'_>, key: &'static str) -> Option<Networks> {
    let table = table.table(key)?;
    let Some(Located { value: texts, place }) = table.strings("from", ACCEPTED) else {
        if !table.has("from") {
            table.place("from").reject(format!("is missing, accepted: {ACCEPTED}"));
        }
        return None;
    };
    if texts.is_empty() {
        place.reject(format!("is empty, accepted: {ACCEPTED}"));
    }
    let mut networks = Vec::new();
    for (position, text) in texts.iter().enumerate() {
        // What a variable holds is not shown.
        match values::network(text) {
            Some(network) => networks.push(network),
            None => place.reject(format!(
                "entry {} is no network that begins at its first address, accepted: {ACCEPTED}",
                position + 1
            )),
        }
    }
    let networks = Networks::new(networks);
    if networks.are_everybody() {
        place.warn("takes everybody's word: whoever reaches the listener chooses its address");
    }
    Some(networks)
}
