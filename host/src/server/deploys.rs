//! `/v1/pipelines/NAME/deploys`, and a step's component.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Sse;
use axum::response::sse::{Event, KeepAlive};
use axum::{Extension, Json};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::access::CallerName;
use super::pipelines::aside;
use super::plugins::{ComponentBytes, receive};
use super::problem::Problem;
use crate::control::{Control, DeployView, Strategy, TrialSpec};
use crate::service::{Component, DeployAsked, Service, digest_of_hex};
use crate::worker::TrialLimits;

/// All deploys of a pipeline.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct DeployList {
    /// The latest first.
    pub deploys: Vec<DeployView>,
}

/// How a deploy is to go.
#[derive(Clone, Debug, Default, Deserialize, Serialize, IntoParams, ToSchema)]
#[into_params(parameter_in = Query)]
pub struct Manner {
    /// `immediate`, `canary` or `shadow`.
    #[serde(default)]
    pub strategy: Kind,
    /// A canary's share of the partitions, from 1 to 99.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// After so many seconds a canary is promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// After so many rows a canary is promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// After so many equal windows in a row a shadow is promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<u64>,
    /// For how many seconds the version is watched once it is in place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch_seconds: Option<u64>,
    /// How much larger the share of rows in error may be than before: 0.01 is one row in a hundred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_errors: Option<f64>,
    /// How many times as long a row may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slower: Option<f64>,
    /// At how many rows it may trap or exceed its limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
}

/// How a component takes another's place.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// At the next commit.
    #[default]
    Immediate,
    /// In some partitions first.
    Canary,
    /// Beside the one that runs; only compared.
    Shadow,
}

impl Manner {
    fn strategy(&self) -> Result<Strategy, Problem> {
        let only = |what: &str, is_set: bool, of: Kind| {
            if is_set && self.strategy != of {
                let text = format!("{what}: the strategy does not have it");
                return Err(Problem::bad_request(text));
            }
            Ok(())
        };
        only("percent", self.percent.is_some(), Kind::Canary)?;
        only("seconds", self.seconds.is_some(), Kind::Canary)?;
        only("rows", self.rows.is_some(), Kind::Canary)?;
        only("windows", self.windows.is_some(), Kind::Shadow)?;
        Ok(match self.strategy {
            Kind::Immediate => Strategy::Immediate,
            Kind::Canary => Strategy::Canary {
                percent: self
                    .percent
                    .ok_or_else(|| Problem::bad_request("percent: a canary needs its share"))?,
                seconds: self.seconds,
                rows: self.rows,
            },
            Kind::Shadow => Strategy::Shadow {
                windows: self.windows,
            },
        })
    }

    fn trial(&self) -> TrialSpec {
        let usual = TrialSpec::default();
        TrialSpec {
            seconds: self.watch_seconds.unwrap_or(usual.seconds),
            limits: TrialLimits {
                more_errors: self.more_errors.unwrap_or(usual.limits.more_errors),
                slower: self.slower.unwrap_or(usual.limits.slower),
                failures: self.failures.unwrap_or(usual.limits.failures),
                ..usual.limits
            },
        }
    }
}

/// A deploy of a plugin of the registry.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct NewDeploy {
    /// The step whose function is to be another.
    pub step: String,
    /// The plugin, as name@version.
    pub plugin: String,
    /// How.
    #[serde(flatten)]
    pub manner: Manner,
}

