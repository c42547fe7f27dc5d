//! Connections to servers: which may carry another exchange, and what is sent again.

use super::*;
use crate::harness::scripted::tagged;

/// How an answer is framed, and what follows its head.
fn framed(status: &str, framing: &str, has_content: bool) -> String {
    let (fields, body) = match framing {
        "length" => ("content-length: 5\r\n", "hello"),
        "zero" => ("content-length: 0\r\n", ""),
        "chunked" => ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        "twice" => {
            ("content-length: 9\r\ntransfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n")
        }
        _ => ("", "hello"),
    };
    let body = if has_content { body } else { "" };
    format!("HTTP/1.1 {status} Odd\r\ncontent-type: application/json\r\n{fields}\r\n{body}")
}

/// Answers `do=STATUS.FRAMING` like that.
async fn frame(mut link: Link) {
    while let Some(asked) = link.request().await {
        let goes_on = match asked.parameter("do").split_once('.') {
            None => link.answer(&asked).await,
            Some((status, framing)) => {
                let is_empty = asked.method == "HEAD" || ["204", "304"].contains(&status);
                let sent = link.send(framed(status, framing, !is_empty)).await;
                sent && (framing != "none" || is_empty)
            }
        };
        if !goes_on {
            return;
        }
    }
}

/// Method, status and framing: what the caller gets, over each version, is independent of how the backend framed it,
/// and the connection carries the next exchange exactly if the answer had an end of its own.
#[tokio::test]
async fn a_connection_carries_another_exchange_after_every_answer_that_had_an_end() {
    let backend = Scripted::start(frame).await;
    let lab = backend.lab(|config| config).await;
    let mut connection = lab.http1().await;
    let http2 = lab.http2().await;
    for method in ["GET", "HEAD"] {
        for status in ["200", "204", "205", "304", "404"] {
            for framing in ["none", "length", "zero", "chunked", "twice"] {
                let row = format!("{method} {status} {framing}");
                let is_empty = method == "HEAD" || ["204", "304"].contains(&status);
                let expected = if is_empty || framing == "zero" { "" } else { "hello" };
                // Whoever does not keep its connection never did.
                let keeps =
                    method == "GET" && framing != "twice" && (is_empty || framing != "none");
                for is_http2 in [false, true] {
                    let request = Scripted::request(method, &format!("{status}.{framing}"), "");
                    let answer = if is_http2 {
                        let uri = format!("https://localhost{}", request.target);
                        let head = http::Request::builder().method(method).uri(uri).body(());
                        http2.exchange(head.unwrap(), bytes::Bytes::new()).await.unwrap()
                    } else {
                        connection.send(&request.to_bytes()).await.unwrap();
                        connection.receive(is_empty).await.unwrap()
                    };
                    assert_eq!(
                        (answer.status.as_str(), &answer.body[..]),
                        (status, expected.as_bytes()),
                        "{row}"
                    );
                    assert!(answer.headers.get_all("content-length").iter().count() < 2, "{row}");
                    if status == "204" {
                        assert_eq!(answer.field("content-length"), None, "{row}");
                        assert_eq!(answer.field("transfer-encoding"), None, "{row}");
                    }
                    let before = backend.asked().last().unwrap().connection;
                    let tag = row.replace(' ', "-");
                    let next = connection.exchange(&Scripted::get("", &tag).to_bytes()).await;
                    assert_eq!(next.unwrap().json()["tag"], tag);
                    assert_eq!(
                        backend.asked().last().unwrap().connection == before,
                        keeps,
                        "{row}"
                    );
                }
            }
        }
    }
}

