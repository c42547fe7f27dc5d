//! How a caller's connection ends: not under an answer that is still on its way, and not before what it was promised.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Answers with as many bytes as `n` says.
async fn big(mut link: Link) {
    while let Some(asked) = link.request().await {
        match asked.parameter("do") {
            "big" => {
                let size: usize = asked.parameter("n").parse().unwrap();
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n");
                link.send([head.as_bytes(), &vec![b' '; size]].concat()).await
            }
            "slow" => {
                tokio::time::sleep(Duration::from_millis(400)).await;
                link.answer(&asked).await
            }
            _ => link.answer(&asked).await,
        };
    }
}

fn patient(config: String) -> String {
    let patient = config.swap("_byte_timeout = \"500ms\"", "_byte_timeout = \"20s\"");
    patient.swap("total_timeout = \"1s\"", "total_timeout = \"20s\"")
}

/// Bytes that nobody reads any more reset the connection, and what of the answer is still on its way with it.
#[tokio::test]
async fn what_comes_behind_the_last_request_takes_no_answer_away() {
    let backend = Scripted::start(big).await;
    let lab = backend.lab(patient).await;
    let size = 8 * 1024 * 1024;
    let target = format!("{}&n={size}", Scripted::get("big", "").target);
    let last = Request::get(&target).with("Connection", "close").to_bytes();
    let mut connection = lab.http1().await;
    connection.send(&last).await.unwrap();
    connection.send(&Scripted::get("", "behind").to_bytes().repeat(500)).await.unwrap();
    // By now all of the answer that finds room is on its way, and the rest waits for its reader.
    eventually("the backend was asked", || async { !backend.asked().is_empty() }).await;
    let answer = connection.receive(false).await.unwrap();
    assert_eq!((answer.body.len(), answer.field("connection")), (size, Some("close")));
    assert!(connection.receive_rest().await.unwrap().is_empty());
    assert_eq!(backend.asked().len(), 1, "close means close");
}

/// A refusal that ends the connection, before requests that are here already.
#[tokio::test]
async fn nothing_behind_a_close_is_read_as_a_request() {
    let backend = Scripted::start(big).await;
    let lab = backend.lab(|config| config).await;
    for first in [
        Scripted::get("", "1").with("Connection", "close").to_bytes(),
        Scripted::get("", "1")
            .with("Connection", "x, Close")
            .with("Connection", "keep-alive")
            .to_bytes(),
        format!("GET {THINGS}?do=&tag=1 HTTP/1.0\r\nHost: localhost\r\n\r\n").into_bytes(),
        b"GARBAGE\r\n\r\n".to_vec(),
    ] {
        let before = backend.asked().len();
        let mut connection = lab.http1().await;
        let second = Scripted::get("", "2").to_bytes();
        connection.send(&[&first[..], &second].concat()).await.unwrap();
        let answer = connection.receive(false).await.unwrap();
        assert_eq!(answer.field("connection"), Some("close"));
        assert!(connection.receive_rest().await.unwrap().is_empty());
        let asked = backend.asked();
        assert!(asked[before..].iter().all(|asked| asked.parameter("tag") == "1"), "{asked:?}");
    }
    // HTTP/1.0 keeps its connection where it asks for that, and is told so.
    let old = format!(
        "GET {THINGS}?do=&tag=old HTTP/1.0\r\nHost: localhost\r\nConnection: Keep-Alive\r\n\r\n"
    );
    let mut connection = lab.http1().await;
    for _ in 0..2 {
        let answer = connection.exchange(old.as_bytes()).await.unwrap();
        assert_eq!(
            (answer.field("connection"), &answer.json()["tag"]),
            (Some("keep-alive"), &"old".into())
        );
    }
}

/// Whoever has said all that it has to say may well await its answer (RFC 9112 section 9.6).
#[tokio::test]
async fn a_caller_that_says_farewell_gets_its_answer_first() {
    let backend = Scripted::start(big).await;
    let lab = backend.lab(|config| config).await;
    let mut stream = lab.connector(Some(&lab.pki.one)).tls().await.unwrap();
    stream.write_all(&Scripted::get("slow", "mine").to_bytes()).await.unwrap();
    // close_notify and FIN.
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.ends_with("{\"tag\":\"mine\"}"),
        "{answer}"
    );
    assert_eq!(lab.metric("portaria_client_aborts_total").await, 0.0);
    // One that breaks off is gone, and so is what was asked for it.
    let mut stream = lab.connector(Some(&lab.pki.one)).tls().await.unwrap();
    stream.write_all(&Scripted::get("slow", "gone").to_bytes()).await.unwrap();
    eventually("it is asked", || async { backend.asked().len() == 2 }).await;
    rustix::net::sockopt::set_socket_linger(stream.get_ref().0, Some(Duration::ZERO)).unwrap();
    drop(stream);
    lab.expect_metric("portaria_client_aborts_total", 1.0).await;
    lab.assert_unpoisoned("a caller that left").await;
}

