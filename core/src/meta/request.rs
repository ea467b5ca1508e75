//! Kept answers: what makes administrative requests happen exactly once.
//!
//! An answer is kept for [`REQUEST_KEPT_MS`] of cluster time, unless there are more than [`REQUESTS_KEPT_MAX`] or more
//! than [`REQUESTS_KEPT_BYTES_MAX`] of them; then the oldest go first. A request whose answer may have been forgotten
//! is never executed: it is told that its outcome is unknown.

use super::draft::{Draft, Stop};
use super::key;
use super::record::{Answer, Record, RequestRecord, damaged, read};
use super::view::View;
use crate::id::RequestId;
use crate::limit::{REQUEST_KEPT_MS, REQUESTS_EXPIRED_PER_ENTRY_MAX, REQUESTS_KEPT_BYTES_MAX, REQUESTS_KEPT_MAX};
use crate::refusal::Refusal;
use crate::time::ClusterTime;
use std::ops::Bound;

/// The answer that was given to this request; or none, if it was certainly never executed.
pub fn kept<V: View>(
    draft: &Draft<'_, V>,
    request: RequestId,
    first_tried: ClusterTime,
) -> Result<Option<Answer>, Stop<V::Error>> {
    if let Some(record) = draft.get::<RequestRecord>(&key::request(request))? {
        return Ok(Some(record.answer));
    }
    let counters = &draft.counters;
    if is_over(counters.time, first_tried) || first_tried < counters.forgotten_before {
        return Err(Refusal::OutcomeUnknown.into());
    }
    Ok(None)
}

/// Keeps an answer, and forgets the oldest ones if there is no room.
pub fn keep<V: View>(draft: &mut Draft<'_, V>, request: RequestId, answer: Answer) -> Result<(), Stop<V::Error>> {
    let at = draft.counters.time;
    let record = RequestRecord { at, answer };
    let bytes = kept_bytes(record.to_bytes().len());
    while draft.counters.requests > 0
        && (draft.counters.requests >= REQUESTS_KEPT_MAX
            || draft.counters.request_bytes + bytes > REQUESTS_KEPT_BYTES_MAX)
    {
        forget_oldest(draft, 1, |_| true).map_err(Stop::Failed)?;
    }
    if draft.counters.requests == 0 {
        draft.counters.oldest_request = at;
    }
    draft.counters.requests += 1;
    draft.counters.request_bytes += bytes;
    draft.put(key::request(request), &record);
    draft.put(key::request_age(at, request), &());
    Ok(())
}

/// Forgets some of the answers that are old enough. Every entry does so, whatever it asks for.
pub fn expire<V: View>(draft: &mut Draft<'_, V>) -> Result<(), V::Error> {
    let now = draft.counters.time;
    if draft.counters.requests == 0 || !is_over(now, draft.counters.oldest_request) {
        return Ok(());
    }
    forget_oldest(draft, REQUESTS_EXPIRED_PER_ENTRY_MAX, |at| is_over(now, at))
}

/// Forgets up to `count` answers, oldest first, as long as `goes` says so. There must be at least one.
fn forget_oldest<V: View>(
    draft: &mut Draft<'_, V>,
    count: usize,
    goes: impl Fn(ClusterTime) -> bool,
) -> Result<(), V::Error> {
    let start = key::request_age(draft.counters.oldest_request, RequestId(0));
    let pairs = draft.state.scan(Bound::Included(&start), Bound::Excluded(&key::REQUESTS_BY_AGE_END), count + 1)?;
    if pairs.is_empty() {
        return Err(damaged::<()>(&start).into());
    }
    for (place, (age_key, _)) in pairs.into_iter().enumerate() {
        let (at, request) = key::parse_request_age(&age_key).ok_or_else(|| damaged::<()>(&age_key))?;
        draft.counters.oldest_request = at;
        if place == count || !goes(at) {
            return Ok(());
        }
        let own = key::request(request);
        let record: RequestRecord = read(&draft.state, &own)?.ok_or_else(|| damaged::<RequestRecord>(&own))?;
        draft.counters.requests = draft.counters.requests.saturating_sub(1);
        draft.counters.request_bytes = draft.counters.request_bytes.saturating_sub(kept_bytes(record.to_bytes().len()));
        draft.counters.forgotten_before = draft.counters.forgotten_before.max(ClusterTime(at.0.saturating_add(1)));
        draft.delete(own);
        draft.delete(age_key);
    }
    Ok(())
}

fn is_over(now: ClusterTime, since: ClusterTime) -> bool {
    now.0.saturating_sub(since.0) > REQUEST_KEPT_MS
}

/// Bytes of both keys and both values of a kept answer.
fn kept_bytes(record_bytes: usize) -> u64 {
    let keys = key::request(RequestId(0)).len() + key::request_age(ClusterTime(0), RequestId(0)).len();
    u64::try_from(keys + ().to_bytes().len() + record_bytes).unwrap_or(u64::MAX)
}
