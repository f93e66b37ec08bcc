//! What keeps a function from harming whoever invokes it.

use std::{any::Any, future::Future, panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt as _;
use tokio::time::timeout;

use crate::invoke::{FunctionError, FunctionErrorKind, RequestId};

/// Runs a call for no longer than `limit`; a panic is an error like another.
pub(super) async fn contained<T>(
    id: RequestId,
    limit: Duration,
    call: impl Future<Output = Result<T, FunctionError>>,
) -> Result<T, FunctionError> {
    // What the call left half done is dropped with it: each call has a clone of the function.
    match timeout(limit, AssertUnwindSafe(call).catch_unwind()).await {
        Ok(Ok(result)) => result,
        Ok(Err(panic)) => Err(panicked(panic.as_ref())),
        Err(_) => Err(FunctionError::timed_out(id, limit)),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> FunctionError {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
    FunctionError::new(
        FunctionErrorKind::Unhandled,
        "Panic",
        message.unwrap_or("the function panicked with something that is no text"),
    )
}
