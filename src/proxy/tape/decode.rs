//! Takes `content-encoding` off a copy of what passes.

use std::io::{self, Write};

/// A body, or one chunk of it, may become this large at most: 64 MiB. What would become larger stays as it came.
const MAX_DECODED: usize = crate::session::body::MAX_STORED;

/// How many bytes are kept that a decoder took and gave nothing for: 1 MiB.
const MAX_INSIDE: usize = 1 << 20;

/// Where decoded bytes go, up to a bound.
#[derive(Debug, Default)]
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_DECODED {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Coding {
    Gzip(flate2::write::MultiGzDecoder<Bounded>),
    /// zlib as the standard says, until its first byte says otherwise.
    Zlib(flate2::write::ZlibDecoder<Bounded>),
    Deflate(flate2::write::DeflateDecoder<Bounded>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Bounded>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Bounded>>),
}

/// A body as it should be kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    /// It was not encoded.
    Plain,
    /// Its bytes without encoding.
    Bytes(Vec<u8>),
    /// It cannot be decoded, or not any more; these are the bytes of earlier pieces that nothing was made of.
    Failed(Vec<u8>),
}

/// Decodes a body piece by piece.
pub(super) struct Decoder {
    coding: Option<Coding>,
    failed: bool,
    begun: bool,
    /// What was taken since something was made of it.
    inside: Vec<u8>,
}

impl Decoder {
    /// A decoder for the value of a `content-encoding` header, if there is one.
    pub(super) fn new(encoding: Option<&str>) -> Self {
        let encoding = encoding.unwrap_or("identity").trim().to_ascii_lowercase();
        let sink = Bounded::default();
        let coding = match encoding.as_str() {
            "identity" | "" => None,
            "gzip" | "x-gzip" => Some(Coding::Gzip(flate2::write::MultiGzDecoder::new(sink))),
            "deflate" => Some(Coding::Zlib(flate2::write::ZlibDecoder::new(sink))),
            "br" => Some(Coding::Brotli(Box::new(
                brotli_decompressor::DecompressorWriter::new(sink, 4096),
            ))),
            "zstd" => zstd::stream::write::Decoder::new(sink)
                .ok()
                .map(|it| Coding::Zstd(Box::new(it))),
            _ => {
                return Self {
                    coding: None,
                    failed: true,
                    begun: false,
                    inside: Vec::new(),
                };
            }
        };
        Self {
            coding,
            failed: false,
            begun: false,
            inside: Vec::new(),
        }
    }

    /// Decodes the next piece.
    pub(super) fn decode(&mut self, bytes: &[u8]) -> Decoded {
        if self.failed {
            return Decoded::Failed(Vec::new());
        }
        // some servers mean raw deflate when they say `deflate`
        if let (Some(Coding::Zlib(_)), false, Some(first)) =
            (&self.coding, self.begun, bytes.first())
            && first & 0x0f != 8
        {
            let raw = flate2::write::DeflateDecoder::new(Bounded::default());
            self.coding = Some(Coding::Deflate(raw));
        }
        self.begun |= !bytes.is_empty();
        let Some(coding) = &mut self.coding else {
            return Decoded::Plain;
        };
        let decoded = match coding {
            Coding::Gzip(it) => feed(it, bytes).map(|()| take(it.get_mut())),
            Coding::Zlib(it) => feed(it, bytes).map(|()| take(it.get_mut())),
            Coding::Deflate(it) => feed(it, bytes).map(|()| take(it.get_mut())),
            Coding::Brotli(it) => feed(it, bytes).map(|()| take(it.get_mut())),
            Coding::Zstd(it) => feed(it, bytes).map(|()| take(it.get_mut())),
        };
        if let Ok(decoded) = decoded {
            if !decoded.is_empty() {
                self.inside.clear();
            } else if self.inside.len() + bytes.len() <= MAX_INSIDE {
                self.inside.extend_from_slice(bytes);
            }
            return Decoded::Bytes(decoded);
        }
        self.failed = true;
        self.coding = None;
        Decoded::Failed(std::mem::take(&mut self.inside))
    }
}

