//! `/v1/plugins`.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use http_body_util::BodyExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use tokio::io::AsyncWriteExt as _;
use utoipa::{IntoParams, ToSchema};

use super::pipelines::aside;
use super::problem::Problem;
use crate::plugin::Reference;
use crate::registry::{PluginInfo, Signature};
use crate::service::Service;

/// All plugins.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
pub struct PluginList {
    /// By name and version.
    pub plugins: Vec<PluginInfo>,
}

/// A component, byte for byte.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(
    dead_code,
    reason = "it describes a body that is never in memory as a whole"
)]
pub(super) struct ComponentBytes(Vec<u8>);

/// What is announced of an upload.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Announced {
    /// SHA-256 of the component, in 64 hexadecimal digits: what comes is compared with it.
    sha256: String,
    /// Its signature in 128 hexadecimal digits, as `millstream plugin sign` makes it.
    signature: Option<String>,
}

/// List all plugins
#[utoipa::path(
    get,
    operation_id = "list_plugins",
    path = "/v1/plugins",
    tag = "plugins",
    responses(
        (status = 200, description = "All plugins", body = PluginList),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(service): State<Arc<Service>>) -> Result<Json<PluginList>, Problem> {
    let plugins = aside(move || Ok::<_, Problem>(service.registry().list())).await?;
    Ok(Json(PluginList { plugins }))
}

/// Push a plugin
///
/// The body is a component. It is admitted as in a pipeline, and is known from then on by the name and version that it gives
/// itself. The same component again changes nothing; another one of the same name and version is refused.
#[utoipa::path(
    post,
    operation_id = "push_plugin",
    path = "/v1/plugins",
    tag = "plugins",
    params(Announced),
    request_body(content = ComponentBytes, description = "A component", content_type = "application/wasm"),
    responses(
        (status = 200, description = "It was there already", body = PluginInfo),
        (status = 201, description = "It is new", body = PluginInfo),
        (status = 400, description = "The digest differs", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "Another component has the version", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "It is too large", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It is refused", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn push(
    State(service): State<Arc<Service>>,
    Query(announced): Query<Announced>,
    body: Body,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<PluginInfo>), Problem> {
    if crate::service::digest_of_hex(&announced.sha256).is_none() {
        return Err(Problem::bad_request(
            "sha256: expected the SHA-256 of the component in 64 hexadecimal digits",
        ));
    }
    let signature = match announced.signature.as_deref().map(Signature::from_text) {
        None => None,
        Some(Some(signature)) => Some(signature),
        Some(None) => {
            return Err(Problem::bad_request(
                "signature: expected 128 hexadecimal digits, as `millstream plugin sign` makes them",
            ));
        }
    };
    let (upload, came) = receive(&service, body).await?;
    let (info, is_new) = aside(move || {
        let (registry, engine) = (service.registry(), service.engine());
        registry.push(engine, upload, &announced.sha256, &came, signature)
    })
    .await?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    tracing::info!(
        plugin = info.reference,
        sha256 = info.sha256,
        is_new,
        "pushed"
    );
    let place = format!("/v1/plugins/{}", info.reference);
    Ok((status, [(header::LOCATION, place)], Json(info)))
}

/// Puts a body on the disk as it comes, and returns its digest. The file goes away by itself unless the registry keeps it.
pub(super) async fn receive(
    service: &Service,
    mut body: Body,
) -> Result<(NamedTempFile, String), Problem> {
    let most = service.config().http.plugin_limit;
    let folder = service.registry().incoming();
    let upload = aside(move || NamedTempFile::new_in(folder)).await?;
    let mut file = tokio::fs::File::from_std(upload.reopen()?);
    let (mut hash, mut size) = (Sha256::new(), 0_u64);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Problem::bad_request(format!(
                "the component broke off after {size} bytes: {error}"
            ))
        })?;
        let Ok(bytes) = frame.into_data() else {
            continue;
        };
        size += bytes.len() as u64;
        if size > most {
            discard(body, most).await;
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "plugin-too-large",
                "The plugin is too large",
                format!(
                    "a plugin has at most {most} bytes here: `http.plugin_limit` in the service's file says so"
                ),
            ));
        }
        hash.update(&bytes);
        file.write_all(&bytes).await?;
    }
    file.flush().await?;
    Ok((upload, crate::format::hex(&hash.finalize())))
}

/// Reads up to `most` bytes that nobody wants: a client that is still sending reads no answer.
async fn discard(mut body: Body, most: u64) {
    let mut left = most;
    while let Some(Ok(frame)) = body.frame().await {
        let read = frame.data_ref().map_or(0, |bytes| bytes.len() as u64);
        match left.checked_sub(read) {
            Some(less) => left = less,
            None => return,
        }
    }
}

/// Show a plugin
#[utoipa::path(
    get,
    operation_id = "show_plugin",
    path = "/v1/plugins/{reference}",
    tag = "plugins",
    params(("reference" = String, Path, description = "The plugin, as name@version")),
    responses(
        (status = 200, description = "The plugin", body = PluginInfo),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(
    State(service): State<Arc<Service>>,
    Path(reference): Path<String>,
) -> Result<Json<PluginInfo>, Problem> {
    let reference = read(&reference)?;
    Ok(Json(
        aside(move || service.registry().get(&reference)).await?,
    ))
}

/// Fetch a plugin's component
///
/// Byte for byte as it was pushed.
#[utoipa::path(
    get,
    operation_id = "fetch_plugin",
    path = "/v1/plugins/{reference}/component",
    tag = "plugins",
    params(("reference" = String, Path, description = "The plugin, as name@version")),
    responses(
        (status = 200, description = "The component", body = ComponentBytes, content_type = "application/wasm"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn fetch(
    State(service): State<Arc<Service>>,
    Path(reference): Path<String>,
) -> Result<([(HeaderName, &'static str); 1], Vec<u8>), Problem> {
    let reference = read(&reference)?;
    let bytes = aside(move || {
        let (file, _) = service.registry().resolve(&reference)?;
        Ok::<_, Problem>(std::fs::read(file)?)
    })
    .await?;
    Ok(([(header::CONTENT_TYPE, "application/wasm")], bytes))
}

/// Delete a plugin
///
/// Refused while a pipeline names it.
#[utoipa::path(
    delete,
    operation_id = "delete_plugin",
    path = "/v1/plugins/{reference}",
    tag = "plugins",
    params(("reference" = String, Path, description = "The plugin, as name@version")),
    responses(
        (status = 204, description = "It is gone"),
        (status = 404, description = "There is none", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "A pipeline names it", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(service): State<Arc<Service>>,
    Path(reference): Path<String>,
) -> Result<StatusCode, Problem> {
    let reference = read(&reference)?;
    aside(move || service.delete_plugin(&reference)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) fn read(reference: &str) -> Result<Reference, Problem> {
    let read = reference.parse();
    read.map_err(|error| Problem::bad_request(format!("{reference:?} names no plugin: {error}")))
}
