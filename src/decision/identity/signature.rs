//! Signatures of revocation lists and of roots over themselves: what webpki verifies only in a path.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::prelude::X509Certificate;

use super::path::SubjectPublicKey;

/// Whether a signature of the algorithm with this object identifier is the key's.
pub(super) fn holds(
    identifier: &str,
    key: &SubjectPublicKey,
    message: &[u8],
    signature: &[u8],
) -> bool {
    let verifies = |algorithm: &&'static dyn VerificationAlgorithm| {
        UnparsedPublicKey::new(*algorithm, key.as_bytes()).verify(message, signature).is_ok()
    };
    algorithms(identifier).iter().any(verifies)
}

/// Whether a certificate carries its own name and its own signature.
pub fn is_self_signed(certificate: &X509Certificate<'_>) -> bool {
    // Names first: a signature is dear, and `trust import` reads whole repositories.
    certificate.subject().as_raw() == certificate.issuer().as_raw()
        && holds(
            &certificate.signature_algorithm.algorithm.to_id_string(),
            &SubjectPublicKey::of(certificate),
            certificate.tbs_certificate.as_ref(),
            &certificate.signature_value.data,
        )
}

/// The algorithms that an identifier may mean: the key tells the curve.
fn algorithms(identifier: &str) -> &'static [&'static dyn VerificationAlgorithm] {
    match identifier {
        "1.2.840.113549.1.1.11" => &[&signature::RSA_PKCS1_2048_8192_SHA256],
        "1.2.840.113549.1.1.12" => &[&signature::RSA_PKCS1_2048_8192_SHA384],
        "1.2.840.113549.1.1.13" => &[&signature::RSA_PKCS1_2048_8192_SHA512],
        "1.2.840.10045.4.3.2" => {
            &[&signature::ECDSA_P256_SHA256_ASN1, &signature::ECDSA_P384_SHA256_ASN1]
        }
        "1.2.840.10045.4.3.3" => {
            &[&signature::ECDSA_P256_SHA384_ASN1, &signature::ECDSA_P384_SHA384_ASN1]
        }
        "1.2.840.10045.4.3.4" => &[&signature::ECDSA_P521_SHA512_ASN1],
        // SHA-1 and MD5 among them: a list that is signed by one of these is nobody's.
        _ => &[],
    }
}
