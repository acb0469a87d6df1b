//! `/health`, `/metrics` and the description of the API.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use super::metrics;
use super::pipelines::aside;
use super::problem::Problem;
use crate::service::Service;

/// How the service is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Health {
    /// `live` or `ready`.
    status: &'static str,
}

/// Is the process alive
#[utoipa::path(
    get,
    path = "/health/live",
    tag = "health",
    security(()),
    responses((status = 200, description = "It answers", body = Health))
)]
pub(super) async fn live() -> Json<Health> {
    Json(Health { status: "live" })
}

/// Has the service started what it was to start
///
/// A pipeline that has failed does not make the service unready: the others run, and it is started again.
#[utoipa::path(
    get,
    path = "/health/ready",
    tag = "health",
    security(()),
    responses(
        (status = 200, description = "It has, and is not about to end", body = Health),
        (status = 503, description = "Not yet, or it ends", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ready(State(service): State<Arc<Service>>) -> Result<Json<Health>, Problem> {
    let is_ready = aside(move || Ok::<_, Problem>(service.is_ready())).await?;
    match is_ready {
        true => Ok(Json(Health { status: "ready" })),
        false => Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "not-ready",
            "Not ready",
            "the service is starting or ending",
        )),
    }
}

/// What pipelines count, for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses(
        (status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn metrics(
    State(service): State<Arc<Service>>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let text = aside(move || {
        metrics::text(&service.pipelines(), service.engine().meters().readings())
            .map_err(|error| std::io::Error::other(error.to_string()))
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, metrics::MEDIA_TYPE)], text))
}
