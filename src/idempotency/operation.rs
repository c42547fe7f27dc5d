//! What an idempotency key stands for, and the fingerprint of what was asked under it.
//!
//! A key belongs to one client and one resource: the same key of another client, on another route or
//! path, or under another consent is another operation. The fingerprint covers the query and the body,
//! byte by byte as they were received: two spellings of one JSON document are two contents.
//!
//! Neither can be read from what is kept. Both are keyed hashes; and the key of a fingerprint depends on
//! the idempotency key, so that without a key file too a body cannot be guessed from its fingerprint
//! as long as the idempotency key cannot (a UUID).

use std::fmt;

use aws_lc_rs::hmac;
use http::Method;

use super::seal::Secrets;
use crate::consent::ConsentId;
use crate::token::ClientId;

/// Bytes of an operation's id and of a fingerprint.
pub(super) const LENGTH: usize = 32;

/// Who asks: a participant, and the client of its token, where it needs one. Both, for a client's id is
/// its authorization server's to give.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    /// The organisation.
    pub organisation: &'a [u8],
    /// The software statement.
    pub software_statement: &'a [u8],
    /// The client of the token.
    pub id: Option<&'a ClientId>,
}

/// An operation, as a caller names it.
#[derive(Clone, Copy)]
pub struct Operation<'a> {
    /// Who asks.
    pub client: Client<'a>,
    /// The method.
    pub method: &'a Method,
    /// The path template of the route.
    pub template: &'a str,
    /// The canonical path.
    pub path: &'a str,
    /// The consent under which it is asked, if there is one.
    pub consent: Option<&'a ConsentId>,
    /// The idempotency key.
    pub key: &'a [u8],
}

impl Operation<'_> {
    fn parts(&self) -> [&[u8]; 8] {
        let Client { organisation, software_statement, id } = self.client;
        let client = id.map_or(&b""[..], |id| id.reveal().as_bytes());
        let consent = self.consent.map_or(&b""[..], |id| id.reveal().as_bytes());
        let method = self.method.as_str().as_bytes();
        let (template, path) = (self.template.as_bytes(), self.path.as_bytes());
        [organisation, software_statement, client, method, template, path, consent, self.key]
    }

    fn digest(&self, key: &hmac::Key) -> hmac::Tag {
        let mut context = hmac::Context::with_key(key);
        for part in self.parts() {
            update(&mut context, part);
        }
        context.sign()
    }

    /// Under what the operation is kept, and on whose account.
    pub fn id(&self, secrets: &Secrets) -> OperationId {
        let key = secrets.of_operations();
        let holder = bytes_of(&hmac::sign(key, self.client.organisation));
        // As many as an INTEGER of SQLite holds. Two organisations that met there would
        // share a share, nothing else.
        let mut first = [0; 8];
        first.iter_mut().zip(holder).for_each(|(to, from)| *to = from);
        let holder = i64::from_be_bytes(first);
        OperationId { digest: bytes_of(&self.digest(key)), holder }
    }

    /// The content of the operation, of which nothing but the query is known yet.
    pub fn content(&self, query: Option<&str>, secrets: &Secrets) -> AskedContent {
        let own = self.digest(secrets.of_contents());
        let mut begun = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, own.as_ref()));
        update(&mut begun, query.unwrap_or_default().as_bytes());
        AskedContent { context: begun.clone(), begun }
    }
}

/// The length before the bytes: what stands in one part cannot be taken for the beginning of the next.
fn update(context: &mut hmac::Context, part: &[u8]) {
    context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
    context.update(part);
}

fn bytes_of(tag: &hmac::Tag) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    // HMAC-SHA-256 gives as many.
    bytes.iter_mut().zip(tag.as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

/// The id of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId {
    digest: [u8; LENGTH],
    holder: i64,
}

impl OperationId {
    /// The bytes, for the store.
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.digest
    }

    /// Stands for the organisation that asked: what it may keep of a full store is its share.
    pub(super) fn holder(&self) -> i64 {
        self.holder
    }
}

impl fmt::Debug for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OperationId")
    }
}

/// What is asked, as far as it was received.
pub struct AskedContent {
    begun: hmac::Context,
    context: hmac::Context,
}

impl AskedContent {
    /// Takes the next piece of the body.
    pub fn update(&mut self, piece: &[u8]) {
        self.context.update(piece);
    }

