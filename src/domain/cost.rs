//! `cost-estimate.json`: what a migration costs on AWS, each figure with its formula, its price and where that comes from.
//!
//! What cannot be known is null with the reason, never zero. Amounts are whole millionths of a dollar, so that sums are equal to their parts.

mod items;
mod places;
pub mod prices;

pub use places::{region_of, region_of_store};

use crate::config::model::{Config, CostConfig};
use crate::domain::plan::Plan;
use crate::domain::planning::names;
use prices::{NanoUsd, Price};
use serde::Serialize;
use serde::ser::Serializer;
use std::collections::BTreeMap;

/// Version of the estimate's shape.
pub const COST_VERSION: u32 = 1;

/// Millionths of a US dollar; written as dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MicroUsd(pub u64);

impl Serialize for MicroUsd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.0 as f64 / 1e6)
    }
}

impl std::iter::Sum for MicroUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        Self(amounts.map(|amount| amount.0).sum())
    }
}

impl std::fmt::Display for MicroUsd {
    /// Dollars and cents, rounded up: no cost is shown as none.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let cents = self.0.div_ceil(10_000);
        write!(f, "{}.{:02} USD", cents / 100, cents % 100)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    Storage,
    Requests,
    Transfer,
    /// Two clusters at the same time, where there was one.
    DoubleRunning,
}

/// The price that an item was computed with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UnitPrice {
    /// Its key below `cost.prices`.
    pub key: &'static str,
    pub usd: f64,
    pub unit: &'static str,
    /// `list`, or `configuration`.
    pub from: &'static str,
    /// The page that has it; None for a price from the configuration.
    pub source: Option<&'static str>,
    /// None for a price from the configuration: it is the user's own.
    pub date: Option<&'static str>,
    pub region: Option<&'static str>,
}

/// One thing that costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Item {
    pub id: &'static str,
    pub group: Group,
    pub what: &'static str,
    /// How the quantity comes about, with the values that went in. Some quantities are known though their price is not.
    pub formula: Option<String>,
    /// In the price's units.
    pub quantity: Option<f64>,
    pub price: Option<UnitPrice>,
    pub usd: Option<MicroUsd>,
    /// Why it is not known, where it is not.
    pub unknown: Option<String>,
}

impl Item {
    fn unknown(id: &'static str, group: Group, what: &'static str, why: &str) -> Self {
        Self {
            id,
            group,
            what,
            formula: None,
            quantity: None,
            price: None,
            usd: None,
            unknown: Some(why.to_owned()),
        }
    }
}

/// The prices that hold for this configuration.
struct Terms<'a> {
    config: &'a CostConfig,
}

impl Terms<'_> {
    fn overridden(&self, price: Price) -> bool {
        self.config.prices.contains_key(&price)
    }

    /// At AWS: list prices hold where the configuration has none.
    fn item(
        &self,
        id: &'static str,
        group: Group,
        what: &'static str,
        price: Price,
        quantity: f64,
        formula: String,
    ) -> Item {
        self.priced(id, group, what, price, price.list(), quantity, formula)
    }

    /// Of a bucket, at AWS or not.
    #[allow(clippy::too_many_arguments)]
    fn stored(
        &self,
        at_aws: bool,
        id: &'static str,
        group: Group,
        what: &'static str,
        price: Price,
        quantity: f64,
        formula: String,
    ) -> Item {
        self.priced(
            id,
            group,
            what,
            price,
            price.list().filter(|_| at_aws),
            quantity,
            formula,
        )
    }

    /// `list` is the price where the configuration has none.
    #[allow(clippy::too_many_arguments)]
    fn priced(
        &self,
        id: &'static str,
        group: Group,
        what: &'static str,
        price: Price,
        list: Option<NanoUsd>,
        quantity: f64,
        formula: String,
    ) -> Item {
        let own = self.config.prices.get(&price).copied();
        let Some(nano) = own.or(list) else {
            let why = format!(
                "the server is not AWS's, and what it charges is not known; see cost.prices.{}",
                price.key()
            );
            return Item {
                formula: Some(formula),
                quantity: Some(quantity),
                ..Item::unknown(id, group, what, &why)
            };
        };
        let listed = own.is_none();
        let unit_price = UnitPrice {
            key: price.key(),
            usd: nano as f64 / 1e9,
            unit: price.unit(),
            from: if listed { "list" } else { "configuration" },
            source: listed.then(|| price.source()),
            date: listed.then_some(prices::LIST_DATE),
            region: listed.then_some(prices::LIST_REGION),
        };
        let usd = MicroUsd((quantity * nano as f64 / 1e3).round() as u64);
        Item {
            id,
            group,
            what,
            formula: Some(formula),
            quantity: Some(quantity),
            price: Some(unit_price),
            usd: Some(usd),
            unknown: None,
        }
    }
}

