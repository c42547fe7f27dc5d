//! Bad tokens, each made from a good one by a single fault: for the tests, which refuse them all, and for the
//! bench, which measures what refusing costs.

mod claims;
mod form;
mod header;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::Result;
use super::authorization::Signer;
use crate::identity::Thumbprint;

/// A bad token.
pub struct BadToken {
    /// Its fault.
    pub fault: String,
    /// The code that it is refused with.
    pub code: &'static str,
    /// Its text.
    pub text: String,
}

/// What bad tokens are made of.
pub struct Material {
    /// The issuer's key.
    pub signer: Signer,
    /// A key that is nobody's.
    pub stranger: Signer,
    /// The claims of a good token.
    pub claims: Value,
    /// The thumbprint of another certificate than the good token's.
    pub other: Thumbprint,
}

/// All of them.
pub fn all(material: &Material) -> Result<Vec<BadToken>> {
    let mut list = List { material, tokens: Vec::new() };
    header::add(&mut list)?;
    form::add(&mut list)?;
    claims::add(&mut list)?;
    Ok(list.tokens)
}

struct List<'a> {
    material: &'a Material,
    tokens: Vec<BadToken>,
}

impl List<'_> {
    fn add(&mut self, fault: impl Into<String>, code: &'static str, text: String) {
        self.tokens.push(BadToken { fault: fault.into(), code, text });
    }

    fn signer(&self) -> &Signer {
        &self.material.signer
    }

    fn good(&self) -> Result<String> {
        self.signer().sign(&self.signer().header(), &self.material.claims)
    }

    /// The header of a good token, with another member.
    fn header_but(&self, name: &str, value: Value) -> Value {
        let mut header = self.signer().header();
        if let Some(header) = header.as_object_mut() {
            header.insert(name.to_owned(), value);
        }
        header
    }

    /// A token whose header has another member.
    fn header_with(&mut self, code: &'static str, name: &str, value: Value) -> Result<()> {
        let fault = format!("header {name} {value}");
        let header = self.header_but(name, value);
        let text = self.signer().sign(&header, &self.material.claims)?;
        self.add(fault, code, text);
        Ok(())
    }

    /// A token whose claims have another member.
    fn claim(&mut self, code: &'static str, name: &str, value: Value) -> Result<()> {
        let fault = format!("claim {name} {value}");
        let name = name.to_owned();
        self.claims(code, fault, |claims| drop(claims.insert(name, value)))
    }

    /// A token whose claims were changed.
    fn claims(
        &mut self,
        code: &'static str,
        fault: impl Into<String>,
        change: impl FnOnce(&mut Map<String, Value>),
    ) -> Result<()> {
        let mut claims = self.material.claims.clone();
        claims.as_object_mut().map(change);
        let text = self.signer().sign(&self.signer().header(), &claims)?;
        self.add(fault, code, text);
        Ok(())
    }

    /// A token of this header and these claims as they stand, signed.
    fn raw(
        &mut self,
        code: &'static str,
        fault: &str,
        header: impl AsRef<[u8]>,
        claims: impl AsRef<[u8]>,
    ) -> Result<()> {
        let text = self.signer().sign_bytes(Algorithm::PS256, header.as_ref(), claims.as_ref())?;
        self.add(fault, code, text);
        Ok(())
    }
}

/// What a pointer leads to, or null.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Header, payload and signature.
fn parts(token: &str) -> Result<[&str; 3]> {
    let parts: Vec<&str> = token.split('.').collect();
    parts.try_into().map_err(|_| "not three parts".into())
}

/// An object's text with a member before all others.
fn preceded(member: &str, object: &Value) -> String {
    let text = object.to_string();
    format!("{{{member},{}", text.trim_start_matches('{'))
}
