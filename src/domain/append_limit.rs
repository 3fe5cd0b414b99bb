//! How large a batch the target takes while we copy: larger ones of the source go in several parts.

use std::collections::BTreeMap;

/// What a Produce request may take where the brokers do not say it. Source: `socket.request.max.bytes`, Kafka's default.
const REQUEST_BYTES_MAX: i64 = 100 * 1024 * 1024;

/// Bytes of a request beside its batches: header, topic, partition.
const REQUEST_HEAD_BYTES: i64 = 1024;

/// Bytes of batches in one request beyond which nothing is added to it.
pub const REQUEST_BATCHES_BYTES: i64 = 4 * 1024 * 1024;

/// The largest request that the target's brokers take, by what they say. A larger one is not refused: it closes the connection.
pub fn request_bytes_max(broker_configs: &BTreeMap<String, String>) -> i64 {
    let told = broker_configs.get("socket.request.max.bytes").and_then(|value| value.parse().ok());
    told.unwrap_or(REQUEST_BYTES_MAX).max(1)
}

/// Bytes of one request's batches beyond which nothing is added to it; a batch of [`batch_bytes_max`] still fits behind them.
pub fn request_batches_bytes(request_bytes_max: i64) -> i64 {
    REQUEST_BATCHES_BYTES.min(request_bytes_max / 4)
}

/// The largest batch that the target takes of a topic with these settings: one that its request, the topic, and a segment have room for.
pub fn batch_bytes_max(overrides: &BTreeMap<String, String>, request_bytes_max: i64) -> i64 {
    let set = |key: &str| overrides.get(key).and_then(|value| value.parse::<i64>().ok());
    let topic = set("max.message.bytes").unwrap_or(1 << 20);
    // A broker refuses a batch that does not fit into a segment.
    let segment = set("segment.bytes").unwrap_or(i64::MAX);
    topic.min(segment).min(by_request(request_bytes_max)).max(1)
}

/// What a request alone has room for.
pub fn by_request(request_bytes_max: i64) -> i64 {
    request_bytes_max - request_batches_bytes(request_bytes_max) - REQUEST_HEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
    }

    #[test]
    fn the_smallest_of_three_limits_counts() {
        let limit = |overrides: &[(&str, &str)], brokers: &[(&str, &str)]| batch_bytes_max(&map(overrides), request_bytes_max(&map(brokers)));
        assert_eq!(limit(&[("max.message.bytes", "5000000")], &[]), 5_000_000);
        assert_eq!(limit(&[("max.message.bytes", "5000000"), ("segment.bytes", "1048576")], &[]), 1_048_576);
        assert_eq!(limit(&[("max.message.bytes", "5000000")], &[("socket.request.max.bytes", "400000")]), 300_000 - 1024);
        assert_eq!(limit(&[("max.message.bytes", "2147483647")], &[("socket.request.max.bytes", "104857600")]), 104_857_600 - 4_194_304 - 1024);
        assert_eq!(limit(&[], &[("socket.request.max.bytes", "1")]), 1, "nonsense stays a number");
    }

    #[test]
    fn a_request_with_the_largest_batch_behind_others_fits() {
        for request in [100_000, 400_000, 10_000_000, REQUEST_BYTES_MAX] {
            let largest = batch_bytes_max(&map(&[("max.message.bytes", "2147483647")]), request);
            assert!(request_batches_bytes(request) - 1 + largest + REQUEST_HEAD_BYTES <= request);
        }
    }
}
