//! Heads of answers: the same wherever they are cut, and what is accepted is read alike by a parser that forgives.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portaria::http1::answer::HeadReader;
use portaria::http1::scrutiny;
use portaria_fuzz::write_seeds;

fn write() {
    let heads = [
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.0 404\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5, max=1\r\n\r\n",
        "HTTP/1.1 200 \u{e9}\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\t c\r\nX-B : d\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: <a>\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
    ];
    write_seeds(&heads.map(|head| [&[7, 0], head.as_bytes()].concat()));
}

/// What is accepted here, others read as the same.
fn compare(wire: &[u8]) {
    let mut buffer = wire.to_vec();
    let Ok(Some(head)) = HeadReader::default().read(&mut buffer) else { return };
    let mut fields = [httparse::EMPTY_HEADER; 256];
    let mut theirs = httparse::Response::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    config
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true);
    let parsed = config.parse_response(&mut theirs, wire);
    assert_eq!(parsed, Ok(httparse::Status::Complete(head.length)));
    assert_eq!(theirs.code, Some(head.status.as_u16()));
    assert_eq!(theirs.headers.len(), head.fields.len());
    for (theirs, (name, value)) in theirs.headers.iter().zip(&head.fields) {
        assert_eq!(theirs.name.as_bytes(), name.of(&buffer));
        let unfolded: Vec<u8> = theirs
            .value
            .iter()
            .map(|byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { *byte })
            .collect();
        assert_eq!(unfolded.trim_ascii(), value.of(&buffer));
    }
}

fuzz_target!(init: write(), |input: &[u8]| {
    let Some((cut, wire)) = input.split_first_chunk::<2>() else { return };
    scrutiny::answer(wire, usize::from(u16::from_le_bytes(*cut)));
    compare(wire);
});
