//! The bearer token of a request (RFC 6750 section 2.1): one Authorization field, scheme `Bearer` in
//! any case (RFC 9110 section 11.1), one token. Tokens in the query or the body are not looked at.

use http::{HeaderMap, header};

use super::TokenError;

/// What stands where a token should: one, if its characters are a token's. That is judged when it is asked for, for it
/// takes as long as everything else here, and who knows the token already knows it.
#[derive(Clone, Copy)]
pub struct PresentedToken<'a>(&'a [u8]);

impl<'a> PresentedToken<'a> {
    /// Its bytes, whatever they are.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The token.
    ///
    /// # Errors
    ///
    /// [`TokenError::Malformed`], a refusal, for bytes that no token has (RFC 6750 section 2.1).
    pub fn token(self) -> Result<&'a str, TokenError> {
        let text = std::str::from_utf8(self.0).map_err(|_| TokenError::Malformed)?;
        if is_token68(text) { Ok(text) } else { Err(TokenError::Malformed) }
    }
}

/// Finds what is presented as the token.
///
/// # Errors
///
/// [`TokenError::Missing`], [`TokenError::Repeated`], [`TokenError::Malformed`] without a blank,
/// [`TokenError::Scheme`], or [`TokenError::TooLong`] for more than `longest` bytes. All are refusals.
pub fn find(headers: &HeaderMap, longest: usize) -> Result<PresentedToken<'_>, TokenError> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let field = fields.next().ok_or(TokenError::Missing)?;
    // A reader that takes the first and one that takes the last would see two callers.
    if fields.next().is_some() {
        return Err(TokenError::Repeated);
    }
    let text = field.as_bytes();
    // A blank and no tab: RFC 9110 section 11.4 has 1*SP between scheme and token.
    let blank = text.iter().position(|b| *b == b' ').ok_or(TokenError::Malformed)?;
    let (scheme, mut token) = text.split_at_checked(blank).ok_or(TokenError::Malformed)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return Err(TokenError::Scheme);
    }
    while let Some(rest) = token.strip_prefix(b" ") {
        token = rest;
    }
    // Before anything looks at each byte: hashing is what a stranger could make us do.
    if token.len() > longest {
        return Err(TokenError::TooLong);
    }
    Ok(PresentedToken(token))
}

/// `b64token` of RFC 6750: letters, digits, `-._~+/`, then any number of `=`.
fn is_token68(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    let allowed =
        |b: u8| b.is_ascii_alphanumeric() | matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/');
    // A fold rather than `all`, so that the compiler can use vector instructions.
    !body.is_empty() && body.bytes().fold(true, |all, b| all & allowed(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find_in(values: &[&str]) -> Result<String, TokenError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, value.parse().unwrap());
        }
        find(&headers, 16)?.token().map(str::to_owned)
    }

    #[test]
    fn the_scheme_is_case_insensitive() {
        for good in ["Bearer a.b-c", "bearer a.b-c", "BEARER a.b-c", "Bearer  a.b-c"] {
            assert_eq!(find_in(&[good]).as_deref(), Ok("a.b-c"), "{good}");
        }
    }

    #[test]
    fn anything_but_one_token_is_refused() {
        assert_eq!(find_in(&[]), Err(TokenError::Missing));
        assert_eq!(find_in(&["Bearer a", "Bearer a"]), Err(TokenError::Repeated));
        assert_eq!(find_in(&["Basic YTpi"]), Err(TokenError::Scheme));
        assert_eq!(find_in(&["DPoP abc"]), Err(TokenError::Scheme));
        assert_eq!(find_in(&["Bearer abcdefghijklmnopq"]), Err(TokenError::TooLong));
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer a,b",
            "Bearer ===",
            "Bearer a\tb",
            "Bearer \u{e9}",
        ] {
            assert_eq!(find_in(&[bad]), Err(TokenError::Malformed), "{bad}");
        }
    }
}
