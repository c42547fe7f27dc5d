//! `portaria jwks status` and `portaria jws verify`.

use std::process::{Command, Output};

use serde_json::json;

use super::keys::{first_signer, key_server, lab_with_keys, set_of};
use super::sign;
use crate::harness::*;

fn portaria(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_portaria")).args(arguments).output().unwrap()
}

fn said(output: &Output) -> (Option<i32>, String) {
    (output.status.code(), String::from_utf8(output.stdout.clone()).unwrap())
}

#[tokio::test]
async fn a_signature_is_judged_by_hand_as_on_the_wire() {
    let lab = lab().await;
    let file = lab.directory.path().join("jwks.json").display().to_string();
    let token = sign(&lab, |_, _| {});
    let verify = |token: &str, algorithm: &str| {
        said(&portaria(&["jws", "verify", "--jwk", &file, "--alg", algorithm, "--token", token]))
    };
    let invalid = |code: &str| (Some(1), format!("invalid: {code}\n"));
    assert_eq!(verify(&token, "PS256"), (Some(0), "valid\n".to_owned()));
    assert_eq!(verify(&token[..token.len() - 4], "PS256"), invalid("token_signature"));
    assert_eq!(verify("opaque", "PS256"), invalid("token_malformed"));
    assert_eq!(verify("-x", "PS256"), invalid("token_malformed"));
    let other = sign(&lab, |header, _| header["kid"] = json!("other"));
    assert_eq!(verify(&other, "PS256"), invalid("token_unknown_key"));
    let critical = sign(&lab, |header, _| header["crit"] = json!(["exp"]));
    assert_eq!(verify(&critical, "PS256"), invalid("token_header"));
    // The key is declared for PS256.
    assert_eq!(verify(&token, "PS384"), invalid("the key is of no accepted algorithm"));
    // What no configuration can admit, the command cannot either.
    for algorithm in ["RS256", "HS256", "none", "ps256"] {
        let output =
            portaria(&["jws", "verify", "--jwk", &file, "--alg", algorithm, "--token", &token]);
        assert_eq!(output.status.code(), Some(1), "{algorithm}");
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("accepted: PS256, PS384, PS512, ES256"), "{text}");
    }
    for file in ["server.pem", "nowhere"] {
        let file = lab.directory.path().join(file).display().to_string();
        let output = portaria(&["jws", "verify", "--jwk", &file, "--alg", "PS256", "--token", "x"]);
        assert_eq!(output.status.code(), Some(64), "{file}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_shows_what_is_usable_and_what_is_kept() {
    let server = key_server().await;
    let lab = lab_with_keys(&server, "", "directory = \"keys\"").await;
    let config = lab.directory.path().join("config.toml").display().to_string();
    let kept = lab.directory.path().join("keys");
    let is_kept = || async {
        let names = kept.read_dir().into_iter().flatten().map(|entry| entry.unwrap().file_name());
        names.into_iter().any(|name| name.to_string_lossy().ends_with(".json"))
    };
    eventually("the set is kept", is_kept).await;
    let mut set = set_of(&[&first_signer()]);
    let encryption = json!({"kid": "enc\n1", "kty": "RSA", "use": "enc", "n": "AQ", "e": "AQAB"});
    set["keys"].as_array_mut().unwrap().push(encryption);
    server.publish(&set);
    let status = || said(&portaria(&["jwks", "status", "-c", &config]));
    let (code, text) = status();
    assert_eq!(code, Some(0), "{text}");
    for line in [
        "https://as.portaria-lab.example:\n",
        "  from  url, read again after 300 s, counts for 3600 s\n",
        "  read  2 keys, 1 usable\n",
        "  key   key-1  PS256\n",
        "  key   enc\\n1  left out: not for verifying signatures\n",
        ".json: read ",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    server.answer(KEY_SET, Answering::Raw(Vec::new()));
    let (code, text) = status();
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("  read  failed: cannot fetch: "), "{text}");
    assert!(text.contains(".json: read "), "{text}");
    lab.rewrite_config(|config| config.swap("url = ", "uri = "));
    assert_eq!(status().0, Some(64));
}
