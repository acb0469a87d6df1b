//! The HTTP API of a service. Tokio is used here and nowhere else; what may block is handed to threads that may.
//!
//! A request goes through these in order: `limits` (how many), a deadline, a net under panics, `access` (who may), the
//! handler: `pipelines`, `deploys`, `dead_letters`, `plugins`, `health` with `metrics`. Whatever goes wrong is told as a [`Problem`].
//! The description at `/v1/openapi.json` is made of the handlers themselves.

mod access;
mod dead_letters;
mod deploys;
mod function_metrics;
mod health;
mod limits;
mod listen;
mod metrics;
mod pipelines;
mod plugins;
mod problem;
mod results;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn_with_state, map_response};
use axum::{Json, Router};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use dead_letters::DeadLetterList;
pub use deploys::{DeployList, Kind, Manner, NewDeploy};
pub use listen::{ListenError, Server};
pub use pipelines::{PipelineList, ResetRequest};
pub use plugins::PluginList;
pub use problem::Problem;

use crate::service::{Role, Service};
use access::{Access, Needs};
use limits::Limits;

/// An upload may take so many times as long as another request.
const UPLOAD: u32 = 10;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Millstream",
        description = "A service that runs event-time pipelines. Errors are problem details (RFC 9457). Tokens have a role: view \
                       may look, deploy may create, update, pause, resume and push, admin may reset and delete."
    ),
    modifiers(&Bearer),
    security(("token" = []))
)]
struct Description;

struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = api.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The routes of the API, by the role that each asks for.
struct Parts {
    open: OpenApiRouter<Arc<Service>>,
    view: OpenApiRouter<Arc<Service>>,
    deploy: OpenApiRouter<Arc<Service>>,
    push: OpenApiRouter<Arc<Service>>,
    admin: OpenApiRouter<Arc<Service>>,
}

fn parts() -> Parts {
    Parts {
        open: OpenApiRouter::with_openapi(Description::openapi())
            .routes(routes!(health::live))
            .routes(routes!(health::ready)),
        view: OpenApiRouter::new()
            .routes(routes!(health::metrics))
            .routes(routes!(pipelines::list))
            .routes(routes!(pipelines::show))
            .routes(routes!(dead_letters::list))
            .routes(routes!(dead_letters::show))
            .routes(routes!(deploys::list))
            .routes(routes!(deploys::show))
            .routes(routes!(deploys::watch))
            .routes(routes!(results::list))
            .routes(routes!(plugins::list))
            .routes(routes!(plugins::show)),
        deploy: OpenApiRouter::new()
            .routes(routes!(pipelines::create))
            .routes(routes!(pipelines::update))
            .routes(routes!(pipelines::file))
            .routes(routes!(pipelines::pause))
            .routes(routes!(pipelines::resume))
            .routes(routes!(dead_letters::replay))
            .routes(routes!(plugins::fetch)),
        push: OpenApiRouter::new()
            .routes(routes!(plugins::push))
            .routes(routes!(deploys::deploy_component))
            .routes(routes!(deploys::deploy))
            .routes(routes!(deploys::roll_back))
            .routes(routes!(deploys::promote))
            .routes(routes!(deploys::abort)),
        admin: OpenApiRouter::new()
            .routes(routes!(pipelines::delete))
            .routes(routes!(pipelines::reset))
            .routes(routes!(plugins::delete)),
    }
}

/// All of the API.
fn router(service: Arc<Service>) -> Router {
    let config = &service.config().http;
    let access = Arc::new(Access::new(config));
    let needs = |role| {
        let access = Arc::clone(&access);
        from_fn_with_state(Needs { access, role }, access::require)
    };
    let within =
        |most: Duration| TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, most);
    let parts = parts();
    let timeout = config.request_timeout;
    let asked = OpenApiRouter::new()
        .merge(parts.view.route_layer(needs(Role::View)))
        .merge(parts.deploy.route_layer(needs(Role::Deploy)))
        .merge(parts.admin.route_layer(needs(Role::Admin)))
        .route_layer(within(timeout));
    let sent = parts
        .push
        .route_layer(needs(Role::Deploy))
        .route_layer(within(timeout.saturating_mul(UPLOAD)));
    let (router, api) = parts.open.merge(asked).merge(sent).split_for_parts();
    let api = Arc::new(api);
    let limits = Limits::new(config.requests_per_second);
    router
        .route(
            "/v1/openapi.json",
            axum::routing::get(move || async move { Json((*api).clone()) }),
        )
        .layer(DefaultBodyLimit::max(config.body_limit))
        .layer(CatchPanicLayer::new())
        .layer(from_fn_with_state(limits, limits::within))
        .layer(map_response(problem::told_as_problem))
        .with_state(service)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_names_every_path_and_how_it_fails() {
        let Parts {
            open,
            view,
            deploy,
            push,
            admin,
        } = parts();
        let all = open.merge(view).merge(deploy).merge(push).merge(admin);
        let api = serde_json::to_value(all.into_openapi()).expect("it is JSON");
        assert_eq!(api["openapi"], "3.1.0");
        let paths = api["paths"].as_object().expect("paths");
        let known: Vec<&str> = paths.keys().map(String::as_str).collect();
        for path in [
            "/health/live",
            "/health/ready",
            "/metrics",
            "/v1/pipelines",
            "/v1/pipelines/{name}",
            "/v1/pipelines/{name}/pause",
            "/v1/pipelines/{name}/resume",
            "/v1/pipelines/{name}/reset",
            "/v1/pipelines/{name}/file",
            "/v1/pipelines/{name}/results",
            "/v1/pipelines/{name}/dead-letters/replay",
            "/v1/pipelines/{name}/dead-letters",
            "/v1/pipelines/{name}/dead-letters/{partition}/{offset}",
            "/v1/plugins",
            "/v1/plugins/{reference}",
            "/v1/plugins/{reference}/component",
        ] {
            assert!(known.contains(&path), "{path}: {known:?}");
        }
        let mut ids = std::collections::BTreeSet::new();
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("methods") {
                let id = operation["operationId"].as_str().expect("an id");
                assert!(ids.insert(id), "{id} is there twice");
                let responses = &operation["responses"];
                let fails = responses.get("default").or(responses.get("503"));
                assert!(fails.is_some() || path == "/health/live", "{method} {path}");
                assert!(operation["summary"].is_string(), "{method} {path}");
            }
        }
        assert_eq!(ids.len(), 29, "{ids:?}");
        assert!(api["components"]["schemas"]["Problem"].is_object());
    }
}