fn feed(decoder: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    decoder.write_all(bytes)?;
    decoder.flush()
}

fn take(sink: &mut Bounded) -> Vec<u8> {
    std::mem::take(&mut sink.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "event: response.created\ndata: {\"type\":\"response.created\"}\n\n";

    fn encoded(encoding: &str, text: &[u8]) -> Vec<u8> {
        use flate2::Compression;
        match encoding {
            "gzip" => {
                let mut it = flate2::write::GzEncoder::new(Vec::new(), Compression::fast());
                it.write_all(text).unwrap();
                it.finish().unwrap()
            }
            "deflate" => {
                let mut it = flate2::write::ZlibEncoder::new(Vec::new(), Compression::fast());
                it.write_all(text).unwrap();
                it.finish().unwrap()
            }
            "raw" => {
                let mut it = flate2::write::DeflateEncoder::new(Vec::new(), Compression::fast());
                it.write_all(text).unwrap();
                it.finish().unwrap()
            }
            _ => zstd::encode_all(text, 3).unwrap(),
        }
    }

    fn all(decoder: &mut Decoder, bytes: &[u8], step: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        for piece in bytes.chunks(step) {
            match decoder.decode(piece) {
                Decoded::Bytes(it) => out.extend(it),
                Decoded::Plain => out.extend(piece),
                Decoded::Failed(_) => return None,
            }
        }
        Some(out)
    }

    #[test]
    fn every_encoding_comes_off_however_it_is_cut() {
        for encoding in ["gzip", "deflate", "raw", "zstd"] {
            let bytes = encoded(encoding, TEXT.as_bytes());
            let name = encoding.replace("raw", "deflate");
            for step in [1, 7, 4096] {
                let mut decoder = Decoder::new(Some(&name));
                let text = all(&mut decoder, &bytes, step).unwrap();
                assert_eq!(text, TEXT.as_bytes(), "{encoding} {step}");
            }
        }
        // "hello\n" by the brotli program
        let brotli = [0x8b, 0x02, 0x80, b'h', b'e', b'l', b'l', b'o', b'\n', 0x03];
        let mut decoder = Decoder::new(Some("br"));
        assert_eq!(all(&mut decoder, &brotli, 3).unwrap(), b"hello\n");
    }

    #[test]
    fn what_cannot_be_decoded_says_so_from_there_on() {
        let mut bytes = encoded("gzip", TEXT.as_bytes());
        bytes[12] ^= 0xff;
        let mut decoder = Decoder::new(Some("gzip"));
        assert!(all(&mut decoder, &bytes, 5).is_none());
        assert_eq!(decoder.decode(b"x"), Decoded::Failed(Vec::new()));
        assert_eq!(
            Decoder::new(Some("rot13")).decode(b"x"),
            Decoded::Failed(Vec::new()),
            "an encoding nobody knows"
        );
        assert_eq!(Decoder::new(Some("identity")).decode(b"x"), Decoded::Plain);
    }

    #[test]
    fn what_a_decoder_took_is_given_back_when_it_fails() {
        let mut decoder = Decoder::new(Some("gzip"));
        assert_eq!(decoder.decode(b"\x1f\x8b\x08"), Decoded::Bytes(Vec::new()));
        let found = decoder.decode(b"no gzip after all");
        assert_eq!(found, Decoded::Failed(b"\x1f\x8b\x08".to_vec()));
    }

    #[test]
    fn a_bomb_does_not_fill_the_memory() {
        let zeros = vec![0; MAX_DECODED + 1];
        let bytes = encoded("zstd", &zeros);
        let found = Decoder::new(Some("zstd")).decode(&bytes);
        assert_eq!(found, Decoded::Failed(Vec::new()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200), step in 1_usize..50) {
            for encoding in ["gzip", "deflate", "br", "zstd"] {
                let _maybe = all(&mut Decoder::new(Some(encoding)), &bytes, step);
            }
        }
    }
}
