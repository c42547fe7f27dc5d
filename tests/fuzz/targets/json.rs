//! Bodies of JSON, whole and cut in pieces, through the reader of the gateway and the one that is written for
//! nothing but clarity: the verdict after each piece is the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portaria::request::json::reference::Reference;
use portaria::request::json::{JsonBounds, JsonCheck};
use portaria_fuzz::write_seeds;

/// Two bounds and the length of a piece stand before a body.
const HEAD: usize = 3;

fn write() {
    let bodies = [
        r#"{"data":{"amount":"1.50","items":[{"code":"A","days":10},{"code":"B"}]},"ok":true}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\ud83d\ude00":"😀 é \" \\ \/ \b\f\n\r\t","\ud83d":[-0.5e+10,1E9,0,null,false]}"#,
        " [ [ ] , { } , \"\" ] \r\n\t",
        &format!(
            "{{{}}}",
            (0..40).map(|name| format!("\"{name}\":0")).collect::<Vec<_>>().join(",")
        ),
        &format!("{{\"{}\":1,\"{}\":2}}", "n".repeat(64), "n".repeat(65)),
        &["[".repeat(9), "]".repeat(9)].concat(),
    ];
    let with = |head: [u8; HEAD]| bodies.map(|body| [&head, body.as_bytes()].concat());
    write_seeds(&[with([8, 255, 1]), with([64, 255, 7]), with([64, 2, 200])].concat());
}

fn compare(body: &[u8], piece: usize, bounds: JsonBounds) {
    let (mut check, mut reference) = (JsonCheck::new(bounds), Reference::new(bounds));
    for piece in body.chunks(piece) {
        let judged = check.take(piece);
        assert_eq!(judged, reference.take(piece));
        if judged.is_err() {
            assert_eq!(check.finish(), judged);
            return;
        }
        assert_eq!(check.finish(), reference.finish());
    }
    assert_eq!(check.finish(), reference.finish());
}

fuzz_target!(init: write(), |input: &[u8]| {
    let Some(([depth, members, piece], body)) = input.split_first_chunk::<HEAD>() else { return };
    let bounds = JsonBounds { depth: u32::from(*depth), members: u32::from(*members) * 4 };
    compare(body, usize::from(*piece).max(1), bounds);
    compare(body, usize::MAX, bounds);
});
