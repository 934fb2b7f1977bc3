//! The socket, and what can be asked over it.

use std::{convert::Infallible, path::PathBuf, sync::Arc};

use axum::{
    Extension, Json, Router,
    extract::{Path, Query, Request, State},
    middleware,
    response::sse::{Event as SseEvent, KeepAlive, Sse},
    routing::{get, post},
};
use futures_util::{Stream, stream};

use super::{
    answers::{no_session, of_row},
    door::receive,
    peer::Caller,
    why::Inside,
};
use crate::{
    api::{
        Attached, Distrust, Enrol, Event, EventFilter, Member, Page, Session, SessionReport,
        SessionsQuery, StartSession, Status, Summary, Trust, Trusted, Untag, Why, WhyQuery,
        doctor::HookCoverage,
        routes::{self, OWN_SESSION},
    },
    daemon::{error::RequestError, sessions::Live, state::Daemon},
};

type App = State<Arc<Daemon>>;
type Who = Extension<Caller>;
type Answer<T> = Result<Json<T>, RequestError>;

pub(in crate::daemon) fn router(daemon: Arc<Daemon>) -> Router {
    Router::new()
        .route(routes::STATUS.pattern(), get(status))
        .route(routes::COVERAGE.pattern(), get(coverage))
        .route(routes::TASKS.pattern(), get(tasks))
        .route(routes::SESSIONS.pattern(), get(list))
        .route(routes::START.pattern(), post(start))
        .route(routes::SESSION.pattern(), get(session))
        .route(routes::ENROL.pattern(), post(enrol))
        .route(routes::SUMMARY.pattern(), get(summary))
        .route(routes::REPORT.pattern(), get(report))
        .route(routes::STOP.pattern(), post(stop))
        .route(routes::FREEZE.pattern(), post(freeze))
        .route(routes::THAW.pattern(), post(thaw))
        .route(routes::UNTAG.pattern(), post(untag))
        .route(routes::TRUSTED.pattern(), get(trusted))
        .route(routes::TRUST.pattern(), post(trust))
        .route(routes::DISTRUST.pattern(), post(distrust))
        .route(routes::ATTACHMENTS.pattern(), get(attachments))
        .route(routes::LOAD_ATTACHMENTS.pattern(), post(load_attachments))
        .route(routes::EVENTS.pattern(), get(events))
        .route(routes::FOLLOW.pattern(), get(follow))
        .route(routes::WHY.pattern(), get(why))
        .fallback(unknown)
        .layer(middleware::from_fn_with_state(Arc::clone(&daemon), receive))
        .with_state(daemon)
}

async fn unknown(Extension(caller): Who, request: Request) -> RequestError {
    match caller.operator() {
        Ok(_) => RequestError::NotFound(format!("nothing answers to {}", request.uri().path())),
        Err(error) => error,
    }
}

async fn status(State(daemon): App, Extension(caller): Who) -> Answer<Status> {
    caller.operator()?;
    Ok(Json(daemon.status().await?))
}

async fn coverage(State(daemon): App, Extension(caller): Who) -> Answer<Page<HookCoverage>> {
    caller.operator()?;
    let hooks = daemon.kernel().coverage().to_vec();
    Ok(Json(Page::new(hooks)))
}

/// Ended sessions that a list shows.
const PAST: u32 = 100;

async fn list(
    State(daemon): App,
    Extension(caller): Who,
    Query(query): Query<SessionsQuery>,
) -> Answer<Page<Session>> {
    caller.operator()?;
    let mut items = Vec::new();
    if query.all {
        let rows = daemon
            .blocking(|daemon| daemon.store.ended_sessions(PAST))
            .await?;
        items.extend(rows.iter().rev().map(of_row));
    }
    let populations = daemon.populations();
    items.extend(
        daemon
            .live_sessions()
            .iter()
            .map(|live| daemon.describe_among(live, &populations)),
    );
    Ok(Json(Page::new(items)))
}

async fn tasks(State(daemon): App, Extension(caller): Who) -> Answer<Page<Member>> {
    caller.operator()?;
    let members = daemon.blocking(Daemon::members).await?;
    Ok(Json(Page::new(members)))
}

