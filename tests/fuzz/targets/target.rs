//! Targets: what is accepted is canonical, and stays what it is.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portaria::request::scrutiny;
use portaria_fuzz::write_seeds;

fn write() {
    let targets = [
        "/open-insurance/consents/v3/consents/urn:a:1?page=1&b=%2f",
        "//a//%41%2fb/;c/d;e=f/",
        "/a/%2e%2e/b/..;/c/%252e",
        "/%c3%a9/%C3%A9/%ff",
        "/a/./b/../c?d/../e",
    ];
    write_seeds(&targets.map(|target| target.as_bytes().to_vec()));
}

fuzz_target!(init: write(), |input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text, None),
    };
    scrutiny::check_target(path, query);
});
