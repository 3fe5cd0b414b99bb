//! The few bytes of Kafka's protocol that tell whether a broker answers and whom it knows, and those of clients older than any library here.

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

/// A consumer as clients were before 2.1: it joins a group by the first version of every request, which brokers from 4.0 on refuse.
pub struct OldConsumer {
    _stream: TcpStream,
}

impl OldConsumer {
    /// Joins as the group's only member and stays for as long as `SESSION_MS` without a heartbeat; the broker has to be the group's coordinator.
    pub fn join(port: u16, group: &str, topic: &str) -> Option<Self> {
        const JOIN_GROUP: i16 = 11;
        const SYNC_GROUP: i16 = 14;
        const SESSION_MS: i32 = 30_000;
        let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), Duration::from_millis(500)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        // Version 0 of what a consumer says of itself: its topics, and nothing of its own.
        let mut subscription = [&0_i16.to_be_bytes()[..], &1_i32.to_be_bytes()].concat();
        subscription.extend(written(topic));
        subscription.extend((-1_i32).to_be_bytes());
        let mut join = [written(group), SESSION_MS.to_be_bytes().to_vec(), written(""), written("consumer"), 1_i32.to_be_bytes().to_vec(), written("range")].concat();
        join.extend(bytes(&subscription));
        let answer = call(&mut stream, JOIN_GROUP, &join)?;
        let mut rest = &answer[..];
        let (error, tail) = rest.split_first_chunk::<2>()?;
        rest = tail;
        if i16::from_be_bytes(*error) != 0 {
            return None;
        }
        let generation = int(&mut rest)?;
        text(&mut rest)?; // protocol
        text(&mut rest)?; // leader
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk::<2>()?));
        let member = std::str::from_utf8(rest.get(2..2 + length)?).ok()?;
        let sync = [written(group), generation.to_be_bytes().to_vec(), written(member), 1_i32.to_be_bytes().to_vec(), written(member), bytes(&[])].concat();
        let answer = call(&mut stream, SYNC_GROUP, &sync)?;
        (answer.first_chunk::<2>() == Some(&[0, 0])).then_some(Self { _stream: stream })
    }
}

/// One request of version 0 and its answer, without the correlation id.
fn call(stream: &mut TcpStream, api_key: i16, body: &[u8]) -> Option<Vec<u8>> {
    let request = [&api_key.to_be_bytes()[..], &0_i16.to_be_bytes(), &7_i32.to_be_bytes(), &written("lab"), body].concat();
    stream.write_all(&bytes(&request)).ok()?;
    let mut length = [0; 4];
    stream.read_exact(&mut length).ok()?;
    let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).ok().filter(|n| *n <= 1 << 20)?];
    stream.read_exact(&mut answer).ok()?;
    answer.get(4..).map(<[u8]>::to_vec)
}

fn written(text: &str) -> Vec<u8> {
    [&(text.len() as i16).to_be_bytes()[..], text.as_bytes()].concat()
}

fn bytes(content: &[u8]) -> Vec<u8> {
    [&(content.len() as i32).to_be_bytes()[..], content].concat()
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
