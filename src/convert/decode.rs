//! Takes `content-encoding` off bodies that a log kept as they came.

use std::borrow::Cow;
use std::io::Read;

use crate::session::body::MAX_STORED;

/// A body as it should be kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded<'a> {
    /// Its bytes without encoding.
    Plain(Cow<'a, [u8]>),
    /// It cannot be decoded, or would become larger than is kept; why.
    Encoded(&'static str),
}

/// Decodes a body that has this `content-encoding`, if it still is encoded: logs often keep the decoded body beside the
/// header. What has no such header is looked at for the marks of gzip and zstd.
pub(super) fn decode<'a>(bytes: Cow<'a, [u8]>, encoding: Option<&str>) -> Decoded<'a> {
    let marked = bytes.starts_with(b"\x1f\x8b") || bytes.starts_with(b"\x28\xb5\x2f\xfd");
    if !marked && std::str::from_utf8(&bytes).is_ok() {
        return Decoded::Plain(bytes);
    }
    let mut bytes = bytes;
    let named = encoding.unwrap_or("");
    let names: Vec<String> = named
        .rsplit(',')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && name != "identity")
        .collect();
    if names.is_empty() {
        let name = if bytes.starts_with(b"\x1f\x8b") {
            "gzip"
        } else if marked {
            "zstd"
        } else {
            return Decoded::Plain(bytes);
        };
        return match take_off(&bytes, name) {
            Ok(plain) => Decoded::Plain(Cow::Owned(plain)),
            Err(why) => Decoded::Encoded(why),
        };
    }
    for name in &names {
        match take_off(&bytes, name) {
            Ok(plain) => bytes = Cow::Owned(plain),
            Err(why) => return Decoded::Encoded(why),
        }
    }
    Decoded::Plain(bytes)
}

fn take_off(bytes: &[u8], name: &str) -> Result<Vec<u8>, &'static str> {
    const BROKEN: &str = "it is not what its content-encoding says";
    let reader: Box<dyn Read + '_> = match name {
        "gzip" | "x-gzip" => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        // some servers mean raw deflate when they say `deflate`
        "deflate" if bytes.first().is_some_and(|first| first & 0x0f == 8) => {
            Box::new(flate2::read::ZlibDecoder::new(bytes))
        }
        "deflate" => Box::new(flate2::read::DeflateDecoder::new(bytes)),
        "br" => Box::new(brotli_decompressor::Decompressor::new(bytes, 4096)),
        "zstd" => match zstd::Decoder::new(bytes) {
            Ok(it) => Box::new(it),
            Err(_) => return Err(BROKEN),
        },
        _ => return Err("its content-encoding is not known"),
    };
    let mut found = Vec::new();
    match reader.take(MAX_STORED as u64 + 1).read_to_end(&mut found) {
        Ok(_) if found.len() > MAX_STORED => {
            Err("it is larger than 64 MiB without its content-encoding")
        }
        Ok(_) => Ok(found),
        // a stream that was cut: what came before stands
        Err(_) if !found.is_empty() => Ok(found),
        Err(_) => Err(BROKEN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut it = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        it.write_all(text).unwrap();
        it.finish().unwrap()
    }

    #[test]
    fn encoded_bodies_are_decoded_and_decoded_ones_left_alone() {
        let plain = |bytes: &[u8], encoding| match decode(Cow::Owned(bytes.to_vec()), encoding) {
            Decoded::Plain(it) => it.into_owned(),
            Decoded::Encoded(why) => panic!("{why}"),
        };
        let text = "data: {\"a\":\"é\"}\n\n".as_bytes();
        assert_eq!(plain(text, Some("gzip")), text);
        assert_eq!(plain(&gzip(text), Some("gzip")), text);
        assert_eq!(plain(&gzip(text), None), text);
        let both = gzip(&zstd::encode_all(text, 1).unwrap());
        assert_eq!(plain(&both, Some("zstd, gzip")), text);
        assert_eq!(plain(b"\xff\xfe", None), b"\xff\xfe");
        let odd = decode(Cow::Borrowed(b"\xff\xfe"), Some("rot13"));
        assert!(matches!(odd, Decoded::Encoded(_)));
    }

    #[test]
    fn a_bomb_does_not_fill_the_memory() {
        let bomb = zstd::encode_all(&vec![0; MAX_STORED + 1][..], 1).unwrap();
        assert!(matches!(
            decode(Cow::Owned(bomb), None),
            Decoded::Encoded(_)
        ));
    }
}
