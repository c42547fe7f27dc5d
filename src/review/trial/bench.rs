//! Two gateways, of two sets of policies, that are asked the same.

use std::sync::Arc;

use tokio::runtime::Runtime;

use super::gateway::{JudgedCase, Logged, SetUpError, TrialGateway};
use super::probe::Probe;
use super::verdict::TrialVerdict;
use crate::admission::Step;
use crate::config::Judging;
use crate::route::Routes;

/// What a gateway said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::review) struct BenchAnswer {
    /// What the rules say, whether or not they are enforced yet.
    pub(in crate::review) by_rules: TrialVerdict,
    /// What becomes of the request.
    pub(in crate::review) in_force: TrialVerdict,
    /// At which question the rules refuse it.
    pub(in crate::review) step: Option<Step>,
    /// What else the access log says of it.
    pub(in crate::review) logged: Logged,
}

/// One of two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::review) enum Side {
    Before,
    After,
}

/// The gateways.
pub(in crate::review) struct Bench {
    runtime: Runtime,
    gateway: TrialGateway,
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
        // One for both: what differs is the routes, and its certificates and tokens are dear to make.
        let gateway = TrialGateway::new(first.clone(), settings)?;
        Ok(Self { runtime, gateway, sets })
    }

    /// How many bytes any body may have.
    pub(in crate::review) fn max_body(&self) -> u64 {
        self.gateway.settings().max_body
    }

    /// Asks both.
    pub(in crate::review) fn ask(&mut self, probe: &Probe) -> Result<[BenchAnswer; 2], SetUpError> {
        Ok([self.ask_one(Side::Before, probe)?, self.ask_one(Side::After, probe)?])
    }

    /// Asks one of the two.
    pub(in crate::review) fn ask_one(
        &mut self,
        side: Side,
        probe: &Probe,
    ) -> Result<BenchAnswer, SetUpError> {
        let prefix = self.gateway.settings().profile.organisation_prefixes.first();
        let prefix = prefix.map_or("", String::as_str).to_owned();
        let case = probe.case(&prefix).ok_or(SetUpError::Request)?;
        let [before, after] = &self.sets;
        self.gateway.serve(match side {
            Side::Before => before,
            Side::After => after,
        });
        let judged = self.runtime.block_on(self.gateway.judge(&case))?;
        let in_force = match judged.goes_on {
            true => TrialVerdict::Allow,
            false => judged.verdict.clone(),
        };
        let JudgedCase { verdict, step, logged, .. } = judged;
        Ok(BenchAnswer { by_rules: verdict, in_force, step, logged })
    }
}
