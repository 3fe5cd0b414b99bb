//! `backup` and `evidence`: S3, or a directory.

use super::model::StoreConfig;
use super::problem::Problem;
use super::raw;
use super::reader::Reader;
use super::text::{Mark, Text};

/// The keys that both sections share.
pub(super) struct StoreKeys<'a> {
    pub s3_bucket: Option<&'a Text>,
    pub s3_prefix: Option<&'a Text>,
    pub region: Option<&'a Text>,
    pub endpoint_url: Option<&'a Text>,
    pub kms_key_arn: Option<&'a Text>,
    pub directory: Option<&'a Text>,
}

macro_rules! store_keys {
    ($section:ty) => {
        impl<'a> From<&'a $section> for StoreKeys<'a> {
            fn from(raw: &'a $section) -> Self {
                Self {
                    s3_bucket: raw.s3_bucket.as_ref(),
                    s3_prefix: raw.s3_prefix.as_ref(),
                    region: raw.region.as_ref(),
                    endpoint_url: raw.endpoint_url.as_ref(),
                    kms_key_arn: raw.kms_key_arn.as_ref(),
                    directory: raw.directory.as_ref(),
                }
            }
        }
    };
}

store_keys!(raw::Backup);
store_keys!(raw::Evidence);

pub(super) fn store(reader: &Reader<'_>, name: &str, mark: Mark, keys: &StoreKeys<'_>) -> Option<StoreConfig> {
    let key = |leaf: &str| format!("{name}.{leaf}");
    match (keys.s3_bucket, keys.directory) {
        (Some(_), Some(directory)) => {
            reader.note(Problem::at(directory.mark, format!("{name} has both s3_bucket and directory")).hint("keep the one where the objects are to lie"));
            None
        }
        (None, None) => {
            reader.missing(mark, &key("s3_bucket"), "name a bucket by s3_bucket, or a local directory by directory");
            None
        }
        (Some(bucket), None) => s3(reader, &key, bucket, keys),
        (None, Some(directory)) => {
            for (leaf, written) in
                [("s3_prefix", keys.s3_prefix), ("region", keys.region), ("endpoint_url", keys.endpoint_url), ("kms_key_arn", keys.kms_key_arn)]
            {
                if let Some(text) = written {
                    reader.note(Problem::at(text.mark, format!("{} has no meaning with {name}.directory", key(leaf))).hint("it belongs to s3_bucket"));
                }
            }
            Some(StoreConfig::Directory { path: reader.path(&key("directory"), Some(directory))? })
        }
    }
}

fn s3(reader: &Reader<'_>, key: &dyn Fn(&str) -> String, bucket: &Text, keys: &StoreKeys<'_>) -> Option<StoreConfig> {
    let bucket = reader.quantity(&key("s3_bucket"), Some(bucket), bucket_name);
    let prefix = keys.s3_prefix.and_then(|written| reader.value(&key("s3_prefix"), written)).map_or_else(String::new, |value| prefix(&value.text));
    let region = reader.string(&key("region"), keys.region);
    let endpoint_url = reader.quantity(&key("endpoint_url"), keys.endpoint_url, endpoint);
    let kms_key_arn = reader.quantity(&key("kms_key_arn"), keys.kms_key_arn, kms_key);
    Some(StoreConfig::S3 { bucket: bucket?, prefix, region, endpoint_url, kms_key_arn })
}

/// Source: Amazon S3's rules for general purpose buckets.
fn bucket_name(text: &str) -> Result<String, String> {
    if text.starts_with("s3://") {
        return Err("a bucket is named without s3://; what follows its name belongs to s3_prefix".into());
    }
    let sound = (3..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric());
    if sound { Ok(text.to_owned()) } else { Err("a bucket's name has 3 to 63 lower-case letters, digits, dots and hyphens".into()) }
}

/// Without a leading slash; empty, or with one at the end.
fn prefix(text: &str) -> String {
    let bare = text.trim_matches('/');
    if bare.is_empty() { String::new() } else { format!("{bare}/") }
}

pub(super) fn endpoint(text: &str) -> Result<String, String> {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).ok_or("an endpoint begins with https:// or http://")?;
    if rest.contains('@') {
        return Err("an endpoint holds no credentials; they come from the environment or the AWS profile".into());
    }
    if rest.trim_matches('/').is_empty() {
        return Err("the host is missing".into());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

fn kms_key(text: &str) -> Result<String, String> {
    if text.starts_with("arn:") && text.contains(":kms:") {
        Ok(text.to_owned())
    } else {
        Err("a key's ARN looks like arn:aws:kms:REGION:ACCOUNT:key/ID".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_have_one_shape() {
        for (text, shaped) in [("", ""), ("/", ""), ("a", "a/"), ("/a/b/", "a/b/"), ("a/", "a/")] {
            assert_eq!(prefix(text), shaped);
        }
    }
}