/// Bytes that belong to no answer are never given to who comes next, whenever they come.
#[tokio::test]
async fn what_is_left_over_is_nobodys_answer() {
    const FORGED: &str =
        "HTTP/1.1 408 Request Timeout\r\ncontent-length: 16\r\n\r\n{\"tag\":\"forged\"}";
    let backend = Scripted::start(|mut link| async move {
        while let Some(asked) = link.request().await {
            let what = asked.parameter("do");
            let answer = match what {
                "after-204" => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                "after-chunks" => framed("200", "chunked", true),
                "byte" => tagged("200 OK", "", &asked) + "\n",
                _ => tagged("200 OK", "", &asked),
            };
            if what.starts_with("after") {
                link.send(answer + FORGED).await;
            } else {
                link.send(answer).await;
            }
            if what == "later" {
                // When the connection waits.
                link.send(FORGED).await;
            }
        }
    })
    .await;
    let lab = backend.lab(|config| config).await;
    let mut connection = lab.http1().await;
    for what in ["after", "after-204", "after-chunks", "byte", "later"] {
        let answer = connection.exchange(&Scripted::get(what, "mine").to_bytes()).await.unwrap();
        assert!(answer.status.is_success(), "{what}: {answer:?}");
        if what == "later" {
            // It has been put away, and the forged one is there, when the backend waits for what follows it.
            eventually("all came", || async { backend.open() == 1 }).await;
        }
        let before = backend.asked().last().unwrap().connection;
        lab.assert_unpoisoned(what).await;
        let asked = backend.asked();
        assert!(asked.iter().rev().take(6).all(|asked| asked.connection > before), "{what}");
    }
}

/// TLS has a buffer of its own, of which the kernel knows nothing.
#[tokio::test]
async fn what_is_left_over_within_tls_is_nobodys_answer() {
    let pki = pki();
    let backend = Scripted::start_with(Some(&pki.server), |mut link| async move {
        while let Some(asked) = link.request().await {
            match asked.parameter("do") {
                "record" => {
                    // Exactly as much as one record has, and one more behind it.
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 16000\r\nx-pad: ";
                    let pad = "p".repeat(16 * 1024 - 16_000 - head.len() - 4);
                    let answer = format!("{head}{pad}\r\n\r\n{}", " ".repeat(16_000));
                    assert_eq!(answer.len(), 16 * 1024);
                    let forged = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"tag\":\"forged\"}";
                    link.send(answer + forged).await;
                }
                "farewell" => {
                    // It says that it sends no more, and the connection stays as it is.
                    let answer = tagged("200 OK", "", &asked);
                    let tls = link.tls();
                    std::io::Write::write_all(&mut tls.get_mut().1.writer(), answer.as_bytes()).unwrap();
                    tls.get_mut().1.send_close_notify();
                    tokio::io::AsyncWriteExt::flush(tls).await.unwrap();
                }
                "keys" => {
                    link.answer(&asked).await;
                    let tls = link.tls();
                    tls.get_mut().1.refresh_traffic_keys().unwrap();
                    tokio::io::AsyncWriteExt::flush(tls).await.unwrap();
                }
                _ => {
                    link.answer(&asked).await;
                }
            }
        }
    })
    .await;
    let lab = backend.lab_over(Some(&pki.root.pem()), |config| config).await;
    let mut connection = lab.http1().await;
    let answer = connection.exchange(&Scripted::get("record", "").to_bytes()).await.unwrap();
    assert_eq!(answer.body.len(), 16_000);
    lab.assert_unpoisoned("another record").await;
    connection.exchange(&Scripted::get("farewell", "").to_bytes()).await.unwrap();
    // What may not be sent twice is not sent where nobody answers any more.
    let post = Scripted::request("POST", "", "own").content("{}").to_bytes();
    let answer = connection.exchange(&post).await.unwrap();
    assert_eq!((answer.status.as_u16(), &answer.json()["tag"]), (200, &"own".into()));
    lab.assert_unpoisoned("close_notify").await;
    // What is no byte of HTTP keeps no connection from being used again.
    connection.exchange(&Scripted::get("keys", "").to_bytes()).await.unwrap();
    let before = backend.connections();
    lab.assert_unpoisoned("other keys").await;
    assert_eq!(backend.connections(), before);
}

