//! WebSocket messages out of the bytes of one direction (RFC 6455, with permessage-deflate of RFC 7692).
//!
//! A recorder passes the bytes on as they are; this reads a copy of them.

use flate2::{Decompress, FlushDecompress, Status};

/// Larger messages are counted and not held: 64 MiB.
pub const MAX_MESSAGE: usize = 64 << 20;

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// UTF-8.
    Text,
    /// Bytes.
    Binary,
    /// The end, as announced by one side.
    Close,
    /// A question whether the other side is there.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    /// Its name in a recording.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Binary => "binary",
            Self::Close => "close",
            Self::Ping => "ping",
            Self::Pong => "pong",
        }
    }
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// A whole message, decompressed and put together.
    Whole {
        /// What it is.
        opcode: Opcode,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// A message that is larger than [`MAX_MESSAGE`].
    TooLarge {
        /// How many bytes it has on the wire.
        bytes: u64,
    },
    /// These bytes are no WebSocket frames, or cannot be decompressed: nothing more is read from this direction.
    Broken {
        /// Why.
        why: &'static str,
    },
}

/// The code and the reason of a close message's payload (RFC 6455, 5.5.1).
pub fn close_code(payload: &[u8]) -> Option<(u16, &str)> {
    let (code, reason) = payload.split_first_chunk::<2>()?;
    let reason = std::str::from_utf8(reason).unwrap_or("");
    Some((u16::from_be_bytes(*code), reason))
}

/// Reads one direction of a connection.
#[derive(Debug)]
pub struct Reader {
    /// Bytes of a frame's head that is not whole.
    head: Vec<u8>,
    /// The frame whose payload is being read.
    frame: Option<Frame>,
    /// The data message that is being put together, control frames may stand between its parts.
    data: Partial,
    control: Vec<u8>,
    inflate: Option<Decompress>,
    broken: bool,
}

#[derive(Debug, Default)]
struct Partial {
    opcode: Option<Opcode>,
    compressed: bool,
    payload: Vec<u8>,
    /// Set once it is too large.
    skipped: Option<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Frame {
    fin: bool,
    control: Option<Opcode>,
    left: u64,
    mask: Option<[u8; 4]>,
    at: usize,
}

impl Reader {
    /// A reader of a direction; `deflate` if permessage-deflate was agreed on.
    pub fn new(deflate: bool) -> Self {
        Self {
            head: Vec::new(),
            frame: None,
            data: Partial::default(),
            control: Vec::new(),
            inflate: deflate.then(|| Decompress::new(false)),
            broken: false,
        }
    }

    /// A reader of a direction whose bytes make no sense any more: it takes them and finds nothing.
    pub fn broken() -> Self {
        Self {
            broken: true,
            ..Self::new(false)
        }
    }

    /// Takes the next bytes and appends what became whole to `out`.
    pub fn read(&mut self, mut bytes: &[u8], out: &mut Vec<Message>) {
        while !bytes.is_empty() && !self.broken {
            let done = match self.frame {
                None => self.read_head(&mut bytes),
                Some(frame) => {
                    self.read_payload(frame, &mut bytes);
                    Ok(())
                }
            };
            if let Err(why) = done.and_then(|()| self.finish_frame(out)) {
                self.broken = true;
                out.push(Message::Broken { why });
            }
        }
    }

    /// Whether the direction ended inside a message.
    pub fn is_inside(&self) -> bool {
        !self.broken
            && (!self.head.is_empty() || self.frame.is_some() || self.data.opcode.is_some())
    }

