//! [`SqsDestination`]: a queue.

use async_trait::async_trait;
use aws_sdk_sqs::Client;
use kcl_core::BoxError;
use kcl_runtime::dead_letter::{DeadLetter, DeadLetters};
use tokio::sync::OnceCell;

use super::{DeliveryError, LambdaRecords, WrongDestination};
use crate::mapping::Destination;

/// Sends a message about each letter to a standard queue. Needs the permissions `sqs:GetQueueUrl` and `sqs:SendMessage`.
#[derive(Debug)]
pub struct SqsDestination {
    pub(super) client: Client,
    queue: Destination,
    records: LambdaRecords,
    /// Found out once.
    url: OnceCell<String>,
}

impl SqsDestination {
    /// The queue `queue`, by a client of its region.
    ///
    /// # Errors
    /// If it is not the ARN of a queue.
    pub fn new(client: Client, queue: Destination, records: LambdaRecords) -> Result<Self, WrongDestination> {
        if !matches!(queue, Destination::Sqs { .. }) {
            return Err(WrongDestination {
                arn: queue.arn().to_owned(),
                expected: "an SQS queue",
            });
        }
        Ok(Self {
            client,
            queue,
            records,
            url: OnceCell::new(),
        })
    }

    async fn url(&self) -> Result<&str, BoxError> {
        let find = async || {
            let account = self.queue.arn().split(':').nth(4).unwrap_or_default();
            let request = self.client.get_queue_url().queue_name(self.queue.name());
            let answer = Box::pin(request.queue_owner_aws_account_id(account).send()).await?;
            answer
                .queue_url
                .ok_or_else(|| BoxError::from("the service named no address of the queue"))
        };
        Ok(self.url.get_or_try_init(find).await?)
    }
}

#[async_trait]
impl DeadLetters for SqsDestination {
    async fn keep(&self, letter: &DeadLetter) -> Result<(), BoxError> {
        let failed = |source| DeliveryError::new(self.queue.arn(), source);
        let message = self.records.message(letter).map_err(failed)?;
        let url = self.url().await.map_err(failed)?;
        let request = self.client.send_message().queue_url(url).message_body(message);
        let sent = Box::pin(request.send()).await;
        sent.map_err(|error| failed(error.into()))?;
        Ok(())
    }
}
