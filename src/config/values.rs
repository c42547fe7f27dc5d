//! The text forms of values: durations, sizes, names, networks, URLs.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use url::Url;

/// What a duration looks like.
pub const DURATION: &str =
    "a duration above zero, up to 36500d, such as \"250ms\", \"10s\", \"5m\", \"1h\"";
/// A century: what is added to a clock must not leave its range.
const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);
/// What a size looks like.
pub const SIZE: &str = "a size above zero such as \"512B\", \"64KiB\", \"1MiB\"";
/// What a name looks like.
pub const NAME: &str = "a name of lower-case letters, digits and hyphens";
/// What a URL looks like.
pub const URL: &str = "an https:// or http:// URL";

/// A duration above zero, and no longer than anybody lives.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(3600)?),
        "d" => Duration::from_secs(number.checked_mul(86_400)?),
        _ => return None,
    };
    (!duration.is_zero() && duration <= LONGEST).then_some(duration)
}

/// A size above zero, in bytes.
pub fn size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit {
        "B" => 1,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        "GiB" => 1024 * 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(factor).filter(|size| *size > 0)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    // `parse` alone would take a plus sign.
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit))
}

/// A text as a basic string of TOML: whatever it says stays within it, and is no key and no table.
pub fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                // Writing to a string does not fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A name that can stand in a log and a metric.
pub fn name(text: &str) -> Option<String> {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let fits = (1..=64).contains(&text.len()) && text.bytes().all(allowed);
    fits.then(|| text.to_owned())
}

/// A network whose address is its first one, or a single address.
pub fn network(text: &str) -> Option<IpNet> {
    let single = || text.parse().ok().map(|address: IpAddr| address.into());
    let network: IpNet = text.parse().ok().or_else(single)?;
    // `ipnet` takes 10.0.0.1/8 as well: whether one address or 16 million were meant cannot be told.
    (network.addr() == network.network()).then_some(network)
}

/// A URL with a host.
pub fn url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let fits = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        // A secret stands in a file of its own, where it is not printed; a fragment reaches no server
        // (RFC 3986 section 3.5).
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    fits.then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_begin_at_their_first_address() {
        let prefix = |text| network(text).map(|network| network.prefix_len());
        assert_eq!(prefix("10.0.0.0/8"), Some(8));
        assert_eq!(prefix("192.0.2.7"), Some(32));
        assert_eq!(prefix("2001:db8::/32"), Some(32));
        assert_eq!(prefix("::1"), Some(128));
        for bad in ["", "10.0.0.1/8", "10.0.0.0/33", "10.0.0", "2001:db8::1/32"] {
            assert_eq!(prefix(bad), None, "{bad}");
        }
        for bad in ["10.0.0.0/255.0.0.0", "lb.internal", "10.0.0.1:80", "[::1]", "10.0.0.0 /8"] {
            assert_eq!(prefix(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_quoted_text_reads_as_what_it_was() {
        for text in
            ["", "a", "a\"b\\c", "\n[[routes]]\r\t\0", "\u{7f}\u{85}\u{2028}é", "[x]", "{y}"]
        {
            let table: toml::Table = format!("a = {}", quoted(text)).parse().unwrap();
            assert_eq!(table["a"].as_str(), Some(text), "{text:?}");
            assert_eq!(table.len(), 1);
        }
    }

    #[test]
    fn durations_and_sizes_have_units_and_are_above_zero() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("1h"), Some(Duration::from_secs(3600)));
        assert_eq!(size("64KiB"), Some(65_536));
        for bad in [
            "",
            "10",
            "s",
            "0s",
            "-1s",
            "1.5s",
            "10 s",
            "10sec",
            "99999999999999999999s",
            "36501d",
            "18446744073709551615s",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        for bad in ["", "1024", "0B", "1KB", "1 KiB", "99999999999GiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
