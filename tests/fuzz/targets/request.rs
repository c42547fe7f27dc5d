//! Heads of requests: the same wherever they are cut, and what is accepted is read alike by a parser that forgives.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portaria::request::framing::{HeadLimits, check_head};
use portaria::request::scrutiny;
use portaria_fuzz::write_seeds;

const LIMITS: HeadLimits = HeadLimits { size: 8 * 1024, fields: 64 };

fn write() {
    let heads = [
        "GET /a/b?c=d HTTP/1.1\r\nHost: a.b:1\r\nX-A: b c\r\nAccept: */*\r\n\r\nrest",
        "POST https://a/b%41//c HTTP/1.0\r\nhost: A\r\nContent-Length: 007\r\nExpect: 100-continue\r\n\r\n1234567",
        "POST / HTTP/1.1\r\nHost: [::1]:1\r\nTransfer-Encoding: Chunked\r\nConnection: close, x\r\n\r\n0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n c\r\nX-B : d\r\n\r\n",
        "GET /\u{1} HTTP/1.1\nHost: a\r\n\r\n",
    ];
    write_seeds(&heads.map(|head| [&[7, 0], head.as_bytes()].concat()));
}

/// What is accepted here, others read as the same.
fn compare(head: &[u8]) {
    let mut ours = Vec::new();
    let outline = check_head(head, &LIMITS, |name, value| ours.push((name, value.of(head)))).unwrap();
    let mut fields = [httparse::EMPTY_HEADER; 64];
    let mut theirs = httparse::Request::new(&mut fields);
    assert_eq!(theirs.parse(head), Ok(httparse::Status::Complete(head.len())));
    assert_eq!(theirs.method.unwrap().as_bytes(), outline.method.of(head));
    let target = theirs.path.unwrap().as_bytes();
    assert!(target.ends_with(outline.target.of(head)));
    assert_eq!(theirs.headers.len(), ours.len());
    for (theirs, (name, value)) in theirs.headers.iter().zip(ours) {
        assert_eq!(theirs.name.as_bytes(), name);
        assert_eq!(theirs.value.trim_ascii(), value);
    }
}

fuzz_target!(init: write(), |input: &[u8]| {
    let Some((cut, wire)) = input.split_first_chunk::<2>() else { return };
    if let Some(head) = scrutiny::request(wire, usize::from(u16::from_le_bytes(*cut))) {
        compare(head);
    }
});
