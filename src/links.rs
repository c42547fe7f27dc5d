//! The links of an answer, rewritten to the host that callers know.
//!
//! A legacy system writes `links.self` and the pages around it with its own host. Where an upstream's public
//! URL is configured, this replaces scheme and authority of the values of `links`, at the top of an answer in
//! JSON, while the answer passes; nothing else of it changes. Takes its pieces, gives pieces; holds back no
//! more than one link, of which it must see the end. A link that is longer, relative without a leading slash
//! or written in escapes other than `\/` passes as it is, and so does an answer that is no JSON.
//!
//! Source: OPIN portal, pagination: links are absolute, https, of the public host.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};

/// The longest link that is rewritten, as it is written.
const LONGEST: usize = 2048;
/// Containers within each other, as far as they are followed.
const DEEPEST: u32 = 128;
/// The member that has links: `links` in OPIN, `Links` elsewhere.
const NAME: &[u8] = b"links";

/// Fields of an answer whose body must stay as it is: a part, a signature or digest of it.
const BINDING: [HeaderName; 7] = [
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("x-jws-signature"),
];

/// Scheme and authority that callers know, such as `https://api.example.com.br`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl(Arc<str>);

impl PublicUrl {
    /// Takes an origin; its characters need no escape in JSON.
    pub fn new(origin: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]/".contains(&b);
        // Links are https (OPIN portal, pagination), and nothing here could end the JSON
        // text that it is put into.
        let fits = origin.starts_with("https://") && origin.bytes().all(plain);
        fits.then(|| Self(origin.into()))
    }
}

impl PublicUrl {
    /// What a field that names a place (Location, Content-Location) says to callers, if it leads to the host that
    /// the servers know themselves by. To any other, as to a client's own after a login, it leads as it is.
    pub fn translate(&self, place: &str, is_internal: impl Fn(&str) -> bool) -> Option<String> {
        // Without a scheme it is that of the request, which is the public one.
        let scheme = ["http://", "https://", "//"].into_iter().find(|scheme| {
            place.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        })?;
        let rest = place.get(scheme.len()..)?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        // Behind the last `@`: before it stands userinfo (RFC 3986 section 3.2), which may look like a host.
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        is_internal(host).then(|| format!("{}{path}", self.0))
    }
}

/// Whether the answer is one whose links are rewritten.
pub fn are_in(status: StatusCode, answer: &HeaderMap) -> bool {
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_owned();
    let media = answer.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).map(essence);
    status.is_success()
        && status != StatusCode::NO_CONTENT
        && media.is_some_and(|media| media.eq_ignore_ascii_case("application/json"))
        // A signature or digest of what was rewritten would fail; coded content cannot be looked into.
        && !BINDING.iter().any(|name| answer.contains_key(name))
}

/// What of a string matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StringRole {
    /// A name at the top, so many bytes of which are those of [`NAME`]; nothing once one is not.
    Name(Option<usize>),
    /// A link.
    Link,
    /// Anything else.
    Other,
}

/// The answer under way.
#[derive(Debug)]
pub struct LinkRewriter {
    public: PublicUrl,
    depth: u32,
    /// Which of the open containers are objects, the innermost in the lowest bit.
    objects: u128,
    /// Whether the next string is a name.
    awaits_name: bool,
    /// Whether the member at the top that was named last has links.
    is_links: bool,
    text: Option<StringRole>,
    is_escaped: bool,
    /// The link that is not whole yet.
    held: Vec<u8>,
}

impl LinkRewriter {
    /// Nothing of an answer yet.
    pub fn new(public: PublicUrl) -> Self {
        Self {
            public,
            depth: 0,
            objects: 0,
            awaits_name: false,
            is_links: false,
            text: None,
            is_escaped: false,
            held: Vec::new(),
        }
    }

    /// The next piece, rewritten; nothing if all of it is held back. With the last one nothing is.
    pub fn rewrite(&mut self, piece: &[u8], is_last: bool) -> Option<Bytes> {
        let mut written = Vec::with_capacity(self.held.len() + piece.len() + self.public.0.len());
        for byte in piece {
            match self.text {
                Some(text) => self.in_text(text, *byte, &mut written),
                None => self.between(*byte, &mut written),
            }
        }
        if is_last {
            written.append(&mut self.held);
        }
        (!written.is_empty()).then(|| written.into())
    }

    fn between(&mut self, byte: u8, written: &mut Vec<u8>) {
        written.push(byte);
        match byte {
            b'"' => self.text = Some(self.kind_of_text()),
            b'{' | b'[' => self.open(byte == b'{'),
            b'}' | b']' => {
                // Of what is no JSON more may close than was opened; it passes, and nothing of it is a link.
                self.depth = self.depth.saturating_sub(1);
                self.objects >>= 1;
                self.awaits_name = false;
            }
            b',' => self.awaits_name = self.is_in_object(),
            b':' => self.awaits_name = false,
            _ => {}
        }
    }

