//! Scalars of the YAML file with the place where they stand.

use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};
use std::fmt;

/// A place in the configuration file.
///
/// **Units**: lines and columns count from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub line: usize,
    pub column: usize,
}

impl From<Location> for Mark {
    fn from(location: Location) -> Self {
        let number = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).max(1);
        Self { line: number(location.line()), column: number(location.column()) }
    }
}

/// One scalar as it is written, before `${ENV}` is expanded; every leaf is read as text, so that a password of digits keeps its zeros.
#[derive(Clone)]
pub(super) struct Text {
    pub written: String,
    pub mark: Mark,
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<String>::deserialize(deserializer)?;
        Ok(Self { written: spanned.value, mark: spanned.referenced.into() })
    }
}

/// A list of scalars, or one scalar in place of a list of one.
#[derive(Clone)]
pub(super) struct Texts {
    pub items: Vec<Text>,
    pub mark: Mark,
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<ScalarOrList>::deserialize(deserializer)?;
        let mark = spanned.referenced.into();
        let items = match spanned.value {
            ScalarOrList::Scalar(written) => vec![Text { written, mark }],
            ScalarOrList::List(items) => items,
        };
        Ok(Self { items, mark })
    }
}

enum ScalarOrList {
    Scalar(String),
    List(Vec<Text>),
}

impl<'de> Deserialize<'de> for ScalarOrList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seen;

        impl<'de> Visitor<'de> for Seen {
            type Value = ScalarOrList;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or a list of strings; put quotes around what looks like a number")
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Self::Value, E> {
                Ok(ScalarOrList::Scalar(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<Text>()? {
                    if items.len() == ITEMS_MAX {
                        return Err(A::Error::custom(format!("a list holds more than {ITEMS_MAX} items")));
                    }
                    items.push(item);
                }
                Ok(ScalarOrList::List(items))
            }
        }

        deserializer.deserialize_any(Seen)
    }
}

/// Most items of one list; a longer one is a mistake or an attack.
const ITEMS_MAX: usize = 100_000;
