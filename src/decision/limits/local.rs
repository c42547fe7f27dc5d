//! The limits of one process, by the generic cell rate algorithm (governor).
//!
//! A quota of N per window holds N cells and gains one every window/N. Whoever makes at most N requests
//! in every window always finds a cell: the algorithm never refuses below the quota. It may admit up to
//! twice the quota in one window, after a pause.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::{StateInformationMiddleware, StateSnapshot};
use governor::nanos::Nanos;
use governor::state::keyed::DashMapStateStore;
use governor::state::{InMemoryState, NotKeyed};
use governor::{NotUntil, RateLimiter};

use super::{Ceilings, Crowd, Crowded, HeldPlace, Holder, LimitExceeded, Quota, Standing, Ticket};
use crate::identity::OrganisationId;
use crate::moment::Moment;

type Everyone = RateLimiter<NotKeyed, InMemoryState, GivenTime, StateInformationMiddleware>;
type PerAddress =
    RateLimiter<IpAddr, DashMapStateStore<IpAddr>, GivenTime, StateInformationMiddleware>;

/// The stage.
///
/// # Examples
///
/// Two requests a minute and address: the third is told when to come again, and admitted if it does.
///
/// ```
/// # use std::{net::IpAddr, num::NonZeroU32, time::{Duration, SystemTime}};
/// # use portaria_decision::{limits::{Limits, Quota}, moment::Moment, refusal::Refusal};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let everyone = Quota { requests: NonZeroU32::try_from(300)?, per: Duration::from_secs(1) };
/// let address = Quota { requests: NonZeroU32::try_from(2)?, per: Duration::from_secs(60) };
/// let limits = Limits::new(everyone, address);
/// let caller = IpAddr::from([192, 0, 2, 1]);
/// let at = |seconds| Moment::at(Duration::from_secs(seconds), SystemTime::UNIX_EPOCH);
///
/// assert_eq!(limits.admit(caller, at(0))?.standing().remaining, 1);
/// assert_eq!(limits.admit(caller, at(0))?.standing().remaining, 0);
/// let refusal = Refusal::from(limits.admit(caller, at(0)).unwrap_err());
/// assert_eq!((refusal.code(), refusal.retry_after()), ("limits_address", Some(30)));
/// assert_eq!(refusal.status(), 429);
///
/// // A moment early is too early; to be refused has cost nothing, and others nothing at all.
/// assert!(limits.admit(caller, at(29)).is_err());
/// assert!(limits.admit(caller, at(30)).is_ok());
/// assert!(limits.admit(IpAddr::from([192, 0, 2, 2]), at(30)).is_ok());
/// # Ok(())
/// # }
/// ```
pub struct Limits {
    time: GivenTime,
    everyone: Everyone,
    per_address: PerAddress,
    quota_of_everyone: Quota,
    quota_of_address: Quota,
    under_way: Arc<Crowd>,
}

impl Limits {
    /// Limits for all callers together and for each address, without ceilings.
    pub fn new(everyone: Quota, address: Quota) -> Self {
        let time = GivenTime::default();
        Self {
            everyone: Everyone::new(cells(everyone), InMemoryState::default(), time.clone()),
            per_address: PerAddress::new(
                cells(address),
                DashMapStateStore::default(),
                time.clone(),
            ),
            time,
            quota_of_everyone: everyone,
            quota_of_address: address,
            under_way: Crowd::new(Ceilings::NONE),
        }
    }

    /// The same with ceilings for the requests under way.
    pub fn with_ceilings(self, ceilings: Ceilings) -> Self {
        Self { under_way: Crowd::new(ceilings), ..self }
    }

    /// A place among the requests under way, for as long as this one is.
    ///
    /// # Errors
    ///
    /// As [`Crowd::enter_as`]: a refusal, to come again after [`Crowded::RETRY_AFTER`].
    pub fn enter(
        &self,
        address: IpAddr,
        organisation: Option<&OrganisationId>,
    ) -> Result<HeldPlace, Crowded> {
        self.under_way.enter_as(address, organisation)
    }

    /// Takes one cell of the address' quota and one of everyone's.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`], a refusal that says when to come again: of the address, which takes nothing then,
    /// or of everyone, which has cost the address its cell.
    pub fn admit(&self, address: IpAddr, now: Moment) -> Result<Ticket, LimitExceeded> {
        self.time.set(now);
        // The address first: who is over its own quota takes no cell of the others'.
        let snapshot = self.per_address.check_key(&address).map_err(|not_until| {
            exceeded(Holder::Address, self.quota_of_address, &not_until, now)
        })?;
        self.everyone.check().map_err(|not_until| {
            exceeded(Holder::Everyone, self.quota_of_everyone, &not_until, now)
        })?;
        Ok(Ticket { standing: standing(self.quota_of_address, &snapshot) })
    }

