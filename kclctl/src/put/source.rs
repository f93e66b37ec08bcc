//! The input: a file or stdin, with a count of what was read.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use super::error::PutError;

/// What records are read from.
pub(crate) struct Source {
    reader: Box<dyn Read + Send>,
    size: Option<u64>,
    read: Arc<AtomicU64>,
}

impl Source {
    /// Opens a file; `-` is stdin.
    pub(crate) fn open(path: &Path) -> Result<Self, PutError> {
        let read = Arc::default();
        if path == Path::new("-") {
            return Ok(Self {
                reader: Box::new(io::stdin()),
                size: None,
                read,
            });
        }
        let failed = |source| PutError::Open {
            file: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        if metadata.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let size = metadata.is_file().then_some(metadata.len());
        Ok(Self {
            reader: Box::new(file),
            size,
            read,
        })
    }

    /// The input's size where it is known.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    /// The bytes that were read so far, while the source is read elsewhere.
    pub(super) fn read_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.read)
    }

    #[cfg(test)]
    pub(super) fn of(text: impl Into<Vec<u8>>) -> Self {
        Self {
            reader: Box::new(io::Cursor::new(text.into())),
            size: None,
            read: Arc::default(),
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