/// What is sent again: what nobody saw, and what may be done twice if the server broke off without a word.
#[tokio::test]
async fn a_request_is_sent_again_only_where_that_is_safe() {
    let backend = Scripted::start(|mut link| async move {
        while let Some(asked) = link.request().await {
            match asked.parameter("do") {
                "fin" => return,
                "reset" => return link.reset(),
                "byte" => {
                    link.send("H").await;
                    return;
                }
                "interim" => {
                    link.send("HTTP/1.1 103 Early Hints\r\n\r\n").await;
                    return;
                }
                "half" => {
                    link.send("HTTP/1.1 200 OK\r\ncontent-le").await;
                    return link.reset();
                }
                "silence" => std::future::pending().await,
                "garbage" => {
                    link.send("EHLO\r\n\r\n").await;
                    return;
                }
                _ => link.answer(&asked).await,
            };
        }
    })
    .await;
    let lab = backend.lab(|config| config).await;
    for what in ["fin", "reset", "byte", "interim", "half", "silence", "garbage"] {
        for method in ["GET", "HEAD", "PUT", "DELETE", "POST", "PATCH"] {
            for is_reused in [true, false] {
                // What the pool holds is used by this one, or by nobody.
                let tag = format!("{what}-{method}-{is_reused}");
                let mut connection = lab.http1().await;
                if is_reused {
                    connection.exchange(&Scripted::get("", "warm").to_bytes()).await.unwrap();
                } else {
                    // One that ends in a fault takes the pooled one away.
                    connection
                        .exchange(
                            &Scripted::request("POST", "garbage", "").content("{}").to_bytes(),
                        )
                        .await
                        .unwrap();
                    connection = lab.http1().await;
                }
                let before = backend.connections();
                let request = Scripted::request(method, what, &tag);
                let request = match method {
                    "GET" | "HEAD" | "DELETE" => request,
                    _ => request.content("{}"),
                };
                let answer = connection.exchange(&request.to_bytes()).await.unwrap();
                assert_eq!(answer.status, if what == "silence" { 504 } else { 503 }, "{tag}");
                let asked = backend.asked();
                let times: Vec<usize> = asked
                    .iter()
                    .filter(|asked| asked.parameter("tag") == tag)
                    .map(|asked| asked.connection)
                    .collect();
                let is_safe = ["GET", "HEAD", "PUT", "DELETE"].contains(&method);
                let again = is_safe && ["fin", "reset"].contains(&what);
                assert_eq!(times.len(), 1 + usize::from(again), "{tag}");
                assert_eq!(times[0] <= before, is_reused, "{tag}");
                assert!(
                    times.get(1).is_none_or(|second| *second > before),
                    "{tag}: not on a new one"
                );
            }
        }
        lab.assert_unpoisoned(what).await;
    }
}

