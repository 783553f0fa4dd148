//! The bytes of a chunk or frame line.

use crate::wire::raw::Object;

/// The decoded bytes; `None` where the line has none, or what could not be decoded stands as it came.
pub(super) fn bytes(object: &Object<'_>) -> Option<Vec<u8>> {
    use base64::Engine as _;
    if object.flag("encoded") == Some(true) {
        return None;
    }
    if let Some(text) = object.text("text") {
        return Some(text.into_owned().into_bytes());
    }
    let text = object.text("base64")?;
    base64::engine::general_purpose::STANDARD
        .decode(text.as_bytes())
        .ok()
}