    /// Forgets the body: it will be sent again from its beginning.
    pub fn begin_again(&mut self) {
        self.context = self.begun.clone();
    }

    /// The fingerprint of what was received.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(bytes_of(&self.context.clone().sign()))
    }
}

impl fmt::Debug for AskedContent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content")
    }
}

/// A fingerprint of what was asked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub(super) [u8; LENGTH]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprint")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"c0ffee";

    fn of(id: &ClientId) -> Client<'_> {
        Client { organisation: b"organisation", software_statement: b"software", id: Some(id) }
    }

    fn secrets() -> Secrets {
        Secrets::new(Some(&[7; 32])).unwrap()
    }

    /// Two ids and two fingerprints of one operation that differs in one point.
    fn ids(
        secrets: &Secrets,
        change: impl FnOnce(&mut Operation<'_>),
    ) -> [(OperationId, Fingerprint); 2] {
        let client = ClientId::new("client").unwrap();
        let mut operation = Operation {
            client: of(&client),
            method: &Method::POST,
            template: "/a/{b}",
            path: "/a/1",
            consent: None,
            key: KEY,
        };
        let of = |operation: &Operation<'_>| {
            (operation.id(secrets), operation.content(None, secrets).fingerprint())
        };
        let before = of(&operation);
        change(&mut operation);
        [before, of(&operation)]
    }

    #[test]
    fn each_part_of_an_operation_tells_it_apart() {
        let other = ClientId::new("client2").unwrap();
        let consent = ConsentId::new("urn:opin:1").unwrap();
        let changes: [fn(&mut Operation<'_>); 8] = [
            |o| o.client.organisation = b"other",
            |o| o.client.software_statement = b"other",
            |o| o.client.id = None,
            |o| o.method = &Method::PUT,
            |o| o.template = "/a/{c}",
            |o| o.path = "/a/2",
            |o| o.key = b"c0ffef",
            // What leaves one part must not enter the next.
            |o| (o.template, o.path) = ("/a/{b}/", "a/1"),
        ];
        let secrets = secrets();
        for change in changes {
            let [before, after] = ids(&secrets, change);
            assert!(before.0 != after.0 && before.1 != after.1);
        }
        let [before, after] = ids(&secrets, |_| ());
        assert_eq!(before, after);
        let client = ClientId::new("client").unwrap();
        let of = |client, consent| {
            let (method, template, path) = (&Method::POST, "/a/{b}", "/a/1");
            let client = of(client);
            Operation { client, method, template, path, consent, key: KEY }.id(&secrets)
        };
        assert_eq!(of(&client, None), before.0);
        assert_ne!(of(&other, None), before.0);
        assert_ne!(of(&client, Some(&consent)), before.0);
    }

    #[test]
    fn a_fingerprint_covers_query_and_body_and_nothing_of_their_pieces() {
        let secrets = secrets();
        let client = ClientId::new("client").unwrap();
        let operation = Operation {
            client: of(&client),
            method: &Method::POST,
            template: "/a",
            path: "/a",
            consent: None,
            key: KEY,
        };
        let of = |query, pieces: &[&[u8]]| {
            let mut content = operation.content(query, &secrets);
            pieces.iter().for_each(|piece| content.update(piece));
            content.fingerprint()
        };
        assert_eq!(of(None, &[b"ab", b"c"]), of(None, &[b"abc"]));
        assert_ne!(of(None, &[b"abc"]), of(None, &[b"abd"]));
        assert_ne!(of(Some("q"), &[b"abc"]), of(None, &[b"abc"]));
        assert_ne!(of(Some("a"), &[b"bc"]), of(Some("ab"), &[b"c"]));
        let mut content = operation.content(None, &secrets);
        content.update(b"half of wha");
        content.begin_again();
        content.update(b"abc");
        assert_eq!(content.fingerprint(), of(None, &[b"abc"]));
    }

    #[test]
    fn another_secret_gives_other_ids() {
        let [(id, fingerprint), _] = ids(&secrets(), |_| ());
        for other in [Secrets::new(Some(&[8; 32])).unwrap(), Secrets::new(None).unwrap()] {
            let [(other_id, other_fingerprint), _] = ids(&other, |_| ());
            assert!(id != other_id && fingerprint != other_fingerprint);
        }
    }
}
