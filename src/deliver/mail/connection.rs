//! A connection to the SMTP server: encrypted as the settings say, authenticated, its commands one by one.
//!
//! Comes in: where, and how. Goes out: replies, each known to be that of its command and in its time.
//! Always true: with `starttls` nothing but EHLO is said before TLS is there, and what came behind the server's answer
//! to STARTTLS is not believed; certificate and name are verified.
//! Not here: what replies mean (`replies`), when connections are made (`server`).

use std::io;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters,
};
use lettre::transport::smtp::commands::Data;
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::deliver::parcel::Why;
use crate::deliver::{DeliverError, Smtp, SmtpTls};

/// Replies that say that a command, or a mail, has been taken.
const DONE: RangeInclusive<u16> = 200..=299;
/// The reply that asks for the mail.
const GO_ON: RangeInclusive<u16> = 354..=354;
/// Of the server's words in a line of ours.
const WORDS_MAX: usize = 200;
/// A server looks at a whole mail before it answers: so many times the time for another answer.
pub(super) const MAIL_TIMES: u32 = 10;

/// An SMTP connection that is ready for a mail.
pub(super) struct Connection {
    inner: AsyncSmtpConnection,
    timeout: Duration,
}

/// Why a command did not succeed.
pub(super) enum Failed {
    /// The server's reply, and its words, which may be personal.
    Reply { code: u16, words: String },
    /// There was none.
    Broken(String),
}

/// Whom the server must be, for connections that are encrypted.
pub(super) fn tls_of(smtp: &Smtp) -> Result<Option<TlsParameters>, DeliverError> {
    if smtp.tls == SmtpTls::None {
        return Ok(None);
    }
    let builder = TlsParameters::builder(smtp.host.clone());
    let builder = match &smtp.authorities {
        None => Ok(builder.certificate_store(CertificateStore::WebpkiRoots)),
        Some(pem) => Certificate::from_pem(pem)
            .map(|own| builder.certificate_store(CertificateStore::None).add_root_certificate(own)),
    };
    let parameters = builder.and_then(lettre::transport::smtp::client::TlsParametersBuilder::build);
    parameters.map(Some).map_err(|error| DeliverError::Smtp(error.to_string()))
}

impl Connection {
    pub(super) async fn open(smtp: &Smtp, tls: Option<&TlsParameters>, hello: &ClientId) -> Result<Self, Why> {
        let opening = async {
            let mut inner = connect(smtp, tls, hello).await?;
            authenticate(&mut inner, smtp).await?;
            Ok(Self { inner, timeout: smtp.timeout })
        };
        let late = |_| Why { step: "connecting", code: None, words: "no answer in time".to_owned() };
        tokio::time::timeout(smtp.timeout, opening).await.map_err(late)?
    }

    /// One that is answered with a 2xx.
    pub(super) async fn command(&mut self, command: impl std::fmt::Display) -> Result<(), Failed> {
        answered(DONE, self.timeout, self.inner.command(command)).await
    }

    /// `DATA`, after which the mail is awaited.
    pub(super) async fn data(&mut self) -> Result<(), Failed> {
        answered(GO_ON, self.timeout, self.inner.command(Data)).await
    }

    /// After `DATA`.
    pub(super) async fn mail(&mut self, mail: &[u8]) -> Result<(), Failed> {
        answered(DONE, self.timeout * MAIL_TIMES, self.inner.message(mail)).await
    }
}

/// Lettre takes any 2xx and 3xx for a yes. A reply that is not the one its command asks for is another command's, or
/// nobody's: whatever comes behind it cannot be believed either.
async fn answered(
    expected: RangeInclusive<u16>,
    timeout: Duration,
    answer: impl Future<Output = Result<Response, Error>>,
) -> Result<(), Failed> {
    match tokio::time::timeout(timeout, answer).await {
        Ok(Ok(response)) if expected.contains(&u16::from(response.code())) => Ok(()),
        Ok(Ok(_)) => Err(Failed::Broken("a reply that is not its command's".to_owned())),
        Ok(Err(error)) => Err(Failed::of(&error)),
        Err(_) => Err(Failed::Broken("no answer in time".to_owned())),
    }
}

