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

/// Finds one leaf's audit path while all leaves of the tree pass by; needs no more memory than a frontier.
///
/// **Source**: RFC 6962, section 2.1.1.
#[derive(Debug, Default)]
pub struct PathFinder {
    leaves: u64,
    /// As [`Frontier`]'s nodes; set for the one that the leaf lies below.
    nodes: Vec<(Digest, bool)>,
    path: Vec<Digest>,
}

impl PathFinder {
    /// Appends a leaf; exactly one is the one whose path is wanted.
    pub fn push(&mut self, leaf_digest: &Digest, wanted: bool) {
        let mut node = (leaf_node(leaf_digest), wanted);
        for _ in 0..self.leaves.trailing_ones() {
            if let Some(left) = self.nodes.pop() {
                node = self.join(left, node);
            }
        }
        self.nodes.push(node);
        self.leaves += 1;
    }

    fn join(&mut self, left: (Digest, bool), right: (Digest, bool)) -> (Digest, bool) {
        match (left.1, right.1) {
            (true, _) => self.path.push(right.0),
            (_, true) => self.path.push(left.0),
            (false, false) => {}
        }
        (parent(&left.0, &right.0), left.1 || right.1)
    }

    /// The tree's size and root, and the path from the wanted leaf to it, that leaf's sibling first.
    pub fn finish(mut self) -> (u64, Digest, Vec<Digest>) {
        let mut edge = self.nodes.pop();
        while let (Some(right), Some(left)) = (edge, self.nodes.pop()) {
            edge = Some(self.join(left, right));
        }
        (self.leaves, edge.map_or_else(|| Digest::of([]), |(root, _)| root), self.path)
    }
}

/// The root that a path leads to from the leaf of this number in a tree of so many; None where the path does not fit the tree.
///
/// **Source**: RFC 9162, section 2.1.3.2.
pub fn root_by_path(leaf_digest: &Digest, number: u64, leaves: u64, path: &[Digest]) -> Option<Digest> {
    let (mut at, mut last) = (number, leaves.checked_sub(1).filter(|last| number <= *last)?);
    let mut node = leaf_node(leaf_digest);
    for sibling in path {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            node = parent(sibling, &node);
            // Levels where the right edge has no sibling.
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            node = parent(&node, sibling);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(node)
}

fn leaf_node(leaf_digest: &Digest) -> Digest {
    Digest::of_parts(&[&[0], leaf_digest.bytes()])
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

    fn path_of(inputs: &[Digest], number: u64) -> (u64, Digest, Vec<Digest>) {
        let mut finder = PathFinder::default();
        inputs.iter().zip(0..).for_each(|(input, n)| finder.push(input, n == number));
        finder.finish()
    }

    #[test]
    fn every_leaf_of_every_small_tree_has_a_path() {
        let inputs: Vec<Digest> = (0..300u64).map(|i| Digest::of(i.to_be_bytes())).collect();
        let mut tree = Frontier::default();
        for size in 1..=300 {
            let inputs = &inputs[..size as usize];
            tree.push(*inputs[inputs.len() - 1].bytes());
            for (leaf, number) in inputs.iter().zip(0..) {
                let (leaves, root, path) = path_of(inputs, number);
                assert_eq!((leaves, *root.bytes()), (size, tree.root()));
                assert_eq!(root_by_path(leaf, number, leaves, &path), Some(root), "leaf {number} of {size}");
                assert!(path.len() <= 9);
                // Neither another place nor a path of another length.
                let other = (number + 1) % size;
                assert!(other == number || root_by_path(leaf, other, leaves, &path) != Some(root));
                assert_eq!(root_by_path(leaf, number, leaves, &[&path[..], &[root]].concat()), None);
                assert!(path.is_empty() || root_by_path(leaf, number, leaves, &path[1..]) != Some(root));
            }
        }
        assert_eq!(root_by_path(&inputs[0], 0, 0, &[]), None);
        assert_eq!(root_by_path(&inputs[0], 5, 5, &[]), None);
    }

    proptest! {
        #[test]
        fn a_path_with_a_changed_bit_leads_elsewhere(size in 1u64..600, place in any::<u64>(), bit in any::<usize>()) {
            let inputs: Vec<Digest> = (0..size).map(|i| Digest::of(i.to_be_bytes())).collect();
            let number = place % size;
            let (leaves, root, path) = path_of(&inputs, number);
            let mut all: Vec<Digest> = [&[inputs[number as usize]], &path[..]].concat();
            let bit = bit % (all.len() * 256);
            let mut bytes = *all[bit / 256].bytes();
            bytes[bit % 256 / 8] ^= 1 << (bit % 8);
            all[bit / 256] = Digest::from_bytes(bytes);
            prop_assert_ne!(root_by_path(&all[0], number, leaves, &all[1..]), Some(root));
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