async fn start(
    State(daemon): App,
    Extension(caller): Who,
    Json(request): Json<StartSession>,
) -> Answer<Session> {
    let live = daemon.start(request, caller.operator()?).await?;
    Ok(Json(Session {
        hands_over: live.hands_over(),
        ..daemon.describe(&live)
    }))
}

async fn session(
    State(daemon): App,
    Extension(caller): Who,
    Path(key): Path<String>,
) -> Answer<Session> {
    if let Caller::Inside(own, _) = &caller
        && (key == OWN_SESSION || key == own.row.name)
    {
        return Ok(Json(daemon.describe(own)));
    }
    caller.operator()?;
    Ok(Json(daemon.session(&key).await?))
}

async fn enrol(
    State(daemon): App,
    Extension(caller): Who,
    Path(key): Path<String>,
    Json(said): Json<Option<Enrol>>,
) -> Answer<Session> {
    let peer = caller.operator()?;
    let live = in_force(&daemon, &key).await?;
    daemon.enrol(&live, peer, said.unwrap_or_default())?;
    Ok(Json(daemon.describe(&live)))
}

async fn summary(
    State(daemon): App,
    Extension(caller): Who,
    Path(key): Path<String>,
) -> Answer<Summary> {
    caller.operator()?;
    Ok(Json(daemon.summary(&key).await?))
}

async fn report(
    State(daemon): App,
    Extension(caller): Who,
    Path(key): Path<String>,
) -> Answer<SessionReport> {
    caller.operator()?;
    Ok(Json(daemon.report(&key).await?))
}

async fn stop(
    State(daemon): App,
    Extension(caller): Who,
    Path(key): Path<String>,
) -> Answer<Session> {
    caller.operator()?;
    match in_force(&daemon, &key).await {
        Ok(live) => daemon.stop(&live).await?,
        // Processes that it left behind, and that are refused everything, can be ended all the same.
        Err(error) => {
            let number = match daemon.row(&key).await {
                Ok(row) => row.number,
                Err(_) => key.trim_start_matches("session-").parse().unwrap_or(0),
            };
            if daemon.stop_remains(number).await?.is_none() {
                return Err(error);
            }
        }
    }
    Ok(Json(daemon.session(&key).await?))
}

async fn freeze(
    State(daemon): App,
    Extension(caller): Who,
    Path(key): Path<String>,
) -> Answer<Session> {
    set_frozen(&daemon, &caller, &key, true).await
}

async fn thaw(
    State(daemon): App,
    Extension(caller): Who,
    Path(key): Path<String>,
) -> Answer<Session> {
    set_frozen(&daemon, &caller, &key, false).await
}

async fn set_frozen(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    key: &str,
    frozen: bool,
) -> Answer<Session> {
    caller.operator()?;
    let live = in_force(daemon, key).await?;
    let what = if frozen {
        "cannot freeze the session"
    } else {
        "cannot let the session go on"
    };
    let cgroup = live.cgroup().ok_or_else(|| {
        RequestError::BadRequest(format!(
            "{} has no cgroup of its own, and others may be in the one where it is: freeze that, or \
             send SIGSTOP",
            live.row.name
        ))
    })?;
    cgroup
        .freeze(frozen)
        .map_err(|error| RequestError::failed(what, error))?;
    Ok(Json(daemon.describe(&live)))
}

async fn untag(
    State(daemon): App,
    Extension(caller): Who,
    Json(request): Json<Untag>,
) -> Answer<Session> {
    caller.operator()?;
    let tagged = daemon
        .hierarchy
        .open(std::path::Path::new(&request.session))
        .ok();
    let path = tagged.map_or_else(
        || PathBuf::from(&request.session),
        |cgroup| cgroup.path().into(),
    );
    let live = daemon.sessions().by_cgroup(&path);
    let live = match live {
        Some(live) => live,
        None => in_force(&daemon, &request.session).await?,
    };
    daemon.untag(&live).await?;
    Ok(Json(daemon.session(&live.row.name).await?))
}

async fn trusted(State(daemon): App, Extension(caller): Who) -> Answer<Page<Trusted>> {
    let uid = caller.operator()?.uid;
    let items = daemon.blocking(move |daemon| daemon.trusted(uid)).await?;
    Ok(Json(Page::new(items)))
}

async fn trust(
    State(daemon): App,
    Extension(caller): Who,
    Json(request): Json<Trust>,
) -> Answer<Trusted> {
    let uid = caller.operator()?.uid;
    let trusted = daemon.blocking(move |daemon| daemon.trust(uid, &request));
    Ok(Json(trusted.await?))
}

