//! Sums of floats and of their squares without any rounding, and rounding the result once.
//!
//! A float is an integer times a power of two. The sum is a few integers, each scaled by its own power of 2³²:
//! a term is shifted to the scale just below its lowest bit and added there. Only the scales that occur are kept,
//! since the terms of one sum tend to be of similar size. Written out, the integers become digits between -2³¹ and
//! 2³¹ - 1, which are unique for a given sum and do not run on through a sum that is slightly negative.

use num_bigint::{BigInt, BigUint, Sign};

use super::PartialError;
use super::wire::{self, Reader};

/// Bits from one scale to the next.
const DIGIT_BITS: i32 = 32;
/// From the square of the smallest float, 2⁻²¹⁴⁸, up to 2⁶⁴ times the square of the largest, 2²¹¹².
const SCALES: std::ops::RangeInclusive<i16> = -68..=66;
/// An integer this large hands its upper part to the next scale, long before it could overflow.
const CARRY_AT: u128 = 1 << 120;

/// Of a float.
const MANTISSA_BITS: i32 = 52;
/// The exponent of the lowest bit of a float, and of all the small ones.
const LOWEST_EXPONENT: i32 = -1074;

const NAN: u8 = 1;
const PLUS_INFINITY: u8 = 2;
const MINUS_INFINITY: u8 = 4;

/// An exact sum, with which special values occurred.
#[derive(Clone, Debug, Default)]
pub(super) struct ExactSum {
    /// In the order of their scales.
    terms: Vec<Scaled>,
    specials: u8,
}

/// `value` times 2 to the power of 32 `scale`.
#[derive(Clone, Copy, Debug)]
struct Scaled {
    scale: i16,
    value: i128,
}

impl ExactSum {
    pub(super) fn add(&mut self, x: f64) {
        if let Some((mantissa, exponent)) = self.parts(x) {
            self.add_scaled(mantissa.into(), exponent);
        }
    }

    /// Adds the exact square of `x`.
    pub(super) fn add_square(&mut self, x: f64) {
        if let Some((mantissa, exponent)) = self.parts(x.abs()) {
            let half = MANTISSA_BITS + 1;
            let square = i128::from(mantissa) * i128::from(mantissa);
            self.add_scaled(square & ((1 << half) - 1), 2 * exponent);
            self.add_scaled(square >> half, 2 * exponent + half);
        }
    }

    pub(super) fn add_sum(&mut self, other: &Self) {
        self.specials |= other.specials;
        for term in &other.terms {
            self.add_at(*term);
        }
    }

    /// Whether nothing but zeros has come in, or has cancelled out within its scale.
    pub(super) fn is_empty(&self) -> bool {
        self.specials == 0 && self.terms.iter().all(|term| term.value == 0)
    }

    /// The special value that the sum is, if any.
    pub(super) fn special(&self) -> Option<f64> {
        match self.specials {
            0 => None,
            PLUS_INFINITY => Some(f64::INFINITY),
            MINUS_INFINITY => Some(f64::NEG_INFINITY),
            _ => Some(f64::NAN),
        }
    }

    /// The float nearest to the sum.
    pub(super) fn value(&self) -> f64 {
        self.special().unwrap_or_else(|| {
            let (sum, exponent) = self.integer();
            nearest(&sum, exponent)
        })
    }

    /// The finite part: an integer, and the power of two that it is to be multiplied by.
    pub(super) fn integer(&self) -> (BigInt, i64) {
        let Some(lowest) = self.terms.first() else {
            return (BigInt::ZERO, 0);
        };
        let mut sum = BigInt::ZERO;
        for term in &self.terms {
            let up = i64::from(term.scale - lowest.scale) * i64::from(DIGIT_BITS);
            sum += BigInt::from(term.value) << up;
        }
        (sum, i64::from(lowest.scale) * i64::from(DIGIT_BITS))
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let digits = self.digits();
        out.push(self.specials);
        wire::put_length(digits.len(), out);
        let mut below = 0;
        for (scale, digit) in digits {
            wire::put_i64(i64::from(scale) - below, out);
            wire::put_i64(digit, out);
            below = i64::from(scale);
        }
    }

    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, PartialError> {
        let [specials] = from.array()?;
        if specials > NAN | PLUS_INFINITY | MINUS_INFINITY {
            return Err(from.refuse(&format!("unknown special values {specials}")));
        }
        let mut terms: Vec<Scaled> = Vec::new();
        let mut below = 0_i64;
        for _ in 0..from.length()? {
            let scale = below.wrapping_add(from.i64()?);
            let digit = i32::try_from(from.i64()?).map_err(|_| from.refuse("digit too large"))?;
            let scale = i16::try_from(scale)
                .ok()
                .filter(|scale| SCALES.contains(scale))
                .filter(|scale| terms.last().is_none_or(|last| last.scale < *scale))
                .ok_or_else(|| from.refuse(&format!("scale {scale} out of range or order")))?;
            below = scale.into();
            terms.push(Scaled {
                scale,
                value: digit.into(),
            });
        }
        Ok(Self { terms, specials })
    }

