//! Talking to the daemon: HTTP with JSON over its Unix socket.

use std::{
    io,
    marker::PhantomData,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
    time::Duration,
};

use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response,
    body::{Bytes, Incoming},
};
use hyper_util::rt::TokioIo;
use nix::sys::{
    socket::{AddressFamily, SockFlag, SockType, UnixAddr, setsockopt, socket, sockopt},
    time::TimeVal,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::UnixStream;

use crate::api::{
    Failure, FailureCode,
    routes::{Get, Place, Post},
};

/// Seconds for the daemon to accept a connection.
const CONNECT_WAIT: i64 = 60;
/// How often, and how long, a busy daemon is waited for.
const BUSY_TIMES: usize = 100;
const BUSY_WAIT: Duration = Duration::from_millis(200);

/// Why the daemon did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    #[error(
        "cannot reach the daemon at {}: {}",
        path.display(), remedy(error)
    )]
    Unreachable { path: PathBuf, error: io::Error },
    #[error("the connection to the daemon broke: {0}")]
    Broken(String),
    #[error(
        "the daemon's answer cannot be read: {0}; do command and daemon have the same version?"
    )]
    Garbled(String),
    #[error("the request cannot be written: {0}")]
    Unsaid(String),
    #[error("{}", .0.error)]
    Refused(Failure),
}

fn remedy(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            "it is not running; start it with `systemctl start bailiff`, or `bailiff daemon` as root"
                .into()
        }
        io::ErrorKind::PermissionDenied if std::env::var_os("BAILIFF_SESSION").is_some() => {
            "the grant of this session does not let it ask; `include = [\"base\"]` would".into()
        }
        io::ErrorKind::PermissionDenied => {
            "permission denied; run this as root, or ask to be put into the group `bailiff`".into()
        }
        io::ErrorKind::WouldBlock => "it does not accept; try again".into(),
        _ => error.to_string(),
    }
}

/// A way to the daemon at one socket.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    #[must_use]
    pub fn new(socket: &Path) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    pub async fn get<A: DeserializeOwned>(&self, place: &Place<Get, A>) -> Result<A, ClientError> {
        self.call(Method::GET, place.path(), Bytes::new()).await
    }

    pub async fn post<B: Serialize, A: DeserializeOwned>(
        &self,
        place: &Place<Post<B>, A>,
        body: &B,
    ) -> Result<A, ClientError> {
        let body =
            serde_json::to_vec(body).map_err(|error| ClientError::Unsaid(error.to_string()))?;
        self.call(Method::POST, place.path(), body.into()).await
    }

    /// The data of server-sent events, one JSON document each.
    pub async fn stream<A: DeserializeOwned>(
        &self,
        place: &Place<Get, A>,
    ) -> Result<DocumentStream<A>, ClientError> {
        let response = self.send(Method::GET, place.path(), Bytes::new()).await?;
        let response = accepted(response).await?;
        Ok(DocumentStream {
            body: response.into_body(),
            buffer: Vec::new(),
            documents: PhantomData,
        })
    }

    /// Asks again for a while where the daemon has no room for the question.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let mut waits = 0..BUSY_TIMES;
        loop {
            let answer = self.ask(method.clone(), path, body.clone()).await;
            match answer {
                Err(ClientError::Refused(failure)) if failure.code == FailureCode::Busy => {
                    if waits.next().is_none() {
                        return Err(ClientError::Refused(failure));
                    }
                    tokio::time::sleep(BUSY_WAIT).await;
                }
                answer => return answer,
            }
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let response = accepted(self.send(method, path, body).await?).await?;
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(broken)?
            .to_bytes();
        serde_json::from_slice(&body).map_err(|error| ClientError::Garbled(error.to_string()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Response<Incoming>, ClientError> {
        let stream = connect(&self.socket).map_err(|error| ClientError::Unreachable {
            path: self.socket.clone(),
            error,
        })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "bailiff")
            .header("content-type", "application/json")
            .body(Full::new(body))
            .map_err(broken)?;
        sender.send_request(request).await.map_err(broken)
    }
}

/// Waits its turn where many connect: a connection that does not wait fails where as many as can
/// wait to be accepted, and comes after all that do.
fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket = socket(
        AddressFamily::Unix,
        SockType::Stream,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    // As long as `connect` waits (`unix_stream_connect()`).
    setsockopt(
        &socket,
        sockopt::SendTimeout,
        &TimeVal::new(CONNECT_WAIT, 0),
    )?;
    nix::sys::socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
    let stream = std::os::unix::net::UnixStream::from(socket);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

async fn accepted(response: Response<Incoming>) -> Result<Response<Incoming>, ClientError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(broken)?
        .to_bytes();
    match serde_json::from_slice(&body) {
        Ok(failure) => Err(ClientError::Refused(failure)),
        Err(_) => Err(ClientError::Garbled(format!(
            "{status}: {}",
            String::from_utf8_lossy(&body)
                .chars()
                .take(200)
                .collect::<String>()
        ))),
    }
}

impl From<serde_urlencoded::ser::Error> for ClientError {
    fn from(error: serde_urlencoded::ser::Error) -> Self {
        Self::Unsaid(error.to_string())
    }
}

fn broken(error: impl std::fmt::Display) -> ClientError {
    ClientError::Broken(error.to_string())
}

/// A response that goes on.
pub struct DocumentStream<A> {
    body: Incoming,
    buffer: Vec<u8>,
    documents: PhantomData<fn() -> A>,
}

impl<A: DeserializeOwned> DocumentStream<A> {
    /// The next document; `None` when the daemon ends the stream.
    pub async fn next(&mut self) -> Result<Option<A>, ClientError> {
        loop {
            while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.drain(..=end).collect::<Vec<_>>();
                if let Some(data) = line.strip_prefix(b"data:") {
                    return serde_json::from_slice(data)
                        .map(Some)
                        .map_err(|error| ClientError::Garbled(error.to_string()));
                }
            }
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    if let Ok(data) = frame.map_err(broken)?.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}
