//! Two gateways, of two sets of policies, that are asked the same.

use std::sync::Arc;

use tokio::runtime::Runtime;

use super::gateway::{Gateway, SetUpError};
use super::probe::Probe;
use super::verdict::Verdict;
use crate::config::Judging;
use crate::route::Routes;

/// What a gateway said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::review) struct Answer {
    /// What the rules say, whether or not they are enforced yet.
    pub(in crate::review) by_rules: Verdict,
    /// What becomes of the request.
    pub(in crate::review) in_force: Verdict,
}

/// The gateways.
pub(in crate::review) struct Bench {
    runtime: Runtime,
    gateway: Gateway,
    sets: [Arc<Routes>; 2],
}

impl Bench {
    /// Sets the gateways up.
    pub(in crate::review) fn new(
        sets: [Arc<Routes>; 2],
        settings: Judging,
    ) -> Result<Self, SetUpError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(SetUpError::Runtime)?;
        let [first, _] = &sets;
        let gateway = Gateway::new(first.clone(), settings)?;
        Ok(Self { runtime, gateway, sets })
    }

    /// How many bytes any body may have.
    pub(in crate::review) fn max_body(&self) -> u64 {
        self.gateway.settings().max_body
    }

    /// Asks both.
    pub(in crate::review) fn ask(&mut self, probe: &Probe) -> Result<[Answer; 2], SetUpError> {
        let prefix = self.gateway.settings().profile.organisation_prefixes.first();
        let prefix = prefix.map_or("", String::as_str).to_owned();
        let case = probe.case(&prefix).ok_or(SetUpError::Request)?;
        let (gateway, [before, after]) = (&mut self.gateway, &self.sets);
        self.runtime.block_on(async {
            let mut answer = async |routes| {
                gateway.serve(routes);
                let judged = gateway.judge(&case).await?;
                let in_force = match judged.goes_on {
                    true => Verdict::Allow,
                    false => judged.verdict.clone(),
                };
                Ok(Answer { by_rules: judged.verdict, in_force })
            };
            Ok([answer(before).await?, answer(after).await?])
        })
    }
}
