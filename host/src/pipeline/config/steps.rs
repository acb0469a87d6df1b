//! The rules for steps: one function each, the keys that go with its kind, and at most one window, at the end.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;

use serde_json::{Map, Number, Value};
use toml::Spanned;

use super::defaults;
use super::error::Finding;
use super::model::{
    FunctionConfig, FunctionSettings, Limits, OnError, OnExhausted, RowStep, RowStepKind,
    WindowStepKind,
};
use super::tables::{At, LimitsTable, StepTable};
use super::windows::{self, Windowed};
use super::written::{Count, FieldPath, FromText, StepName};
use crate::plugin::Reference;

/// The step with the window, before it is known where late rows go.
pub(super) struct WindowedFunction {
    /// Where the file names its component.
    pub(super) at: Range<usize>,
    pub(super) kind: WindowStepKind,
    pub(super) function: FunctionConfig,
    pub(super) key: Option<String>,
    pub(super) windows: Windowed,
}

/// A step of either sort.
enum Step {
    Row(RowStep),
    Windowed(WindowedFunction),
}

/// Which key names the component.
#[derive(Clone, Copy)]
enum Kind {
    Filter,
    Map,
    Window(WindowStepKind),
}

/// The row steps in order, and the step with the window that follows them, if there is one.
pub(super) fn steps(
    tables: Vec<Spanned<StepTable>>,
    findings: &mut Vec<Finding>,
) -> Option<(Vec<RowStep>, Option<WindowedFunction>)> {
    let mut names = BTreeSet::new();
    let mut rows = Vec::new();
    let mut windowed = None;
    let mut all_good = true;
    for table in tables {
        // Taken, so that one misplaced step is reported once however many follow it.
        if windowed.take().is_some() {
            findings.push(
                Finding::new(table.span(), "no step can follow the one with the window")
                    .hint("put the results on a topic, and read it with a pipeline of its own"),
            );
            all_good = false;
        }
        match step(table, &mut names, findings) {
            Some(Step::Row(step)) => rows.push(step),
            Some(Step::Windowed(step)) => windowed = Some(step),
            None => all_good = false,
        }
    }
    all_good.then_some((rows, windowed))
}

fn step(
    table: Spanned<StepTable>,
    names: &mut BTreeSet<String>,
    findings: &mut Vec<Finding>,
) -> Option<Step> {
    const KINDS: &str = "`filter`, `map`, `aggregate`, `window_apply`";
    let span = table.span();
    let mut table = table.into_inner();
    let mut components = [
        (Kind::Filter, table.filter.take()),
        (Kind::Map, table.map.take()),
        (
            Kind::Window(WindowStepKind::Aggregate),
            table.aggregate.take(),
        ),
        (
            Kind::Window(WindowStepKind::WindowApply),
            table.window_apply.take(),
        ),
    ]
    .into_iter()
    .filter_map(|(kind, component)| component.map(|component| (kind, component)));
    let Some((kind, component)) = components.next() else {
        findings.push(
            Finding::new(span, "a step needs a component").hint(format!("write one of {KINDS}")),
        );
        return None;
    };
    if let Some((_, second)) = components.next() {
        let message = format!("a step has one component only: one of {KINDS}");
        findings.push(Finding::new(second.span(), message));
    }

    let name = name(table.name.take(), &component, names, findings);
    let settings = settings(table.config.take(), findings);
    if !matches!(kind, Kind::Window(_)) {
        let windows_only = "only a step of kind `aggregate` or `window_apply` has it";
        refuse(table.key.as_ref(), windows_only, findings);
        refuse(table.window.as_ref(), windows_only, findings);
        refuse(table.allowed_lateness.as_ref(), windows_only, findings);
        refuse(table.updates.as_ref(), windows_only, findings);
        refuse(table.emit_every.as_ref(), windows_only, findings);
        refuse(table.emit_on_update.as_ref(), windows_only, findings);
    }
    if !matches!(kind, Kind::Map) {
        refuse(
            table.keep.as_ref(),
            "only a step of kind `map` has it",
            findings,
        );
    }

    let at = component.span();
    let function = FunctionConfig {
        name: name?,
        component: component.into_inner().0,
        settings: settings?,
        limits: limits(&table.limits),
        on_error: table
            .on_error
            .take()
            .map_or(defaults::ON_ERROR, |on_error| on_error.into_inner().0),
        on_exhausted: table
            .on_exhausted
            .take()
            .map_or(defaults::ON_EXHAUSTED, |then| then.into_inner().0),
    };
    match kind {
        Kind::Filter => Some(Step::Row(RowStep {
            kind: RowStepKind::Filter,
            function,
        })),
        Kind::Map => Some(Step::Row(RowStep {
            kind: RowStepKind::Map {
                keep: keep(table.keep, findings),
            },
            function,
        })),
        Kind::Window(kind) => {
            let Some(window) = table.window.take() else {
                findings.push(
                    Finding::new(span, "missing key `window`")
                        .hint("write, for example, `window = { tumbling = \"1m\" }`"),
                );
                return None;
            };
            Some(Step::Windowed(WindowedFunction {
                at,
                kind,
                function,
                windows: windows::windowed(&mut table, window, findings)?,
                key: table.key.map(|key| key.into_inner().0.0),
            }))
        }
    }
}