    /// Forgets addresses whose quota is whole again.
    pub fn forget_idle(&self, now: Moment) {
        self.time.set(now);
        // The library forgets no key by itself: strangers' addresses would fill the memory.
        self.per_address.retain_recent();
        // A flood leaves its room behind otherwise.
        self.per_address.shrink_to_fit();
    }
}

fn cells(quota: Quota) -> governor::Quota {
    // Cut off to nanoseconds: a cell comes a moment early, never late, since the quota
    // is owed (a legal floor).
    let one_per = quota.per / quota.requests.get();
    // The library knows no period of zero, and one of a nanosecond bounds nothing.
    governor::Quota::with_period(one_per.max(Duration::from_nanos(1)))
        .map_or(governor::Quota::per_second(quota.requests), |q| q.allow_burst(quota.requests))
}

fn standing(quota: Quota, snapshot: &StateSnapshot) -> Standing {
    Standing {
        limit: quota.requests.get(),
        remaining: snapshot.remaining_burst_capacity(),
        // In seconds, for OPIN names no unit (gateway rules, section 3); less than one
        // would read as no window.
        window_seconds: quota.per.as_secs().max(1),
    }
}

fn exceeded(
    holder: Holder,
    quota: Quota,
    not_until: &NotUntil<Nanos>,
    now: Moment,
) -> LimitExceeded {
    let window_seconds = quota.per.as_secs().max(1);
    LimitExceeded {
        holder,
        standing: Standing { limit: quota.requests.get(), remaining: 0, window_seconds },
        retry_after: not_until.wait_time_from(Nanos::from(now.since_start())),
    }
}

/// governor asks a clock; portaria's stages are told the time. The latest moment that any request was
/// judged at is the time.
#[derive(Clone, Debug, Default)]
struct GivenTime(Arc<AtomicU64>);

impl GivenTime {
    fn set(&self, now: Moment) {
        let nanoseconds = u64::try_from(now.since_start().as_nanos()).unwrap_or(u64::MAX);
        // Never back: threads judge at moments that overtake each other, and at an earlier one a cell that is
        // owed would not be there yet.
        self.0.fetch_max(nanoseconds, Ordering::Relaxed);
    }
}

impl Clock for GivenTime {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::new(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::time::SystemTime;

    use proptest::prelude::*;

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn quota(requests: u32, seconds: u64) -> Quota {
        Quota { requests: NonZeroU32::new(requests).unwrap(), per: Duration::from_secs(seconds) }
    }

    fn at(milliseconds: u64) -> Moment {
        Moment::at(Duration::from_millis(milliseconds), SystemTime::UNIX_EPOCH)
    }

    #[test]
    fn the_whole_quota_is_admitted_and_the_next_told_when_to_come_back() {
        let limits = Limits::new(quota(10_000, 1), quota(500, 60));
        for used in 1..=500 {
            let ticket = limits.admit(ADDRESS, at(0)).unwrap();
            assert_eq!(ticket.standing().remaining, 500 - used);
        }
        let refused = limits.admit(ADDRESS, at(0)).unwrap_err();
        assert_eq!(refused.holder, Holder::Address);
        assert_eq!(refused.retry_after, Duration::from_millis(120));
        assert_eq!(refused.standing, Standing { limit: 500, remaining: 0, window_seconds: 60 });
        assert!(limits.admit(ADDRESS, at(119)).is_err());
        assert!(limits.admit(ADDRESS, at(120)).is_ok());
    }

    #[test]
    fn an_address_over_its_quota_takes_nothing_from_the_others() {
        let limits = Limits::new(quota(10, 1), quota(5, 60));
        let refused = (0..100).filter(|_| limits.admit(ADDRESS, at(0)).is_err()).count();
        assert_eq!(refused, 95);
        let other = IpAddr::from([192, 0, 2, 1]);
        assert!((0..5).all(|_| limits.admit(other, at(0)).is_ok()));
        let third = IpAddr::from([192, 0, 2, 2]);
        assert_eq!(limits.admit(third, at(0)).unwrap_err().holder, Holder::Everyone);
    }

    proptest! {
        /// Arrivals that keep within the quota in every window are all admitted.
        #[test]
        fn never_refuses_below_the_quota(gaps in prop::collection::vec(0_u64..400, 1..200)) {
            let (requests, window) = (20_usize, 2_000_u64);
            let limits = Limits::new(quota(1_000_000, 1), quota(20, 2));
            let mut admitted: Vec<u64> = Vec::new();
            let mut time = 0;
            for gap in gaps {
                time += gap;
                let recent = admitted.iter().filter(|t| **t + window > time).count();
                if recent < requests {
                    prop_assert!(limits.admit(ADDRESS, at(time)).is_ok());
                    admitted.push(time);
                }
            }
        }
    }

    #[test]
    fn addresses_whose_quota_is_whole_are_forgotten() {
        let limits = Limits::new(quota(1000, 1), quota(5, 60));
        let _ticket = limits.admit(ADDRESS, at(0)).unwrap();
        limits.forget_idle(at(60_001));
        assert_eq!(limits.per_address.len(), 0);
    }
}
