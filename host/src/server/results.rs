//! `/v1/pipelines/{name}/results`.

use std::str::FromStr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::pipelines::aside;
use super::problem::Problem;
use crate::service::{ResultsView, Service, WantedResults};
use crate::time::Timestamp;

/// How many are listed unless the request says so, and at most.
const LIMIT: (usize, usize) = (100, 1_000);
/// How many records of the sink are looked at unless the request says so, and at most.
const LOOK_BACK: (i64, i64) = (10_000, 100_000);

/// Which results.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Which {
    /// Those of this key.
    key: Option<String>,
    /// Those of windows that start at or after this, in RFC 3339; of records without windows, by their timestamps.
    #[param(format = DateTime)]
    from: Option<String>,
    /// Those of windows that start before this.
    #[param(format = DateTime)]
    to: Option<String>,
    /// At most so many: 100 unless given, up to 1,000.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
    /// What an earlier answer has as `next`: those that follow.
    page: Option<String>,
    /// What an earlier answer has as `after`: what was written since, as it was written, with what was taken back.
    after: Option<String>,
    /// How many of the last records of the sink are looked at, in all partitions together: 10,000 unless given, up to 100,000.
    #[param(minimum = 1, maximum = 100_000)]
    look_back: Option<i64>,
}

impl Which {
    fn wanted(self) -> Result<WantedResults, String> {
        let limit = self.limit.unwrap_or(LIMIT.0);
        if !(1..=LIMIT.1).contains(&limit) {
            return Err(format!("limit: expected a number from 1 to {}", LIMIT.1));
        }
        let look_back = self.look_back.unwrap_or(LOOK_BACK.0);
        if !(1..=LOOK_BACK.1).contains(&look_back) {
            return Err(format!(
                "look_back: expected a number from 1 to {}",
                LOOK_BACK.1
            ));
        }
        if self.page.is_some() && self.after.is_some() {
            return Err("page, after: expected one of them".to_owned());
        }
        let time = |name: &str, text: Option<String>| {
            let parsed = text.map(|text| text.parse::<jiff::Timestamp>());
            parsed
                .transpose()
                .map(|time| time.map(|time| Timestamp(time.as_millisecond())))
                .map_err(|_| format!("{name}: expected a time such as 2026-01-31T08:00:00Z"))
        };
        Ok(WantedResults {
            key: self.key,
            from: time("from", self.from)?,
            to: time("to", self.to)?,
            limit,
            page: read("page", self.page)?,
            after: read("after", self.after)?,
            look_back,
        })
    }
}

fn read<T: FromStr<Err = &'static str>>(
    name: &str,
    text: Option<String>,
) -> Result<Option<T>, String> {
    let parsed = text.map(|text| text.parse());
    parsed.transpose().map_err(|why| format!("{name}: {why}"))
}

/// List the latest results of a pipeline
///
/// Of each window and key the newest revision, the latest windows first, as they stand in the sink: committed, and without what was taken
/// back. Looks at the last records of the sink only; `complete` says whether those are all.
#[utoipa::path(
    get,
    operation_id = "list_results",
    path = "/v1/pipelines/{name}/results",
    tag = "results",
    params(("name" = String, Path, description = "The pipeline's name"), Which),
    responses(
        (status = 200, description = "Results", body = ResultsView),
        (status = 400, description = "They can't be chosen like that", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "There is no such pipeline", body = Problem, content_type = "application/problem+json"),
        (status = 502, description = "The log can't be read", body = Problem, content_type = "application/problem+json"),
        (status = "default", description = "Anything else", body = Problem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Path(name): Path<String>,
    Query(which): Query<Which>,
) -> Result<Json<ResultsView>, Problem> {
    let wanted = which.wanted().map_err(Problem::bad_request)?;
    Ok(Json(aside(move || service.results(&name, &wanted)).await?))
}
