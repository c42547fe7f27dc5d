//! What a proxy of these libraries costs at the least: it shakes hands and passes bytes on, one connection to the
//! backend for each of a caller's. It reads no HTTP and knows no policy: what portaria takes above it is its own work.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use portaria::lab::Result;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::setting::Setting;

/// Of a caller's request, and of the backend's answer: what is read at once.
const PIECE: usize = 64 * 1024;

/// The command that runs [`run`], in a process of its own.
pub(super) fn proxy(setting: &Setting, address: SocketAddr, mut program: Command) -> Command {
    program.arg("--floor").args([address.to_string(), setting.backend.to_string()]);
    program.arg(setting.directory());
    program
}

/// Serves until the process is ended; by address, backend and the directory of the certificates.
pub(crate) async fn run(arguments: &[String]) -> Result<()> {
    let [address, backend, directory] = arguments else {
        return Err("--floor takes an address, a backend and a directory".into());
    };
    let backend = backend.parse()?;
    let acceptor = TlsAcceptor::from(Arc::new(tls(Path::new(directory))?));
    let listener = TcpListener::bind(address.parse::<SocketAddr>()?).await?;
    loop {
        let (caller, _) = listener.accept().await?;
        caller.set_nodelay(true)?;
        // A connection that fails ends: the load says so.
        tokio::spawn(pass(acceptor.clone(), caller, backend));
    }
}

fn tls(at: &Path) -> Result<ServerConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(at.join("root.pem"))?)?;
    let chain = CertificateDer::pem_file_iter(at.join("server.pem"))?;
    let chain = chain.collect::<std::result::Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(at.join("server.key"))?;
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build()?;
    let mut tls =
        ServerConfig::builder().with_client_cert_verifier(verifier).with_single_cert(chain, key)?;
    tls.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    Ok(tls)
}

async fn pass(acceptor: TlsAcceptor, caller: TcpStream, backend: SocketAddr) -> Result<()> {
    let mut caller = acceptor.accept(caller).await?;
    let mut backend = TcpStream::connect(backend).await?;
    backend.set_nodelay(true)?;
    let (mut asked, mut answered) = (Vec::with_capacity(PIECE), Vec::with_capacity(PIECE));
    loop {
        tokio::select! {
            read = caller.read_buf(&mut asked) => {
                if read? == 0 { return Ok(()) }
                backend.write_all(&asked).await?;
                asked.clear();
            }
            read = backend.read_buf(&mut answered) => {
                if read? == 0 { return Ok(()) }
                caller.write_all(&answered).await?;
                caller.flush().await?;
                answered.clear();
            }
        }
    }
}
