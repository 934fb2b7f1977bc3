//! The door: who connects is looked at once, gets no more than a share, and has to be quick.
//!
//! It is a thread of its own, so that connections are accepted whatever else the daemon does. One
//! connection carries one request: what was found out of its maker is not old when it is used.

use std::{
    collections::VecDeque,
    io::{self, Write},
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    sync::Arc,
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::Method,
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{runtime::Handle, time::timeout};
use tower_service::Service;

use super::{
    patient::Patient,
    peer::{Account, Caller, Peer, classify},
    shares::Part,
};
use crate::daemon::{error::RequestError, state::Daemon};

/// For the head of a request.
const HEAD: Duration = Duration::from_secs(5);
/// For its body.
const BODY: Duration = Duration::from_secs(5);
/// For the other end to take some of an answer.
const READER: Duration = Duration::from_secs(20);
/// For everything that is not an operator's.
const WHOLE: Duration = Duration::from_secs(40);
/// Bytes of a body: a grant with all that it includes.
const BODY_LIMIT: usize = 2 << 20;
/// Connections that were turned away and are not closed yet.
const TURNED_AWAY: usize = 64;
/// Before another attempt to accept, after one that failed.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers whoever connects, for as long as the daemon lives.
///
/// # Errors
/// The thread cannot be made.
pub(in crate::daemon) fn open(
    daemon: Arc<Daemon>,
    listener: UnixListener,
    router: Router,
) -> io::Result<()> {
    let runtime = Handle::current();
    let work = move || {
        let mut turned_away = VecDeque::new();
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!("connections are not accepted: {error}");
                    thread::sleep(PAUSE);
                    continue;
                }
            };
            match admit(&daemon, stream) {
                Ok(Admitted::Guest(guest)) => drop(runtime.spawn(guest.serve(router.clone()))),
                // Kept open for a while: one that writes to a closed connection does not read why.
                Ok(Admitted::TurnedAway(stream)) => {
                    turned_away.push_back(stream);
                    if turned_away.len() > TURNED_AWAY {
                        turned_away.pop_front();
                    }
                }
                Err(error) => tracing::warn!("a caller cannot be identified: {error}"),
            }
        }
    };
    thread::Builder::new()
        .name("door".into())
        .spawn(work)
        .map(drop)
}

enum Admitted {
    Guest(Guest),
    /// There is no room for more of this caller's.
    TurnedAway(UnixStream),
}

fn admit(daemon: &Daemon, stream: UnixStream) -> io::Result<Admitted> {
    let peer = Peer::of(&stream, daemon.labels.as_ref())?;
    stream.set_nonblocking(true)?;
    let Some(part) = daemon.shares.take(peer.account()) else {
        turn_away(&stream, peer.account());
        return Ok(Admitted::TurnedAway(stream));
    };
    Ok(Admitted::Guest(Guest { stream, peer, part }))
}

/// What is answered where a share is used up. Fits into any socket's buffer.
const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\
    content-length: 93\r\nconnection: close\r\n\r\n\
    {\"schema\":1,\"code\":\"busy\",\"error\":\"too many of your requests are open; try again in a while\"}";

fn turn_away(mut stream: &UnixStream, account: Account) {
    tracing::debug!("{account:?} has too many connections");
    let _ = stream.write_all(FULL.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
}

/// A connection that has its part.
struct Guest {
    stream: UnixStream,
    peer: Peer,
    part: Part,
}

impl Guest {
    async fn serve(self, router: Router) {
        let Self { stream, peer, part } = self;
        let stream = match tokio::net::UnixStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::warn!("a connection was not served: {error}"),
        };
        let whole = match peer.account() {
            Account::Root | Account::Operator(_) => Duration::MAX,
            Account::Session(_) | Account::Stranger(_) => WHOLE,
        };
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(peer.clone());
            router.clone().call(request)
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .keep_alive(false)
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(Patient::new(stream, READER)), service);
        // Whoever breaks off or is too slow has said so by that.
        let _ = timeout(whole, connection).await;
        drop(part);
    }
}

/// Decides what a caller may do, before anything but the head of its request is read; then reads
/// the rest, and does what is asked to its end, also where the caller does not wait for that.
pub(super) async fn receive(
    State(daemon): State<Arc<Daemon>>,
    request: Request,
    next: Next,
) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().cloned() else {
        return RequestError::Denied("the calling process cannot be identified".into())
            .into_response();
    };
    let caller = match classify(&daemon, peer) {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    let changes = request.method() != Method::GET;
    let inside = matches!(caller, Caller::Inside(..));
    if changes && let Err(error) = caller.operator() {
        return error.into_response();
    }
    let (mut parts, body) = request.into_parts();
    let body = match read(body).await {
        Ok(body) => body,
        Err(error) => return error.into_response(),
    };
    parts.extensions.insert(caller);
    let request = Request::from_parts(parts, Body::from(body));
    if inside {
        let _turn = daemon.shares.session_requests.acquire().await;
        return next.run(request).await;
    }
    if !changes {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => RequestError::failed("the request was not done", error).into_response(),
    }
}

async fn read(body: Body) -> Result<Bytes, RequestError> {
    match timeout(BODY, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(error)) => Err(RequestError::BadRequest(format!(
            "the request cannot be read, or has more than {BODY_LIMIT} bytes: {error}"
        ))),
        Err(_) => Err(RequestError::BadRequest(
            "the request did not arrive in time".into(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::FULL;
    use crate::api::{Failure, SCHEMA};

    #[test]
    fn the_answer_of_a_full_house_can_be_read() {
        let (head, body) = FULL.split_once("\r\n\r\n").unwrap();
        assert!(
            head.contains(&format!("content-length: {}", body.len())),
            "{}",
            body.len()
        );
        let failure: Failure = serde_json::from_str(body).unwrap();
        assert_eq!((failure.schema, failure.code.as_str()), (SCHEMA, "busy"));
    }
}
