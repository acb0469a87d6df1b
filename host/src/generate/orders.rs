//! The stream of orders, for revenue by currency. Amounts are whole cents inside, so that sums are exact.

use jiff::{SignedDuration, Timestamp};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::config::{ConfigError, at_least_one, partition_count};
use super::partition::partition_of;
use super::timeline::Timeline;

const CURRENCIES: [&str; 4] = ["EUR", "USD", "GBP", "PLN"];

/// The settings of a stream of orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OrderConfig {
    /// What every random choice derives from: equal settings and seeds give equal bytes.
    pub seed: u64,
    /// How many orders to generate.
    pub events: u64,
    /// How many people order, all equally often.
    pub users: u32,
    /// Over how many partitions users are spread.
    pub partitions: i32,
    /// The event time at which the stream begins.
    pub start: Timestamp,
    /// Orders per second of event time.
    pub rate: u32,
    /// By how much at most an order's event time may lie behind that of an earlier one, as a duration.
    #[serde(serialize_with = "jiff::fmt::serde::duration::friendly::compact::required")]
    pub disorder: SignedDuration,
}

impl Default for OrderConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            events: 20_000,
            users: 5_000,
            partitions: 4,
            start: Timestamp::constant(1_767_225_600, 0), // 2026-01-01T00:00:00Z
            rate: 50,
            disorder: SignedDuration::from_secs(5),
        }
    }
}

/// An order, as a row and as what the row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The partition it belongs to: the same for all orders of a user.
    pub partition: i32,
    /// The user id.
    pub key: Vec<u8>,
    /// The order as a JSON object.
    pub value: Vec<u8>,
    /// When the row is written to the log, in milliseconds since 1970.
    pub timestamp: i64,
    /// When the order was placed, in milliseconds since 1970.
    pub event_time: i64,
    /// The currency of all its prices, by its three letters.
    pub currency: &'static str,
    /// The total in hundredths of the currency.
    pub cents: u32,
}

/// The order as it is written. Prices are decimal fractions there.
#[derive(Debug, Serialize)]
struct OrderRow<'a> {
    order_id: String,
    event_time: i64,
    user_id: &'a str,
    currency: &'a str,
    items: Vec<Item>,
    total: f64,
}

#[derive(Debug, Serialize)]
struct Item {
    sku: String,
    quantity: u32,
    price: f64,
}

/// The orders that follow from some settings, in the order in which they are written to the log.
#[derive(Debug)]
pub struct Orders {
    rng: ChaCha8Rng,
    timeline: Timeline,
    users: u32,
    partitions: i32,
    events: u64,
    emitted: u64,
}

impl Orders {
    /// Starts the stream, or says which setting cannot be used.
    pub fn new(config: &OrderConfig) -> Result<Self, ConfigError> {
        at_least_one("users", config.users)?;
        partition_count(config.partitions)?;
        Ok(Self {
            rng: ChaCha8Rng::seed_from_u64(config.seed),
            timeline: Timeline::new(
                config.start,
                config.events,
                config.rate,
                config.disorder,
                0,
                1,
            )?,
            users: config.users,
            partitions: config.partitions,
            events: config.events,
            emitted: 0,
        })
    }
}

impl Iterator for Orders {
    type Item = Order;

    fn next(&mut self) -> Option<Order> {
        if self.emitted == self.events {
            return None;
        }
        let rng = &mut self.rng;
        let arrival = self.timeline.arrival(self.emitted);
        self.emitted += 1;

        let user_id = format!("u-{:06}", rng.random_range(0..self.users));
        let event_time = self.timeline.event_time(arrival, rng);
        let currency = CURRENCIES[rng.random_range(0..CURRENCIES.len())];
        let mut cents = 0;
        let items = (0..rng.random_range(1..=4))
            .map(|_| {
                let sku = rng.random_range(0..500_u32);
                let quantity = rng.random_range(1..=3_u32);
                // The price is the article's, whoever orders it: from 0.99 to 219.56.
                let price = 99 + sku * 7_919 % 21_858;
                cents += quantity * price;
                Item {
                    sku: format!("sku-{sku:03}"),
                    quantity,
                    price: fraction(price),
                }
            })
            .collect();
        let row = OrderRow {
            order_id: format!("o-{:08}", self.emitted),
            event_time,
            user_id: &user_id,
            currency,
            items,
            total: fraction(cents),
        };
        Some(Order {
            partition: partition_of(user_id.as_bytes(), self.partitions),
            value: serde_json::to_vec(&row).expect("text and finite numbers have a JSON form"),
            key: user_id.into_bytes(),
            timestamp: arrival,
            event_time,
            currency,
            cents,
        })
    }
}

fn fraction(cents: u32) -> f64 {
    f64::from(cents) / 100.0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::Value;

    use super::*;

    fn orders() -> impl Iterator<Item = (Order, Value)> {
        let orders = Orders::new(&OrderConfig {
            events: 2_000,
            ..OrderConfig::default()
        });
        orders.unwrap().map(|order| {
            let value = serde_json::from_slice(&order.value).unwrap();
            (order, value)
        })
    }

    #[test]
    fn the_value_says_what_the_order_is() {
        for (order, value) in orders() {
            assert_eq!(value["event_time"].as_i64(), Some(order.event_time));
            assert_eq!(value["user_id"].as_str().unwrap().as_bytes(), order.key);
            assert_eq!(value["currency"], order.currency);
            assert_eq!(value["total"].as_f64(), Some(fraction(order.cents)));
            assert!(order.event_time <= order.timestamp);
        }
    }

    #[test]
    fn the_total_is_the_sum_of_the_items() {
        for (order, value) in orders() {
            let items = value["items"].as_array().unwrap();
            assert!((1..=4).contains(&items.len()));
            let sum: f64 = items
                .iter()
                .map(|item| item["quantity"].as_f64().unwrap() * item["price"].as_f64().unwrap())
                .sum();
            assert!((sum - fraction(order.cents)).abs() < 0.001);
        }
    }

    #[test]
    fn an_unusable_setting_is_named() {
        let refusal = |config| Orders::new(&config).err().unwrap().to_string();
        let config = OrderConfig::default();
        assert!(
            refusal(OrderConfig {
                users: 0,
                ..config.clone()
            })
            .contains("`users`")
        );
        assert!(
            refusal(OrderConfig {
                rate: 0,
                ..config.clone()
            })
            .contains("`rate`")
        );
        assert!(
            refusal(OrderConfig {
                partitions: -1,
                ..config
            })
            .contains("`partitions`")
        );
    }
}
