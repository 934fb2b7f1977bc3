//! What `bailiff why` is answered.

use std::sync::Arc;

use crate::{
    api::{Event, EventFilter, Why, WhyQuery},
    daemon::{error::RequestError, state::Daemon},
    why,
};

/// A process of a session, which asks.
#[derive(Clone, Copy)]
pub(super) struct Inside<'a> {
    pub(super) session: &'a str,
    /// Its parent, where that is known.
    pub(super) parent: Option<u32>,
}

impl Daemon {
    pub(super) async fn why(
        self: &Arc<Self>,
        query: WhyQuery,
        inside: Option<Inside<'_>>,
    ) -> Result<Why, RequestError> {
        self.flush_events().await;
        let session = match (inside, &query.session) {
            (Some(inside), _) => Some(inside.session.to_owned()),
            (None, Some(key)) => Some(self.session_name(key).await?),
            (None, None) => None,
        };
        let wanted = EventFilter {
            session,
            right: query.right,
            path: query.path,
            ..EventFilter::default()
        };
        let is_narrowed = wanted.right.is_some() || wanted.path.is_some();
        let mut found = self
            .blocking(move |daemon| match query.event {
                Some(id) => Ok(daemon.store.event(id)?.into_iter().collect()),
                None => daemon.store.latest_refusals(&wanted, why::LATEST),
            })
            .await?;
        let missing = || match query.event {
            Some(id) => format!("there is no event #{id}; `bailiff events` lists them"),
            None if is_narrowed => "nothing of that kind was refused".into(),
            None => "nothing was refused".into(),
        };
        // From inside, another session's events are not there.
        found.retain(|event: &Event| inside.is_none_or(|own| event.session == own.session));
        let event = match (query.nth, inside) {
            (Some(nth), _) => found.into_iter().nth(nth as usize),
            (None, Some(inside)) => why::meant(found, inside.parent),
            (None, None) => found.into_iter().next(),
        };
        let event = event.ok_or_else(|| RequestError::NotFound(missing()))?;
        if !event.refused() {
            return Err(RequestError::BadRequest(format!(
                "event #{} was not a refusal",
                event.id
            )));
        }
        // A crash says nothing of its cause, which may be what was refused before.
        let before = if why::is_crash(&event) {
            let crash = event.clone();
            self.blocking(move |daemon| daemon.store.refused_before(&crash))
                .await?
        } else {
            None
        };
        // Its session may be older than what the store keeps.
        let row = self.row(&event.session).await.ok();
        let terms = row.as_ref().map(|row| why::Terms {
            grant: &row.source.main.name,
            inputs: &row.inputs,
        });
        Ok(why::why_crashed(event, before, terms))
    }
}
