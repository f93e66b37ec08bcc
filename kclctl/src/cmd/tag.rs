//! `kclctl tag`.

use std::collections::{BTreeMap, HashMap};

use clap::Subcommand;
use kcl_core::StreamName;
use serde_json::json;

use crate::{
    aws::{ConnectionArgs, Kinesis},
    consumer,
    error::Error,
    output,
    parse::tag,
    stream::ready,
};

/// Tag streams and consumers: add, remove, list.
#[derive(Debug, Subcommand)]
pub(crate) enum TagCommand {
    /// Add tags, in place of those that have the same keys.
    Add {
        #[command(flatten)]
        tagged: Tagged,
        /// The tags; the key ends at the first `=`.
        #[arg(value_name = "KEY=VALUE", required = true, value_parser = tag)]
        tags: Vec<(String, String)>,
    },
    /// Remove tags; keys that are not there are passed over.
    Remove {
        #[command(flatten)]
        tagged: Tagged,
        /// The keys of the tags.
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
    },
    /// List the tags in a table: key, value.
    List {
        #[command(flatten)]
        tagged: Tagged,
        /// Print `{"tags": {KEY: VALUE, ...}}`.
        #[arg(long)]
        json: bool,
    },
}

/// What has the tags.
#[derive(Debug, clap::Args)]
pub(crate) struct Tagged {
    /// The stream's name.
    stream: StreamName,

    /// The tags of this consumer of the stream, instead of the stream's own.
    #[arg(long, value_name = "NAME")]
    consumer: Option<String>,
}

impl Tagged {
    async fn arn(&self, kinesis: &Kinesis) -> Result<String, Error> {
        match &self.consumer {
            Some(consumer) => {
                let found = consumer::described(kinesis, &self.stream, consumer).await?;
                Ok(found.consumer_arn)
            }
            None => ready::arn(kinesis, &self.stream).await,
        }
    }

    fn show(&self) -> String {
        match &self.consumer {
            Some(consumer) => format!("{consumer} of {}", self.stream),
            None => self.stream.to_string(),
        }
    }
}

pub(crate) async fn run(command: TagCommand, connection: &ConnectionArgs) -> Result<(), Error> {
    let kinesis = Kinesis::connect(connection).await?;
    match command {
        TagCommand::Add { tagged, tags } => add(&kinesis, &tagged, tags).await,
        TagCommand::Remove { tagged, keys } => remove(&kinesis, &tagged, keys).await,
        TagCommand::List { tagged, json } => list(&kinesis, &tagged, json).await,
    }
}

async fn add(kinesis: &Kinesis, tagged: &Tagged, tags: Vec<(String, String)>) -> Result<(), Error> {
    let arn = tagged.arn(kinesis).await?;
    let tags: HashMap<_, _> = tags.into_iter().collect();
    let count = tags.len();
    let request = kinesis.client.tag_resource().resource_arn(arn).set_tags(Some(tags));
    request
        .send()
        .await
        .map_err(|error| kinesis.error("TagResource", &error))?;
    output::line(&format!("tagged {} with {count} {}", tagged.show(), tags_of(count)))
}

async fn remove(kinesis: &Kinesis, tagged: &Tagged, keys: Vec<String>) -> Result<(), Error> {
    let arn = tagged.arn(kinesis).await?;
    let request = kinesis.client.untag_resource().resource_arn(arn);
    request
        .set_tag_keys(Some(keys))
        .send()
        .await
        .map_err(|error| kinesis.error("UntagResource", &error))?;
    output::line(&format!("untagged {}", tagged.show()))
}

async fn list(kinesis: &Kinesis, tagged: &Tagged, json: bool) -> Result<(), Error> {
    let arn = tagged.arn(kinesis).await?;
    let listed = kinesis
        .client
        .list_tags_for_resource()
        .resource_arn(arn)
        .send()
        .await
        .map_err(|error| kinesis.error("ListTagsForResource", &error))?;
    let tags = listed.tags.unwrap_or_default().into_iter();
    let tags: BTreeMap<String, String> = tags.map(|tag| (tag.key, tag.value.unwrap_or_default())).collect();
    match (json, tags.is_empty()) {
        (true, _) => output::json(&json!({ "tags": tags })),
        (false, true) => Ok(()),
        (false, false) => output::table(["KEY", "VALUE"], tags.into_iter().map(|(key, value)| [key, value])),
    }
}

fn tags_of(count: usize) -> &'static str {
    if count == 1 { "tag" } else { "tags" }
}
