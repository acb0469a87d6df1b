//! Reading: a column is checked once a batch (lengths, offsets, UTF-8); after that a row is an index.

use super::wire::{self, FieldType, Values, VarValues};
use super::{ContractError, FieldSpec};
use crate::{Json, Timestamp};

/// A type that a field of a row can have.
///
/// `bool`, `i64`, `f64`, [`Timestamp`], `&'a str`, `&'a [u8]`, [`Json<'a>`](Json), and an [`Option`] of each.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a row",
    label = "a row cannot hold this type",
    note = "a row holds `bool`, `i64`, `f64`, `Timestamp`, `&'a str`, `&'a [u8]`, `Json<'a>`, or an `Option` of one of these"
)]
pub trait FromColumn<'a>: Sized {
    /// The type that the host must deliver.
    const TYPE: FieldType;
    /// Whether the value may be missing.
    const OPTIONAL: bool;
    /// A column that has been checked.
    type Column: Clone;

    /// Checks a column of `rows` rows.
    ///
    /// # Errors
    /// If the column does not keep to the contract.
    fn open(column: &'a wire::Column, rows: usize) -> Result<Self::Column, ContractError>;

    /// Checks the column of a field, the `index`-th of a batch.
    ///
    /// # Errors
    /// If there is none or it does not keep to the contract.
    fn open_field(
        field: &FieldSpec,
        batch: &'a wire::Batch,
        index: usize,
    ) -> Result<Self::Column, ContractError> {
        let column = batch.columns.get(index).ok_or_else(|| {
            ContractError::new(format!(
                "the batch has {} columns, and none for field `{}`",
                batch.columns.len(),
                field.name
            ))
        })?;
        Self::open(column, batch.rows as usize).map_err(|error| error.in_field(field.name))
    }

    /// The value in a row of a checked column.
    ///
    /// # Panics
    /// If `row` is not below the `rows` that the column was opened with.
    fn get(column: &Self::Column, row: usize) -> Self;
}

/// A type of value, never missing.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a row",
    label = "a row cannot hold this type",
    note = "a row holds `bool`, `i64`, `f64`, `Timestamp`, `&'a str`, `&'a [u8]`, `Json<'a>`, or an `Option` of one of these"
)]
pub trait Value<'a>: Sized {
    /// Its type in the contract.
    const TYPE: FieldType;
    /// The values of a column, checked.
    type Values: Clone;

    /// Checks the values of a column of `rows` rows.
    ///
    /// # Errors
    /// If they do not keep to the contract.
    fn open(values: &'a Values, rows: usize) -> Result<Self::Values, ContractError>;

    /// The value in a row.
    ///
    /// # Panics
    /// If `row` is not below the `rows` that the values were opened with.
    fn get(values: &Self::Values, row: usize) -> Self;
}

// So that an error speaks of the row's field, whose type the author knows, and not of `Value`.
#[diagnostic::do_not_recommend]
impl<'a, T: Value<'a>> FromColumn<'a> for T {
    const TYPE: FieldType = T::TYPE;
    const OPTIONAL: bool = false;
    type Column = T::Values;

    fn open(column: &'a wire::Column, rows: usize) -> Result<T::Values, ContractError> {
        if let Some(validity) = &column.validity {
            let validity = Bits::open(validity, rows)?;
            if let Some(row) = (0..rows).find(|&row| !validity.get(row)) {
                return Err(ContractError::new(format!(
                    "row {row} is null in a field that is not optional"
                )));
            }
        }
        T::open(&column.values, rows)
    }

    #[inline]
    fn get(column: &T::Values, row: usize) -> T {
        T::get(column, row)
    }
}

#[diagnostic::do_not_recommend]
impl<'a, T: Value<'a>> FromColumn<'a> for Option<T> {
    const TYPE: FieldType = T::TYPE;
    const OPTIONAL: bool = true;
    type Column = (Option<Bits<'a>>, T::Values);

    fn open(column: &'a wire::Column, rows: usize) -> Result<Self::Column, ContractError> {
        let validity = match &column.validity {
            Some(validity) => Some(Bits::open(validity, rows)?),
            None => None,
        };
        Ok((validity, T::open(&column.values, rows)?))
    }

    #[inline]
    fn get((validity, values): &Self::Column, row: usize) -> Option<T> {
        let present = validity.as_ref().is_none_or(|bits| bits.get(row));
        present.then(|| T::get(values, row))
    }
}

/// One bit a row, least significant first.
#[derive(Clone, Copy, Debug)]
pub struct Bits<'a>(&'a [u8]);

impl<'a> Bits<'a> {
    fn open(bytes: &'a [u8], rows: usize) -> Result<Self, ContractError> {
        expect_len("bytes of bits", bytes.len(), rows.div_ceil(8))?;
        Ok(Self(bytes))
    }

    #[inline]
    fn get(self, row: usize) -> bool {
        self.0[row / 8] & (1 << (row % 8)) != 0
    }
}

