//! `/v1/pipelines/{name}/dead-letters`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::pipelines::aside;
use super::problem::Problem;
use crate::log::Offset;
use crate::service::{DeadLetter, ReplayRequest, ReplayView, Service};

/// How many are listed unless the request says so.
const DEFAULT: usize = 50;
/// How many are listed at most.
const MOST: usize = 1_000;

/// Dead letters of a pipeline.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct DeadLetterList {
    /// The latest first.
    pub dead_letters: Vec<DeadLetter>,
}

/// How many are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HowMany {
    /// At most so many: 50 unless given, up to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

/// List the latest dead letters of a pipeline
///
/// The latest first, of the last records of each partition, without their values.
#[utoipa::path(
    get,
    operation_id = "list_dead_letters",
    path = "/v1/pipelines/{name}/dead-letters",
    tag = "dead letters",
    params(("name" = String, Path, description = "The pipeline's name"), HowMany),
    responses(
        (status = 200, description = "Dead letters", body = DeadLetterList),
        (status = 404, description = "There is no such pipeline", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The log can't be read", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    Query(many): Query<HowMany>,
) -> Result<Json<DeadLetterList>, Problem> {
    let most = many.limit.unwrap_or(DEFAULT);
    if !(1..=MOST).contains(&most) {
        return Err(Problem::bad_request(format!(
            "limit: expected a number from 1 to {MOST}"
        )));
    }
    let dead_letters = aside(move || service.dead_letters(&name, most)).await?;
    Ok(Json(DeadLetterList { dead_letters }))
}

/// Show a dead letter
///
/// With its value, as the source had it.
#[utoipa::path(
    get,
    operation_id = "show_dead_letter",
    path = "/v1/pipelines/{name}/dead-letters/{partition}/{offset}",
    tag = "dead letters",
    params(
        ("name" = String, Path, description = "The pipeline's name"),
        ("partition" = i32, Path, description = "The partition of the dead-letter topic"),
        ("offset" = i64, Path, description = "The offset there"),
    ),
    responses(
        (status = 200, description = "The dead letter", body = DeadLetter),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The log can't be read", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Path((name, partition, offset)): Path<(String, i32, i64)>,
) -> Result<Json<DeadLetter>, Problem> {
    let show = move || service.dead_letter(&name, partition, Offset(offset));
    Ok(Json(aside(show).await?))
}

/// Put dead letters back
///
/// The raw records go into the partitions of the source that they came from, with their keys and times and a header
/// `millstream.replay_of`; the pipeline reads them like any others. Each is put back once, however often it is asked. The request ends
/// after some seconds: where there are more, the answer has `next`.
#[utoipa::path(
    post,
    operation_id = "replay_dead_letters",
    path = "/v1/pipelines/{name}/dead-letters/replay",
    tag = "dead letters",
    params(("name" = String, Path, description = "The pipeline's name")),
    request_body(content = ReplayRequest, description = "Which"),
    responses(
        (status = 200, description = "What was put back", body = ReplayView),
        (status = 400, description = "It does not say which", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such pipeline or dead letter", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another replay was begun meanwhile", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The log does not answer", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn replay(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    Json(request): Json<ReplayRequest>,
) -> Result<Json<ReplayView>, Problem> {
    Ok(Json(aside(move || service.replay(&name, &request)).await?))
}