async fn connect(smtp: &Smtp, tls: Option<&TlsParameters>, hello: &ClientId) -> Result<AsyncSmtpConnection, Why> {
    let server = (smtp.host.as_str(), smtp.port);
    if smtp.tls == SmtpTls::Implicit {
        let timeout = Some(smtp.timeout);
        let connected = AsyncSmtpConnection::connect_tokio1(server, timeout, hello, tls.cloned(), None).await;
        return connected.map_err(|error| Failed::of(&error).at("connecting"));
    }
    let stream = TcpStream::connect(server).await;
    let stream = stream.map_err(|error| Why { step: "connecting", code: None, words: error.to_string() })?;
    // A mail leaves in pieces, and each would wait for the acknowledgement of the one before, which servers delay. Where it
    // cannot be had mails are slow, no more.
    let _ = stream.set_nodelay(true);
    let stream = LineByLine { stream, read: Vec::new() };
    let greeted = AsyncSmtpConnection::connect_with_transport(Box::new(stream), hello).await;
    let mut connection = greeted.map_err(|error| Failed::of(&error).at("greeting"))?;
    if let Some(tls) = tls {
        let encrypted = connection.starttls(tls.clone(), hello).await;
        encrypted.map_err(|error| Failed::of(&error).at("STARTTLS"))?;
    }
    Ok(connection)
}

async fn authenticate(connection: &mut AsyncSmtpConnection, smtp: &Smtp) -> Result<(), Why> {
    let Some((user, password)) = &smtp.credentials else { return Ok(()) };
    let why = |words: &str| Why { step: "AUTH", code: None, words: words.to_owned() };
    if smtp.tls != SmtpTls::None && !connection.is_encrypted() {
        return Err(why("the connection is not encrypted"));
    }
    let password = String::from_utf8(password.bytes().to_vec()).map_err(|_| why("the password is not UTF-8"))?;
    let credentials = Credentials::new(user.clone(), password);
    let authenticated = connection.auth(&[Mechanism::Plain, Mechanism::Login], &credentials).await;
    authenticated.map(drop).map_err(|error| Failed::of(&error).at("AUTH"))
}

impl Failed {
    fn of(error: &Error) -> Self {
        let words = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
        match error.status() {
            Some(code) => Self::Reply { code: u16::from(code), words },
            None if error.is_response() => Self::Broken("an answer that is no SMTP, or an end without one".to_owned()),
            None => Self::Broken(words.chars().take(WORDS_MAX).collect()),
        }
    }

    /// For a line of ours: a reply by its code alone, since servers quote addresses.
    pub(super) fn at(self, step: &'static str) -> Why {
        match self {
            Self::Reply { code, .. } => Why { step, code: Some(code), words: String::new() },
            Self::Broken(words) => Why { step, code: None, words },
        }
    }
}

/// Never hands out more than a line at once. So nothing that came in the clear behind the answer to STARTTLS is in the
/// reader's buffer when TLS begins: it is what TLS reads first, and refuses (CVE-2011-0411, in a client).
#[derive(Debug)]
struct LineByLine {
    stream: TcpStream,
    /// Read and not handed out.
    read: Vec<u8>,
}

/// Bytes asked of the system at once.
const READ_MAX: usize = 4_096;

impl AsyncRead for LineByLine {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            let mut bytes = [0; READ_MAX];
            let mut fresh = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(context, &mut fresh))?;
            self.read.extend_from_slice(fresh.filled());
        }
        let line = self.read.iter().position(|byte| *byte == b'\n').map_or(self.read.len(), |end| end + 1);
        let handed: Vec<u8> = self.read.drain(..line.min(out.remaining())).collect();
        out.put_slice(&handed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LineByLine {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl AsyncTokioStream for LineByLine {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}
