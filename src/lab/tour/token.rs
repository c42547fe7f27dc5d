//! Tokens from the lab's authorization server.

use url::form_urlencoded;

use crate::lab::Result;
use crate::lab::client::Connector;

/// Asks the token endpoint for a token, bound to the certificate that `connector` presents.
pub async fn request(
    connector: &Connector,
    client: &str,
    scope: &str,
    consent: Option<&str>,
    opaque: bool,
) -> Result<String> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("client_id", client).append_pair("scope", scope);
    match consent {
        None => form.append_pair("grant_type", "client_credentials"),
        Some(consent) => {
            form.append_pair("grant_type", "authorization_code").append_pair("code", consent)
        }
    };
    if opaque {
        form.append_pair("token_format", "opaque");
    }
    let form = form.finish();
    let request = format!(
        "POST /token HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-www-form-urlencoded\r\n\
         content-length: {}\r\n\r\n{form}",
        form.len()
    );
    let response = connector.http1().await?.exchange(request.as_bytes()).await?;
    match response.json().get("access_token").and_then(serde_json::Value::as_str) {
        Some(token) => Ok(token.to_owned()),
        None => Err(format!("the authorization server refused: {}", response.json()).into()),
    }
}
