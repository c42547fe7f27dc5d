//! What was cut looks cut, over each version and however it was framed.

use tokio::io::AsyncReadExt;

use super::*;

/// Breaks off in the middle, framed as `do` says.
async fn break_off(mut link: Link) {
    while let Some(asked) = link.request().await {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
        match asked.parameter("do") {
            "length" => link.send(format!("{head}content-length: 10\r\n\r\n{{\"a\":")).await,
            "chunk" => {
                link.send(format!("{head}transfer-encoding: chunked\r\n\r\n5\r\n{{\"a\":")).await
            }
            "between" => {
                link.send(format!("{head}transfer-encoding: chunked\r\n\r\n5\r\n{{\"a\":\r\n"))
                    .await
            }
            "last" => {
                link.send(format!("{head}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n"))
                    .await
            }
            "bad" => {
                link.send(format!("{head}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\nzz\r\n"))
                    .await
            }
            "reset" => {
                link.send(format!("{head}\r\n{{\"a\":1}}")).await;
                // What was sent arrives before the reset.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                return link.reset();
            }
            "stall" => {
                link.send(format!("{head}\r\n{{\"a\":1}}")).await;
                std::future::pending().await
            }
            _ => {
                link.answer(&asked).await;
                continue;
            }
        };
        return;
    }
}

const CUTS: [&str; 7] = ["length", "chunk", "between", "last", "bad", "reset", "stall"];

#[tokio::test]
async fn an_answer_that_breaks_off_is_whole_to_nobody() {
    let backend = Scripted::start(break_off).await;
    let lab = backend.lab(|config| config).await;
    for what in CUTS {
        let request = Scripted::get(what, "");
        let answer = lab.http1().await.exchange(&request.to_bytes()).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
        let uri = format!("https://localhost{}", request.target);
        let over_http2 = http::Request::get(uri).body(()).unwrap();
        let answer = lab.http2().await.exchange(over_http2, bytes::Bytes::new()).await;
        assert!(answer.is_err(), "{what}: {answer:?}");
        assert!(is_cut_over_http_10(&lab, &request.target).await, "{what}");
        lab.assert_unpoisoned(what).await;
    }
}

/// To HTTP/1.0 the end of the connection is the end of the answer, so it must not look like an end: it is a reset.
async fn is_cut_over_http_10(lab: &Lab, target: &str) -> bool {
    let mut stream = lab.connector(Some(&lab.pki.one)).tls().await.unwrap();
    let request = format!("GET {target} HTTP/1.0\r\nHost: localhost\r\n\r\n");
    tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let ended = stream.read_to_end(&mut answer).await;
    let is_framed = answer.windows(15).any(|part| part.eq_ignore_ascii_case(b"content-length:"));
    match ended {
        Ok(_) => false,
        // Of some, nothing had left yet.
        Err(_) if answer.is_empty() => true,
        Err(error) => is_framed || error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// Whatever cuts it: here the time that an exchange has.
#[tokio::test]
async fn an_exchange_that_has_no_time_left_is_cut_and_looks_it() {
    let backend = Scripted::start(break_off).await;
    let lab = backend
        .lab(|config| {
            let patient = config.swap("_byte_timeout = \"500ms\"", "_byte_timeout = \"20s\"");
            let patient = patient.swap("total_timeout = \"1s\"", "total_timeout = \"20s\"");
            patient.within("[http]", "exchange_timeout = \"500ms\"")
        })
        .await;
    let request = Scripted::get("stall", "");
    assert!(lab.http1().await.exchange(&request.to_bytes()).await.is_err());
    assert!(is_cut_over_http_10(&lab, &request.target).await);
    lab.assert_unpoisoned("no time left").await;
}

/// Over TLS an answer without a length is whole only if the server says that it sends no more.
#[tokio::test]
async fn a_connection_that_ends_without_farewell_ends_no_answer() {
    let pki = pki();
    let backend = Scripted::start_with(Some(&pki.server), |mut link| async move {
        while let Some(asked) = link.request().await {
            let what = asked.parameter("do");
            if what.is_empty() {
                link.answer(&asked).await;
                continue;
            }
            let framing = if what.starts_with("framed") { "content-length: 7\r\n" } else { "" };
            link.send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n{{\"a\":1}}")).await;
            match what {
                "farewell" => tokio::io::AsyncWriteExt::shutdown(link.tls()).await.unwrap(),
                "reset" => {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    return link.reset();
                }
                _ => {}
            }
            return;
        }
    })
    .await;
    let lab = backend.lab_over(Some(&pki.root.pem()), |config| config).await;
    for (what, is_whole) in [("farewell", true), ("fin", false), ("reset", false), ("framed", true)]
    {
        let request = Scripted::get(what, "");
        let answer = lab.http1().await.exchange(&request.to_bytes()).await;
        assert_eq!(answer.is_ok_and(|answer| answer.body == "{\"a\":1}"), is_whole, "{what}");
        let over_http2 =
            http::Request::get(format!("https://localhost{}", request.target)).body(());
        let answer = lab.http2().await.exchange(over_http2.unwrap(), bytes::Bytes::new()).await;
        assert_eq!(answer.is_ok_and(|answer| answer.body == "{\"a\":1}"), is_whole, "{what}");
        lab.assert_unpoisoned(what).await;
    }
}
