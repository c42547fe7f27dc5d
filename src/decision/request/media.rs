//! The media that a request speaks and accepts: application/json in UTF-8, or what its route says.
//!
//! Standard: RFC 9110 sections 8.3, 8.4, 12.5; OPIN portal, HTTP headers (Accept absent or `*/*` is
//! fine, a charset other than UTF-8 is not). The type of a body that is not there does not matter: the
//! conformance suite sends Content-Type with GET.

use http::header::{ACCEPT, ACCEPT_CHARSET, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

use super::RequestError;

/// What the body of a request is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// application/json: the APIs of the ecosystem.
    Json,
    /// application/x-www-form-urlencoded: what OAuth 2.0 asks of an authorization server's clients.
    Form,
    /// A compact JWS: signed events (RFC 8935, RFC 7515 section 9.2.1, RFC 7519 section 10.3.1).
    Jws,
}

impl Media {
    /// Its media types.
    pub fn essences(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["application/json"],
            Self::Form => &["application/x-www-form-urlencoded"],
            Self::Jws => &["application/secevent+jwt", "application/jwt", "application/jose"],
        }
    }
}

/// Requires that JSON in UTF-8 is acceptable to the caller.
///
/// # Errors
///
/// [`RequestError::NotAcceptable`], a refusal, if Accept or Accept-Charset leaves JSON or UTF-8 out, or has
/// bytes beyond ASCII (RFC 9110 section 12.5).
pub fn check_accepted(headers: &HeaderMap) -> Result<(), RequestError> {
    // Before a backend is asked: what it did could not be told to the caller any more.
    if accepts(headers, &ACCEPT, json_precedence)
        && accepts(headers, &ACCEPT_CHARSET, utf8_precedence)
    {
        Ok(())
    } else {
        Err(RequestError::NotAcceptable)
    }
}

/// How exactly a range means JSON in UTF-8, if it means it (RFC 9110 section 12.5.1). Of parameters only charset
/// tells one JSON from another.
fn json_precedence(range: &str) -> Option<u8> {
    let mut parts = range.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    // By how exact they are: q=0 for JSON counts against `*/*` (RFC 9110 section 12.5.1, decision 13).
    let of = [("*/*", 1), ("application/*", 2), ("application/json", 3)];
    let precedence = of.iter().find(|(known, _)| essence.eq_ignore_ascii_case(known))?.1;
    parts.all(charset_fits).then_some(precedence)
}

fn utf8_precedence(range: &str) -> Option<u8> {
    let name = range.split(';').next().unwrap_or_default().trim();
    match name {
        "*" => Some(1),
        name => is_utf8(name).then_some(2),
    }
}

/// Without the hyphen it is no registered name, and what many clients write.
fn is_utf8(name: &str) -> bool {
    name.eq_ignore_ascii_case("utf-8") || name.eq_ignore_ascii_case("utf8")
}

fn charset_fits(parameter: &str) -> bool {
    match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            // RFC 9110 section 5.6.6: a parameter's value may be quoted.
            is_utf8(value.trim().trim_matches('"'))
        }
        // Others (`version`, `profile`) change nothing that JSON has.
        _ => true,
    }
}

/// Requires that a body, if there is one, is of the route's media in UTF-8 without content coding.
///
/// # Errors
///
/// [`RequestError::UnsupportedMedia`], a refusal, for a body of another type or charset, of two types, with a
/// content coding, or, where the media is not JSON, without a type (RFC 9110 sections 8.3 and 8.4).
pub fn check_content(
    headers: &HeaderMap,
    has_body: bool,
    media: Media,
) -> Result<(), RequestError> {
    if !has_body {
        return Ok(());
    }
    // Not opened: bounds of size and nesting hold for what is read, and not for what it would unpack to.
    let coded = headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let first = types.next();
    let readable = match first.map(|value| value.to_str()) {
        // A form without its type would be nobody's guess.
        None => media == Media::Json,
        Some(Ok(text)) => is(media, text),
        Some(Err(_)) => false,
    };
    // Of two types a backend may go by the other one.
    if readable && types.next().is_none() && !coded {
        Ok(())
    } else {
        Err(RequestError::UnsupportedMedia)
    }
}

fn is(media: Media, media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    media.essences().iter().any(|known| essence.eq_ignore_ascii_case(known))
        && parts.all(charset_fits)
}

