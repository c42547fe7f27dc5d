//! A connection to a server, and the exchange that is under way on it.
//!
//! Everything half done lives here and not in a future, so that whoever waits may be dropped at any time: then the
//! connection is dropped with it, for only a whole exchange gives it back ([`crate::http1::ledger`]).

use std::io::{self, IoSlice, Read as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use rustix::net::{RecvFlags, recv};
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::Chosen;
use crate::http1::answer::{AnswerHead, HeadReader, Malformed};
use crate::http1::body::{BodyRead, BodyReader};
use crate::http1::ledger::{Ledger, Seen};
use crate::scratch;

/// The transport of a connection.
enum Io {
    Plain(TcpStream),
    Secured(Box<TlsStream<TcpStream>>),
}

impl Io {
    /// Writes two parts, either of which may be empty, in one go.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let one = match (first, second) {
            (one, []) | ([], one) => one,
            _ => {
                // Sent apart, a POST costs its kernel time twice.
                let parts = [first, second].map(IoSlice::new);
                return match self {
                    Self::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, &parts),
                    Self::Secured(tls) => Pin::new(&mut **tls).poll_write_vectored(cx, &parts),
                };
            }
        };
        match self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(cx, one),
            Self::Secured(tls) => Pin::new(&mut **tls).poll_write(cx, one),
        }
    }
}

/// A connection to a server.
pub struct Line {
    io: Io,
    /// What came and was not given on.
    input: BytesMut,
    /// What is to be sent, and content that follows it: as it lies, so that it is not copied.
    output: Vec<u8>,
    content: Bytes,
    sent: usize,
    ledger: Ledger,
    head: HeadReader,
    body: Option<BodyReader>,
    /// For how long the server keeps the connection, if it says so.
    patience: Option<Duration>,
}

/// What the server sent next.
#[derive(Debug)]
pub enum Heard {
    /// The head of an answer, at the beginning of the buffer: an interim one or the answer itself.
    Head(AnswerHead),
    /// The connection ended.
    End,
}

/// A piece of an answer's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// So many bytes at the beginning of the buffer.
    Content(usize),
    /// There is no more.
    End,
    /// More is to be read.
    More,
}

/// Why an exchange broke.
#[derive(Debug)]
pub enum Broken {
    /// The connection did.
    Io(io::Error),
    /// What came cannot be read in one way.
    Malformed,
}

impl From<Malformed> for Broken {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Whether TLS holds nothing that it has read and not given, and expects more.
fn is_drained(tls: &mut TlsStream<TcpStream>) -> bool {
    // To read is the only way to ask; if a byte comes, nobody misses it, for the connection is not used.
    let held = tls.get_mut().1.reader().read(&mut [0]);
    held.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

impl Line {
    /// Connects to a server.
    pub async fn connect(server: &Chosen) -> io::Result<Self> {
        let tcp = TcpStream::connect(server.address).await?;
        // With Nagle's algorithm the rest of a request would wait for the acknowledgement of
        // its head, 40 ms at times.
        tcp.set_nodelay(true)?;
        let io = match &server.tls {
            None => Io::Plain(tcp),
            Some(tls) => {
                let secured = tls.connector().connect(tls.name(), tcp).await?;
                Io::Secured(Box::new(secured))
            }
        };
        Ok(Self {
            io,
            input: BytesMut::new(),
            output: Vec::new(),
            content: Bytes::new(),
            sent: 0,
            ledger: Ledger::default(),
            head: HeadReader::default(),
            body: None,
            patience: None,
        })
    }

    /// Whether nothing has come since the connection was put away: whatever comes then belongs to nobody, and so
    /// does the end of it.
    pub(super) async fn is_quiet(&mut self) -> bool {
        // TLS may have read more than it gave: another record, or a farewell, of which the kernel knows nothing.
        if let Io::Secured(tls) = &mut self.io
            && !is_drained(tls)
        {
            return false;
        }
        // The kernel is asked: what the runtime knows of the socket may be old.
        let waiting = recv(self.socket(), &mut [0_u8][..], RecvFlags::PEEK | RecvFlags::DONTWAIT);
        match (waiting, &mut self.io) {
            (Err(error), _) => error == rustix::io::Errno::AGAIN,
            (Ok(_), Io::Plain(_)) => false,
            // Tickets and key updates are no bytes of HTTP: TLS says whether there are any.
            (Ok((_, 0)), Io::Secured(_)) => false,
            (Ok(_), Io::Secured(tls)) => {
                // The runtime may not know yet what the kernel said: TLS would be told that nothing is there.
                let is_readable = tls.get_ref().0.ready(Interest::READABLE).await.is_ok();
                let mut byte = [0];
                let mut byte = tokio::io::ReadBuf::new(&mut byte);
                let read = std::future::poll_fn(|cx| {
                    Poll::Ready(Pin::new(&mut **tls).poll_read(cx, &mut byte).is_pending())
                });
                // Out of its budget the runtime says Pending whatever there is, and that would read as quiet.
                is_readable && tokio::task::unconstrained(read).await
            }
        }
    }

    fn socket(&self) -> BorrowedFd<'_> {
        match &self.io {
            Io::Plain(tcp) => tcp.as_fd(),
            Io::Secured(tls) => tls.get_ref().0.as_fd(),
        }
    }

    /// What is to be sent, to be written behind, before any content.
    pub fn output(&mut self) -> &mut Vec<u8> {
        if self.output.capacity() == 0 {
            self.output = scratch::room();
        }
        &mut self.output
    }

    /// Has content sent, behind what is to be sent.
    pub fn send(&mut self, content: Bytes) {
        let before = std::mem::replace(&mut self.content, content);
        if !before.is_empty() {
            self.output().extend_from_slice(&before);
        }
    }

    /// Whether all that was to be sent was taken.
    pub fn is_sent(&self) -> bool {
        self.output.is_empty() && self.content.is_empty()
    }

    /// Notes that what is to be sent ends the request.
    pub fn end_request(&mut self) {
        if self.is_sent() {
            self.ledger.note_sent_whole();
        }
    }

    /// Sends what is to be sent; ready when all was taken.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.output.len() + self.content.len() {
            let of_content = self.sent.saturating_sub(self.output.len());
            let output = self.output.get(self.sent..).unwrap_or_default();
            let content = self.content.get(of_content..).unwrap_or_default();
            let polled = self.io.poll_write(cx, output, content);
            let written = ready!(polled).inspect_err(|_| self.ledger.note_broken())?;
            // Nothing taken of something: asked again, it would be so for ever.
            if written == 0 {
                self.ledger.note_broken();
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.ledger.note_sent(written);
            self.sent += written;
        }
        // Taken is not sent: TLS may hold it back.
        if let Io::Secured(tls) = &mut self.io {
            ready!(Pin::new(&mut **tls).poll_flush(cx))
                .inspect_err(|_| self.ledger.note_broken())?;
        }
        self.clear_output();
        Poll::Ready(Ok(()))
    }