    /// The mantissa and exponent of `x`, which is their product with the power of two; notes a special value.
    fn parts(&mut self, x: f64) -> Option<(i64, i32)> {
        if x.is_nan() {
            self.specials |= NAN;
            return None;
        }
        if x.is_infinite() {
            self.specials |= if x > 0.0 {
                PLUS_INFINITY
            } else {
                MINUS_INFINITY
            };
            return None;
        }
        let bits = x.to_bits();
        let fraction = (bits & ((1 << MANTISSA_BITS) - 1)).cast_signed();
        let field = i32::try_from((bits >> MANTISSA_BITS) & 0x7ff).expect("eleven bits fit");
        let (magnitude, exponent) = if field == 0 {
            (fraction, LOWEST_EXPONENT)
        } else {
            (fraction | (1 << MANTISSA_BITS), LOWEST_EXPONENT + field - 1)
        };
        let mantissa = if x.is_sign_negative() {
            -magnitude
        } else {
            magnitude
        };
        (mantissa != 0).then_some((mantissa, exponent))
    }

    /// Adds `value`, of at most 53 bits, times 2 to the power of `exponent`.
    fn add_scaled(&mut self, value: i128, exponent: i32) {
        let scale =
            i16::try_from(exponent.div_euclid(DIGIT_BITS)).expect("exponents of floats are small");
        let value = value << exponent.rem_euclid(DIGIT_BITS);
        self.add_at(Scaled { scale, value });
    }

    fn add_at(&mut self, term: Scaled) {
        let at = self.terms.partition_point(|other| other.scale < term.scale);
        match self.terms.get_mut(at) {
            Some(sum) if sum.scale == term.scale => {
                sum.value += term.value;
                if sum.value.unsigned_abs() >= CARRY_AT {
                    let carry = Scaled {
                        scale: sum.scale + 1,
                        value: sum.value >> DIGIT_BITS,
                    };
                    sum.value -= carry.value << DIGIT_BITS;
                    self.add_at(carry);
                }
            }
            _ => self.terms.insert(at, term),
        }
    }

    /// The digits that are not zero with their scales, lowest first.
    fn digits(&self) -> Vec<(i16, i64)> {
        let base = 1_i128 << DIGIT_BITS;
        let mut digits = Vec::new();
        let mut terms = self.terms.iter().peekable();
        let mut scale = 0;
        let mut carry = 0;
        loop {
            if carry == 0 {
                // Nothing to hand on: go straight to the next term.
                let Some(next) = terms.peek() else {
                    return digits;
                };
                scale = next.scale;
            }
            let here = terms.next_if(|term| term.scale == scale);
            let value = carry + here.map_or(0, |term| term.value);
            let low = value.rem_euclid(base);
            let digit = if low < base / 2 { low } else { low - base };
            if digit != 0 {
                let digit = i64::try_from(digit).expect("a digit has 32 bits");
                digits.push((scale, digit));
            }
            carry = (value - digit) >> DIGIT_BITS;
            scale += 1;
        }
    }
}

/// The float nearest to `numerator / denominator` times 2 to the power of `exponent`, ties to even.
pub(super) fn nearest_quotient(numerator: &BigInt, denominator: &BigUint, exponent: i64) -> f64 {
    // Enough bits for any rounding; a remainder only matters as being there, one bit below.
    let up = (denominator.bits() + 66).saturating_sub(numerator.bits());
    let dividend = numerator.magnitude() << up;
    let quotient = &dividend / denominator;
    let exact = &quotient * denominator == dividend;
    let with_sticky_bit = (quotient << 1_u8) + u8::from(!exact);
    let signed = BigInt::from_biguint(numerator.sign(), with_sticky_bit);
    let down = i64::try_from(up).expect("operands have some thousand bits") + 1;
    nearest(&signed, exponent - down)
}