    fn read_head(&mut self, bytes: &mut &[u8]) -> Result<(), &'static str> {
        let Some((byte, rest)) = bytes.split_first() else {
            return Ok(());
        };
        self.head.push(*byte);
        *bytes = rest;
        let [first, second, more @ ..] = self.head.as_slice() else {
            return Ok(());
        };
        let (length, more) = match second & 0x7f {
            126 => match more.split_first_chunk::<2>() {
                Some((length, more)) => (u64::from(u16::from_be_bytes(*length)), more),
                None => return Ok(()),
            },
            127 => match more.split_first_chunk::<8>() {
                Some((length, more)) => (u64::from_be_bytes(*length), more),
                None => return Ok(()),
            },
            length => (u64::from(length), more),
        };
        let mask = if second & 0x80 == 0 {
            None
        } else {
            match more.first_chunk::<4>() {
                Some(mask) => Some(*mask),
                None => return Ok(()),
            }
        };
        let (fin, compressed) = (first & 0x80 != 0, first & 0x40 != 0);
        if first & 0x30 != 0 || (compressed && self.inflate.is_none()) {
            return Err("a frame with bits that nobody agreed on");
        }
        let control = match first & 0x0f {
            0 if self.data.opcode.is_some() => None,
            code @ (1 | 2) if self.data.opcode.is_none() => {
                self.data = Partial {
                    opcode: Some(if code == 1 {
                        Opcode::Text
                    } else {
                        Opcode::Binary
                    }),
                    compressed,
                    ..Partial::default()
                };
                None
            }
            8 => Some(Opcode::Close),
            9 => Some(Opcode::Ping),
            10 => Some(Opcode::Pong),
            _ => return Err("a frame out of order"),
        };
        if control.is_some() && (length > 125 || !fin) {
            return Err("a control frame that is too long");
        }
        self.head.clear();
        self.frame = Some(Frame {
            fin,
            control,
            left: length,
            mask,
            at: 0,
        });
        Ok(())
    }

    fn read_payload(&mut self, mut frame: Frame, bytes: &mut &[u8]) {
        let count = usize::try_from(frame.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (part, rest) = bytes.split_at(count);
        *bytes = rest;
        let size = self.data.payload.len() + count;
        let into = if frame.control.is_some() {
            Some(&mut self.control)
        } else if let Some(skipped) = &mut self.data.skipped {
            *skipped += count as u64;
            None
        } else if size > MAX_MESSAGE {
            self.data.skipped = Some(size as u64);
            self.data.payload = Vec::new();
            None
        } else {
            Some(&mut self.data.payload)
        };
        if let Some(into) = into {
            match frame.mask {
                None => into.extend_from_slice(part),
                Some(mask) => into.extend(
                    part.iter()
                        .zip(mask.iter().cycle().skip(frame.at % 4))
                        .map(|(byte, mask)| byte ^ mask),
                ),
            }
        }
        frame.left -= count as u64;
        frame.at += count;
        self.frame = Some(frame);
    }

    fn finish_frame(&mut self, out: &mut Vec<Message>) -> Result<(), &'static str> {
        let Some(frame) = self.frame.filter(|it| it.left == 0) else {
            return Ok(());
        };
        self.frame = None;
        if let Some(opcode) = frame.control {
            let payload = std::mem::take(&mut self.control);
            out.push(Message::Whole { opcode, payload });
            return Ok(());
        }
        if !frame.fin {
            return Ok(());
        }
        let data = std::mem::take(&mut self.data);
        let Some(opcode) = data.opcode else {
            return Ok(());
        };
        if let Some(bytes) = data.skipped {
            out.push(Message::TooLarge { bytes });
            // what it would have left in the window is not known
            return if data.compressed {
                Err("a compressed message that is too large")
            } else {
                Ok(())
            };
        }
        let payload = match &mut self.inflate {
            Some(inflate) if data.compressed => inflated(inflate, data.payload)?,
            _ => data.payload,
        };
        out.push(Message::Whole { opcode, payload });
        Ok(())
    }
}

