//! Copying through a buffer, which works for all streams.

use std::cell::Cell;
use std::io::{self, Read, Write};

use evy_runtime::lowlevel::charge;

const BUFFER: usize = 16 << 10;

/// Copies until the reader ends, and adds the number of bytes that were written to `copied`.
pub(super) fn transfer<R, W>(reader: &mut R, writer: &mut W, copied: &Cell<u64>) -> io::Result<()>
where
    R: Read + ?Sized,
    W: Write + ?Sized,
{
    let mut buf = vec![0; BUFFER];
    loop {
        // The streams may be of a kind that evy does not know.
        charge();
        let len = match reader.read(&mut buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if len == 0 {
            return Ok(());
        }
        write_all(&buf[..len], writer, copied)?;
        writer.flush()?;
    }
}

/// Writes all of `buf`, and counts each byte that is written even if another one is not.
fn write_all<W>(mut buf: &[u8], writer: &mut W, copied: &Cell<u64>) -> io::Result<()>
where
    W: Write + ?Sized,
{
    while !buf.is_empty() {
        let len = match writer.write(buf) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            written => written?,
        };
        if len == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        copied.set(copied.get() + len as u64);
        buf = &buf[len..];
    }
    Ok(())
}