/// Whether the field is absent, or the range that means it most exactly has a weight above zero.
fn accepts(
    headers: &HeaderMap,
    name: &HeaderName,
    precedence: impl Fn(&str) -> Option<u8>,
) -> bool {
    let mut stated = false;
    let mut best: Option<(u8, bool)> = None;
    for value in headers.get_all(name) {
        // Bytes beyond ASCII name no range, and what they were meant to be nobody knows.
        let Ok(text) = value.to_str() else {
            return false;
        };
        for range in text.split(',').map(str::trim).filter(|range| !range.is_empty()) {
            stated = true;
            let Some(precedence) = precedence(range) else {
                continue;
            };
            let is_wanted = !is_weight_zero(range);
            best = match best {
                Some((before, _)) if before > precedence => best,
                // The same range twice: whoever wants it once wants it.
                Some((before, wanted)) if before == precedence => {
                    Some((before, wanted || is_wanted))
                }
                _ => Some((precedence, is_wanted)),
            };
        }
    }
    // Nothing stated admits all (RFC 9110 section 12.5.1); stated and without JSON is a refusal.
    best.map_or(!stated, |(_, is_wanted)| is_wanted)
}

fn is_weight_zero(range: &str) -> bool {
    range.split(';').skip(1).filter_map(|parameter| parameter.trim().split_once('=')).any(
        |(name, value)| {
            // Every spelling of zero (`0.000`); what is no weight at all counts as one.
            name.eq_ignore_ascii_case("q") && value.trim().parse::<f32>().is_ok_and(|q| q == 0.0)
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    #[test]
    fn json_in_utf8_must_be_acceptable() {
        for good in [
            "",
            "*/*",
            "application/json",
            "Application/JSON; charset=utf-8",
            "text/html, application/*;q=0.5",
            "application/json;q=1",
            "application/json;charset=utf8",
            "application/json; charset=\"UTF-8\"; q=0.1",
            "application/json;odata=verbose",
            "*/*;q=0, application/json",
            "application/*;q=0, application/json;q=0.1",
            "application/json;charset=iso-8859-1, */*",
            "application/json;q=0, application/json",
        ] {
            assert_eq!(check_accepted(&headers(&[("accept", good)])), Ok(()), "{good}");
        }
        for good in ["utf-8", "utf8", "UTF8", "iso-8859-1, utf8;q=0.5", "*", "*;q=0, utf-8"] {
            assert_eq!(check_accepted(&headers(&[("accept-charset", good)])), Ok(()), "{good}");
        }
        assert_eq!(check_accepted(&headers(&[])), Ok(()));
        for bad in [
            ("accept", "text/html"),
            ("accept", "application/xml, text/*"),
            ("accept", "application/json;q=0"),
            ("accept", "*/*;q=0.000"),
            ("accept", "application/json;q=0, */*"),
            ("accept", "*/*, application/*;q=0"),
            ("accept", "application/json;charset=iso-8859-1"),
            ("accept", "application/json; charset=utf-16, text/html"),
            ("accept-charset", "iso-8859-1"),
            ("accept-charset", "utf-8;q=0, *"),
            ("accept-charset", "utf-16"),
            ("accept", "application/jwt"),
        ] {
            assert_eq!(
                check_accepted(&headers(&[bad])),
                Err(RequestError::NotAcceptable),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_body_must_be_json_in_utf8() {
        for good in [
            "application/json",
            "application/json; charset=UTF-8",
            "application/json;charset=\"utf-8\"",
            "application/json;charset=utf8",
            "application/json; charset = UTF8",
        ] {
            assert_eq!(
                check_content(&headers(&[("content-type", good)]), true, Media::Json),
                Ok(()),
                "{good}"
            );
        }
        assert_eq!(check_content(&headers(&[]), true, Media::Json), Ok(()));
        for bad in [
            "text/plain",
            "application/json; charset=latin1",
            "application/json; charset=utf-16",
            "application/xml",
            "json",
            "",
        ] {
            let fields = headers(&[("content-type", bad)]);
            assert_eq!(
                check_content(&fields, true, Media::Json),
                Err(RequestError::UnsupportedMedia),
                "{bad}"
            );
            assert_eq!(check_content(&fields, false, Media::Json), Ok(()), "{bad}");
        }
        let coded = headers(&[("content-encoding", "gzip")]);
        assert_eq!(check_content(&coded, true, Media::Json), Err(RequestError::UnsupportedMedia));
        let twice =
            headers(&[("content-type", "application/json"), ("content-type", "text/plain")]);
        assert_eq!(check_content(&twice, true, Media::Json), Err(RequestError::UnsupportedMedia));
    }
}
