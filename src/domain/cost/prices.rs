//! What AWS charges: a small table of list prices, each to be overridden under `cost.prices`.

/// The Region that the table's prices are for.
pub const LIST_REGION: &str = "us-east-1";
/// When they were on AWS's price pages, as far as is known here.
pub const LIST_DATE: &str = "2025-06";
/// Where they come from, and how far they are to be trusted.
pub const LIST_SOURCE: &str = "AWS's public price pages, written down from memory and not fetched: without discounts, tiers, free tiers and taxes. Check them, and override them under cost.prices";

/// Billionths of a US dollar.
pub type NanoUsd = u64;

macro_rules! prices {
    ($($variant:ident, $key:literal, $list:expr, $unit:literal, $source:literal;)*) => {
        /// Something that has a price.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Price { $($variant,)* }

        impl Price {
            pub const ALL: &'static [Price] = &[$(Price::$variant,)*];

            /// Its key below `cost.prices`.
            pub fn key(self) -> &'static str { match self { $(Price::$variant => $key,)* } }

            /// None where there is no price that would hold for everybody.
            pub fn list(self) -> Option<NanoUsd> { match self { $(Price::$variant => $list,)* } }

            /// What it is the price of.
            pub fn unit(self) -> &'static str { match self { $(Price::$variant => $unit,)* } }

            /// The page that has it.
            pub fn source(self) -> &'static str { match self { $(Price::$variant => $source,)* } }
        }
    };
}

prices! {
    S3Storage, "s3_storage_gb_month", Some(23_000_000), "GB-month", "aws.amazon.com/s3/pricing: S3 Standard, first 50 TB a month";
    S3Put, "s3_put_1000", Some(5_000_000), "1,000 requests", "aws.amazon.com/s3/pricing: PUT, COPY, POST, LIST";
    S3Get, "s3_get_1000", Some(400_000), "1,000 requests", "aws.amazon.com/s3/pricing: GET and all others";
    Kms, "kms_10000", Some(30_000_000), "10,000 requests", "aws.amazon.com/kms/pricing: symmetric keys";
    CrossAz, "cross_az_gb", Some(20_000_000), "GB", "aws.amazon.com/ec2/pricing/on-demand: data transfer between zones, 0.01 in each direction";
    CrossRegion, "cross_region_gb", Some(20_000_000), "GB", "aws.amazon.com/ec2/pricing/on-demand: data transfer to another Region";
    SourceBroker, "source_broker_hour", None, "broker-hour", "aws.amazon.com/msk/pricing, by cost.source_broker_type";
    TargetBroker, "target_broker_hour", None, "broker-hour", "aws.amazon.com/msk/pricing, by cost.target_broker_type";
}

/// The hourly price of one Standard broker of Amazon MSK; None for a type that is not in the table.
pub fn broker_hour(instance_type: &str) -> Option<NanoUsd> {
    let (family, size) = instance_type.strip_prefix("kafka.")?.split_once('.')?;
    // Each size costs as many times the price of `large` as it is larger.
    let times = match size {
        "large" => 1,
        "xlarge" => 2,
        "2xlarge" => 4,
        "4xlarge" => 8,
        "8xlarge" => 16,
        "12xlarge" => 24,
        "16xlarge" => 32,
        "small" if family == "t3" => return Some(45_600_000),
        _ => return None,
    };
    match family {
        "m5" => Some(210_000_000 * times),
        "m7g" => Some(204_000_000 * times),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn brokers_are_priced_by_family_and_size() {
        for (instance, nano) in [("kafka.m5.large", 210_000_000), ("kafka.m5.4xlarge", 1_680_000_000), ("kafka.m7g.2xlarge", 816_000_000), ("kafka.t3.small", 45_600_000)] {
            assert_eq!(broker_hour(instance), Some(nano), "{instance}");
        }
        for unknown in ["m5.large", "kafka.m5.small", "kafka.m5", "express.m7g.large", "kafka.x9.large", ""] {
            assert_eq!(broker_hour(unknown), None, "{unknown}");
        }
        let keys: BTreeSet<&str> = Price::ALL.iter().map(|price| price.key()).collect();
        assert_eq!(keys.len(), Price::ALL.len());
    }
}
