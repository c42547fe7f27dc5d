//! Fields that belong to one connection and must not cross to the next (RFC 9110 section 7.6.1).

/// Whether a field is hop-by-hop by its name.
pub fn is_hop_by_hop(name: &str) -> bool {
    // Whether Connection names them or not: many senders forget to (RFC 9110 section 7.6.1).
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    )
}

/// Whether Connection fields name a field. The fields that describe the content cannot be nominated away: the other side
/// would read the content as something else.
pub fn nominates<'a>(connection: impl IntoIterator<Item = &'a [u8]>, name: &str) -> bool {
    let is_named = |value: &[u8]| {
        let mut options = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
        options.any(|option| option.eq_ignore_ascii_case(name.as_bytes()))
    };
    !name.starts_with("content-") && connection.into_iter().any(is_named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_cannot_be_nominated_away() {
        let said = [&b"close, X-Hop"[..], b"content-length,content-type, transfer-encoding"];
        assert!(nominates(said, "x-hop"));
        for kept in ["content-length", "content-type", "x-other", "close,"] {
            assert!(!nominates(said, kept), "{kept}");
        }
    }
}