/// Where each row lies in a buffer of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds<'a>(&'a [i32]);

impl<'a> Bounds<'a> {
    fn open(values: &'a VarValues, rows: usize) -> Result<Self, ContractError> {
        let offsets = values.offsets.as_slice();
        expect_len("offsets", offsets.len(), rows + 1)?;
        // All of them, and not only until one is out of order, so that it is done by SIMD.
        let pairs = offsets.windows(2);
        let ascending = pairs.fold(offsets[0] == 0, |all, pair| all & (pair[0] <= pair[1]));
        let last = usize::try_from(offsets[rows]);
        if !ascending || last != Ok(values.data.len()) {
            return Err(ContractError::new(
                "the offsets must ascend from 0 to the length of the data",
            ));
        }
        Ok(Self(offsets))
    }

    #[inline]
    #[expect(
        clippy::cast_sign_loss,
        reason = "`open` has checked that the offsets ascend from 0"
    )]
    fn of(self, row: usize) -> std::ops::Range<usize> {
        self.0[row] as usize..self.0[row + 1] as usize
    }
}

/// Text of all rows, valid UTF-8 row by row.
#[derive(Clone, Copy, Debug)]
pub struct Text<'a> {
    bounds: Bounds<'a>,
    /// The bytes of each row are text.
    data: &'a [u8],
}

impl<'a> Text<'a> {
    fn open(values: &'a VarValues, rows: usize) -> Result<Self, ContractError> {
        let bounds = Bounds::open(values, rows)?;
        let data = values.data.as_slice();
        // Most text is, and then it may be cut anywhere. All bytes at once, so that it is done by SIMD.
        if data.iter().fold(0, |all, byte| all | byte).is_ascii() {
            return Ok(Self { bounds, data });
        }
        let text = std::str::from_utf8(data)
            .map_err(|error| ContractError::new(format!("text is not valid UTF-8: {error}")))?;
        match (0..rows).find(|&row| !text.is_char_boundary(bounds.of(row).start)) {
            Some(row) => Err(ContractError::new(format!(
                "row {row} starts inside a character"
            ))),
            None => Ok(Self { bounds, data }),
        }
    }

    #[inline]
    #[expect(unsafe_code, reason = "each row would be checked again")]
    fn get(self, row: usize) -> &'a str {
        let bytes = &self.data[self.bounds.of(row)];
        // SAFETY: `open`, which alone makes a `Text`, has seen that all of the data is ASCII, of which every part is UTF-8; or that it is UTF-8
        // and that each row starts where a character does. In the latter case a row ends where the next one starts, or with the data
        // (`Bounds::open`), so it ends where a character does as well.
        unsafe { str::from_utf8_unchecked(bytes) }
    }
}

/// Bytes of all rows.
#[derive(Clone, Copy, Debug)]
pub struct Bytes<'a> {
    bounds: Bounds<'a>,
    data: &'a [u8],
}

fn expect_len(what: &str, got: usize, expected: usize) -> Result<(), ContractError> {
    if got == expected {
        return Ok(());
    }
    Err(ContractError::new(format!(
        "{got} {what} where the number of rows asks for {expected}"
    )))
}

fn expect_slice<T>(values: &[T], rows: usize) -> Result<&[T], ContractError> {
    expect_len("values", values.len(), rows)?;
    Ok(values)
}

/// Implements [`Value`] for a type: the variant it is read from, how that is checked and how a row is read.
macro_rules! value {
    ($type:ty, $variant:ident, $checked:ty, $open:expr, |$values:ident, $row:ident| $get:expr) => {
        impl<'a> Value<'a> for $type {
            const TYPE: FieldType = FieldType::$variant;
            type Values = $checked;

            fn open(values: &'a Values, rows: usize) -> Result<$checked, ContractError> {
                match values {
                    Values::$variant(values) => $open(values, rows),
                    _ => Err(ContractError::new(concat!(
                        "expected a column of ",
                        stringify!($variant)
                    ))),
                }
            }

            #[inline]
            fn get($values: &$checked, $row: usize) -> Self {
                $get
            }
        }
    };
}

value!(bool, Bool, Bits<'a>, Bits::open, |values, row| values
    .get(row));
value!(i64, Int64, &'a [i64], expect_slice, |values, row| values
    [row]);
value!(f64, Float64, &'a [f64], expect_slice, |values, row| values
    [row]);
value!(
    Timestamp,
    Timestamp,
    &'a [i64],
    expect_slice,
    |values, row| Timestamp::from_millis(values[row])
);
value!(&'a str, Text, Text<'a>, Text::open, |values, row| values
    .get(row));
value!(Json<'a>, Json, Text<'a>, Text::open, |values, row| {
    Json::new(values.get(row))
});
value!(
    &'a [u8],
    Bytes,
    Bytes<'a>,
    |values: &'a VarValues, rows| {
        Ok(Bytes {
            bounds: Bounds::open(values, rows)?,
            data: &values.data,
        })
    },
    |values, row| &values.data[values.bounds.of(row)]
);