/// Reports a key that does not go with the step's kind.
fn refuse<T>(value: Option<&Spanned<T>>, why: &str, findings: &mut Vec<Finding>) {
    findings.extend(value.map(|value| Finding::new(value.span(), why)));
}

/// The name given, or the stem of the component's file, or the name of the plugin in the registry.
fn name(
    given: Option<At<StepName>>,
    component: &At<PathBuf>,
    names: &mut BTreeSet<String>,
    findings: &mut Vec<Finding>,
) -> Option<String> {
    let (name, span) = match given {
        Some(name) => {
            let span = name.span();
            (name.into_inner().0.0, span)
        }
        None => {
            let file = &component.get_ref().0;
            // A plugin of a service's registry is not a file: its name is the step's.
            let stem = match Reference::of_component(file) {
                Some(reference) => Some(reference.name().to_owned()),
                None => file.file_stem().and_then(|s| s.to_str()).map(str::to_owned),
            };
            let Some(StepName(name)) = stem.as_deref().and_then(StepName::from_text) else {
                findings.push(
                    Finding::new(
                        component.span(),
                        format!(
                            "the file's name can't be the step's: expected {}",
                            StepName::EXPECTED
                        ),
                    )
                    .hint("give the step a `name`"),
                );
                return None;
            };
            (name, component.span())
        }
    };
    if names.insert(name.clone()) {
        Some(name)
    } else {
        findings.push(
            Finding::new(span, "an earlier step has the same name").hint(
                "give each its own `name`; it is the file's name without the ending otherwise",
            ),
        );
        None
    }
}

fn limits(table: &LimitsTable) -> Limits {
    let defaults = defaults::LIMITS;
    let count = |written: &Option<Count>, default| written.as_ref().map_or(default, Count::get);
    Limits {
        memory: table.memory.as_ref().map_or(defaults.memory, |m| m.0.0),
        call: table.call.as_ref().map_or(defaults.call, |call| call.0.0),
        failures_per_minute: table
            .failures_per_minute
            .unwrap_or(defaults.failures_per_minute),
        table_entries: count(&table.table_entries, defaults.table_entries),
        core_instances: count(&table.core_instances, defaults.core_instances),
        host_calls: count(&table.host_calls, defaults.host_calls),
        log_messages_per_second: count(
            &table.log_messages_per_second,
            defaults.log_messages_per_second,
        ),
        log_bytes_per_second: table
            .log_bytes_per_second
            .as_ref()
            .map_or(defaults.log_bytes_per_second, |bytes| bytes.0.0),
        output_rows: count(&table.output_rows, defaults.output_rows),
        output_bytes: table
            .output_bytes
            .as_ref()
            .map_or(defaults.output_bytes, |bytes| bytes.0),
    }
}

impl FromText for OnError {
    const EXPECTED: &'static str = r#""dead-letter", "skip" or "fail""#;

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "dead-letter" => Some(OnError::DeadLetter),
            "skip" => Some(OnError::Skip),
            "fail" => Some(OnError::Fail),
            _ => None,
        }
    }
}

impl FromText for OnExhausted {
    const EXPECTED: &'static str = r#""stop" or "previous""#;

    fn from_text(text: &str) -> Option<Self> {
        match text {
            "stop" => Some(OnExhausted::Stop),
            "previous" => Some(OnExhausted::Previous),
            _ => None,
        }
    }
}

fn keep(fields: Option<Spanned<Vec<At<FieldPath>>>>, findings: &mut Vec<Finding>) -> Vec<String> {
    let mut kept = Vec::new();
    for field in fields.into_iter().flat_map(Spanned::into_inner) {
        let span = field.span();
        let path = field.into_inner().0.0;
        if kept.contains(&path) {
            findings.push(Finding::new(span, "this field is listed already"));
        } else {
            kept.push(path);
        }
    }
    kept
}

/// The `config` table as JSON.
fn settings(
    table: Option<Spanned<toml::Table>>,
    findings: &mut Vec<Finding>,
) -> Option<FunctionSettings> {
    let Some(table) = table else {
        return Some(FunctionSettings::default());
    };
    let span = table.span();
    let object = json_object(table.into_inner());
    if object.is_none() {
        findings.push(Finding::new(
            span,
            "it is handed over as JSON, which has no infinite numbers and no `nan`",
        ));
    }
    object.map(FunctionSettings)
}

fn json_object(table: toml::Table) -> Option<Map<String, Value>> {
    table
        .into_iter()
        .map(|(key, value)| Some((key, json(value)?)))
        .collect()
}

/// A value as JSON, where JSON has one: dates and times become text, numbers that are none have no place.
fn json(value: toml::Value) -> Option<Value> {
    Some(match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => Value::Number(Number::from_f64(number)?),
        toml::Value::Boolean(flag) => Value::Bool(flag),
        toml::Value::Datetime(instant) => Value::String(instant.to_string()),
        toml::Value::Array(items) => {
            Value::Array(items.into_iter().map(json).collect::<Option<_>>()?)
        }
        toml::Value::Table(table) => Value::Object(json_object(table)?),
    })
}
