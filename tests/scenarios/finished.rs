//! A small migration that has come to its end, made once and looked at by several scenarios.

use std::sync::OnceLock;

use crate::lab::{Agent, Consume, Load, Topic};
use crate::migration::{Lab, Migration};

pub const TOPICS: [&str; 3] = ["small-orders", "small-single", "small-trimmed"];

/// Finalized, verified and judged equal.
pub fn finished() -> &'static Migration {
    static FINISHED: OnceLock<Migration> = OnceLock::new();
    FINISHED.get_or_init(|| {
        let (lab, agent) = (Lab::shared(), Agent::shared());
        let source = lab.source.bootstrap();
        agent.create_topics(&source, &TOPICS.map(|name| Topic::new(name, 2)));
        agent.produce(&source, "small-orders", &Load::records(20_000).values(200, 600).codec("lz4").odd_headers().nulls(0.1, 0.1));
        agent.produce(&source, "small-single", &Load::records(500).values(20, 60).one_record_batches());
        agent.produce(&source, "small-trimmed", &Load::records(4_000).codec("zstd").batches(4 << 10, 20));
        agent.delete_records(&source, "small-trimmed", 0, 777);
        agent.consume(&source, &Consume::to_end("small-readers", &["small-orders"]).records_per_partition(1_000));
        let migration = lab.setup("small").set("seed.segment_max_bytes", "1MiB").begin();
        migration.execute();
        migration.cutover();
        migration.conclude();
        migration.expect_same(lab, &TOPICS);
        migration.expect_verified();
        migration
    })
}
