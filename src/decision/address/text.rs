//! The text of an address, as [`std::fmt::Display`] has it (RFC 5952), written without a formatter: each exchange tells it
//! more than once.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::Range;

/// Appends an address.
pub fn push(out: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => push_v4(out, address),
        IpAddr::V6(address) => push_v6(out, address),
    }
}

fn push_v4(out: &mut Vec<u8>, address: Ipv4Addr) {
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        let [hundreds, tens, ones] =
            [b'0' + octet / 100, b'0' + octet / 10 % 10, b'0' + octet % 10];
        match octet {
            100.. => out.extend_from_slice(&[hundreds, tens, ones]),
            10.. => out.extend_from_slice(&[tens, ones]),
            _ => out.push(ones),
        }
    }
}

fn push_v6(out: &mut Vec<u8>, address: Ipv6Addr) {
    if let Some(mapped) = address.to_ipv4_mapped() {
        out.extend_from_slice(b"::ffff:");
        return push_v4(out, mapped);
    }
    let groups = address.segments();
    match longest_zeros(groups) {
        Some(zeros) => {
            push_groups(out, groups.get(..zeros.start).unwrap_or_default());
            out.extend_from_slice(b"::");
            push_groups(out, groups.get(zeros.end..).unwrap_or_default());
        }
        None => push_groups(out, &groups),
    }
}

/// The first of the longest runs of zeros, if that is more than one.
fn longest_zeros(groups: [u16; 8]) -> Option<Range<usize>> {
    let (mut longest, mut run) = (0..0, 0..0);
    for (place, group) in groups.into_iter().enumerate() {
        run = if group == 0 { run.start..place + 1 } else { place + 1..place + 1 };
        if run.len() > longest.len() {
            longest = run.clone();
        }
    }
    (longest.len() > 1).then_some(longest)
}

fn push_groups(out: &mut Vec<u8>, groups: &[u16]) {
    for (place, group) in groups.iter().enumerate() {
        if place > 0 {
            out.push(b':');
        }
        let digits = [group >> 12, group >> 8 & 0xf, group >> 4 & 0xf, group & 0xf];
        let zeros = digits.iter().take(3).take_while(|digit| **digit == 0).count();
        out.extend(digits.iter().skip(zeros).map(|digit| {
            let digit = u8::try_from(*digit).unwrap_or(0);
            digit + if digit < 10 { b'0' } else { b'a' - 10 }
        }));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pushed(address: IpAddr) -> String {
        let mut out = Vec::new();
        push(&mut out, address);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn an_address_of_four_octets_is_written_as_it_shows_itself(octets in any::<[u8; 4]>()) {
            prop_assert_eq!(pushed(IpAddr::from(octets)), IpAddr::from(octets).to_string());
        }

        #[test]
        fn an_address_of_eight_groups_is_written_as_it_shows_itself(groups in any::<[u16; 8]>(), zeros: u8, short: u8) {
            let mut groups = groups;
            for (place, group) in groups.iter_mut().enumerate() {
                if zeros >> place & 1 == 1 {
                    *group = 0;
                } else if short >> place & 1 == 1 {
                    *group >>= place * 2;
                }
            }
            prop_assert_eq!(pushed(IpAddr::from(groups)), IpAddr::from(groups).to_string());
        }
    }

    #[test]
    fn what_is_short_is_written_as_it_shows_itself() {
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "1::",
            "::ffff:1.2.3.4",
            "::1.2.3.4",
            "1:0:0:2::3",
        ] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(pushed(address), address.to_string());
        }
        // Every place of the zeros.
        for zeros in 0_u8..=255 {
            let groups: [u16; 8] =
                std::array::from_fn(|place| if zeros >> place & 1 == 1 { 0 } else { 0xffff });
            let address = IpAddr::from(groups);
            assert_eq!(pushed(address), address.to_string());
        }
    }
}