/// The float nearest to `integer` times 2 to the power of `exponent`, ties to even.
pub(super) fn nearest(integer: &BigInt, exponent: i64) -> f64 {
    let magnitude = integer.magnitude();
    if *magnitude == BigUint::ZERO {
        return 0.0;
    }
    let lowest = i64::from(LOWEST_EXPONENT);
    let bits = i64::try_from(magnitude.bits()).expect("sums have some thousand bits");
    // The exponent of the last bit that stays.
    let last = (exponent + bits - i64::from(MANTISSA_BITS) - 1).max(lowest);
    let mantissa = match u64::try_from(last - exponent) {
        Ok(dropped) => half_to_even(magnitude, dropped),
        Err(_) => magnitude << (exponent - last),
    };
    let mantissa = u64::try_from(mantissa).expect("at most 53 bits stay, or 2 to the 53");
    let field = u64::try_from(last - lowest).expect("not below the lowest");
    // The mantissa's leading bit, where it has one, counts the exponent field up by one, and a mantissa rounded
    // up to the next power of two does so once more.
    let float = if field > 2045 {
        f64::INFINITY
    } else {
        f64::from_bits((field << MANTISSA_BITS) + mantissa)
    };
    if integer.sign() == Sign::Minus {
        -float
    } else {
        float
    }
}

/// `magnitude` without its last `dropped` bits, rounded to nearest, ties to even.
fn half_to_even(magnitude: &BigUint, dropped: u64) -> BigUint {
    let kept = magnitude >> dropped;
    let half = dropped > 0 && magnitude.bit(dropped - 1);
    let tie = half && magnitude.trailing_zeros() == Some(dropped - 1);
    let up = half && (!tie || kept.bit(0));
    kept + u8::from(up)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use proptest::prelude::*;

    use super::*;

    /// Writes the sum out in decimal, exactly, and leaves the rounding to the parser of floats.
    fn by_way_of_decimals(integer: &BigInt, exponent: i64) -> f64 {
        let digits = match u32::try_from(-exponent) {
            Ok(down) => format!("{}e-{down}", integer * BigInt::from(5).pow(down)),
            Err(_) => format!("{}", integer << exponent),
        };
        digits.parse().unwrap()
    }

    fn floats() -> impl Strategy<Value = f64> {
        prop_oneof![any::<f64>(), -1000.0..1000.0, prop::num::f64::SUBNORMAL]
            .prop_filter("finite", |x| x.is_finite())
    }

    proptest! {
        #[test]
        fn one_term_is_itself(x in floats()) {
            let mut sum = ExactSum::default();
            sum.add(x);
            prop_assert_eq!(sum.value(), x);
        }

        #[test]
        fn a_sum_is_rounded_as_its_decimal_expansion_is(terms in prop::collection::vec(floats(), 1..20)) {
            let mut sum = ExactSum::default();
            terms.iter().for_each(|term| sum.add(*term));
            let (integer, exponent) = sum.integer();
            prop_assert_eq!(sum.value(), by_way_of_decimals(&integer, exponent));
        }

        #[test]
        fn sums_of_integers_are_those_of_integer_arithmetic(terms in prop::collection::vec(-1_i32..=i32::MAX, 0..50)) {
            let mut sum = ExactSum::default();
            terms.iter().for_each(|term| sum.add(f64::from(*term)));
            let (integer, exponent) = sum.integer();
            let expected = BigInt::from(terms.iter().map(|term| i64::from(*term)).sum::<i64>());
            prop_assert_eq!(integer, expected << -exponent);
        }

        #[test]
        fn any_integer_is_rounded_as_its_decimal_expansion_is(
            words: Vec<u32>,
            negative: bool,
            exponent in -2200_i64..100,
        ) {
            let sign = if negative { Sign::Minus } else { Sign::Plus };
            let integer = BigInt::from_slice(sign, &words);
            prop_assert_eq!(nearest(&integer, exponent), by_way_of_decimals(&integer, exponent));
        }

        #[test]
        fn a_quotient_of_exact_floats_is_that_of_the_processor(a: i32, b in 1..u32::MAX) {
            let expected = f64::from(a) / f64::from(b);
            prop_assert_eq!(nearest_quotient(&a.into(), &b.into(), 0), expected);
        }

        #[test]
        fn a_square_is_exact(x in -1e9..1e9_f64) {
            let mut square = ExactSum::default();
            square.add_square(x);
            let mut itself = ExactSum::default();
            itself.add(x);
            let ((square, doubled), (integer, exponent)) = (square.integer(), itself.integer());
            let product = &integer * &integer;
            let common = doubled.min(2 * exponent);
            prop_assert_eq!(square << (doubled - common), product << (2 * exponent - common));
        }
    }

    #[test]
    fn a_full_scale_carries_into_the_next() {
        let full = i128::try_from(CARRY_AT - 1).unwrap();
        for value in [full, -full] {
            let mut sum = ExactSum::default();
            for _ in 0..100 {
                sum.add_at(Scaled { scale: 0, value });
            }
            assert_eq!(sum.integer(), (BigInt::from(value) * 100, 0));
        }
    }
}
