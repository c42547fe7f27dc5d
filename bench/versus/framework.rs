//! The framework alone: pingora behind the same TLS, passing every request through. No head is judged, no
//! policy asked, nothing measured: what this costs, portaria cannot go below.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::listeners::tls::Acceptor;
use pingora::listeners::{L4BufferSettings, ListenerConfig};
use pingora::modules::http::HttpModules;
use pingora::protocols::Stream;
use pingora::protocols::l4::stream::Stream as TcpStream;
use pingora::proxy::{HttpProxy, ProxyHttp, Session};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownWatch};
use pingora::services::listening::Service;
use pingora::upstreams::peer::HttpPeer;
use portaria::identity::{
    ClientVerifier, PathRules, PathVerifier, Preset, Trust, TrustAnchors, TrustDomain,
};
use portaria::lab::Result;
use portaria::listener::{ByName, Clients, Parameters, ServerIdentity, TlsSetup, tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The bytes that the transport reads ahead, as in portaria.
const READ_AHEAD: usize = 4 * 1024;

struct PassThrough(SocketAddr);

#[async_trait]
impl ProxyHttp for PassThrough {
    type CTX = ();

    fn new_ctx(&self) {}

    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _nothing: &mut (),
    ) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

struct Edge {
    acceptor: Acceptor,
    proxy: Arc<HttpProxy<PassThrough>>,
}

#[async_trait]
impl ServerApp for Edge {
    async fn process_new(
        self: &Arc<Self>,
        stream: Stream,
        shutdown: &ShutdownWatch,
    ) -> Option<Stream> {
        let tcp = stream.into_any().downcast::<TcpStream>().ok()?;
        let stream = self.acceptor.tls_handshake(*tcp).await.ok()?;
        self.proxy.process_new(Box::new(stream), shutdown).await
    }
}

/// Serves until it is told to end.
pub(crate) fn run(directory: &Path, address: SocketAddr, backend: SocketAddr) -> Result<()> {
    let conf = || ServerConf {
        threads: 1,
        work_stealing: false,
        upstream_keepalive_pool_size: 512,
        grace_period_seconds: Some(0),
        graceful_shutdown_timeout_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut proxy = HttpProxy::new(PassThrough(backend), Arc::new(conf()));
    proxy.handle_init_modules();
    let edge = Edge { acceptor: acceptor(directory)?, proxy: Arc::new(proxy) };
    let mut server = Server::new_with_opt_and_conf(None, conf());
    server.bootstrap();
    let mut service = Service::new("mtls".to_owned(), edge);
    service.threads = Some(1);
    let buffers = L4BufferSettings::default().read(READ_AHEAD);
    service.add_listener(ListenerConfig::tcp(address.to_string()).l4_buffer(buffers));
    server.add_service(service);
    server.run(RunArgs::default());
    Ok(())
}

fn acceptor(directory: &Path) -> Result<Acceptor> {
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(directory.join("server.pem"))?.collect();
    let identity = ServerIdentity {
        chain: chain?,
        key: PrivateKeyDer::from_pem_file(directory.join("server.key"))?,
    };
    let roots: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(directory.join("root.pem"))?.collect();
    let paths = PathVerifier {
        anchors: TrustAnchors::new(roots?)?,
        rules: PathRules::OF_LISTENERS,
        revocation: None,
        algorithms: tls::provider().signature_verification_algorithms,
    };
    let profile = Preset::OpinProduction.profile();
    let trust = Arc::new(Trust::new(ClientVerifier::new(paths, None), profile, None));
    let domain = Arc::new(TrustDomain::new(trust.clone()));
    let parameters = Parameters::fapi_br();
    let presented = ByName::new(identity.certified(parameters.provider())?, Vec::new());
    Ok(TlsSetup { parameters, presented, clients: Some(Clients { trust, domain }) }.acceptor()?)
}
