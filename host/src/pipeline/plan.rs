//! The plan of a pipeline: which fields are decoded, and which columns each step gets. Pure: from what the pipeline file
//! says and what the functions declare, to column numbers.
//!
//! Columns change only at a map. The rows between two maps (or before the first, or after the last) are a *scope*. Each
//! scope's columns are what its steps want: in the first scope the decoder delivers them, in a later one they are the map's
//! fields and, beside them, the fields of the scope before that the map keeps.

use super::config::{Output, PipelineConfig, RowStepKind, Updates, Window};
use crate::decode::Format;
use crate::rows::{Field, FieldType};

/// Names that the host itself writes into the results of windows.
pub const RESULT_FIELDS: [&str; 10] = [
    "window_start",
    "window_end",
    "window_start_ms",
    "window_end_ms",
    "first_row",
    "last_row",
    "key",
    "revision",
    "final",
    "retraction",
];

/// What a function declares.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Signature {
    /// The fields it reads.
    pub reads: Vec<Field>,
    /// The fields it produces.
    pub produces: Vec<Field>,
}

/// Which columns go where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Plan {
    /// What the decoder delivers, in this order.
    pub decoded: Vec<Field>,
    /// One entry for each row step.
    pub steps: Vec<StepPlan>,
    /// What becomes of the rows after them.
    pub output: OutputPlan,
}

/// The columns of a row step.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum StepPlan {
    /// A filter: the column of each field that it reads.
    Filter {
        /// Column numbers in the order of the fields.
        select: Vec<usize>,
    },
    /// A map: the column of each field that it reads, and the columns that stay behind the produced ones.
    Map {
        /// Column numbers in the order of the fields.
        select: Vec<usize>,
        /// Column numbers of the incoming rows.
        keep: Vec<usize>,
    },
}

/// What becomes of the rows after the row steps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum OutputPlan {
    /// The records go on as they came: there is no map.
    Records {
        /// The column of the key; the record's own key if `None`.
        key: Option<usize>,
    },
    /// The rows are written as JSON.
    Rows {
        /// All columns.
        fields: Vec<Field>,
        /// The column of the key; the record's own key if `None`.
        key: Option<usize>,
    },
    /// The rows are gathered in windows.
    Windows {
        /// Column numbers in the order of the fields that the function reads.
        select: Vec<usize>,
        /// The column of the key and its type.
        key: Option<(usize, FieldType)>,
        /// The column of the gap of sessions, if rows may have one of their own.
        gap: Option<usize>,
        /// The fields of the results.
        fields: Vec<Field>,
    },
}

/// Why steps do not fit together.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A step wants a field that does not reach it.
    #[error(
        "step {step} wants {field}, and the map before it, {map}, neither produces nor keeps it: it produces \
         {}; to let the field through, name it in keep of {map}",
        list(produces)
    )]
    Missing {
        /// The step that wants it, or the sink.
        step: String,
        /// The field.
        field: Field,
        /// The map before.
        map: String,
        /// What that produces.
        produces: Vec<Field>,
    },
    /// A map produces a field as another type than a step wants.
    #[error("step {step} wants {field}, and the map before it, {map}, produces {produced}")]
    Type {
        /// The step that wants it, or the sink.
        step: String,
        /// The field.
        field: Field,
        /// The map before.
        map: String,
        /// As what it is produced.
        produced: Field,
    },
    /// A map keeps a field that it also produces.
    #[error(
        "step {step} keeps {name} and also produces a field of that name: keep another, or neither"
    )]
    KeptTwice {
        /// The map.
        step: String,
        /// The field.
        name: String,
    },
    /// A key of a type that makes no key.
    #[error("the key {name} is {ty}: a key is text, int64, timestamp or bool")]
    KeyType {
        /// The field.
        name: String,
        /// Its type.
        ty: FieldType,
    },
    /// Results that can't be told by what has changed of them.
    #[error(
        "step {step} produces {field}, and updates = \"discarding\" writes differences of int64 and float64 only: choose accumulating or retracting"
    )]
    Difference {
        /// The step.
        step: String,
        /// The field.
        field: Field,
    },
    /// A function produces a field that the host writes itself.
    #[error("step {step} produces a field named {name}, which is a name that every result has: {}", RESULT_FIELDS.join(", "))]
    Reserved {
        /// The step.
        step: String,
        /// The field.
        name: String,
    },
}