    fn open(&mut self, is_object: bool) {
        self.depth = self.depth.saturating_add(1);
        self.objects = (self.objects << 1) | u128::from(is_object);
        self.awaits_name = is_object;
    }

    fn is_in_object(&self) -> bool {
        self.objects & 1 == 1
    }

    fn kind_of_text(&self) -> StringRole {
        // Deeper than it is followed, the bits of the outer containers are gone for good.
        if self.depth > DEEPEST {
            return StringRole::Other;
        }
        match (self.depth, self.awaits_name) {
            (1, true) => StringRole::Name(Some(0)),
            // Both containers are objects: the top, and the value of `links`.
            (2, false) if self.is_links && self.objects & 3 == 3 => StringRole::Link,
            _ => StringRole::Other,
        }
    }

    fn in_text(&mut self, text: StringRole, byte: u8, written: &mut Vec<u8>) {
        let ends = byte == b'"' && !self.is_escaped;
        self.is_escaped = byte == b'\\' && !self.is_escaped;
        match text {
            StringRole::Link if !ends && self.held.len() < LONGEST => self.held.push(byte),
            StringRole::Link => {
                match replaced(&self.held).filter(|_| ends) {
                    Some(rest) => {
                        written.extend_from_slice(self.public.0.as_bytes());
                        written.extend_from_slice(rest);
                    }
                    None => written.extend_from_slice(&self.held),
                }
                self.held.clear();
                written.push(byte);
                // What is longer than any link goes on as any other string.
                self.text = (!ends).then_some(StringRole::Other);
            }
            StringRole::Name(matched) if ends => {
                self.is_links = matched == Some(NAME.len());
                self.end(byte, written);
            }
            StringRole::Name(matched) => {
                let next = matched.filter(|matched| {
                    NAME.get(*matched).is_some_and(|b| b.eq_ignore_ascii_case(&byte))
                });
                self.text = Some(StringRole::Name(next.map(|matched| matched + 1)));
                written.push(byte);
            }
            StringRole::Other if ends => self.end(byte, written),
            StringRole::Other => written.push(byte),
        }
    }

    fn end(&mut self, quote: u8, written: &mut Vec<u8>) {
        written.push(quote);
        self.text = None;
    }
}

