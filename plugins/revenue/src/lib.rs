//! Sums up the revenue of a window by currency: the same to the last bit in whatever order sales come.

use millstream_sdk::prelude::*;

/// The largest amount of one sale, of either sign. It is far above any price, and keeps every sum finite.
const MAX_AMOUNT: f64 = 1e15;

/// What is read of a sale: an order, or an item of one.
#[derive(Row)]
pub struct Sale<'a> {
    currency: &'a str,
    amount: f64,
}

/// What a currency brought in.
#[derive(Output)]
pub struct CurrencyRevenue<'a> {
    currency: &'a str,
    revenue: f64,
    sales: i64,
}

/// What is kept of a currency.
#[derive(Accumulator, Default)]
pub struct Takings {
    revenue: SumF64,
    sales: Count,
}

/// The function.
#[derive(Default)]
pub struct Revenue;

#[aggregate]
impl Aggregate for Revenue {
    type Row<'a> = Sale<'a>;
    type State = PerKey<Takings>;
    type Output<'a> = CurrencyRevenue<'a>;

    fn add(&self, currencies: &mut PerKey<Takings>, sale: Sale<'_>) -> RowResult {
        // Also false where the amount is not a number.
        let is_sound = sale.amount.abs() <= MAX_AMOUNT;
        if !is_sound {
            return Err(format!("amount: {} is beyond what is sold", sale.amount).into());
        }
        let takings = currencies.entry(sale.currency);
        takings.revenue.add(sale.amount);
        takings.sales.inc();
        Ok(())
    }

    fn result<'a>(
        &'a self,
        currencies: &'a PerKey<Takings>,
        out: &mut Collector<CurrencyRevenue<'a>>,
    ) {
        for (currency, takings) in currencies.sorted() {
            out.push(CurrencyRevenue {
                currency,
                revenue: takings.revenue.value(),
                sales: takings.sales.value(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use std::collections::BTreeMap;

    use millstream_sdk::testing::{self, json};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn sale(currency: &str, amount: f64) -> Value {
        json!({"currency": currency, "amount": amount})
    }

    #[test]
    fn the_sample_gives_what_is_expected() {
        let sales = testing::ndjson(include_str!("../sample/input.ndjson"));
        let outcome = testing::aggregate::<Revenue>(json!({}), &sales);
        let expected = testing::ndjson(include_str!("../sample/expected.ndjson"));
        assert_eq!(outcome.rows, expected);
        let errors = testing::row_errors(include_str!("../sample/errors.ndjson"));
        assert_eq!(outcome.errors, errors);
    }

    #[test]
    fn tenths_add_up_to_the_last_digit() {
        let sales = vec![sale("EUR", 0.1); 10];
        let outcome = testing::aggregate::<Revenue>(json!({}), &sales);
        let expected = json!({"currency": "EUR", "revenue": 1.0, "sales": 10});
        assert_eq!(outcome.rows, [expected]);
    }

    #[test]
    fn an_amount_that_is_no_price_is_refused_and_leaves_no_trace() {
        let mut currencies = PerKey::default();
        for amount in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e16, -1e16] {
            let sale = Sale {
                currency: "EUR",
                amount,
            };
            let error = Revenue.add(&mut currencies, sale).unwrap_err();
            assert!(error.to_string().starts_with("amount: "), "{error}");
        }
        assert!(currencies.is_empty());
        let largest = Sale {
            currency: "EUR",
            amount: -MAX_AMOUNT,
        };
        Revenue.add(&mut currencies, largest).unwrap();
    }

    proptest! {
        #[test]
        fn cents_add_up_however_the_sales_are_spread(
            sales in prop::collection::vec(("[A-C]", -1_000..1_000_000_i32), 0..60),
            split: prop::sample::Index,
        ) {
            let mut expected = BTreeMap::<_, (i32, i64)>::new();
            for (currency, cents) in &sales {
                let (sum, count) = expected.entry(currency).or_default();
                *sum += cents;
                *count += 1;
            }
            let amount = |cents: i32| f64::from(cents) / 100.0;
            let sales: Vec<_> = sales.iter().map(|(currency, cents)| sale(currency, amount(*cents))).collect();
            let whole = testing::aggregate::<Revenue>(json!({}), &sales).rows;
            prop_assert_eq!(whole.len(), expected.len());
            for (row, (currency, (cents, count))) in whole.iter().zip(expected) {
                prop_assert_eq!(&row["currency"], currency);
                prop_assert_eq!(&row["sales"], count);
                // Most amounts have no exact float, so only rounded is the sum the one in cents.
                let revenue = row["revenue"].as_f64().unwrap();
                prop_assert_eq!((revenue * 100.0).round(), f64::from(cents));
            }
            let (first, second) = sales.split_at(split.index(sales.len() + 1));
            let rows = testing::aggregate_in_parts::<Revenue>(json!({}), &[second, first]);
            prop_assert_eq!(rows, whole);
        }
    }
}
