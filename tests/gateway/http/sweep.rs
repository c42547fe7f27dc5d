//! Both sides break off at every byte there is: nothing half is taken for whole, nothing half is used again, and each
//! exchange ends in one sample.

use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use tokio::io::AsyncWriteExt;

use super::*;

const ANSWERS: [&str; 2] = [
    "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"tag\":\"odd\"}",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"tag\r\n8\r\n\":\"odd\"}\r\n0\r\n\r\n",
];

/// Sends `n` bytes of an answer, then ends as `do` says.
async fn break_off(mut link: Link) {
    while let Some(asked) = link.request().await {
        let Some((end, answer)) = asked.parameter("do").split_once('.') else {
            link.answer(&asked).await;
            continue;
        };
        let answer = ANSWERS[answer.parse::<usize>().unwrap()];
        let n = asked.parameter("n").parse().unwrap();
        link.send(&answer[..n]).await;
        match end {
            "reset" => return link.reset(),
            _ => return,
        }
    }
}

async fn samples(lab: &Lab) -> f64 {
    let metrics = lab.metrics().await;
    let counts = metrics.lines().filter(|line| line.starts_with("portaria_requests_total{"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn expect_samples(lab: &Lab, expected: f64) {
    eventually("one sample each", || async { samples(lab).await >= expected }).await;
    assert_eq!(samples(lab).await, expected);
}

fn unlimited(config: String) -> String {
    config
        + "\n[limits]\nglobal = { requests = 1000000, per = \"1s\" }\n\
           per_address = { requests = 1000000, per = \"1s\" }\n"
}

#[tokio::test]
async fn a_server_that_breaks_off_at_any_byte_gives_no_answer() {
    let backend = Scripted::start(break_off).await;
    let lab = backend.lab(unlimited).await;
    let http2 = lab.http2().await;
    let mut count = 0.0;
    for (number, answer) in ANSWERS.iter().enumerate() {
        for n in 0..answer.len() {
            for end in ["fin", "reset"] {
                let target = format!("{THINGS}?do={end}.{number}&n={n}&tag=odd");
                let whole = |answer: &portaria::lab::client::Response| {
                    answer.status == 200 && answer.body == "{\"tag\":\"odd\"}"
                };
                let over_http1 =
                    lab.http1().await.exchange(&Request::get(&target).to_bytes()).await;
                assert!(
                    !over_http1.is_ok_and(|answer| whole(&answer) || answer.status != 503),
                    "{target}"
                );
                let request = http::Request::get(format!("https://localhost{target}")).body(());
                let over_http2 = http2.exchange(request.unwrap(), bytes::Bytes::new()).await;
                assert!(
                    !over_http2.is_ok_and(|answer| whole(&answer) || answer.status != 503),
                    "{target}"
                );
                count += 2.0;
            }
        }
        lab.assert_unpoisoned("an answer that breaks off").await;
        count += 6.0;
        expect_samples(&lab, count).await;
    }
}

#[tokio::test]
async fn a_caller_that_breaks_off_at_any_byte_has_asked_for_nothing() {
    let backend = Scripted::start(break_off).await;
    let lab = backend.lab(unlimited).await;
    let bodies = ["[1,2]", "5\r\n[1,2]\r\n0\r\n\r\n"];
    for (framing, body) in ["Content-Length: 5", "Transfer-Encoding: chunked"].iter().zip(bodies) {
        let head = Scripted::request("POST", "", "left").with("Content-Type", "application/json");
        let head = String::from_utf8(head.to_bytes()).unwrap();
        let request = head.swap("\r\n\r\n", &format!("\r\n{framing}\r\n\r\n{body}"));
        for n in 0..request.len() {
            let mut stream = lab.connector(Some(&lab.pki.one)).tls().await.unwrap();
            stream.write_all(&request.as_bytes()[..n]).await.unwrap();
            match n % 3 {
                0 => set_socket_linger(stream.get_ref().0, Some(Duration::ZERO)).unwrap(),
                1 => stream.shutdown().await.unwrap(),
                _ => {}
            }
        }
    }
    lab.assert_unpoisoned("callers that break off").await;
    eventually("all are gone", || async {
        lab.metric("portaria_open_connections{listener=\"mtls\"}").await == 0.0
    })
    .await;
    assert!(backend.asked().iter().all(|asked| asked.method == "GET"), "half of a request");
}

/// It leaves while its answer is awaited, and while it is taken, at any moment.
#[tokio::test]
async fn a_caller_that_leaves_at_any_moment_leaves_nothing_behind() {
    let backend = Scripted::start(|mut link| async move {
        while let Some(asked) = link.request().await {
            match asked.parameter("do") {
                "drip" => {
                    link.send("HTTP/1.1 200 OK\r\ncontent-length: 200\r\n\r\n").await;
                    for _ in 0..200 {
                        tokio::task::yield_now().await;
                        if !link.send(" ").await {
                            return;
                        }
                    }
                }
                _ => {
                    link.answer(&asked).await;
                }
            }
        }
    })
    .await;
    let lab = backend.lab(unlimited).await;
    let http2 = lab.http2().await;
    let target = Scripted::get("drip", "").target;
    for n in 0..150_u64 {
        let pause = Duration::from_micros(n * 40);
        let mut stream = lab.connector(Some(&lab.pki.one)).tls().await.unwrap();
        stream.write_all(&Request::get(&target).to_bytes()).await.unwrap();
        tokio::time::sleep(pause).await;
        set_socket_linger(stream.get_ref().0, Some(Duration::ZERO)).unwrap();
        drop(stream);
        let request = http::Request::get(format!("https://localhost{target}")).body(()).unwrap();
        let exchange = http2.exchange(request, bytes::Bytes::new());
        // What is dropped resets its stream.
        let _ = tokio::time::timeout(pause, exchange).await;
    }
    lab.assert_unpoisoned("callers that leave").await;
    let lines = || async {
        let asked = backend.asked().len();
        // None that was asked for is without its sample; one that left before it was asked has its own.
        samples(&lab).await >= asked as f64
    };
    eventually("one sample each", lines).await;
    eventually("what was left is closed", || async { backend.open() <= 2 }).await;
    lab.gateway.signal("TERM");
    let mut lab = lab;
    assert!(lab.gateway.end().await.success(), "nothing is under way");
}
