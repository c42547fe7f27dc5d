//! Versions, cipher suites and groups of TLS.
//!
//! The preset `fapi-br` is what the profile asks for: TLS 1.2 with exactly two suites (technical security
//! controls 3.2 page 21, Open Banking Brasil FAPI profile 6.1.3) and TLS 1.3. What a configuration says
//! instead is chosen from what the cryptography library has, all of which is sound today.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, ALL_CIPHER_SUITES, ALL_KX_GROUPS};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};

use super::tls::provider;

/// What a listener's handshakes are negotiated from.
#[derive(Clone, Debug)]
pub struct Parameters {
    versions: Vec<&'static SupportedProtocolVersion>,
    provider: Arc<CryptoProvider>,
}

/// Why parameters cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParametersError {
    /// No suite is of this version.
    NoSuite(&'static str),
    /// No version has this suite.
    NoVersion(&'static str),
}

impl Parameters {
    /// The profile's.
    pub fn fapi_br() -> Self {
        Self { versions: vec![&TLS13, &TLS12], provider: Arc::new(provider()) }
    }

    /// Other ones; what is not given is the profile's, as far as it fits.
    pub fn new(
        versions: Option<Vec<&'static SupportedProtocolVersion>>,
        suites: Option<Vec<SupportedCipherSuite>>,
        groups: Option<Vec<&'static dyn SupportedKxGroup>>,
    ) -> Result<Self, ParametersError> {
        let preset = Self::fapi_br();
        let versions = versions.unwrap_or(preset.versions);
        let is_of_a_version = |suite: &SupportedCipherSuite| versions.contains(&suite.version());
        // A mistake rather than a silence: whoever names a suite of 1.2 believes that 1.2 is spoken.
        if let Some(idle) = suites.iter().flatten().find(|suite| !is_of_a_version(suite)) {
            return Err(ParametersError::NoVersion(suite_name(*idle)));
        }
        let mut cipher_suites = suites.unwrap_or(preset.provider.cipher_suites.clone());
        // Of the preset alone something can go here: given suites were judged above.
        cipher_suites.retain(is_of_a_version);
        for version in &versions {
            if !cipher_suites.iter().any(|suite| suite.version() == *version) {
                return Err(ParametersError::NoSuite(version_name(version)));
            }
        }
        let kx_groups = groups.unwrap_or(preset.provider.kx_groups.clone());
        let provider = CryptoProvider { cipher_suites, kx_groups, ..aws_lc_rs::default_provider() };
        Ok(Self { versions, provider: Arc::new(provider) })
    }

    /// The versions.
    pub fn versions(&self) -> &[&'static SupportedProtocolVersion] {
        &self.versions
    }

    /// The suites and groups.
    pub fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// The suites that the profile does not have.
    pub fn suites_beyond_fapi_br(&self) -> Vec<&'static str> {
        let preset = provider().cipher_suites;
        let suites = self.provider.cipher_suites.iter();
        suites.filter(|suite| !preset.contains(suite)).map(|suite| suite_name(*suite)).collect()
    }
}

/// Versions by name.
pub fn version(name: &str) -> Option<&'static SupportedProtocolVersion> {
    [&TLS12, &TLS13].into_iter().find(|version| version_name(version) == name)
}

fn version_name(version: &SupportedProtocolVersion) -> &'static str {
    if *version == TLS13 { "1.3" } else { "1.2" }
}

/// Cipher suites by their names in the registry of IANA.
pub fn suite(name: &str) -> Option<SupportedCipherSuite> {
    ALL_CIPHER_SUITES.iter().copied().find(|suite| suite_name(*suite) == name)
}

/// The names of all suites.
pub fn suite_names() -> Vec<&'static str> {
    ALL_CIPHER_SUITES.iter().copied().map(suite_name).collect()
}

/// The library's names say TLS13 where the registry says TLS.
fn suite_name(suite: SupportedCipherSuite) -> &'static str {
    // The library names all of its own suites.
    let name = suite.suite().as_str().unwrap_or_default();
    match name {
        "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
        "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
        "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
        name => name,
    }
}

/// Groups by their names in the registry of IANA.
pub fn group(name: &str) -> Option<&'static dyn SupportedKxGroup> {
    ALL_KX_GROUPS.iter().copied().find(|group| group.name().as_str() == Some(name))
}

/// The names of all groups.
pub fn group_names() -> Vec<&'static str> {
    ALL_KX_GROUPS.iter().filter_map(|group| group.name().as_str()).collect()
}
