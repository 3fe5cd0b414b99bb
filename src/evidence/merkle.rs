//! Merkle tree over leaf digests, kept as a frontier.

use crate::domain::digest::Digest;
use serde::{Deserialize, Serialize};

/// The right edge of a growing Merkle tree, from which its root follows; a few dozen digests at most.
///
/// **Source**: RFC 6962, section 2.1. The tree's inputs are the leaf digests, so that a leaf's hash is
/// `SHA-256(0x00 ‖ leaf digest)` and an inner node's `SHA-256(0x01 ‖ left ‖ right)`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Frontier {
    leaves: u64,
    /// Roots of the perfect subtrees, largest first: one for each bit that is set in `leaves`.
    nodes: Vec<Digest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    leaves: u64,
    nodes: Vec<Digest>,
}

impl TryFrom<Unchecked> for Frontier {
    type Error = String;

    fn try_from(Unchecked { leaves, nodes }: Unchecked) -> Result<Self, String> {
        if nodes.len() != leaves.count_ones() as usize {
            return Err(format!("a tree of {leaves} leaves has {} nodes on its edge, not {}", leaves.count_ones(), nodes.len()));
        }
        Ok(Self { leaves, nodes })
    }
}

impl Frontier {
    /// Appends a leaf.
    pub fn push(&mut self, leaf_digest: [u8; 32]) {
        self.push_input(&leaf_digest);
    }

    fn push_input(&mut self, input: &[u8]) {
        let mut node = Digest::of_parts(&[&[0], input]);
        // As a binary counter carries: two subtrees of the same size become one.
        for _ in 0..self.leaves.trailing_ones() {
            match self.nodes.pop() {
                Some(left) => node = parent(&left, &node),
                None => unreachable!("a frontier has one node for each bit of its count"),
            }
        }
        self.nodes.push(node);
        self.leaves += 1;
    }

    /// The tree's root; without a leaf, the digest of nothing.
    pub fn root(&self) -> [u8; 32] {
        let root = self.nodes.iter().rev().copied().reduce(|right, left| parent(&left, &right));
        *root.unwrap_or_else(|| Digest::of([])).bytes()
    }

    /// How many leaves the tree has.
    pub fn len(&self) -> u64 {
        self.leaves
    }

    pub fn is_empty(&self) -> bool {
        self.leaves == 0
    }
}

fn parent(left: &Digest, right: &Digest) -> Digest {
    Digest::of_parts(&[&[1], left.bytes(), right.bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Inputs and roots of the reference implementation of certificate transparency (`merkle_tree_test.cc`).
    const INPUTS: [&[u8]; 8] = [
        b"",
        b"\x00",
        b"\x10",
        b"\x20\x21",
        b"\x30\x31",
        b"\x40\x41\x42\x43",
        b"\x50\x51\x52\x53\x54\x55\x56\x57",
        b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
    ];
    const ROOTS: [&str; 9] = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];

    fn hex(root: [u8; 32]) -> String {
        Digest::from_bytes(root).to_string()
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        let mut tree = Frontier::default();
        assert_eq!(hex(tree.root()), ROOTS[0]);
        for (input, root) in INPUTS.iter().zip(&ROOTS[1..]) {
            tree.push_input(input);
            assert_eq!(hex(tree.root()), *root, "{} leaves", tree.len());
        }
    }

    /// The definition of RFC 6962, word for word.
    fn defined(inputs: &[[u8; 32]]) -> Digest {
        match inputs {
            [] => Digest::of([]),
            [input] => Digest::of_parts(&[&[0], input]),
            _ => {
                let split = inputs.len().next_power_of_two() / 2;
                parent(&defined(&inputs[..split]), &defined(&inputs[split..]))
            }
        }
    }

    proptest! {
        #[test]
        fn the_frontier_is_the_tree_of_the_definition_also_when_it_is_stored_on_the_way(count in 0usize..200, stored_at in 0usize..200) {
            let inputs: Vec<[u8; 32]> = (0..count).map(|i| *Digest::of(i.to_be_bytes()).bytes()).collect();
            let mut tree = Frontier::default();
            for (i, input) in inputs.iter().enumerate() {
                if i == stored_at {
                    tree = serde_json::from_str(&serde_json::to_string(&tree).unwrap()).unwrap();
                }
                tree.push(*input);
            }
            prop_assert_eq!((tree.len(), tree.root()), (count as u64, *defined(&inputs).bytes()));
        }
    }

    #[test]
    fn it_is_stored_in_a_few_words_and_read_strictly() {
        let mut tree = Frontier::default();
        (0..5).for_each(|i| tree.push([i; 32]));
        let text = serde_json::to_string(&tree).unwrap();
        assert_eq!(text, format!(r#"{{"leaves":5,"nodes":["{}","{}"]}}"#, tree.nodes[0], tree.nodes[1]));
        assert!(serde_json::from_str::<Frontier>(&text.replace(":5", ":7")).is_err());
        assert!(serde_json::from_str::<Frontier>(&text.replace(":5", ":4")).is_err());
    }
}