    fn clear_output(&mut self) {
        self.output.clear();
        self.content = Bytes::new();
        self.sent = 0;
    }

    /// How much of what is to be sent was taken.
    pub fn sent(&self) -> usize {
        self.sent
    }

    /// Gives up what is still to be sent.
    pub fn stop_sending(&mut self) {
        self.clear_output();
        self.ledger.note_ends();
    }

    /// Reads more; gives how many bytes, none at the end of the connection.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let polled = match &mut self.io {
            Io::Plain(tcp) => scratch::poll_read(tcp, cx, &mut self.input, scratch::SIZE),
            Io::Secured(tls) => scratch::poll_read(&mut **tls, cx, &mut self.input, scratch::SIZE),
        };
        self.note_read(polled)
    }

    /// Reads of the content that is known to come, until `most` bytes of it are here or no more is for now; says
    /// whether any came. If the connection ends meanwhile, content is missing, and whoever reads on hears of it.
    pub fn read_ahead(&mut self, cx: &mut Context<'_>, most: usize) -> bool {
        let mut has_come = false;
        loop {
            let known = self.body.as_ref().map_or(0, BodyReader::announced);
            let known = usize::try_from(known).unwrap_or(usize::MAX).min(most);
            let polled = match known.saturating_sub(self.input.len()) {
                0 => return has_come,
                // What is short is not worth a buffer.
                1..=scratch::SIZE => self.poll_fill(cx),
                _ => self.poll_fill_long(cx),
            };
            if !matches!(polled, Poll::Ready(Ok(1..))) {
                return has_come;
            }
            has_come = true;
        }
    }

    fn poll_fill_long(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let polled = match &mut self.io {
            Io::Plain(tcp) => scratch::poll_read_long(tcp, cx, &mut self.input),
            Io::Secured(tls) => scratch::poll_read_long(&mut **tls, cx, &mut self.input),
        };
        self.note_read(polled)
    }

    fn note_read(&mut self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let read = ready!(polled).inspect_err(|_| self.ledger.note_broken())?;
        self.ledger.note_got(read);
        Poll::Ready(Ok(read))
    }

    /// The head of the next answer; nothing, if more is to be read.
    pub fn head(&mut self) -> Result<Option<AnswerHead>, Broken> {
        Ok(self.head.read(&mut self.input)?)
    }

    /// What came: a head lies at its beginning until it is taken.
    pub fn input(&self) -> &[u8] {
        &self.input
    }

    /// Goes on behind an interim answer (1xx), which has no content.
    pub fn skip_interim(&mut self, head: &AnswerHead) {
        self.input.advance(head.length.min(self.input.len()));
    }

    /// Begins the answer's content.
    pub fn begin_body(&mut self, head: &AnswerHead, is_head: bool) -> Result<(), Broken> {
        let framing = head.framing(&self.input, is_head)?;
        // Some servers answer a HEAD with a body: kept, the connection would give it to who comes next.
        if is_head || !head.keeps_connection(&self.input) {
            self.ledger.note_ends();
        }
        // A second less: the server closes it when time is up, whatever is on its way then.
        let seconds = head.patience(&self.input).map(|seconds| seconds.saturating_sub(1));
        self.patience = seconds.map(Duration::from_secs);
        self.input.advance(head.length.min(self.input.len()));
        let body = BodyReader::of_answer(framing);
        if body.is_whole() {
            self.ledger.note_got_whole();
        }
        self.body = Some(body);
        Ok(())
    }

    /// What of the content is here. Whoever takes it says so before asking again.
    pub fn piece(&mut self) -> Result<Piece, Broken> {
        let Some(body) = &mut self.body else { return Ok(Piece::End) };
        if body.is_whole() {
            return Ok(Piece::End);
        }
        let BodyRead { skip, content, ended } =
            body.read(&self.input).map_err(|_| Broken::Malformed)?;
        self.input.advance(skip);
        if ended {
            self.ledger.note_got_whole();
        }
        match (content, ended) {
            (0, true) => Ok(Piece::End),
            (0, false) => Ok(Piece::More),
            (content, _) => Ok(Piece::Content(content)),
        }
    }

    /// Takes content that was given.
    pub fn take(&mut self, bytes: usize) {
        self.input.advance(bytes.min(self.input.len()));
        // What waits, for the server or for the caller, owns no buffer.
        scratch::give_back_piece(&mut self.input);
    }

    /// The connection ended. Whether the answer's content is whole by that.
    pub fn ends_whole(&mut self) -> bool {
        let is_whole = self.body.as_ref().is_some_and(BodyReader::ends_with_connection);
        self.ledger.note_ends();
        if is_whole {
            self.ledger.note_got_whole();
            self.body = None;
        }
        is_whole
    }

    /// For how long the server keeps the connection, if its last answer said so.
    pub(super) fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// What the server saw of the request.
    pub fn seen(&self) -> Seen {
        self.ledger.seen()
    }

    /// Ends the exchange: the connection, if it may carry another.
    pub(super) fn finish(mut self) -> Option<Self> {
        let ledger = std::mem::take(&mut self.ledger);
        ledger.finish(self.input.len())?;
        // What waits owns no buffer.
        scratch::give_back_piece(&mut self.input);
        self.input = BytesMut::new();
        scratch::give_back(std::mem::take(&mut self.output));
        self.body = None;
        Some(self)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::net::Ipv4Addr;
    use std::sync::Arc;

    use rcgen::CertifiedKey;
    use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use tokio::io::AsyncReadExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::TlsAcceptor;

    use super::*;
    use crate::upstream::{UpstreamTls, tls};

    /// A connection over TLS whose sockets hold next to nothing, and its other end.
    async fn narrow() -> (Line, tokio_rustls::server::TlsStream<TcpStream>) {
        let CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        set_socket_recv_buffer_size(&listener, 4096).unwrap();
        let settings = UpstreamTls {
            server_name: "localhost".to_owned(),
            trust_anchors: vec![cert.der().clone()],
        };
        let server = Chosen {
            address: listener.local_addr().unwrap(),
            place: 0,
            tls: Some(tls::ServerTls::new(&settings).unwrap()),
            idle_timeout: Duration::from_secs(1),
            number: 0,
        };
        let accepting = async {
            let (tcp, _) = listener.accept().await.unwrap();
            TlsAcceptor::from(Arc::new(config)).accept(tcp).await.unwrap()
        };
        let (line, other) = tokio::join!(Line::connect(&server), accepting);
        let line = line.unwrap();
        set_socket_send_buffer_size(line.socket(), 4096).unwrap();
        (line, other)
    }

    /// TLS takes more than the sockets do. What it holds back then nobody would send, were it taken for sent.
    #[tokio::test]
    async fn what_tls_holds_back_is_not_sent() {
        let (mut line, mut other) = narrow().await;
        let request = vec![b'a'; 60_000];
        line.output().extend_from_slice(&request);
        let is_sent = poll_fn(|cx| Poll::Ready(line.poll_send(cx).is_ready())).await;
        assert!(!is_sent && !line.is_sent(), "the sockets hold less");
        let mut received = vec![0; request.len()];
        let sending = poll_fn(|cx| line.poll_send(cx));
        let (sent, read) = tokio::join!(sending, other.read_exact(&mut received));
        assert!(sent.is_ok() && read.is_ok() && line.is_sent());
        assert_eq!(received, request);
    }
}
