//! A small SMTP server on loopback: it says what a test tells it to, and hands over what it was given.

use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// What a server says instead of its usual answer to a line; `mail` stands for the end of a mail's data, whose text is
/// the second argument. `None` for the usual.
pub(super) type Script = Arc<dyn Fn(&str, &str) -> Option<String> + Send + Sync>;

/// A mail that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    pub to: Vec<String>,
    pub data: String,
    pub is_encrypted: bool,
}

/// How the server is reached.
#[derive(Clone)]
pub(super) enum Way {
    Plain,
    /// What follows the answer to STARTTLS at once, in the clear.
    StartTls(TlsAcceptor, &'static str),
    Implicit(TlsAcceptor),
}

/// A running server; ends with its runtime.
pub(super) struct Server {
    pub port: u16,
    pub mails: mpsc::UnboundedReceiver<Taken>,
    /// Every line it was told, before its answer goes out.
    pub lines: mpsc::UnboundedReceiver<String>,
}

#[derive(Clone)]
struct Told {
    script: Script,
    mails: mpsc::UnboundedSender<Taken>,
    lines: mpsc::UnboundedSender<String>,
}

impl Server {
    pub(super) async fn start(way: Way, script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ((mails, taken), (lines, said)) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let told = Told { script, mails, lines };
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, way.clone(), told.clone()));
            }
        });
        Self { port, mails: taken, lines: said }
    }

    /// The next mail it took.
    pub(super) async fn mail(&mut self) -> Taken {
        self.mails.recv().await.unwrap()
    }
}

/// A client that leaves, or does not believe the certificate, ends it.
async fn serve(stream: TcpStream, way: Way, told: Told) {
    match way {
        Way::Plain => drop(talk(BufReader::new(stream), None, false, true, &told).await),
        Way::Implicit(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                talk(BufReader::new(stream), None, true, true, &told).await;
            }
        }
        Way::StartTls(tls, injected) => {
            let Some(plain) = talk(BufReader::new(stream), Some(injected), false, true, &told).await else { return };
            if let Ok(stream) = tls.accept(plain.into_inner()).await {
                talk(BufReader::new(stream), None, true, false, &told).await;
            }
        }
    }
}

/// Until the client leaves, or begins TLS: then the connection is given back.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    starttls: Option<&str>,
    is_encrypted: bool,
    greets: bool,
    told: &Told,
) -> Option<BufReader<S>> {
    if greets {
        stream.write_all(b"220 mail.test ESMTP\r\n").await.ok()?;
    }
    let mut to = Vec::new();
    loop {
        let line = line(&mut stream).await?;
        let _ = told.lines.send(line.clone());
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let mut answer = (told.script)(&line, "").unwrap_or_else(|| usual(&verb, starttls.is_some()));
        if verb == "STARTTLS" && answer.starts_with("220") {
            answer.push_str("\r\n");
            answer.push_str(starttls.unwrap_or_default());
            stream.write_all(answer.as_bytes()).await.ok()?;
            return Some(stream);
        }
        match (verb.as_str(), answer.as_bytes()[0]) {
            ("MAIL" | "RSET", _) => to.clear(),
            ("RCPT", b'2') => to.push(between(&line)),
            ("DATA", b'3') => {
                stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
                let data = data(&mut stream).await?;
                answer = (told.script)("mail", &data).unwrap_or_else(|| "250 2.0.0 taken".to_owned());
                if answer.starts_with('2') {
                    let _ = told.mails.send(Taken { to: std::mem::take(&mut to), data, is_encrypted });
                }
            }
            _ => {}
        }
        if answer == "close" {
            return None;
        }
        stream.write_all(format!("{answer}\r\n").as_bytes()).await.ok()?;
    }
}

fn usual(verb: &str, starttls: bool) -> String {
    match verb {
        "EHLO" if starttls => "250-mail.test\r\n250-STARTTLS\r\n250 8BITMIME",
        "EHLO" => "250-mail.test\r\n250-AUTH PLAIN LOGIN\r\n250 8BITMIME",
        "STARTTLS" if starttls => "220 2.0.0 go ahead",
        "AUTH" => "235 2.7.0 welcome",
        "MAIL" | "RCPT" | "RSET" | "NOOP" => "250 2.1.0 ok",
        "DATA" => "354 go on",
        "QUIT" => "221 bye",
        _ => "502 5.5.2 what?",
    }
    .to_owned()
}

async fn line<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

/// Up to the line with a dot, as RFC 5321 says, dots taken off again.
async fn data<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<String> {
    let mut data = String::new();
    loop {
        let line = line(stream).await?;
        if line == "." {
            return Some(data);
        }
        data.push_str(line.strip_prefix('.').unwrap_or(&line));
        data.push_str("\r\n");
    }
}

fn between(line: &str) -> String {
    line.split(['<', '>']).nth(1).unwrap_or_default().to_owned()
}
