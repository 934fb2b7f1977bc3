//! What can be asked of the daemon, and where. Client and server both name a route by its constant here,
//! so that they cannot differ in its path, nor in what is sent and answered.

use std::marker::PhantomData;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::{
    Attached, Distrust, Enrol, Event, EventFilter, Member, Page, Session, SessionReport,
    SessionsQuery, StartSession, Status, Summary, Trust, Trusted, Untag, Why, WhyQuery,
    doctor::HookCoverage,
};

/// Calls `$callback!` with every route: what it is for, its constant, its type, and its path.
macro_rules! for_each_route {
    ($callback:ident) => {
        $callback! {
            /// How the daemon is.
            STATUS: Route<Get, Plain, Status> = "/v1/status";
            /// Every hook, and whether a program is attached to it.
            COVERAGE: Route<Get, Plain, Page<HookCoverage>> = "/v1/coverage";
            /// Every thread that belongs to a session, or is where it should.
            TASKS: Route<Get, Plain, Page<Member>> = "/v1/tasks";
            /// The sessions.
            SESSIONS: Route<Get, Asking<SessionsQuery>, Page<Session>> = "/v1/sessions";
            /// Starts a session.
            START: Route<Post<StartSession>, Plain, Session> = "/v1/sessions";
            /// One session.
            SESSION: Route<Get, Named, Session> = "/v1/sessions/{session}";
            /// Puts the process that asks into a session.
            ENROL: Route<Post<Enrol>, Named, Session> = "/v1/sessions/{session}/enrol";
            /// What a session was refused, for who ran it.
            SUMMARY: Route<Get, Named, Summary> = "/v1/sessions/{session}/summary";
            /// How what a session did compares with what it was granted.
            REPORT: Route<Get, Named, SessionReport> = "/v1/sessions/{session}/report";
            /// Kills every process of a session.
            STOP: Route<Post<()>, Named, Session> = "/v1/sessions/{session}/stop";
            /// Halts every process of a session.
            FREEZE: Route<Post<()>, Named, Session> = "/v1/sessions/{session}/freeze";
            /// Lets every process of a session go on.
            THAW: Route<Post<()>, Named, Session> = "/v1/sessions/{session}/thaw";
            /// Frees the processes of a tagged cgroup from their session.
            UNTAG: Route<Post<Untag>, Plain, Session> = "/v1/untag";
            /// Grants of checkouts that the caller's user trusts; root is told of everybody's.
            TRUSTED: Route<Get, Plain, Page<Trusted>> = "/v1/trusted";
            /// Trusts one, as its text is now.
            TRUST: Route<Post<Trust>, Plain, Trusted> = "/v1/trusted";
            /// Trusts it no longer.
            DISTRUST: Route<Post<Distrust>, Plain, Trusted> = "/v1/trusted/remove";
            /// Attachments, and whether each holds.
            ATTACHMENTS: Route<Get, Plain, Page<Attached>> = "/v1/attachments";
            /// Has the daemon read what operators wrote of them.
            LOAD_ATTACHMENTS: Route<Post<()>, Plain, Page<Attached>> = "/v1/attachments/load";
            /// Events, oldest first.
            EVENTS: Route<Get, Asking<EventFilter>, Page<Event>> = "/v1/events";
            /// Events as they happen: each answer is one of many, as server-sent events.
            FOLLOW: Route<Get, Asking<EventFilter>, Event> = "/v1/events/stream";
            /// Why something was refused.
            WHY: Route<Get, Asking<WhyQuery>, Why> = "/v1/why";
        }
    };
}
#[cfg(test)]
pub(super) use for_each_route;

macro_rules! define {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $pattern:literal;)*) => {
        $($(#[$doc])* pub const $name: $type = Route::at($pattern);)*
    };
}

for_each_route!(define);

/// The session of whoever asks, where a session is named.
pub const OWN_SESSION: &str = "self";

/// The part of a pattern that a session's name or number stands for.
const PLACEHOLDER: &str = "{session}";

/// What a name may hold and be one piece of a path (RFC 3986, "unreserved").
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// One thing that can be asked: by method `M`, of what `K` says, and answered with `A`.
#[derive(Debug)]
pub struct Route<M, K, A> {
    pattern: &'static str,
    types: Types<M, K, A>,
}

type Types<M, K, A> = PhantomData<fn(M, K) -> A>;

/// Looks and changes nothing.
#[derive(Debug)]
pub struct Get;
/// Changes something, as `B` says.
#[derive(Debug)]
pub struct Post<B>(PhantomData<B>);

/// Of the daemon.
#[derive(Debug)]
pub struct Plain;
/// Of a session.
#[derive(Debug)]
pub struct Named;
/// Of the daemon, narrowed down by `Q`.
#[derive(Debug)]
pub struct Asking<Q>(PhantomData<Q>);

/// The path and query of one request by method `M`, and the type of its answer.
#[derive(Debug)]
pub struct Place<M, A> {
    path: String,
    types: Types<M, (), A>,
}

impl<M, K, A> Route<M, K, A> {
    const fn at(pattern: &'static str) -> Self {
        Self {
            pattern,
            types: PhantomData,
        }
    }

    /// The path as the server's router takes it.
    #[must_use]
    pub const fn pattern(&self) -> &'static str {
        self.pattern
    }
}

