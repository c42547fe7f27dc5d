//! How many there may be at a time: of connections, and of requests under way.
//!
//! A quota bounds how often somebody comes, a ceiling how much of the gateway, and of what stands behind it, somebody
//! holds meanwhile: in all, for one address, for one organisation. Whoever has one address of IPv6 has 2^64 of
//! them, so there it is the network that counts. A [`HeldPlace`] is held until it is dropped.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;

use crate::address;
use crate::identity::OrganisationId;

/// How many there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ceilings {
    /// All together.
    pub total: NonZeroU32,
    /// Of one address.
    pub address: NonZeroU32,
    /// Of one organisation.
    pub organisation: NonZeroU32,
}

impl Ceilings {
    /// As many as there are numbers.
    pub const NONE: Self =
        Self { total: NonZeroU32::MAX, address: NonZeroU32::MAX, organisation: NonZeroU32::MAX };
}

/// Whose ceiling is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// All callers'.
    Everyone,
    /// One address'.
    Address,
    /// One organisation's.
    Organisation,
}

impl Whose {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Everyone, Self::Address, Self::Organisation];

    /// The name in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "total",
            Self::Address => "address",
            Self::Organisation => "organisation",
        }
    }
}

/// There is no place left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("too many at a time of {}", match .whose {
    Whose::Everyone => "everyone",
    Whose::Address => "the address",
    Whose::Organisation => "the organisation",
})]
pub struct Crowded {
    /// Whose ceiling it is.
    pub whose: Whose,
    /// How many it admits.
    pub ceiling: NonZeroU32,
}

impl Crowded {
    /// When there may be a place again. Nobody knows: it depends on how long the others stay.
    pub const RETRY_AFTER: Duration = Duration::from_secs(1);
}

/// Who is there.
#[derive(Debug)]
pub struct Crowd(Mutex<Present>);

#[derive(Debug)]
struct Present {
    ceilings: Ceilings,
    total: u32,
    addresses: HashMap<IpAddr, u32>,
    organisations: HashMap<OrganisationId, u32>,
}

impl Crowd {
    /// Nobody yet.
    pub fn new(ceilings: Ceilings) -> Arc<Self> {
        let (addresses, organisations) = (HashMap::new(), HashMap::new());
        Arc::new(Self(Mutex::new(Present { ceilings, total: 0, addresses, organisations })))
    }

    /// Other ceilings from now on. Whoever is there stays.
    pub fn set(&self, ceilings: Ceilings) {
        self.0.lock().ceilings = ceilings;
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0.lock().total
    }

    /// A place among all, for somebody of whom nothing is known yet.
    ///
    /// # Errors
    ///
    /// [`Crowded`] of everyone. Nobody is counted then.
    pub fn enter(self: &Arc<Self>) -> Result<HeldPlace, Crowded> {
        let mut within = self.0.lock();
        let ceiling = within.ceilings.total;
        if within.total >= ceiling.get() {
            return Err(Crowded { whose: Whose::Everyone, ceiling });
        }
        within.total += 1;
        Ok(HeldPlace { crowd: self.clone(), address: None, organisation: None })
    }

    /// A place for somebody who is known already: the same, with the crowd asked once.
    ///
    /// # Errors
    ///
    /// [`Crowded`] of the first that has no room: everyone, the address, the organisation. Nobody is counted
    /// then.
    pub fn enter_as(
        self: &Arc<Self>,
        address: IpAddr,
        organisation: Option<&OrganisationId>,
    ) -> Result<HeldPlace, Crowded> {
        let address = address::network(address);
        let mut within = self.0.lock();
        let Present { ceilings, total, addresses, organisations } = &mut *within;
        if *total >= ceilings.total.get() {
            return Err(Crowded { whose: Whose::Everyone, ceiling: ceilings.total });
        }
        // Counted at the end: until then a refusal has only the address to give back.
        join(addresses, &address, ceilings.address, Whose::Address)?;
        if let Some(organisation) = organisation {
            let joined =
                join(organisations, organisation, ceilings.organisation, Whose::Organisation);
            joined.inspect_err(|_| leave(addresses, &address))?;
        }
        *total += 1;
        // As the network that it was counted by, or `leave` would look for another.
        let (address, organisation) = (Some(address), organisation.cloned());
        Ok(HeldPlace { crowd: self.clone(), address, organisation })
    }
}

/// A place in a crowd.
#[derive(Debug)]
#[must_use = "a place that nobody holds is free again"]
pub struct HeldPlace {
    crowd: Arc<Crowd>,
    address: Option<IpAddr>,
    organisation: Option<OrganisationId>,
}

impl HeldPlace {
    /// It is this address', and no more that of another.
    ///
    /// # Errors
    ///
    /// [`Crowded`] of the address. The place stays one among all, and is no address' any more.
    pub fn of_address(&mut self, address: IpAddr) -> Result<(), Crowded> {
        let address = address::network(address);
        let mut within = self.crowd.0.lock();
        // Taken out: if the new one has no room, the old one must not be given back a second time.
        if let Some(before) = self.address.take() {
            leave(&mut within.addresses, &before);
        }
        let ceiling = within.ceilings.address;
        join(&mut within.addresses, &address, ceiling, Whose::Address)?;
        self.address = Some(address);
        Ok(())
    }

    /// It is this organisation's.
    ///
    /// # Errors
    ///
    /// [`Crowded`] of the organisation. The place stays what it was.
    pub fn of_organisation(&mut self, organisation: &OrganisationId) -> Result<(), Crowded> {
        let mut within = self.crowd.0.lock();
        let ceiling = within.ceilings.organisation;
        // Counted once, however often it is said: a connection has one certificate.
        if self.organisation.is_none() {
            join(&mut within.organisations, organisation, ceiling, Whose::Organisation)?;
            self.organisation = Some(organisation.clone());
        }
        Ok(())
    }
}

