//! Compiled filters, kept in memory for a program that starts many containers with few profiles.
//!
//! There is no cache on disk: compiling takes less time than reading a file and proving that it is ours.

use super::CompiledFilter;
use crate::Error;
use oci_spec::runtime::LinuxSeccomp;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// How many filters are kept. An engine sees Docker's profile for a handful of capability sets; a learner who
/// tries hundreds of profiles pays for compiling them again, not with the engine's memory.
const FILTERS_MAX: usize = 64;

/// A bounded cache of filters, by the digest of what they were compiled from.
#[derive(Debug, Default)]
pub struct FilterCache {
    filters: Mutex<HashMap<[u8; 32], Arc<CompiledFilter>>>,
}

impl FilterCache {
    /// The filter for `seccomp`, compiled at most once while it is kept. Errors are those of [`super::compile`].
    pub fn compile(&self, seccomp: &LinuxSeccomp) -> Result<Arc<CompiledFilter>, Error> {
        let json = serde_json::to_vec(seccomp)
            .map_err(|error| super::invalid(format!("encoding the seccomp section: {error}")))?;
        let key: [u8; 32] = Sha256::digest(&json).into();
        let mut filters = self.filters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = filters.get(&key) {
            return Ok(filter.clone());
        }
        let filter = Arc::new(super::compile(seccomp)?);
        if filters.len() >= FILTERS_MAX {
            filters.clear();
        }
        filters.insert(key, filter.clone());
        Ok(filter)
    }
}
