//! The store of answers for those who ask twice.

use std::path::Path;
use std::sync::Arc;

use super::Assembler;
use crate::config::{IdempotencySettings, Place, STORE_DIRECTORY};
use crate::idempotency::{Idempotency, Keeper, Secrets, examine};
use crate::last_good;

impl Assembler<'_> {
    /// Nothing if it cannot be, nothing inside if it is not configured. The keeper of a directory and its key stays,
    /// whatever else changes.
    pub(super) fn idempotency(
        &self,
        settings: Option<IdempotencySettings>,
    ) -> Option<Option<Arc<Idempotency>>> {
        // Where somebody stands in, nothing is carried out: the store is the running gateway's, and may be large.
        let Some(settings) = settings.filter(|_| self.stand_in.is_none()) else {
            return Some(None);
        };
        let keeper = self.keeper(&settings)?;
        Some(Some(Arc::new(Idempotency::new(settings.rules, keeper))))
    }

    fn keeper(&self, settings: &IdempotencySettings) -> Option<Arc<Keeper>> {
        // Cannot fail: HKDF gives up beyond 255 times the length of its hash (RFC 5869 section 2.3).
        let secrets = Secrets::new(settings.key.as_ref().map(|key| &key.0)).ok()?;
        let (directory, place) = (&settings.directory, self.mistakes.at(&settings.at));
        let kept = self.before.and_then(|kept| kept.idempotency.as_ref());
        if let Some(kept) = kept.filter(|kept| kept.keeper().is_of(directory, &secrets)) {
            if !kept.keeper().is_well() {
                // Whatever ails it: who reads the configuration again is told so.
                is_usable(directory, &secrets, &place)?;
            }
            return Some(kept.keeper().clone());
        }
        is_usable(directory, &secrets, &place)?;
        Some(Arc::new(Keeper::new(directory.clone(), secrets)))
    }
}

fn is_usable(directory: &Path, secrets: &Secrets, place: &Place) -> Option<()> {
    // Whoever writes there could make answers unknown, and have operations carried out again.
    if last_good::is_open_to_everybody(directory).unwrap_or(false) {
        let text = "can be written to by everybody on the machine";
        place.reject(format!("{} {text}, accepted: {STORE_DIRECTORY}", directory.display()));
        return None;
    }
    // Also where the look before failed: what is the matter with the directory is told here.
    examine(directory, secrets)
        .map_err(|error| {
            let shown = directory.display();
            place.reject(format!(
                "{shown} {error}, accepted: {STORE_DIRECTORY}, empty or with a store"
            ));
        })
        .ok()
}
