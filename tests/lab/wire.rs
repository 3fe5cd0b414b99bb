//! The few bytes of Kafka's protocol that tell whether a broker answers and whom it knows.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// What a broker says of its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub brokers: Vec<i32>,
    pub controller: i32,
}

/// Asks one broker for the cluster's brokers (Metadata version 1, no topics); nothing if it does not answer well.
pub fn metadata(port: u16) -> Option<Known> {
    const REQUEST: [u8; 21] = [
        0, 0, 0, 17, // length
        0, 3, 0, 1, 0, 0, 0, 7, // api key, version, correlation id
        0, 3, b'l', b'a', b'b', // client id
        0, 0, 0, 0, // no topics
    ];
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(500)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(&REQUEST).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let length = u32::from_be_bytes(length) as usize;
    if length > 1 << 20 {
        return None;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let mut rest = &body[..];
    int(&mut rest)?; // correlation id
    let mut brokers = Vec::new();
    for _ in 0..int(&mut rest)? {
        brokers.push(int(&mut rest)?);
        text(&mut rest)?; // host
        int(&mut rest)?; // port
        text(&mut rest)?; // rack
    }
    brokers.sort_unstable();
    Some(Known { brokers, controller: int(&mut rest)? })
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    let (head, tail) = rest.split_first_chunk::<4>()?;
    *rest = tail;
    Some(i32::from_be_bytes(*head))
}

fn text(rest: &mut &[u8]) -> Option<()> {
    let (head, tail) = rest.split_first_chunk::<2>()?;
    let length = usize::try_from(i16::from_be_bytes(*head)).unwrap_or(0);
    *rest = tail.get(length..)?;
    Some(())
}
