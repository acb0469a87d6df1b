//! Rows on their way into a component: Arrow arrays as the slices that the contract wants.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};

use super::contract::{BatchIn, ColumnIn, ValuesIn, VarValuesIn};
use crate::rows::{Field, FieldType, Rows};

/// The buffers of one column, held so that slices can be taken of them. Arrow's buffers are shared, so nothing is copied
/// unless an array starts inside a byte or has been cut out of a larger one.
struct Held {
    ty: FieldType,
    validity: Option<Buffer>,
    values: HeldValues,
}

enum HeldValues {
    Bits(Buffer),
    Int64(ScalarBuffer<i64>),
    Float64(ScalarBuffer<f64>),
    Var(OffsetBuffer<i32>, Buffer),
}

impl Held {
    fn new(ty: FieldType, array: &ArrayRef) -> Self {
        let validity = array
            .nulls()
            .filter(|nulls| nulls.null_count() > 0)
            .map(|nulls| nulls.inner().sliced());
        let values = match ty {
            FieldType::Bool => HeldValues::Bits(array.as_boolean().values().sliced()),
            FieldType::Int64 => {
                HeldValues::Int64(array.as_primitive::<Int64Type>().values().clone())
            }
            FieldType::Float64 => {
                HeldValues::Float64(array.as_primitive::<Float64Type>().values().clone())
            }
            FieldType::Timestamp => HeldValues::Int64(
                array
                    .as_primitive::<TimestampMillisecondType>()
                    .values()
                    .clone(),
            ),
            FieldType::Text | FieldType::Json => {
                let array = array.as_string::<i32>();
                let (offsets, data) = rebased(array.offsets(), array.values());
                HeldValues::Var(offsets, data)
            }
            FieldType::Bytes => {
                let array = array.as_binary::<i32>();
                let (offsets, data) = rebased(array.offsets(), array.values());
                HeldValues::Var(offsets, data)
            }
        };
        Self {
            ty,
            validity,
            values,
        }
    }

    fn lend(&self) -> ColumnIn<'_> {
        let values = match (&self.values, self.ty) {
            (HeldValues::Bits(bits), _) => ValuesIn::Bool(bits),
            (HeldValues::Int64(values), FieldType::Timestamp) => ValuesIn::Timestamp(values),
            (HeldValues::Int64(values), _) => ValuesIn::Int64(values),
            (HeldValues::Float64(values), _) => ValuesIn::Float64(values),
            (HeldValues::Var(offsets, data), ty) => {
                let values = VarValuesIn { offsets, data };
                match ty {
                    FieldType::Bytes => ValuesIn::Bytes(values),
                    FieldType::Json => ValuesIn::Json(values),
                    _ => ValuesIn::Text(values),
                }
            }
        };
        ColumnIn {
            validity: self.validity.as_deref(),
            values,
        }
    }
}

/// Offsets from 0 and the data they span, as the contract demands.
pub(super) fn rebased(offsets: &OffsetBuffer<i32>, data: &Buffer) -> (OffsetBuffer<i32>, Buffer) {
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    let (start, end) = (
        usize::try_from(first).expect("Arrow's offsets are not negative"),
        usize::try_from(last).expect("Arrow's offsets are not negative"),
    );
    let offsets = if first == 0 {
        offsets.clone()
    } else {
        OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect())
    };
    (offsets, data.slice_with_length(start, end - start))
}

/// A batch on its way into a component: some columns of some rows.
pub(super) struct Outgoing {
    rows: u32,
    held: Vec<Held>,
}

impl Outgoing {
    /// The columns `select` of `rows`, whose types are those of `fields`.
    pub(super) fn new(rows: &Rows, select: &[usize], fields: &[Field]) -> Self {
        let held = select
            .iter()
            .zip(fields)
            .map(|(&column, field)| Held::new(field.ty, &rows.columns[column]))
            .collect();
        Self {
            rows: u32::try_from(rows.len).expect("a batch has fewer rows than u32 counts"),
            held,
        }
    }

    /// Calls `with` with the batch as the contract has it.
    pub(super) fn lend<T>(&self, with: impl FnOnce(BatchIn<'_>) -> T) -> T {
        let columns: Vec<ColumnIn<'_>> = self.held.iter().map(Held::lend).collect();
        with(BatchIn {
            rows: self.rows,
            columns: &columns,
        })
    }
}
