//! Chunked bodies of requests and of answers, wherever they are cut, through the reader of the gateway and one that is
//! written for nothing but clarity.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portaria::http1::scrutiny;
use portaria_fuzz::write_seeds;

fn write() {
    let bodies = [
        "5\r\nhello\r\n0\r\n\r\nrest".to_owned(),
        "5;a=b\r\nhello\r\n00000001;c\r\n!\r\n0;d\r\nX-T: 1\r\nY-T:\r\n\r\n".to_owned(),
        "5  \r\nhello\r\na ;a = b\r\n0123456789\r\n0 \r\n\r\n".to_owned(),
        "ffffffff\r\n".to_owned(),
        "1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\na\r\n".repeat(70) + "0\r\n\r\n",
        format!("0\r\na: {}\r\n\r\n", "b".repeat(4094)),
        format!("1;{}\r\na\r\n0\r\n\r\n", "b".repeat(252)),
    ];
    write_seeds(&bodies.map(|body| [&[7, 0, 64], body.as_bytes()].concat()));
}

fuzz_target!(init: write(), |input: &[u8]| {
    let Some(([low, high, most], wire)) = input.split_first_chunk::<3>() else { return };
    scrutiny::chunks(wire, usize::from(u16::from_le_bytes([*low, *high])), u64::from(*most) * 4);
});
