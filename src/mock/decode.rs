//! Compressed request bodies.

use std::io::{self, Read};

use bytes::Bytes;

/// Why a body could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undecoded {
    /// The encoding is none of those known.
    Unknown,
    /// The bytes are not what the encoding says.
    Broken,
    /// It is larger than it may be.
    TooLarge,
}

/// Decodes a body that has these `content-encoding`s, the last one applied first.
pub(super) fn decode(body: Bytes, encodings: &str, limit: usize) -> Result<Bytes, Undecoded> {
    let mut body = body;
    for name in encodings.rsplit(',').map(str::trim) {
        let reader: Box<dyn Read + '_> = match name.to_ascii_lowercase().as_str() {
            "" | "identity" => continue,
            "zstd" => {
                Box::new(zstd::Decoder::new(body.as_ref()).map_err(|_not_shown| Undecoded::Broken)?)
            }
            "gzip" | "x-gzip" => Box::new(flate2::read::MultiGzDecoder::new(body.as_ref())),
            "deflate" => Box::new(flate2::read::ZlibDecoder::new(body.as_ref())),
            "br" => Box::new(brotli_decompressor::Decompressor::new(body.as_ref(), 4096)),
            _ => return Err(Undecoded::Unknown),
        };
        body = whole(reader, limit)?.into();
    }
    Ok(body)
}

fn whole(reader: impl Read, limit: usize) -> Result<Vec<u8>, Undecoded> {
    let mut found = Vec::new();
    let read: io::Result<usize> = reader.take(limit as u64 + 1).read_to_end(&mut found);
    read.map_err(|_not_shown| Undecoded::Broken)?;
    if found.len() > limit {
        return Err(Undecoded::TooLarge);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn every_encoding_and_its_limit() {
        let text = "{\"a\":1}".repeat(100);
        let zstd = zstd::encode_all(text.as_bytes(), 3).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&zstd).unwrap();
        let both = Bytes::from(gzip.finish().unwrap());
        assert_eq!(
            decode(both.clone(), "zstd, gzip", 1 << 20).unwrap(),
            text.as_bytes()
        );
        assert_eq!(decode(both, "zstd, gzip", 100), Err(Undecoded::TooLarge));
        let plain = Bytes::from_static(b"x");
        assert_eq!(decode(plain.clone(), "identity", 9).unwrap(), "x");
        assert_eq!(decode(plain.clone(), "rot13", 9), Err(Undecoded::Unknown));
        assert_eq!(decode(plain, "gzip", 9), Err(Undecoded::Broken));
    }
}