/// List the deploys of a pipeline
#[utoipa::path(
    get,
    operation_id = "list_deploys",
    path = "/v1/pipelines/{name}/deploys",
    tag = "deploys",
    params(("name" = String, Path, description = "The pipeline's name")),
    responses(
        (status = 200, description = "Its deploys", body = DeployList),
        (status = 404, description = "There is no such pipeline", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It does not run", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
) -> Result<Json<DeployList>, Problem> {
    let deploys = aside(move || service.control(&name).map(|control| control.deploys())).await?;
    Ok(Json(DeployList { deploys }))
}

/// Deploy a plugin
///
/// The plugin is one of the registry. It is compared with what runs, and takes its place at a commit: each row goes through one version.
#[utoipa::path(
    post,
    operation_id = "deploy_plugin",
    path = "/v1/pipelines/{name}/deploys",
    tag = "deploys",
    params(("name" = String, Path, description = "The pipeline's name")),
    request_body = NewDeploy,
    responses(
        (status = 201, description = "It is ordered among the others", body = DeployView),
        (status = 404, description = "There is no such pipeline or plugin", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another deploy is under way, or the pipeline does not run", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The component can't take the place", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn deploy(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    Extension(CallerName(by)): Extension<CallerName>,
    Json(new): Json<NewDeploy>,
) -> Result<(StatusCode, Json<DeployView>), Problem> {
    let plugin = super::plugins::read(&new.plugin)?;
    let asked = DeployAsked {
        step: new.step,
        component: Component::Plugin(plugin),
        strategy: new.manner.strategy()?,
        trial: new.manner.trial(),
        by,
    };
    let view = aside(move || service.deploy(&name, asked)).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Deploy a component
///
/// The body is the component. It travels with the deploy to every host of the service, and is not kept in the registry.
#[utoipa::path(
    post,
    operation_id = "deploy_component",
    path = "/v1/pipelines/{name}/steps/{step}/component",
    tag = "deploys",
    params(
        ("name" = String, Path, description = "The pipeline's name"),
        ("step" = String, Path, description = "The step"),
        ("sha256" = String, Query, description = "SHA-256 of the component, in 64 hexadecimal digits: what comes is compared with it"),
        Manner
    ),
    request_body(content = ComponentBytes, description = "A component", content_type = "application/wasm"),
    responses(
        (status = 201, description = "It is ordered among the others", body = DeployView),
        (status = 404, description = "There is no such pipeline", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another deploy is under way, or the pipeline does not run", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "It is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "The component can't take the place", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn deploy_component(
    State(service): State<Arc<Service>>,
    Path((name, step)): Path<(String, String)>,
    Query(sha256): Query<Digest>,
    Query(manner): Query<Manner>,
    Extension(CallerName(by)): Extension<CallerName>,
    body: Body,
) -> Result<(StatusCode, Json<DeployView>), Problem> {
    if digest_of_hex(&sha256.sha256).is_none() {
        return Err(Problem::bad_request(
            "sha256: expected the SHA-256 of the component in 64 hexadecimal digits",
        ));
    }
    let (strategy, trial) = (manner.strategy()?, manner.trial());
    let (upload, came) = receive(&service, body).await?;
    if !came.eq_ignore_ascii_case(&sha256.sha256) {
        return Err(Problem::bad_request(format!(
            "the component that came has the sha256 {came}, and {} was announced: send it again",
            sha256.sha256
        )));
    }
    let view = aside(move || {
        let asked = DeployAsked {
            step,
            component: Component::Bytes(std::fs::read(upload.path())?),
            strategy,
            trial,
            by,
        };
        service.deploy(&name, asked)
    })
    .await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// The digest that is announced.
#[derive(Debug, Deserialize)]
pub(super) struct Digest {
    sha256: String,
}

/// Roll a step back
///
/// Puts back what the step had before the last deploy: as a deploy like any other.
#[utoipa::path(
    post,
    operation_id = "roll_back_step",
    path = "/v1/pipelines/{name}/steps/{step}/rollback",
    tag = "deploys",
    params(
        ("name" = String, Path, description = "The pipeline's name"),
        ("step" = String, Path, description = "The step")
    ),
    responses(
        (status = 201, description = "It is ordered among the other deploys", body = DeployView),
        (status = 404, description = "There is no such pipeline", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "There is nothing to go back to, or the pipeline does not run", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn roll_back(
    State(service): State<Arc<Service>>,
    Path((name, step)): Path<(String, String)>,
    Extension(CallerName(by)): Extension<CallerName>,
) -> Result<(StatusCode, Json<DeployView>), Problem> {
    let view = aside(move || service.roll_back(&name, &step, &by)).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

/// Show a deploy
#[utoipa::path(
    get,
    operation_id = "show_deploy",
    path = "/v1/pipelines/{name}/deploys/{id}",
    tag = "deploys",
    params(
        ("name" = String, Path, description = "The pipeline's name"),
        ("id" = u64, Path, description = "The deploy's number")
    ),
    responses(
        (status = 200, description = "The deploy", body = DeployView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Path((name, id)): Path<(String, u64)>,
) -> Result<Json<DeployView>, Problem> {
    Ok(Json(aside(move || view(&service, &name, id)).await?))
}

/// Watch a deploy
///
/// Server-sent events: the deploy as it is now, and again whenever something has become of it, until nothing more can.
#[utoipa::path(
    get,
    operation_id = "watch_deploy",
    path = "/v1/pipelines/{name}/deploys/{id}/events",
    tag = "deploys",
    params(
        ("name" = String, Path, description = "The pipeline's name"),
        ("id" = u64, Path, description = "The deploy's number")
    ),
    responses(
        (status = 200, description = "Events, each with a deploy as JSON", body = String, content_type = "text/event-stream"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn watch(
    State(service): State<Arc<Service>>,
    Path((name, id)): Path<(String, u64)>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let control = aside(move || {
        let control = service.control(&name)?;
        control.deploy_of(id)?;
        Ok::<_, crate::service::ServiceError>(control)
    })
    .await?;
    Ok(Sse::new(events(control, id)).keep_alive(KeepAlive::default()))
}

fn events(control: Arc<Control>, id: u64) -> impl Stream<Item = Result<Event, Infallible>> {
    let changes = control.changes();
    let begin = (control, changes, None::<DeployView>);
    unfold(begin, move |(control, mut changes, last)| async move {
        if last.as_ref().is_some_and(|view| view.outcome.is_over()) {
            return None;
        }
        loop {
            changes.borrow_and_update();
            let now = control.deploy_of(id).ok()?;
            if last.as_ref().is_none_or(|last| last.outcome != now.outcome) {
                let event = Event::default().event("deploy").json_data(&now).ok()?;
                return Some((Ok(event), (control, changes, Some(now))));
            }
            changes.changed().await.ok()?;
        }
    })
}

/// Promote a deploy
///
/// A canary or shadow takes the place.
#[utoipa::path(
    post,
    operation_id = "promote_deploy",
    path = "/v1/pipelines/{name}/deploys/{id}/promote",
    tag = "deploys",
    params(
        ("name" = String, Path, description = "The pipeline's name"),
        ("id" = u64, Path, description = "The deploy's number")
    ),
    responses(
        (status = 200, description = "The deploy", body = DeployView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn promote(
    State(service): State<Arc<Service>>,
    Path((name, id)): Path<(String, u64)>,
) -> Result<Json<DeployView>, Problem> {
    let promoted = aside(move || Ok::<_, Problem>(service.control(&name)?.promote(id)?)).await?;
    Ok(Json(promoted))
}

/// Take a deploy back
///
/// One that is under way or on trial; what it has done stays done.
#[utoipa::path(
    post,
    operation_id = "abort_deploy",
    path = "/v1/pipelines/{name}/deploys/{id}/abort",
    tag = "deploys",
    params(
        ("name" = String, Path, description = "The pipeline's name"),
        ("id" = u64, Path, description = "The deploy's number")
    ),
    responses(
        (status = 200, description = "The deploy", body = DeployView),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "It is over", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn abort(
    State(service): State<Arc<Service>>,
    Path((name, id)): Path<(String, u64)>,
    Extension(CallerName(by)): Extension<CallerName>,
) -> Result<Json<DeployView>, Problem> {
    let taken_back =
        aside(move || Ok::<_, Problem>(service.control(&name)?.abort(id, &by)?)).await?;
    Ok(Json(taken_back))
}

fn view(service: &Service, name: &str, id: u64) -> Result<DeployView, Problem> {
    Ok(service.control(name)?.deploy_of(id)?)
}
