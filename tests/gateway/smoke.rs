use crate::harness::*;

#[tokio::test]
async fn an_admitted_request_reaches_the_backend_once() {
    let lab = lab().await;
    let consent = lab.consent(&["DAMAGES_AND_PEOPLE_AUTO_READ"]);
    let token = lab.user_token("insurance-auto", &consent);
    let request = Request::get("/open-insurance/insurance-auto/v2/insurance-auto").bearer(&token);
    let response = lab.send(&request).await;
    assert_eq!(response.status, 200, "{response:?}");
    println!("{response:#?}\n{}", String::from_utf8_lossy(&lab.last_recorded().head));
    assert_eq!(lab.recorded().len(), 1);
    println!("{:?}", lab.gateway.access_log());
}