fn list(fields: &[Field]) -> String {
    let names: Vec<String> = fields.iter().map(Field::to_string).collect();
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

/// The columns of one scope while they are collected.
struct Scope<'a> {
    /// The map that the scope begins with; `None` for the first.
    map: Option<Map<'a>>,
    columns: Vec<Field>,
}

struct Map<'a> {
    step: &'a str,
    produces: &'a [Field],
    keep: &'a [String],
}

impl Scope<'_> {
    /// The column of a field that `step` wants; collected if nobody has wanted it yet.
    fn want(&mut self, step: &str, field: &Field) -> Result<usize, PlanError> {
        if let Some(map) = &self.map {
            if let Some(at) = map.produces.iter().position(|p| p.name == field.name) {
                let produced = &map.produces[at];
                if produced.ty != field.ty || (produced.optional && !field.optional) {
                    return Err(PlanError::Type {
                        step: step.to_owned(),
                        field: field.clone(),
                        map: map.step.to_owned(),
                        produced: produced.clone(),
                    });
                }
                return Ok(at);
            }
            if !map.keep.contains(&field.name) {
                return Err(PlanError::Missing {
                    step: step.to_owned(),
                    field: field.clone(),
                    map: map.step.to_owned(),
                    produces: map.produces.to_vec(),
                });
            }
        }
        let same = |column: &Field| column.name == field.name && column.ty == field.ty;
        if let Some(at) = self.columns.iter().position(same) {
            self.columns[at].optional &= field.optional;
            return Ok(at);
        }
        self.columns.push(field.clone());
        Ok(self.columns.len() - 1)
    }

    /// The type of a field that is named without one: as it is produced, or as another step reads it, or text.
    fn type_of(&self, name: &str, otherwise: FieldType) -> FieldType {
        let known = self.columns.iter().find(|column| column.name == name);
        known.map_or(otherwise, |column| column.ty)
    }

    fn want_key(&mut self, name: &str) -> Result<(usize, FieldType), PlanError> {
        let ty = self.type_of(name, FieldType::Text);
        if !matches!(
            ty,
            FieldType::Text | FieldType::Int64 | FieldType::Timestamp | FieldType::Bool
        ) {
            return Err(PlanError::KeyType {
                name: name.to_owned(),
                ty,
            });
        }
        // A key that a map produces may be null in some rows; those are refused one by one.
        let optional = self.map.as_ref().is_some_and(|map| {
            map.produces
                .iter()
                .any(|field| field.name == name && field.optional)
        });
        let field = Field {
            name: name.to_owned(),
            ty,
            optional,
        };
        Ok((self.want("its key", &field)?, ty))
    }
}

/// Plans a pipeline. `signatures` are those of the row steps in order, then that of the window step if there is one.
///
/// # Errors
/// If a step wants a field that does not reach it, or as another type.
///
/// # Panics
/// If there is not one signature for each function.
pub fn plan(config: &PipelineConfig, signatures: &[Signature]) -> Result<Plan, PlanError> {
    let mut scopes = vec![Scope {
        map: None,
        columns: Vec::new(),
    }];
    let mut steps = Vec::with_capacity(config.steps.len());
    for (step, signature) in config.steps.iter().zip(signatures) {
        let name = step.function.name.as_str();
        let scope = scopes.last_mut().expect("there is always a first scope");
        let select = signature
            .reads
            .iter()
            .map(|field| scope.want(name, field))
            .collect::<Result<Vec<usize>, PlanError>>()?;
        match &step.kind {
            RowStepKind::Filter => steps.push(StepPlan::Filter { select }),
            RowStepKind::Map { keep } => {
                let produced = |name: &&String| signature.produces.iter().any(|f| f.name == **name);
                if let Some(twice) = keep.iter().find(produced) {
                    return Err(PlanError::KeptTwice {
                        step: name.to_owned(),
                        name: twice.clone(),
                    });
                }
                steps.push(StepPlan::Map {
                    select,
                    keep: Vec::new(),
                });
                scopes.push(Scope {
                    map: Some(Map {
                        step: name,
                        produces: &signature.produces,
                        keep,
                    }),
                    columns: signature.produces.clone(),
                });
            }
        }
    }

    let output = plan_output(config, signatures, &mut scopes)?;
    // From the last map back to the first: what a scope takes from the one before it is wanted there too.
    let mut maps = steps.iter_mut().rev().filter_map(|step| match step {
        StepPlan::Map { keep, .. } => Some(keep),
        StepPlan::Filter { .. } => None,
    });
    for at in (1..scopes.len()).rev() {
        let (before, after) = scopes.split_at_mut(at);
        let (before, scope) = (&mut before[at - 1], &after[0]);
        let map = scope
            .map
            .as_ref()
            .expect("every scope but the first begins with a map");
        let kept = &scope.columns[map.produces.len()..];
        *maps.next().expect("every scope but the first has its map") = kept
            .iter()
            .map(|field| before.want(map.step, field))
            .collect::<Result<Vec<usize>, PlanError>>()?;
    }
    Ok(Plan {
        decoded: scopes.swap_remove(0).columns,
        steps,
        output,
    })
}

