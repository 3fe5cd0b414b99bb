//! `cost`: what the estimate of costs takes for granted, and own prices.

use super::model::CostConfig;
use super::raw;
use super::reader::Reader;
use super::text::Text;
use crate::domain::cost::prices::{NanoUsd, Price};
use std::collections::BTreeMap;

const DAY_MS: u64 = 86_400_000;

pub(super) fn cost(reader: &Reader<'_>, raw: Option<&raw::Cost>) -> CostConfig {
    let get = |leaf: fn(&raw::Cost) -> &Option<Text>| raw.and_then(|r| leaf(r).as_ref());
    let kept_ms = reader.duration_ms("cost.segments_kept", get(|r| &r.segments_kept), 90 * DAY_MS, DAY_MS..=100 * 365 * DAY_MS);
    CostConfig {
        region: reader.string("cost.region", get(|r| &r.region)),
        // A lifecycle rule counts days.
        segments_kept_days: kept_ms.div_ceil(DAY_MS) as u32,
        until_cutover_ms: reader.duration_ms("cost.until_cutover", get(|r| &r.until_cutover), 7 * DAY_MS, 0..=10 * 365 * DAY_MS),
        soak_ms: reader.duration_ms("cost.soak", get(|r| &r.soak), 7 * DAY_MS, 0..=10 * 365 * DAY_MS),
        source_broker_type: reader.string("cost.source_broker_type", get(|r| &r.source_broker_type)),
        target_broker_type: reader.string("cost.target_broker_type", get(|r| &r.target_broker_type)),
        prices: raw.and_then(|r| r.prices.as_ref()).map(|section| prices(reader, &section.value)).unwrap_or_default(),
    }
}

fn prices(reader: &Reader<'_>, raw: &raw::Prices) -> BTreeMap<Price, NanoUsd> {
    // Exhaustive, so that a price without a key cannot come to be.
    let written = |price: Price| match price {
        Price::S3Storage => &raw.s3_storage_gb_month,
        Price::S3Put => &raw.s3_put_1000,
        Price::S3Get => &raw.s3_get_1000,
        Price::Kms => &raw.kms_10000,
        Price::CrossAz => &raw.cross_az_gb,
        Price::CrossRegion => &raw.cross_region_gb,
        Price::SourceBroker => &raw.source_broker_hour,
        Price::TargetBroker => &raw.target_broker_hour,
    };
    let read = |price: Price| reader.quantity(&format!("cost.prices.{}", price.key()), written(price).as_ref(), nano_usd);
    Price::ALL.iter().filter_map(|price| Some((*price, read(*price)?))).collect()
}

/// Parses US dollars with up to nine digits after the point.
fn nano_usd(text: &str) -> Result<NanoUsd, String> {
    const SHAPE: &str = "a price is written in US dollars, as 0.023";
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(SHAPE.into());
    }
    if fraction.len() > 9 {
        return Err("a price has at most nine digits after the point".into());
    }
    let too_high = || "a price is at most 1,000,000 US dollars".to_owned();
    let whole: u64 = whole.parse().ok().filter(|whole| *whole <= 1_000_000).ok_or_else(too_high)?;
    let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_| SHAPE.to_owned())?;
    Ok(whole * 1_000_000_000 + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact() {
        for (text, nano) in [("0.023", 23_000_000), ("0.0004", 400_000), ("1", 1_000_000_000), ("10.5", 10_500_000_000), ("0.000000001", 1), ("0", 0)] {
            assert_eq!(nano_usd(text), Ok(nano), "{text}");
        }
        for text in ["", "-1", "0,023", "$0.023", ".5", "5.", "1e3", "0.0000000001", "1000001"] {
            assert!(nano_usd(text).is_err(), "{text}");
        }
    }
}
