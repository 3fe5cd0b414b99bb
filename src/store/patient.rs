//! Waits out a store that is away: S3 failing, slow or unreachable stops the copy, it does not end it.

use super::{Body, ObjectStore, PutOptions, Receipt, StoreError, StoreErrorKind, StoreResult};
use bytes::Bytes;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use std::future::Future;
use std::time::{Duration, Instant};

/// How long to wait between attempts and for one attempt. There is no limit on their number: the caller cancels.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Wait after the first failure; doubled with each further one.
    pub wait_first_ms: u64,
    pub wait_max_ms: u64,
    /// Time that an attempt may take whatever its size.
    pub attempt_base_ms: u64,
    /// An attempt gets one more second for each so many bytes.
    pub bytes_per_second_min: u64,
}

impl Default for Patience {
    fn default() -> Self {
        Self { wait_first_ms: 200, wait_max_ms: 15_000, attempt_base_ms: 30_000, bytes_per_second_min: 1 << 20 }
    }
}

impl Patience {
    fn attempt_timeout(&self, size_bytes: u64) -> Duration {
        Duration::from_millis(self.attempt_base_ms + size_bytes * 1000 / self.bytes_per_second_min.max(1))
    }

    /// Between half of the doubled wait and all of it, so that many waiting copiers do not return at once.
    fn wait(&self, failures: u32) -> Duration {
        let full_ms = self.wait_first_ms.saturating_mul(1 << (failures - 1).min(20)).min(self.wait_max_ms);
        let random = u64::from(getrandom::u32().unwrap_or(u32::MAX));
        Duration::from_millis(full_ms / 2 + (full_ms - full_ms / 2) * random / u64::from(u32::MAX))
    }

    /// Repeats `attempt` for as long as it fails in a way that may pass, and tells `on_wait` before each wait why.
    ///
    /// `size_bytes` sets an attempt's timeout. An attempt that is cancelled or timed out is dropped where it stands.
    /// **Errors**: `Cancelled` once `cancel` is ready; whatever is not `Transient`, at once.
    pub async fn retry<'a, T>(
        &self,
        size_bytes: u64,
        cancel: impl Future<Output = ()> + Send,
        on_wait: &(dyn Fn(&str) + Sync),
        mut attempt: impl FnMut() -> BoxFuture<'a, StoreResult<T>> + Send,
    ) -> StoreResult<T> {
        let cancelled = || StoreError::new(StoreErrorKind::Cancelled, "cancelled while the object store was asked");
        let timeout = self.attempt_timeout(size_bytes);
        let mut cancel = std::pin::pin!(cancel);
        let (mut failures, mut failing_since) = (0u32, None);
        loop {
            let started = Instant::now();
            let ended = tokio::select! {
                biased;
                () = &mut cancel => return Err(cancelled()),
                ended = tokio::time::timeout(timeout, attempt()) => ended,
            };
            let seen = match ended {
                Ok(Err(e)) if e.kind() == StoreErrorKind::Transient => e.told(),
                Ok(settled) => return settled,
                Err(_) => format!("no answer within {} s", timeout.as_secs().max(1)),
            };
            failures = failures.saturating_add(1);
            let since = *failing_since.get_or_insert(started);
            let wait = self.wait(failures);
            on_wait(&format!(
                "{seen}; attempt {failures}, failing for {} s, next in {:.1} s",
                since.elapsed().as_secs(),
                wait.as_secs_f32()
            ));
            tokio::select! {
                biased;
                () = &mut cancel => return Err(cancelled()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Puts an object, waiting for the store as long as it takes.
    ///
    /// With `if_absent`, an object that lies there already with the very same content counts as stored: it may be this
    /// call's own, whose acknowledgement was lost. Where several compete for a key, their contents must differ.
    /// **Errors**: as `retry`; `AlreadyExists` where the key holds another content.
    pub async fn put(
        &self,
        store: &dyn ObjectStore,
        key: &str,
        body: Body,
        options: PutOptions,
        cancel: impl Future<Output = ()> + Send,
        on_wait: &(dyn Fn(&str) + Sync),
    ) -> StoreResult<Receipt> {
        let mut cancel = std::pin::pin!(cancel);
        let put = || store.put(key, body.clone(), options.clone());
        match self.retry(body.len_bytes(), &mut cancel, on_wait, put).await {
            Err(taken) if taken.kind() == StoreErrorKind::AlreadyExists && options.if_absent => {
                match self.retry(body.len_bytes(), &mut cancel, on_wait, || Box::pin(find_same(store, key, &body))).await? {
                    Some(receipt) => Ok(receipt),
                    None => Err(taken),
                }
            }
            ended => ended,
        }
    }

    /// Reads an object, waiting for the store as long as it takes. `size_bytes` is what it is expected to have.
    pub async fn get(
        &self,
        store: &dyn ObjectStore,
        key: &str,
        size_bytes: u64,
        cancel: impl Future<Output = ()> + Send,
        on_wait: &(dyn Fn(&str) + Sync),
    ) -> StoreResult<Bytes> {
        self.retry(size_bytes, cancel, on_wait, || store.get(key)).await
    }
}

/// Puts an object with the default patience.
pub async fn put_patiently(
    store: &dyn ObjectStore,
    key: &str,
    body: Body,
    options: PutOptions,
    cancel: impl Future<Output = ()> + Send,
    on_wait: &(dyn Fn(&str) + Sync),
) -> StoreResult<Receipt> {
    Patience::default().put(store, key, body, options, cancel, on_wait).await
}

/// The receipt of what lies under the key, if that is the body's content.
async fn find_same(store: &dyn ObjectStore, key: &str, body: &Body) -> StoreResult<Option<Receipt>> {
    let Some(meta) = store.head(key).await?.filter(|m| m.size_bytes == body.len_bytes()) else { return Ok(None) };
    let sha256 = match meta.sha256 {
        Some(sha256) => sha256,
        None => Sha256::digest(store.get(key).await?).into(),
    };
    Ok((sha256 == body.sha256()).then_some(Receipt { version_id: meta.version_id, etag: meta.etag }))
}

#[cfg(test)]
mod tests;
