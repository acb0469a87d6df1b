//! `/v1/pipelines`.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::problem::Problem;
use crate::service::{Desired, PipelineView, Service};

/// All pipelines.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct PipelineList {
    /// By name.
    pub pipelines: Vec<PipelineView>,
}

/// How a pipeline begins.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Beginning {
    /// Do not run it until it is resumed.
    #[serde(default)]
    paused: bool,
}

/// List all pipelines
#[utoipa::path(
    get,
    operation_id = "list_pipelines",
    path = "/v1/pipelines",
    tag = "pipelines",
    responses(
        (status = 200, description = "All pipelines", body = PipelineList),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
) -> Result<Json<PipelineList>, Problem> {
    let pipelines = aside(move || Ok::<_, Problem>(service.pipelines())).await?;
    Ok(Json(PipelineList { pipelines }))
}

/// Create a pipeline
///
/// The body is a pipeline file. It names plugins of the registry as `name@version`; its folders are inside the service's. Its
/// components are admitted and each function is started once before the answer.
#[utoipa::path(
    post,
    operation_id = "create_pipeline",
    path = "/v1/pipelines",
    tag = "pipelines",
    params(Beginning),
    request_body(content = String, description = "A pipeline file", content_type = "application/toml"),
    responses(
        (status = 201, description = "It was created", body = PipelineView),
        (status = 409, description = "There is one of that name", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It can't run", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    State(service): State<Arc<Service>>,
    Query(beginning): Query<Beginning>,
    text: String,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<PipelineView>), Problem> {
    let wanted = match beginning.paused {
        true => Desired::Paused,
        false => Desired::Running,
    };
    let view = aside(move || service.create(&text, wanted)).await?;
    let place = format!("/v1/pipelines/{}", view.name);
    Ok((StatusCode::CREATED, [(header::LOCATION, place)], Json(view)))
}

/// Show a pipeline
#[utoipa::path(
    get,
    operation_id = "show_pipeline",
    path = "/v1/pipelines/{name}",
    tag = "pipelines",
    params(("name" = String, Path, description = "The pipeline's name")),
    responses(
        (status = 200, description = "The pipeline", body = PipelineView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Result<Json<PipelineView>, Problem> {
    Ok(Json(aside(move || service.pipeline(&name)).await?))
}

/// Show a pipeline's file
///
/// As it is written: what it takes from variables is not filled in. Secrets that stand in it are there to be read, so whoever may
/// deploy may see it.
#[utoipa::path(
    get,
    operation_id = "show_pipeline_file",
    path = "/v1/pipelines/{name}/file",
    tag = "pipelines",
    params(("name" = String, Path, description = "The pipeline's name")),
    responses(
        (status = 200, description = "The file", body = String, content_type = "application/toml"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It can't be read", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn file(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], String), Problem> {
    let text = aside(move || service.text(&name)).await?;
    Ok(([(header::CONTENT_TYPE, "application/toml")], text))
}

/// Let a pipeline rest
///
/// Its workers commit what is done and end; the answer does not wait for that: ask until the state is `paused`. It stays paused
/// when the service is started again.
#[utoipa::path(
    post,
    operation_id = "pause_pipeline",
    path = "/v1/pipelines/{name}/pause",
    tag = "pipelines",
    params(("name" = String, Path, description = "The pipeline's name")),
    responses(
        (status = 202, description = "It rests, or is about to", body = PipelineView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn pause(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<PipelineView>), Problem> {
    let view = aside(move || service.pause(&name)).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Let a pipeline run again
///
/// It goes on where it had committed. One that waits after a failure is tried at once.
#[utoipa::path(
    post,
    operation_id = "resume_pipeline",
    path = "/v1/pipelines/{name}/resume",
    tag = "pipelines",
    params(("name" = String, Path, description = "The pipeline's name")),
    responses(
        (status = 202, description = "It runs, or is about to", body = PipelineView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn resume(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Result<(StatusCode, Json<PipelineView>), Problem> {
    let view = aside(move || service.resume(&name)).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Where a pipeline is to begin.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetRequest {
    /// `earliest`, `latest`, a time in RFC 3339, or offsets as `topic/partition=offset` with commas between, one for each partition of
    /// the source.
    #[schema(example = "earliest")]
    pub to: String,
}

/// Let a pipeline begin anew
///
/// Its workers commit what is done and end, its open windows and watermarks are forgotten, where it reads is set, and it runs again
/// if it is wanted to. The answer does not wait for that: the states `stopping`, `resetting` and `starting` follow each other, and
/// `reset` tells what was set.
#[utoipa::path(
    post,
    operation_id = "reset_pipeline",
    path = "/v1/pipelines/{name}/reset",
    tag = "pipelines",
    params(("name" = String, Path, description = "The pipeline's name")),
    request_body(content = ResetRequest, description = "Where it is to begin"),
    responses(
        (status = 202, description = "It is about to be reset", body = PipelineView),
        (status = 400, description = "It can't begin there", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A reset of it goes on, or it has no source topic", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The log does not answer", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn reset(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    Json(request): Json<ResetRequest>,
) -> Result<(StatusCode, Json<PipelineView>), Problem> {
    let view = aside(move || service.reset(&name, &request.to)).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Replace a pipeline's file
///
/// The body is a pipeline file of the same name. It is admitted as one that is created, and refused if the state that is there can't
/// go on with it. The workers commit what is done and end, and those of the new file go on there; the answer does not wait for that.
#[utoipa::path(
    put,
    operation_id = "update_pipeline",
    path = "/v1/pipelines/{name}",
    tag = "pipelines",
    params(("name" = String, Path, description = "The pipeline's name")),
    request_body(content = String, description = "A pipeline file", content_type = "application/toml"),
    responses(
        (status = 202, description = "It is replaced, or about to be", body = PipelineView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The state can't follow, or it is a file of the service's folder", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It can't run", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The log does not answer", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn update(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    text: String,
) -> Result<(StatusCode, Json<PipelineView>), Problem> {
    let view = aside(move || service.update(&name, &text)).await?;
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// Delete a pipeline
///
/// Its workers commit what is done and end. What is in the log stays: topics, offsets and state, so that a pipeline of the same
/// name goes on there.
#[utoipa::path(
    delete,
    operation_id = "delete_pipeline",
    path = "/v1/pipelines/{name}",
    tag = "pipelines",
    params(("name" = String, Path, description = "The pipeline's name")),
    responses(
        (status = 204, description = "It is forgotten"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is a file of the service's folder", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    aside(move || service.delete(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Does on another thread what may wait for a lock, the disk or the compiler.
pub(super) async fn aside<T: Send + 'static, E: Into<Problem> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Into::into),
        Err(error) => Err(Problem::lost(&error)),
    }
}
