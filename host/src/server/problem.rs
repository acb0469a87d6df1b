//! Errors as the API tells them: problem details, RFC 9457.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::control::DeployError;
use crate::log::LogError;
use crate::registry::RegistryError;
use crate::service::ServiceError;

/// The media type.
const MEDIA_TYPE: &str = "application/problem+json";
/// How much of a text that a library answers with is kept.
const LONGEST_TEXT: usize = 4 << 10;

/// Why a request was not answered as asked.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
pub struct Problem {
    /// Which problem, for programs: `urn:millstream:problem:` and a word that stays the same.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for people.
    pub title: String,
    /// The status of the answer.
    pub status: u16,
    /// What was wrong, where, and what to do.
    pub detail: String,
}

impl Problem {
    /// A problem of a kind.
    pub(super) fn new(
        status: StatusCode,
        kind: &str,
        title: &str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            kind: format!("urn:millstream:problem:{kind}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }

    /// What a status says by itself.
    fn of_status(status: StatusCode, detail: String) -> Self {
        let title = status.canonical_reason().unwrap_or("Error");
        let kind = title.to_ascii_lowercase().replace(' ', "-");
        Self::new(status, &kind, title, detail)
    }

    /// The client said something that is not understood.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::of_status(StatusCode::BAD_REQUEST, detail.into())
    }

    /// Work that was handed to another thread did not come back.
    pub(super) fn lost(error: &tokio::task::JoinError) -> Self {
        Self::of_status(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("a bug in the host: {error}"),
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        // Text and numbers can be written as JSON whatever they are.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Makes a problem of an error that a library has answered: an unknown path, a method that is not offered, a body that is too
/// large, a request that took too long.
pub(super) async fn told_as_problem(response: Response<Body>) -> Response<Body> {
    let status = response.status();
    let is_error = status.is_client_error() || status.is_server_error();
    let said = response.headers().get(header::CONTENT_TYPE);
    let is_ours = said.is_some_and(|said| said == MEDIA_TYPE || said == "application/json");
    if !is_error || is_ours {
        return response;
    }
    let allow = response.headers().get(header::ALLOW).cloned();
    let text = http_body_util::Limited::new(response.into_body(), LONGEST_TEXT)
        .collect()
        .await
        .map(|body| String::from_utf8_lossy(&body.to_bytes()).into_owned())
        .unwrap_or_default();
    let detail = if text.is_empty() {
        advice(status)
    } else {
        text
    };
    let mut response = Problem::of_status(status, detail).into_response();
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

fn advice(status: StatusCode) -> String {
    match status {
        StatusCode::NOT_FOUND => "there is nothing at this path: /v1/openapi.json tells what there is",
        StatusCode::METHOD_NOT_ALLOWED => "this path does not offer the method: /v1/openapi.json tells what it does",
        StatusCode::REQUEST_TIMEOUT | StatusCode::SERVICE_UNAVAILABLE => {
            "the request took too long: try again, or raise `http.request_timeout` in the service's file"
        }
        StatusCode::INTERNAL_SERVER_ERROR => "a bug in the host: the service's log has more",
        _ => "the request was refused",
    }
    .to_owned()
}

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        let detail = error.to_string();
        match error {
            DeployError::NoStep { .. } => Self::new(
                StatusCode::NOT_FOUND,
                "no-such-step",
                "No such step",
                detail,
            ),
            DeployError::NoDeploy(_) => Self::new(
                StatusCode::NOT_FOUND,
                "no-such-deploy",
                "No such deploy",
                detail,
            ),
            DeployError::Prepare(_) | DeployError::Unfit { .. } => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "component-refused",
                "The component is refused",
                detail,
            ),
            DeployError::Conflict(_) | DeployError::Over => {
                Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
            }
            DeployError::Away => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "log-unavailable",
                "The log is unavailable",
                detail,
            ),
        }
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        let detail = error.to_string();
        match error {
            ServiceError::Unknown(_) => Self::new(
                StatusCode::NOT_FOUND,
                "no-such-pipeline",
                "No such pipeline",
                detail,
            ),
            ServiceError::Conflict(_) => {
                Self::new(StatusCode::CONFLICT, "conflict", "Conflict", detail)
            }
            ServiceError::Invalid(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "invalid-pipeline",
                "The pipeline can't run",
                detail,
            ),
            ServiceError::Unfit(_) => Self::bad_request(detail),
            ServiceError::Registry(error) => error.into(),
            ServiceError::Deploy(error) => error.into(),
            ServiceError::NoDeadLetter { .. } => Self::new(
                StatusCode::NOT_FOUND,
                "no-such-dead-letter",
                "No such dead letter",
                detail,
            ),
            ServiceError::Log(LogError::NoTopic(_)) => Self::new(
                StatusCode::CONFLICT,
                "no-such-topic",
                "No such topic",
                detail,
            ),
            ServiceError::Log(_) => Self::new(
                StatusCode::BAD_GATEWAY,
                "log",
                "The log does not answer as asked",
                detail,
            ),
            ServiceError::Ending => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ending",
                "The service is ending",
                detail,
            ),
            ServiceError::Disk(_) => disk(detail),
        }
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        let detail = error.to_string();
        match error {
            RegistryError::Unknown(_) => Self::new(
                StatusCode::NOT_FOUND,
                "no-such-plugin",
                "No such plugin",
                detail,
            ),
            RegistryError::Digest { .. } => Self::new(
                StatusCode::BAD_REQUEST,
                "digest-differs",
                "What came is not what was announced",
                detail,
            ),
            RegistryError::Refused(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "plugin-refused",
                "The plugin is refused",
                detail,
            ),
            RegistryError::Taken { .. } => Self::new(
                StatusCode::CONFLICT,
                "version-taken",
                "The version is taken",
                detail,
            ),
            RegistryError::NotTrusted(_) => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "plugin-not-trusted",
                "Nobody trusted has signed the plugin",
                detail,
            ),
            RegistryError::Disk(_) => disk(detail),
        }
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        disk(format!("the service's data folder: {error}"))
    }
}

fn disk(detail: String) -> Problem {
    // What failed is the operator's to see; the client can only try again.
    tracing::error!(error = detail, "a request failed");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "disk",
        "The service's disk failed",
        detail,
    )
}