fn plan_output(
    config: &PipelineConfig,
    signatures: &[Signature],
    scopes: &mut [Scope<'_>],
) -> Result<OutputPlan, PlanError> {
    let scope = scopes.last_mut().expect("there is always a first scope");
    match &config.output {
        Output::Rows { key } => {
            let key = key
                .as_deref()
                .map(|name| scope.want_key(name))
                .transpose()?;
            let key = key.map(|(column, _)| column);
            let keep = scope.map.as_ref().map_or(&[][..], |map| map.keep);
            for name in keep {
                let ty = scope.type_of(name, natural_type(config.source.format, name));
                scope.want(
                    "sink",
                    &Field {
                        name: name.clone(),
                        ty,
                        optional: true,
                    },
                )?;
            }
            Ok(match scope.map {
                None => OutputPlan::Records { key },
                Some(_) => OutputPlan::Rows {
                    fields: scope.columns.clone(),
                    key,
                },
            })
        }
        Output::Windows(step) => {
            let signature = &signatures[config.steps.len()];
            let name = step.function.name.as_str();
            let reserved = |field: &&Field| RESULT_FIELDS.contains(&field.name.as_str());
            if let Some(field) = signature.produces.iter().find(reserved) {
                return Err(PlanError::Reserved {
                    step: name.to_owned(),
                    name: field.name.clone(),
                });
            }
            let select = signature
                .reads
                .iter()
                .map(|field| scope.want(name, field))
                .collect::<Result<Vec<usize>, PlanError>>()?;
            let key = step
                .key
                .as_deref()
                .map(|name| scope.want_key(name))
                .transpose()?;
            let gap = match &step.window {
                Window::Session {
                    gap_field: Some(name),
                    ..
                } => {
                    let field = Field {
                        name: name.clone(),
                        ty: FieldType::Int64,
                        optional: true,
                    };
                    Some(scope.want("its gap", &field)?)
                }
                _ => None,
            };
            let is_number =
                |field: &&Field| matches!(field.ty, FieldType::Int64 | FieldType::Float64);
            if step.updates == Updates::Discarding
                && let Some(field) = signature.produces.iter().find(|field| !is_number(field))
            {
                return Err(PlanError::Difference {
                    step: name.to_owned(),
                    field: field.clone(),
                });
            }
            Ok(OutputPlan::Windows {
                select,
                key,
                gap,
                fields: signature.produces.clone(),
            })
        }
    }
}

/// The type in which a field is handed on that only the sink wants.
fn natural_type(format: Format, name: &str) -> FieldType {
    match (format, name) {
        (_, "$value") => FieldType::Bytes,
        (_, "$partition" | "$offset") => FieldType::Int64,
        (_, "$timestamp" | "$event_time") => FieldType::Timestamp,
        (_, property) if property.starts_with('$') => FieldType::Text,
        (Format::AccessLog, "time") => FieldType::Timestamp,
        (Format::AccessLog, "status" | "bytes") => FieldType::Int64,
        (Format::AccessLog | Format::Raw, _) => FieldType::Text,
        (Format::Json, _) => FieldType::Json,
    }
}

#[cfg(test)]
mod tests;
