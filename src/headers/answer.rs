//! The fields of an answer, told one after the other to whoever writes them: those of its own that may leave, then
//! those that every answer gets.
//!
//! A backend's answer is judged where it lies, a field at a time, and most of them are never made a map of: that is for
//! answers that are changed or kept.

use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::connection::{is_hop_by_hop, nominates};
use super::{
    AnswerFacts, DEPRECATION, RATE_LIMIT, RATE_LIMIT_REMAINING, RATE_LIMIT_TIME, SECURITY, SUNSET,
    caller,
};
use crate::http1::answer::AnswerHead;
use crate::interaction;
use crate::route::Lifetime;
use crate::version;

/// The longest name that is compared; no field that matters has a longer one.
const LONGEST_NAME: usize = 64;

/// Who writes fields.
pub trait Fields {
    /// A field of the gateway's.
    fn known(&mut self, name: &HeaderName, value: &HeaderValue);

    /// The same, with a number.
    fn number(&mut self, name: &HeaderName, value: u64);

    /// A field as a backend wrote it, but for the case of its name.
    fn passed(&mut self, name: &str, value: &[u8]);
}

/// The fields that an answer has of its own.
#[derive(Clone, Copy)]
pub enum Own<'a> {
    /// These.
    These(&'a HeaderMap),
    /// Those of a backend's answer that may leave.
    Passed {
        /// Its head.
        head: &'a AnswerHead,
        /// What the head was read from.
        buffer: &'a [u8],
        /// Whether cookies may leave.
        keeps_cookies: bool,
    },
}

/// All fields of an answer.
#[derive(Clone, Copy)]
pub struct AnswerFields<'a> {
    /// Its own.
    pub own: Own<'a>,
    /// What it says of its exchange.
    pub facts: AnswerFacts<'a>,
}

impl AnswerFields<'_> {
    /// Tells them.
    pub fn tell(&self, fields: &mut impl Fields) {
        match self.own {
            Own::These(own) => {
                for (name, value) in own {
                    // Of a field that stands twice some clients take the first, others the last: where the
                    // exchange says it, nobody else does.
                    if !self.facts.say(name.as_str()) {
                        fields.known(name, value);
                    }
                }
            }
            Own::Passed { head, buffer, keeps_cookies } => {
                self.pass(head, buffer, keeps_cookies, fields);
            }
        }
        self.facts.tell(fields);
    }

    fn pass(
        &self,
        head: &AnswerHead,
        buffer: &[u8],
        keeps_cookies: bool,
        fields: &mut impl Fields,
    ) {
        for (name, value) in &head.fields {
            let (mut short, long);
            let name = name.of(buffer);
            let name = match name.len() <= LONGEST_NAME {
                true => {
                    short = [0; LONGEST_NAME];
                    let part = short.get_mut(..name.len()).unwrap_or_default();
                    part.copy_from_slice(name);
                    part.make_ascii_lowercase();
                    // A token is ASCII.
                    std::str::from_utf8(part).unwrap_or_default()
                }
                // Rare, and kept back like any other: what the gateway owns are beginnings of names, too.
                false => {
                    long = String::from_utf8_lossy(name).to_ascii_lowercase();
                    long.as_str()
                }
            };
            let leaves = may_leave(name) && (keeps_cookies || name != "set-cookie");
            // Asked last: most answers have no Connection field, and it is walked through for each name.
            let is_of_connection = || nominates(head.values(buffer, "connection"), name);
            if leaves && !self.facts.say(name) && !is_of_connection() {
                fields.passed(name, value.of(buffer));
            }
        }
    }
}

/// Whether a backend's field of this name may reach a caller: not what belongs to its connection or frames its message,
/// what describes the legacy system, what the gateway owns.
pub(super) fn may_leave(name: &str) -> bool {
    let describes =
        matches!(name, "server" | "x-powered-by" | "x-aspnet-version" | "x-aspnetmvc-version");
    // Of the gateway's own clock and framing.
    let is_written = matches!(name, "date" | "content-length");
    !describes && !is_written && !is_hop_by_hop(name) && !caller::is_owned(name)
}

impl AnswerFacts<'_> {
    /// Whether they say something under this name: then it is theirs to say.
    fn say(&self, name: &str) -> bool {
        let deprecation = self.lifetime.and_then(Lifetime::deprecation).is_some();
        let sunset = self.lifetime.and_then(Lifetime::sunset).is_some();
        SECURITY.iter().any(|(own, _)| own == name)
            || interaction::FIELD == name
            || self.attempt.is_some_and(|(own, _)| own == name)
            || (self.version.is_some() && version::FIELD == name)
            || (deprecation && DEPRECATION == name)
            || (sunset && SUNSET == name)
            || (self.standing.is_some()
                && [RATE_LIMIT, RATE_LIMIT_REMAINING, RATE_LIMIT_TIME].iter().any(|n| n == name))
    }

    /// The fields that every answer gets, whatever its status and whoever made it.
    fn tell(&self, fields: &mut impl Fields) {
        for (name, value) in &SECURITY {
            fields.known(name, value);
        }
        fields.known(&interaction::FIELD, self.interaction.as_value());
        if let Some((name, value)) = self.attempt {
            fields.known(name, value);
        }
        if let Some(version) = self.version {
            fields.known(&version::FIELD, version);
        }
        if let Some(value) = self.lifetime.and_then(Lifetime::deprecation) {
            fields.known(&DEPRECATION, value);
        }
        if let Some(value) = self.lifetime.and_then(Lifetime::sunset) {
            fields.known(&SUNSET, value);
        }
        if let Some(standing) = self.standing {
            fields.number(&RATE_LIMIT, standing.limit.into());
            fields.number(&RATE_LIMIT_REMAINING, standing.remaining.into());
            fields.number(&RATE_LIMIT_TIME, standing.window_seconds);
        }
    }
}