/// A caller that left is noticed however much it had sent ahead.
#[tokio::test]
async fn a_caller_that_leaves_is_noticed_whatever_waits_behind() {
    let backend = Scripted::start(|mut link| async move {
        while let Some(asked) = link.request().await {
            match asked.parameter("do") {
                "silence" => {
                    assert!(link.is_ended().await);
                    return;
                }
                _ => link.answer(&asked).await,
            };
        }
    })
    .await;
    let lab = backend.lab(patient).await;
    let mut aborts = 0.0;
    for ahead in [0, 5_000, 12_000] {
        let mut stream = lab.connector(Some(&lab.pki.one)).tls().await.unwrap();
        let mut sent = Scripted::get("silence", "").to_bytes();
        sent.extend(vec![b'x'; ahead]);
        stream.write_all(&sent).await.unwrap();
        eventually("it is asked", || async { backend.open() == 1 }).await;
        drop(stream);
        eventually("the server is left", || async { backend.open() == 0 }).await;
        aborts += 1.0;
        lab.expect_metric("portaria_client_aborts_total", aborts).await;
    }
}

/// During a drain the answer says that the connection ends.
#[tokio::test]
async fn the_last_answer_of_a_process_says_so() {
    let backend = Scripted::start(big).await;
    let mut lab = backend.lab(|config| config).await;
    let (mut one, http2) = (lab.http1().await, lab.http2().await);
    one.send(&Scripted::get("slow", "one").to_bytes()).await.unwrap();
    let uri = format!("https://localhost{}", Scripted::get("slow", "two").target);
    let request = http::Request::get(uri).body(()).unwrap();
    let over_http2 = http2.exchange(request, bytes::Bytes::new());
    let ended = async {
        eventually("both are asked", || async { backend.asked().len() == 2 }).await;
        lab.gateway.signal("TERM");
        let answer = one.receive(false).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.field("connection")), (200, Some("close")));
        assert!(one.receive_rest().await.unwrap().is_empty());
    };
    let (answer, ()) = tokio::join!(over_http2, ended);
    assert_eq!(answer.unwrap().json()["tag"], "two");
    assert!(lab.gateway.end().await.success());
}

/// What the library holds of an answer is sent before the process ends, too.
#[tokio::test]
async fn no_process_ends_under_an_answer_that_its_reader_has_yet_to_take() {
    let backend = Scripted::start(big).await;
    let mut lab = backend.lab(patient).await;
    let connector = lab.connector_to("public", None);
    let connector = connector.adjust(|config| config.alpn_protocols = vec![b"h2".to_vec()]);
    let mut builder = h2::client::Builder::new();
    let handshake = builder
        .initial_window_size(20_000)
        .handshake::<_, bytes::Bytes>(connector.tls().await.unwrap());
    let (mut sender, connection) = handshake.await.unwrap();
    let driver = tokio::spawn(connection);
    let uri = format!("https://localhost{}&n=30000", Scripted::get("big", "").target);
    let request = http::Request::get(uri).body(()).unwrap();
    let response = sender.send_request(request, true).unwrap().0.await.unwrap();
    let mut body = response.into_body();
    // The window is full when the backend's answer is over.
    eventually("the backend is done", || async { backend.asked().len() == 1 }).await;
    let mut taken = 0;
    while taken < 20_000 {
        taken += body.data().await.unwrap().unwrap().len();
    }
    lab.gateway.signal("TERM");
    lab.gateway.expect_log("SIGTERM: no new connections").await;
    lab.gateway.expect_log("draining: exchanges are under way").await;
    body.flow_control().release_capacity(taken).unwrap();
    while let Some(piece) = body.data().await {
        taken += piece.expect("the rest of the answer").len();
        body.flow_control().release_capacity(0).unwrap();
    }
    assert_eq!(taken, 30_000);
    drop((body, sender));
    let _ = driver.await;
    assert!(lab.gateway.end().await.success());
}