impl<M, A> Route<M, Plain, A> {
    /// For the daemon itself.
    #[must_use]
    pub fn place(&self) -> Place<M, A> {
        Place::new(self.pattern.into())
    }
}

impl<M, A> Route<M, Named, A> {
    /// For the session with this name or number, whatever characters it has.
    #[must_use]
    pub fn of(&self, session: &str) -> Place<M, A> {
        let segment = utf8_percent_encode(session, SEGMENT).to_string();
        Place::new(self.pattern.replace(PLACEHOLDER, &segment))
    }
}

impl<M, Q: Serialize, A> Route<M, Asking<Q>, A> {
    /// With the fields of `query` that are set.
    ///
    /// # Errors
    /// A field of `query` is neither a number nor text.
    pub fn with(&self, query: &Q) -> Result<Place<M, A>, serde_urlencoded::ser::Error> {
        let query = serde_urlencoded::to_string(query)?;
        let mark = if query.is_empty() { "" } else { "?" };
        Ok(Place::new(format!("{}{mark}{query}", self.pattern)))
    }
}

impl<M, A> Place<M, A> {
    fn new(path: String) -> Self {
        Self {
            path,
            types: PhantomData,
        }
    }

    /// The request target.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        Json, Router,
        body::{Body, to_bytes},
        extract::{Path, Query, Request},
        routing::get,
    };
    use proptest::prelude::*;
    use tower_service::Service as _;

    use super::*;

    /// What the server understands of a path: the route, and the session or filter.
    fn understood(path: &str) -> (String, String) {
        let named = |pattern: &'static str| {
            get(
                move |Path(session): Path<String>| async move { Json((pattern.to_owned(), session)) },
            )
        };
        let asking = |Query(filter): Query<EventFilter>| async move {
            let filter = serde_json::to_string(&filter).unwrap();
            Json((EVENTS.pattern().to_owned(), filter))
        };
        let mut router: Router = Router::new()
            .route(EVENTS.pattern(), get(asking))
            .route(SESSION.pattern(), named(SESSION.pattern()))
            .route(REPORT.pattern(), named(REPORT.pattern()))
            .route(STOP.pattern(), named(STOP.pattern()));
        let request = Request::get(path).body(Body::empty()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let body = runtime.block_on(async {
            let response = router.call(request).await.unwrap();
            assert!(response.status().is_success(), "{path}");
            to_bytes(response.into_body(), usize::MAX).await.unwrap()
        });
        serde_json::from_slice(&body).unwrap()
    }

    fn arrives(session: &str) {
        for (path, pattern) in [
            (SESSION.of(session).path, SESSION.pattern()),
            (REPORT.of(session).path, REPORT.pattern()),
            (STOP.of(session).path, STOP.pattern()),
        ] {
            let wanted = (pattern.to_owned(), session.to_owned());
            assert_eq!(understood(&path), wanted, "{path}");
        }
    }

    #[test]
    fn a_name_that_a_path_would_act_on_reaches_the_server_unharmed() {
        for session in [
            "coder-1",
            "a/b",
            "a?b",
            "a%2Fb",
            "50%",
            "a b",
            "a+b",
            "ü日本",
            "a#b",
            "..",
            ".",
            "a\nb",
            "{session}",
            "a/report",
            "self",
            "\u{202e}x",
            "a;b&c=d",
        ] {
            arrives(session);
        }
    }

    #[test]
    fn only_fields_that_are_set_are_asked_for() {
        let place = EVENTS.with(&EventFilter::default()).unwrap();
        assert_eq!(place.path(), "/v1/events");
    }

    proptest! {
        #[test]
        fn every_name_makes_the_round_trip(session in "\\PC{1,40}|(?s).{1,40}") {
            arrives(&session);
        }

        #[test]
        fn every_filter_makes_the_round_trip(
            session in proptest::option::of("(?s).{0,20}"),
            path in proptest::option::of("(?s).{0,20}"),
            after in proptest::option::of(any::<i64>()),
            limit in proptest::option::of(any::<u32>()),
            since in proptest::option::of(0_i64..2_000_000_000),
        ) {
            let since = since.map(|at| jiff::Timestamp::from_microsecond(at * 1_000_003).unwrap());
            let filter = EventFilter { session, path, after, limit, since, ..EventFilter::default() };
            let place = EVENTS.with(&filter).unwrap();
            let (_, found) = understood(place.path());
            prop_assert_eq!(serde_json::from_str::<EventFilter>(&found).unwrap(), filter);
        }
    }
}
