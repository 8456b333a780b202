//! How many layers travel at once.

use crate::error::ApiError;
use std::io;
use tokio::sync::{Semaphore, SemaphorePermit};

/// So many take their turn at once; the others wait.
pub struct Slots(Semaphore);

impl Slots {
    pub fn new(at_once: usize) -> Self {
        Self(Semaphore::new(at_once))
    }

    /// A turn, until it is dropped. Who has to wait for it says so first.
    pub async fn turn(&self, say: impl FnOnce() -> io::Result<()>) -> Result<SemaphorePermit<'_>, ApiError> {
        if let Ok(turn) = self.0.try_acquire() {
            return Ok(turn);
        }
        say()?;
        self.0.acquire().await.map_err(|error| ApiError::internal(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test]
    async fn who_waits_says_so_and_who_does_not_wait_does_not() {
        let (slots, said) = (Slots::new(1), Cell::new(0));
        let say = || {
            said.set(said.get() + 1);
            Ok(())
        };
        let first = slots.turn(say).await.unwrap();
        assert_eq!(said.get(), 0);
        let (second, ()) = tokio::join!(slots.turn(say), async {
            assert_eq!(said.get(), 1, "it has said so and waits");
            drop(first);
        });
        drop(second.unwrap());
        drop(slots.turn(|| Err(io::Error::other("gone"))).await.unwrap());
        let _held = slots.turn(say).await.unwrap();
        slots.turn(|| Err(io::Error::other("the client has left"))).await.unwrap_err();
    }
}
