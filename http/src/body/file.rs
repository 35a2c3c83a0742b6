//! `FileSource`: a body from a file, which is read on helper OS threads.

use std::fs::File;
use std::io::{self, Read};

use evy_runtime::unblock;

use super::source::Source;

/// The number of bytes that are read at a time. The way to a helper OS thread and back costs about
/// as much as it takes to read them.
const BLOCK: usize = 128 * 1024;

/// A file that is read in blocks. While a block is read, the helper OS thread has the file and the
/// block. If the wait for them is interrupted, both are gone.
pub(super) struct FileSource {
    file: Option<(File, Vec<u8>)>,
    at: usize,
}

impl FileSource {
    pub(super) const fn new(file: File) -> Self {
        Self {
            file: Some((file, Vec::new())),
            at: 0,
        }
    }
}

impl Read for FileSource {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some((mut file, mut block)) = self.file.take() else {
            return Err(io::Error::other("the file was lost in an interrupted read"));
        };
        let mut result = Ok(());
        if self.at == block.len() {
            block.clear();
            (file, block, result) = unblock(move || {
                let result = file.by_ref().take(BLOCK as u64).read_to_end(&mut block);
                (file, block, result.map(drop))
            });
            self.at = 0;
        }
        let read = (&block[self.at..]).read(buf);
        self.file = Some((file, block));
        result?;
        let read = read?;
        self.at += read;
        Ok(read)
    }
}

impl Source for FileSource {}