async fn distrust(
    State(daemon): App,
    Extension(caller): Who,
    Json(request): Json<Distrust>,
) -> Answer<Trusted> {
    let uid = caller.operator()?.uid;
    let gone = daemon.blocking(move |daemon| daemon.distrust(uid, &request));
    Ok(Json(gone.await?))
}

async fn attachments(State(daemon): App, Extension(caller): Who) -> Answer<Page<Attached>> {
    caller.operator()?;
    Ok(Json(Page::new(daemon.tell_attachments().await)))
}

async fn load_attachments(State(daemon): App, Extension(caller): Who) -> Answer<Page<Attached>> {
    caller.operator()?;
    Ok(Json(Page::new(daemon.load_attachments().await?)))
}

async fn events(
    State(daemon): App,
    Extension(caller): Who,
    Query(filter): Query<EventFilter>,
) -> Answer<Page<Event>> {
    caller.operator()?;
    daemon.flush_events().await;
    let filter = named(&daemon, filter).await?;
    let events = daemon
        .blocking(move |daemon| daemon.store.events(&filter))
        .await?;
    Ok(Json(Page::new(events)))
}

/// The filter with the session's full name in it.
async fn named(daemon: &Arc<Daemon>, filter: EventFilter) -> Result<EventFilter, RequestError> {
    let session = match &filter.session {
        Some(key) => Some(daemon.session_name(key).await?),
        None => None,
    };
    Ok(EventFilter { session, ..filter })
}

/// Events that one read of a stream takes.
const STREAM_BATCH: u32 = 500;

async fn follow(
    State(daemon): App,
    Extension(caller): Who,
    Query(filter): Query<EventFilter>,
) -> Result<Sse<impl Stream<Item = Result<SseEvent, Infallible>>>, RequestError> {
    let peer = caller.operator()?.clone();
    let mut filter = named(&daemon, filter).await?;
    if filter.after.is_none() {
        filter.after = Some(
            daemon
                .blocking(|daemon| daemon.store.last_event_id())
                .await?,
        );
    }
    filter.limit = Some(STREAM_BATCH);
    let written = daemon.writer.written();
    // The store is the cursor: what a slow reader has not taken waits there.
    let pages = stream::unfold(
        (daemon, peer, filter, written),
        |(daemon, peer, mut filter, mut written)| async move {
            loop {
                // It may have ended, or been put into a session meanwhile.
                if !peer.still_operates(daemon.labels.as_ref()) {
                    return None;
                }
                written.mark_unchanged();
                let wanted = filter.clone();
                let events = daemon
                    .blocking(move |daemon| daemon.store.events(&wanted))
                    .await;
                match events {
                    Ok(events) if !events.is_empty() => {
                        filter.after = events.last().map(|event| event.id);
                        return Some((events, (daemon, peer, filter, written)));
                    }
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!("a stream of events stopped: {error}");
                        return None;
                    }
                }
                written.changed().await.ok()?;
            }
        },
    );
    let documents = futures_util::StreamExt::flat_map(pages, |events| {
        stream::iter(events.into_iter().filter_map(|event| {
            let id = event.id.to_string();
            Some(Ok(SseEvent::default().id(id).json_data(event).ok()?))
        }))
    });
    Ok(Sse::new(documents).keep_alive(KeepAlive::default()))
}

async fn why(
    State(daemon): App,
    Extension(caller): Who,
    Query(query): Query<WhyQuery>,
) -> Answer<Why> {
    let inside = match &caller {
        Caller::Inside(live, parent) => Some(Inside {
            session: &live.row.name,
            parent: *parent,
        }),
        Caller::Operator(_) => None,
    };
    Ok(Json(daemon.why(query, inside).await?))
}

/// A session that can still be acted on.
async fn in_force(daemon: &Arc<Daemon>, key: &str) -> Result<Arc<Live>, RequestError> {
    let live = daemon.sessions().in_force(key);
    match live {
        Some(live) => Ok(live),
        None => match daemon.row(key).await {
            Ok(row) => Err(RequestError::Conflict(format!(
                "the session {} has ended",
                row.name
            ))),
            Err(_) => Err(no_session(key)),
        },
    }
}