/// What a migration is estimated to cost.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CostEstimate {
    pub version: u32,
    pub migration_id: String,
    pub created_at: String,
    pub currency: &'static str,
    /// Where the migration takes place; None where nothing tells.
    pub region: Option<String>,
    /// What the list prices are, and for which Region.
    pub list_prices: String,
    pub assumptions: Vec<String>,
    pub items: Vec<Item>,
    /// The sums of what is known, by group.
    pub groups: BTreeMap<Group, MicroUsd>,
    /// The sum of what is known.
    pub known_usd: MicroUsd,
    /// The items that are not known and in no sum.
    pub unknown: Vec<&'static str>,
}

impl CostEstimate {
    /// In one line.
    pub fn in_words(&self) -> String {
        let unknown = names(&self.unknown);
        match (self.unknown.is_empty(), self.known_usd == MicroUsd::default()) {
            (true, _) => format!("about {} on AWS by list prices; see `cost-estimate.json`", self.known_usd),
            (false, true) => format!("not known, for the reasons that stand in `cost-estimate.json`: {unknown}"),
            (false, false) => format!("about {} on AWS by list prices; not known and not in it: {unknown}; see `cost-estimate.json`", self.known_usd),
        }
    }
}

/// Estimates; a pure function of the plan and the configuration.
pub fn build(plan: &Plan, config: &Config) -> CostEstimate {
    let items = items::all(
        plan,
        config,
        &Terms {
            config: &config.cost,
        },
    );
    let mut groups = BTreeMap::new();
    for item in &items {
        let sum: &mut MicroUsd = groups.entry(item.group).or_default();
        sum.0 += item.usd.unwrap_or_default().0;
    }
    let region = config
        .cost
        .region
        .clone()
        .or_else(|| region_of(&config.target, plan.target.as_ref()))
        .or_else(|| region_of(&config.source, Some(&plan.source)));
    CostEstimate {
        version: COST_VERSION,
        migration_id: plan.migration_id.clone(),
        created_at: plan.created_at.clone(),
        currency: "USD",
        list_prices: list_prices(region.as_deref()),
        region,
        assumptions: assumptions(plan, config),
        known_usd: items.iter().filter_map(|item| item.usd).sum(),
        unknown: items
            .iter()
            .filter(|item| item.usd.is_none())
            .map(|item| item.id)
            .collect(),
        groups,
        items,
    }
}

fn list_prices(region: Option<&str>) -> String {
    let (own, date, source) = (prices::LIST_REGION, prices::LIST_DATE, prices::LIST_SOURCE);
    let elsewhere = match region {
        Some(region) if region != own => {
            format!("; they are {own}'s, and those of {region} differ")
        }
        Some(_) | None => String::new(),
    };
    format!("list prices of {own} of {date}{elsewhere}. Source: {source}")
}

fn assumptions(plan: &Plan, config: &Config) -> Vec<String> {
    let days = |ms: u64| ms as f64 / 86_400_000.0;
    let mut assumed = vec![
        "the logs stay as large as they were when the plan was made".to_owned(),
        "kferry runs in the target's Region, in one zone; leaders are spread evenly over the zones"
            .to_owned(),
        format!(
            "from the target's creation to the cutover pass {:.1} days (cost.until_cutover), and the source goes on for {:.1} days after it (cost.soak)",
            days(config.cost.until_cutover_ms),
            days(config.cost.soak_ms)
        ),
        format!(
            "segments are kept for {} days (cost.segments_kept), which is also what aws-cli.sh's lifecycle rule says",
            config.cost.segments_kept_days
        ),
    ];
    let unsized_partitions = items::unsized_partitions(plan);
    if unsized_partitions > 0 {
        assumed.push(format!(
            "{unsized_partitions} partitions have a size that is not known, and what hangs on the bytes of all is null"
        ));
    }
    assumed
}

#[cfg(test)]
mod tests;
