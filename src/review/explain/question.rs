//! A request that is asked about, as the command's arguments tell it.

use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use rustls::pki_types::CertificateDer;

use super::known::GivenAnswer;
use crate::config::offline::CONTENT_METHODS;
use crate::identity::pem;
use crate::inspect::{InspectError, cert, read};
use crate::review::rehearsal::{good_fields, parse_field, replace};

const HOST: &str = "gateway.example";
// Of documentation (RFC 5737), so it is no balancer's and no client's.
const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
// What is piped in may never end; a token that is accepted has 8 KiB by default.
const LONGEST_TOKEN: u64 = 1024 * 1024;
/// What stands for the file of an answer that there is none.
const UNKNOWN: &str = "none";

/// The request, and what is known of its token and its consent.
#[derive(Args, Debug)]
pub struct ExplainArguments {
    /// The request's method.
    #[arg(long, value_name = "METHOD")]
    method: Option<String>,
    /// Its path, with a query or without.
    #[arg(long, value_name = "PATH")]
    path: Option<String>,
    /// The client's certificate, then the intermediates that it sends (PEM) [default: no certificate]
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// A file with the access token; - reads it from standard input [default: no token]
    #[arg(long, value_name = "FILE")]
    token: Option<PathBuf>,
    /// What the consent registry answers about the consent (JSON); "none" if it knows no such consent.
    #[arg(long, value_name = "FILE")]
    consent: Option<PathBuf>,
    /// What the authorization server answers about an opaque token (JSON).
    #[arg(long, value_name = "FILE")]
    introspection: Option<PathBuf>,
    /// The key set of the token's issuer, if the configuration names no file and none is kept.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// The time to judge at [default: now].
    #[arg(long, value_name = "RFC3339")]
    at: Option<String>,
    /// The listener, by its name [default: the first that fits: with --cert one that asks for certificates]
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// A field such as "x-idempotency-key: key-1", instead of a good request's.
    #[arg(long, value_name = "FIELD")]
    header: Vec<String>,
    /// A field that a good request has and this one has not.
    #[arg(long, value_name = "NAME")]
    without: Vec<String>,
    /// The request has no body, though its method may have one.
    #[arg(long)]
    no_body: bool,
    /// The host that the client asks for in its handshake [default: the request's]
    #[arg(long, value_name = "HOST")]
    server_name: Option<String>,
}

/// The same, read.
pub(super) struct AskedRequest {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) fields: HeaderMap,
    pub(super) has_body: bool,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) server_name: Option<String>,
    pub(super) address: IpAddr,
}

fn reject(text: impl Into<String>) -> InspectError {
    InspectError::Argument(text.into())
}

impl ExplainArguments {
    /// Whether a request is asked about at all.
    pub fn is_asked(&self) -> bool {
        self.method.is_some() && self.path.is_some()
    }

    /// The key set of the issuer.
    pub(super) fn key_set(&self) -> Option<PathBuf> {
        self.jwks.clone()
    }

    /// The name of the listener.
    pub(super) fn listener(&self) -> Option<&str> {
        self.listener.as_deref()
    }

    /// When the request is judged; nothing for now.
    pub(super) fn time(&self) -> Result<Option<SystemTime>, InspectError> {
        let at = self.at.as_deref().map(|at| cert::time_of(Some(at))).transpose()?;
        Ok(at.map(|at| UNIX_EPOCH + Duration::from_secs(at.as_secs())))
    }

    /// What the registry says.
    pub(super) fn consent(&self) -> Result<Option<GivenAnswer>, InspectError> {
        self.consent.as_deref().map(said).transpose()
    }

    /// What the authorization server says.
    pub(super) fn introspection(&self) -> Result<Option<GivenAnswer>, InspectError> {
        self.introspection.as_deref().map(said).transpose()
    }

    /// Reads the request.
    pub(super) fn request(&self) -> Result<AskedRequest, InspectError> {
        let method = self.method.as_deref().unwrap_or_default();
        let unknown = || reject(format!("--method {method:?} is none, accepted: such as GET"));
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| unknown())?;
        let path = self.path.clone().unwrap_or_default();
        if !path.starts_with('/') {
            return Err(reject("--path is none, accepted: a path such as /open-insurance/x/v1/y"));
        }
        let has_body = !self.no_body && CONTENT_METHODS.contains(&method);
        let mut fields = self.fields(has_body)?;
        let server_name = match &self.server_name {
            Some(name) => Some(name.clone()),
            None => fields.get(header::HOST).and_then(host_of),
        };
        if let Some(token) = self.token()? {
            // Beside one of --header: two of them are a request that is refused, and that can be asked about.
            fields.append(header::AUTHORIZATION, token);
        }
        let chain = self.cert.as_deref().map(chain).transpose()?.unwrap_or_default();
        Ok(AskedRequest { method, path, fields, has_body, chain, server_name, address: ADDRESS })
    }

    /// The fields of a good request, but for what the arguments say.
    fn fields(&self, has_body: bool) -> Result<HeaderMap, InspectError> {
        let mut fields = good_fields(HOST, has_body).unwrap_or_default();
        for name in &self.without {
            if fields.remove(name).is_none() {
                let known: Vec<&str> = fields.keys().map(HeaderName::as_str).collect();
                let known = known.join(", ");
                return Err(reject(format!("--without {name:?}: not there, accepted: {known}")));
            }
        }
        // What is wrong is not shown: it may be a token.
        let no_field = || reject("--header: no field, accepted: such as \"accept: */*\"");
        let own = self.header.iter().map(|text| parse_field(text).ok_or_else(no_field));
        replace(&mut fields, own.collect::<Result<Vec<_>, _>>()?);
        Ok(fields)
    }

    /// The field that carries the token.
    fn token(&self) -> Result<Option<HeaderValue>, InspectError> {
        let Some(file) = &self.token else {
            return Ok(None);
        };
        let bytes = match file.as_os_str() == "-" {
            false => read(file)?,
            true => from_standard_input()
                .map_err(|error| InspectError::Unreadable { file: file.clone(), error })?,
        };
        let no_token = || {
            let file = file.display();
            reject(format!("--token {file}: no token, accepted: a file with one line"))
        };
        let text = String::from_utf8(bytes).map_err(|_| no_token())?;
        // What editors and shells write ends with a line break.
        let value = HeaderValue::from_str(&format!("Bearer {}", text.trim()));
        Ok(Some(value.map_err(|_| no_token())?))
    }
}

fn from_standard_input() -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::io::stdin().take(LONGEST_TOKEN).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn host_of(field: &HeaderValue) -> Option<String> {
    let host = field.to_str().ok()?;
    let (name, _) = host.rsplit_once(':').unwrap_or((host, ""));
    Some(name.to_owned())
}

fn said(file: &Path) -> Result<GivenAnswer, InspectError> {
    if file.as_os_str() == UNKNOWN {
        return Ok(GivenAnswer::Unknown);
    }
    Ok(GivenAnswer::Answer(String::from_utf8_lossy(&read(file)?).into_owned()))
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, InspectError> {
    let blocks = pem::certificates(&read(file)?).map_err(|fault| {
        let said = fault.in_file(file.display());
        reject(format!("--cert {said}, accepted: certificates in PEM, the client's own first"))
    })?;
    Ok(blocks.into_iter().map(pem::Block::into_certificate).collect())
}