/// The siblings of a connection that died are dead, too.
#[tokio::test]
async fn connections_that_died_while_they_waited_are_used_by_nobody() {
    let backend = Scripted::start(|mut link| async move {
        // Two rounds each, then it has ended: the second without being asked.
        let Some(asked) = link.request().await else { return };
        if asked.parameter("do") == "slow" {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
        link.answer(&asked).await;
    })
    .await;
    let lab = backend.lab(|config| config).await;
    for round in 0..3 {
        let mut all = Vec::new();
        for n in 0..8 {
            let mut connection = lab.http1().await;
            let method = if n % 2 == 0 { "GET" } else { "POST" };
            let tag = format!("{round}-{n}");
            let request = Scripted::request(method, "slow", &tag);
            let request = if method == "POST" { request.content("{}") } else { request };
            connection.send(&request.to_bytes()).await.unwrap();
            all.push((connection, tag));
        }
        for (mut connection, tag) in all {
            let answer = connection.receive(false).await.unwrap();
            assert_eq!((answer.status.as_u16(), &answer.json()["tag"]), (200, &tag.into()));
        }
        eventually("they have ended", || async { backend.open() == 0 }).await;
    }
}

/// Who says for how long it keeps a connection is believed.
#[tokio::test]
async fn a_connection_is_not_kept_longer_than_its_server_says() {
    let backend = Scripted::start(|mut link| async move {
        while let Some(asked) = link.request().await {
            let fields = match asked.parameter("do") {
                "short" => "keep-alive: max=5, timeout=1\r\n",
                "long" => "keep-alive: timeout=60\r\n",
                "odd" => "keep-alive: timeout=x\r\n",
                _ => "",
            };
            link.send(tagged("200 OK", fields, &asked)).await;
        }
    })
    .await;
    let lab = backend.lab(|config| config).await;
    let mut connection = lab.http1().await;
    let mut used = Vec::new();
    for what in ["long", "odd", "short", "", "short", ""] {
        connection.exchange(&Scripted::get(what, "").to_bytes()).await.unwrap();
        used.push(backend.asked().last().unwrap().connection);
    }
    assert_eq!(used, [1, 1, 1, 2, 2, 3]);
}

/// An answer to half of a request, and one whose last chunk comes late.
#[tokio::test]
async fn both_directions_must_have_come_to_their_end() {
    let backend = Scripted::start(|mut link| async move {
        loop {
            let Some(asked) = link.head().await else { return };
            match asked.parameter("do") {
                "early" => {
                    link.receive(10).await;
                    link.answer(&asked).await;
                    // Whatever follows is the rest of that body.
                    while !link.is_ended().await {
                        link.some().await;
                    }
                    return;
                }
                // Whose content nobody takes: the caller gets another.
                "page" => {
                    let head = "HTTP/1.1 502 Bad\r\ncontent-type: text/html\r\ncontent-length: 900\r\n\r\n";
                    link.send(head.to_owned() + "<html>").await;
                    link.receive(1).await;
                    return;
                }
                "late-end" => {
                    link.send(
                        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
                    )
                    .await;
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                    link.send("x-late: 1\r\n\r\n").await;
                }
                _ => {
                    link.receive(asked.length).await;
                    link.answer(&asked).await;
                }
            }
        }
    })
    .await;
    let lab = backend.lab(|config| config).await;
    for status in 0..3 {
        let mut connection = lab.http1().await;
        let tag = format!("early-{status}");
        let post =
            Scripted::request("POST", "early", &tag).content(&"1".repeat(200_000)).to_bytes();
        // Half of it; the rest is not sent before the answer is here.
        let answer = connection.exchange(&post[..100_000]).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.json()["tag"]), (200, &tag.as_str().into()));
        assert_eq!(answer.field("connection"), Some("close"));
        assert!(connection.receive_rest().await.unwrap().is_empty(), "it says close, and means it");
        lab.assert_unpoisoned(&tag).await;
    }
    let page = lab.http1().await.exchange(&Scripted::get("page", "").to_bytes()).await.unwrap();
    assert_eq!(page.status, 500);
    let before = backend.asked().last().unwrap().connection;
    lab.assert_unpoisoned("half of a page").await;
    assert!(backend.asked().last().unwrap().connection > before);
    let mut connection = lab.http1().await;
    let before = backend.connections();
    assert_eq!(
        connection.exchange(&Scripted::get("late-end", "").to_bytes()).await.unwrap().body,
        "{}"
    );
    lab.assert_unpoisoned("late-end").await;
    assert_eq!(backend.connections(), before);
}

/// A reload may change whom an address stands for.
#[tokio::test]
async fn a_reload_makes_connections_of_its_own() {
    let backend = Scripted::start(frame).await;
    let lab = backend.lab(|config| config).await;
    let mut connection = lab.http1().await;
    for round in 1..=3 {
        connection.exchange(&Scripted::get("", "").to_bytes()).await.unwrap();
        assert_eq!(backend.asked().last().unwrap().connection, round);
        lab.gateway.signal("HUP");
        lab.expect_metric("portaria_reloads_total{result=\"ok\"}", round as f64).await;
    }
}
