//! Where the leases are: `memory`, `sqlite:PATH`, `dynamodb` or `dynamodb:NAME`.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

#[cfg(feature = "dynamodb")]
use kcl_checkpoint::{DynamoDbConfig, DynamoDbLeaseStore, Layout};
use kcl_checkpoint::{MemoryLeaseStore, SqliteConfig, SqliteLeaseStore};
use kcl_core::{ApplicationName, InitialPosition, LeaseStore};

use crate::{aws::ConnectionArgs, error::Error, signals::Signals};

#[cfg(feature = "dynamodb")]
const FORMS: &str = "use `memory`, `sqlite:PATH` with the path of a file, `dynamodb:NAME` with the name of a table, or \
                     `dynamodb`, where the table has the application's name";
#[cfg(not(feature = "dynamodb"))]
const FORMS: &str = "use `memory`, or `sqlite:PATH` with the path of a file";

/// The tables in which workers of Java KCL keep what is no lease, unless it is in the lease table.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Tables of Java KCL in DynamoDB")]
pub(crate) struct BesideArgs {
    /// The table of leaders and migrations [default: the application's name with `-CoordinatorState`].
    #[arg(long, value_name = "NAME")]
    coordinator_table: Option<String>,

    /// The table of workers' metrics [default: the application's name with `-WorkerMetricStats`].
    #[arg(long, value_name = "NAME")]
    worker_metrics_table: Option<String>,
}

#[cfg(feature = "dynamodb")]
impl BesideArgs {
    /// Settings with the names that Java gives: after the application, whatever the lease table is called.
    fn config(&self, application: &ApplicationName) -> DynamoDbConfig {
        let named = |given: &Option<String>, kind: &str| {
            let given = given.clone();
            Some(given.unwrap_or_else(|| format!("{application}-{kind}")))
        };
        let mut config = DynamoDbConfig::default();
        config.coordinator_table = named(&self.coordinator_table, "CoordinatorState");
        config.worker_metrics_table = named(&self.worker_metrics_table, "WorkerMetricStats");
        config
    }
}

/// A lease table, as the command line names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LeaseTable {
    /// In this process, for as long as it runs.
    Memory,
    /// In a file, which the processes of one machine share.
    Sqlite(PathBuf),
    /// In DynamoDB, under this name or the application's.
    #[cfg(feature = "dynamodb")]
    DynamoDb(Option<String>),
}

impl LeaseTable {
    /// Opens the table for a worker that starts `from` there, and creates it if need be: with the tables of Java KCL, or as the
    /// `single` one.
    #[cfg_attr(
        not(feature = "dynamodb"),
        expect(unused_variables, reason = "only tables in a service need to know")
    )]
    pub(crate) async fn open(
        &self,
        application: &ApplicationName,
        from: InitialPosition,
        beside: &BesideArgs,
        single: bool,
        connection: &ConnectionArgs,
    ) -> Result<Arc<dyn LeaseStore>, Error> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryLeaseStore::new()),
            Self::Sqlite(path) => Arc::new(SqliteLeaseStore::open(path, application.clone()).await?),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(name) => {
                let mut config = beside.config(application);
                if single {
                    config.layout = Layout::SingleTable;
                }
                if let InitialPosition::AtTimestamp(at) = from {
                    // Workers of Java have the time in their configuration too, and not in the table.
                    config.at_timestamp = Some(at);
                }
                Arc::new(dynamodb(name.as_deref(), application, config, connection).await?)
            }
        })
    }

    /// Opens the table to look at it: one that does not exist is an error.
    #[cfg_attr(
        not(feature = "dynamodb"),
        expect(unused_variables, reason = "only tables in a service need to know")
    )]
    pub(crate) async fn open_existing(
        &self,
        application: &ApplicationName,
        beside: &BesideArgs,
        connection: &ConnectionArgs,
    ) -> Result<Arc<dyn LeaseStore>, Error> {
        match self {
            Self::Memory => Ok(Arc::new(MemoryLeaseStore::new())),
            Self::Sqlite(path) => {
                let mut config = SqliteConfig::default();
                config.create = false;
                config.inline = true;
                Ok(Arc::new(
                    SqliteLeaseStore::open_with(path, application.clone(), config).await?,
                ))
            }
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(name) => {
                let store = existing(name.as_deref(), application, beside, connection).await?;
                Ok(Arc::new(store))
            }
        }
    }

    /// The name of a table in DynamoDB that is not said to have the application's.
    pub(crate) fn dynamodb_name(&self) -> Option<&str> {
        match self {
            // The last part of an ARN.
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(Some(name)) => Some(name.rsplit_once('/').map_or(name, |(_, name)| name)),
            _ => None,
        }
    }

    /// The address that the table is looked for at, if one is given.
    #[cfg_attr(
        not(feature = "dynamodb"),
        expect(unused_variables, reason = "only tables in a service are at an address")
    )]
    pub(crate) fn place(&self, connection: &ConnectionArgs) -> Result<Option<String>, Error> {
        match self {
            Self::Memory | Self::Sqlite(_) => Ok(None),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(_) => connection.place_of_tables(),
        }
    }

    /// Opens the table to look at what only tables in DynamoDB have; `None` if it is elsewhere.
    #[cfg(feature = "dynamodb")]
    pub(crate) async fn open_in_dynamodb(
        &self,
        application: &ApplicationName,
        beside: &BesideArgs,
        connection: &ConnectionArgs,
    ) -> Result<Option<DynamoDbLeaseStore>, Error> {
        match self {
            Self::DynamoDb(name) => {
                let store = existing(name.as_deref(), application, beside, connection).await?;
                Ok(Some(store))
            }
            Self::Memory | Self::Sqlite(_) => Ok(None),
        }
    }
}

