//! Work that takes as long as the disk does, out of the way of everybody else: the engine answers on one thread.

use crate::error::ApiError;

/// Runs it on a thread of its own. Errors: its own, or that it panicked.
pub async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| ApiError::internal(error.to_string()))?
}
