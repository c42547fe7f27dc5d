//! The two ways to have a chain judged: a handshake with the gateway, and `portaria cert verify`.

use std::path::{Path, PathBuf};

use portaria::inspect::cert::{CertificateUse, ChainQuestion, ProfileChoice, verify};
use portaria::lab::pki::Identity;

use super::{Lab, Request};

const OPEN: &str = "/open-insurance/channels/v2/branches";

/// What `portaria cert verify` says of a chain, with these anchors and lists.
pub fn verdict(identity: &Identity, anchors: &Path, lists: &[PathBuf]) -> String {
    let scratch = tempfile::tempdir().unwrap();
    let chain = scratch.path().join("chain.pem");
    std::fs::write(&chain, &identity.chain_pem).unwrap();
    let question = ChainQuestion {
        chain,
        anchors: anchors.into(),
        intermediates: None,
        crl: lists.into(),
        at: None,
        purpose: CertificateUse::Client,
        profile: ProfileChoice::Profile(portaria::identity::Preset::OpinProduction),
    };
    verify(&question).unwrap().to_string()
}

impl Lab {
    /// Whether a client gets through the handshake and is served.
    pub async fn admits(&self, identity: &Identity) -> bool {
        let exchange = async {
            let mut connection = self.connector(Some(identity)).http1().await?;
            connection.exchange(&Request::get(OPEN).to_bytes()).await
        };
        exchange.await.is_ok_and(|response| response.status == 200)
    }

    /// A handshake is refused for a reason, and the backend sees nothing of it.
    pub async fn assert_handshake_refused(&self, identity: &Identity, reason: &str, what: &str) {
        let series = format!(
            "portaria_client_certificate_refusals_total{{listener=\"mtls\",reason=\"{reason}\"}}"
        );
        let before = (self.metric(&series).await, self.recorded().len());
        assert!(!self.admits(identity).await, "{what} was admitted, not refused as {reason}");
        self.expect_metric(&series, before.0 + 1.0).await;
        assert_eq!(self.recorded().len(), before.1, "{what} reached the backend");
    }
}
