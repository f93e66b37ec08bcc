//! Which table a command is about, and whose leases in it.

use std::fmt;

use clap::{ArgMatches, Args, Command, FromArgMatches, Id, error::ErrorKind};
use kcl_core::ApplicationName;

use super::table::Table;
use crate::{
    aws::ConnectionArgs,
    error::Error,
    lease_table::{BesideArgs, LeaseTable},
};

/// Which table, and whose leases in it.
///
/// A table in DynamoDB holds the leases of one application and does not say of which: a wrong name there is another
/// application's. So the two names are compared, and a command that writes goes on only if they are one or the difference
/// is said to be meant.
#[derive(Clone, Debug)]
pub(crate) struct TableArgs {
    pub(crate) app: ApplicationName,
    pub(crate) lease_table: LeaseTable,
    other_name: bool,
}

/// What is given for it.
#[derive(Debug, Args)]
struct Given {
    /// The application, as `kclctl consume --app` or the worker names it [default: the name of the table in DynamoDB].
    #[arg(long, value_name = "NAME")]
    app: Option<ApplicationName>,

    /// The lease table: `sqlite:PATH`, `dynamodb:NAME`, or `dynamodb`, where the table has the application's name.
    #[arg(long, value_name = "TABLE")]
    lease_table: LeaseTable,

    /// The table in DynamoDB is this application's though it has another name. Needed to change it then.
    #[arg(long)]
    other_name: bool,
}

impl TableArgs {
    /// From what is given: an application that is not named has the name of its table.
    pub(crate) fn resolve(
        app: Option<ApplicationName>,
        lease_table: LeaseTable,
        other_name: bool,
    ) -> Result<Self, String> {
        let named_after = || ApplicationName::new(lease_table.dynamodb_name()?).ok();
        let app = app.or_else(named_after).ok_or_else(|| {
            format!("--app NAME is needed: the lease table {lease_table} does not say which application it is about")
        })?;
        Ok(Self {
            app,
            lease_table,
            other_name,
        })
    }

    /// Opens the table, which must exist, to look at it.
    pub(crate) async fn open(&self, connection: &ConnectionArgs) -> Result<Table, Error> {
        self.open_with(&BesideArgs::default(), connection).await
    }

    /// Opens the table, which must exist, to change it.
    pub(crate) async fn open_to_write(&self, connection: &ConnectionArgs) -> Result<Table, Error> {
        self.may_write()?;
        self.open(connection).await
    }

    /// Like `open`, for a command that looks at what is beside the leases too.
    pub(crate) async fn open_with(&self, beside: &BesideArgs, connection: &ConnectionArgs) -> Result<Table, Error> {
        self.check()?;
        let store = self.lease_table.open_existing(&self.app, beside, connection).await?;
        Ok(Table::new(store))
    }

    /// Whether rows of the table may be written for the application.
    pub(crate) fn may_write(&self) -> Result<(), Error> {
        match self.lease_table.dynamodb_name() {
            Some(name) if name != self.app.as_str() && !self.other_name => Err(Error::OtherName {
                app: self.app.clone(),
                table: name.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Nobody else can look at a table in memory.
    fn check(&self) -> Result<(), Error> {
        if self.lease_table == LeaseTable::Memory {
            let problem = "the lease table `memory` lives in its worker and cannot be looked at; use sqlite:PATH or \
                           dynamodb:NAME";
            return Err(Error::Usage(problem.to_owned()));
        }
        Ok(())
    }
}

impl FromArgMatches for TableArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let Given {
            app,
            lease_table,
            other_name,
        } = Given::from_arg_matches(matches)?;
        Self::resolve(app, lease_table, other_name)
            .map_err(|problem| clap::Error::raw(ErrorKind::MissingRequiredArgument, format!("{problem}\n")))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Args for TableArgs {
    fn group_id() -> Option<Id> {
        Given::group_id()
    }

    fn augment_args(command: Command) -> Command {
        Given::augment_args(command)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Given::augment_args_for_update(command)
    }
}

impl fmt::Display for TableArgs {
    /// As options of a command.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (app, table) = (self.app.as_str(), self.lease_table.to_string());
        write!(f, "--app {} --lease-table {}", quoted(app), quoted(&table))?;
        if self.other_name {
            f.write_str(" --other-name")?;
        }
        Ok(())
    }
}

/// A word that a shell takes as it is.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=@,+".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        table: TableArgs,
    }

    fn read(arguments: &[&str]) -> Result<TableArgs, clap::Error> {
        Line::try_parse_from([&["x"], arguments].concat()).map(|line| line.table)
    }

    #[test]
    fn given_words_when_quoted_then_a_shell_takes_each_as_one() {
        assert_eq!(quoted("sqlite:/a/b.db"), "sqlite:/a/b.db");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }

    #[test]
    fn given_no_application_when_the_table_does_not_name_one_then_it_is_asked_for() {
        for table in ["sqlite:a.db", "memory"] {
            let error = read(&["--lease-table", table]).unwrap_err().to_string();
            assert!(error.contains("--app NAME is needed"), "{error}");
        }
    }

    #[cfg(feature = "dynamodb")]
    #[test]
    fn given_a_table_in_dynamodb_when_it_has_another_name_than_the_application_then_it_is_written_only_if_that_is_meant()
     {
        let name = ["--lease-table", "dynamodb:billing"];
        let arn = [
            "--lease-table",
            "dynamodb:arn:aws:dynamodb:us-east-1:000000000000:table/billing",
        ];
        for table in [name, arn] {
            assert_eq!(read(&table).unwrap().app.as_str(), "billing");
            assert!(read(&table).unwrap().may_write().is_ok());
            let wrong = [&table[..], &["--app", "biling"]].concat();
            let refused = read(&wrong).unwrap().may_write().unwrap_err().to_string();
            assert!(
                refused.contains("billing") && refused.contains("--other-name"),
                "{refused}"
            );
            let meant = [&wrong[..], &["--other-name"]].concat();
            let meant = read(&meant).unwrap();
            assert!(meant.may_write().is_ok() && meant.to_string().ends_with(" --other-name"));
        }
        assert!(
            read(&["--lease-table", "dynamodb", "--app", "a"])
                .unwrap()
                .may_write()
                .is_ok()
        );
    }
}
