//! Frames on the port between host and VM: one byte of kind, four of length, then the payload.
//!
//! Everything goes over one port in frames of its own kind, so that a command's output arrives
//! unchanged and cannot be mistaken for the kernel's messages or for the exit status.

use std::io::{self, Read, Write};

/// The name of the virtio port; the VM finds it below `/sys/class/virtio-ports`.
pub const PORT: &str = "bailiff.vm";

/// Longest payload that either side may send; longer means that the stream is corrupt.
const LONGEST: usize = 1 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// VM to host, empty: process 1 runs and waits for its job.
    Ready,
    /// Host to VM: the encoded [`crate::job::Job`].
    Job,
    /// VM to host, empty: file systems are mounted and the command is about to start.
    Started,
    /// Host to VM: bytes for the command's standard input; empty means end of file.
    Stdin,
    /// Host to VM: rows and columns of the terminal, two `u16`.
    WindowSize,
    /// VM to host: bytes that the command wrote to its standard output.
    Stdout,
    /// VM to host: bytes that the command wrote to its standard error.
    Stderr,
    /// VM to host: the command's exit code, an `i32`; 128 + N for signal N.
    Exit,
    /// VM to host: process 1 could not do its part; the text says why.
    Failed,
}

const KINDS: [Kind; 9] = [
    Kind::Ready,
    Kind::Job,
    Kind::Started,
    Kind::Stdin,
    Kind::WindowSize,
    Kind::Stdout,
    Kind::Stderr,
    Kind::Exit,
    Kind::Failed,
];

impl Kind {
    fn from_byte(byte: u8) -> io::Result<Kind> {
        KINDS.get(usize::from(byte)).copied().ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("unknown frame kind {byte}"),
            )
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: Kind,
    pub payload: Vec<u8>,
}

/// Writes one frame, in one write so that frames of several writers would not be torn.
pub fn send(to: &mut impl Write, kind: Kind, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?;
    let mut bytes = Vec::with_capacity(5 + payload.len());
    bytes.push(kind as u8);
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(payload);
    to.write_all(&bytes)
}

/// Reads one frame; `None` at the end of the stream.
pub fn receive(from: &mut impl Read) -> io::Result<Option<Frame>> {
    let mut head = [0u8; 5];
    if let Err(error) = from.read_exact(&mut head) {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok(None),
            _ => Err(error),
        };
    }
    let mut payload = vec![0; length(&head)?];
    from.read_exact(&mut payload)?;
    Ok(Some(Frame {
        kind: Kind::from_byte(head[0])?,
        payload,
    }))
}

/// Puts frames together from pieces as they arrive, for a reader that must not block.
#[derive(Default)]
pub struct Assembler {
    bytes: Vec<u8>,
}

impl Assembler {
    pub fn push(&mut self, piece: &[u8]) {
        self.bytes.extend_from_slice(piece);
    }

    pub fn next_frame(&mut self) -> io::Result<Option<Frame>> {
        let Some(head) = self.bytes.first_chunk::<5>() else {
            return Ok(None);
        };
        let end = 5 + length(head)?;
        if self.bytes.len() < end {
            return Ok(None);
        }
        let kind = Kind::from_byte(head[0])?;
        let payload = self.bytes[5..end].to_vec();
        self.bytes.drain(..end);
        Ok(Some(Frame { kind, payload }))
    }
}

fn length(head: &[u8; 5]) -> io::Result<usize> {
    let length = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if length > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a frame of {length} bytes: the stream is corrupt"),
        ));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_survives_the_round_trip() {
        for kind in KINDS {
            let mut wire = Vec::new();
            send(&mut wire, kind, b"abc").unwrap();
            let frame = receive(&mut wire.as_slice()).unwrap().unwrap();
            assert_eq!(
                frame,
                Frame {
                    kind,
                    payload: b"abc".to_vec()
                }
            );
        }
    }

    #[test]
    fn frames_are_put_together_from_single_bytes() {
        let mut wire = Vec::new();
        send(&mut wire, Kind::Stdout, b"hello").unwrap();
        send(&mut wire, Kind::Stdin, b"").unwrap();
        let mut assembler = Assembler::default();
        let mut frames = Vec::new();
        for byte in wire {
            assembler.push(&[byte]);
            frames.extend(assembler.next_frame().unwrap());
        }
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].payload, b"hello");
        assert_eq!(frames[1].kind, Kind::Stdin);
    }

    #[test]
    fn a_corrupt_length_is_an_error() {
        assert!(receive(&mut [0u8, 255, 255, 255, 255].as_slice()).is_err());
    }
}
