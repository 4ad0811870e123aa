//! The first exchange of each binary protocol, byte by byte: whether a server answers, asked without a client library.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

fn exchange<const N: usize>(stream: &mut TcpStream, request: &[u8]) -> io::Result<[u8; N]> {
    stream.write_all(request)?;
    let mut answer = [0; N];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// Whether anything accepts connections.
pub(crate) fn listens(address: SocketAddr) -> bool {
    connect(address).is_ok()
}

/// CONNECT as an MQTT 3.1.1 client without a name; a CONNACK of any code is an answer, also "not authorized".
pub(crate) fn mosquitto_answers(address: SocketAddr) -> bool {
    let connack =
        connect(address).and_then(|mut stream| exchange::<4>(&mut stream, b"\x10\x0c\0\x04MQTT\x04\x02\0\x05\0\0"));
    connack.is_ok_and(|[kind, length, ..]| (kind, length) == (0x20, 2))
}

/// OP_MSG with `{hello: 1, $db: "admin"}`; an OP_MSG in answer to it.
pub(crate) fn mongodb_answers(address: SocketAddr) -> bool {
    let hello = b"\x34\0\0\0\x01\0\0\0\0\0\0\0\xdd\x07\0\0\0\0\0\0\0\
        \x1f\0\0\0\x10hello\0\x01\0\0\0\x02$db\0\x06\0\0\0admin\0\0";
    let header = connect(address).and_then(|mut stream| exchange::<16>(&mut stream, hello));
    header.is_ok_and(|header| header.ends_with(b"\x01\0\0\0\xdd\x07\0\0"))
}

/// Bolt 4.4: the handshake, then HELLO with a user and password; SUCCESS means that they are right.
pub(crate) fn neo4j_answers(address: SocketAddr, user: &str, password: &str) -> bool {
    let log_in = || -> io::Result<bool> {
        let mut stream = connect(address)?;
        let version = exchange::<4>(&mut stream, b"\x60\x60\xb0\x17\0\0\x04\x04\0\0\0\0\0\0\0\0\0\0\0\0")?;
        if version != [0, 0, 4, 4] {
            return Ok(false);
        }
        let mut hello = b"\xb1\x01\xa4".to_vec();
        for (key, value) in
            [("user_agent", "wardline-test/1"), ("scheme", "basic"), ("principal", user), ("credentials", password)]
        {
            pack(&mut hello, key);
            pack(&mut hello, value);
        }
        let length = u16::try_from(hello.len()).map_err(io::Error::other)?;
        let message = [&length.to_be_bytes(), hello.as_slice(), &[0, 0]].concat();
        let [_, _, _, signature] = exchange::<4>(&mut stream, &message)?;
        Ok(signature == 0x70)
    };
    log_in().unwrap_or(false)
}

/// PackStream's string of up to 255 bytes.
fn pack(into: &mut Vec<u8>, text: &str) {
    into.push(0xd0);
    into.push(u8::try_from(text.len()).expect("short words only"));
    into.extend_from_slice(text.as_bytes());
}
