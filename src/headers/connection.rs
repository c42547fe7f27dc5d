//! Fields that belong to one connection and must not cross to the next (RFC 9110 section 7.6.1).

use http::{HeaderMap, HeaderName, header};

/// Whether a field is hop-by-hop by its name.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
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

/// The fields that a Connection field names.
#[derive(Debug)]
pub struct Nominated(Vec<HeaderName>);

impl Nominated {
    /// Reads the Connection fields. The fields that frame or describe the content cannot be nominated
    /// away: the other side would read the content as something else.
    pub fn of(headers: &HeaderMap) -> Self {
        let end_to_end = |name: &HeaderName| {
            *name == header::TRANSFER_ENCODING || name.as_str().starts_with("content-")
        };
        let names = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|option| HeaderName::try_from(option.trim()).ok())
            .filter(|name| !end_to_end(name) && name != "close" && name != "keep-alive");
        Self(names.collect())
    }

    /// Whether this field is named.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.0.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_cannot_be_nominated_away() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONNECTION, "close, X-Hop".parse().unwrap());
        headers.append(
            header::CONNECTION,
            "content-length,content-type, transfer-encoding".parse().unwrap(),
        );
        let nominated = Nominated::of(&headers);
        assert!(nominated.contains(&HeaderName::from_static("x-hop")));
        for kept in [header::TRANSFER_ENCODING, header::CONTENT_LENGTH, header::CONTENT_TYPE] {
            assert!(!nominated.contains(&kept), "{kept}");
        }
    }
}
