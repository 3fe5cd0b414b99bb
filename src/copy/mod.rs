//! The copy of one partition, free of I/O: events in, commands out.

mod aborter;
mod fillers;
mod leaf_row;
pub mod limits;
mod mapping;
mod merge;
pub mod partition_copy;
mod pieces;
mod proof;
mod segment_builder;
mod sequence;
#[cfg(test)]
mod simulation;

pub use aborter::OpenTransaction;
pub use mapping::{Projected, Projector};
pub use partition_copy::{Append, AppendBody, PartitionCopy, Position, Stop, TakeUp, unreadable};
pub use pieces::largest_record;
pub use segment_builder::SealedSegment;
