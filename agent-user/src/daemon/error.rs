//! Why a request was not done, with the HTTP status for it.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};

use crate::{
    api::{Failure, FailureCode, SCHEMA},
    kernel::KernelError,
    store::StoreError,
};

#[derive(Debug, thiserror::Error)]
pub(super) enum RequestError {
    #[error("{0}")]
    Denied(String),
    /// The caller runs in a session.
    #[error("{0}")]
    Labelled(String),
    #[error("{0}")]
    NotFound(String),
    #[error("{0}")]
    BadGrant(String),
    #[error("{0}")]
    BadRequest(String),
    #[error("{0}")]
    Conflict(String),
    /// What limits sessions is not there.
    #[error("{0}")]
    NotEnforced(String),
    /// Nothing can be written down.
    #[error("{0}")]
    NotRecorded(String),
    #[error("{0}")]
    Failed(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Kernel(#[from] KernelError),
}

impl RequestError {
    fn kind(&self) -> (StatusCode, FailureCode) {
        match self {
            Self::Denied(_) => (StatusCode::FORBIDDEN, FailureCode::Denied),
            Self::Labelled(_) => (StatusCode::FORBIDDEN, FailureCode::Labelled),
            Self::NotFound(_) => (StatusCode::NOT_FOUND, FailureCode::NotFound),
            Self::BadGrant(_) => (StatusCode::UNPROCESSABLE_ENTITY, FailureCode::BadGrant),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, FailureCode::BadRequest),
            Self::Conflict(_) => (StatusCode::CONFLICT, FailureCode::Conflict),
            Self::NotEnforced(_) => (StatusCode::SERVICE_UNAVAILABLE, FailureCode::NotEnforced),
            Self::NotRecorded(_) => (StatusCode::SERVICE_UNAVAILABLE, FailureCode::NotRecorded),
            Self::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, FailureCode::Failed),
            Self::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, FailureCode::Store),
            Self::Kernel(_) => (StatusCode::INTERNAL_SERVER_ERROR, FailureCode::Kernel),
        }
    }

    /// A step that failed, and why.
    pub(super) fn failed(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Self {
        Self::Failed(format!("{what}: {error}"))
    }
}

impl IntoResponse for RequestError {
    fn into_response(self) -> Response {
        let (status, code) = self.kind();
        if status.is_server_error() {
            tracing::error!("a request failed: {self}");
        }
        let failure = Failure {
            schema: SCHEMA,
            code: code.into(),
            error: self.to_string(),
        };
        (status, Json(failure)).into_response()
    }
}
