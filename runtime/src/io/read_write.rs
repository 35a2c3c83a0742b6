//! `Read` and `Write` for a `Green` descriptor, where the wrapped type has them.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use super::green::Green;
use super::timeout::{Sharing, Timeout};
use crate::reactor::Direction;
use crate::thread;

impl<T: AsFd> Read for &Green<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = buf.len();
        if len == 0 {
            thread::charge(|| false);
            return Ok(0);
        }
        self.with_io(
            Direction::Read,
            Sharing::Exclusive,
            Timeout::Never,
            |mut inner| inner.read(buf),
            |n| (1..len).contains(n) && self.is_tcp(),
        )
    }
}

impl<T: AsFd> Read for Green<T>
where
    for<'a> &'a T: Read,
{
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }
}

impl<T: AsFd> Write for &Green<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.with_io(
            Direction::Write,
            Sharing::Exclusive,
            Timeout::Never,
            |mut inner| inner.write(buf),
            |n| *n < buf.len() && self.is_tcp(),
        )
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: AsFd> Write for Green<T>
where
    for<'a> &'a T: Write,
{
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
