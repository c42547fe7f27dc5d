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
    /// away: a caller could make the backend read the content as something else.
    pub fn of(headers: &HeaderMap) -> Self {
        let end_to_end = [header::HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE];
        let names = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|option| HeaderName::try_from(option.trim()).ok())
            .filter(|name| !end_to_end.contains(name) && name != "close" && name != "keep-alive");
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
    fn a_caller_cannot_nominate_the_content_away() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONNECTION, "close, X-Hop".parse().unwrap());
        headers.append(header::CONNECTION, "content-length,content-type, host".parse().unwrap());
        let nominated = Nominated::of(&headers);
        assert!(nominated.contains(&HeaderName::from_static("x-hop")));
        for kept in [header::HOST, header::CONTENT_LENGTH, header::CONTENT_TYPE] {
            assert!(!nominated.contains(&kept), "{kept}");
        }
    }
}