/// What of a link follows scheme and authority, if it has them, or its leading slash.
fn replaced(link: &[u8]) -> Option<&[u8]> {
    let scheme = [&b"https:"[..], b"http:"].into_iter().find_map(|scheme| {
        let (start, rest) = link.split_at_checked(scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then_some(rest)
    });
    let rest = after_slash(scheme.unwrap_or(link))?;
    match after_slash(rest) {
        Some(authority) => {
            let end = authority.iter().position(|b| b"/?#\\".contains(b));
            let (authority, rest) = authority.split_at_checked(end.unwrap_or(authority.len()))?;
            // A backslash that begins no slash is an escape of who knows what.
            let is_plain = rest.first() != Some(&b'\\') || after_slash(rest).is_some();
            (!authority.is_empty() && is_plain).then_some(rest)
        }
        None => scheme.is_none().then_some(link),
    }
}

/// What follows a slash, which JSON may write with a backslash.
fn after_slash(text: &[u8]) -> Option<&[u8]> {
    text.strip_prefix(b"/").or_else(|| text.strip_prefix(b"\\/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rewriter() -> LinkRewriter {
        LinkRewriter::new(PublicUrl::new("https://api.example").unwrap())
    }

    fn rewrite(answer: &str) -> String {
        let written = rewriter().rewrite(answer.as_bytes(), true).unwrap_or_default();
        String::from_utf8(written.to_vec()).unwrap()
    }

    #[test]
    fn links_get_the_public_host() {
        for (link, expected) in [
            ("http://legacy:8080/a/v1/b?page=2", "https://api.example/a/v1/b?page=2"),
            ("HTTPS://other.example/a", "https://api.example/a"),
            ("https://user@legacy//a", "https://api.example//a"),
            ("https://legacy", "https://api.example"),
            ("https://legacy?page=2", "https://api.example?page=2"),
            ("//legacy/a", "https://api.example/a"),
            ("/a/b", "https://api.example/a/b"),
            ("http:\\/\\/legacy:1\\/a\\/b", "https://api.example\\/a\\/b"),
            ("\\/a", "https://api.example\\/a"),
            ("https://legacy/a\\\"b", "https://api.example/a\\\"b"),
            ("https://legacy/\\u00e9", "https://api.example/\\u00e9"),
        ] {
            let answer = |link: &str| format!("{{\"data\":[],\"links\":{{\"self\":\"{link}\"}}}}");
            assert_eq!(rewrite(&answer(link)), answer(expected), "{link}");
        }
    }

    #[test]
    fn nothing_else_changes() {
        let long = format!("{{\"links\":{{\"self\":\"https://legacy/{}\"}}}}", "a".repeat(LONGEST));
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for answer in [
            "{\"links\":{\"self\":\"\"}}",
            "{\"links\":{\"self\":\"page=2\"}}",
            "{\"links\":{\"self\":\"ftp://legacy/a\"}}",
            "{\"links\":{\"self\":\"https:///a\"}}",
            "{\"links\":{\"self\":\"https:/a\"}}",
            "{\"links\":{\"self\":\"https://legacy\\u002fa\"}}",
            "{\"links\":{\"self\":{\"href\":\"https://legacy/a\"}}}",
            "{\"links\":[\"https://legacy/a\"]}",
            "{\"links\":\"https://legacy/a\"}",
            "{\"links\":null,\"data\":{\"a\":\"https://legacy/a\"}}",
            "{\"link\":{\"self\":\"https://legacy/a\"}}",
            "{\"linkss\":{\"self\":\"https://legacy/a\"}}",
            "{\"data\":{\"links\":{\"self\":\"https://legacy/a\"}}}",
            "{\"data\":{\"links\":\"https://legacy/a\"}}",
            "[{\"links\":{\"self\":\"https://legacy/a\"}}]",
            "{\"links\":{\"https://legacy/a\":1}}",
            "{\"data\":\"\\\"links\\\":{\\\"self\\\":\\\"https://legacy/a\\\"}\"}",
            "{\"links\":{\"self\":\"https://legacy/a",
            "https://legacy/a",
            "",
            &long,
            &deep,
        ] {
            assert_eq!(rewrite(answer), answer);
        }
    }

    #[test]
    fn every_link_of_the_member_is_rewritten_and_no_member_after_it() {
        let answer = r#"{"meta":{"self":"https://legacy/m"}, "Links" : {"Self" : "https://legacy/1",
            "next":"/2", "n":[{"x":"https://legacy/3"}], "last":"//legacy/4"}, "data":{"self":"https://legacy/5"}}"#;
        let expected = r#"{"meta":{"self":"https://legacy/m"}, "Links" : {"Self" : "https://api.example/1",
            "next":"https://api.example/2", "n":[{"x":"https://legacy/3"}], "last":"https://api.example/4"}, "data":{"self":"https://legacy/5"}}"#;
        assert_eq!(rewrite(answer), expected);
    }

    #[test]
    fn only_whole_answers_in_plain_json_have_links() {
        let answer = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, value.parse().unwrap());
            }
            headers
        };
        let json = ("content-type", "application/json; charset=utf-8");
        assert!(are_in(StatusCode::OK, &answer(&[json])));
        assert!(!are_in(StatusCode::NO_CONTENT, &answer(&[json])));
        assert!(!are_in(StatusCode::NOT_FOUND, &answer(&[json])));
        assert!(!are_in(StatusCode::OK, &answer(&[])));
        assert!(!are_in(StatusCode::OK, &answer(&[("content-type", "application/jsonl")])));
        for name in BINDING {
            let mut headers = answer(&[json]);
            headers.insert(&name, "1".parse().unwrap());
            assert!(!are_in(StatusCode::OK, &headers), "{name}");
        }
    }

    #[test]
    fn a_public_url_is_an_origin() {
        for bad in ["http://a", "https://a\"", "https://a b", "https://á", "a"] {
            assert_eq!(PublicUrl::new(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn pieces_are_rewritten_as_the_whole(
            link in "(https?:)?(\\\\?/){0,2}[a-z:]{0,6}(\\\\?/)?[a-z?\\\\\"]{0,4}",
            cuts in proptest::collection::vec(0_usize..60, 0..4),
        ) {
            let answer = format!("{{\"a\":[1],\"links\":{{\"self\":\"{link}\",\"next\":\"/x\"}},\"b\":{{}}}}");
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(answer.len())).collect();
            cuts.sort_unstable();
            let (mut rewriter, mut written, mut begin) = (rewriter(), Vec::new(), 0);
            for end in cuts {
                written.extend(rewriter.rewrite(&answer.as_bytes()[begin..end], false).unwrap_or_default());
                begin = end;
            }
            written.extend(rewriter.rewrite(&answer.as_bytes()[begin..], true).unwrap_or_default());
            prop_assert_eq!(String::from_utf8(written).unwrap(), rewrite(&answer));
        }
    }
}
