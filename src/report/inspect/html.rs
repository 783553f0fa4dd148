//! One page, without network and without foreign script.

use std::io;

use crate::timeline::{Filter, Source, Timeline};

/// Writes the page.
///
/// # Errors
/// What reading a file again, or writing, returns.
pub fn write(
    _out: &mut dyn io::Write,
    _timeline: &Timeline,
    _sources: &mut [Box<dyn Source>],
    _filter: &Filter,
) -> io::Result<()> {
    Err(io::Error::other("not yet"))
}