#[cfg(feature = "dynamodb")]
async fn existing(
    name: Option<&str>,
    application: &ApplicationName,
    beside: &BesideArgs,
    connection: &ConnectionArgs,
) -> Result<DynamoDbLeaseStore, Error> {
    let mut config = beside.config(application);
    config.create = false;
    dynamodb(name, application, config, connection).await
}

#[cfg(feature = "dynamodb")]
async fn dynamodb(
    name: Option<&str>,
    application: &ApplicationName,
    config: DynamoDbConfig,
    connection: &ConnectionArgs,
) -> Result<DynamoDbLeaseStore, Error> {
    let name = name.unwrap_or(application.as_str());
    let client = connection.dynamodb().await?;
    Ok(DynamoDbLeaseStore::open_with(client, name, config).await?)
}

impl FromStr for LeaseTable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "memory" => Ok(Self::Memory),
            Some(("sqlite", path)) if !path.is_empty() => Ok(Self::Sqlite(PathBuf::from(path))),
            #[cfg(feature = "dynamodb")]
            None if text == "dynamodb" => Ok(Self::DynamoDb(None)),
            #[cfg(feature = "dynamodb")]
            Some(("dynamodb", name)) if !name.is_empty() => Ok(Self::DynamoDb(Some(name.to_owned()))),
            _ => Err(FORMS.to_owned()),
        }
    }
}

impl fmt::Display for LeaseTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(None) => f.write_str("dynamodb"),
            #[cfg(feature = "dynamodb")]
            Self::DynamoDb(Some(name)) => write!(f, "dynamodb:{name}"),
        }
    }
}

/// Opens a lease table, creating it if need be: which one, and whether alone. One that cannot be reached is waited for, as a
/// worker that runs waits for it; `None` if a signal comes first.
pub(crate) async fn open_patiently(
    (table, single_table): (&LeaseTable, bool),
    app: &ApplicationName,
    from: InitialPosition,
    beside: &BesideArgs,
    connection: &ConnectionArgs,
    signals: &mut Signals,
) -> Result<Option<Arc<dyn LeaseStore>>, Error> {
    let mut retry_in = Duration::from_millis(500);
    loop {
        let failure = match table.open(app, from, beside, single_table, connection).await {
            Err(Error::Store(failure)) if failure.is_retryable() => failure,
            opened => return opened.map(Some),
        };
        let (name, failure) = (table.to_string(), crate::error::chain(&failure));
        let place = table.place(connection)?;
        tracing::warn!(
            table = name,
            place,
            failure,
            ?retry_in,
            "the lease table cannot be opened, it is tried again"
        );
        tokio::select! {
            () = tokio::time::sleep(retry_in) => {}
            () = signals.next() => return Ok(None),
        }
        retry_in = (retry_in * 2).min(Duration::from_secs(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_their_forms() {
        assert_eq!("memory".parse(), Ok(LeaseTable::Memory));
        let table: LeaseTable = "sqlite:a:b.db".parse().unwrap();
        assert_eq!(table, LeaseTable::Sqlite(PathBuf::from("a:b.db")));
        assert_eq!(table.to_string(), "sqlite:a:b.db");
        for wrong in ["", "sqlite", "sqlite:", "dynamodb:", "memory:x", "leases.db"] {
            assert!(wrong.parse::<LeaseTable>().is_err(), "{wrong}");
        }
    }

    #[cfg(feature = "dynamodb")]
    #[test]
    fn tables_in_dynamodb_are_named_or_take_the_name_of_the_application() {
        assert_eq!("dynamodb".parse(), Ok(LeaseTable::DynamoDb(None)));
        let arn = "dynamodb:arn:aws:dynamodb:us-east-1:000000000000:table/billing";
        let table: LeaseTable = arn.parse().unwrap();
        assert_eq!(table, LeaseTable::DynamoDb(Some(arn["dynamodb:".len()..].to_owned())));
        assert_eq!(table.to_string(), arn);
    }
}
