//! Where the leases are: `memory` or `sqlite:PATH`.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use kcl_checkpoint::{MemoryLeaseStore, SqliteConfig, SqliteLeaseStore};
use kcl_core::{ApplicationName, LeaseStore, StoreError};

/// A lease table, as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeaseTable {
    /// In this process, for as long as it runs.
    Memory,
    /// In a file, which the processes of one machine share.
    Sqlite(PathBuf),
}

impl LeaseTable {
    /// Opens the table for a worker, and creates it if need be.
    pub(crate) async fn open(&self, application: &ApplicationName) -> Result<Arc<dyn LeaseStore>, StoreError> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryLeaseStore::new()),
            Self::Sqlite(path) => Arc::new(SqliteLeaseStore::open(path, application.clone()).await?),
        })
    }

    /// Opens the table to look at it: a file that does not exist is an error.
    pub(crate) async fn open_existing(&self, application: &ApplicationName) -> Result<Arc<dyn LeaseStore>, StoreError> {
        match self {
            Self::Memory => self.open(application).await,
            Self::Sqlite(path) => {
                let mut config = SqliteConfig::default();
                config.create = false;
                config.inline = true;
                Ok(Arc::new(
                    SqliteLeaseStore::open_with(path, application.clone(), config).await?,
                ))
            }
        }
    }
}

impl FromStr for LeaseTable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            _ => Err("use `memory`, or `sqlite:PATH` with the path of a file".to_owned()),
        }
    }
}

impl fmt::Display for LeaseTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_two_forms() {
        assert_eq!("memory".parse(), Ok(LeaseTable::Memory));
        let table: LeaseTable = "sqlite:a:b.db".parse().unwrap();
        assert_eq!(table, LeaseTable::Sqlite(PathBuf::from("a:b.db")));
        assert_eq!(table.to_string(), "sqlite:a:b.db");
        for wrong in ["", "sqlite", "sqlite:", "dynamodb:t", "memory:x", "leases.db"] {
            assert!(wrong.parse::<LeaseTable>().is_err(), "{wrong}");
        }
    }
}
