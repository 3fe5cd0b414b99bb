//! What lies in the store is Kafka's own format, and a partition can be had from it alone.

use std::path::{Path, PathBuf};

use kferry::domain::batch::{self, Batch};
use kferry::domain::record;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::finished::{TOPICS, finished};
use crate::lab::Agent;
use crate::migration::{Lab, Migration};

/// A partition's manifests with their segments' files, by take and first offset.
fn manifests(migration: &Migration, topic: &str, partition: i32) -> Vec<(Value, PathBuf)> {
    let folder = migration.segments().join(topic).join(partition.to_string());
    let mut files: Vec<PathBuf> = folders(&folder).iter().flat_map(|take| folders(take)).filter(|p| p.to_string_lossy().ends_with(".manifest.json")).collect();
    files.sort();
    let read = |path: PathBuf| {
        let log = path.display().to_string().replace(".manifest.json", ".log");
        (serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(), log.into())
    };
    files.into_iter().map(read).collect()
}

fn folders(path: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
    bytes.as_ref().iter().map(|b| format!("{b:02x}")).collect()
}

/// The batches of `start..end`, each once: takes may overlap, later ones win.
fn rebuild(migration: &Migration, topic: &str, partition: i32, start: i64, end: i64) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for (manifest, log) in manifests(migration, topic, partition) {
        let bytes = std::fs::read(&log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        assert_eq!(manifest["sha256"], hex(Sha256::digest(&bytes)), "{}", log.display());
        assert_eq!(manifest["bytes"], bytes.len());
        let stored = batch::split(bytes.into()).unwrap();
        let span = (stored[0].base_offset, stored.last().unwrap().next_offset());
        assert_eq!((manifest["base_offset"].as_i64(), manifest["next_offset"].as_i64()), (Some(span.0), Some(span.1)));
        batches.retain(|b| b.next_offset() <= span.0);
        batches.extend(stored);
    }
    batches.retain(|b| b.next_offset() > start && b.base_offset < end);
    for pair in batches.windows(2) {
        assert_eq!(pair[0].next_offset(), pair[1].base_offset, "{topic}-{partition} has a gap");
    }
    batches
}

/// The digest that the Java judge computes over a partition, from the records of these batches.
fn digest(batches: &[Batch], start: i64) -> (u64, String) {
    let (mut chain, mut count) = (Sha256::new(), 0);
    for batch in batches.iter().filter(|b| !b.is_control()) {
        let records = record::decompress(batch.codec().unwrap(), &batch.payload()).unwrap();
        for item in record::walk(&records, batch.base_offset, batch.base_timestamp) {
            let item = item.unwrap();
            if item.offset < start {
                continue;
            }
            chain.update(canonical(&item));
            count += 1;
        }
    }
    (count, hex(chain.finalize()))
}

/// `Canon.java`'s form of a record: offset, timestamp, its type (0: the creator's), key, value, headers.
fn canonical(item: &record::Record<'_>) -> [u8; 32] {
    let mut one = Sha256::new();
    let mut raw_headers = Vec::new();
    item.canonical(|bytes| raw_headers = bytes.to_vec());
    let mut headers = &raw_headers[..];
    [item.offset, item.timestamp, 0].iter().for_each(|number| one.update(number.to_be_bytes()));
    let mut part = |bytes: Option<&[u8]>| {
        one.update(bytes.map_or(-1, |b| b.len() as i64).to_be_bytes());
        one.update(bytes.unwrap_or_default());
    };
    part(item.key);
    part(item.value);
    let count = varint(&mut headers);
    let mut tail = count.to_be_bytes().to_vec();
    for _ in 0..count * 2 {
        let length = varint(&mut headers);
        tail.extend(length.to_be_bytes());
        let (bytes, rest) = headers.split_at(length.max(0) as usize);
        tail.extend(bytes);
        headers = rest;
    }
    one.update(tail);
    one.finalize().into()
}

/// Kafka's zigzag varint.
fn varint(bytes: &mut &[u8]) -> i64 {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let (byte, rest) = bytes.split_first().expect("a whole varint");
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return ((value >> 1) as i64) ^ -((value & 1) as i64);
        }
    }
}

#[test]
fn kafka_dump_log_reads_a_stored_segment() {
    let (lab, migration) = (Lab::shared(), finished());
    for topic in TOPICS {
        let all = manifests(migration, topic, 0);
        let (manifest, log) = all.first().unwrap_or_else(|| panic!("no segment of {topic}-0 is stored"));
        let name = log.file_name().unwrap().to_str().unwrap();
        assert!(name.len() == 24 && name[..20].bytes().all(|b| b.is_ascii_digit()), "{name} is not named as Kafka names a segment");
        let copy = migration.dir().join(name);
        std::fs::copy(log, &copy).unwrap();
        let text = lab.target.dump_log(&copy);
        assert_eq!(text.matches("| offset: ").count() as u64, manifest["records"].as_u64().unwrap(), "{topic}: {}", &text[..text.len().min(2_000)]);
        assert!(text.contains(&format!("baseOffset: {}", manifest["base_offset"])), "{topic}");
        assert!(!text.contains("isvalid: false") && !text.contains("Found non-consecutive"), "{topic}");
        std::fs::remove_file(copy).unwrap();
    }
}

#[test]
fn a_partition_is_rebuilt_from_its_segments_alone() {
    let (lab, migration) = (Lab::shared(), finished());
    let source = Agent::shared().dump(&lab.source.bootstrap(), &TOPICS, false);
    for ((topic, partition), dumped) in source {
        let batches = rebuild(migration, &topic, partition, dumped.log_start, dumped.log_end);
        let ends = (batches[0].base_offset, batches.last().unwrap().next_offset());
        assert!(ends.0 <= dumped.log_start && ends.1 == dumped.log_end, "{topic}-{partition}: segments hold {ends:?} of {dumped:?}");
        assert_eq!(digest(&batches, dumped.log_start), (dumped.count, dumped.digest), "{topic}-{partition}");
    }
}