impl Fields for HeaderMap {
    fn known(&mut self, name: &HeaderName, value: &HeaderValue) {
        self.append(name, value.clone());
    }

    fn number(&mut self, name: &HeaderName, value: u64) {
        self.append(name, HeaderValue::from(value));
    }

    fn passed(&mut self, name: &str, value: &[u8]) {
        // What was read as a field is one.
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        {
            self.append(name, value);
        }
    }
}

/// Makes the fields of a backend's answer those that may leave; cookies too, unless they are asked for: an API
/// of the ecosystem has no session, and a legacy system's would tie callers to it.
pub fn clear(answer: &mut HeaderMap, keeps_cookies: bool) {
    if !keeps_cookies {
        answer.remove(header::SET_COOKIE);
    }
    let values = || answer.get_all(header::CONNECTION).iter().map(HeaderValue::as_bytes);
    let stays = |name: &HeaderName| {
        may_leave(name.as_str()) && !nominates(values(), name.as_str())
            || *name == header::CONTENT_LENGTH
    };
    let dropped: Vec<HeaderName> = answer.keys().filter(|name| !stays(name)).cloned().collect();
    for name in dropped {
        answer.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::answer::HeadReader;
    use crate::interaction::InteractionId;

    const SENT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nLink: <a>\r\nLink: <b>\r\n\
        Server: IIS\r\nX-Powered-By: ASP.NET\r\nKeep-Alive: timeout=5\r\nConnection: X-Hop, content-type\r\n\
        Connection: close\r\nX-Hop: 1\r\nX-Portaria-Client-Id: forged\r\nTransfer-Encoding: chunked\r\n\
        Date: then\r\nX-V: 9\r\nX-Frame-Options: ALLOW\r\nSet-Cookie: a\r\nContent-Length: 5\r\n\r\n";

    #[test]
    fn a_long_name_is_held_to_the_same_rules() {
        let long = |begin: &str| format!("{begin}{}", "a".repeat(LONGEST_NAME));
        let (own, hop, good) = (long("X-Portaria-"), long("X-Hop-"), long("x-good-"));
        let sent = format!(
            "HTTP/1.1 200 OK\r\n{own}: 1\r\n{hop}: 2\r\n{good}: 3\r\nConnection: {hop}\r\n\r\n"
        );
        let mut buffer = sent.into_bytes();
        let head = HeadReader::default().read(&mut buffer).unwrap().unwrap();
        let interaction = InteractionId::mint();
        let facts = AnswerFacts {
            interaction: &interaction,
            attempt: None,
            version: None,
            lifetime: None,
            standing: None,
        };
        let mut told = HeaderMap::new();
        let own_fields = Own::Passed { head: &head, buffer: &buffer, keeps_cookies: false };
        AnswerFields { own: own_fields, facts }.tell(&mut told);
        let is_there = |name: &str| told.contains_key(name.to_ascii_lowercase().as_str());
        assert_eq!([&own, &hop, &good].map(|name| is_there(name)), [false, false, true]);
    }

    #[test]
    fn an_answer_keeps_its_own_fields_only() {
        let mut buffer = SENT.to_vec();
        let head = HeadReader::default().read(&mut buffer).unwrap().unwrap();
        let interaction = InteractionId::mint();
        let version = HeaderValue::from_static("2.0.0");
        let facts = AnswerFacts {
            interaction: &interaction,
            attempt: None,
            version: Some(&version),
            lifetime: None,
            standing: None,
        };
        let mut told = HeaderMap::new();
        let own = Own::Passed { head: &head, buffer: &buffer, keeps_cookies: false };
        AnswerFields { own, facts }.tell(&mut told);
        let mut own: Vec<&str> = told.keys().map(HeaderName::as_str).collect();
        own.retain(|name| !SECURITY.iter().any(|(security, _)| security == name));
        own.sort_unstable();
        assert_eq!(own, ["content-type", "link", "x-fapi-interaction-id", "x-v"]);
        assert_eq!(told.get_all("link").iter().count(), 2);
        assert_eq!(told.get("x-v"), Some(&version), "the gateway's word");
        // The same by way of a map.
        let mut map = head.to_map(&buffer).unwrap();
        clear(&mut map, false);
        map.remove(header::CONTENT_LENGTH);
        let mut by_map = HeaderMap::new();
        AnswerFields { own: Own::These(&map), facts }.tell(&mut by_map);
        assert_eq!(by_map, told);
    }
}