impl Drop for HeldPlace {
    fn drop(&mut self) {
        let mut within = self.crowd.0.lock();
        // Each place was counted once; below zero a fault would be a crowd of four billion.
        within.total = within.total.saturating_sub(1);
        if let Some(address) = &self.address {
            leave(&mut within.addresses, address);
        }
        if let Some(organisation) = &self.organisation {
            leave(&mut within.organisations, organisation);
        }
    }
}

fn join<K: Clone + Eq + Hash>(
    those: &mut HashMap<K, u32>,
    who: &K,
    ceiling: NonZeroU32,
    whose: Whose,
) -> Result<(), Crowded> {
    match those.get_mut(who) {
        Some(count) if *count >= ceiling.get() => return Err(Crowded { whose, ceiling }),
        Some(count) => *count += 1,
        None => {
            those.insert(who.clone(), 1);
        }
    }
    Ok(())
}

/// Whoever has no place is not remembered.
fn leave<K: Eq + Hash>(those: &mut HashMap<K, u32>, who: &K) {
    match those.get_mut(who) {
        Some(count) if *count > 1 => *count -= 1,
        // Else the table would keep everybody who was ever there.
        _ => {
            those.remove(who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(total: u32, address: u32, organisation: u32) -> Arc<Crowd> {
        let number = |number| NonZeroU32::new(number).unwrap();
        Crowd::new(Ceilings {
            total: number(total),
            address: number(address),
            organisation: number(organisation),
        })
    }

    fn enter(crowd: &Arc<Crowd>, address: &str, organisation: &str) -> Result<HeldPlace, Whose> {
        let place = || {
            let mut place = crowd.enter()?;
            place.of_address(address.parse().unwrap())?;
            place.of_organisation(&OrganisationId::new(organisation).unwrap())?;
            Ok(place)
        };
        let one_by_one = place().map_err(|crowded: Crowded| crowded.whose);
        let one_by_one = one_by_one.map(drop);
        let organisation = OrganisationId::new(organisation).unwrap();
        let at_once = crowd.enter_as(address.parse().unwrap(), Some(&organisation));
        let at_once = at_once.map_err(|crowded| crowded.whose);
        assert_eq!(at_once.as_ref().map(|_| ()).map_err(|whose| *whose), one_by_one);
        at_once
    }

    #[test]
    fn each_ceiling_is_reached_and_free_again() {
        let crowd = crowd(4, 2, 3);
        let one = enter(&crowd, "192.0.2.1", "a").unwrap();
        let _two = enter(&crowd, "192.0.2.1", "a").unwrap();
        assert_eq!(enter(&crowd, "192.0.2.1", "b").unwrap_err(), Whose::Address);
        let _three = enter(&crowd, "192.0.2.2", "a").unwrap();
        assert_eq!(enter(&crowd, "192.0.2.3", "a").unwrap_err(), Whose::Organisation);
        let four = enter(&crowd, "192.0.2.4", "d").unwrap();
        assert_eq!(enter(&crowd, "192.0.2.5", "e").unwrap_err(), Whose::Everyone);
        assert_eq!(crowd.count(), 4, "who found no place has none");
        drop((one, four));
        assert_eq!(crowd.count(), 2);
        let _one = enter(&crowd, "192.0.2.1", "a").unwrap();
    }

    #[test]
    fn whoever_leaves_is_forgotten() {
        let crowd = crowd(1000, 1000, 1000);
        let places: Vec<HeldPlace> =
            (0..100).map(|n| enter(&crowd, &format!("192.0.2.{n}"), "a").unwrap()).collect();
        drop(places);
        let within = crowd.0.lock();
        assert!(within.addresses.is_empty() && within.organisations.is_empty());
    }

    #[test]
    fn a_network_of_ipv6_is_one_caller_and_a_mapped_address_the_one_it_carries() {
        let crowd = crowd(10, 1, 10);
        let _one = enter(&crowd, "2001:db8::1", "a").unwrap();
        assert_eq!(enter(&crowd, "2001:db8::2", "a").unwrap_err(), Whose::Address);
        let _other = enter(&crowd, "2001:db8:0:1::1", "a").unwrap();
        let _mapped = enter(&crowd, "::ffff:192.0.2.1", "a").unwrap();
        assert_eq!(enter(&crowd, "192.0.2.1", "a").unwrap_err(), Whose::Address);
    }

    #[test]
    fn a_place_passes_from_a_balancer_to_whom_it_names() {
        let crowd = crowd(10, 1, 10);
        let mut place = crowd.enter().unwrap();
        place.of_address("192.0.2.1".parse().unwrap()).unwrap();
        place.of_address("192.0.2.2".parse().unwrap()).unwrap();
        let _other = enter(&crowd, "192.0.2.1", "a").unwrap();
        assert_eq!(enter(&crowd, "192.0.2.2", "a").unwrap_err(), Whose::Address);
    }

    #[test]
    fn lower_ceilings_send_nobody_away() {
        let crowd = crowd(10, 10, 10);
        let places: Vec<HeldPlace> =
            (0..5).map(|_| enter(&crowd, "192.0.2.1", "a").unwrap()).collect();
        crowd.set(Ceilings { total: NonZeroU32::MIN, ..Ceilings::NONE });
        assert_eq!(enter(&crowd, "192.0.2.1", "a").unwrap_err(), Whose::Everyone);
        drop(places);
        let _one = enter(&crowd, "192.0.2.1", "a").unwrap();
    }
}
