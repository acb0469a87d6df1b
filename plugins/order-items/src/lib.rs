//! Turns an order into a row for each of its items, with the amount that it comes to.

mod items;

use std::borrow::Cow;

use millstream_sdk::prelude::*;

/// What is read of an order.
#[derive(Row)]
pub struct Order<'a> {
    order_id: &'a str,
    currency: &'a str,
    items: Json<'a>,
}

/// An item, with what it needs to know of its order.
#[derive(Output)]
pub struct OrderItem<'a> {
    order_id: &'a str,
    currency: &'a str,
    sku: Cow<'a, str>,
    quantity: i64,
    amount: f64,
}

/// The function.
#[derive(Default)]
pub struct OrderItems;

#[map]
impl Map for OrderItems {
    type Row<'a> = Order<'a>;
    type Output<'a> = OrderItem<'a>;

    fn map<'a>(&'a self, order: Order<'a>, out: &mut Collector<OrderItem<'a>>) -> RowResult {
        for (index, item) in items::read(order.items)?.into_iter().enumerate() {
            let amount = item.quantity as f64 * item.price;
            if !amount.is_finite() {
                return Err(format!("items[{index}]: the amount is too large").into());
            }
            out.push(OrderItem {
                order_id: order.order_id,
                currency: order.currency,
                sku: item.sku,
                quantity: item.quantity,
                amount,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use millstream_sdk::testing::{self, json};
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn order(items: Value) -> Value {
        json!({"order_id": "o-1", "currency": "EUR", "items": items})
    }

    #[test]
    fn the_sample_gives_what_is_expected() {
        let orders = testing::ndjson(include_str!("../sample/input.ndjson"));
        let outcome = testing::map::<OrderItems>(json!({}), &orders);
        let expected = testing::ndjson(include_str!("../sample/expected.ndjson"));
        assert_eq!(outcome.rows, expected);
        let errors = testing::row_errors(include_str!("../sample/errors.ndjson"));
        assert_eq!(outcome.errors, errors);
    }

    #[test]
    fn an_order_of_no_items_gives_no_rows() {
        let outcome = testing::map::<OrderItems>(json!({}), &[order(json!([]))]);
        assert_eq!(outcome.rows, [json!(null); 0]);
        assert_eq!(outcome.errors, []);
    }

    #[test]
    fn an_amount_beyond_the_largest_float_refuses_the_order() {
        let items = json!([
            {"sku": "a", "quantity": 1, "price": 1.0},
            {"sku": "b", "quantity": 10, "price": 1e308},
        ]);
        let outcome = testing::map::<OrderItems>(json!({}), &[order(items)]);
        assert_eq!(outcome.rows, [json!(null); 0]);
        let error = "items[1]: the amount is too large".to_owned();
        assert_eq!(outcome.errors, [(0, error)]);
    }

    proptest! {
        #[test]
        fn every_item_becomes_a_row_in_order(
            items in prop::collection::vec(("\\PC{0,6}", -5..1000_i64, 0..100_000_u32), 0..6),
        ) {
            let price = |cents: u32| f64::from(cents) / 100.0;
            let written = items
                .iter()
                .map(|(sku, quantity, cents)| json!({"sku": sku, "quantity": quantity, "price": price(*cents)}))
                .collect();
            let expected: Vec<_> = items
                .iter()
                .map(|(sku, quantity, cents)| json!({
                    "order_id": "o-1", "currency": "EUR", "sku": sku, "quantity": quantity,
                    "amount": *quantity as f64 * price(*cents),
                }))
                .collect();
            let outcome = testing::map::<OrderItems>(json!({}), &[order(written)]);
            prop_assert_eq!(outcome.rows, expected);
        }
    }
}