/// Decompresses one message; the window stays for the next one.
fn inflated(inflate: &mut Decompress, mut payload: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    payload.extend_from_slice(&[0, 0, 0xff, 0xff]);
    let mut out = Vec::with_capacity(payload.len().saturating_mul(4).min(MAX_MESSAGE));
    let mut rest = payload.as_slice();
    while !rest.is_empty() {
        if out.len() == out.capacity() {
            if out.len() >= MAX_MESSAGE {
                return Err("a compressed message that is too large");
            }
            out.reserve(out.len().max(1024));
        }
        let (before, size) = (inflate.total_in(), out.len());
        let status = inflate
            .decompress_vec(rest, &mut out, FlushDecompress::Sync)
            .map_err(|_no_detail| "a message that cannot be decompressed")?;
        let used = (inflate.total_in() - before) as usize;
        rest = rest.get(used..).unwrap_or(&[]);
        match status {
            // a sender may end the stream with a message and begin another
            Status::StreamEnd => inflate.reset(false),
            Status::BufError if used == 0 && out.len() == size && out.len() < out.capacity() => {
                return Err("a message that cannot be decompressed");
            }
            _ => {}
        }
    }
    // the last bytes may still be inside
    loop {
        if out.len() < out.capacity() {
            return Ok(out);
        }
        if out.len() >= MAX_MESSAGE {
            return Err("a compressed message that is too large");
        }
        let size = out.len();
        out.reserve(size.max(1024));
        let done = inflate.decompress_vec(&[], &mut out, FlushDecompress::Sync);
        if done.is_err() || out.len() == size {
            return Ok(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    fn frame(first: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut bytes = vec![first];
        let bit = if mask.is_some() { 0x80 } else { 0 };
        match payload.len() {
            0..126 => bytes.push(bit | payload.len() as u8),
            126..65536 => {
                bytes.push(bit | 0x7e);
                bytes.extend((payload.len() as u16).to_be_bytes());
            }
            _ => {
                bytes.push(bit | 0x7f);
                bytes.extend((payload.len() as u64).to_be_bytes());
            }
        }
        bytes.extend(mask.iter().flatten());
        let mask = mask.unwrap_or_default();
        bytes.extend(
            payload
                .iter()
                .enumerate()
                .map(|(at, byte)| byte ^ mask[at % 4]),
        );
        bytes
    }

    fn read(reader: &mut Reader, bytes: &[u8], step: usize) -> Vec<Message> {
        let mut out = Vec::new();
        for piece in bytes.chunks(step) {
            reader.read(piece, &mut out);
        }
        out
    }

    fn text(text: &str) -> Message {
        Message::Whole {
            opcode: Opcode::Text,
            payload: text.as_bytes().to_vec(),
        }
    }

    #[test]
    fn parts_are_put_together_and_control_frames_may_stand_between() {
        let mut bytes = frame(0x01, b"hel", Some([1, 2, 3, 4]));
        bytes.extend(frame(0x89, b"?", Some([9, 9, 9, 9])));
        bytes.extend(frame(0x80, b"lo", Some([5, 6, 7, 8])));
        bytes.extend(frame(0x81, &b"x".repeat(70_000), None));
        bytes.extend(frame(0x88, b"\x03\xe8bye", None));
        for step in [1, 2, 5, 100_000] {
            let found = read(&mut Reader::new(false), &bytes, step);
            let ping = Message::Whole {
                opcode: Opcode::Ping,
                payload: b"?".to_vec(),
            };
            assert_eq!(found[..2], [ping, text("hello")], "{step}");
            assert_eq!(found[2], text(&"x".repeat(70_000)));
            let Message::Whole { opcode, payload } = &found[3] else {
                panic!("{found:?}");
            };
            assert_eq!(*opcode, Opcode::Close);
            assert_eq!(close_code(payload), Some((1000, "bye")));
        }
    }

    #[test]
    fn an_end_inside_a_message_shows() {
        let mut reader = Reader::new(false);
        let bytes = frame(0x81, b"hello", None);
        assert_eq!(read(&mut reader, &bytes[..4], 10), []);
        assert!(reader.is_inside());
        assert_eq!(read(&mut reader, &bytes[4..], 10), [text("hello")]);
        assert!(!reader.is_inside());
    }

    #[test]
    fn what_is_no_websocket_is_said_once() {
        let mut reader = Reader::new(false);
        let found = read(&mut reader, b"\xc1\x05hello and more", 100);
        assert!(
            matches!(found.as_slice(), [Message::Broken { .. }]),
            "{found:?}"
        );
        assert_eq!(read(&mut reader, b"\x81\x01x", 100), []);
    }

    fn deflated(deflate: &mut Compress, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len() * 2 + 100);
        deflate
            .compress_vec(text, &mut out, FlushCompress::Sync)
            .unwrap();
        assert!(out.ends_with(&[0, 0, 0xff, 0xff]));
        out.truncate(out.len() - 4);
        out
    }

    proptest! {
        #[test]
        fn compressed_messages_share_their_window(
            texts in proptest::collection::vec("[a-c]{0,400}", 1..8),
            step in 1_usize..200,
            repeat in 1_usize..2000,
        ) {
            let mut deflate = Compress::new(Compression::fast(), false);
            let mut bytes = Vec::new();
            let texts: Vec<String> = texts.iter().map(|it| it.repeat(repeat.min(40_000 / it.len().max(1)))).collect();
            for text in &texts {
                let packed = deflated(&mut deflate, text.as_bytes());
                bytes.extend(frame(0xc1, &packed, Some([7, 1, 9, 3])));
            }
            let found = read(&mut Reader::new(true), &bytes, step);
            let expected: Vec<Message> = texts.iter().map(|it| text(it)).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..300), deflate: bool, step in 1_usize..50) {
            let _found = read(&mut Reader::new(deflate), &bytes, step);
        }
    }
}
